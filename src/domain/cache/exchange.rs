//! A request as the origin saw it and the head of its answer: what every rule on storing looks at.

use std::time::Duration;

use http::header::{AGE, CONTENT_LOCATION, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use super::date;
use super::directives::{Flag, ResponseDirectives, seconds};

/// One request to the origin with the head of its answer. Its directives are read once.
#[derive(Clone, Debug)]
pub struct Exchange<'a> {
    pub method: &'a Method,
    /// The absolute URL, as the viewer knows it.
    pub target: &'a str,
    /// The fields that the origin was sent.
    pub request: &'a HeaderMap,
    pub status: StatusCode,
    /// The fields that it answered with.
    pub response: &'a HeaderMap,
    pub directives: &'a ResponseDirectives,
    /// Unix times at which the request went out and the head of the answer came in. For a blocking playlist
    /// reload, which an origin holds back on purpose until the playlist is made, both are the latter: the
    /// wait is no age.
    pub requested: Duration,
    pub received: Duration,
}

impl Exchange<'_> {
    /// RFC 9111 §4.2.1, the first match of: `s-maxage`, `max-age`, "If the Expires response header field is
    /// present, use its value minus the value of the Date response header field (using the time the message
    /// was received if it is not present)".
    pub fn stated(&self) -> Option<Duration> {
        self.directives.shared_max_age.or(self.directives.max_age).or_else(|| self.expires_after())
    }

    /// RFC 9111 §5.3: "A cache recipient MUST interpret invalid date formats, especially the value "0", as
    /// representing a time in the past (i.e., "already expired")."
    fn expires_after(&self) -> Option<Duration> {
        if self.directives.has(Flag::Targeted) {
            return None;
        }
        let mut lines = self.response.get_all(EXPIRES).iter();
        let first = lines.next()?;
        if lines.any(|line| line != first) {
            return Some(Duration::ZERO);
        }
        let expires = date::read(first, self.received).unwrap_or_default();
        Some(expires.saturating_sub(self.date()))
    }

    /// RFC 9110 §6.6.1: a recipient of an answer without `Date` "MUST record the time it was received"; one
    /// that is no date counts as none.
    pub fn date(&self) -> Duration {
        self.time_in(&DATE).unwrap_or(self.received)
    }

    pub fn last_modified(&self) -> Option<Duration> {
        self.time_in(&LAST_MODIFIED)
    }

    fn time_in(&self, name: &HeaderName) -> Option<Duration> {
        self.response.get(name).and_then(|value| date::read(value, self.received))
    }

    /// RFC 9111 §5.1: "a cache encountering a message with a list-based Age field value SHOULD use the first
    /// member of the field value, discarding subsequent ones. If the field value … is invalid (e.g., it
    /// contains something other than a non-negative integer), a cache SHOULD ignore the field."
    pub fn stated_age(&self) -> Option<Duration> {
        let first = self.response.get(AGE)?.as_bytes().split(|&byte| byte == b',').next()?;
        seconds(first.trim_ascii())
    }

    /// RFC 9110 §9.3.3: "Responses to POST requests are only cacheable when they include explicit freshness
    /// information … and a Content-Location header field that has the same value as the POST's target URI".
    pub fn locates_its_target(&self) -> bool {
        let Some(location) = self.response.get(CONTENT_LOCATION).and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let Ok(target) = Url::parse(self.target) else { return false };
        target.join(location).is_ok_and(|location| location == target)
    }
}

/// Gives an answer that has no readable `Date` the time at which it came, before it is stored or sent on.
///
/// RFC 9110 §6.6.1: "A recipient with a clock that receives a response message without a Date header field
/// MUST record the time it was received and append a corresponding Date header field to the message's header
/// section if it is cached or forwarded downstream."
pub fn stamp(response: &mut HeaderMap, received: Duration) {
    let is_dated = response.get(DATE).and_then(|value| date::read(value, received)).is_some();
    if !is_dated {
        response.insert(DATE, date::value(received));
    }
}

/// The `Age` of an answer from the store. RFC 9111 §4: "a cache MUST generate an Age header field, replacing
/// any present in the response with a value equal to the stored response's `current_age`".
pub fn age_value(age: Duration) -> HeaderValue {
    HeaderValue::from(age.as_secs())
}
