//! Validation: the question, and what the answer changes.

use http::HeaderValue;

use super::*;

type Fields<'a> = &'a [(&'static str, &'static str)];

fn headers(fields: Fields<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

const TAG: (&str, &str) = ("etag", "\"a\"");
const MODIFIED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:00:00 GMT");

#[test]
fn validators_of_the_stored_answer_take_the_place_of_the_viewers() {
    let mut request = headers(&[
        ("abc", "123"),
        ("if-none-match", "\"x\""),
        ("if-none-match", "\"y\""),
        ("if-match", "\"x\""),
        ("range", "bytes=0-1"),
        ("if-range", "\"x\""),
    ]);
    assert!(make_conditional(&mut request, &headers(&[TAG, MODIFIED])));
    assert_eq!(
        request,
        headers(&[("abc", "123"), ("if-none-match", "\"a\""), ("if-modified-since", MODIFIED.1)])
    );
}

#[test]
fn without_validators_all_is_asked_for() {
    let mut request = headers(&[("if-none-match", "\"x\"")]);
    assert!(!make_conditional(&mut request, &headers(&[("etag", "")])));
    assert!(request.is_empty());
}

#[test]
fn a_304_speaks_of_the_answer_with_its_validators() {
    for (new, old, speaks) in [
        (&[TAG][..], &[TAG][..], true),
        (&[TAG], &[("etag", "W/\"a\"")], false),
        (&[("etag", "W/\"a\"")], &[TAG], true),
        (&[("etag", "W/\"b\"")], &[TAG], false),
        (&[("etag", "\"b\""), MODIFIED], &[TAG, MODIFIED], false),
        (&[TAG], &[MODIFIED], false),
        (&[MODIFIED], &[MODIFIED, TAG], true),
        (&[MODIFIED], &[TAG], false),
        (&[], &[TAG], true),
        (&[], &[], true),
    ] {
        assert_eq!(identifies(&headers(new), &headers(old)), speaks, "{new:?} {old:?}");
    }
}

#[test]
fn an_update_replaces_and_adds_and_leaves_the_rest() {
    let stored = headers(&[
        ("a", "1"),
        ("a", "2"),
        ("b", "3"),
        ("cache-control", "max-age=1"),
        ("age", "9"),
        ("date", "x"),
    ]);
    let update = headers(&[("a", "4"), ("c", "5"), ("c", "6"), ("cache-control", "max-age=3600")]);
    let merged = freshened(&stored, &update, SetCookie::Refused);
    assert_eq!(
        merged,
        headers(&[("a", "4"), ("b", "3"), ("c", "5"), ("c", "6"), ("cache-control", "max-age=3600")])
    );
}

#[test]
fn an_update_leaves_what_describes_the_stored_bytes() {
    let kept = [("content-length", "36"), ("content-encoding", "gzip"), ("content-range", "bytes 0-1/2")];
    let update = headers(&[
        ("content-length", "10"),
        ("content-encoding", "br"),
        ("content-range", "x"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("set-cookie", "a=b"),
    ]);
    assert_eq!(freshened(&headers(&kept), &update, SetCookie::Refused), headers(&kept));
    assert!(freshened(&headers(&kept), &update, SetCookie::Kept).contains_key("set-cookie"));
}

#[test]
fn an_update_that_withholds_fields_takes_them_off() {
    let update = headers(&[("cache-control", "no-cache=\"a\""), ("a", "2")]);
    let merged = freshened(&headers(&[("a", "1"), ("b", "2")]), &update, SetCookie::Refused);
    assert!(!merged.contains_key("a") && merged.contains_key("b"));
}

#[test]
fn a_head_updates_what_it_agrees_with_and_the_rest_is_stale() {
    let stored = headers(&[TAG, MODIFIED, ("content-length", "7")]);
    for agreeing in [&[][..], &[TAG], &[TAG, MODIFIED, ("content-length", "7")], &[("x", "y")]] {
        assert_eq!(head_effect(&stored, &headers(agreeing)), HeadEffect::Update, "{agreeing:?}");
    }
    for other in [("etag", "\"b\""), ("last-modified", "x"), ("content-length", "8")] {
        assert_eq!(head_effect(&stored, &headers(&[other])), HeadEffect::Stale, "{other:?}");
    }
}
