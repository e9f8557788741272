//! The rules of ACLs, and the matcher against a naive one.

use super::*;
use proptest::prelude::*;

/// The definition, word for word, in exponential time.
fn naive(pattern: &[u8], path: &[u8]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=path.len()).any(|skipped| naive(rest, &path[skipped..])),
        ([b'?', rest @ ..], [_, path @ ..]) => naive(rest, path),
        ([wanted, rest @ ..], [found, path @ ..]) => wanted == found && naive(rest, path),
        ([_, ..] | [], _) => false,
    }
}

fn allows(acl: &str, path: &str) -> bool {
    covers(&normalise(acl), path)
}

#[test]
fn a_star_is_any_run_and_crosses_slashes() {
    for acl in ["*", "/*", "/a/*", "*/b.ts", "/a/*/b.ts", "/*a*/b*", "/a/c/b.ts*"] {
        assert!(allows(acl, "/a/c/b.ts"), "{acl}");
    }
    assert!(!allows("/b/*", "/a/c/b.ts"));
}

#[test]
fn a_question_mark_is_exactly_one_byte_of_the_escaped_path() {
    assert!(allows("/akamai/edgeauth/??", "/akamai/edgeauth/ab"));
    assert!(!allows("/akamai/edgeauth/??", "/akamai/edgeauth/a"));
    assert!(!allows("/akamai/edgeauth/??", "/akamai/edgeauth/abc"));
    assert!(allows("/?????????", "/%EC%95%88"));
}

#[test]
fn without_wildcards_both_ends_are_exact() {
    assert!(allows("/a", "/a"));
    assert!(!allows("/a", "/a/"));
    assert!(!allows("/a", "/ab"));
    assert!(!allows("/a", "/A"));
}

#[test]
fn a_directory_does_not_cover_siblings_with_the_same_prefix() {
    assert!(allows("/vod/a/*", "/vod/a/x"));
    assert!(!allows("/vod/a/*", "/vod/ab/x"));
    assert!(!allows("/vod/a/*", "/vod/a"));
}

#[test]
fn empty_patterns_match_nothing() {
    for acl in ["", "!", "!!", "/b!", "!/b"] {
        assert!(!allows(acl, "/a"), "{acl:?}");
    }
    assert!(allows("!/a", "/a"));
    assert!(allows("/b!/a", "/a"));
}

#[test]
fn classes_and_expressions_are_literal() {
    for acl in ["/[a-z]", "/.", "/{a,b}", "/(a|b)", "/\\a", "^/a$"] {
        assert!(!allows(acl, "/a"), "{acl}");
    }
    assert!(allows("/[a-z]", "/[a-z]"));
}

#[test]
fn both_sides_are_compared_in_one_escaped_form() {
    assert!(allows("%2f*", "/a/b"));
    assert!(allows("%2Fa%2F%2A", "/a/b"));
    assert!(allows("%2fa%2f*%21%2fb%2f%3f.ts", "/b/1.ts"));
    assert!(!allows("%2fa%2f*%21%2fb%2f%3f.ts", "/b/12.ts"));
    assert!(allows("/a b/*", "/a%20b/x"));
    assert!(allows("%2fa+b%2f*", "/a%20b/x"));
    assert!(allows("/%61/%ec%95%88", "/a/%EC%95%88"));
    assert!(allows("/안*", "/%ec%95%88x"));
    assert!(allows("/%7Euser/*", &crate::domain::uri::path::normalise("/%7Euser/x").unwrap()));
}

#[test]
fn hostile_patterns_take_no_exponential_time() {
    let path = format!("/{}", "a".repeat(8000));
    let pattern = format!("/{}b", "*a".repeat(900));
    assert!(!allows(&pattern, &path));
    let alternatives = vec!["/*a*a*?b"; 500].join("!");
    assert!(!allows(&alternatives, &path));
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_the_definition(pattern in "[ab/*?]{0,8}", path in "/[ab/]{0,10}") {
        prop_assert_eq!(matches(pattern.as_bytes(), path.as_bytes()), naive(pattern.as_bytes(), path.as_bytes()));
    }

    #[test]
    fn a_normal_acl_is_its_own_normal_form(acl in "([a-c/*?!%~+ ]|%2[0-9a-fA-F]|%7e|é){0,12}", path in "/[a-c/]{0,6}") {
        let normal = normalise(&acl).into_owned();
        prop_assert!(!normal.contains(['~', ' ', '"', '\n']));
        let again = normalise(&normal).into_owned();
        prop_assert_eq!(&again, &normal);
        let _ = covers(&acl, &path);
    }
}
