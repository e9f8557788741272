//! No token leaves by any other door than the one it is meant for, and no text in a token breaks what it is written into.

use std::collections::BTreeSet;

use crate::support::client::send;
use crate::support::logged::LoggedEdge;
use crate::support::player::Player;
use crate::support::stage;
use crate::support::token::{Access, encoded, signed_as_it_is};
use crate::support::{Answer, KEY, Reply, START, TestEdge, TestOrigin, get, request};
use crate::{media_cdn, secure_link};

const MASTER: &str = "/v/master.m3u8";

/// The HMACs that stand in a text: what makes a token of its fields.
pub fn hmacs(text: &str) -> BTreeSet<String> {
    text.split("hmac=").skip(1).filter_map(|rest| rest.get(..64)).map(str::to_owned).collect()
}

/// A viewer's evening: plays, reloads, mistakes, and every odd way of showing a token. Gives the HMACs that were seen, and
/// the number of requests.
async fn an_evening(edge: &LoggedEdge) -> (BTreeSet<String>, usize) {
    let access = Access { id: Some("viewer1"), ..Access::acl("/*") };
    let old = Access { end: START - 1, ..Access::acl("/*") }.text();
    let mut player = Player::at(edge.address);
    player.keeps_header = true;
    player.fields.push(("referer".to_owned(), format!("http://page.example/?{}", access.on("/x"))));
    let mut replies = player.play(&access.on(MASTER)).await;
    let mut secrets = hmacs(&format!("{} {old}", access.text()));
    for (target, reply) in &replies {
        assert_eq!(reply.status, 200, "{target}");
        secrets.extend(hmacs(&format!("{target} {} {}", reply.head, reply.text())));
    }
    let token = access.text();
    let mut refused = Vec::new();
    for target in [
        format!("{MASTER}?hdnts={old}"),
        format!("{MASTER}?hdnts={token}&hdnts={old}"),
        format!("{MASTER}?hdnts={}", encoded(&encoded(&token))),
        format!("{MASTER}?%68dnts={token}&HDNTS={old}"),
        format!("{MASTER}?url={}", encoded(&format!("http://x/?hdnts={token}"))),
        format!("{MASTER}?url={}", encoded(&encoded(&format!("http://x/?hdnts={token}")))),
        format!("{MASTER}?a={}", token.replace("hmac", "%68mac")),
        format!("/v/hdntl={}/360p/level.m3u8", token.replace('/', "%2f")),
        format!("/v/hdntl={}/..;/level.m3u8", token.replace('/', "%2f")),
        format!("/v/hdntl={}/%zz/level.m3u8", token.replace('/', "%2f").replace("hmac", "hma%63")),
        format!("/v/hdntl={}/%zz/level.m3u8", encoded(&encoded(&token))),
        format!("/v/{}/%5c", encoded(&token)),
        format!("/v/%68dntl={}/level.m3u8", token.replace('/', "%2f")),
    ] {
        let reply = get(edge.address, &target).await;
        assert!(matches!(reply.status, 400 | 403), "{target}: {}", reply.status);
        refused.push((target, reply));
    }
    let cookies = format!("hdntl={token}; hdnts={old}");
    for (name, value) in [("cookie", cookies.as_str()), ("hdntl", &token), ("hdnts", &old)] {
        refused.push((name.to_owned(), request(edge.address, "GET", MASTER, &[(name, value)]).await));
    }
    refused.push(("POST".to_owned(), request(edge.address, "POST", &access.on(MASTER), &[]).await));
    for (target, reply) in &refused {
        let text = format!("{} {}", reply.head, reply.text());
        assert!(
            secrets.iter().all(|secret| !text.contains(secret)),
            "a refusal shows a token: {target}\n{text}"
        );
    }
    replies.extend(refused);
    (secrets, replies.len())
}

#[tokio::test]
async fn no_token_reaches_origin_log_or_metrics() {
    for format in ["text", "json"] {
        for carrier in ["path", "query", "cookie", "header", "auto"] {
            let origin = stage::origin().await;
            let edge =
                LoggedEdge::start(&origin, format, &format!("session = {{ carrier = \"{carrier}\" }}"));
            let (secrets, requests) = an_evening(&edge).await;
            assert!(secrets.len() >= 3, "{carrier}: {secrets:?}");
            let metrics = get(edge.admin, "/metrics").await.text();
            let log = edge.finish().await;
            assert_eq!(log.lines().count(), requests, "{carrier}, {format}:\n{log}");
            for secret in &secrets {
                assert!(!log.contains(secret), "{carrier}, {format}: {secret} in\n{log}");
                assert!(!metrics.contains(secret), "{carrier}: {secret} in\n{metrics}");
                for asked in origin.asked() {
                    assert!(!asked.head.contains(secret), "{carrier}:\n{}", asked.head);
                }
            }
            stage::assert_no_token_reached(&origin);
        }
    }
}

#[tokio::test]
async fn a_log_line_names_session_carrier_and_reason() {
    let origin = stage::origin().await;
    let edge = LoggedEdge::start(&origin, "json", "");
    let entry = get(edge.address, &Access { id: Some("viewer1"), ..Access::acl("/*") }.on(MASTER)).await;
    get(edge.address, &format!("/v/{}?a=1", entry.uris()[0])).await;
    get(edge.address, &format!("{MASTER}?hdnts=nonsense&b=2")).await;
    let log = edge.finish().await;
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary: Vec<String> = lines
        .iter()
        .map(|line| {
            let field = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            [
                field("path"),
                field("query"),
                line["status"].to_string(),
                field("session"),
                field("carrier"),
                field("reason"),
            ]
            .join(" ")
        })
        .collect();
    assert_eq!(
        summary,
        [
            "/v/master.m3u8 hdnts=[redacted] 200 viewer1 path -",
            "/v/360p/level.m3u8 a=1 200 viewer1 path -",
            "/v/master.m3u8 hdnts=[redacted]&b=2 403 - - malformed",
        ]
    );
}

#[tokio::test]
async fn no_redirect_carries_a_token() {
    let origin = stage::origin().await;
    let here = format!("http://{}/v/moved.m3u8?a=1", origin.address);
    origin.at("/v/moved.m3u8", Answer::ok("text/plain", "moved"));
    for (path, location) in
        [("/v/here", here.as_str()), ("/v/away", "https://other.example/x?b=2"), ("/v/near", "moved.m3u8")]
    {
        origin.at(path, Answer::with("302 Found", &[("location", location)], ""));
    }
    for carrier in ["path", "query"] {
        let edge = TestEdge::start(&origin, &format!("session = {{ carrier = \"{carrier}\" }}")).await;
        let entry = get(edge.address, &Access::acl("/*").on(MASTER)).await;
        let child = Player::new(&edge).resolved(MASTER, &entry.uris()[0]);
        // What stays on this site is followed here: a viewer could not bring its token there.
        for (name, status, expected) in
            [("here", 200, None), ("away", 302, Some("https://other.example/x?b=2")), ("near", 200, None)]
        {
            let with_access = get(edge.address, &Access::acl("/*").on(&format!("/v/{name}"))).await;
            assert_eq!((with_access.status, with_access.header("location").as_deref()), (status, expected));
            let target = child.replace("360p/", "").replace("level.m3u8", name);
            let with_session = get(edge.address, &target).await;
            assert_eq!(
                (with_session.status, with_session.header("location").as_deref()),
                (status, expected),
                "{target}"
            );
            assert!(!with_session.head.contains("hmac"), "{}", with_session.head);
        }
    }
    stage::assert_no_token_reached(&origin);
}

#[tokio::test]
async fn a_listed_cookie_reaches_the_origin_and_a_token_never_does() {
    let origin = TestOrigin::start().await;
    origin.at("/a.ts", Answer::ok("video/mp2t", "ts"));
    let text = format!(
        "[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"], cookies = [\"lang\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\nsession = {{ carrier = \"cookie\" }}\n",
        origin.address
    );
    let edge = TestEdge::with_config(&text).await;
    let cookies = format!("lang=en; hdnts={}; other=1", Access::acl("/*").text());
    let reply = request(edge.address, "GET", "/a.ts", &[("cookie", &cookies)]).await;
    let session = reply.header("set-cookie").expect("a session");
    let session = session.split(';').next().expect("a pair");
    let cookies = format!("lang=de; {session}");
    assert_eq!(request(edge.address, "GET", "/a.ts", &[("cookie", &cookies)]).await.status, 200);
    let seen: Vec<Option<String>> = origin.asked().iter().map(|asked| asked.header("cookie")).collect();
    assert_eq!(seen, [Some("lang=en".to_owned()), Some("lang=de".to_owned())]);
    stage::assert_no_token_reached(&origin);
}

/// Texts that would begin a line, a header, an attribute, a comment, a variable or another parameter.
const INJECTIONS: [&str; 9] = [
    "a\r\nSet-Cookie: evil=1",
    "a\n#EXT-X-KEY:METHOD=NONE",
    "a\",URI=\"http://evil.example/",
    "a; Domain=evil.example",
    "a, b=c",
    "a\\b<c>'d'",
    "{$evil}#fragment?x&y=z",
    "a/../../b%2f%0d%0a+ c",
    "é\u{2028}\u{0}\u{7f}",
];

fn lines_of(reply: &Reply) -> usize {
    reply.text().lines().count()
}

#[tokio::test]
async fn signed_payloads_never_break_out() {
    for carrier in ["path", "query", "cookie", "header"] {
        let origin = stage::origin().await;
        let edge = LoggedEdge::start(&origin, "text", &format!("session = {{ carrier = \"{carrier}\" }}"));
        let mut requests = 0;
        for payload in INJECTIONS {
            let token = Access { payload: Some(payload), ..Access::acl("/*") }.text();
            let mut player = Player::at(edge.address);
            player.keeps_header = true;
            let got = player.play(&format!("{MASTER}?hdnts={}", encoded(&token))).await;
            requests += got.len();
            for (target, reply) in &got {
                assert_eq!(reply.status, 200, "{carrier}, {payload:?}: {target}");
                assert!(!reply.head.to_ascii_lowercase().contains("evil=1\r\n"), "{}", reply.head);
                for field in reply.header("set-cookie").iter().chain(&reply.header("hdntl")) {
                    assert!(field.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{field:?}");
                    assert!(!field.contains("Domain="), "{field}");
                }
            }
            let (multivariant, media) = (&got[0].1, &got[1].1);
            assert_eq!(lines_of(multivariant), stage::MULTIVARIANT.lines().count(), "{payload:?}");
            assert_eq!(lines_of(media), stage::MEDIA.lines().count(), "{payload:?}");
            assert_eq!(media.text().matches('"').count(), stage::MEDIA.matches('"').count(), "{payload:?}");
            assert!(!media.text().contains("{$"), "{payload:?}");
        }
        let log = edge.finish().await;
        assert_eq!(log.lines().count(), requests, "{log}");
        assert!(log.chars().all(|character| character == '\n' || !character.is_control()), "{log:?}");
        stage::assert_no_token_reached(&origin);
    }
}

#[tokio::test]
async fn signed_ids_never_break_out() {
    let origin = stage::origin().await;
    for format in ["text", "json"] {
        let edge = LoggedEdge::start(&origin, format, "session = { carrier = \"cookie\" }");
        let mut requests = 0;
        for id in INJECTIONS {
            let token = Access { id: Some(id), ..Access::acl("/*") }.text();
            let mut player = Player::at(edge.address);
            let entry = player.get(&format!("{MASTER}?hdnts={}", encoded(&token))).await;
            requests += 1;
            let is_printable = id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            assert_eq!(entry.status, if is_printable { 200 } else { 403 }, "{id:?}");
            if is_printable {
                let cookie = entry.header("set-cookie").expect("a cookie");
                assert!(cookie.starts_with("hdntl=") && !cookie.contains("Domain="), "{cookie}");
                assert_eq!(player.get("/v/360p/level.m3u8").await.status, 200, "{id:?}");
                requests += 1;
            }
        }
        let log = edge.finish().await;
        assert_eq!(log.lines().count(), requests, "{log}");
        for line in log.lines() {
            if format == "json" {
                serde_json::from_str::<serde_json::Value>(line).expect("JSON");
            } else {
                assert_eq!(line.replace("\\\"", "").matches('"').count() % 2, 0, "{line}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_client_sends_never_breaks_a_log_line() {
    let origin = stage::origin().await;
    let edge = LoggedEdge::start(&origin, "text", "");
    for target in ["/a\"b", "/%0a%0d", "/a?q=\"x\" y", "/a?%0a=1", "/\u{e9}\u{2028}"] {
        let target = target.replace(' ', "%20");
        let bytes =
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: a\"\\b\r\nConnection: close\r\n\r\n");
        let reply = send(edge.address, bytes.as_bytes(), false).await;
        assert!(matches!(reply.status, 400 | 403), "{target}: {}", reply.status);
    }
    let log = edge.finish().await;
    for line in log.lines() {
        assert!(line.starts_with("2023-11-14T22:13:20.000Z 127.0.0.1 GET \"http://a/"), "{line}");
    }
}

#[tokio::test]
async fn two_viewers_never_get_each_others_tokens() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let fetches = (0..20).map(|number| {
        let address = edge.address;
        let id = format!("viewer{number}");
        tokio::spawn(async move {
            let target = Access { id: Some(&id), ..Access::acl("/*") }.on(MASTER);
            let reply = get(address, &target).await;
            assert_eq!(reply.text().matches(&format!("~id={id}~")).count(), 2, "{}", reply.text());
            assert_eq!(reply.text().matches("~id=").count(), 2);
            reply.header("etag").expect("a validator")
        })
    });
    let mut validators = BTreeSet::new();
    for fetch in fetches.collect::<Vec<_>>() {
        validators.insert(fetch.await.expect("an answer"));
    }
    assert_eq!(validators.len(), 20, "one validator each");
    assert_eq!(origin.asked_for(MASTER).len(), 1);
}

#[tokio::test]
async fn foreign_hosts_get_no_token() {
    let origin = TestOrigin::start().await;
    let body = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttps://other.example/a.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\n//other.example/b.m3u8\n#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://key\"\n";
    origin.at(MASTER, Answer::playlist(body));
    for carrier in ["path", "query"] {
        let edge = TestEdge::start(&origin, &format!("session = {{ carrier = \"{carrier}\" }}")).await;
        let reply = get(edge.address, &Access::acl("/*").on(MASTER)).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, body));
    }
}

#[tokio::test]
async fn a_token_signed_over_junk_is_refused_before_it_is_used() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "session = { carrier = \"cookie\" }").await;
    for signed in [
        "exp=1700000300~acl=/*~id=a\r\nb",
        "exp=1700000300~acl=/*~id=\u{0}",
        "exp=1700000300~acl=/*~id=\u{7f}",
    ] {
        let target = format!("{MASTER}?hdnts={}", encoded(&signed_as_it_is(signed)));
        let reply = get(edge.address, &target).await;
        assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("malformed")), "{signed:?}");
    }
}

/// A dialect's tokens as requests show them.
struct Shown {
    /// What the property is told of the dialect.
    access: &'static str,
    /// What must not be seen anywhere else.
    secrets: Vec<String>,
    targets: Vec<String>,
    cookies: Vec<String>,
}

/// Tokens in the query, in a cookie and in the path, good, spoilt, disguised and under other names.
fn dialects() -> [Shown; 2] {
    let link = |uri: &str| secure_link::signature(uri, START + 60);
    let (file, directory) = (link(MASTER), link("/v/"));
    let (first, rest) = directory.split_at(1);
    let escaped = format!("%{:02x}{rest}", first.as_bytes()[0]);
    let end = START + 60;
    let links = vec![
        format!("{MASTER}?st={file}&e={end}"),
        format!("{MASTER}?st={file}x&e={end}"),
        format!("{MASTER}?st={file}&st=x&e={end}"),
        format!("/p/{directory}/{end}{MASTER}"),
        format!("/p/{directory}/{end}/live/master.m3u8"),
        format!("/p/{escaped}/{end}{MASTER}"),
        format!("/./p/{directory}/{end}{MASTER}"),
        format!("/%70/{directory}/{end}{MASTER}"),
        format!("/p/{directory}/{end}/v/%zz"),
        format!("/p/{directory}/{end}/v/..;/x"),
    ];
    let token = media_cdn::token("ed25519", "/v/*");
    let (_, signature) = token.rsplit_once('=').expect("a signature");
    let media = vec![
        format!("{MASTER}?edge-cache-token={token}"),
        format!("{MASTER}?edge-cache-token={}", encoded(&token)),
        format!("{MASTER}?edge-cache-token={token}&edge-cache-token=x"),
        format!("/v/edge-cache-token={}/master.m3u8", token.replace('/', "%2f")),
        format!("/v/edge-cache-token={}/%zz", token.replace('/', "%2f")),
        format!("/v/%65dge-cache-token={}/master.m3u8", token.replace('/', "%2f")),
    ];
    [
        Shown {
            access: "access = { dialect = \"secure_link\", key = { text = \"mysecret\" }, secure_link = { path_prefix = \"/p\" } }",
            secrets: vec![file, directory.clone(), rest.to_owned()],
            targets: links,
            cookies: Vec::new(),
        },
        Shown {
            access: media_cdn::ACCESS,
            secrets: vec![signature.to_owned()],
            targets: media,
            cookies: vec![format!("Edge-Cache-Cookie={token}")],
        },
    ]
}

#[tokio::test]
async fn no_token_of_any_dialect_reaches_origin_log_metrics_or_playlists() {
    for Shown { access, secrets, targets, cookies } in dialects() {
        let origin = stage::origin().await;
        let edge = LoggedEdge::start(&origin, "json", access);
        let mut replies = Vec::new();
        let mut admitted = 0;
        for target in &targets {
            let reply = get(edge.address, target).await;
            admitted += usize::from(reply.status == 200);
            replies.push((target.clone(), reply));
        }
        for cookie in &cookies {
            let reply = request(edge.address, "GET", MASTER, &[("cookie", cookie)]).await;
            assert_eq!(reply.status, 200, "{cookie}");
            replies.push((cookie.clone(), reply));
        }
        assert!(admitted >= 2 && admitted < targets.len(), "some are good, some are not: {admitted}");
        let metrics = get(edge.admin, "/metrics").await.text();
        let log = edge.finish().await;
        assert_eq!(log.lines().count(), replies.len(), "{log}");
        for secret in &secrets {
            assert!(!log.contains(secret), "{secret} in\n{log}");
            assert!(!metrics.contains(secret), "{secret} in\n{metrics}");
            for asked in origin.asked() {
                assert!(!asked.head.contains(secret), "{}", asked.head);
            }
            for (target, reply) in &replies {
                let answer = format!("{} {}", reply.head, reply.text());
                assert!(!answer.contains(secret), "{target} answers with it:\n{answer}");
            }
        }
    }
}
