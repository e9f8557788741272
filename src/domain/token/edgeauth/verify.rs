//! Verifying: HMAC first, then strict parsing of the string that matched, then the policy.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::dialect::Dialect;
use super::fields::{Fields, Writing, has_acl, split_hmac};
use super::{Delimiters, Settings};
use crate::domain::token::acl;
use crate::domain::token::grant::{Clients, Grant, Scope, UnixTime};
use crate::domain::token::key::{Digest, Secret, Signer};
use crate::domain::token::keys::Keys;
use crate::domain::token::presented::Presented;
use crate::domain::token::reason::Reason;
use crate::domain::token::validity;
use crate::domain::uri::escape;

/// Verifies the access tokens of one property.
#[derive(Clone)]
pub struct Verifier {
    pub(super) settings: Settings,
    keys: Keys<Signer>,
}

/// The presented string in the form whose HMAC matched.
#[derive(Debug)]
pub(super) struct Matched<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) form: Form,
    pub(super) signed_bytes: usize,
    pub(super) url: Option<String>,
    pub(super) key_name: Arc<str>,
}

impl Matched<'_> {
    pub(super) fn signed(&self) -> &str {
        &self.text[..self.signed_bytes]
    }
}

/// What players and frameworks make of a token on its way; each is undone and tried, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    AsPresented,
    Decoded,
    /// `GStreamer` turns `%2f` into `%2F`.
    LowerCased,
    /// The signer's own escapes were decoded on the way.
    EscapedAgain(Dialect),
}

impl Form {
    pub(super) const ALL: [Self; 6] = [
        Self::AsPresented,
        Self::Decoded,
        Self::LowerCased,
        Self::EscapedAgain(Dialect::Java),
        Self::EscapedAgain(Dialect::Python),
        Self::EscapedAgain(Dialect::Node),
    ];

    /// `value` in this form, or `None` where it has none of its own.
    fn of(self, value: &str, delimiter: char) -> Option<Cow<'_, str>> {
        match self {
            Self::AsPresented => Some(Cow::Borrowed(value)),
            Self::Decoded => escape::decode(value),
            Self::LowerCased => Some(Cow::Owned(lower_escapes(value))),
            Self::EscapedAgain(dialect) => {
                Some(Cow::Owned(escape_values(&escape::decode(value)?, dialect, delimiter)))
            }
        }
    }
}

fn lower_escapes(value: &str) -> String {
    let mut text = value.to_owned();
    for (at, _) in value.match_indices('%') {
        if let Some(digits) = text.get_mut(at + 1..at + 3) {
            digits.make_ascii_lowercase();
        }
    }
    text
}

fn escape_values(token: &str, dialect: Dialect, delimiter: char) -> String {
    let mut out = String::with_capacity(token.len() + 16);
    for (index, field) in token.split(delimiter).enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        match field.split_once('=') {
            Some((name, value)) => {
                out.push_str(name);
                out.push('=');
                dialect.escape_into(&mut out, value);
            }
            None => dialect.escape_into(&mut out, field),
        }
    }
    out
}

/// One step of the policy: its name, and the step.
pub(super) type Check =
    (&'static str, fn(&Verifier, &Fields<'_>, &Presented<'_>, UnixTime) -> Result<(), Reason>);

impl Verifier {
    /// # Panics
    /// Without a key: nothing may be verified with none, so the configuration has to refuse that before.
    pub fn new(settings: Settings) -> Self {
        assert!(!settings.keys.is_empty(), "a property that verifies tokens has a key");
        let keys = settings.keys.map(|secret| Signer::new(secret, settings.algorithm));
        Self { settings, keys }
    }

    /// The names of the keys, in the order in which they are tried.
    pub fn key_names(&self) -> Vec<Arc<str>> {
        self.keys.names()
    }

    /// Whether the token is good for this request at `now`.
    pub fn verify(&self, presented: &Presented<'_>, now: UnixTime) -> Result<Grant, Reason> {
        let matched = self.matching(presented, now)?;
        let fields = Fields::parse(matched.signed(), self.writing()).map_err(|_| Reason::Malformed)?;
        for (_, check) in Self::CHECKS {
            check(self, &fields, presented, now)?;
        }
        Ok(Grant {
            scope: fields.acl.map_or(Scope::Url, |acl| Scope::Acl(self.separated(acl).into_owned())),
            expires: fields.expires,
            clients: fields.ip.map_or(Clients::Any, |ip| Clients::Address(ip.to_owned())),
            session_id: fields.id.map(str::to_owned),
            payload: fields.data.map(str::to_owned),
            nonce: None,
            key_name: matched.key_name,
        })
    }

    /// The policy, in the order in which it is judged once the HMAC has matched.
    pub(super) const CHECKS: [Check; 7] = [
        ("limits", Self::check_limits),
        ("times", |_, fields, _, _| validity::in_order(fields.start, fields.expires)),
        ("start", |this, fields, _, now| validity::begun(fields.start, this.settings.start_skew, now)),
        ("expiry", |this, fields, _, now| validity::unended(fields.expires, this.settings.expiry_skew, now)),
        ("expiry ahead", |this, fields, _, now| {
            validity::near(fields.expires, this.settings.expiry_ahead_max, now)
        }),
        ("ip", |this, fields, presented, _| {
            let agrees = fields.ip.is_none_or(|ip| this.settings.address_match.agrees(ip, presented.client));
            if agrees { Ok(()) } else { Err(Reason::IpMismatch) }
        }),
        ("acl", |this, fields, presented, _| {
            // A URL token's URL was part of what was hashed.
            let covers = fields
                .acl
                .is_none_or(|acl| acl::covers(&acl::normalise(&this.separated(acl)), presented.path));
            if covers { Ok(()) } else { Err(Reason::AclMismatch) }
        }),
    ];

    fn check_limits(&self, fields: &Fields<'_>, _: &Presented<'_>, _: UnixTime) -> Result<(), Reason> {
        let limits = self.settings.limits;
        let id_fits = fields.id.is_none_or(|id| {
            id.len() <= limits.session_id_bytes_max && id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        });
        let acl_fits = fields.acl.is_none_or(|acl| {
            acl.len() <= limits.acl_bytes_max
                && acl::patterns(&acl::normalise(&self.separated(acl))) <= limits.acl_patterns_max
        });
        if id_fits && acl_fits { Ok(()) } else { Err(Reason::Malformed) }
    }

    /// The form of the presented string whose HMAC matches, with any key and any salt.
    ///
    /// A well-formed URL token that matches nothing is a mismatch of the URL, which is part of what was hashed.
    pub(super) fn matching<'a>(
        &self,
        presented: &Presented<'a>,
        now: UnixTime,
    ) -> Result<Matched<'a>, Reason> {
        if presented.value.len() > self.settings.limits.token_bytes_max {
            return Err(Reason::Malformed);
        }
        let delimiter = self.settings.delimiters.field;
        let mut tried: Vec<Cow<'_, str>> = Vec::new();
        let mut urls: Option<Vec<String>> = None;
        let mut refusal = Reason::Malformed;
        for form in Form::ALL {
            let Some(text) = form.of(presented.value, delimiter) else { continue };
            if tried.contains(&text) {
                continue;
            }
            let Some((signed, digest)) = split_hmac(&text, delimiter, self.settings.algorithm) else {
                continue;
            };
            let signed_bytes = signed.len();
            if has_acl(signed, delimiter) {
                refusal = Reason::BadSignature;
                if let Some(key_name) = self.key_that_signed(signed, None, &digest, now) {
                    return Ok(Matched { text, form, signed_bytes, url: None, key_name });
                }
            } else {
                refusal = Reason::UrlMismatch;
                for url in urls.get_or_insert_with(|| self.urls(presented)) {
                    if let Some(key_name) = self.key_that_signed(signed, Some(url), &digest, now) {
                        return Ok(Matched { text, form, signed_bytes, url: Some(url.clone()), key_name });
                    }
                }
            }
            tried.push(text);
        }
        Err(refusal)
    }

    fn key_that_signed(
        &self,
        signed: &str,
        url: Option<&str>,
        digest: &Digest,
        now: UnixTime,
    ) -> Option<Arc<str>> {
        let delimiter = self.settings.delimiters.field;
        let mut utf8 = [0; 4];
        let delimiter = delimiter.encode_utf8(&mut utf8).as_bytes();
        let [url_delimiter, url_name, url]: [&[u8]; 3] = match url {
            Some(url) => [delimiter, b"url=", url.as_bytes()],
            None => [b"", b"", b""],
        };
        let unsalted: [Option<&Secret>; 1] = [None];
        let salts: &mut dyn Iterator<Item = Option<&Secret>> = if self.settings.salts.is_empty() {
            &mut unsalted.into_iter()
        } else {
            &mut self.settings.salts.iter().map(Some)
        };
        for salt in salts {
            let [salt_delimiter, salt_name, salt]: [&[u8]; 3] =
                salt.map_or([b"", b"", b""], |salt| [delimiter, b"salt=", salt.expose()]);
            let signed = signed.as_bytes();
            let parts = [signed, url_delimiter, url_name, url, salt_delimiter, salt_name, salt];
            if let Some(named) = self.keys.at(now).find(|named| named.key.verifies(&parts, digest)) {
                return Some(named.name.clone());
            }
        }
        None
    }

    /// The URLs for which a token without an ACL may have been signed, escaped as its signer may have escaped them.
    fn urls(&self, presented: &Presented<'_>) -> Vec<String> {
        let mut urls: Vec<String> = Vec::new();
        let mut offer = |url: String| {
            if !urls.contains(&url) {
                urls.push(url);
            }
        };
        // Signers have the path before it was escaped for the request. A decoded `?` or `%` would make another URL of it.
        let decoded = escape::decode(presented.path).filter(|path| !path.contains(['?', '#', '%']));
        let paths = [Some(presented.raw_path), Some(presented.path), decoded.as_deref()];
        for path in paths.into_iter().flatten() {
            let url = match presented.query {
                "" => path.to_owned(),
                query if !self.settings.ignore_query => format!("{path}?{query}"),
                _ => path.to_owned(),
            };
            if self.settings.escape_inputs {
                for dialect in Dialect::ALL {
                    offer(dialect.escaped(&url));
                }
            } else {
                offer(url);
            }
        }
        urls
    }

    pub(super) fn writing(&self) -> Writing {
        Writing {
            delimiter: self.settings.delimiters.field,
            delimiter_in_values: self.settings.escape_inputs,
            fields_max: self.settings.limits.fields_max,
        }
    }

    /// The ACL with `!` between its patterns, whatever the signer puts there.
    fn separated<'a>(&self, acl: &'a str) -> Cow<'a, str> {
        let Delimiters { acl: separator, .. } = self.settings.delimiters;
        if separator == acl::SEPARATOR {
            return Cow::Borrowed(acl);
        }
        Cow::Owned(acl.replace(acl::SEPARATOR, "%21").replace(separator, "!"))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("settings", &self.settings).finish_non_exhaustive()
    }
}
