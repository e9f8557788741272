//! The rules of the normal form, one test each.

use super::*;
use proptest::prelude::*;

fn refused(path: &str) -> PathError {
    normalise(path).expect_err(path)
}

#[test]
fn a_normal_path_is_borrowed() {
    for path in [
        "/",
        "/a/b.m3u8",
        "/a//b",
        "/a%20b/%EC%95%88%2c",
        "/v_,300,.mp4.csmil/m.m3u8",
        "/.well-known/x",
        "/a/...",
        "/a;b/c",
    ] {
        assert!(matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
    }
}

#[test]
fn escapes_of_unreserved_characters_are_decoded() {
    assert_eq!(normalise("/%61%2D%7e%5f.ts").as_deref(), Ok("/a-~_.ts"));
}

#[test]
fn dot_segments_are_resolved_in_every_spelling() {
    for (raw, normal) in [
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/./b", "/a/b"),
        ("/a/%2e/b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/..", "/"),
        ("/.", "/"),
        ("/a//../b", "/a/b"),
    ] {
        assert_eq!(normalise(raw).as_deref(), Ok(normal), "{raw}");
    }
}

#[test]
fn what_two_servers_could_read_in_two_ways_is_refused() {
    assert_eq!(refused(""), PathError::NoLeadingSlash);
    assert_eq!(refused("a/b"), PathError::NoLeadingSlash);
    for path in ["/a\0", "/a%00", "/a\nb", "/a%0d%0a", "/a b", "/a%7f", "/\u{7f}"] {
        assert_eq!(refused(path), PathError::Control, "{path:?}");
    }
    for path in ["/a\\b", "/a%5cb", "/a%5C..%5Cb"] {
        assert_eq!(refused(path), PathError::Backslash, "{path}");
    }
    for path in ["/a%2fb", "/a/..%2Fb"] {
        assert_eq!(refused(path), PathError::EscapedSlash, "{path}");
    }
    for path in ["/a/..;/b", "/a/..;x=1/b", "/a/%2e%2e;/b", "/a/..%3b/b", "/a/.;/b"] {
        assert_eq!(refused(path), PathError::DotParameter, "{path}");
    }
    for path in ["/a/%252e%252e/b", "/a%252Fb", "/a%255cb", "/a%25252eb", "/a%2500"] {
        assert_eq!(refused(path), PathError::EscapedTwice, "{path}");
    }
    for path in ["/a%", "/a%2", "/a%zz", "/%u002e/b", "/%-1"] {
        assert_eq!(refused(path), PathError::BrokenEscape, "{path}");
    }
    for path in ["/%c0%ae%c0%ae/b", "/%C1%9c", "/%e0%80%ae", "/%f0%80%80%ae"] {
        assert_eq!(refused(path), PathError::Overlong, "{path}");
    }
    for path in ["/..", "/a/../../b", "/%2e%2e/etc"] {
        assert_eq!(refused(path), PathError::AboveRoot, "{path}");
    }
    assert_eq!(refused("/a#b"), PathError::Delimiter);
    assert_eq!(refused("/a?b"), PathError::Delimiter);
}

#[test]
fn bytes_that_may_not_stand_in_a_uri_are_escaped() {
    assert_eq!(normalise("/é\"<>").as_deref(), Ok("/%C3%A9%22%3C%3E"));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_and_a_normal_form_is_its_own(path in "/?([a-c./%;\\\\]|%2[eEfF5]|%[0-9a-f]{2}|é|[\\x00-\\x7f]){0,24}") {
        if let Ok(normal) = normalise(&path) {
            prop_assert!(normal.starts_with('/'));
            prop_assert!(normal.split('/').all(|segment| Dots::of(segment) == Dots::None), "{}", normal);
            prop_assert!(normal.bytes().all(|byte| byte.is_ascii_graphic()));
            let again = normalise(&normal);
            prop_assert_eq!(again.as_deref(), Ok(normal.as_ref()));
        }
    }
}
