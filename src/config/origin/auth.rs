//! The key `auth` of `[property.origin]`: its secrets are read, and judged by where they will stand.

use std::path::Path;

use http::{HeaderName, HeaderValue};
use toml::Spanned;

use crate::domain::origin_auth::{g2o, sigv4};
use crate::domain::token::key::Secret;
use crate::origin::settings::Auth;

use super::super::fault::Judge;
use super::super::file::origin as typed;
use super::super::secret;

/// Reads the secrets of `auth`; a part that is wrong is a fault, and the requests would go without.
pub fn auth(
    typed: Option<&Spanned<typed::Auth>>,
    folder: &Path,
    judge: &mut Judge,
    warnings: &mut Vec<String>,
) -> Auth {
    let Some(typed) = typed else { return Auth::None };
    let made = match typed.get_ref() {
        typed::Auth::Bearer(source) => read(source, folder, warnings).and_then(|secret| {
            Ok(Auth::Field(http::header::AUTHORIZATION, field_value(&[b"Bearer ", secret.expose()])?))
        }),
        typed::Auth::Header(header) => fixed_field(header, folder, warnings),
        typed::Auth::SigV4(keys) => sigv4(keys, folder, warnings),
        typed::Auth::G2o(keys) => g2o(keys, folder, warnings),
    };
    made.unwrap_or_else(|problem| {
        judge.fault(typed.span(), format!("[property.origin] auth: {problem}"), "");
        Auth::None
    })
}

fn fixed_field(typed: &typed::Header, folder: &Path, warnings: &mut Vec<String>) -> Result<Auth, String> {
    let name = HeaderName::from_bytes(typed.name.as_bytes())
        .map_err(|_| format!("\"{}\" is no header name", typed.name))?;
    if matches!(name, http::header::HOST | http::header::CONNECTION | http::header::TRANSFER_ENCODING) {
        return Err(format!("{name} cannot be set so"));
    }
    let secret = read(&typed.value, folder, warnings)?;
    Ok(Auth::Field(name, field_value(&[secret.expose()])?))
}

fn sigv4(typed: &typed::SigV4, folder: &Path, warnings: &mut Vec<String>) -> Result<Auth, String> {
    let access_key_id = read(&typed.access_key_id, folder, &mut Vec::new())?;
    let access_key_id = String::from_utf8_lossy(access_key_id.expose()).into_owned();
    for (name, text) in
        [("access_key_id", &access_key_id), ("region", &typed.region), ("service", &typed.service)]
    {
        let is_word = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_word {
            return Err(format!("{name} is empty or has a character other than letters, digits, -, _ and ."));
        }
    }
    let session_token =
        typed.session_token.as_ref().map(|source| read(source, folder, warnings)).transpose()?;
    if let Some(token) = &session_token {
        field_value(&[token.expose()])?;
    }
    let credentials = sigv4::Credentials {
        access_key_id,
        secret_access_key: read(&typed.secret_access_key, folder, warnings)?,
        region: typed.region.clone(),
        service: typed.service.clone(),
    };
    Ok(Auth::SigV4 {
        credentials: Box::new(credentials),
        session_token,
        unsigned_payload: typed.unsigned_payload,
    })
}

fn g2o(typed: &typed::G2o, folder: &Path, warnings: &mut Vec<String>) -> Result<Auth, String> {
    let version = g2o::Version::from_number(typed.version)
        .map_err(|error| format!("{error}; write 3 (MD5), 4 (SHA-1) or 5 (SHA-256)"))?;
    let key = read(&typed.key, folder, warnings)?;
    let signer = g2o::G2o::new(version, &key, &typed.nonce).map_err(|error| error.to_string())?;
    let process_id = u64::from_be_bytes(crate::entropy::bytes::<8>());
    Ok(Auth::G2o { signer: Box::new(signer), process_id })
}

fn read(source: &secret::Source, folder: &Path, warnings: &mut Vec<String>) -> Result<Secret, String> {
    let read = source.read(folder).map_err(|error| error.to_string())?;
    if read.inline {
        warnings.push(
            "a secret for an origin stands in the configuration; keep it in the environment or a file"
                .to_owned(),
        );
    }
    Secret::from_text(&read.text).map_err(|error| error.to_string())
}

fn field_value(parts: &[&[u8]]) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_bytes(&parts.concat())
        .map_err(|_| "the secret has a character that no header field can have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
