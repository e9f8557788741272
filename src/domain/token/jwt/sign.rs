//! Minting: the text that is signed, and the token made of it and a signature that somebody else makes.

use serde_json::{Map, Value, json};

use crate::domain::token::base64url;
use crate::domain::token::signature::Algorithm;

/// What is signed for these claims: header and claims, ready to be followed by a dot and the signature.
pub fn signing_input(algorithm: Algorithm, key_id: Option<&str>, claims: &Map<String, Value>) -> String {
    let mut header = json!({ "alg": algorithm.as_str(), "typ": "JWT" });
    if let Some(id) = key_id {
        header["kid"] = id.into();
    }
    let claims = Value::Object(claims.clone());
    format!("{}.{}", base64url::encode(header.to_string()), base64url::encode(claims.to_string()))
}

/// The token of a signed text.
pub fn token(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", base64url::encode(signature))
}

/// Header and claims of a token as they stand, for people; nothing of it is verified.
pub fn shown(token: &str) -> Option<Value> {
    let mut parts = token.split('.').map(base64url::decode);
    let header: Value = serde_json::from_slice(&parts.next()??).ok()?;
    let claims: Value = serde_json::from_slice(&parts.next()??).ok()?;
    Some(json!({ "header": header, "claims": claims }))
}
