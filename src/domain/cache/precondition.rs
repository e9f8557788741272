//! What a viewer's conditions make of a stored answer (RFC 9110 §13, RFC 9111 §4.3.2).

use std::time::Duration;

use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{HeaderMap, Method, StatusCode};

use super::date;
use super::entity_tag::{EntityTag, Listed, listed};

/// How to answer from a stored answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// As if there were no condition.
    Met,
    /// 304, with the fields that [`not_modified`] leaves.
    NotModified,
    /// The condition is about the origin's present state, and the stored answer does not meet it: the request
    /// goes on to the origin with its conditions.
    AskOrigin,
}

/// Evaluates the conditions of a GET or HEAD in the order of RFC 9110 §13.2.2 against a stored answer that
/// could be served. `received` is when it came.
pub fn evaluate(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    received: Duration,
) -> Precondition {
    // RFC 9110 §13.2.1: a server "MUST ignore all received preconditions if its response to the same request
    // without those conditions … would have been a status code other than a 2xx (Successful) or 412". RFC
    // 9111 §4.3.2 names 200 and 206.
    if !matches!(*method, Method::GET | Method::HEAD) || !status.is_success() {
        return Precondition::Met;
    }
    if !has_any(request, &[IF_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_MATCH, IF_MODIFIED_SINCE]) {
        return Precondition::Met;
    }
    let tag = EntityTag::of(stored);
    // RFC 9111 §4.3.2: "the If-Match and If-Unmodified-Since conditional header fields are not applicable to
    // a cache". Where the stored answer meets them nobody can tell the difference; where it does not the
    // origin is to judge.
    match listed(request, &IF_MATCH, tag, EntityTag::is_same_strongly) {
        Listed::Found(false) => return Precondition::AskOrigin,
        Listed::Any | Listed::Found(true) => {}
        Listed::No => {
            if modified_since(request, &IF_UNMODIFIED_SINCE, stored, received) == Some(true) {
                return Precondition::AskOrigin;
            }
        }
    }
    // RFC 9110 §13.1.3: "A recipient MUST ignore If-Modified-Since if the request contains an If-None-Match
    // header field".
    let is_modified = match listed(request, &IF_NONE_MATCH, tag, EntityTag::is_same_weakly) {
        Listed::Any | Listed::Found(true) => false,
        Listed::Found(false) => true,
        Listed::No => modified_since(request, &IF_MODIFIED_SINCE, stored, received).unwrap_or(true),
    };
    if is_modified { Precondition::Met } else { Precondition::NotModified }
}

/// Whether the stored answer was modified after the date in `name`; `None` where there is none.
///
/// RFC 9110 §13.1.3: "A recipient MUST ignore the If-Modified-Since header field if the received field value
/// is not a valid HTTP-date, the field value has more than one member". RFC 9111 §4.3.2: "If a request
/// contains an If-Modified-Since header field and the Last-Modified header field is not present in a stored
/// response, a cache SHOULD use the stored response's Date field value (or, if no Date field is present, the
/// time that the stored response was received) to evaluate the conditional."
fn modified_since(
    request: &HeaderMap,
    name: &http::HeaderName,
    stored: &HeaderMap,
    received: Duration,
) -> Option<bool> {
    let mut lines = request.get_all(name).iter();
    let since = lines.next().filter(|_| lines.next().is_none())?;
    let modified = stored.get(LAST_MODIFIED);
    // The same text is the same date, and most requests send back what they got.
    if modified == Some(since) {
        return date::read(since, received).map(|_| false);
    }
    let since = date::read(since, received)?;
    let modified =
        [modified, stored.get(DATE)].into_iter().flatten().find_map(|value| date::read(value, received));
    // Seconds are compared: a time of receipt has more to it than a date can say.
    Some(modified.unwrap_or(received).as_secs() > since.as_secs())
}

/// Whether a `Range` holds for the stored answer: there is no `If-Range`, or it names this very
/// representation.
///
/// RFC 9110 §13.1.5: "If the HTTP-date validator provided is not a strong validator in the sense defined by
/// Section 8.8.2.2, the condition is false"; "If the HTTP-date validator provided exactly matches the
/// Last-Modified field value …, the condition is true"; "If the entity-tag validator provided exactly matches
/// the `ETag` field value for the selected representation using the strong comparison function, the condition
/// is true".
pub fn range_holds(request: &HeaderMap, stored: &HeaderMap, received: Duration) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    let Some(condition) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    let Some(named) = date::read(condition, received) else {
        let named = EntityTag::parse(condition.as_bytes());
        return named.zip(EntityTag::of(stored)).is_some_and(|(one, other)| one.is_same_strongly(other));
    };
    // RFC 9110 §8.8.2.2: a date is strong where the answer came at least a second after it was modified, so
    // that no second change can hide in the same second.
    let time = |name| stored.get(name).and_then(|value| date::read(value, received));
    let Some(modified) = time(LAST_MODIFIED) else { return false };
    named == modified && time(DATE).unwrap_or(received) >= modified + Duration::from_secs(1)
}

/// Most requests have no condition; to see that in the names is cheaper than to look for each.
fn has_any(request: &HeaderMap, names: &[http::HeaderName]) -> bool {
    request.keys().any(|name| names.contains(name))
}

/// Takes off what a 304 does not carry.
///
/// RFC 9110 §15.4.5: "The server generating a 304 response MUST generate any of the following header fields
/// that would have been sent in a 200 (OK) response to the same request: Content-Location, Date, `ETag`, and
/// Vary; Cache-Control and Expires"; "a sender SHOULD NOT generate representation metadata other than the
/// above listed fields unless said metadata exists for the purpose of guiding cache updates (e.g.,
/// Last-Modified might be useful if the response does not have an `ETag` field)."
pub fn not_modified(headers: &mut HeaderMap) {
    for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE] {
        headers.remove(name);
    }
    if headers.contains_key(ETAG) {
        headers.remove(LAST_MODIFIED);
    }
}

#[cfg(test)]
mod tests;
