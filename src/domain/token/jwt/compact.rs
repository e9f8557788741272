//! The compact form of a JWS (RFC 7515 §7.1): three parts, and a header of which little is believed.

use serde_json::Value;

use super::Limits;
use super::json::Members;
use crate::domain::token::base64url;

/// A token taken apart; nothing of it is verified yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Compact<'a> {
    /// What was signed: header and claims as they came.
    pub signed: &'a str,
    pub header: Header,
    pub claims: Vec<u8>,
    pub signature: Vec<u8>,
}

/// Of a header, what chooses among our keys. Keys that a token names or carries (`jku`, `jwk`, `x5u`, `x5c`) are not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub algorithm: String,
    pub key_id: Option<String>,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is longer than the limit")]
    Long,
    #[error("it has not three parts; a JWE (five parts) is no signed token")]
    Parts,
    #[error("a part is no base64url without padding")]
    Base64,
    #[error("its header is no JSON object whose members stand once each")]
    Header,
    #[error("its header has no text alg")]
    Algorithm,
    #[error("its header's kid is no text")]
    KeyId,
    /// RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not understood and supported by the
    /// recipient, then the JWS is invalid."
    #[error("its header has crit, and no extension is known here")]
    Critical,
}

impl<'a> Compact<'a> {
    pub fn parse(text: &'a str, limits: Limits) -> Result<Self, Fault> {
        if text.len() > limits.token_bytes_max {
            return Err(Fault::Long);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Fault::Parts)?;
        let (header, claims) = signed.split_once('.').ok_or(Fault::Parts)?;
        if claims.contains('.') || header.is_empty() || claims.is_empty() {
            return Err(Fault::Parts);
        }
        let header = Header::parse(&base64url::decode(header).ok_or(Fault::Base64)?, limits)?;
        let claims = base64url::decode(claims).ok_or(Fault::Base64)?;
        let signature = base64url::decode(signature).ok_or(Fault::Base64)?;
        Ok(Self { signed, header, claims, signature })
    }
}

impl Header {
    pub(super) fn parse(text: &[u8], limits: Limits) -> Result<Self, Fault> {
        let members = Members::parse(text, limits.claims_max).ok_or(Fault::Header)?;
        if members.get("crit").is_some() {
            return Err(Fault::Critical);
        }
        let Some(Value::String(algorithm)) = members.get("alg") else { return Err(Fault::Algorithm) };
        let key_id = match members.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(Fault::KeyId),
        };
        Ok(Self { algorithm: algorithm.clone(), key_id })
    }
}
