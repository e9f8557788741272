//! The rules of the carriers.

use proptest::prelude::*;

use super::*;
use crate::domain::session::{Life, Sessions, Settings};
use crate::domain::token::grant::{Clients, Grant, Scope};
use crate::domain::token::key::Secret;
use crate::domain::token::keys::Keys;

fn session() -> Session {
    let key = Secret::from_text("key").unwrap();
    let grant = Grant {
        scope: Scope::Url,
        expires: 0,
        clients: Clients::Any,
        session_id: Some("s;1".to_owned()),
        payload: Some("a,b".to_owned()),
        nonce: None,
        key_name: "key".into(),
    };
    Sessions::new("example", &Keys::of([("key", key)]), Settings::default()).mint(
        &grant,
        Life::Fixed { media_duration: None },
        b"",
        Duration::from_secs(1_700_000_000),
    )
}

fn split(path: &str) -> (String, Option<&str>, usize) {
    let split = split_path(path, "hdntl").unwrap();
    (split.path.into_owned(), split.value, split.depth)
}

#[test]
fn the_component_is_taken_out_wherever_it_stands() {
    assert_eq!(split("/a/hdntl=T/b.m3u8"), ("/a/b.m3u8".to_owned(), Some("T"), 0));
    assert_eq!(split("/hdntl=T/a/b/c.ts"), ("/a/b/c.ts".to_owned(), Some("T"), 2));
    assert_eq!(split("/a/hdntl=T"), ("/a/".to_owned(), Some("T"), 0));
    assert_eq!(split("/hdntl=T"), ("/".to_owned(), Some("T"), 0));
    assert_eq!(split("/hdntl=T/"), ("/".to_owned(), Some("T"), 0));
    assert_eq!(split("/a/hdntl=exp=1~acl=%2f*/b"), ("/a/b".to_owned(), Some("exp=1~acl=%2f*"), 0));
    assert_eq!(split("/a/hdntl%3Dexp%3D1/b"), ("/a/b".to_owned(), Some("exp%3D1"), 0));
    assert_eq!(split("/a/b.m3u8"), ("/a/b.m3u8".to_owned(), None, 0));
    assert_eq!(split("/a/hdntl=T/x/../b"), ("/a/x/../b".to_owned(), Some("T"), 0));
    assert!(matches!(split_path("/hdntl=T/a", "hdntl").unwrap().path, Cow::Borrowed("/a")));
}

#[test]
fn look_alikes_are_not_the_component() {
    for path in ["/xhdntl=T/a", "/hdntlx=T/a", "/Hdntl=T/a", "/hdntl/a", "/a;hdntl=T/b", "/a/b?hdntl=T"] {
        assert_eq!(split(path).1, None, "{path}");
    }
}

#[test]
fn two_components_or_a_way_through_one_are_refused() {
    assert_eq!(split_path("/hdntl=T/a/hdntl=T/b", "hdntl"), Err(Reason::DuplicateToken));
    for path in
        ["/a/hdntl=T/../b", "/a/hdntl=T/%2e%2E/b", "/a/hdntl=T/x/../../b", "/%68dntl=T/a", "/hdntl%3dT/../b"]
    {
        assert_eq!(split_path(path, "hdntl"), Err(Reason::Malformed), "{path}");
    }
}

#[test]
fn a_cookie_is_found_by_its_exact_name() {
    let headers = ["a=1; xhdntl=2; hdntl=T=~x; hdntlx=3", "Hdntl=4"];
    assert_eq!(cookie(headers, "hdntl"), Ok(Some("T=~x")));
    assert_eq!(cookie(["hdntl=\"T\"", "a=1"], "hdntl"), Ok(Some("T")));
    assert_eq!(cookie(["a=hdntl=T"], "hdntl"), Ok(None));
    assert_eq!(cookie(["hdntl=T; hdntl=T", "hdntl=T"], "hdntl"), Ok(Some("T")));
    assert_eq!(cookie(["hdntl=T", "hdntl=U"], "hdntl"), Err(Reason::DuplicateToken));
    assert_eq!(sole(["T", "T"]), Ok(Some("T")));
    assert_eq!(sole(["T", ""]), Err(Reason::DuplicateToken));
}

#[test]
fn a_cookie_holds_nothing_that_rfc_6265_forbids() {
    let value = session().cookie_value();
    assert!(
        value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')),
        "{value}"
    );
    assert!(value.contains("~id=s%3b1~data=hdntl%2ca%2cb~"), "{value}");
}

#[test]
fn set_cookie_carries_the_configured_attributes() {
    let settings =
        CookieSettings { domain: "example.com".to_owned(), partitioned: true, ..CookieSettings::default() };
    let header = settings.set("hdntl", &session());
    let attributes = "; Domain=example.com; Path=/; Expires=Wed, 15 Nov 2023 22:13:00 GMT; SameSite=None; Secure; HttpOnly; Partitioned";
    assert!(header.starts_with("hdntl=exp=1700086380~acl=%2f*~"), "{header}");
    assert!(header.ends_with(attributes), "{header}");
    let plain = CookieSettings {
        same_site: SameSite::Lax,
        secure: false,
        http_only: false,
        ..CookieSettings::default()
    };
    assert_eq!(
        plain.clear("hdntl"),
        "hdntl=expired; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; SameSite=Lax"
    );
}

proptest! {
    #[test]
    fn what_is_put_into_a_path_is_taken_out(before in "(/[a-z.]{1,4}x){0,3}", after in "(/[a-z]{1,4}){1,3}") {
        let component = session().path_component();
        let raw = format!("{before}/{component}{after}");
        let split = split_path(&raw, "hdntl").unwrap();
        prop_assert_eq!(split.path.as_ref(), format!("{before}{after}"));
        prop_assert_eq!(split.value, component.strip_prefix("hdntl="));
        prop_assert_eq!(split.depth, after.matches('/').count() - 1);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "(/|hdntl=|hdntl%3d|%2e|\\.|[a-c;=\" ]|%|é){0,24}") {
        let _ = split_path(&text, "hdntl");
        let _ = cookie([text.as_str()], "hdntl");
    }
}
