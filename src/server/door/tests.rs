//! The door, rule by rule, on parsed requests.

use http::{Method, Request, Version};

use super::*;

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn verdict(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
    check(&request(method, target, headers), true, &Limits::default())
}

fn host_verdict(host: &str) -> Result<(), Refusal> {
    verdict("GET", "/a", &[("host", host)])
}

#[test]
fn each_refusal_stands_at_its_own_place() {
    for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
        assert_eq!(refusal as usize, place);
    }
}

#[test]
fn ordinary_requests_pass() {
    assert_eq!(verdict("GET", "/a?b", &[("host", "example.com")]), Ok(()));
    assert_eq!(verdict("HEAD", "/", &[("host", "example.com:8443")]), Ok(()));
    assert_eq!(verdict("POST", "/", &[("host", "h"), ("transfer-encoding", "Chunked")]), Ok(()));
}

#[test]
fn connect_and_trace_are_not_allowed() {
    assert_eq!(verdict("TRACE", "/", &[("host", "h")]), Err(Refusal::Method));
    assert_eq!(verdict("CONNECT", "h:443", &[("host", "h:443")]), Err(Refusal::Method));
    assert_eq!(Refusal::Method.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn asterisk_is_for_options_only() {
    assert_eq!(verdict("OPTIONS", "*", &[("host", "h")]), Ok(()));
    assert_eq!(verdict("GET", "*", &[("host", "h")]), Err(Refusal::TargetForm));
}

#[test]
fn a_target_without_a_leading_slash_is_refused() {
    assert_eq!(verdict("GET", "example.com", &[("host", "example.com")]), Err(Refusal::TargetForm));
    assert_eq!(verdict("GET", "h:80", &[("host", "h:80")]), Err(Refusal::TargetForm));
}

#[test]
fn an_absolute_target_must_name_the_host() {
    assert_eq!(verdict("GET", "http://Example.com/a", &[("host", "example.com")]), Ok(()));
    let other = verdict("GET", "http://example.org/a", &[("host", "example.com")]);
    assert_eq!(other, Err(Refusal::HostConflict));
    let port = verdict("GET", "http://example.com:81/a", &[("host", "example.com")]);
    assert_eq!(port, Err(Refusal::HostConflict));
    let user = verdict("GET", "http://u@example.com/a", &[("host", "u@example.com")]);
    assert_eq!(user, Err(Refusal::HostMalformed));
    assert_eq!(verdict("GET", "http://example.com/a", &[]), Err(Refusal::HostMissing));
    let scheme = verdict("GET", "ftp://example.com/a", &[("host", "example.com")]);
    assert_eq!(scheme, Err(Refusal::TargetForm));
}

#[test]
fn there_is_exactly_one_host() {
    assert_eq!(verdict("GET", "/a", &[]), Err(Refusal::HostMissing));
    assert_eq!(verdict("GET", "/a", &[("host", "h"), ("host", "h")]), Err(Refusal::HostDoubled));
}

#[test]
fn junk_hosts_are_refused() {
    for host in ["a", "a-b.c_d", "192.0.2.1", "192.0.2.1:8080", "[::1]", "[2001:db8::1]:443", "EXAMPLE.com."]
    {
        assert_eq!(host_verdict(host), Ok(()), "{host}");
    }
    for host in [
        "", " ", "a b", "a,b", "a/b", "a@b", "a:b", "a:", "a:99999", "a:+1", "a:1:2", "[::1", "::1",
        "[::1]x", "[]", "[a]", ".a", "a..b", "a?b", "a#b", "a\\b", "a%2fb", "ä",
    ] {
        assert_eq!(host_verdict(host), Err(Refusal::HostMalformed), "{host}");
    }
}

#[test]
fn http2_may_name_its_host_in_the_authority_alone() {
    let mut http2 = request("GET", "https://example.com/a", &[]);
    *http2.version_mut() = Version::HTTP_2;
    assert_eq!(check(&http2, true, &Limits::default()), Ok(()));
    http2.headers_mut().insert(HOST, "example.org".parse().unwrap());
    assert_eq!(check(&http2, true, &Limits::default()), Err(Refusal::HostConflict));
}

#[test]
fn long_targets_get_414_and_long_headers_431() {
    let path = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
    assert_eq!(verdict("GET", &path(8192), &[("host", "h")]), Ok(()));
    assert_eq!(verdict("GET", &path(8193), &[("host", "h")]), Err(Refusal::TargetTooLong));
    let long = "v".repeat(8192);
    assert_eq!(verdict("GET", "/", &[("host", "h"), ("x", &long)]), Err(Refusal::HeaderLineTooLong));
    let half = "v".repeat(7000);
    let many: Vec<(&str, &str)> = [("host", "h")].into_iter().chain([("x", half.as_str()); 5]).collect();
    assert_eq!(verdict("GET", "/", &many), Err(Refusal::HeaderSectionTooLarge));
    let many: Vec<(&str, &str)> = [("host", "h")].into_iter().chain([("x", "y"); 64]).collect();
    assert_eq!(verdict("GET", "/", &many), Err(Refusal::TooManyHeaders));
    assert_eq!(Refusal::TargetTooLong.status().as_u16(), 414);
    assert_eq!(Refusal::TooManyHeaders.status().as_u16(), 431);
}

#[test]
fn only_one_plain_chunked_is_a_transfer_encoding() {
    for coding in ["gzip, chunked", "chunked, chunked", "chunked;q=1", "identity", "xchunked", ""] {
        let headers = [("host", "h"), ("transfer-encoding", coding)];
        assert_eq!(verdict("POST", "/", &headers), Err(Refusal::TransferEncoding), "{coding}");
    }
    let twice = [("host", "h"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
    assert_eq!(verdict("POST", "/", &twice), Err(Refusal::TransferEncoding));
    let both = [("host", "h"), ("transfer-encoding", "chunked"), ("content-length", "3")];
    assert_eq!(verdict("POST", "/", &both), Err(Refusal::LengthConflict));
}

#[test]
fn get_and_head_have_no_body() {
    for method in [Method::GET, Method::HEAD] {
        let request = request(method.as_str(), "/", &[("host", "h"), ("content-length", "1")]);
        assert_eq!(check(&request, false, &Limits::default()), Err(Refusal::UnexpectedBody));
    }
    let request = request("POST", "/", &[("host", "h"), ("content-length", "1")]);
    assert_eq!(check(&request, false, &Limits::default()), Ok(()));
}

#[test]
fn names_that_look_like_framing_or_trust_are_refused() {
    for name in ["content_length", "transfer_encoding", "x_forwarded_for", "x-forwarded_for"] {
        assert_eq!(
            verdict("GET", "/", &[("host", "h"), (name, "1")]),
            Err(Refusal::LookAlikeHeader),
            "{name}"
        );
    }
    assert_eq!(verdict("GET", "/", &[("host", "h"), ("my_header", "1")]), Ok(()));
}
