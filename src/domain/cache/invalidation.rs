//! What a request that may have changed something makes invalid (RFC 9111 §4.4).

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

/// RFC 9110 §9.2.1: "Of the request methods defined by this specification, the GET, HEAD, OPTIONS, and TRACE
/// methods are defined to be safe." Others may change what they like, known or not.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// The URLs, absolute and without fragments, whose stored answers are to be invalidated: the target's first.
/// This comes before the answer itself is stored, as that to a POST may be (RFC 9110 §9.3.3).
///
/// RFC 9111 §4.4: "A cache MUST invalidate the target URI when it receives a non-error status code in
/// response to an unsafe request method (including methods whose safety is unknown)"; it "MAY invalidate
/// other URIs … In particular, the URI(s) in the Location and Content-Location response header fields (if
/// present) are candidates for invalidation"; but "a cache MUST NOT trigger an invalidation under these
/// conditions if the origin of the URI to be invalidated differs from that of the target URI. This helps
/// prevent denial-of-service attacks."; "A "non-error response" is one with a 2xx (Successful) or 3xx
/// (Redirection) status code."
pub fn invalidated(method: &Method, target: &str, status: StatusCode, response: &HeaderMap) -> Vec<String> {
    if is_safe(method) || !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut urls = vec![target.to_owned()];
    let Ok(base) = Url::parse(target) else { return urls };
    for name in [LOCATION, CONTENT_LOCATION] {
        for value in response.get_all(name) {
            let Some(mut url) = value.to_str().ok().and_then(|value| base.join(value).ok()) else { continue };
            url.set_fragment(None);
            if url.origin() == base.origin() && !urls.iter().any(|known| known == url.as_str()) {
                urls.push(url.into());
            }
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TARGET: &str = "https://example.com/a/b?c";

    fn urls(method: &str, status: u16, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        invalidated(&method, TARGET, StatusCode::from_u16(status).expect("a status"), &headers)
    }

    #[test]
    fn a_successful_unsafe_request_invalidates_its_target() {
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
            assert_eq!(urls(method, 200, &[]), [TARGET], "{method}");
            assert_eq!(urls(method, 303, &[]), [TARGET], "{method}");
        }
    }

    #[test]
    fn safe_and_failed_requests_invalidate_nothing() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(urls(method, 200, &[]).is_empty(), "{method}");
        }
        assert!(urls("POST", 404, &[]).is_empty() && urls("POST", 500, &[]).is_empty());
    }

    #[test]
    fn locations_of_the_same_origin_are_invalidated_too() {
        let fields = [
            ("location", "../x#y"),
            ("content-location", "https://example.com/z"),
            ("content-location", "/a/b?c"),
        ];
        assert_eq!(urls("POST", 201, &fields), [TARGET, "https://example.com/x", "https://example.com/z"]);
    }

    #[test]
    fn locations_of_other_origins_are_left_alone() {
        for value in [
            "https://other.example/x",
            "http://example.com/x",
            "https://example.com:8443/x",
            "//other/x",
            "data:x",
        ] {
            assert_eq!(urls("POST", 201, &[("location", value)]), [TARGET], "{value}");
        }
    }
}
