//! From the tables of JWT and CAT as typed to their verifiers. Both take HMAC keys from `key`, `transition_key` and
//! `[[property.access.keys]]`, whose names there are the tokens' `kid`, and public keys from JWK sets in files.

use std::sync::Arc;

use toml::Spanned;

use super::{Spoken, fingerprints};
use crate::config::file::access::{Access, Encoding};
use crate::config::file::claims::{JwkSet, Nonce, Profile};
use crate::config::keys::Reader;
use crate::domain::session::verify::SESSION_ID_BYTES_MAX;
use crate::domain::token::address::AddressMatch;
use crate::domain::token::dialect::Verifier;
use crate::domain::token::jwt::jwe::DecryptionKey;
use crate::domain::token::jwt::jwk::{self, Key};
use crate::domain::token::key::Secret;
use crate::domain::token::keys::{Keys, Named, Window};
use crate::domain::token::signature::{Algorithm, Family, IssuerKey, VerificationKey};
use crate::domain::token::{cat, jwt};
use crate::edge::property::{KeyNote, Mark};

/// Names of keys that no token chooses by.
const UNNAMED: [&str; 2] = ["key", "transition_key"];

/// Everything that verifies or decrypts, and the secrets from which sessions' keys may be derived.
struct Collected {
    keys: Vec<Named<Arc<IssuerKey>>>,
    decryption: Vec<DecryptionKey>,
    secrets: Keys<Secret>,
    fingerprints: Vec<KeyNote>,
}

pub(super) fn jwt(
    access: &Spanned<Access>,
    address_match: AddressMatch,
    uses_counted: bool,
    reader: &mut Reader<'_>,
) -> Option<Spoken> {
    let typed = access.get_ref();
    let table = &typed.jwt;
    let parsed = table.algorithm.get_ref().parse::<Algorithm>().ok();
    let Some(algorithm) = parsed.filter(|algorithm| algorithm.family() == Family::Hmac) else {
        reader.judge.fault(
            table.algorithm.span(),
            format!("[property.access.jwt] algorithm = \"{}\" takes no secret", table.algorithm.get_ref()),
            "use HS256, HS384 or HS512; the algorithms of public keys stand in their JWK set",
        );
        return None;
    };
    check_session_id(super::session_id_max(typed), reader);
    let collected = collect(access, algorithm, &table.issuers, &table.jwks, reader)?;
    let profile = match table.profile {
        Profile::UriSigning => jwt::Profile::UriSigning { clear_personal_data: table.clear_personal_data },
        Profile::Plain => jwt::Profile::Plain(jwt::Plain {
            paths_claim: table.paths_claim.clone(),
            session_id_claim: table.session_id_claim.clone(),
            address_claim: table.address_claim.clone(),
            expiry_skew: typed.clock_skew.0,
            start_skew: typed.start_skew.0,
            address_match,
        }),
    };
    let settings = jwt::Settings {
        profile,
        nonce: match table.nonce {
            Nonce::Refuse if uses_counted => jwt::Nonce::Counted,
            Nonce::Refuse => jwt::Nonce::Refused,
            Nonce::Name => jwt::Nonce::Names,
        },
        audiences: table.audiences.clone(),
        expiry_required: table.expiry_required,
        expiry_ahead_max: typed.expiry_ahead_max.map(|span| span.0),
        limits: jwt::Limits {
            token_bytes_max: typed.limits.token.bytes(),
            claims_max: table.claims_max,
            expression_bytes_max: table.expression_max.bytes(),
            program_bytes_max: table.program_max.bytes(),
            session_id_bytes_max: super::session_id_max(typed),
        },
    };
    let verifier = jwt::verify::Verifier::new(settings, Keys::new(collected.keys), collected.decryption);
    Some(Spoken {
        verifier: Verifier::Jwt(verifier),
        keys: collected.secrets,
        fingerprints: collected.fingerprints,
    })
}

pub(super) fn cat(access: &Spanned<Access>, uses_counted: bool, reader: &mut Reader<'_>) -> Option<Spoken> {
    let typed = access.get_ref();
    let table = &typed.cat;
    check_session_id(super::session_id_max(typed), reader);
    let collected = collect(access, Algorithm::Hs256, &table.issuers, &table.jwks, reader)?;
    let label = |text: &String| {
        let Ok(label) = text.parse();
        label
    };
    let settings = cat::Settings {
        audiences: table.audiences.clone(),
        expiry_required: table.expiry_required,
        expiry_skew: typed.clock_skew.0,
        start_skew: typed.start_skew.0,
        expiry_ahead_max: typed.expiry_ahead_max.map(|span| span.0),
        uses_counted,
        claims_ignored: table.claims_ignored.iter().map(label).collect(),
        limits: cat::Limits {
            token_bytes_max: typed.limits.token.bytes(),
            claims_max: table.claims_max,
            items_max: table.items_max,
            expression_bytes_max: table.expression_max.bytes(),
            program_bytes_max: table.program_max.bytes(),
            session_id_bytes_max: super::session_id_max(typed),
        },
    };
    let verifier = cat::verify::Verifier::new(settings, Keys::new(collected.keys));
    Some(Spoken {
        verifier: Verifier::Cat(verifier),
        keys: collected.secrets,
        fingerprints: collected.fingerprints,
    })
}

fn check_session_id(bytes_max: usize, reader: &mut Reader<'_>) {
    if !(1..=SESSION_ID_BYTES_MAX).contains(&bytes_max) {
        reader.judge.fault(
            0..0,
            format!("[property.access] session_id_max = {bytes_max} cannot be kept"),
            "write a number from 1 to 64, the longest session id that a session carries on",
        );
    }
}

fn collect(
    access: &Spanned<Access>,
    algorithm: Algorithm,
    issuers: &[String],
    sets: &[JwkSet],
    reader: &mut Reader<'_>,
) -> Option<Collected> {
    let typed = access.get_ref();
    let has_secrets = typed.key.is_some() || typed.transition_key.is_some() || !typed.keys.is_empty();
    // Without a set, a property without a key is told so as in every dialect.
    let secrets = if has_secrets || sets.is_empty() {
        reader.secrets(access, Encoding::Hex)
    } else {
        Keys::new(Vec::new())
    };
    let mut collected =
        Collected { keys: Vec::new(), decryption: Vec::new(), fingerprints: fingerprints(&secrets), secrets };
    for named in collected.secrets.iter() {
        match VerificationKey::hmac(algorithm, &named.key) {
            Ok(key) => {
                let id = (!UNNAMED.contains(&&*named.name)).then(|| named.name.to_string());
                let key = Arc::new(IssuerKey { id, issuers: issuers.to_vec(), key });
                collected.keys.push(Named { name: named.name.clone(), window: named.window, key });
            }
            Err(fault) => reader.judge.fault(
                access.span(),
                format!("[property.access] the key \"{}\": {fault}", named.name),
                "make one with: openssl rand -hex 32 (HS256), -hex 48 (HS384), -hex 64 (HS512)",
            ),
        }
    }
    for (at, set) in sets.iter().enumerate() {
        take_set(&mut collected, at, set, reader);
    }
    if collected.keys.is_empty() && !reader.judge.has_faults() {
        reader.judge.fault(
            access.span(),
            format!("the JWK sets of the property \"{}\" have no key that verifies", reader.property),
            "add one whose use is sig, or a key",
        );
    }
    (!collected.keys.is_empty()).then_some(collected)
}

fn take_set(collected: &mut Collected, at: usize, set: &JwkSet, reader: &mut Reader<'_>) {
    let path = reader.folder.join(set.file.get_ref());
    let keys =
        std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display())).and_then(
            |text| jwk::parse_set(&text).map_err(|fault| format!("the JWK set {}: {fault}", path.display())),
        );
    let keys = match keys {
        Ok(keys) => keys,
        Err(problem) => {
            reader.judge.fault(
                set.file.span(),
                problem,
                "write {\"keys\": [..]} as RFC 7517 has it, with RSA, P-256, Ed25519 or oct keys",
            );
            return;
        }
    };
    for (index, key) in keys.into_iter().enumerate() {
        match key {
            Key::Decrypts(key) => collected.decryption.push(key),
            Key::Verifies { id, key } => {
                let name: Arc<str> = id.clone().unwrap_or_else(|| format!("jwks-{at}-{index}")).into();
                if collected.keys.iter().any(|other| other.name == name) {
                    reader.judge.fault(
                        set.file.span(),
                        format!("two keys have the kid \"{name}\""),
                        "give each a kid of its own: logs and metrics tell them apart by it",
                    );
                    continue;
                }
                collected.fingerprints.push(KeyNote {
                    name: name.clone(),
                    mark: Mark::Algorithm(key.algorithm().as_str()),
                    window: Window::default(),
                });
                let key = Arc::new(IssuerKey { id, issuers: set.issuers.clone(), key });
                collected.keys.push(Named { name, window: Window::default(), key });
            }
        }
    }
}
