//! Conditions of viewers against stored answers.

use http::HeaderValue;

use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT
const RECEIVED: Duration = Duration::from_secs(784_111_777);
const MODIFIED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:00:00 GMT");
const TAG: (&str, &str) = ("etag", "\"a\"");

type Fields<'a> = &'a [(&'static str, &'static str)];

fn headers(fields: Fields<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn evaluated(request: Fields<'_>, stored: Fields<'_>) -> Precondition {
    evaluate(&Method::GET, &headers(request), StatusCode::OK, &headers(stored), RECEIVED)
}

#[test]
fn a_request_without_conditions_is_met() {
    assert_eq!(evaluated(&[], &[TAG, MODIFIED]), Precondition::Met);
}

#[test]
fn a_listed_tag_is_not_modified_by_weak_comparison() {
    for value in ["\"a\"", "W/\"a\"", "\"x\", \"a\"", "\"a\", \"x\"", "*"] {
        assert_eq!(evaluated(&[("if-none-match", value)], &[TAG]), Precondition::NotModified, "{value}");
    }
    assert_eq!(evaluated(&[("if-none-match", "\"a\"")], &[("etag", "W/\"a\"")]), Precondition::NotModified);
    for value in ["\"b\"", "a", "", "\"A\""] {
        assert_eq!(evaluated(&[("if-none-match", value)], &[TAG]), Precondition::Met, "{value}");
    }
    assert_eq!(evaluated(&[("if-none-match", "\"a\"")], &[]), Precondition::Met);
}

#[test]
fn if_none_match_goes_before_if_modified_since() {
    let earlier = ("if-modified-since", "Sun, 06 Nov 1994 07:00:00 GMT");
    let same = ("if-modified-since", "Sun, 06 Nov 1994 08:00:00 GMT");
    assert_eq!(
        evaluated(&[("if-none-match", "\"a\""), earlier], &[TAG, MODIFIED]),
        Precondition::NotModified
    );
    assert_eq!(evaluated(&[("if-none-match", "\"b\""), same], &[TAG, MODIFIED]), Precondition::Met);
}

#[test]
fn what_was_not_modified_since_is_not_modified() {
    for (since, expected) in [
        ("Sun, 06 Nov 1994 08:00:00 GMT", Precondition::NotModified),
        ("Sunday, 06-Nov-94 08:00:00 GMT", Precondition::NotModified),
        ("Sun, 06 Nov 1994 08:30:00 GMT", Precondition::NotModified),
        ("Sun, 06 Nov 1994 07:59:59 GMT", Precondition::Met),
        ("yesterday", Precondition::Met),
    ] {
        assert_eq!(evaluated(&[("if-modified-since", since)], &[MODIFIED]), expected, "{since}");
    }
}

#[test]
fn without_last_modified_the_date_or_the_receipt_stands_for_it() {
    let since =
        |value| evaluated(&[("if-modified-since", value)], &[("date", "Sun, 06 Nov 1994 08:49:30 GMT")]);
    assert_eq!(since("Sun, 06 Nov 1994 08:49:30 GMT"), Precondition::NotModified);
    assert_eq!(since("Sun, 06 Nov 1994 08:49:29 GMT"), Precondition::Met);
    assert_eq!(
        evaluated(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], &[]),
        Precondition::NotModified
    );
    assert_eq!(evaluated(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], &[]), Precondition::Met);
}

#[test]
fn two_dates_are_no_condition() {
    let same = ("if-modified-since", "Sun, 06 Nov 1994 08:00:00 GMT");
    assert_eq!(evaluated(&[same, same], &[MODIFIED]), Precondition::Met);
}

#[test]
fn the_origin_judges_what_it_alone_can_know() {
    assert_eq!(evaluated(&[("if-match", "\"a\"")], &[TAG]), Precondition::Met);
    assert_eq!(evaluated(&[("if-match", "*")], &[TAG]), Precondition::Met);
    assert_eq!(evaluated(&[("if-match", "\"b\"")], &[TAG]), Precondition::AskOrigin);
    assert_eq!(evaluated(&[("if-match", "W/\"a\"")], &[("etag", "W/\"a\"")]), Precondition::AskOrigin);
    let since = |value| evaluated(&[("if-unmodified-since", value)], &[MODIFIED]);
    assert_eq!(since("Sun, 06 Nov 1994 08:00:00 GMT"), Precondition::Met);
    assert_eq!(since("Sun, 06 Nov 1994 07:00:00 GMT"), Precondition::AskOrigin);
}

#[test]
fn conditions_of_errors_and_other_methods_are_ignored() {
    let request = headers(&[("if-none-match", "*")]);
    let stored = headers(&[TAG]);
    assert_eq!(evaluate(&Method::GET, &request, StatusCode::NOT_FOUND, &stored, RECEIVED), Precondition::Met);
    assert_eq!(evaluate(&Method::POST, &request, StatusCode::OK, &stored, RECEIVED), Precondition::Met);
    assert_eq!(
        evaluate(&Method::HEAD, &request, StatusCode::OK, &stored, RECEIVED),
        Precondition::NotModified
    );
}

fn holds(condition: Fields<'_>, stored: Fields<'_>) -> bool {
    range_holds(&headers(condition), &headers(stored), RECEIVED)
}

#[test]
fn a_range_holds_for_the_representation_that_it_names() {
    assert!(holds(&[], &[TAG]));
    assert!(holds(&[("if-range", "\"a\"")], &[TAG]));
    assert!(holds(&[("if-range", "Sun, 06 Nov 1994 08:00:00 GMT")], &[MODIFIED]));
}

#[test]
fn a_range_for_another_or_an_unsure_representation_does_not_hold() {
    assert!(!holds(&[("if-range", "\"b\"")], &[TAG]));
    assert!(!holds(&[("if-range", "W/\"a\"")], &[("etag", "W/\"a\"")]));
    assert!(!holds(&[("if-range", "W/\"a\"")], &[TAG]));
    assert!(!holds(&[("if-range", "a")], &[("etag", "a")]));
    assert!(!holds(&[("if-range", "\"a\""), ("if-range", "\"a\"")], &[TAG]));
    assert!(!holds(&[("if-range", "\"a\"")], &[]));
    assert!(!holds(&[("if-range", "Sun, 06 Nov 1994 08:00:01 GMT")], &[MODIFIED]));
    assert!(!holds(&[("if-range", "Sun, 06 Nov 1994 08:00:00 GMT")], &[]));
    let in_the_same_second = [MODIFIED, ("date", "Sun, 06 Nov 1994 08:00:00 GMT")];
    assert!(!holds(&[("if-range", "Sun, 06 Nov 1994 08:00:00 GMT")], &in_the_same_second));
}

#[test]
fn a_304_says_nothing_of_a_body() {
    let mut found = headers(&[
        TAG,
        MODIFIED,
        ("content-length", "7"),
        ("content-type", "video/mp4"),
        ("cache-control", "max-age=1"),
        ("vary", "x"),
        ("content-location", "/a"),
    ]);
    not_modified(&mut found);
    assert_eq!(
        found,
        headers(&[TAG, ("cache-control", "max-age=1"), ("vary", "x"), ("content-location", "/a")])
    );
}
