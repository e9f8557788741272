//! How `Cache-Control` is read.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).expect("a field value"));
    }
    headers
}

fn response(line: &str) -> ResponseDirectives {
    ResponseDirectives::read(&headers(&[("cache-control", line)]))
}

fn request(line: &str) -> RequestDirectives {
    RequestDirectives::read(&headers(&[("cache-control", line)]))
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn names_are_compared_in_any_case() {
    let read = response("MaX-aGe=3600, NO-STORE, S-MaxAge=7");
    assert_eq!((read.max_age, read.shared_max_age), (Some(secs(3600)), Some(secs(7))));
    assert!(read.has(Flag::NoStore) && !read.has(Flag::NoCache));
}

#[test]
fn the_quoted_form_of_a_number_counts() {
    assert_eq!(response("max-age=\"3600\"").max_age, Some(secs(3600)));
    assert_eq!(request("max-age=\"5\"").max_age, Some(secs(5)));
}

#[test]
fn a_number_that_is_none_is_over_at_once() {
    for value in [
        "max-age =60",
        "max-age= 60",
        "max-age=-1",
        "max-age=1e9",
        "max-age='3600'",
        "max-age=3600.5",
        "max-age=a1",
        "max-age",
        "max-age=",
    ] {
        assert_eq!(response(value).max_age, Some(secs(0)), "{value}");
    }
}

#[test]
fn a_number_too_great_is_the_greatest() {
    assert_eq!(response("max-age=99999999999").max_age, Some(secs(2_147_483_648)));
    assert_eq!(response("max-age=99999999999999999999999999999").max_age, Some(secs(2_147_483_648)));
    assert_eq!(response("max-age=003600").max_age, Some(secs(3600)));
}

#[test]
fn the_same_number_twice_counts_and_two_different_ones_are_over_at_once() {
    assert_eq!(response("max-age=60, max-age=60").max_age, Some(secs(60)));
    assert_eq!(response("max-age=1800, max-age=1").max_age, Some(secs(0)));
    let lines = headers(&[("cache-control", "max-age=1"), ("cache-control", "max-age=1800")]);
    assert_eq!(ResponseDirectives::read(&lines).max_age, Some(secs(0)));
}

#[test]
fn a_directive_inside_a_quoted_string_is_none() {
    assert_eq!(response("extension=\"max-age=3600\", max-age=1").max_age, Some(secs(1)));
    assert_eq!(response("max-age=1, extension=\"max-age=3600, no-store\"").max_age, Some(secs(1)));
    assert!(!response("extension=\"no-store\"").has(Flag::NoStore));
}

#[test]
fn a_field_that_ends_in_a_quote_is_not_stored() {
    assert!(response("max-age=60, extension=\"x, private").has(Flag::NoStore));
}

#[test]
fn named_fields_are_withheld_and_the_rest_is_free() {
    let read = response("no-cache=\"a, B\", private=c, max-age=9");
    assert!(!read.has(Flag::NoCache) && !read.has(Flag::Private));
    assert_eq!(read.withheld, ["a", "b", "c"]);
}

#[test]
fn a_list_of_fields_that_names_none_means_the_whole_answer() {
    for value in ["no-cache = \"a\"", "no-cache=\"\"", "no-cache=\"a b\"", "no-cache=\"(\""] {
        let read = response(value);
        assert!(read.has(Flag::NoCache) && read.withheld.is_empty(), "{value}");
    }
}

#[test]
fn an_unknown_directive_changes_nothing() {
    assert_eq!(response("foobar, max-age=3600, x=y"), response("max-age=3600"));
}

#[test]
fn max_stale_without_a_number_has_no_limit() {
    assert_eq!(request("max-stale").max_stale, Some(Duration::MAX));
    assert_eq!(request("max-stale=10").max_stale, Some(secs(10)));
    assert_eq!(request("max-stale=x").max_stale, Some(secs(0)));
}

#[test]
fn pragma_counts_only_where_cache_control_is_silent() {
    assert!(RequestDirectives::read(&headers(&[("pragma", "x, No-Cache")])).no_cache());
    assert!(!RequestDirectives::read(&headers(&[("pragma", "other")])).no_cache());
    let both = headers(&[("pragma", "no-cache"), ("cache-control", "max-age=60")]);
    assert!(!RequestDirectives::read(&both).no_cache());
}

#[test]
fn a_viewer_may_ask_for_what_is_stored_or_nothing() {
    let read = request("only-if-cached, min-fresh=30, no-store, stale-if-error=5");
    assert!(read.only_if_cached() && read.no_store() && !read.no_cache());
    assert_eq!((read.min_fresh, read.stale_if_error), (Some(secs(30)), Some(secs(5))));
}

proptest! {
    #[test]
    fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            let mut headers = HeaderMap::new();
            headers.append(CACHE_CONTROL, value.clone());
            headers.append("cdn-cache-control", value.clone());
            headers.append("surrogate-control", value);
            let _ = (ResponseDirectives::read(&headers), RequestDirectives::read(&headers));
        }
    }

    #[test]
    fn directives_mean_the_same_in_any_order_and_spacing(
        mut parts in proptest::sample::subsequence(
            vec!["max-age=7", "s-maxage=9", "no-store", "public", "x=\"a,b\"", "no-cache=\"q\"", "immutable"],
            0..7,
        ),
        gap in "[ \t]{0,3}",
    ) {
        let forwards = response(&parts.join(","));
        parts.reverse();
        let backwards = response(&parts.join(&format!("{gap},,{gap}")));
        prop_assert_eq!(forwards, backwards);
    }
}
