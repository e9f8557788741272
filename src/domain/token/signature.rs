//! Signatures and MACs of the JOSE and COSE families, by keys that are each pinned to one algorithm.
//!
//! aws-lc-rs does the arithmetic; it is here already as the TLS provider, and JWT, JWE and COSE are served by the same few
//! calls. jsonwebtoken was looked at and left out: it knows no JWE, takes a doubled member of a header or of the claims for
//! its last value, and what would remain of it is the one call to `verify` that stands below.
//!
//! What is answered: a token that names another algorithm than its key's (`none`, a public key taken for an HMAC's, RFC 8725
//! §2.1: the name in a token is compared, never followed); short HMAC keys (refused when read); timing (aws-lc compares MACs
//! in constant time).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents,
};

use super::key::Secret;

/// An algorithm that a key may be pinned to, by its name in JOSE (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    EdDsa,
}

/// The kind of key that an algorithm takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Hmac,
    Rsa,
    P256,
    Ed25519,
}

impl Algorithm {
    pub const ALL: [Self; 11] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::EdDsa,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub const fn family(self) -> Family {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => Family::Hmac,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => Family::Rsa,
            Self::Es256 => Family::P256,
            Self::EdDsa => Family::Ed25519,
        }
    }

    fn hmac(self) -> Option<hmac::Algorithm> {
        match self {
            Self::Hs256 => Some(hmac::HMAC_SHA256),
            Self::Hs384 => Some(hmac::HMAC_SHA384),
            Self::Hs512 => Some(hmac::HMAC_SHA512),
            Self::Rs256
            | Self::Rs384
            | Self::Rs512
            | Self::Ps256
            | Self::Ps384
            | Self::Ps512
            | Self::Es256
            | Self::EdDsa => None,
        }
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Self::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
            Self::Hs256 | Self::Hs384 | Self::Hs512 | Self::Es256 | Self::EdDsa => None,
        }
    }
}

/// No algorithm has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such algorithm; use HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256 or EdDSA"
)]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or(UnknownAlgorithm)
    }
}

/// Why something is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// RFC 7518 §3.2: "A key of the same size as the hash output […] or larger MUST be used".
    #[error("the secret has {bytes} bytes, and {algorithm} asks for {least} or more", algorithm = .algorithm.as_str())]
    Short { algorithm: Algorithm, bytes: usize, least: usize },
    #[error("{} does not work with this kind of key", .0.as_str())]
    WrongAlgorithm(Algorithm),
    #[error("its numbers make no RSA key of 2048 to 8192 bits")]
    Rsa,
    #[error("x and y are no point of the curve P-256")]
    P256,
    #[error("x is no Ed25519 key, which has 32 bytes")]
    Ed25519,
}

/// A key with the name by which tokens choose it, and the issuers that may sign with it.
#[derive(Debug)]
pub struct IssuerKey {
    /// `kid`; a key without one is tried for every token.
    pub id: Option<String>,
    /// RFC 9246 §2.1.1: "the recipient will have already received, in trusted configuration, a mapping of issuer name to one
    /// or more keys used to sign JWTs". A token that names an issuer names one of these.
    pub issuers: Vec<String>,
    pub key: VerificationKey,
}

/// A key that verifies, with the one algorithm it is for.
pub struct VerificationKey {
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Hmac(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl VerificationKey {
    pub fn hmac(algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyFault> {
        let hash = algorithm.hmac().ok_or(KeyFault::WrongAlgorithm(algorithm))?;
        let least = hash.digest_algorithm().output_len();
        let bytes = secret.expose().len();
        if bytes < least {
            return Err(KeyFault::Short { algorithm, bytes, least });
        }
        Ok(Self { algorithm, material: Material::Hmac(Box::new(hmac::Key::new(hash, secret.expose()))) })
    }

    /// `n` and `e` are big-endian; leading zeros, which some writers leave, are passed over.
    pub fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Result<Self, KeyFault> {
        let parameters = algorithm.rsa().ok_or(KeyFault::WrongAlgorithm(algorithm))?;
        let components = RsaPublicKeyComponents { n: without_zeros(n), e: without_zeros(e) };
        // The parameters' sizes are only looked at by a verification, which would fail for ever and say nothing.
        if !(256..=1024).contains(&components.n.len()) {
            return Err(KeyFault::Rsa);
        }
        let key = components.to_parsed_public_key(parameters).map_err(|_| KeyFault::Rsa)?;
        Ok(Self { algorithm, material: Material::Public(key) })
    }

    pub fn p256(algorithm: Algorithm, x: &[u8], y: &[u8]) -> Result<Self, KeyFault> {
        if algorithm.family() != Family::P256 {
            return Err(KeyFault::WrongAlgorithm(algorithm));
        }
        if x.len() != 32 || y.len() != 32 {
            return Err(KeyFault::P256);
        }
        // SEC 1 §2.3.3: an uncompressed point.
        let point = [&[4], x, y].concat();
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| KeyFault::P256)?;
        Ok(Self { algorithm, material: Material::Public(key) })
    }

    pub fn ed25519(algorithm: Algorithm, x: &[u8]) -> Result<Self, KeyFault> {
        if algorithm.family() != Family::Ed25519 {
            return Err(KeyFault::WrongAlgorithm(algorithm));
        }
        if x.len() != 32 {
            return Err(KeyFault::Ed25519);
        }
        let key = ParsedPublicKey::new(&ED25519, x).map_err(|_| KeyFault::Ed25519)?;
        Ok(Self { algorithm, material: Material::Public(key) })
    }

    /// A public key as a `SubjectPublicKeyInfo` (RFC 5280 §4.1), or bare as its kind has it.
    pub fn public(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyFault> {
        let key = match algorithm.family() {
            Family::Hmac => return Err(KeyFault::WrongAlgorithm(algorithm)),
            Family::Rsa => {
                let parameters = algorithm.rsa().ok_or(KeyFault::WrongAlgorithm(algorithm))?;
                ParsedPublicKey::new(parameters, bytes).map_err(|_| KeyFault::Rsa)?
            }
            Family::P256 => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).map_err(|_| KeyFault::P256)?
            }
            Family::Ed25519 => ParsedPublicKey::new(&ED25519, bytes).map_err(|_| KeyFault::Ed25519)?,
        };
        Ok(Self { algorithm, material: Material::Public(key) })
    }

    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` was made over `message` with this key; MACs are compared in constant time.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }

    /// The MAC over `message`; `None` for a public key, which signs nothing.
    pub fn mac(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.material {
            Material::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Material::Public(_) => None,
        }
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[first..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_only_algorithms_of_its_kind() {
        let secret = Secret::from_bytes(vec![7; 64]).unwrap();
        assert_eq!(
            VerificationKey::hmac(Algorithm::Es256, &secret).err(),
            Some(KeyFault::WrongAlgorithm(Algorithm::Es256))
        );
        assert_eq!(
            VerificationKey::ed25519(Algorithm::Hs256, &[1; 32]).err(),
            Some(KeyFault::WrongAlgorithm(Algorithm::Hs256))
        );
        assert_eq!(
            VerificationKey::rsa(Algorithm::Rs256, &[0xff; 128], &[1, 0, 1]).err(),
            Some(KeyFault::Rsa)
        );
        assert_eq!(VerificationKey::p256(Algorithm::Es256, &[1; 32], &[1; 32]).err(), Some(KeyFault::P256));
        assert_eq!("none".parse::<Algorithm>(), Err(UnknownAlgorithm));
        assert_eq!("hs256".parse::<Algorithm>(), Err(UnknownAlgorithm), "names are exact (RFC 7515 §4.1.1)");
    }

    #[test]
    fn a_short_secret_is_no_key() {
        let short = Secret::from_bytes(vec![7; 31]).unwrap();
        let fault = VerificationKey::hmac(Algorithm::Hs256, &short).err();
        assert_eq!(fault, Some(KeyFault::Short { algorithm: Algorithm::Hs256, bytes: 31, least: 32 }));
    }

    #[test]
    fn a_key_does_not_print_itself() {
        let key =
            VerificationKey::hmac(Algorithm::Hs256, &Secret::from_bytes(vec![0x5a; 32]).unwrap()).unwrap();
        assert_eq!(format!("{key:?}"), "VerificationKey { algorithm: Hs256, .. }");
    }
}
