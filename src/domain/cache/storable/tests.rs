//! What is stored, and why the rest is not.

use std::time::Duration;

use http::HeaderValue;

use super::super::directives::ResponseDirectives;
use super::super::rules::Negative;
use super::*;

const NOW: Duration = Duration::from_secs(784_111_777);
const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const MODIFIED: (&str, &str) = ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT");

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

struct Case {
    method: Method,
    request: HeaderMap,
    status: u16,
    rules: Rules,
}

impl Default for Case {
    fn default() -> Self {
        Self { method: Method::GET, request: HeaderMap::new(), status: 200, rules: Rules::default() }
    }
}

impl Case {
    fn judge(&self, fields: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let response = headers(fields);
        let directives = ResponseDirectives::read(&response);
        let exchange = Exchange {
            method: &self.method,
            target: "https://example.com/a/b?c",
            request: &self.request,
            status: StatusCode::from_u16(self.status).expect("a status"),
            response: &response,
            directives: &directives,
            requested: NOW,
            received: NOW,
        };
        storable(&exchange, &self.rules).map(|_| ())
    }
}

fn of_status(status: u16, fields: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
    Case { status, ..Case::default() }.judge(fields)
}

fn ok(fields: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
    Case::default().judge(fields)
}

#[test]
fn only_get_is_stored() {
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS, Method::DELETE] {
        assert_eq!(Case { method, ..Case::default() }.judge(&[FRESH]), Err(Refusal::Method));
    }
    assert_eq!(ok(&[FRESH]), Ok(()));
}

#[test]
fn a_post_that_locates_itself_is_stored_by_rule() {
    let rules = Rules { keeps_post: true, ..Rules::default() };
    let post = Case { method: Method::POST, rules, ..Case::default() };
    assert_eq!(post.judge(&[FRESH, ("content-location", "/a/b?c")]), Ok(()));
    assert_eq!(post.judge(&[FRESH, ("content-location", "https://example.com/a/b?c")]), Ok(()));
    assert_eq!(post.judge(&[FRESH, ("content-location", "/a/b")]), Err(Refusal::Method));
    assert_eq!(post.judge(&[FRESH]), Err(Refusal::Method));
    assert_eq!(post.judge(&[MODIFIED, ("content-location", "/a/b?c")]), Err(Refusal::Method));
}

#[test]
fn parts_and_answers_to_conditions_are_not_stored_as_whole() {
    for status in [103, 206, 304, 412, 416] {
        assert_eq!(of_status(status, &[FRESH]), Err(Refusal::Status), "{status}");
    }
}

#[test]
fn any_final_status_with_a_stated_lifetime_is_stored() {
    for status in [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599] {
        assert_eq!(of_status(status, &[FRESH]), Ok(()), "{status}");
    }
}

#[test]
fn without_a_stated_lifetime_only_some_statuses_are_stored() {
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(of_status(status, &[MODIFIED]), Ok(()), "{status}");
    }
    for status in [201, 202, 302, 307, 403, 500, 502, 503, 504, 599] {
        assert_eq!(of_status(status, &[MODIFIED]), Err(Refusal::NoLifetime), "{status}");
    }
    assert_eq!(of_status(599, &[MODIFIED, ("cache-control", "public")]), Ok(()));
}

#[test]
fn errors_are_stored_by_rule() {
    let statuses = vec![StatusCode::SERVICE_UNAVAILABLE];
    let negative = Negative { lifetime: Duration::from_secs(1), statuses };
    let case = Case { status: 503, rules: Rules { negative, ..Rules::default() }, ..Case::default() };
    assert_eq!(case.judge(&[]), Ok(()));
    assert_eq!(case.judge(&[("cache-control", "no-store")]), Err(Refusal::NoStore));
}

#[test]
fn no_store_and_private_are_not_stored() {
    for (control, refusal) in [
        ("max-age=60, no-store", Refusal::NoStore),
        ("No-StOrE", Refusal::NoStore),
        ("private, max-age=60", Refusal::Private),
    ] {
        assert_eq!(ok(&[("cache-control", control)]), Err(refusal), "{control}");
    }
    assert_eq!(ok(&[("cache-control", "max-age=60, private=\"x\"")]), Ok(()));
    assert_eq!(ok(&[FRESH, ("cdn-cache-control", "private")]), Err(Refusal::Private));
    assert_eq!(ok(&[("cache-control", "no-store"), ("cdn-cache-control", "max-age=9")]), Ok(()));
}

#[test]
fn must_understand_lifts_no_store_for_a_status_that_is_understood() {
    let control = ("cache-control", "max-age=3600, no-store, must-understand");
    assert_eq!(ok(&[control]), Ok(()));
    assert_eq!(of_status(599, &[control]), Err(Refusal::NotUnderstood));
}

#[test]
fn an_authorised_answer_is_stored_only_when_it_is_for_all() {
    let request = headers(&[("authorization", "Basic x")]);
    let case = Case { request, ..Case::default() };
    assert_eq!(case.judge(&[FRESH]), Err(Refusal::Personal));
    for control in ["max-age=60, public", "max-age=60, must-revalidate", "s-maxage=60"] {
        assert_eq!(case.judge(&[("cache-control", control)]), Ok(()), "{control}");
    }
}

#[test]
fn an_answer_to_a_cookie_is_stored_only_when_it_is_for_all() {
    let case = Case { request: headers(&[("cookie", "user=1")]), ..Case::default() };
    assert_eq!(case.judge(&[FRESH]), Err(Refusal::Personal));
    assert_eq!(case.judge(&[("cache-control", "max-age=60, public")]), Ok(()));
}

#[test]
fn a_cookie_for_one_viewer_is_not_stored_for_others() {
    let cookie = ("set-cookie", "a=b");
    assert_eq!(ok(&[FRESH, cookie]), Err(Refusal::SetCookie));
    for set_cookie in [SetCookie::Dropped, SetCookie::Kept] {
        let case = Case { rules: Rules { set_cookie, ..Rules::default() }, ..Case::default() };
        assert_eq!(case.judge(&[FRESH, cookie]), Ok(()));
    }
}

#[test]
fn a_viewer_keeps_answers_out_only_by_rule() {
    let request = headers(&[("cache-control", "no-store")]);
    let ignored = Case { request, ..Case::default() };
    assert_eq!(ignored.judge(&[FRESH]), Ok(()));
    let honoured = Case { rules: Rules { honour_client_directives: true, ..Rules::default() }, ..ignored };
    assert_eq!(honoured.judge(&[FRESH]), Err(Refusal::Viewer));
}

#[test]
fn an_answer_that_no_request_selects_is_not_stored() {
    assert_eq!(ok(&[FRESH, ("vary", "foo"), ("vary", "*")]), Err(Refusal::VaryStar));
    assert_eq!(ok(&[FRESH, ("vary", "foo")]), Ok(()));
}

#[test]
fn a_kind_that_is_not_stored_is_stored_when_the_origin_says_so() {
    let case = Case { rules: Rules { unstated: Unstated::NotStored, ..Rules::default() }, ..Case::default() };
    assert_eq!(case.judge(&[MODIFIED]), Err(Refusal::NoLifetime));
    assert_eq!(case.judge(&[FRESH]), Ok(()));
    let forced_lifetime = Some(Duration::from_secs(5));
    let case = Case { rules: Rules { forced_lifetime, ..case.rules }, ..Case::default() };
    assert_eq!(case.judge(&[]), Ok(()));
}

#[test]
fn what_can_never_be_used_is_not_stored() {
    assert_eq!(ok(&[]), Err(Refusal::Useless));
    assert_eq!(ok(&[("cache-control", "max-age=60, no-cache")]), Err(Refusal::Useless));
    assert_eq!(ok(&[("cache-control", "max-age=60"), ("age", "60")]), Err(Refusal::Useless));
    assert_eq!(ok(&[("cache-control", "no-cache"), ("etag", "\"a\"")]), Ok(()));
    assert_eq!(ok(&[("cache-control", "max-age=0, stale-if-error=60")]), Ok(()));
    assert_eq!(ok(&[("cache-control", "max-age=0"), MODIFIED]), Ok(()));
}

#[test]
fn withheld_fields_and_cookies_are_taken_off() {
    let mut response = headers(&[
        ("a", "1"),
        ("b", "2"),
        ("set-cookie", "x=y"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
    ]);
    withhold(&mut response, &[HeaderName::from_static("a")], SetCookie::Dropped);
    assert_eq!(response, headers(&[("b", "2")]));
    let mut response = headers(&[("set-cookie", "x=y")]);
    withhold(&mut response, &[], SetCookie::Kept);
    assert_eq!(response.len(), 1);
}

#[test]
fn a_body_of_another_length_than_announced_is_not_whole() {
    assert!(is_whole(&headers(&[]), 7));
    assert!(is_whole(&headers(&[("content-length", "7")]), 7));
    assert!(is_whole(&headers(&[("content-length", "7, 7"), ("content-length", "7")]), 7));
    for length in ["6", "8", "7, 8", "x", "", "-7"] {
        assert!(!is_whole(&headers(&[("content-length", length)]), 7), "{length}");
    }
}
