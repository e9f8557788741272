//! The compact form of a JWE (RFC 7516 §7.1), with `dir` and AES-GCM: what RFC 9246's examples encrypt `sub` and `cdniip` with.
//!
//! Keys that encrypt keys (`RSA-OAEP`, `A128KW`) are not known here; a token that needs one is refused.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use serde_json::Value;

use super::Limits;
use super::json::Members;
use crate::domain::token::base64url;
use crate::domain::token::key::Secret;

/// A key that decrypts, with its name.
pub struct DecryptionKey {
    pub id: Option<String>,
    encryption: Encryption,
    key: LessSafeKey,
}

/// How the content is encrypted (RFC 7518 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    A128Gcm,
    A256Gcm,
}

impl Encryption {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "A128GCM" => Some(Self::A128Gcm),
            "A256GCM" => Some(Self::A256Gcm),
            _ => None,
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::A128Gcm => &AES_128_GCM,
            Self::A256Gcm => &AES_256_GCM,
        }
    }

    pub fn key_bytes(self) -> usize {
        self.algorithm().key_len()
    }
}

impl DecryptionKey {
    /// `None` when the secret has not the length that the encryption asks for.
    pub fn new(id: Option<String>, encryption: Encryption, secret: &Secret) -> Option<Self> {
        let key = UnboundKey::new(encryption.algorithm(), secret.expose()).ok()?;
        Some(Self { id, encryption, key: LessSafeKey::new(key) })
    }
}

impl fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptionKey")
            .field("id", &self.id)
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

/// The text that `token` encrypts, with whichever of `keys` it names and opens it; `None` for whatever else.
pub fn open<'k>(
    token: &str,
    keys: impl IntoIterator<Item = &'k DecryptionKey>,
    limits: Limits,
) -> Option<String> {
    let mut parts = token.split('.');
    let header_text = parts.next()?;
    let (encrypted_key, nonce, content, tag) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // RFC 7516 §5.2, step 10: with direct encryption "verify that the JWE Encrypted Key value is an empty octet sequence".
    if parts.next().is_some() || !encrypted_key.is_empty() {
        return None;
    }
    let header = Members::parse(&base64url::decode(header_text)?, limits.claims_max)?;
    let text = |name: &str| match header.get(name) {
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) | None => None,
    };
    if text("alg") != Some("dir") || header.get("crit").is_some() || header.get("zip").is_some() {
        return None;
    }
    let encryption = Encryption::named(text("enc")?)?;
    let id = text("kid");
    let nonce: [u8; 12] = base64url::decode(nonce)?.try_into().ok()?;
    let sealed = [base64url::decode(content)?, base64url::decode(tag)?].concat();
    keys.into_iter()
        .filter(|key| {
            key.encryption == encryption && (id.is_none() || key.id.is_none() || key.id.as_deref() == id)
        })
        .find_map(|key| {
            let mut sealed = sealed.clone();
            let nonce = Nonce::assume_unique_for_key(nonce);
            let opened = key.key.open_in_place(nonce, Aad::from(header_text.as_bytes()), &mut sealed).ok()?;
            String::from_utf8(opened.to_vec()).ok()
        })
}

/// `text` encrypted under `secret`, with a nonce that the caller never gives twice for one key.
pub fn seal(
    text: &str,
    id: Option<&str>,
    encryption: Encryption,
    secret: &Secret,
    nonce: [u8; 12],
) -> Option<String> {
    let name = match encryption {
        Encryption::A128Gcm => "A128GCM",
        Encryption::A256Gcm => "A256GCM",
    };
    let mut header = serde_json::json!({ "alg": "dir", "enc": name });
    if let Some(id) = id {
        header["kid"] = id.into();
    }
    let header = base64url::encode(header.to_string());
    let key = LessSafeKey::new(UnboundKey::new(encryption.algorithm(), secret.expose()).ok()?);
    let mut sealed = text.as_bytes().to_vec();
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(header.as_bytes()),
            &mut sealed,
        )
        .ok()?;
    Some(
        [
            header.as_str(),
            "",
            &base64url::encode(nonce),
            &base64url::encode(sealed),
            &base64url::encode(tag.as_ref()),
        ]
        .join("."),
    )
}
