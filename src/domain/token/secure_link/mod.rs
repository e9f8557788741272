//! Secure links, as Azion's *Secure Token* and nginx's `ngx_http_secure_link_module` make them.
//!
//! ```text
//! signature = base64url without padding (MD5 (expression))          expression: $secret$uri$expires, say
//! in a query: /vod/a.m3u8?st=<signature>&e=<unix seconds>            $uri is the path
//! in a path:  /p/<signature>/<unix seconds>/vod/film/360p/a.m3u8      $uri is a directory, with a slash at its end
//! ```
//!
//! * Order, separators and further variables (the client's address, host, a parameter, a header) are the signer's choice
//!   ([`expression::Expression`]). `$uri` is decoded, as nginx has it; the path as it came and its normal form count too.
//! * A token in a path signs a directory: each directory above the object is tried, the nearest first, so that whatever lies
//!   under a signed directory may be fetched with one signature, as HLS needs it.
//! * "If the signature is invalid, the system will return a `403` error. If the signature is valid but the expiration time has
//!   elapsed, the system will return a `410` error." (Azion) The link is good in the second that it names, as in both.
//!
//! What is answered: forgery, as far as MD5 with a secret allows (compared in constant time, one text for one signature); an end
//! that was not signed (an expression without `$expires` is refused where one is read); unbounded work (the depth of a path).
//! What the format cannot answer: digits moved between path and end where nothing stands between them in the expression
//! ([`expression::Expression::is_ambiguous`], told when the configuration is checked; `expiry_ahead_max` bounds it).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq;

use super::dialect::Leading;
use super::explanation::Explanation;
use super::grant::{Clients, Grant, Scope, UnixTime};
use super::key::Secret;
use super::keys::Keys;
use super::presented::{Location, Presented};
use super::reason::Reason;
use super::{base64url, validity};
use crate::domain::uri::{escape, query};
use expression::{Expression, Values};

mod explain;
pub mod expression;

#[cfg(test)]
mod tests;

/// How one property's links are made and judged.
#[derive(Clone, Debug)]
pub struct Settings {
    pub keys: Keys<Secret>,
    pub expression: Expression,
    /// For links in a path; `$uri` is the signed directory.
    pub directory_expression: Expression,
    /// The parameter with the end; `None` for links without one.
    pub expires_name: Option<String>,
    /// What stands before a token in a path: "/p".
    pub path_prefix: Option<String>,
    /// How long after its end a link is still good.
    pub expiry_skew: Duration,
    /// How far ahead its end may lie.
    pub expiry_ahead_max: Option<Duration>,
    /// Directories that are tried for a link in a path.
    pub depth_max: usize,
}

impl Settings {
    /// One key named "key", everything else as Azion has it.
    pub fn with_key(key: Secret) -> Self {
        let expression = "$secret$uri$expires".parse().expect("it is a good one");
        Self { keys: Keys::of([("key", key)]), ..Self::with_expression(expression) }
    }

    /// This expression, and no key yet.
    pub fn with_expression(expression: Expression) -> Self {
        Self {
            keys: Keys::new(Vec::new()),
            directory_expression: expression.clone(),
            expression,
            expires_name: Some("e".to_owned()),
            path_prefix: None,
            expiry_skew: Duration::ZERO,
            expiry_ahead_max: None,
            depth_max: 32,
        }
    }
}

/// Verifies the links of one property.
#[derive(Clone, Debug)]
pub struct Verifier {
    settings: Settings,
}

/// What a request showed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    digest: [u8; 16],
    /// As it was hashed; empty for links without an end.
    expires_text: String,
    expires: Option<u64>,
}

/// Which key signed for what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Matched {
    key_name: Arc<str>,
    uri: String,
}

impl Verifier {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    pub fn key_names(&self) -> Vec<Arc<str>> {
        self.settings.keys.names()
    }

    /// The parameter that belongs to the token beside the signature.
    pub fn expires_name(&self) -> Option<&str> {
        self.settings.expires_name.as_deref()
    }

    pub fn verify(&self, presented: &Presented<'_>, now: UnixTime) -> Result<Grant, Reason> {
        let shown = self.shown(presented)?;
        let matched = self.matching(&shown, presented, now).ok_or(Reason::BadSignature)?;
        self.check_end(&shown, now)?;
        let has_address = self.expression(presented).has_address();
        Ok(Grant {
            scope: scope(presented, &matched.uri),
            expires: shown.expires.unwrap_or(u64::MAX),
            clients: if has_address {
                Clients::Address(presented.client.to_canonical().to_string())
            } else {
                Clients::Any
            },
            session_id: None,
            payload: None,
            nonce: None,
            key_name: matched.key_name,
        })
    }

    pub fn explain(&self, presented: &Presented<'_>, now: UnixTime) -> Explanation {
        explain::explain(self, presented, now)
    }

    /// The signature for these values under the first key that signs at `now`.
    pub fn sign(&self, location: Location, values: &Values<'_>, now: UnixTime) -> String {
        let end = values.expires.parse().map_or(now, Duration::from_secs);
        let key = &self.settings.keys.signing(now, end).key;
        base64url::encode(digest(self.expression_at(location), key, values))
    }

    /// The token at the beginning of a path, after the prefix.
    pub fn leading_token<'a>(&self, raw_path: &'a str) -> Result<Option<Leading<'a>>, Reason> {
        let Some(prefix) = &self.settings.path_prefix else { return Ok(None) };
        let Some(rest) = raw_path.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_prefix('/'))
        else {
            return Ok(None);
        };
        let start = raw_path.len() - rest.len();
        let mut segments = rest.split('/');
        let signature = segments.next().unwrap_or_default();
        let expires = if self.settings.expires_name.is_some() { segments.next() } else { None };
        let has_rest = segments.next().is_some();
        let is_signature = signature_bytes(signature).is_some();
        if !is_signature || !has_rest || expires.is_some_and(|text| number(text).is_none()) {
            // Written with escapes, it would be a token for another reader.
            let disguised = signature.contains('%') || expires.is_some_and(|text| text.contains('%'));
            let decoded = escape::decode(signature);
            let hides = disguised && decoded.is_some_and(|text| signature_bytes(&text).is_some());
            return if hides { Err(Reason::Malformed) } else { Ok(None) };
        }
        let length = signature.len() + expires.map_or(0, |text| text.len() + 1);
        Ok(Some(Leading { bytes: start + length, value: &raw_path[start..start + length] }))
    }

    fn shown(&self, presented: &Presented<'_>) -> Result<Shown, Reason> {
        let (signature, expires_text) = match presented.location {
            Location::Path => match presented.value.split_once('/') {
                Some((signature, expires)) => (Cow::Borrowed(signature), expires.to_owned()),
                None => (Cow::Borrowed(presented.value), String::new()),
            },
            Location::Query | Location::Cookie | Location::Header => {
                let signature = escape::decode(presented.value).ok_or(Reason::Malformed)?;
                (signature, self.expires_in_query(presented)?)
            }
        };
        let digest = signature_bytes(&signature).ok_or(Reason::Malformed)?;
        let expires = match &self.settings.expires_name {
            Some(_) => Some(number(&expires_text).ok_or(Reason::Malformed)?),
            None => None,
        };
        Ok(Shown { digest, expires_text, expires })
    }

    fn expires_in_query(&self, presented: &Presented<'_>) -> Result<String, Reason> {
        let Some(name) = &self.settings.expires_name else { return Ok(String::new()) };
        let mut values = query::values(presented.head.query(), name);
        let first = values.next().ok_or(Reason::Malformed)?;
        if values.any(|value| value != first) {
            return Err(Reason::DuplicateToken);
        }
        Ok(first.to_owned())
    }

    fn matching(&self, shown: &Shown, presented: &Presented<'_>, now: UnixTime) -> Option<Matched> {
        let expression = self.expression(presented);
        for uri in self.uris(presented) {
            let values = Values {
                uri: &uri,
                expires: &shown.expires_text,
                client: presented.client,
                head: presented.head,
            };
            let signed = |key: &Secret| bool::from(digest(expression, key, &values).ct_eq(&shown.digest));
            let signing = self.settings.keys.at(now).find(|named| signed(&named.key));
            if let Some(key_name) = signing.map(|named| named.name.clone()) {
                return Some(Matched { key_name, uri });
            }
        }
        None
    }

    /// The values of `$uri` that a signer may have had.
    fn uris(&self, presented: &Presented<'_>) -> Vec<String> {
        let decoded = escape::decode(presented.path);
        let mut uris: Vec<String> = Vec::new();
        let forms = [decoded.as_deref(), Some(presented.path), Some(presented.raw_path)];
        for path in forms.into_iter().flatten() {
            match presented.location {
                Location::Path => {
                    let slashes = path.match_indices('/').map(|(at, _)| at);
                    let directories = slashes.rev().take(self.settings.depth_max);
                    uris.extend(directories.map(|slash| path[..=slash].to_owned()));
                }
                Location::Query | Location::Cookie | Location::Header => uris.push(path.to_owned()),
            }
        }
        let mut seen = std::collections::HashSet::new();
        uris.retain(|uri| seen.insert(uri.clone()));
        uris
    }

    fn check_end(&self, shown: &Shown, now: UnixTime) -> Result<(), Reason> {
        let Some(expires) = shown.expires else { return Ok(()) };
        // nginx and Azion refuse when the time is greater than the end: the second it names still counts.
        validity::unended(expires.saturating_add(1), self.settings.expiry_skew, now)?;
        validity::near(expires, self.settings.expiry_ahead_max, now)
    }

    fn expression(&self, presented: &Presented<'_>) -> &Expression {
        self.expression_at(presented.location)
    }

    fn expression_at(&self, location: Location) -> &Expression {
        match location {
            Location::Path => &self.settings.directory_expression,
            Location::Query | Location::Cookie | Location::Header => &self.settings.expression,
        }
    }
}

/// A link in a path opens a directory, which an ACL can say unless its name holds what is special there.
fn scope(presented: &Presented<'_>, uri: &str) -> Scope {
    match presented.location {
        Location::Path if presented.path.starts_with(uri) && !uri.contains(['*', '?', '!', '~']) => {
            Scope::Acl(format!("{uri}*"))
        }
        Location::Path => Scope::Condition,
        Location::Query | Location::Cookie | Location::Header => Scope::Url,
    }
}

fn digest(expression: &Expression, key: &Secret, values: &Values<'_>) -> [u8; 16] {
    Md5::digest(expression.hashed(key, values).as_slice()).into()
}

/// The bytes of a signature: 22 digits, with or without the padding that some signers leave on.
fn signature_bytes(text: &str) -> Option<[u8; 16]> {
    let bare = text.strip_suffix("==").unwrap_or(text);
    base64url::decode(bare)?.try_into().ok()
}

/// A time in Unix seconds: decimal digits without a sign, a space, or a leading zero.
fn number(digits: &str) -> Option<u64> {
    let is_plain = (1..=19).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.starts_with('0');
    digits.parse().ok().filter(|_| is_plain)
}
