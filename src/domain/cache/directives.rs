//! `Cache-Control`, read once into a small struct (RFC 9111 §5.2), and what else stands for it.
//!
//! What cannot be understood errs towards the origin: a lifetime that is no number or is given twice is over
//! at once, a list of fields that names none means the whole answer, a field that ends inside a quoted string
//! is not to be stored.

use std::time::Duration;

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName};

use super::list::{self, Member};
use super::targeted;

/// RFC 9111 §1.2.2: a number too great to represent counts as 2147483648 or more.
const SECONDS_MAX: u64 = 2_147_483_648;

/// What an origin says of keeping its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    flags: u16,
    pub max_age: Option<Duration>,
    pub shared_max_age: Option<Duration>,
    /// RFC 5861 §3.
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861 §4.
    pub stale_if_error: Option<Duration>,
    /// Fields that may not be given to others, from the forms of `no-cache` and `private` that name fields.
    pub withheld: Vec<HeaderName>,
}

/// A directive without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Flag {
    Public = 1,
    Private = 1 << 1,
    NoStore = 1 << 2,
    NoCache = 1 << 3,
    MustRevalidate = 1 << 4,
    ProxyRevalidate = 1 << 5,
    MustUnderstand = 1 << 6,
    /// RFC 8246.
    Immutable = 1 << 7,
    NoTransform = 1 << 8,
    /// The directives come from a field for this kind of cache, so that `Cache-Control` and `Expires` do not
    /// count.
    Targeted = 1 << 9,
}

impl ResponseDirectives {
    /// RFC 9213 §2.2: "the cache MUST select the first (in target-list order) field with a valid, non-empty
    /// value and use its value to determine the caching policy for the response, and it MUST ignore the
    /// Cache-Control and Expires header fields in that response, unless no valid, non-empty value is
    /// available".
    pub fn read(headers: &HeaderMap) -> Self {
        targeted::read(headers).unwrap_or_else(|| Self::read_cache_control(headers))
    }

    fn read_cache_control(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            for member in list::members(value.as_bytes()) {
                read.take(&member);
            }
        }
        read
    }

    pub const fn has(&self, flag: Flag) -> bool {
        self.flags & flag as u16 != 0
    }

    pub const fn set(&mut self, flag: Flag, is_set: bool) {
        if is_set {
            self.flags |= flag as u16;
        } else {
            self.flags &= !(flag as u16);
        }
    }

    /// RFC 9111 §5.2: "Cache directives are identified by a token, to be compared case-insensitively, and
    /// have an optional argument that can use both token and quoted-string syntax. For the directives defined
    /// below that define arguments, recipients ought to accept both forms".
    fn take(&mut self, member: &Member<'_>) {
        let Member::Parameter { name, value, .. } = member else {
            // Nothing lifts both.
            self.set(Flag::NoStore, true);
            return self.set(Flag::Private, true);
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if let Some(flag) = flag(|known| is(known)) {
            match flag {
                Flag::NoCache | Flag::Private => self.withhold(flag, *value),
                _ => self.set(flag, true),
            }
        } else if is("max-age") {
            narrow(&mut self.max_age, *value);
        } else if is("s-maxage") {
            narrow(&mut self.shared_max_age, *value);
        } else if is("stale-while-revalidate") {
            narrow(&mut self.stale_while_revalidate, *value);
        } else if is("stale-if-error") {
            narrow(&mut self.stale_if_error, *value);
        }
    }

    /// RFC 9111 §5.2.2.4: "The qualified form of the no-cache response directive, with an argument that lists
    /// one or more field names, indicates that a cache MAY use the response to satisfy a subsequent request,
    /// … if the listed header fields are excluded from the subsequent response"; §5.2.2.7: "a shared cache
    /// MUST NOT store the listed header fields if they are present in the original response, but MAY store
    /// the remainder".
    pub(super) fn withhold(&mut self, flag: Flag, fields: Option<&[u8]>) {
        let Some(fields) = fields else { return self.set(flag, true) };
        let names: Option<Vec<_>> =
            list::tokens(fields).map(|name| HeaderName::from_bytes(name).ok()).collect();
        match names {
            Some(names) if !names.is_empty() => self.withheld.extend(names),
            _ => self.set(flag, true),
        }
    }
}

/// The flag that a name stands for, by whatever comparison the field's syntax asks for.
pub(super) fn flag(is: impl Fn(&str) -> bool) -> Option<Flag> {
    const FLAGS: [(&str, Flag); 9] = [
        ("no-cache", Flag::NoCache),
        ("no-store", Flag::NoStore),
        ("private", Flag::Private),
        ("public", Flag::Public),
        ("must-revalidate", Flag::MustRevalidate),
        ("proxy-revalidate", Flag::ProxyRevalidate),
        ("must-understand", Flag::MustUnderstand),
        ("immutable", Flag::Immutable),
        ("no-transform", Flag::NoTransform),
    ];
    FLAGS.iter().find(|(name, _)| is(name)).map(|(_, flag)| *flag)
}

/// RFC 9111 §4.2.1: "When there is more than one value present for a given directive …, either the first
/// occurrence should be used or the response should be considered stale. … Caches are encouraged to consider
/// responses that have invalid freshness information (e.g., a max-age directive with non-integer content) to
/// be stale."
fn narrow(slot: &mut Option<Duration>, value: Option<&[u8]>) {
    let stated = value.and_then(seconds).unwrap_or(Duration::ZERO);
    *slot = match *slot {
        Some(before) if before != stated => Some(Duration::ZERO),
        _ => Some(stated),
    };
}

/// RFC 9111 §1.2.2: `delta-seconds = 1*DIGIT`; "If a cache receives a delta-seconds value greater than the
/// greatest integer it can represent, … the cache MUST consider the value to be 2147483648 (2^31) or the
/// greatest positive integer it can conveniently represent."
pub fn seconds(text: &[u8]) -> Option<Duration> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let read = text.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(SECONDS_MAX)
    });
    Some(Duration::from_secs(read))
}

/// What a viewer says of the answer it wants (RFC 9111 §5.2.1). "They are advisory; caches MAY implement
/// them".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    flags: u8,
    pub max_age: Option<Duration>,
    /// `Duration::MAX` where no limit is named.
    pub max_stale: Option<Duration>,
    pub min_fresh: Option<Duration>,
    /// RFC 5861 §4.
    pub stale_if_error: Option<Duration>,
}

impl RequestDirectives {
    const NO_CACHE: u8 = 1;
    const NO_STORE: u8 = 2;
    const ONLY_IF_CACHED: u8 = 4;

    pub fn read(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        let mut has_cache_control = false;
        for value in headers.get_all(CACHE_CONTROL) {
            has_cache_control = true;
            for member in list::members(value.as_bytes()) {
                read.take(&member);
            }
        }
        // RFC 9111 §5.4: Pragma was defined "so that clients could specify a 'no-cache' request"; it says
        // nothing where Cache-Control speaks, and nothing in a response.
        let mut pragma = headers.get_all(PRAGMA).iter().flat_map(|value| list::tokens(value.as_bytes()));
        if !has_cache_control && pragma.any(|directive| directive.eq_ignore_ascii_case(b"no-cache")) {
            read.flags |= Self::NO_CACHE;
        }
        read
    }

    pub const fn no_cache(&self) -> bool {
        self.flags & Self::NO_CACHE != 0
    }

    pub const fn no_store(&self) -> bool {
        self.flags & Self::NO_STORE != 0
    }

    /// RFC 9111 §5.2.1.7: "Caches that honor this request directive SHOULD, upon receiving it, respond with
    /// either a stored response consistent with the other constraints of the request or a 504 (Gateway
    /// Timeout) status code."
    pub const fn only_if_cached(&self) -> bool {
        self.flags & Self::ONLY_IF_CACHED != 0
    }

    fn take(&mut self, member: &Member<'_>) {
        let Member::Parameter { name, value, .. } = member else { return };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // An argument that is no number asks for nothing that could be given: the strictest reading of each.
        let number = value.and_then(seconds);
        if is("no-cache") {
            self.flags |= Self::NO_CACHE;
        } else if is("no-store") {
            self.flags |= Self::NO_STORE;
        } else if is("only-if-cached") {
            self.flags |= Self::ONLY_IF_CACHED;
        } else if is("max-age") {
            let number = number.unwrap_or_default();
            self.max_age = Some(self.max_age.map_or(number, |before| before.min(number)));
        } else if is("max-stale") {
            let number = if value.is_none() { Duration::MAX } else { number.unwrap_or_default() };
            self.max_stale = Some(self.max_stale.map_or(number, |before| before.min(number)));
        } else if is("min-fresh") {
            let number = number.unwrap_or_default();
            self.min_fresh = Some(self.min_fresh.map_or(number, |before| before.max(number)));
        } else if is("stale-if-error") {
            let number = number.unwrap_or_default();
            self.stale_if_error = Some(self.stale_if_error.map_or(number, |before| before.min(number)));
        }
    }
}

#[cfg(test)]
mod tests;
