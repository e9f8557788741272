//! JSON Web Key Sets (RFC 7517): RSA, EC P-256 and OKP Ed25519 keys that verify; oct keys that verify or decrypt.

use serde_json::{Map, Value};

use super::json::Members;
use super::jwe::{DecryptionKey, Encryption};
use crate::domain::token::base64url;
use crate::domain::token::key::Secret;
use crate::domain::token::signature::{Algorithm, Family, KeyFault, VerificationKey};

/// Members of a set, and keys in it, that are looked at.
const MEMBERS_MAX: usize = 64;
const KEYS_MAX: usize = 64;

/// What one key of a set is good for.
#[derive(Debug)]
pub enum Key {
    Verifies { id: Option<String>, key: VerificationKey },
    Decrypts(DecryptionKey),
}

/// Why a set, or one of its keys, is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is no JSON object with a list of keys")]
    Set,
    #[error("it has no keys; nothing would ever verify")]
    Empty,
    #[error("it has more than {KEYS_MAX} keys")]
    Many,
    #[error("key {at}: it is no JSON object")]
    Object { at: usize },
    #[error("key {at}: {member} is missing, or no text in base64url")]
    Member { at: usize, member: &'static str },
    #[error("key {at}: kty {kty:?} is not known; use RSA, EC, OKP or oct")]
    Type { at: usize, kty: String },
    #[error("key {at}: crv {crv:?} is not known; use P-256 with EC, Ed25519 with OKP")]
    Curve { at: usize, crv: String },
    #[error("key {at}: alg {alg:?} does not work with its kty or use")]
    Algorithm { at: usize, alg: String },
    #[error("key {at}: use {found:?} is neither sig nor enc")]
    Use { at: usize, found: String },
    #[error("key {at}: {fault}")]
    Key { at: usize, fault: KeyFault },
    #[error("key {at}: its secret has not the length that its alg asks for")]
    Length { at: usize },
}

/// The keys of a set, each of which has to be understood: one that is skipped would be missed when it is needed.
pub fn parse_set(text: &[u8]) -> Result<Vec<Key>, Fault> {
    let set = Members::parse(text, MEMBERS_MAX).ok_or(Fault::Set)?;
    let Some(Value::Array(keys)) = set.get("keys") else { return Err(Fault::Set) };
    match keys.len() {
        0 => return Err(Fault::Empty),
        1..=KEYS_MAX => {}
        _ => return Err(Fault::Many),
    }
    keys.iter().enumerate().map(|(at, key)| parse(at, key)).collect()
}

fn parse(at: usize, value: &Value) -> Result<Key, Fault> {
    let key = Reader { at, members: value.as_object().ok_or(Fault::Object { at })? };
    let id = key.text("kid").map(str::to_owned);
    let usage = key.text("use");
    match key.text("kty").ok_or(Fault::Member { at, member: "kty" })? {
        "RSA" => key.public(id, usage, Family::Rsa, Algorithm::Rs256, |algorithm| {
            VerificationKey::rsa(algorithm, &key.bytes("n")?, &key.bytes("e")?)
                .map_err(|fault| key.fault(fault))
        }),
        "EC" => {
            key.curve("P-256")?;
            key.public(id, usage, Family::P256, Algorithm::Es256, |algorithm| {
                VerificationKey::p256(algorithm, &key.bytes("x")?, &key.bytes("y")?)
                    .map_err(|fault| key.fault(fault))
            })
        }
        "OKP" => {
            key.curve("Ed25519")?;
            key.public(id, usage, Family::Ed25519, Algorithm::EdDsa, |algorithm| {
                VerificationKey::ed25519(algorithm, &key.bytes("x")?).map_err(|fault| key.fault(fault))
            })
        }
        "oct" => key.symmetric(id, usage),
        other => Err(Fault::Type { at, kty: other.to_owned() }),
    }
}

struct Reader<'a> {
    at: usize,
    members: &'a Map<String, Value>,
}

impl<'a> Reader<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        match self.members.get(name) {
            Some(Value::String(text)) => Some(text),
            Some(_) | None => None,
        }
    }

    fn bytes(&self, member: &'static str) -> Result<Vec<u8>, Fault> {
        self.text(member).and_then(base64url::decode).ok_or(Fault::Member { at: self.at, member })
    }

    fn fault(&self, fault: KeyFault) -> Fault {
        Fault::Key { at: self.at, fault }
    }

    fn curve(&self, known: &str) -> Result<(), Fault> {
        match self.text("crv") {
            Some(curve) if curve == known => Ok(()),
            other => Err(Fault::Curve { at: self.at, crv: other.unwrap_or_default().to_owned() }),
        }
    }

    /// A public key: pinned to the algorithm that it names, or to the usual one of its kind.
    fn public(
        &self,
        id: Option<String>,
        usage: Option<&str>,
        family: Family,
        usual: Algorithm,
        make: impl Fn(Algorithm) -> Result<VerificationKey, Fault>,
    ) -> Result<Key, Fault> {
        match usage {
            None | Some("sig") => {}
            Some(other) => return Err(Fault::Use { at: self.at, found: other.to_owned() }),
        }
        let algorithm = match self.text("alg") {
            None => usual,
            Some(name) => name
                .parse()
                .ok()
                .filter(|algorithm: &Algorithm| algorithm.family() == family)
                .ok_or_else(|| Fault::Algorithm { at: self.at, alg: name.to_owned() })?,
        };
        Ok(Key::Verifies { id, key: make(algorithm)? })
    }

    fn symmetric(&self, id: Option<String>, usage: Option<&str>) -> Result<Key, Fault> {
        let at = self.at;
        let secret = Secret::from_bytes(self.bytes("k")?).map_err(|_| Fault::Member { at, member: "k" })?;
        let name = self.text("alg");
        let encryption = name.and_then(Encryption::named);
        let algorithm = || Fault::Algorithm { at, alg: name.unwrap_or_default().to_owned() };
        match (usage, encryption) {
            (Some("enc") | None, Some(encryption)) => {
                DecryptionKey::new(id, encryption, &secret).map(Key::Decrypts).ok_or(Fault::Length { at })
            }
            (Some("sig") | None, None) => {
                let algorithm = match name {
                    None => Algorithm::Hs256,
                    Some(name) => name.parse().map_err(|_| algorithm())?,
                };
                let key = VerificationKey::hmac(algorithm, &secret).map_err(|fault| self.fault(fault))?;
                Ok(Key::Verifies { id, key })
            }
            (Some("sig" | "enc"), _) => Err(algorithm()),
            (Some(other), _) => Err(Fault::Use { at, found: other.to_owned() }),
        }
    }
}
