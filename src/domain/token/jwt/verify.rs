//! Verifying: the signature first, by a key that the header can only choose among ours; then the claims; then the policy.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::claims::{self, Claims};
use super::compact::{self, Compact};
use super::judge::Judged;
use super::jwe::DecryptionKey;
use super::{Plain, Profile, Settings};
use crate::domain::token::explanation::Explanation;
use crate::domain::token::grant::{Clients, Grant, Scope, UnixTime};
use crate::domain::token::judged_uri::JudgedUri;
use crate::domain::token::keys::{Keys, Named};
use crate::domain::token::presented::Presented;
use crate::domain::token::reason::Reason;
use crate::domain::token::signature::{Algorithm, IssuerKey};
use crate::domain::uri::escape;

/// Verifies the JWTs of one property.
#[derive(Clone)]
pub struct Verifier {
    pub(super) settings: Settings,
    keys: Keys<Arc<IssuerKey>>,
    pub(super) decryption: Arc<[DecryptionKey]>,
}

/// A token whose signature holds.
pub(super) struct Matched<'a> {
    pub(super) compact: Compact<'a>,
    pub(super) key: &'a Named<Arc<IssuerKey>>,
}

impl Verifier {
    /// # Panics
    /// Without a key: nothing may be verified with none, so the configuration has to refuse that before.
    pub fn new(settings: Settings, keys: Keys<Arc<IssuerKey>>, decryption: Vec<DecryptionKey>) -> Self {
        assert!(!keys.is_empty(), "a property that verifies tokens has a key");
        Self { settings, keys, decryption: decryption.into() }
    }

    pub fn key_names(&self) -> Vec<Arc<str>> {
        self.keys.names()
    }

    /// Whether the token is good for this request at `now`.
    pub fn verify(&self, presented: &Presented<'_>, now: UnixTime) -> Result<Grant, Reason> {
        let text = transported(presented.value);
        let matched = self.matching(&text, now).map_err(|blame| blame.reason())?;
        let claims = Claims::parse(&matched.compact.claims, self.settings.limits.claims_max)
            .map_err(|_| Reason::Malformed)?;
        let judged = self.judged(&claims, &matched, presented, now);
        for (_, check) in self.checks() {
            check(&judged)?;
        }
        self.grant(&judged)
    }

    /// Judges as [`Verifier::verify`] does, and tells the whole story.
    pub fn explain(&self, presented: &Presented<'_>, now: UnixTime) -> Explanation {
        let mut explanation = Explanation::default();
        let text = transported(presented.value);
        let matched = match self.matching(&text, now) {
            Ok(matched) => matched,
            Err(blame) => {
                explanation.failed("signature", blame.reason(), blame.to_string());
                explanation.cures.extend(self.cure(&blame));
                return explanation.concluded();
            }
        };
        explanation.key = Some(matched.key.name.to_string());
        explanation.string_to_sign = Some(matched.compact.signed.to_owned());
        explanation.passed(
            "signature",
            format!("{} with {}", matched.key.key.key.algorithm().as_str(), matched.key.name),
        );
        match Claims::parse(&matched.compact.claims, self.settings.limits.claims_max) {
            Ok(claims) => {
                let names = claims.names().collect::<Vec<_>>().join(", ");
                explanation.passed("claims", format!("each once: {names}"));
                let judged = self.judged(&claims, &matched, presented, now);
                for (name, check) in self.checks() {
                    let detail = judged.detail(name);
                    match check(&judged) {
                        Ok(()) => explanation.passed(name, detail),
                        Err(reason) => {
                            explanation.failed(name, reason, detail);
                            explanation.cures.extend(judged.cure(name));
                        }
                    }
                }
            }
            Err(fault) => explanation.failed("claims", Reason::Malformed, fault.to_string()),
        }
        explanation.concluded()
    }

    fn judged<'a>(
        &'a self,
        claims: &'a Claims,
        matched: &Matched<'a>,
        presented: &Presented<'a>,
        now: UnixTime,
    ) -> Judged<'a> {
        Judged {
            verifier: self,
            claims,
            key: matched.key,
            client: presented.client,
            path: presented.path,
            uri: JudgedUri::of(presented),
            now,
        }
    }

    fn matching<'a>(&'a self, text: &'a str, now: UnixTime) -> Result<Matched<'a>, Blame> {
        let compact = Compact::parse(text, self.settings.limits)?;
        let algorithm: Algorithm = compact
            .header
            .algorithm
            .parse()
            .map_err(|_| Blame::Algorithm(compact.header.algorithm.clone()))?;
        let id = compact.header.key_id.as_deref();
        let mut is_known = false;
        for named in self.keys.at(now) {
            let key = &named.key;
            if id.is_some() && key.id.is_some() && key.id.as_deref() != id {
                continue;
            }
            is_known = true;
            if key.key.algorithm() == algorithm
                && key.key.verifies(compact.signed.as_bytes(), &compact.signature)
            {
                return Ok(Matched { compact, key: named });
            }
        }
        Err(if is_known { Blame::Signature(algorithm) } else { Blame::KeyId(compact.header.key_id) })
    }

    fn grant(&self, judged: &Judged<'_>) -> Result<Grant, Reason> {
        let claims = judged.claims;
        let (scope, clients) = match &self.settings.profile {
            Profile::UriSigning { .. } => {
                let clients = match &claims.client {
                    Some(_) => Clients::Networks(vec![judged.network().ok_or(Reason::Malformed)?]),
                    None => Clients::Any,
                };
                // A hash is one URI; an expression has no text that an ACL could say.
                let is_hash = claims.container.as_deref().is_some_and(|text| text.starts_with("hash:"));
                (if is_hash { Scope::Url } else { Scope::Condition }, clients)
            }
            Profile::Plain(plain) => {
                (Scope::Acl(judged.acl(plain).ok_or(Reason::Malformed)?), judged.plain_clients(plain)?)
            }
        };
        Ok(Grant {
            scope,
            expires: claims.expires.unwrap_or(u64::MAX),
            clients,
            session_id: self.session_id(judged)?,
            payload: None,
            nonce: Some(judged.claims.own_nonce()),
            key_name: judged.key.name.clone(),
        })
    }

    pub(super) fn session_id(&self, judged: &Judged<'_>) -> Result<Option<String>, Reason> {
        let id = match &self.settings.profile {
            Profile::UriSigning { .. } => judged.subject().or_else(|| judged.claims.nonce.clone()),
            Profile::Plain(Plain { session_id_claim, .. }) => {
                judged.claims.text(session_id_claim).map(str::to_owned)
            }
        };
        let fits = id.as_deref().is_none_or(|id| {
            id.len() <= self.settings.limits.session_id_bytes_max
                && id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        });
        if fits { Ok(id.filter(|id| !id.is_empty())) } else { Err(Reason::Malformed) }
    }

    /// What would have to change for the signature to hold.
    fn cure(&self, blame: &Blame) -> Option<String> {
        let names =
            self.keys.iter().map(|named| format!("{} ({})", named.name, named.key.key.algorithm().as_str()));
        let names = names.collect::<Vec<_>>().join(", ");
        match blame {
            Blame::Compact(_) => None,
            Blame::Algorithm(_) | Blame::KeyId(_) => {
                Some(format!("sign with one of the keys that are known here: {names}"))
            }
            Blame::Signature(_) => {
                Some(format!("give the key, or the public half of it, that signed; known here: {names}"))
            }
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why no key verified a token.
#[derive(Debug, thiserror::Error)]
enum Blame {
    #[error("{0}")]
    Compact(#[from] compact::Fault),
    #[error("alg {0:?} is no algorithm of ours")]
    Algorithm(String),
    #[error("no key of ours has the kid {}", .0.as_deref().unwrap_or_default())]
    KeyId(Option<String>),
    #[error("no key for {} made this signature", .0.as_str())]
    Signature(Algorithm),
}

impl Blame {
    fn reason(&self) -> Reason {
        match self {
            Self::Compact(_) => Reason::Malformed,
            Self::Algorithm(_) | Self::KeyId(_) | Self::Signature(_) => Reason::BadSignature,
        }
    }
}

/// The token with the escapes that a player may have put on its dots taken off; once, as everywhere.
fn transported(value: &str) -> Cow<'_, str> {
    escape::decode(value).unwrap_or(Cow::Borrowed(value))
}

impl From<claims::Fault> for Reason {
    fn from(_: claims::Fault) -> Self {
        Self::Malformed
    }
}

/// One step of the policy: its name, and the step.
pub(super) type Check = (&'static str, fn(&Judged<'_>) -> Result<(), Reason>);

impl Verifier {
    /// The policy, in the order in which it is judged once the signature holds.
    fn checks(&self) -> &'static [Check] {
        match self.settings.profile {
            Profile::UriSigning { .. } => &Judged::URI_SIGNING,
            Profile::Plain(_) => &Judged::PLAIN,
        }
    }
}
