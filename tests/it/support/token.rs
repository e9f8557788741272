//! Access tokens of every kind, and what only an attacker would sign.

use std::time::Duration;

use sluicegate::domain::token::edgeauth::Delimiters;
use sluicegate::domain::token::edgeauth::dialect::Dialect;
use sluicegate::domain::token::edgeauth::sign::{MintRequest, Start, Target, sign};
use sluicegate::domain::token::key::{Algorithm, Secret, Signer};

use super::{KEY, START};

/// An access token to be: everything that a customer's signer chooses.
#[derive(Clone, Debug)]
pub struct Access<'a> {
    pub key: &'a str,
    pub algorithm: Algorithm,
    pub salt: Option<&'a str>,
    pub start: Option<u64>,
    pub end: u64,
    pub target: Target,
    pub ip: Option<&'a str>,
    pub id: Option<&'a str>,
    pub payload: Option<&'a str>,
    pub escape: Option<Dialect>,
}

impl Access<'_> {
    /// For these patterns, good for five minutes from `START`.
    pub fn acl(acl: &str) -> Self {
        Self::to(Target::Acl(vec![acl.to_owned()]))
    }

    /// For one URL: a path with its query.
    pub fn url(url: &str) -> Self {
        Self::to(Target::Url(url.to_owned()))
    }

    fn to(target: Target) -> Self {
        Self {
            key: KEY,
            algorithm: Algorithm::Sha256,
            salt: None,
            start: None,
            end: START + 300,
            target,
            ip: None,
            id: None,
            payload: None,
            escape: None,
        }
    }

    /// The token itself, without a name.
    pub fn text(&self) -> String {
        let key = Secret::from_hex(self.key).expect("a key");
        let request = MintRequest {
            key: &key,
            algorithm: self.algorithm,
            salt: self.salt,
            start: self.start.map(Start::At),
            end: Some(self.end),
            window_seconds: None,
            target: self.target.clone(),
            ip: self.ip,
            session_id: self.id,
            payload: self.payload,
            escape: self.escape,
            delimiters: Delimiters::default(),
            now: Duration::from_secs(START),
        };
        sign(&request).expect("a token")
    }

    /// `path?hdnts=…`
    pub fn on(&self, path: &str) -> String {
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("{path}{separator}hdnts={}", self.text())
    }
}

/// `signed~hmac=…` under the tests' key, whatever `signed` is: what a careless signer could be made to sign.
pub fn signed_as_it_is(signed: &str) -> String {
    let mut token = format!("{signed}~hmac=");
    let key = Secret::from_hex(KEY).expect("a key");
    Signer::new(&key, Algorithm::Sha256).sign(&[signed.as_bytes()]).write_hex(&mut token);
    token
}

/// Every escapable byte escaped once, as `encodeURIComponent` does.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'*' | b'(' | b')' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// `text` with the byte at `at` changed into another of its kind.
pub fn with_a_changed_byte(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = match bytes[at] {
        b'0' => b'1',
        b'a' => b'b',
        b'z' => b'y',
        byte @ (b'1'..=b'9' | b'b'..=b'y' | b'A'..=b'Z') => byte - 1,
        _ => b'x',
    };
    String::from_utf8(bytes).expect("ASCII")
}
