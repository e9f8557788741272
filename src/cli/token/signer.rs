//! What signs and verifies claims on the command line: a secret, a PEM file, or a JWK (set) in a file.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};

use super::args::SigningArgs;
use super::{BadInput, key};
use crate::domain::token::base64url;
use crate::domain::token::jwt::jwe::{DecryptionKey, Encryption};
use crate::domain::token::jwt::jwk::{self, Key};
use crate::domain::token::key::Secret;
use crate::domain::token::keys::{Keys, Named, Window};
use crate::domain::token::signature::{Algorithm, Family, IssuerKey, VerificationKey};

/// A key that signs, with the one algorithm that it signs by.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    /// `kid`, where the key has one.
    pub(super) id: Option<String>,
    material: Material,
}

enum Material {
    Secret(VerificationKey),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(rsa::KeyPair),
}

/// Everything by which tokens are verified and opened.
pub(super) struct Verifying {
    pub(super) keys: Vec<Named<Arc<IssuerKey>>>,
    pub(super) decryption: Vec<DecryptionKey>,
}

/// What encrypts the claims that RFC 9246 has encrypted.
pub(super) struct Sealing {
    pub(super) id: Option<String>,
    pub(super) encryption: Encryption,
    pub(super) secret: Secret,
}

impl Signer {
    pub(super) fn read(signing: &SigningArgs) -> Result<Self, BadInput> {
        let wanted = algorithm(signing)?;
        let Some(path) = &signing.claims.key_file else {
            let secret = key("key", signing, signing.key.as_deref())?;
            let algorithm = wanted.unwrap_or(Algorithm::Hs256);
            return Self::of_secret(algorithm, None, &secret, "key");
        };
        let text = read(path)?;
        let mut signer = if is_pem(&text) { of_pem(path, &text)? } else { of_jwks(path, &text, signing)? };
        if let Some(wanted) = wanted {
            if wanted.family() != signer.algorithm.family() {
                return Err(BadInput::new(
                    "algo",
                    format_args!("{} does not work with the key in {}", wanted.as_str(), path.display()),
                ));
            }
            signer.algorithm = wanted;
        }
        Ok(signer)
    }

    fn of_secret(
        algorithm: Algorithm,
        id: Option<String>,
        secret: &Secret,
        field: &str,
    ) -> Result<Self, BadInput> {
        let key = VerificationKey::hmac(algorithm, secret).map_err(|fault| BadInput::new(field, fault))?;
        Ok(Self { algorithm, id, material: Material::Secret(key) })
    }

    pub(super) fn sign(&self, data: &[u8]) -> Option<Vec<u8>> {
        match &self.material {
            Material::Secret(key) => key.mac(data),
            Material::P256(pair) => Some(pair.sign(&SystemRandom::new(), data).ok()?.as_ref().to_vec()),
            Material::Ed25519(pair) => Some(pair.sign(data).as_ref().to_vec()),
            Material::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa_encoding(self.algorithm)?, &SystemRandom::new(), data, &mut signature).ok()?;
                Some(signature)
            }
        }
    }

    fn verification(&self) -> Option<VerificationKey> {
        match &self.material {
            Material::Secret(_) => None,
            Material::P256(pair) => VerificationKey::public(self.algorithm, pair.public_key().as_ref()).ok(),
            Material::Ed25519(pair) => {
                VerificationKey::public(self.algorithm, pair.public_key().as_ref()).ok()
            }
            Material::Rsa(pair) => VerificationKey::public(self.algorithm, pair.public_key().as_ref()).ok(),
        }
    }
}

impl Verifying {
    pub(super) fn read(signing: &SigningArgs, secrets: &Keys<Secret>) -> Result<Self, BadInput> {
        let (args, wanted) = (&signing.claims, algorithm(signing)?);
        let of = |id: Option<String>, key| Arc::new(IssuerKey { id, issuers: args.issuer.clone(), key });
        let mut keys = Vec::new();
        let mut decryption = Vec::new();
        for named in secrets.iter() {
            let algorithm =
                wanted.filter(|wanted| wanted.family() == Family::Hmac).unwrap_or(Algorithm::Hs256);
            let key = VerificationKey::hmac(algorithm, &named.key).map_err(|fault| {
                BadInput::new(if &*named.name == "key" { "key" } else { "transition key" }, fault)
            })?;
            let id = args.kid.clone();
            keys.push(Named { name: named.name.clone(), window: Window::default(), key: of(id, key) });
        }
        if let Some(path) = &args.key_file {
            let text = read(path)?;
            let set = if is_pem(&text) {
                vec![Key::Verifies { id: args.kid.clone(), key: public_of_pem(path, &text, wanted)? }]
            } else {
                jwk::parse_set(&as_set(&text))
                    .map_err(|fault| BadInput::new("key file", format_args!("{}: {fault}", path.display())))?
            };
            for key in set {
                match key {
                    Key::Decrypts(key) => decryption.push(key),
                    Key::Verifies { id, key } => {
                        let name = id.clone().unwrap_or_else(|| key.algorithm().as_str().to_owned());
                        keys.push(Named { name: name.into(), window: Window::default(), key: of(id, key) });
                    }
                }
            }
        }
        if keys.is_empty() {
            return Err(BadInput::new("key", "none verifies; give --key, or --key-file with one"));
        }
        Ok(Self { keys, decryption })
    }
}

/// The first key of a JWK set that encrypts.
pub(super) fn sealing(signing: &SigningArgs) -> Result<Option<Sealing>, BadInput> {
    let Some(path) = &signing.claims.key_file else { return Ok(None) };
    let text = read(path)?;
    if is_pem(&text) {
        return Ok(None);
    }
    let found = members(path, &text)?.into_iter().find_map(|key| {
        let encryption = Encryption::named(key["alg"].as_str()?)?;
        let secret = Secret::from_bytes(base64url::decode(key["k"].as_str()?)?).ok()?;
        let id = key["kid"].as_str().map(str::to_owned);
        Some(Sealing { id, encryption, secret })
    });
    Ok(found)
}

/// The algorithm that is asked for; none where the key decides.
fn algorithm(signing: &SigningArgs) -> Result<Option<Algorithm>, BadInput> {
    let Some(name) = signing.algo.as_deref() else { return Ok(None) };
    let parsed = name.to_ascii_uppercase().replace("EDDSA", "EdDSA").parse();
    parsed.map(Some).map_err(|fault| BadInput::new("algo", format_args!("{name:?}: {fault}")))
}

fn read(path: &Path) -> Result<Vec<u8>, BadInput> {
    std::fs::read(path)
        .map_err(|error| BadInput::new("key file", format_args!("cannot read {}: {error}", path.display())))
}

fn is_pem(text: &[u8]) -> bool {
    text.windows(11).any(|window| window == b"-----BEGIN ")
}

fn of_pem(path: &Path, text: &[u8]) -> Result<Signer, BadInput> {
    let bad = |problem: &str| BadInput::new("key file", format_args!("{}: {problem}", path.display()));
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| {
        bad("it holds no private key; to mint give one such as openssl genpkey -algorithm ed25519 writes")
    })?;
    let found = match &key {
        PrivateKeyDer::Pkcs8(der) => {
            let der = der.secret_pkcs8_der();
            let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok();
            let p256 = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok();
            let rsa = || rsa::KeyPair::from_pkcs8(der).ok();
            ed25519
                .map(|pair| (Algorithm::EdDsa, Material::Ed25519(pair)))
                .or_else(|| p256().map(|pair| (Algorithm::Es256, Material::P256(pair))))
                .or_else(|| rsa().map(|pair| (Algorithm::Rs256, Material::Rsa(pair))))
        }
        PrivateKeyDer::Sec1(der) => {
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_sec1_der())
                .ok()
                .map(|pair| (Algorithm::Es256, Material::P256(pair)))
        }
        PrivateKeyDer::Pkcs1(der) => rsa::KeyPair::from_der(der.secret_pkcs1_der())
            .ok()
            .map(|pair| (Algorithm::Rs256, Material::Rsa(pair))),
        _ => None,
    };
    let (algorithm, material) = found.ok_or_else(|| {
        bad("its private key is of no known kind; use Ed25519, P-256 or RSA from 2048 bits on")
    })?;
    Ok(Signer { algorithm, id: None, material })
}

/// The public key of a PEM file, or the public half of its private one.
fn public_of_pem(path: &Path, text: &[u8], wanted: Option<Algorithm>) -> Result<VerificationKey, BadInput> {
    let Ok(public) = SubjectPublicKeyInfoDer::from_pem_slice(text) else {
        let signer = of_pem(path, text)?;
        let algorithm =
            wanted.filter(|wanted| wanted.family() == signer.algorithm.family()).unwrap_or(signer.algorithm);
        return Signer { algorithm, ..signer }.verification().ok_or_else(|| {
            BadInput::new("key file", format_args!("{}: it verifies nothing", path.display()))
        });
    };
    let usual = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];
    let tried: Vec<Algorithm> = wanted.map_or_else(|| usual.to_vec(), |wanted| vec![wanted]);
    tried
        .into_iter()
        .find_map(|algorithm| VerificationKey::public(algorithm, public.as_ref()).ok())
        .ok_or_else(|| {
            BadInput::new(
                "key file",
                format_args!("{}: its public key is of no kind that the algorithm takes", path.display()),
            )
        })
}

/// The keys of a set, or the one key that the file is.
fn members(path: &Path, text: &[u8]) -> Result<Vec<Value>, BadInput> {
    let set: Value = serde_json::from_slice(text).map_err(|_| {
        BadInput::new(
            "key file",
            format_args!("{}: it is neither PEM nor a JWK (set), as RFC 7517 has it", path.display()),
        )
    })?;
    Ok(match set.get("keys") {
        Some(Value::Array(keys)) => keys.clone(),
        Some(_) | None => vec![set],
    })
}

fn as_set(text: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(text) {
        // Text that is a set is judged as it stands: a doubled member has to be seen.
        Ok(one) if one.get("keys").is_none() => json!({ "keys": [one] }).to_string().into_bytes(),
        Ok(_) | Err(_) => text.to_vec(),
    }
}

/// The first key of a set that signs, or the one that `--kid` names.
fn of_jwks(path: &Path, text: &[u8], signing: &SigningArgs) -> Result<Signer, BadInput> {
    let wanted = signing.claims.kid.as_deref();
    let fits = |key: &&Value| wanted.is_none_or(|id| key["kid"].as_str().is_none_or(|own| own == id));
    for key in members(path, text)?.iter().filter(fits) {
        if let Some(signer) = of_jwk(path, key)? {
            return Ok(signer);
        }
    }
    Err(BadInput::new(
        "key file",
        format_args!(
            "{}: no key in it signs; give one of EC (P-256) or OKP (Ed25519) with d, or of oct, or an RSA key in PEM",
            path.display()
        ),
    ))
}

fn of_jwk(path: &Path, key: &Value) -> Result<Option<Signer>, BadInput> {
    let bad = |problem: &str| BadInput::new("key file", format_args!("{}: {problem}", path.display()));
    let text = |name: &str| key[name].as_str();
    let bytes = |name: &str| text(name).and_then(base64url::decode).unwrap_or_default();
    let id = text("kid").map(str::to_owned);
    let made = match (text("kty"), text("crv")) {
        (Some("oct"), _) if text("alg").and_then(Encryption::named).is_none() => {
            let secret = Secret::from_bytes(bytes("k")).map_err(|_| bad("k is no text in base64url"))?;
            let named = text("alg").unwrap_or("HS256");
            let algorithm = named.parse().map_err(|fault| bad(&format!("alg {named:?}: {fault}")))?;
            return Signer::of_secret(algorithm, id, &secret, "key file").map(Some);
        }
        (Some("EC"), Some("P-256")) if text("d").is_some() => {
            let point = [&[4][..], &bytes("x"), &bytes("y")].concat();
            let pair = EcdsaKeyPair::from_private_key_and_public_key(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                &bytes("d"),
                &point,
            );
            (Algorithm::Es256, Material::P256(pair.map_err(|_| bad("d, x and y are no pair of keys"))?))
        }
        (Some("OKP"), Some("Ed25519")) if text("d").is_some() => {
            let pair = Ed25519KeyPair::from_seed_and_public_key(&bytes("d"), &bytes("x"));
            (Algorithm::EdDsa, Material::Ed25519(pair.map_err(|_| bad("d and x are no pair of keys"))?))
        }
        (_, _) => return Ok(None),
    };
    let (algorithm, material) = made;
    Ok(Some(Signer { algorithm, id, material }))
}

fn rsa_encoding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_SHA512),
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 | Algorithm::Es256 | Algorithm::EdDsa => None,
    }
}
