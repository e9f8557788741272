//! Verifying: the MAC or signature first, by a key that the header can only choose among ours; then the claims; then the policy.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::Settings;
use super::claims::Claims;
use super::cose::{self, Envelope};
use super::judge::Judged;
use crate::domain::token::explanation::Explanation;
use crate::domain::token::grant::{Grant, UnixTime};
use crate::domain::token::keys::{Keys, Named};
use crate::domain::token::presented::Presented;
use crate::domain::token::reason::Reason;
use crate::domain::token::signature::{Algorithm, IssuerKey};
use crate::domain::uri::escape;
use crate::domain::uri::hex::hex;

/// Verifies the Common Access Tokens of one property.
#[derive(Clone)]
pub struct Verifier {
    pub(super) settings: Settings,
    keys: Keys<Arc<IssuerKey>>,
}

struct Matched<'a> {
    envelope: Envelope,
    key: &'a Named<Arc<IssuerKey>>,
}

impl Verifier {
    /// # Panics
    /// Without a key: nothing may be verified with none, so the configuration has to refuse that before.
    pub fn new(settings: Settings, keys: Keys<Arc<IssuerKey>>) -> Self {
        assert!(!keys.is_empty(), "a property that verifies tokens has a key");
        Self { settings, keys }
    }

    pub fn key_names(&self) -> Vec<Arc<str>> {
        self.keys.names()
    }

    /// Whether the token is good for this request at `now`.
    pub fn verify(&self, presented: &Presented<'_>, now: UnixTime) -> Result<Grant, Reason> {
        let text = transported(presented.value);
        let matched = self.matching(&text, now).map_err(|blame| blame.reason())?;
        let claims = self.claims(&matched).map_err(|_| Reason::Malformed)?;
        let judged = Judged { verifier: self, claims: &claims, key: matched.key, presented, now };
        for (_, check) in Judged::CHECKS {
            check(&judged)?;
        }
        Ok(Grant {
            scope: judged.scope(),
            expires: claims.expires.unwrap_or(u64::MAX),
            clients: judged.clients(),
            session_id: self.session_id(&claims)?,
            payload: None,
            nonce: Some(claims.own_nonce()),
            key_name: matched.key.name.clone(),
        })
    }

    /// Judges as [`Verifier::verify`] does, and tells the whole story.
    pub fn explain(&self, presented: &Presented<'_>, now: UnixTime) -> Explanation {
        let mut explanation = Explanation::default();
        let text = transported(presented.value);
        let matched = match self.matching(&text, now) {
            Ok(matched) => matched,
            Err(blame) => {
                explanation.failed("signature", blame.reason(), blame.to_string());
                if blame.reason() == Reason::BadSignature {
                    let names = self
                        .keys
                        .iter()
                        .map(|named| format!("{} ({})", named.name, named.key.key.algorithm().as_str()));
                    let names = names.collect::<Vec<_>>().join(", ");
                    explanation.cures.push(format!("sign with one of the keys that are known here: {names}"));
                }
                return explanation.concluded();
            }
        };
        let form = if matched.envelope.is_mac { "as a COSE_Mac0" } else { "as a COSE_Sign1" };
        explanation.form = Some(form.to_owned());
        explanation.key = Some(matched.key.name.to_string());
        explanation.string_to_sign = Some(hex(&matched.envelope.signed));
        explanation.passed(
            "signature",
            format!("{} with {}", matched.envelope.algorithm.as_str(), matched.key.name),
        );
        match self.claims(&matched) {
            Ok(claims) => {
                let labels = claims.labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                explanation.passed("claims", format!("each once: {labels}"));
                let judged = Judged { verifier: self, claims: &claims, key: matched.key, presented, now };
                for (name, check) in Judged::CHECKS {
                    let detail = judged.detail(name);
                    match check(&judged) {
                        Ok(()) => explanation.passed(name, detail),
                        Err(reason) => {
                            explanation.failed(name, reason, detail);
                            explanation.cures.extend(judged.cure(name).map(str::to_owned));
                        }
                    }
                }
            }
            Err(fault) => {
                explanation.failed("claims", Reason::Malformed, fault.to_string());
                if let super::claims::Fault::NotJudged(label) = fault {
                    explanation.cures.push(format!(
                        "leave {label} out, or list it in claims_ignored if nothing is lost when it is passed over"
                    ));
                }
            }
        }
        explanation.concluded()
    }

    fn claims(&self, matched: &Matched<'_>) -> Result<Claims, super::claims::Fault> {
        Claims::parse(&matched.envelope.claims, &self.settings.claims_ignored, self.settings.limits)
    }

    fn matching(&self, text: &str, now: UnixTime) -> Result<Matched<'_>, Blame> {
        let envelope = Envelope::parse(text, self.settings.limits)?;
        let id = envelope.key_id.as_deref();
        let mut is_known = false;
        for named in self.keys.at(now) {
            let key = &named.key;
            if id.is_some() && key.id.is_some() && key.id.as_deref().map(str::as_bytes) != id {
                continue;
            }
            is_known = true;
            if key.key.algorithm() == envelope.algorithm
                && key.key.verifies(&envelope.signed, &envelope.signature)
            {
                return Ok(Matched { envelope, key: named });
            }
        }
        Err(if is_known {
            Blame::Signature(envelope.algorithm)
        } else {
            Blame::KeyId(String::from_utf8_lossy(id.unwrap_or_default()).into_owned())
        })
    }

    /// The subject, or the token's own id in hex.
    pub(super) fn session_id(&self, claims: &Claims) -> Result<Option<String>, Reason> {
        let id = claims.subject.clone().or_else(|| claims.id.as_deref().map(hex));
        let fits = id.as_deref().is_none_or(|id| {
            id.len() <= self.settings.limits.session_id_bytes_max
                && id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        });
        if fits { Ok(id.filter(|id| !id.is_empty())) } else { Err(Reason::Malformed) }
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
    Envelope(#[from] cose::Fault),
    #[error("no key of ours has the kid {0:?}")]
    KeyId(String),
    #[error("no key for {} made this signature", .0.as_str())]
    Signature(Algorithm),
}

impl Blame {
    fn reason(&self) -> Reason {
        match self {
            // Another algorithm than ours is a signature that does not count, as in every dialect.
            Self::Envelope(cose::Fault::Algorithm) | Self::KeyId(_) | Self::Signature(_) => {
                Reason::BadSignature
            }
            Self::Envelope(_) => Reason::Malformed,
        }
    }
}

/// The token with the escapes that a player may have put on its padding taken off; once, as everywhere.
fn transported(value: &str) -> Cow<'_, str> {
    escape::decode(value).unwrap_or(Cow::Borrowed(value))
}
