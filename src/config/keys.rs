//! A property's keys as typed: read from where they lie, named, each with its time.

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::value::Datetime;

use crate::domain::token::key::Secret;
use crate::domain::token::keys::{Keys, Named, Window};
use crate::domain::uri::hex::hex;

use crate::edge::property::{KeyNote, Mark};

use super::access::SESSION_KEY;
use super::fault::Judge;
use super::file::access::{Access, Encoding, Key, KeyKind};
use super::secret::{Read, Source};

/// What reading keys has to know.
pub struct Reader<'a> {
    pub property: &'a str,
    pub folder: &'a Path,
    pub judge: &'a mut Judge,
    pub warnings: &'a mut Vec<String>,
}

impl Reader<'_> {
    /// The property's secrets: `key` and `transition_key` under these names, and then those of `[[property.access.keys]]`.
    /// `encoding` is how the dialect's keys are written where nothing else is said.
    pub fn secrets(&mut self, access: &Spanned<Access>, encoding: Encoding) -> Keys<Secret> {
        for typed in access.get_ref().keys.iter().filter(|typed| typed.kind != KeyKind::Hmac) {
            self.judge.fault(
                typed.name.span(),
                format!(
                    "the key \"{}\" is a public key, which this dialect does not know",
                    typed.name.get_ref()
                ),
                "take kind out, or choose a dialect with public keys, such as media_cdn",
            );
        }
        Keys::new(self.keys(access, encoding).into_iter().map(|(_, named)| named).collect())
    }

    /// As [`Reader::secrets`], with public keys among them.
    pub fn keys(&mut self, access: &Spanned<Access>, encoding: Encoding) -> Vec<(KeyKind, Named<Secret>)> {
        let typed = access.get_ref();
        let mut keys: Vec<(KeyKind, Named<Secret>)> = Vec::new();
        for (name, source) in [("key", &typed.key), ("transition_key", &typed.transition_key)] {
            let key = source.as_ref().and_then(|source| self.secret(source, name, encoding));
            let named = key.map(|key| Named { name: name.into(), window: Window::default(), key });
            keys.extend(named.map(|named| (KeyKind::Hmac, named)));
        }
        for typed in &typed.keys {
            let Some(name) = self.name(&typed.name) else { continue };
            if name == SESSION_KEY || keys.iter().any(|(_, other)| &*other.name == name) {
                self.judge.fault(
                    typed.name.span(),
                    format!("two keys have the name \"{name}\""),
                    "give each a name of its own: logs and metrics tell them apart by it",
                );
            }
            let window = self.window(typed);
            let key = self.secret(&typed.from, name, typed.encoding.unwrap_or(encoding));
            keys.extend(key.map(|key| (typed.kind, Named { name: name.into(), window, key })));
        }
        let is_none_typed = typed.key.is_none() && typed.transition_key.is_none() && typed.keys.is_empty();
        if is_none_typed {
            self.judge.fault(
                access.span(),
                format!("the property \"{}\" has no key", self.property),
                "add key = { env = \"SLUICEGATE_KEY\" }; make one with: openssl rand -hex 16",
            );
        }
        keys
    }

    /// A key, or a fault.
    pub fn secret(&mut self, source: &Spanned<Source>, name: &str, encoding: Encoding) -> Option<Secret> {
        let read = self.read(source, name)?;
        if read.inline {
            self.warnings.push(format!(
                "the {name} of the property \"{}\" stands in the configuration; keep it in the environment or a file",
                self.property
            ));
        }
        let decoded = match if source.get_ref().is_hex() { Encoding::Hex } else { encoding } {
            Encoding::Hex => Secret::from_hex(&read.text).map_err(|error| {
                (
                    error.to_string(),
                    "a key is an even number of hex digits; make one with: openssl rand -hex 16",
                )
            }),
            Encoding::Text => Secret::from_text(&read.text)
                .map_err(|error| (error.to_string(), "make one with: openssl rand -hex 16")),
            Encoding::Base64 => Secret::from_base64(&read.text).ok_or((
                "it is no base64".to_owned(),
                "a key is base64, as openssl rand -base64 32 makes it; or say encoding = \"hex\" or \"text\"",
            )),
        };
        match decoded {
            Ok(key) => Some(key),
            Err((error, cure)) => {
                self.judge.fault(source.span(), format!("[property.access] {name}: {error}"), cure);
                None
            }
        }
    }

    pub fn read(&mut self, source: &Spanned<Source>, name: &str) -> Option<Read> {
        match source.get_ref().read(self.folder) {
            Ok(read) => Some(read),
            Err(error) => {
                self.judge.fault(source.span(), format!("[property.access] {name}: {error}"), "");
                None
            }
        }
    }

    fn name<'a>(&mut self, typed: &'a Spanned<String>) -> Option<&'a str> {
        let name = typed.get_ref();
        let is_plain = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_plain {
            self.judge.fault(
                typed.span(),
                format!("\"{name}\" is no name for a key"),
                "use 1 to 64 letters, digits, -, _ and ., such as 2026-11",
            );
        }
        is_plain.then_some(name)
    }

    fn window(&mut self, typed: &Key) -> Window {
        let mut time = |key: &str, typed_time: Option<&Datetime>| {
            let text = typed_time?.to_string();
            let parsed = humantime::parse_rfc3339(&text).ok();
            let time = parsed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            if time.is_none() {
                self.judge.fault(
                    typed.name.span(),
                    format!("{key} = {text} is no time in UTC"),
                    "write date, time and Z: 2026-11-25T00:00:00Z",
                );
            }
            time
        };
        let not_before = time("not_before", typed.not_before.as_ref());
        let not_after = time("not_after", typed.not_after.as_ref());
        if let (Some(begin), Some(end)) = (not_before, not_after)
            && begin >= end
        {
            self.judge.fault(
                typed.name.span(),
                format!("the key \"{}\" ends before it begins", typed.name.get_ref()),
                "let not_after be later than not_before",
            );
        }
        Window { not_before, not_after }
    }
}

/// Eight digits by which a key is told from another without being shown.
pub fn fingerprint(key: &[u8]) -> String {
    let digest = Sha256::digest([b"sluicegate fingerprint ".as_slice(), key].concat());
    hex(&digest[..4])
}

/// What may be told of a key.
pub fn described(name: &Arc<str>, key: &[u8], window: Window) -> KeyNote {
    KeyNote { name: name.clone(), mark: Mark::Fingerprint(fingerprint(key)), window }
}

#[cfg(test)]
mod tests;
