//! Asking the origin whether a stored answer still holds, and what its answer changes (RFC 9111 §4.3).

use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, RANGE, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};

use super::directives::ResponseDirectives;
use super::entity_tag::EntityTag;
use super::rules::SetCookie;

/// Makes a request ask whether a stored answer still holds; false where it has no validator to ask by, and
/// the request then asks for all of it.
///
/// RFC 9111 §4.3.1: a cache "MUST send the relevant entity tags (using If-Match, If-None-Match, or If-Range)
/// if the entity tags were provided in the stored response(s) being validated" and "SHOULD send the
/// Last-Modified value (using If-Modified-Since) if the request is not for a subrange, a single stored
/// response is being validated, and that response contains a Last-Modified value". The viewer's own
/// conditions and range are answered from what is stored afterwards.
pub fn make_conditional(request: &mut HeaderMap, stored: &HeaderMap) -> bool {
    unconditional(request);
    let tag = stored.get(ETAG).filter(|value| EntityTag::parse(value.as_bytes()).is_some());
    let modified = stored.get(LAST_MODIFIED);
    if let Some(tag) = tag {
        request.insert(IF_NONE_MATCH, tag.clone());
    }
    if let Some(modified) = modified {
        request.insert(IF_MODIFIED_SINCE, modified.clone());
    }
    tag.is_some() || modified.is_some()
}

/// Makes a request ask for the whole, whatever the viewer has.
pub fn unconditional(request: &mut HeaderMap) {
    for name in [RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_MATCH, IF_UNMODIFIED_SINCE] {
        request.remove(name);
    }
}

/// Whether a 304 speaks of this stored answer.
///
/// RFC 9111 §4.3.4: "If the new response contains one or more strong validators, then each of those strong
/// validators identifies a selected representation for update. … If none of the initial set contains at
/// least one of the same strong validators, then the cache MUST NOT use the new response to update any stored
/// responses"; "If the new response contains no strong validators but does contain one or more weak
/// validators, and those validators correspond to one of the initial set's stored responses, then the most
/// recent of those matching stored responses is identified for update."
///
/// A 304 without validators answers the one that was sent, and only one answer's validators are ever sent
/// together.
pub fn identifies(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    if let Some(new) = EntityTag::of(not_modified) {
        let old = EntityTag::of(stored);
        return old.is_some_and(|old| {
            if new.is_strong() { new.is_same_strongly(old) } else { new.is_same_weakly(old) }
        });
    }
    match not_modified.get(LAST_MODIFIED) {
        Some(new) => stored.get(LAST_MODIFIED) == Some(new),
        None => true,
    }
}

/// Fields that an update never changes: they describe the stored bytes, or one connection.
///
/// RFC 9111 §3.2: "the cache MUST add each header field in the provided response to the stored response,
/// replacing field values that are already present, with the following exceptions: Header fields excepted
/// from storage in Section 3.1, Header fields that the cache's stored response depends upon …, Header fields
/// that are automatically processed and removed by the recipient …, and The Content-Length header field."
const KEPT: [HeaderName; 12] = [
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The stored fields as a 304, or the answer to a HEAD, has updated them. Then they are dated
/// ([`super::exchange::stamp`]), and their freshness is computed anew, with the stored status and the times
/// of that exchange.
#[must_use]
pub fn freshened(stored: &HeaderMap, update: &HeaderMap, set_cookie: SetCookie) -> HeaderMap {
    let withheld = ResponseDirectives::read(update).withheld;
    let is_kept = |name: &HeaderName| {
        KEPT.contains(name)
            || withheld.contains(name)
            || (*name == SET_COOKIE && !matches!(set_cookie, SetCookie::Kept))
    };
    let mut merged = stored.clone();
    // They tell of the exchange that has just been: an old age would be counted twice, an old date would be
    // the wrong one.
    for name in [AGE, DATE] {
        merged.remove(name);
    }
    for name in update.keys().filter(|name| !is_kept(name)) {
        merged.remove(name);
        for value in update.get_all(name) {
            merged.append(name.clone(), value.clone());
        }
    }
    for name in &withheld {
        merged.remove(name);
    }
    merged
}

/// What the 200 to a HEAD says of the stored answer to GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadEffect {
    /// It still holds: [`freshened`] updates it.
    Update,
    /// It is another one by now: stale.
    Stale,
}

/// RFC 9111 §4.3.5: "if the stored response and HEAD response have matching values for any received validator
/// fields (`ETag` and Last-Modified) and, if the HEAD response has a Content-Length header field, the value
/// of Content-Length matches that of the stored response, the cache SHOULD update the stored response …;
/// otherwise, the cache SHOULD consider the stored response to be stale."
pub fn head_effect(stored: &HeaderMap, head: &HeaderMap) -> HeadEffect {
    let matches = |name: HeaderName| head.get(&name).is_none_or(|new| stored.get(&name) == Some(new));
    if matches(ETAG) && matches(LAST_MODIFIED) && matches(CONTENT_LENGTH) {
        HeadEffect::Update
    } else {
        HeadEffect::Stale
    }
}

#[cfg(test)]
mod tests;
