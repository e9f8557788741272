//! The path that is checked is the path that is used: what two servers could read in two ways is refused.

use crate::support::client::send;
use crate::support::stage;
use crate::support::token::Access;
use crate::support::{Answer, Reply, TestEdge, TestOrigin, get};

/// A request whose target stands byte for byte as given, with a good token in a header.
async fn with_token(edge: &TestEdge, target: &[u8], acl: &str) -> Reply {
    let token = Access::acl(acl).text();
    let mut bytes = b"GET ".to_vec();
    bytes.extend_from_slice(target);
    let rest = format!(" HTTP/1.1\r\nHost: {}\r\nhdnts: {token}\r\nConnection: close\r\n\r\n", edge.address);
    bytes.extend_from_slice(rest.as_bytes());
    send(edge.address, &bytes, false).await
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let origin = TestOrigin::start().await;
    let edge = TestEdge::start(&origin, "").await;
    for target in [
        // Escaped separators.
        "/v/..%2fsecret/a.ts",
        "/v/..%2Fsecret/a.ts",
        "/v%2fa.ts",
        "/%2e%2e%2fa.ts",
        // Escaped twice, and more often.
        "/v/%252e%252e/a.ts",
        "/v/..%252fa.ts",
        "/v/%25252e%25252e/a.ts",
        "/v/%252525252fa.ts",
        "/v/%255ca.ts",
        "/v/%2500a.ts",
        // Backslashes.
        "/v/..\\a.ts",
        "/v\\a.ts",
        "/v/..%5ca.ts",
        "/v/%5C..%5Ca.ts",
        // Path parameters on dots.
        "/v/..;/a.ts",
        "/v/..;x=1/a.ts",
        "/v/.;/a.ts",
        "/v/%2e%2e;/a.ts",
        "/v/..%3b/a.ts",
        // Overlong UTF-8.
        "/v/%c0%ae%c0%ae/a.ts",
        "/v/%c0%afa.ts",
        "/v/%e0%80%afa.ts",
        "/v/%f0%80%80%afa.ts",
        // Control bytes.
        "/v/%00a.ts",
        "/v/a.ts%00.m3u8",
        "/v/%0d%0aHost:%20evil",
        "/v/%0aa.ts",
        "/v/%09a.ts",
        "/v/%7fa.ts",
        // Broken escapes, among them those of other systems.
        "/v/%zza.ts",
        "/v/a.ts%",
        "/v/a.ts%2",
        "/v/%u002e%u002e/a.ts",
        "/v/%+2e/a.ts",
        // Above the root.
        "/../a.ts",
        "/v/../../a.ts",
        "/%2e%2e/a.ts",
        "/v/%2e%2e/.%2e/a.ts",
        "/..",
        // A fragment, which is never sent.
        "/v/a.ts#x",
        "/v/#/../a.ts",
        // Not a path.
        "v/a.ts",
        "*",
        "?a=1",
        "",
    ] {
        let reply = with_token(&edge, target.as_bytes(), "/*").await;
        assert_eq!(reply.status, 400, "{target}: {}", reply.head);
    }
    for target in
        [&b"/v/\x01a.ts"[..], b"/v/\x00a.ts", b"/v/\x7fa.ts", b"/v/a\tb.ts", b"/v/a b.ts", b"/v/\ra.ts"]
    {
        let reply = with_token(&edge, target, "/*").await;
        assert_eq!(reply.status, 400, "{target:?}: {}", reply.head);
    }
    assert!(origin.asked().is_empty(), "{:#?}", origin.asked());
}

#[tokio::test]
async fn what_is_checked_is_what_the_origin_sees() {
    for (target, normal) in [
        ("/v/a.ts", "/v/a.ts"),
        ("/v/./a.ts", "/v/a.ts"),
        ("/v/x/../a.ts", "/v/a.ts"),
        ("/v/x/y/../../a.ts", "/v/a.ts"),
        ("/v/%61.ts", "/v/a.ts"),
        ("/%76/%61%2e%74%73", "/v/a.ts"),
        ("/v/%2e/a.ts", "/v/a.ts"),
        ("/v/x/%2E%2e/a.ts", "/v/a.ts"),
        ("/v/x/.%2e/a.ts", "/v/a.ts"),
        ("/w/../v/a.ts", "/v/a.ts"),
        ("/v/x/..", "/v/"),
        ("/v/.", "/v/"),
        ("/v//a.ts", "/v//a.ts"),
        ("/v/%7Ea_-.ts", "/v/~a_-.ts"),
        ("/v/a%20b%2Bc+d%3f%23.ts", "/v/a%20b%2Bc+d%3f%23.ts"),
        ("/v/%c3%a9%C3%A9.ts", "/v/%c3%a9%C3%A9.ts"),
        ("/v/a;b=1/c,d@e:f!$&'()*=.ts", "/v/a;b=1/c,d@e:f!$&'()*=.ts"),
        ("/v/...", "/v/..."),
        ("/v/..a/b..", "/v/..a/b.."),
        ("/v/100%25.ts", "/v/100%25.ts"),
        ("/v/\"a\".ts", "/v/%22a%22.ts"),
        ("/v/a.ts?x=../..%2f%00\\&y=%zz", "/v/a.ts?x=../..%2f%00\\&y=%zz"),
    ] {
        let origin = TestOrigin::start().await;
        origin.at(normal.split('?').next().expect("a path"), Answer::ok("video/mp2t", "ts"));
        let edge = TestEdge::start(&origin, "").await;
        let reply = with_token(&edge, target.as_bytes(), "/v/*").await;
        assert_eq!((reply.status, reply.reason()), (200, None), "{target}");
        assert_eq!(origin.asked()[0].target(), normal, "{target}");
    }
}

#[tokio::test]
async fn no_spelling_leaves_an_acl() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "session = { carry = [\"acl\"] }").await;
    let entry = get(edge.address, &Access::acl("/v/*").on("/v/master.m3u8")).await;
    let component = entry.uris()[0].split('/').nth(1).expect("a component").to_owned();
    let before = origin.asked().len();
    for target in [
        "/live/a/1.ts",
        "/v/../live/a/1.ts",
        "/v/%2e%2e/live/a/1.ts",
        "/v/x/../../live/a/1.ts",
        "/V/a.ts",
        "/v",
        "/v2/a.ts",
        "//v/a.ts",
        "/./live/a/1.ts",
        "/%6cive/a/1.ts",
        "/v/..",
    ] {
        let by_access = with_token(&edge, target.as_bytes(), "/v/*").await;
        assert_eq!(
            (by_access.status, by_access.reason().as_deref()),
            (403, Some("acl_mismatch")),
            "{target}"
        );
        let with_session = format!("/{component}{target}");
        let by_session = get(edge.address, &with_session).await;
        assert_eq!(
            (by_session.status, by_session.reason().as_deref()),
            (403, Some("acl_mismatch")),
            "{with_session}"
        );
    }
    assert_eq!(origin.asked().len(), before, "nothing is asked for what is refused");
}

#[tokio::test]
async fn an_absolute_target_is_read_as_its_path() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    for (path, status) in
        [("/v/360p/seg0.m4s", 200), ("/v/x/../360p/seg0.m4s", 200), ("/v/../live/a/1.ts", 403)]
    {
        let target = format!("http://{}{path}", edge.address);
        assert_eq!(with_token(&edge, target.as_bytes(), "/v/*").await.status, status, "{target}");
    }
    assert!(origin.asked().iter().all(|asked| asked.target() == "/v/360p/seg0.m4s"));
}

#[tokio::test]
async fn harmless_escapes_are_one_resource() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    for target in ["/v/master.m3u8", "/v/%6daster.m3u8", "/v/./master%2em3u8", "/%76/x/../master.m3u8"] {
        assert_eq!(with_token(&edge, target.as_bytes(), "/v/master.m3u8").await.status, 200, "{target}");
    }
    assert_eq!(origin.asked_for("/v/master.m3u8").len(), 1, "one key, one fetch");
}

#[tokio::test]
async fn raw_bytes_beyond_ascii_are_one_resource_with_their_escapes() {
    let origin = TestOrigin::start().await;
    origin.at("/v/%C3%A9.ts", Answer::ok("video/mp2t", "ts"));
    let edge = TestEdge::start(&origin, "").await;
    let raw = with_token(&edge, "/v/é.ts".as_bytes(), "/v/%C3%A9.ts").await;
    assert_eq!(raw.status, 200, "{}", raw.head);
    assert!(origin.asked().iter().all(|asked| asked.target() == "/v/%C3%A9.ts"), "{:?}", origin.asked());
    let stray = with_token(&edge, b"/v/\xff\xfe.ts", "/v/*").await;
    assert_eq!(stray.status, 400, "{}", stray.head);
    assert!(origin.asked().iter().all(|asked| asked.target().is_ascii()));
}

#[tokio::test]
async fn a_url_token_is_for_the_path_that_is_used() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let token = Access::url("/v/360p/seg0.m4s");
    assert_eq!(get(edge.address, &token.on("/v/360p/seg0.m4s")).await.status, 200);
    assert_eq!(get(edge.address, &token.on("/v/360p/%73eg0.m4s")).await.status, 200, "the same resource");
    let dressed =
        get(edge.address, &Access::url("/v/x/../../live/a/1.ts").on("/v/x/../../live/a/1.ts")).await;
    assert_eq!(dressed.status, 200, "signed as it was asked");
    assert_eq!(origin.asked().last().map(|asked| asked.target().to_owned()).as_deref(), Some("/live/a/1.ts"));
}

/// Pieces of which attackers make paths.
const PIECES: [&str; 36] = [
    "/",
    "/",
    "/",
    "..",
    "..",
    ".",
    "v",
    "live",
    "a",
    "%2e",
    "%2E",
    "%2f",
    "%5c",
    "\\",
    ";",
    "%3b",
    "%25",
    "2e",
    "%252e",
    "//",
    "/../",
    "/./",
    "%61",
    "%76",
    "?",
    "&",
    "hdnts=",
    "hdntl=x",
    "/hdntl=x/",
    "%68dntl=",
    "%c0%ae",
    "é",
    "%00",
    "#",
    "%",
    "1.ts",
];

/// The same targets on every run (xorshift).
fn targets(count: usize) -> impl Iterator<Item = String> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound as u64).expect("a small number")
    };
    (0..count).map(move |_| {
        let pieces = 1 + next(9);
        let path: String = (0..pieces).map(|_| PIECES[next(PIECES.len())]).collect();
        format!("/v/{path}")
    })
}

#[tokio::test]
async fn whatever_the_spelling_the_origin_sees_only_what_the_acl_covers() {
    let origin = TestOrigin::start().await;
    let edge = TestEdge::start(&origin, "session = { carry = [\"acl\"] }").await;
    origin.at("/v/m.m3u8", Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nc.m3u8\n"));
    let entry = get(edge.address, &Access::acl("/v/*").on("/v/m.m3u8")).await;
    let component = entry.uris()[0].split('/').next().expect("a component").to_owned();
    let mut passed = 0;
    for target in targets(1_500) {
        let before = origin.asked().len();
        let bare = send(
            edge.address,
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
            false,
        )
        .await;
        assert!(matches!(bare.status, 400 | 403), "without a token: {target}: {}", bare.status);
        assert_eq!(origin.asked().len(), before, "{target}");
        let by_access = with_token(&edge, target.as_bytes(), "/v/*").await;
        let by_session = with_session(&edge, &target, &component).await;
        for reply in [by_access, by_session] {
            assert!(matches!(reply.status, 400 | 403 | 404), "{target}: {}", reply.status);
            passed += usize::from(reply.status == 404);
        }
    }
    assert!(passed > 300, "enough of them are harmless: {passed}");
    for asked in &origin.asked()[2..] {
        let path = asked.target().split('?').next().expect("a path");
        assert!(path.starts_with("/v/"), "{}", asked.head);
        assert!(!path.contains("/../") && !path.ends_with("/.."), "{}", asked.head);
    }
    stage::assert_no_token_reached_but(&origin, &[]);
}

async fn with_session(edge: &TestEdge, target: &str, component: &str) -> Reply {
    let bytes = format!("GET /{component}{target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    send(edge.address, bytes.as_bytes(), false).await
}
