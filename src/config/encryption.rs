//! From `[property.encryption]` as typed to the encryption of a property.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use crate::domain::encryption::{Encryption, KeyPer, Settings};
use crate::domain::token::acl;
use crate::domain::token::key::Secret;

use super::fault::Judge;
use super::file;
use super::file::encryption as typed;

/// Shorter secrets can be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// `is_open`: the property asks for no token, so that nobody could ever be given a key.
pub fn accept(
    typed: &Spanned<typed::Encryption>,
    property: &Arc<str>,
    session: &file::Session,
    is_open: bool,
    folder: &Path,
    judge: &mut Judge,
) -> Option<Encryption> {
    let place = typed.span();
    let typed = typed.get_ref();
    if is_open {
        judge.fault(
            place,
            "[property.encryption] on a property that asks for no token: keys are served to sessions alone",
            "give the property a key and action = \"deny\", or take [property.encryption] out",
        );
    }
    per_session(typed, session, judge);
    let name = typed.key_name.get_ref();
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && !name.starts_with('.');
    if !is_name {
        judge.fault(
            typed.key_name.span(),
            format!("[property.encryption] key_name = \"{name}\" is no file name"),
            "use letters, digits, -, _ and ., such as sluicegate.key",
        );
    }
    let settings = Settings {
        key_per: match typed.key_per.get_ref() {
            typed::KeyPer::Asset => KeyPer::Asset,
            typed::KeyPer::Session => KeyPer::Session,
        },
        asset_depth: typed.asset_depth,
        rotate_every: typed.rotate_every,
        key_name: name.clone(),
        paths: paths(&typed.paths, judge),
        extensions: extensions(&typed.extensions, judge),
        clear_extensions: extensions(&typed.clear_extensions, judge),
        require_https: typed.require_https,
    };
    let secret = secret(&typed.secret, folder, judge)?;
    Some(Encryption::new(&secret, property.clone(), settings))
}

fn secret(typed: &Spanned<super::secret::Source>, folder: &Path, judge: &mut Judge) -> Option<Secret> {
    let cure = "make one with: openssl rand -hex 32";
    let read = match typed.get_ref().read(folder) {
        Ok(read) => read,
        Err(error) => {
            judge.fault(typed.span(), format!("[property.encryption] secret: {error}"), cure);
            return None;
        }
    };
    match Secret::from_hex(&read.text) {
        Ok(secret) if secret.expose().len() >= SECRET_BYTES_MIN => Some(secret),
        Ok(_) => {
            let message = format!("[property.encryption] secret has less than {SECRET_BYTES_MIN} bytes");
            judge.fault(typed.span(), message, cure);
            None
        }
        Err(error) => {
            judge.fault(typed.span(), format!("[property.encryption] secret: {error}"), cure);
            None
        }
    }
}

/// A key that is made from a session's text changes with it.
fn per_session(typed: &typed::Encryption, session: &file::Session, judge: &mut Judge) {
    let is_in_uris = matches!(session.carrier, file::Carrier::Path | file::Carrier::Query);
    if *typed.key_per.get_ref() == typed::KeyPer::Session && session.renew && !is_in_uris {
        judge.fault(
            typed.key_per.span(),
            "[property.encryption] key_per = \"session\" with sessions that are renewed: the key would change while the item plays",
            "set [property.session] renew = false or carrier = \"path\", or key_per = \"asset\"",
        );
    }
}

fn paths(typed: &[Spanned<String>], judge: &mut Judge) -> Vec<String> {
    for pattern in typed {
        let text = pattern.get_ref();
        if !text.starts_with(['/', '*']) || text.contains(acl::SEPARATOR) {
            judge.fault(
                pattern.span(),
                format!("[property.encryption] paths: \"{text}\" is no pattern of paths"),
                "write for example \"/movies/*\"; * is any run of characters, ? exactly one",
            );
        }
    }
    typed.iter().map(|pattern| acl::normalise(pattern.get_ref()).into_owned()).collect()
}

fn extensions(typed: &[Spanned<String>], judge: &mut Judge) -> Vec<String> {
    for extension in typed {
        let text = extension.get_ref();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            judge.fault(
                extension.span(),
                format!("[property.encryption] \"{text}\" is no extension"),
                "write it without its dot, such as \"ts\"",
            );
        }
    }
    typed.iter().map(|extension| extension.get_ref().to_ascii_lowercase()).collect()
}
