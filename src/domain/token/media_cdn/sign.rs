//! Signing: the token that Google's published samples would make.

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::domain::token::base64url;
use crate::domain::token::key::{Algorithm, Secret, Signer};

/// What signs.
#[derive(Clone, Debug)]
pub enum SigningKey {
    Hmac(Secret, Algorithm),
    /// The 32 bytes of the private key.
    Ed25519(Secret),
}

/// What a token shall open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    PathGlobs(String),
    UrlPrefix(String),
    FullPath(String),
}

/// Everything that goes into a token.
#[derive(Clone, Debug)]
pub struct MintRequest<'a> {
    pub key: &'a SigningKey,
    pub target: Target,
    pub starts: Option<u64>,
    pub expires: u64,
    pub session_id: Option<&'a str>,
    pub data: Option<&'a str>,
    /// Names and values.
    pub headers: &'a [(String, String)],
    /// Networks, separated by commas.
    pub ip_ranges: Option<&'a str>,
}

/// Why no token was made. Each names its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    #[error("{field}: {value:?} holds a ~, which would begin another field; leave it out")]
    Delimiter { field: &'static str, value: String },
    #[error("{0}: it is empty")]
    Empty(&'static str),
    #[error("expires: {expires} is not after the start {starts}; let it end later")]
    EndNotAfterStart { starts: u64, expires: u64 },
    #[error("key: an Ed25519 private key has 32 bytes; give it in base64")]
    Key,
    #[error("algorithm: Media CDN knows sha256 and sha1; use one of them, or an Ed25519 key")]
    Algorithm,
}

/// The token, and the value that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    pub token: String,
    pub signed: String,
}

pub fn sign(request: &MintRequest<'_>) -> Result<Minted, MintError> {
    let (mut token, mut signed) = (Vec::new(), Vec::new());
    let mut put = |shown: String, hashed: String| {
        token.push(shown);
        signed.push(hashed);
    };
    match &request.target {
        Target::PathGlobs(globs) => {
            let field = format!("PathGlobs={}", checked("path globs", globs)?);
            put(field.clone(), field);
        }
        Target::UrlPrefix(prefix) if prefix.is_empty() => return Err(MintError::Empty("url prefix")),
        Target::UrlPrefix(prefix) => {
            let field = format!("URLPrefix={}", base64url::encode(prefix));
            put(field.clone(), field);
        }
        Target::FullPath(path) => {
            put("FullPath".to_owned(), format!("FullPath={}", checked("full path", path)?));
        }
    }
    if let Some(starts) = request.starts {
        if request.expires <= starts {
            return Err(MintError::EndNotAfterStart { starts, expires: request.expires });
        }
        put(format!("Starts={starts}"), format!("Starts={starts}"));
    }
    put(format!("Expires={}", request.expires), format!("Expires={}", request.expires));
    for (name, field, value) in
        [("SessionID", "session id", request.session_id), ("Data", "payload", request.data)]
    {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let text = format!("{name}={}", checked(field, value)?);
            put(text.clone(), text);
        }
    }
    if !request.headers.is_empty() {
        for (name, value) in request.headers {
            checked("header", name)?;
            checked("header", value)?;
        }
        let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        let pairs: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        put(format!("Headers={}", names.join(",")), format!("Headers={}", pairs.join(",")));
    }
    if let Some(ranges) = request.ip_ranges {
        let text = format!("IPRanges={}", base64url::encode(ranges));
        put(text.clone(), text);
    }
    let signed = signed.join("~");
    token.push(proof(request.key, &signed)?);
    Ok(Minted { token: token.join("~"), signed })
}

fn proof(key: &SigningKey, signed: &str) -> Result<String, MintError> {
    match key {
        SigningKey::Hmac(_, Algorithm::Md5) => Err(MintError::Algorithm),
        SigningKey::Hmac(secret, algorithm) => {
            let mut proof = "hmac=".to_owned();
            Signer::new(secret, *algorithm).sign(&[signed.as_bytes()]).write_hex(&mut proof);
            Ok(proof)
        }
        SigningKey::Ed25519(seed) => {
            let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| MintError::Key)?;
            Ok(format!("Signature={}", base64url::encode(pair.sign(signed.as_bytes()))))
        }
    }
}

fn checked<'a>(field: &'static str, value: &'a str) -> Result<&'a str, MintError> {
    if value.is_empty() {
        return Err(MintError::Empty(field));
    }
    if value.contains('~') {
        return Err(MintError::Delimiter { field, value: value.to_owned() });
    }
    Ok(value)
}
