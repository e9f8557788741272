//! Minting: claims written in JSON, as the standard's names have them, turned into CBOR; the token made of them and a
//! signature that somebody else makes.

use std::net::IpAddr;

use coset::cbor::value::Value as Cbor;
use coset::{AsCborValue, CoseError};
use coset::{
    CborSerializable, CoseMac0, CoseMac0Builder, CoseSign1, CoseSign1Builder, Header, HeaderBuilder, iana,
};
use ipnet::IpNet;
use serde_json::{Map, Value};

use super::claims::{Component, Label};
use super::cose::{TAG_CWT, TAG_MAC0, TAG_SIGN1};
use super::matching;
use crate::domain::token::base64url;
use crate::domain::token::signature::{Algorithm, Family};
use crate::domain::uri::hex;

/// Why a token cannot be minted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{algorithm} does not sign Common Access Tokens; use HS256, ES256 or EdDSA", algorithm = .0.as_str())]
    Algorithm(Algorithm),
    #[error("{claim}: {value} is not of its form; {cure}")]
    Form { claim: String, value: String, cure: &'static str },
    #[error("the signature could not be made")]
    Unsigned,
    #[error("the token cannot be written as CBOR")]
    Cbor,
}

impl From<CoseError> for Fault {
    fn from(_: CoseError) -> Self {
        Self::Cbor
    }
}

/// The token for these claims, in base64url, with the CWT tag. `sign` makes the MAC or signature over what it is given.
pub fn mint(
    algorithm: Algorithm,
    key_id: Option<&str>,
    claims: &Map<String, Value>,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Result<String, Fault> {
    let named = match algorithm {
        Algorithm::Hs256 => iana::Algorithm::HMAC_256_256,
        Algorithm::Es256 => iana::Algorithm::ES256,
        Algorithm::EdDsa => iana::Algorithm::EdDSA,
        other => return Err(Fault::Algorithm(other)),
    };
    let protected = HeaderBuilder::new().algorithm(named).build();
    let unprotected =
        Header { key_id: key_id.map(|id| id.as_bytes().to_vec()).unwrap_or_default(), ..Header::default() };
    let payload = in_cbor(claims)?.to_vec()?;
    let signed = |data: &[u8]| sign(data).ok_or(Fault::Unsigned);
    let (tag, parts) = if algorithm.family() == Family::Hmac {
        let mac: CoseMac0 = CoseMac0Builder::new()
            .protected(protected)
            .unprotected(unprotected)
            .payload(payload)
            .try_create_tag(&[], signed)?
            .build();
        (TAG_MAC0, mac.to_cbor_value()?)
    } else {
        let sign1: CoseSign1 = CoseSign1Builder::new()
            .protected(protected)
            .unprotected(unprotected)
            .payload(payload)
            .try_create_signature(&[], signed)?
            .build();
        (TAG_SIGN1, sign1.to_cbor_value()?)
    };
    let token = Cbor::Tag(TAG_CWT, Box::new(Cbor::Tag(tag, Box::new(parts))));
    Ok(base64url::encode(token.to_vec()?))
}

fn in_cbor(claims: &Map<String, Value>) -> Result<Cbor, Fault> {
    let pairs = claims.iter().map(|(name, value)| {
        let Ok(label) = name.parse::<Label>();
        let value = match &label {
            Label::Number(7) => hex(name, value)?,
            Label::Number(311) => list(name, value, network)?,
            Label::Number(312) => uri(name, value)?,
            Label::Number(315) => headers(name, value)?,
            Label::Number(_) | Label::Text(_) => plain(name, value)?,
        };
        let label = match label {
            Label::Number(number) => number.into(),
            Label::Text(text) => Cbor::Text(text),
        };
        Ok((label, value))
    });
    Ok(Cbor::Map(pairs.collect::<Result<_, Fault>>()?))
}

fn fault(claim: &str, value: &Value, cure: &'static str) -> Fault {
    Fault::Form { claim: claim.to_owned(), value: value.to_string(), cure }
}

fn plain(claim: &str, value: &Value) -> Result<Cbor, Fault> {
    Ok(match value {
        Value::Null => Cbor::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => return Err(fault(claim, value, "write whole numbers")),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => {
            Cbor::Array(items.iter().map(|item| plain(claim, item)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let pairs = members.iter().map(|(name, value)| {
                let label = name.parse::<i64>().map_or_else(|_| Cbor::from(name.as_str()), Cbor::from);
                Ok((label, plain(claim, value)?))
            });
            Cbor::Map(pairs.collect::<Result<_, Fault>>()?)
        }
    })
}

fn list(claim: &str, value: &Value, item: impl Fn(&Value) -> Option<Cbor>) -> Result<Cbor, Fault> {
    let cure =
        "write a list of addresses, networks or numbers of systems, such as [\"203.0.113.0/24\", 64500]";
    let items = value.as_array().ok_or_else(|| fault(claim, value, cure))?;
    let items = items.iter().map(|found| item(found).ok_or_else(|| fault(claim, found, cure)));
    Ok(Cbor::Array(items.collect::<Result<_, _>>()?))
}

fn network(value: &Value) -> Option<Cbor> {
    if let Some(system) = value.as_u64() {
        return u32::try_from(system).ok().map(Cbor::from);
    }
    let text = value.as_str()?;
    let octets = |address: IpAddr| match address {
        IpAddr::V4(v4) => (52, v4.octets().to_vec()),
        IpAddr::V6(v6) => (54, v6.octets().to_vec()),
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        let (tag, bytes) = octets(address);
        return Some(Cbor::Tag(tag, Box::new(Cbor::Bytes(bytes))));
    }
    let network = text.parse::<IpNet>().ok()?.trunc();
    let (tag, mut bytes) = octets(network.network());
    // RFC 9164 §3.1.3: trailing zero bytes of a prefix are left out.
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    let parts = vec![Cbor::from(network.prefix_len()), Cbor::Bytes(bytes)];
    Some(Cbor::Tag(tag, Box::new(Cbor::Array(parts))))
}

fn uri(claim: &str, value: &Value) -> Result<Cbor, Fault> {
    let cure = "write components with matches, such as {\"path\": {\"prefix-match\": \"/v/\"}}";
    let components = value.as_object().ok_or_else(|| fault(claim, value, cure))?;
    let pairs = components.iter().map(|(name, matches)| {
        let at = Component::ALL.iter().position(|(known, _)| known == name);
        let at = at.and_then(|at| u64::try_from(at).ok()).ok_or_else(|| fault(claim, value, cure))?;
        Ok((Cbor::from(at), conditions(claim, matches)?))
    });
    Ok(Cbor::Map(pairs.collect::<Result<_, Fault>>()?))
}

fn headers(claim: &str, value: &Value) -> Result<Cbor, Fault> {
    let cure = "write header fields with matches, such as {\"user-agent\": {\"contains-match\": \"Player\"}}";
    let fields = value.as_object().ok_or_else(|| fault(claim, value, cure))?;
    let pairs = fields.iter().map(|(name, matches)| Ok((name.as_str().into(), conditions(claim, matches)?)));
    Ok(Cbor::Map(pairs.collect::<Result<_, Fault>>()?))
}

fn conditions(claim: &str, value: &Value) -> Result<Cbor, Fault> {
    let cure = "use exact-match, prefix-match, suffix-match, contains-match, regex-match, sha256-match or sha512-256-match";
    let matches = value.as_object().ok_or_else(|| fault(claim, value, cure))?;
    let pairs = matches.iter().map(|(name, wanted)| {
        let kind = matching::NAMES.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| fault(claim, value, cure))?;
        let wanted = match (kind, wanted) {
            (4, Value::String(pattern)) => Cbor::Array(vec![pattern.as_str().into()]),
            (..0, hash) => hex(claim, hash)?,
            (_, other) => plain(claim, other)?,
        };
        Ok((kind.into(), wanted))
    });
    Ok(Cbor::Map(pairs.collect::<Result<_, Fault>>()?))
}

fn hex(claim: &str, value: &Value) -> Result<Cbor, Fault> {
    let bytes = value.as_str().filter(|hex| hex.len().is_multiple_of(2)).and_then(|hex| {
        hex.as_bytes()
            .chunks_exact(2)
            .map(crate::domain::uri::escape::escaped_byte)
            .collect::<Option<Vec<u8>>>()
    });
    bytes.map(Cbor::Bytes).ok_or_else(|| fault(claim, value, "write bytes in hex"))
}

/// The claims of a token as they stand, for people; nothing of it is verified. Bytes are shown in hex.
pub fn shown(token: &str) -> Option<Value> {
    let value = Cbor::from_slice(&base64url::decode_either(token)?).ok()?;
    let inner = |value| match value {
        Cbor::Tag(TAG_CWT, inner) => *inner,
        other => other,
    };
    let Cbor::Tag(tag, parts) = inner(value) else { return None };
    let Cbor::Array(parts) = *parts else { return None };
    let [protected, unprotected, Cbor::Bytes(claims), _] = parts.as_slice() else { return None };
    let Cbor::Bytes(protected) = protected else { return None };
    let Cbor::Map(claims) = Cbor::from_slice(claims).ok()? else { return None };
    let named = claims.iter().map(|(label, value)| {
        let label = match super::cbor::integer(label) {
            Some(number) => Label::Number(number).to_string(),
            None => plainly(label).to_string(),
        };
        (label, plainly(value))
    });
    let protected = Cbor::from_slice(protected).ok();
    Some(serde_json::json!({
        "kind": if tag == TAG_MAC0 { "COSE_Mac0" } else { "COSE_Sign1" },
        "protected": protected.as_ref().map(plainly),
        "unprotected": plainly(unprotected),
        "claims": Value::Object(named.collect()),
    }))
}

fn plainly(value: &Cbor) -> Value {
    match value {
        Cbor::Integer(number) => i64::try_from(*number)
            .map_or_else(|_| Value::String(i128::from(*number).to_string()), Value::from),
        Cbor::Text(text) => text.as_str().into(),
        Cbor::Bool(truth) => (*truth).into(),
        Cbor::Float(number) => (*number).into(),
        Cbor::Bytes(bytes) => hex::hex(bytes).into(),
        Cbor::Array(items) => items.iter().map(plainly).collect::<Vec<_>>().into(),
        Cbor::Tag(_, inner) => plainly(inner),
        Cbor::Map(pairs) => {
            let named = pairs.iter().map(|(label, value)| match label {
                Cbor::Text(text) => (text.clone(), plainly(value)),
                other => (plainly(other).to_string(), plainly(value)),
            });
            Value::Object(named.collect())
        }
        _ => Value::Null,
    }
}
