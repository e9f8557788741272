//! Selecting among the answers for one URL.

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

fn selects(vary: &str, stored: &[(&'static str, &str)], presented: &[(&'static str, &str)]) -> bool {
    let response = headers(&[("vary", vary)]);
    Selector::of(&headers(stored), &response, &[])
        .is_some_and(|selector| selector.selects(&headers(presented)))
}

#[test]
fn an_answer_without_vary_fits_every_request() {
    let selector =
        Selector::of(&headers(&[("foo", "1")]), &HeaderMap::new(), &[]).expect("it may be selected");
    assert!(selector.selects(&headers(&[("foo", "2")])) && selector.secondary_key().is_empty());
}

#[test]
fn the_star_fits_no_request_wherever_it_stands() {
    for lines in [
        &["*"][..],
        &["*, *"],
        &["*", "*"],
        &[", *"],
        &["", "*"],
        &["*, Foo"],
        &["Foo, *"],
        &["Foo", "*"],
        &["a b"],
    ] {
        let fields: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
        assert_eq!(Selection::read(&headers(&fields), &[]), Selection::Never, "{lines:?}");
        assert!(Selector::of(&HeaderMap::new(), &headers(&fields), &[]).is_none());
    }
}

#[test]
fn all_lines_of_vary_count() {
    let response = headers(&[("vary", "foo"), ("vary", "bar, Foo")]);
    assert_eq!(
        Selection::read(&response, &[]),
        Selection::By(vec!["bar".parse().expect("a name"), "foo".parse().expect("a name")])
    );
    let selector = Selector::of(&headers(&[("foo", "1"), ("bar", "2")]), &response, &[]).expect("selectable");
    assert!(selector.selects(&headers(&[("foo", "1"), ("bar", "2"), ("other", "3")])));
    assert!(!selector.selects(&headers(&[("foo", "1"), ("bar", "3")])));
}

#[test]
fn a_field_that_the_edge_answers_itself_selects_nothing() {
    let response = headers(&[("vary", "Origin, Foo")]);
    let ignored = [http::header::ORIGIN];
    let selector =
        Selector::of(&headers(&[("origin", "https://a")]), &response, &ignored).expect("selectable");
    assert!(selector.selects(&headers(&[("origin", "https://b")])));
}

#[test]
fn a_value_matches_only_itself_and_absence_only_absence() {
    assert!(selects("foo", &[("foo", "1")], &[("foo", "1")]));
    assert!(!selects("foo", &[("foo", "1")], &[("foo", "2")]));
    assert!(!selects("foo", &[], &[("foo", "1")]));
    assert!(!selects("foo", &[("foo", "1")], &[]));
    assert!(!selects("foo", &[], &[("foo", "")]));
    assert!(selects("foo, bar", &[("bar", "x")], &[("bar", "x")]));
}

#[test]
fn lines_and_white_space_do_not_matter() {
    assert!(selects("foo", &[("foo", "1, 2")], &[("foo", "1"), ("foo", "2")]));
    assert!(selects("foo", &[("foo", "1,2")], &[("foo", " 1,  2 ")]));
    assert!(!selects("foo", &[("foo", "1,2")], &[("foo", "2,1")]));
    assert!(!selects("foo", &[("foo", "\"1,2\"")], &[("foo", "\"1, 2\"")]));
}

#[test]
fn languages_match_in_any_order_and_case() {
    let stored = [("accept-language", "en, de;q=0.50")];
    assert!(selects("accept-language", &stored, &[("accept-language", "DE;q=0.5,eN;q=1.0")]));
    assert!(!selects("accept-language", &stored, &[("accept-language", "en;q=0.5, de")]));
}

#[test]
fn the_language_that_a_client_prefers_to_all_others_fits() {
    let response = headers(&[("vary", "accept-language"), ("content-language", "de")]);
    let selector =
        Selector::of(&headers(&[("accept-language", "en, de")]), &response, &[]).expect("selectable");
    let fits = |accepted: &str| selector.selects(&headers(&[("accept-language", accepted)]));
    assert!(fits("fr;q=0.5, de;q=1.0") && fits("DE"));
    for accepted in ["fr, de", "de, fr", "fr;q=0.9, de;q=0.8", "de;q=0", "de-ch", "fr, en;q=0.1, de"] {
        assert!(!fits(accepted), "{accepted}");
    }
}

#[test]
fn codings_are_reduced_to_what_could_be_chosen() {
    let stored = [("accept-encoding", "gzip, br")];
    for accepted in
        ["br,gzip", "BR;q=0.8 , x-gzip", "gzip, br, quux", "gzip, br, zstd;q=0", "gzip,br,identity"]
    {
        assert!(selects("accept-encoding", &stored, &[("accept-encoding", accepted)]), "{accepted}");
    }
    for accepted in ["gzip", "br, gzip, zstd", "gzip, br, *", "gzip, br, identity;q=0", "gzip;q=0, br", ""] {
        assert!(!selects("accept-encoding", &stored, &[("accept-encoding", accepted)]), "{accepted}");
    }
}

proptest! {
    #[test]
    fn a_request_selects_what_it_brought(
        values in proptest::collection::vec(("[a-c]", proptest::collection::vec(0x20_u8..0x7f, 0..12)), 0..5),
        vary in proptest::sample::subsequence(vec!["a", "b", "c", "accept-language", "accept-encoding"], 0..5),
    ) {
        let mut request = HeaderMap::new();
        for (name, value) in &values {
            let name: HeaderName = name.parse().expect("a name");
            request.append(name, HeaderValue::from_bytes(value).expect("a value"));
            request.append(ACCEPT_LANGUAGE, HeaderValue::from_bytes(value).expect("a value"));
        }
        let response = headers(&[("vary", &vary.join(", "))]);
        let selector = Selector::of(&request, &response, &[]).expect("no star");
        prop_assert!(selector.selects(&request));
    }

    #[test]
    fn requests_with_the_same_secondary_key_select_the_same(
        one in "[ -~]{0,16}", other in "[ -~]{0,16}",
        name in proptest::sample::select(vec!["foo", "accept-language", "accept-encoding"]),
    ) {
        let response = headers(&[("vary", name)]);
        let (one, other) = (headers(&[(name, &one)]), headers(&[(name, &other)]));
        let selector = Selector::of(&one, &response, &[]).expect("no star");
        let key = Selector::of(&other, &response, &[]).expect("no star").secondary_key();
        prop_assert_eq!(selector.selects(&other), selector.secondary_key() == key);
    }

    #[test]
    fn random_codings_make_few_variants(accepted in "[a-z*;=,.0-9 ]{0,40}") {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT_ENCODING, HeaderValue::from_str(&accepted).expect("a value"));
        let response = headers(&[("vary", "accept-encoding")]);
        let key = Selector::of(&request, &response, &[]).expect("no star").secondary_key();
        let longest = "accept-encoding:*,br,compress,dcb,dcz,deflate,gzip,identity;q=0,zstd\n";
        prop_assert!(key.len() <= longest.len());
    }
}
