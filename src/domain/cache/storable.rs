//! Whether an answer may be stored (RFC 9111 §3), and if not, why.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, ETAG, LAST_MODIFIED, SET_COOKIE};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::directives::{Flag, RequestDirectives};
use super::exchange::Exchange;
use super::freshness::Freshness;
use super::rules::{Rules, SetCookie, Unstated};
use super::vary::Selection;

const PROXY_AUTHENTICATE: HeaderName = HeaderName::from_static("proxy-authenticate");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");

/// Why an answer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not a GET, nor a POST that may stand for one.
    Method,
    /// A part (206), an interim answer, or one that only a condition or a range made: 304, 412, 416.
    Status,
    /// `must-understand` on a status that is not understood.
    NotUnderstood,
    NoStore,
    Private,
    /// The viewer asked for nothing to be stored.
    Viewer,
    /// The request named its sender, by `Authorization` or `Cookie`, and the answer does not say that it is
    /// for all.
    Personal,
    SetCookie,
    VaryStar,
    /// No lifetime is stated, and the kind or the status is not kept without.
    NoLifetime,
    /// It could never be used: without a lifetime, without a validator, and not allowed to be stale.
    Useless,
}

impl Refusal {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::NotUnderstood => "not-understood",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Viewer => "request-no-store",
            Self::Personal => "personal",
            Self::SetCookie => "set-cookie",
            Self::VaryStar => "vary",
            Self::NoLifetime => "no-lifetime",
            Self::Useless => "useless",
        }
    }
}

/// Whether the answer may be stored, and how long it is fresh.
pub fn storable(exchange: &Exchange<'_>, rules: &Rules) -> Result<Freshness, Refusal> {
    method(exchange, rules)?;
    status(exchange)?;
    directives(exchange, rules)?;
    person(exchange, rules)?;
    if Selection::read(exchange.response, &rules.vary_ignored) == Selection::Never {
        return Err(Refusal::VaryStar);
    }
    lifetime(exchange, rules)?;
    let freshness = Freshness::of(exchange, rules);
    let has_validator = exchange.response.contains_key(ETAG) || exchange.response.contains_key(LAST_MODIFIED);
    if !has_validator && freshness.is_never_usable() {
        return Err(Refusal::Useless);
    }
    Ok(freshness)
}

/// RFC 9111 §3: "A cache MUST NOT store a response to a request unless: the request method is understood by
/// the cache". The answer to HEAD has no body and only freshens what is stored (§4.3.5).
fn method(exchange: &Exchange<'_>, rules: &Rules) -> Result<(), Refusal> {
    let is_kept_post = || {
        rules.keeps_post
            && *exchange.method == Method::POST
            && exchange.status.is_success()
            && exchange.stated().is_some()
            && exchange.locates_its_target()
    };
    (*exchange.method == Method::GET || is_kept_post()).then_some(()).ok_or(Refusal::Method)
}

/// RFC 9111 §3: "the response status code is final"; "if the response status code is 206 or 304, or the
/// must-understand cache directive … is present: the cache understands the response status code". Parts are
/// stored by slices, whose answers are judged on their own; what a condition or a range made is no answer to
/// a request without one.
fn status(exchange: &Exchange<'_>) -> Result<(), Refusal> {
    const CONDITIONAL: [StatusCode; 4] = [
        StatusCode::PARTIAL_CONTENT,
        StatusCode::NOT_MODIFIED,
        StatusCode::PRECONDITION_FAILED,
        StatusCode::RANGE_NOT_SATISFIABLE,
    ];
    if exchange.status.is_informational() || CONDITIONAL.contains(&exchange.status) {
        return Err(Refusal::Status);
    }
    if exchange.directives.has(Flag::MustUnderstand) && !is_understood(exchange.status) {
        return Err(Refusal::NotUnderstood);
    }
    Ok(())
}

fn directives(exchange: &Exchange<'_>, rules: &Rules) -> Result<(), Refusal> {
    let said = exchange.directives;
    // RFC 9111 §5.2.2.3: "the cache SHOULD ignore the no-store directive if it understands and implements the
    // status code's caching requirements".
    if said.has(Flag::NoStore) && !said.has(Flag::MustUnderstand) {
        return Err(Refusal::NoStore);
    }
    // RFC 9111 §5.2.2.7: "The unqualified private response directive indicates that a shared cache MUST NOT
    // store the response".
    if said.has(Flag::Private) {
        return Err(Refusal::Private);
    }
    if rules.honour_client_directives && RequestDirectives::read(exchange.request).no_store() {
        return Err(Refusal::Viewer);
    }
    Ok(())
}

/// RFC 9111 §3.5: "A shared cache MUST NOT use a cached response to a request with an Authorization header
/// field to satisfy any subsequent request unless the response contains a Cache-Control field with a response
/// directive that allows it to be stored by a shared cache …: must-revalidate, public, and s-maxage." A
/// cookie that the origin was let see names a person just as well.
fn person(exchange: &Exchange<'_>, rules: &Rules) -> Result<(), Refusal> {
    let said = exchange.directives;
    let is_for_all =
        said.has(Flag::Public) || said.has(Flag::MustRevalidate) || said.shared_max_age.is_some();
    if exchange.request.contains_key(AUTHORIZATION) && !is_for_all {
        return Err(Refusal::Personal);
    }
    let is_for_all =
        said.has(Flag::Public) || said.shared_max_age.is_some() || rules.set_cookie == SetCookie::Kept;
    if exchange.request.contains_key(COOKIE) && !is_for_all {
        return Err(Refusal::Personal);
    }
    if rules.set_cookie == SetCookie::Refused && exchange.response.contains_key(SET_COOKIE) {
        return Err(Refusal::SetCookie);
    }
    Ok(())
}

/// RFC 9111 §3: "the response contains at least one of the following: a public response directive; …; an
/// Expires header field; a max-age response directive; if the cache is shared: an s-maxage response
/// directive; …; or a status code that is defined as heuristically cacheable."
fn lifetime(exchange: &Exchange<'_>, rules: &Rules) -> Result<(), Refusal> {
    if exchange.stated().is_some() {
        return Ok(());
    }
    let is_negative = rules.negative.statuses.contains(&exchange.status);
    let is_kept = is_heuristic(exchange.status) || exchange.directives.has(Flag::Public) || is_negative;
    let is_unwanted = rules.unstated == Unstated::NotStored && rules.forced_lifetime.is_none();
    if !is_kept || is_unwanted {
        return Err(Refusal::NoLifetime);
    }
    Ok(())
}

/// RFC 9110 §15.1: "Responses with status codes that are defined as heuristically cacheable (e.g., 200, 203,
/// 204, 206, 300, 301, 308, 404, 405, 410, 414, and 501 in this specification)".
pub const fn is_heuristic(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses whose rules on caching are kept here: those of RFC 9110 §15 that have none of their own beyond
/// freshness.
const fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 302 | 303 | 307 | 400 | 403 | 500 | 502 | 503 | 504) || is_heuristic(status)
}

/// Takes off what may not be stored with the answer. Hop-by-hop fields have gone before.
///
/// RFC 9111 §3.1: "Header fields that are specific to the proxy that a cache uses when forwarding a request
/// MUST NOT be stored"; "The no-cache and private cache directives can have arguments that prevent storage of
/// header fields".
pub fn withhold(response: &mut HeaderMap, withheld: &[HeaderName], set_cookie: SetCookie) {
    for name in [PROXY_AUTHENTICATE, PROXY_AUTHENTICATION_INFO, PROXY_AUTHORIZATION].iter().chain(withheld) {
        response.remove(name);
    }
    match set_cookie {
        SetCookie::Refused | SetCookie::Dropped => {
            response.remove(SET_COOKIE);
        }
        SetCookie::Kept => {}
    }
}

/// Whether a body that ended after `bytes` is the whole: a shorter or longer one than announced is not
/// stored.
///
/// RFC 9111 §3.3: "A cache MUST NOT use an incomplete response to answer requests unless the response has
/// been made complete". Lines of `Content-Length` that disagree announce nothing that could be met.
pub fn is_whole(response: &HeaderMap, bytes: u64) -> bool {
    response.get_all(CONTENT_LENGTH).iter().all(|line| {
        line.to_str().is_ok_and(|line| line.split(',').all(|length| length.trim().parse() == Ok(bytes)))
    })
}

#[cfg(test)]
mod tests;
