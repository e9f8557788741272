//! The published vectors of secure links, and the rules of their verification.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::domain::token::presented::Head;
use crate::domain::uri::path::normalise;

const NOW: UnixTime = Duration::from_secs(1_700_000_000);
const END: &str = "1700000300";

fn client() -> IpAddr {
    "203.0.113.7".parse().unwrap()
}

fn settings(secret: &str, expression: &str) -> Settings {
    let expression: Expression = expression.parse().unwrap();
    Settings {
        directory_expression: expression.clone(),
        expression,
        ..Settings::with_key(Secret::from_text(secret).unwrap())
    }
}

fn in_path() -> Verifier {
    Verifier::new(Settings {
        path_prefix: Some("/p".to_owned()),
        ..settings("mysecret", "$secret$uri$expires")
    })
}

/// Judges the link `?st=…&e=…` of `target`.
fn judge(verifier: &Verifier, target: &str, now: UnixTime) -> Result<Grant, Reason> {
    let (path, query) = target.split_once('?').unwrap();
    let value = query::values(query, "st").next().unwrap();
    let normal = normalise(path).unwrap();
    let base = Presented::for_path(value, &normal, client());
    verifier.verify(&Presented { raw_path: path, head: Head { target, ..base.head }, ..base }, now)
}

fn judge_in_path(verifier: &Verifier, target: &str, now: UnixTime) -> Result<Grant, Reason> {
    let leading = verifier.leading_token(target)?.ok_or(Reason::NoToken)?;
    let path = normalise(&target[leading.bytes..]).unwrap().into_owned();
    let base = Presented::for_path(leading.value, &path, client());
    verifier.verify(&Presented { location: Location::Path, ..base }, now)
}

fn link(verifier: &Verifier, uri: &str, expires: &str) -> String {
    let base = Presented::for_path("", uri, client());
    let values = Values { uri, expires, client: client(), head: base.head };
    format!("{uri}?st={}&e={expires}", verifier.sign(Location::Query, &values, NOW))
}

fn directory_link(verifier: &Verifier, directory: &str, file: &str) -> String {
    let base = Presented::for_path("", directory, client());
    let values = Values { uri: directory, expires: END, client: client(), head: base.head };
    format!("/p/{}/{END}{directory}{file}", verifier.sign(Location::Path, &values, NOW))
}

/// The seed *Azion Secure Token Authentication*: `secret = 'mysecret'`, `uri = '/my/uri'`, `expire = '1470055000'`.
#[test]
fn the_published_link_of_azion_holds_until_its_end() {
    let verifier = Verifier::new(settings("mysecret", "$secret$uri$expires"));
    let target = "/my/uri?st=m6WCATfRgS_5lcyChCPgrw&e=1470055000";
    let at = |seconds| judge(&verifier, target, Duration::from_secs(seconds));
    assert_eq!(at(1_470_055_000).map(|grant| (grant.expires, grant.scope)), Ok((1_470_055_000, Scope::Url)));
    assert_eq!(at(1_470_055_001), Err(Reason::Expired), "good, and over");
    let changed = target.replace("1470055000", "1470055999");
    assert_eq!(judge(&verifier, &changed, NOW), Err(Reason::BadSignature), "a wrong end is no expired link");
}

/// nginx's documentation of `secure_link_md5`: `echo -n '2147483647/s/link127.0.0.1 secret' | openssl md5 -binary | openssl
/// base64 | tr +/ -_ | tr -d =`, of which it gives `_e4Nc3iduzkWRm01TBBNYw` for the address 127.0.0.1.
#[test]
fn the_published_link_of_nginx_holds_for_its_address() {
    let verifier = Verifier::new(Settings {
        expires_name: Some("expires".to_owned()),
        ..settings("secret", "$secure_link_expires$uri$remote_addr $secret")
    });
    let target = "/s/link?st=_e4Nc3iduzkWRm01TBBNYw&expires=2147483647";
    let for_client = |client: &str| {
        let base = Presented::for_path("_e4Nc3iduzkWRm01TBBNYw", "/s/link", client.parse().unwrap());
        verifier.verify(&Presented { head: Head { target, ..base.head }, ..base }, NOW)
    };
    let grant = for_client("127.0.0.1").expect("a grant");
    assert_eq!(grant.clients, Clients::Address("127.0.0.1".to_owned()));
    assert!(for_client("::ffff:127.0.0.1").is_ok());
    assert_eq!(for_client("127.0.0.2"), Err(Reason::BadSignature));
}

#[test]
fn a_signed_directory_opens_all_that_lies_under_it() {
    let verifier = in_path();
    for file in ["master.m3u8", "360p/level.m3u8", "360p/a/b/seg0.m4s"] {
        let grant = judge_in_path(&verifier, &directory_link(&verifier, "/vod/film/", file), NOW);
        assert_eq!(grant.map(|grant| grant.scope), Ok(Scope::Acl("/vod/film/*".to_owned())), "{file}");
    }
    let link = directory_link(&verifier, "/vod/film/", "master.m3u8");
    for outside in ["/vod/other/", "/vod/", "/"] {
        let moved = link.replace("/vod/film/", outside);
        assert_eq!(judge_in_path(&verifier, &moved, NOW), Err(Reason::BadSignature), "{moved}");
    }
    let end = Duration::from_secs(1_700_000_301);
    assert_eq!(judge_in_path(&verifier, &link, end), Err(Reason::Expired));
}

#[test]
fn a_directory_whose_name_an_acl_cannot_say_is_not_carried() {
    let verifier = in_path();
    let grant = judge_in_path(&verifier, &directory_link(&verifier, "/a!b/", "x.ts"), NOW);
    assert_eq!(grant.map(|grant| grant.scope), Ok(Scope::Condition));
}

#[test]
fn what_only_resembles_a_token_in_a_path_is_none() {
    let verifier = in_path();
    let link = directory_link(&verifier, "/vod/", "a.ts");
    let signature = &link[3..25];
    for odd in [
        "/p/short/1700000300/vod/a.ts".to_owned(),
        format!("/p/{signature}/x/vod/a.ts"),
        format!("/p/{signature}/{END}"),
        format!("/q/{signature}/{END}/vod/a.ts"),
        format!("/x{link}"),
    ] {
        assert_eq!(verifier.leading_token(&odd), Ok(None), "{odd}");
    }
    let disguised = format!("/p/%{:02x}{}", signature.as_bytes()[0], &link[4..]);
    assert_eq!(verifier.leading_token(&disguised), Err(Reason::Malformed), "{disguised}");
}

#[test]
fn the_path_is_signed_decoded_or_as_it_came() {
    let verifier = Verifier::new(settings("s", "$secret$uri$expires"));
    for signed in ["/\u{e9} x/a.ts", "/%c3%a9%20x/a.ts"] {
        let target = link(&verifier, signed, END).replace(signed, "/%c3%a9%20x/a.ts");
        assert!(judge(&verifier, &target, NOW).is_ok(), "{signed}");
    }
}

#[test]
fn parts_that_are_missing_doubled_or_odd_are_refused() {
    let verifier = Verifier::new(settings("s", "$secret$uri$expires"));
    let good = link(&verifier, "/a", END);
    assert!(judge(&verifier, &good, NOW).is_ok());
    for (target, reason) in [
        (good.replace("&e=", "&f="), Reason::Malformed),
        (format!("{good}&e=1"), Reason::DuplicateToken),
        (good.replace("e=1", "e=+1"), Reason::Malformed),
        (good.replace("e=1", "e=01"), Reason::Malformed),
        (good.replace("e=1", "e=99999999999999999991"), Reason::Malformed),
        (good.replace("st=", "st=A"), Reason::Malformed),
        ("/a?st=x&e=1".to_owned(), Reason::Malformed),
    ] {
        assert_eq!(judge(&verifier, &target, NOW), Err(reason), "{target}");
    }
    assert!(judge(&verifier, &good.replace("&e=", "%3d%3d&e="), NOW).is_ok(), "padding is let pass");
}

#[test]
fn an_end_too_far_ahead_is_refused() {
    let ahead = Some(Duration::from_secs(299));
    let verifier =
        Verifier::new(Settings { expiry_ahead_max: ahead, ..settings("s", "$secret$uri$expires") });
    assert_eq!(judge(&verifier, &link(&verifier, "/a", END), NOW), Err(Reason::ExpiryTooFar));
    assert!(judge(&verifier, &link(&verifier, "/a", "1700000299"), NOW).is_ok());
}

#[test]
fn the_story_names_the_mistake() {
    let verifier = Verifier::new(settings("mysecret", "$secret$uri$expires"));
    let story = |target: &str| {
        let (path, query) = target.split_once('?').unwrap();
        let value = query::values(query, "st").next().unwrap();
        let base = Presented::for_path(value, path, client());
        verifier.explain(&Presented { head: Head { target, ..base.head }, ..base }, NOW)
    };
    let good = story(&link(&verifier, "/a/b", END));
    assert!(good.valid, "{good:?}");
    assert_eq!(good.string_to_sign.as_deref(), Some("<secret>/a/b1700000300"));
    for (target, cure) in [
        (link(&verifier, "/a/", END).replace("/a/?", "/a/b?"), "signed for the directory"),
        (link(&verifier, "a/b", END).replace("a/b?", "/a/b?"), "without its first slash"),
        (link(&verifier, "/a/b", "1700000300000"), "milliseconds"),
        ("/a/b?st=9ba582013 7d1812ff995cc828423e0af&e=1".replace(' ', ""), "in hex"),
        ("/a/b?st=m6WCATfRgS/5lcyChCPgrw&e=1".to_owned(), "plain base64"),
        (link(&verifier, "/a/b", END).replace("&e=", "&x="), "add e="),
    ] {
        let story = story(&target);
        assert!(story.cures.iter().any(|told| told.contains(cure)), "{cure}: {story:?}");
        assert!(!format!("{story:?}").contains("mysecret"), "the secret is not shown");
    }
}

proptest! {
    #[test]
    fn a_changed_byte_is_refused(at in 0_usize..22, to in "[A-Za-z0-9_-]") {
        let verifier = Verifier::new(settings("s", "$secret$uri$expires"));
        let good = link(&verifier, "/a", END);
        let start = good.find("st=").unwrap() + 3 + at;
        let mut changed = good.clone();
        changed.replace_range(start..=start, &to);
        prop_assert!(changed == good || judge(&verifier, &changed, NOW).is_err(), "{}", changed);
    }

    #[test]
    fn arbitrary_text_never_panics(value in ".{0,40}|[A-Za-z0-9_-]{22}", query in "(e=[0-9]{0,20}|st=|&|e|%){0,6}", path in "/(p/|[a-z%/.A-Z0-9_-]){0,40}") {
        let verifier = in_path();
        let target = format!("/a?{query}");
        let base = Presented::for_path(&value, "/a", client());
        let presented = Presented { head: Head { target: &target, ..base.head }, ..base };
        prop_assert!(verifier.verify(&presented, NOW).is_err());
        prop_assert!(!verifier.explain(&presented, NOW).valid);
        let _ = verifier.leading_token(&path);
        let in_path = Presented { location: Location::Path, ..presented };
        prop_assert!(verifier.verify(&in_path, NOW).is_err());
    }
}
