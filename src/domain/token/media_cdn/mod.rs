//! Tokens of Google's Media CDN, as its documentation (*Generate tokens*) and its published samples make them.
//!
//! ```text
//! token        = PathGlobs=G | URLPrefix=B(url) | FullPath, [Starts=N], Expires=N, [SessionID=S], [Data=D],
//!                [Headers=Name,Name], [IPRanges=B(cidr,cidr)], Signature=B(ed25519) | hmac=<hex>        joined by "~"
//! signed value = the same without the last field, where FullPath=<path> stands for FullPath,
//!                and Headers=Name=value,Name=value for the names alone
//! B            = base64url without padding
//! ```
//!
//! * Fields stand in any order, each once, whatever the spelling: `paths` and `acl` are `PathGlobs`, `id` is `SessionID`, `data` and
//!   `payload` are `Data`; `exp` and `st` are read for `Expires` and `Starts`, so that the signers of `EdgeAuth` can be kept.
//! * The older *signatures* are read, too, as far as they are one value: joined by `:` in a cookie and by `&` in a component of
//!   the path, with `KeyName`. In a path without a field that says what is signed, the URL before the component is.
//! * `PathGlobs` are patterns as [`super::acl`] has them, separated by `,` or by `!`, not by both. `URLPrefix` holds scheme and
//!   host. Names of headers are compared as HTTP does; a header that is signed and not sent refuses.
//!
//! What is answered: forgery (Ed25519, or HMAC compared in constant time; which of them may be used is configuration, and a key is
//! used as one of them only); a value that carries further fields (strict parsing of the very text that verified); unbounded
//! work (limits before the first signature).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use http::HeaderMap;

use super::explanation::Explanation;
use super::grant::{Clients, Grant, Scope, UnixTime};
use super::key::{Algorithm, Digest, Secret, Signer};
use super::keys::Keys;
use super::presented::{Location, Presented};
use super::reason::Reason;
use super::{acl, address, validity};
use crate::domain::uri::escape;
use fields::{Fields, Opens, Proof};

mod explain;
pub mod fields;
pub mod sign;

#[cfg(test)]
mod tests;

/// A key that verifies, as one kind of key only.
#[derive(Clone)]
pub enum Key {
    /// A shared secret.
    Shared(Box<SharedKey>),
    /// Ed25519.
    Public([u8; 32]),
}

/// One secret, prepared for either hash.
#[derive(Clone)]
pub struct SharedKey {
    sha256: Signer,
    sha1: Signer,
}

impl Key {
    pub fn shared(secret: &Secret) -> Self {
        let signer = |algorithm| Signer::new(secret, algorithm);
        Self::Shared(Box::new(SharedKey { sha256: signer(Algorithm::Sha256), sha1: signer(Algorithm::Sha1) }))
    }

    /// The 32 bytes of a public key, alone or in the `SubjectPublicKeyInfo` that openssl writes (RFC 8410 §4).
    pub fn public(bytes: &[u8]) -> Option<Self> {
        const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        bytes.strip_prefix(&SPKI).unwrap_or(bytes).try_into().ok().map(Self::Public)
    }

    fn verifies(&self, signed: &[u8], proof: &Proof, algorithms: Algorithms) -> bool {
        match (self, proof) {
            (Self::Public(key), Proof::Signature(signature)) => {
                algorithms.ed25519 && UnparsedPublicKey::new(&ED25519, key).verify(signed, signature).is_ok()
            }
            (Self::Shared(key), Proof::Hmac(Algorithm::Sha256, digest)) => {
                algorithms.hmac_sha256 && key.sha256.verifies(&[signed], digest)
            }
            (Self::Shared(key), Proof::Hmac(Algorithm::Sha1, digest)) => {
                algorithms.hmac_sha1 && key.sha1.verifies(&[signed], digest)
            }
            (Self::Public(_), Proof::Hmac(..))
            | (Self::Shared(_), Proof::Signature(_) | Proof::Hmac(Algorithm::Md5, _)) => false,
        }
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Which proofs count. A token never chooses among those that do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithms {
    pub ed25519: bool,
    pub hmac_sha256: bool,
    pub hmac_sha1: bool,
}

/// How one property's tokens are judged.
#[derive(Clone, Debug)]
pub struct Settings {
    pub keys: Keys<Key>,
    pub algorithms: Algorithms,
    /// How long after `Expires` a token is still good.
    pub expiry_skew: Duration,
    /// How long before `Starts` it is already good.
    pub start_skew: Duration,
    /// How far ahead `Expires` may lie.
    pub expiry_ahead_max: Option<Duration>,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub token_bytes_max: usize,
    pub fields_max: usize,
    /// Patterns, headers, address ranges: of each.
    pub list_max: usize,
    pub session_id_bytes_max: usize,
}

impl Settings {
    pub fn with_keys(keys: Keys<Key>) -> Self {
        Self {
            keys,
            algorithms: Algorithms { ed25519: true, hmac_sha256: true, hmac_sha1: false },
            expiry_skew: Duration::ZERO,
            start_skew: Duration::from_secs(5),
            expiry_ahead_max: None,
            limits: Limits { token_bytes_max: 4096, fields_max: 16, list_max: 32, session_id_bytes_max: 64 },
        }
    }
}

/// Verifies the tokens of one property.
#[derive(Clone, Debug)]
pub struct Verifier {
    settings: Settings,
}

/// The text that verified.
struct Matched<'a> {
    text: Cow<'a, str>,
    key_name: Arc<str>,
    signed: String,
}

impl Verifier {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    pub fn key_names(&self) -> Vec<Arc<str>> {
        self.settings.keys.names()
    }

    pub fn verify(&self, presented: &Presented<'_>, now: UnixTime) -> Result<Grant, Reason> {
        let matched = self.matching(presented, now)?;
        let fields = self.parsed(&matched.text)?;
        for (_, check) in Self::CHECKS {
            check(self, &fields, presented, now)?;
        }
        Ok(Grant {
            scope: scope(&fields, presented),
            expires: fields.expires,
            clients: match &fields.networks {
                Some(networks) => Clients::Networks(networks.clone()),
                None => Clients::Any,
            },
            session_id: fields.session_id.map(str::to_owned),
            payload: fields.data.map(str::to_owned),
            nonce: None,
            key_name: matched.key_name,
        })
    }

    pub fn explain(&self, presented: &Presented<'_>, now: UnixTime) -> Explanation {
        explain::explain(self, presented, now)
    }

    /// The policy, in the order in which it is judged once a key has verified.
    const CHECKS: [Check; 6] = [
        ("times", |_, fields, _, _| validity::in_order(fields.starts, fields.expires)),
        ("start", |this, fields, _, now| validity::begun(fields.starts, this.settings.start_skew, now)),
        ("expiry", |this, fields, _, now| validity::unended(fields.expires, this.settings.expiry_skew, now)),
        ("expiry ahead", |this, fields, _, now| {
            validity::near(fields.expires, this.settings.expiry_ahead_max, now)
        }),
        ("ip", |_, fields, presented, _| {
            let admits = fields.networks.as_ref().is_none_or(|networks| {
                networks.iter().any(|network| address::holds(network, presented.client))
            });
            if admits { Ok(()) } else { Err(Reason::IpMismatch) }
        }),
        ("path", |_, fields, presented, _| match &fields.opens {
            // The path, or the URL before the token, was part of what was signed.
            Opens::FullPath | Opens::Component => Ok(()),
            Opens::Globs(globs) if acl::covers(&acl::normalise(globs), presented.path) => Ok(()),
            Opens::Globs(_) => Err(Reason::AclMismatch),
            Opens::Prefix(prefix) if is_under(prefix, presented) => Ok(()),
            Opens::Prefix(_) => Err(Reason::UrlMismatch),
        }),
    ];

    /// The form of the presented text that a key verifies: as it came, or decoded once.
    fn matching<'a>(&self, presented: &Presented<'a>, now: UnixTime) -> Result<Matched<'a>, Reason> {
        if presented.value.len() > self.settings.limits.token_bytes_max {
            return Err(Reason::Malformed);
        }
        let decoded = escape::decode(presented.value).filter(|decoded| decoded != presented.value);
        let mut refusal = Reason::Malformed;
        for text in [Some(Cow::Borrowed(presented.value)), decoded].into_iter().flatten() {
            let Ok(fields) = self.parsed(&text) else { continue };
            if !self.allows(&fields.proof) {
                continue;
            }
            // Where a URL is part of what was signed, another URL is the likely cause.
            refusal = match fields.opens {
                Opens::FullPath | Opens::Component => Reason::UrlMismatch,
                Opens::Globs(_) | Opens::Prefix(_) => Reason::BadSignature,
            };
            let found = signed_values(&fields, &text, presented)
                .into_iter()
                .find_map(|signed| Some((self.key_that_signed(&fields, &signed, now)?, signed)));
            if let Some((key_name, signed)) = found {
                return Ok(Matched { text, key_name, signed });
            }
        }
        Err(refusal)
    }

    fn allows(&self, proof: &Proof) -> bool {
        let algorithms = self.settings.algorithms;
        match proof {
            Proof::Signature(_) => algorithms.ed25519,
            Proof::Hmac(Algorithm::Sha256, _) => algorithms.hmac_sha256,
            Proof::Hmac(Algorithm::Sha1, _) => algorithms.hmac_sha1,
            Proof::Hmac(Algorithm::Md5, _) => false,
        }
    }

    fn key_that_signed(&self, fields: &Fields<'_>, signed: &str, now: UnixTime) -> Option<Arc<str>> {
        let (algorithms, proof) = (self.settings.algorithms, &fields.proof);
        let is_meant = |name: &str| fields.key_name.is_none_or(|meant| meant == name);
        let mut keys = self.settings.keys.at(now).filter(|named| is_meant(&named.name));
        let found = keys.find(|named| named.key.verifies(signed.as_bytes(), proof, algorithms));
        found.map(|named| named.name.clone())
    }

    fn parsed<'t>(&self, text: &'t str) -> Result<Fields<'t>, Reason> {
        let limits = &self.settings.limits;
        let fields = Fields::parse(text, limits).map_err(|_| Reason::Malformed)?;
        let id_fits = fields.session_id.is_none_or(|id| {
            id.len() <= limits.session_id_bytes_max && id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        });
        if id_fits { Ok(fields) } else { Err(Reason::Malformed) }
    }
}

/// One step of the policy: its name, and the step.
type Check = (&'static str, fn(&Verifier, &Fields<'_>, &Presented<'_>, UnixTime) -> Result<(), Reason>);

/// What may have been signed for this request.
fn signed_values(fields: &Fields<'_>, text: &str, presented: &Presented<'_>) -> Vec<String> {
    let Some(headers) =
        fields.headers.as_ref().map_or(Some(String::new()), |names| pairs(names, presented.head.headers))
    else {
        return Vec::new();
    };
    match &fields.opens {
        Opens::FullPath => {
            let decoded = escape::decode(presented.path);
            let mut paths = vec![presented.raw_path, presented.path];
            paths.extend(decoded.as_deref());
            paths.dedup();
            paths.into_iter().map(|path| fields.signed_value(text, path, &headers)).collect()
        }
        Opens::Component => match before_token(presented) {
            Some(before) => vec![format!("{before}{}", fields.signed_value(text, "", &headers))],
            None => Vec::new(),
        },
        Opens::Globs(_) | Opens::Prefix(_) => vec![fields.signed_value(text, "", &headers)],
    }
}

/// `Name=value,Name=value`; `None` when one of them was not sent.
fn pairs(names: &[&str], headers: &HeaderMap) -> Option<String> {
    let mut out = String::new();
    for name in names {
        let mut values = headers.get_all(*name).iter().map(|value| value.to_str().ok());
        let mut joined = values.next()??.to_owned();
        for value in values {
            joined.push(',');
            joined.push_str(value?);
        }
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(&joined);
    }
    Some(out)
}

/// The URL up to the token that stands in the path, the component's name included.
fn before_token(presented: &Presented<'_>) -> Option<String> {
    let url = presented.head.url();
    let at = url.find(presented.value).filter(|_| presented.location == Location::Path)?;
    Some(url[..at].to_owned())
}

/// Whether the URL that was asked for, without its tokens, begins with what was signed.
fn is_under(prefix: &str, presented: &Presented<'_>) -> bool {
    let Some((scheme, rest)) = prefix.split_once("://") else { return false };
    let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    let asked = match presented.query {
        "" => Cow::Borrowed(presented.path),
        query => Cow::Owned(format!("{}?{query}", presented.path)),
    };
    // The host is compared whole: a prefix that ends in its name covers no longer name.
    scheme.eq_ignore_ascii_case(presented.head.scheme)
        && authority.eq_ignore_ascii_case(presented.head.authority)
        && asked.starts_with(path)
}

fn scope(fields: &Fields<'_>, presented: &Presented<'_>) -> Scope {
    let is_plain = |path: &str| path.starts_with('/') && !path.contains(['*', '?', '!', '~']);
    match &fields.opens {
        Opens::Globs(globs) => Scope::Acl(globs.clone()),
        Opens::FullPath => Scope::Url,
        Opens::Prefix(prefix) => {
            let path = prefix.split_once("://").and_then(|(_, rest)| Some(&rest[rest.find('/')?..]));
            match path {
                Some(path) if is_plain(path) => Scope::Acl(format!("{path}*")),
                Some(_) | None => Scope::Condition,
            }
        }
        Opens::Component => {
            let target = presented.head.target;
            let component = target.find(presented.value).and_then(|at| target[..at].rfind('/'));
            match component.map(|slash| &target[..=slash]) {
                Some(before) if is_plain(before) && presented.path.starts_with(before) => {
                    Scope::Acl(format!("{before}*"))
                }
                Some(_) | None => Scope::Condition,
            }
        }
    }
}

fn digest_of(hex: &str) -> Option<(Algorithm, Digest)> {
    let mut algorithms = [Algorithm::Sha256, Algorithm::Sha1].into_iter();
    algorithms.find_map(|algorithm| Some((algorithm, Digest::from_hex(hex, algorithm)?)))
}
