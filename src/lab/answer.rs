//! How the synthetic origin answers for a resource: conditional requests and single ranges, as RFC 9110 has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

/// One representation, with the fields that describe it.
#[derive(Clone, Debug)]
pub struct Resource {
    pub body: Bytes,
    pub content_type: &'static str,
    pub cache_control: &'static str,
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// Unix time, whole seconds.
    pub last_modified: Duration,
}

/// The answer to a request for `resource`. One to HEAD has the fields of the answer to GET, and no body.
pub fn answer(method: &Method, headers: &HeaderMap, resource: &Resource) -> Response<Bytes> {
    if method != Method::GET && method != Method::HEAD {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "The lab's origin answers GET and HEAD.\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if is_unchanged(headers, resource) {
        return described(StatusCode::NOT_MODIFIED, resource, Bytes::new());
    }
    match wanted(method, headers, resource) {
        Wanted::Whole => {
            let body = if method == Method::HEAD { Bytes::new() } else { resource.body.clone() };
            let mut response = described(StatusCode::OK, resource, body);
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(resource.body.len()));
            response
        }
        Wanted::Part { first, end } => {
            let mut response =
                described(StatusCode::PARTIAL_CONTENT, resource, resource.body.slice(first..end));
            let range = format!("bytes {first}-{}/{}", end - 1, resource.body.len());
            insert(&mut response, CONTENT_RANGE, &range);
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(end - first));
            response
        }
        Wanted::Nothing => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "No byte of that range exists.\n");
            insert(&mut response, CONTENT_RANGE, &format!("bytes */{}", resource.body.len()));
            response
        }
    }
}

/// A short text, for errors.
pub fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=1"));
    response
}

fn described(status: StatusCode, resource: &Resource, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(resource.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(resource.cache_control));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(&mut response, ETAG, &resource.etag);
    insert(&mut response, LAST_MODIFIED, &httpdate::fmt_http_date(UNIX_EPOCH + resource.last_modified));
    response
}

fn insert(response: &mut Response<Bytes>, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// RFC 9110, section 13.1.3: "A recipient MUST ignore If-Modified-Since if the request contains an If-None-Match header field".
fn is_unchanged(headers: &HeaderMap, resource: &Resource) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        return values
            .flat_map(|value| value.split(','))
            .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == resource.etag);
    }
    date(headers, &IF_MODIFIED_SINCE).is_some_and(|since| since >= UNIX_EPOCH + resource.last_modified)
}

fn date(headers: &HeaderMap, name: &http::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// The bytes that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part { first: usize, end: usize },
    Nothing,
}

fn wanted(method: &Method, headers: &HeaderMap, resource: &Resource) -> Wanted {
    // RFC 9110, section 14.2: "A server MUST ignore a Range header field received with a request method that is unrecognized or for
    // which no range handling is defined. For this specification, GET is the only method for which range handling is defined."
    if method != Method::GET || !if_range_holds(headers, resource) {
        return Wanted::Whole;
    }
    let Some(range) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else { return Wanted::Whole };
    parse_range(range, resource.body.len())
}

fn if_range_holds(headers: &HeaderMap, resource: &Resource) -> bool {
    let Some(condition) = headers.get(IF_RANGE) else { return true };
    condition.as_bytes() == resource.etag.as_bytes()
        || date(headers, &IF_RANGE).is_some_and(|time| time == UNIX_EPOCH + resource.last_modified)
}

/// One range of bytes. What is not one well-formed range of bytes is ignored, as section 14.2 allows.
fn parse_range(range: &str, length: usize) -> Wanted {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
    else {
        return Wanted::Whole;
    };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => match suffix.min(length) {
            0 => Wanted::Nothing,
            kept => Wanted::Part { first: length - kept, end: length },
        },
        (Some(first), None) if last.is_empty() => part(first, length, length),
        (Some(first), Some(last)) if first <= last => part(first, last.saturating_add(1).min(length), length),
        _ => Wanted::Whole,
    }
}

fn part(first: usize, end: usize, length: usize) -> Wanted {
    if first < length { Wanted::Part { first, end } } else { Wanted::Nothing }
}

/// A decimal; one that is too large for a machine word means "beyond every end".
fn number(digits: &str) -> Option<usize> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource() -> Resource {
        Resource {
            body: Bytes::from_static(b"0123456789"),
            content_type: "video/mp2t",
            cache_control: "max-age=60",
            etag: "\"a\"".to_owned(),
            last_modified: Duration::from_secs(1_000_000_000),
        }
    }

    fn ask(method: &Method, fields: &[(http::HeaderName, &str)]) -> Response<Bytes> {
        let headers = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        answer(method, &headers, &resource())
    }

    #[test]
    fn a_single_range_is_answered_with_its_bytes() {
        for (range, body, content_range) in [
            ("bytes=0-0", "0", "bytes 0-0/10"),
            ("bytes=2-5", "2345", "bytes 2-5/10"),
            ("bytes=8-", "89", "bytes 8-9/10"),
            ("bytes=-3", "789", "bytes 7-9/10"),
            ("bytes=-99", "0123456789", "bytes 0-9/10"),
            ("bytes=5-9007199254740991", "56789", "bytes 5-9/10"),
            ("bytes=5-99999999999999999999999", "56789", "bytes 5-9/10"),
        ] {
            let response = ask(&Method::GET, &[(RANGE, range)]);
            assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            assert_eq!(response.body(), body.as_bytes(), "{range}");
            assert_eq!(response.headers()[CONTENT_RANGE], content_range);
        }
    }

    #[test]
    fn a_range_beyond_the_end_is_not_satisfiable() {
        for range in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            let response = ask(&Method::GET, &[(RANGE, range)]);
            assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
            assert_eq!(response.headers()[CONTENT_RANGE], "bytes */10");
        }
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_ignored() {
        for range in ["bytes=5-2", "bytes=0-1,4-5", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=+1-2", ""] {
            assert_eq!(ask(&Method::GET, &[(RANGE, range)]).status(), StatusCode::OK, "{range}");
        }
        assert_eq!(ask(&Method::HEAD, &[(RANGE, "bytes=0-1")]).status(), StatusCode::OK);
    }

    #[test]
    fn a_range_holds_only_while_its_condition_does() {
        let asked = |condition| ask(&Method::GET, &[(RANGE, "bytes=0-1"), (IF_RANGE, condition)]).status();
        assert_eq!(asked("\"a\""), StatusCode::PARTIAL_CONTENT);
        assert_eq!(asked("Sun, 09 Sep 2001 01:46:40 GMT"), StatusCode::PARTIAL_CONTENT);
        for changed in ["\"b\"", "W/\"a\"", "Sun, 09 Sep 2001 01:46:41 GMT"] {
            assert_eq!(asked(changed), StatusCode::OK, "{changed}");
        }
    }

    #[test]
    fn an_unchanged_resource_is_not_sent_again() {
        for (name, value, status) in [
            (IF_NONE_MATCH, "\"a\"", 304),
            (IF_NONE_MATCH, "\"x\", W/\"a\"", 304),
            (IF_NONE_MATCH, "*", 304),
            (IF_NONE_MATCH, "\"b\"", 200),
            (IF_MODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:40 GMT", 304),
            (IF_MODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:39 GMT", 200),
        ] {
            let response = ask(&Method::GET, &[(name, value)]);
            assert_eq!(response.status(), status, "{value}");
            assert_eq!(response.body().is_empty(), status == 304);
            assert_eq!(response.headers()[ETAG], "\"a\"");
        }
        let both = [(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:40 GMT")];
        assert_eq!(ask(&Method::GET, &both).status(), StatusCode::OK);
    }

    #[test]
    fn head_is_as_get_without_the_body() {
        let (head, get) = (ask(&Method::HEAD, &[]), ask(&Method::GET, &[]));
        assert_eq!(head.headers(), get.headers());
        assert_eq!(head.headers()[CONTENT_LENGTH], "10");
        assert!(head.body().is_empty());
    }

    #[test]
    fn other_methods_are_refused_with_those_allowed() {
        let response = ask(&Method::POST, &[]);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    }
}
