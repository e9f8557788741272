//! The COSE envelope: a MAC or a signature over claims that are not looked at before it holds.

use coset::cbor::value::Value;
use coset::{
    AsCborValue, CborSerializable, CoseMac0, CoseSign1, Header, ProtectedHeader, RegisteredLabelWithPrivate,
    iana,
};

use super::Limits;
use crate::domain::token::base64url;
use crate::domain::token::signature::{Algorithm, Family};

/// RFC 8392 §6: "the CWT tag", around a COSE tag that says how it is secured.
pub(super) const TAG_CWT: u64 = 61;
pub(super) const TAG_MAC0: u64 = 17;
pub(super) const TAG_SIGN1: u64 = 18;

/// A token taken apart; nothing of it is verified yet.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<Vec<u8>>,
    /// What was signed: RFC 9052 §4.4 and §6.3.
    pub(super) signed: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) claims: Vec<u8>,
    pub(super) is_mac: bool,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it is longer than the limit")]
    Long,
    #[error("it is no base64url")]
    Base64,
    #[error("it is no CBOR, or is followed by something")]
    Cbor,
    #[error("it is neither a COSE_Mac0 (tag 17) nor a COSE_Sign1 (tag 18), with or without the CWT tag 61")]
    Tag,
    #[error("its parts are not those of its tag")]
    Parts,
    #[error("its claims do not stand in it")]
    Detached,
    #[error(
        "its protected header names no algorithm of ours: HS256 with a MAC, ES256 or EdDSA with a signature"
    )]
    Algorithm,
    #[error("a header has crit, and no extension is known here")]
    Critical,
    #[error("its unprotected header holds more than a key's id")]
    Unprotected,
}

impl Envelope {
    pub(super) fn parse(text: &str, limits: Limits) -> Result<Self, Fault> {
        if text.len() > limits.token_bytes_max {
            return Err(Fault::Long);
        }
        let bytes = base64url::decode_either(text).ok_or(Fault::Base64)?;
        match Value::from_slice(&bytes).map_err(|_| Fault::Cbor)? {
            Value::Tag(TAG_CWT, inner) => Self::of(*inner),
            bare => Self::of(bare),
        }
    }

    fn of(value: Value) -> Result<Self, Fault> {
        match value {
            Value::Tag(TAG_MAC0, parts) => {
                let mac = CoseMac0::from_cbor_value(*parts).map_err(|_| Fault::Parts)?;
                let (algorithm, key_id) = judged(&mac.protected, &mac.unprotected)?;
                let claims = mac.payload.clone().ok_or(Fault::Detached)?;
                let mut signed = Vec::new();
                mac.verify_payload_tag(
                    &[],
                    || (),
                    |_, data| {
                        signed.extend_from_slice(data);
                        Ok(())
                    },
                )
                .map_err(|()| Fault::Detached)?;
                is_of(algorithm, &[Family::Hmac])?;
                Ok(Self { algorithm, key_id, signed, signature: mac.tag, claims, is_mac: true })
            }
            Value::Tag(TAG_SIGN1, parts) => {
                let sign = CoseSign1::from_cbor_value(*parts).map_err(|_| Fault::Parts)?;
                let (algorithm, key_id) = judged(&sign.protected, &sign.unprotected)?;
                let signed = sign.tbs_data(&[]);
                let claims = sign.payload.ok_or(Fault::Detached)?;
                is_of(algorithm, &[Family::P256, Family::Ed25519])?;
                Ok(Self { algorithm, key_id, signed, signature: sign.signature, claims, is_mac: false })
            }
            _ => Err(Fault::Tag),
        }
    }
}

fn is_of(algorithm: Algorithm, families: &[Family]) -> Result<(), Fault> {
    if families.contains(&algorithm.family()) { Ok(()) } else { Err(Fault::Algorithm) }
}

/// The algorithm, which only counts where it is signed, and the key's id, which only chooses among ours.
fn judged(protected: &ProtectedHeader, unprotected: &Header) -> Result<(Algorithm, Option<Vec<u8>>), Fault> {
    let header = &protected.header;
    if !header.crit.is_empty() || !unprotected.crit.is_empty() {
        return Err(Fault::Critical);
    }
    let only_id = Header { key_id: unprotected.key_id.clone(), ..Header::default() };
    if *unprotected != only_id || (!header.key_id.is_empty() && !unprotected.key_id.is_empty()) {
        return Err(Fault::Unprotected);
    }
    let algorithm = match &header.alg {
        Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::HMAC_256_256)) => Algorithm::Hs256,
        Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES256)) => Algorithm::Es256,
        Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA)) => Algorithm::EdDsa,
        Some(_) | None => return Err(Fault::Algorithm),
    };
    let id = [&header.key_id, &unprotected.key_id].into_iter().find(|id| !id.is_empty());
    Ok((algorithm, id.cloned()))
}
