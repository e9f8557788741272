//! Refusals look alike to a client; operators learn the reason. Verify-only lets pass and tells the origin.

use std::time::Duration;

use crate::support::stage;
use crate::support::token::{Access, signed_as_it_is};
use crate::support::{Answer, KEY, Reply, START, TestEdge, TestOrigin, get, request};

const MASTER: &str = "/v/master.m3u8";
const OPERATOR: &str = "operators-token-of-some-length";

/// An edge that tells nobody a reason but an operator. `extra` goes into the property, beside its `access` table.
async fn edge(origin: &TestOrigin, access: &str, extra: &str) -> TestEdge {
    TestEdge::with_text(&format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ text = \"{OPERATOR}\" }}\n[log]\naccess = \"off\"\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }}, {access} }}\n{extra}\n",
        origin.address
    ))
    .await
}

async fn metrics(edge: &TestEdge) -> String {
    let bearer = format!("Bearer {OPERATOR}");
    let reply = request(edge.admin, "GET", "/metrics", &[("authorization", &bearer)]).await;
    assert_eq!(reply.status, 200);
    reply.text()
}

/// The head without what differs from one answer to the next.
fn looks(reply: &Reply) -> (u16, Vec<String>, String) {
    let fields = reply.head.lines().skip(1).map(str::to_ascii_lowercase);
    let fields = fields.filter(|line| !line.starts_with("date:") && !line.starts_with("x-request-id:"));
    (reply.status, fields.collect(), reply.text())
}

/// One request for each reason that can be reached, as its target and a header field.
async fn refused_requests(edge: &TestEdge) -> Vec<(&'static str, String, (&'static str, String))> {
    let none = || ("accept", "*/*".to_owned());
    let query = |signed: &str| format!("{MASTER}?hdnts={}", signed_as_it_is(signed));
    let entry = get(edge.address, &Access::acl("/v/*").on(MASTER)).await;
    let child = format!("/live/a/{}", entry.uris()[0].split('/').nth(1).expect("a component"));
    let forged = format!("exp=9999999999~acl=/*~hmac={}", "0".repeat(64));
    vec![
        ("no_token", MASTER.to_owned(), none()),
        ("malformed", format!("{MASTER}?hdnts=nonsense"), none()),
        ("malformed", query("exp=1700000300~acl=/*~exp=1700000300"), none()),
        ("duplicate_token", format!("{MASTER}?hdnts=a&hdnts=b"), none()),
        ("duplicate_token", MASTER.to_owned(), ("cookie", "hdntl=a; hdntl=b".to_owned())),
        ("bad_signature", format!("{MASTER}?hdnts={forged}"), none()),
        ("bad_signature", MASTER.to_owned(), ("hdntl", forged)),
        ("not_yet_valid", query("st=1700000100~exp=1700000300~acl=/*"), none()),
        ("expired", query("exp=1700000000~acl=/*"), none()),
        ("expiry_too_far", query("exp=1700009999~acl=/*"), none()),
        ("acl_mismatch", query("exp=1700000300~acl=/live/*"), none()),
        ("acl_mismatch", format!("{child}/level.m3u8"), none()),
        ("url_mismatch", Access::url("/v/other.m3u8").on(MASTER), none()),
        ("ip_mismatch", query("ip=192.0.2.1~exp=1700000300~acl=/*"), none()),
        ("playlist_not_listed", Access::acl("/*").on("/v/360p/level.m3u8"), none()),
    ]
}

#[tokio::test]
async fn all_refusals_look_alike_and_are_counted_by_reason() {
    let origin = stage::origin().await;
    let edge = edge(
        &origin,
        "expiry_ahead_max = \"1h\"",
        "session = { playlists = [\"master.m3u8\"], carry = [\"acl\"] }",
    )
    .await;
    let requests = refused_requests(&edge).await;
    let before = origin.asked().len();
    let mut first: Option<(u16, Vec<String>, String)> = None;
    for (reason, target, (name, value)) in &requests {
        let fields = [(*name, value.as_str()), ("origin", "https://player.example")];
        let line_of_reason = format!("sluicegate_denials_total{{property=\"test\",reason=\"{reason}\"}} ");
        let count = |text: String| {
            let line = text.lines().find_map(|line| line.strip_prefix(&line_of_reason)?.parse::<u64>().ok());
            line.expect("a counter")
        };
        let earlier = count(metrics(&edge).await);
        let reply = request(edge.address, "GET", target, &fields).await;
        assert_eq!(count(metrics(&edge).await), earlier + 1, "{reason}");
        let seen = looks(&reply);
        assert_eq!(first.get_or_insert(seen.clone()), &seen, "{reason}: {target}");

        let operator = [fields[0], fields[1], ("sluicegate-debug", OPERATOR)];
        let told = request(edge.address, "GET", target, &operator).await;
        assert_eq!(told.reason().as_deref(), Some(*reason), "{target}");
        let impostor = [fields[0], fields[1], ("sluicegate-debug", &OPERATOR[1..])];
        assert_eq!(looks(&request(edge.address, "GET", target, &impostor).await), seen, "{reason}");
    }
    let (status, fields, text) = first.expect("refusals");
    assert_eq!((status, text.as_str()), (403, "Forbidden\n"));
    for field in [
        "cache-control: no-store",
        "content-type: text/plain; charset=utf-8",
        "access-control-allow-origin: https://player.example",
        "access-control-allow-credentials: true",
        "vary: origin",
    ] {
        assert!(fields.contains(&field.to_owned()), "{field}: {fields:#?}");
    }
    assert_eq!(origin.asked().len(), before, "nothing was sent to the origin");
}

#[tokio::test]
async fn the_operators_header_stays_here() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "").await;
    let target = Access::acl("/*").on(MASTER);
    let reply = request(edge.address, "GET", &target, &[("sluicegate-debug", OPERATOR)]).await;
    assert_eq!((reply.status, reply.reason()), (200, None));
    for asked in origin.asked() {
        assert!(!asked.head.contains(OPERATOR), "{}", asked.head);
    }
}

#[tokio::test]
async fn no_operators_token_means_no_operator() {
    let origin = stage::origin().await;
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n",
        origin.address
    );
    let edge = TestEdge::with_text(&text).await;
    for shown in ["", "undefined", "Bearer "] {
        let reply = request(edge.address, "GET", MASTER, &[("sluicegate-debug", shown)]).await;
        assert_eq!((reply.status, reply.reason()), (403, None), "{shown}");
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_are_served() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "").await;
    let target = Access::acl("/*").on(MASTER);
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
        let reply = request(edge.address, method, &target, &[("sluicegate-debug", OPERATOR)]).await;
        assert_eq!(
            (reply.status, reply.header("allow").as_deref()),
            (405, Some("GET, HEAD, OPTIONS")),
            "{method}"
        );
        assert_eq!(reply.reason().as_deref(), Some("method"));
    }
    assert!(metrics(&edge).await.contains("denials_total{property=\"test\",reason=\"method\"} 5"));
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn options_and_preflights_need_no_token() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "").await;
    let plain = request(edge.address, "OPTIONS", MASTER, &[]).await;
    assert_eq!((plain.status, plain.header("allow").as_deref()), (204, Some("GET, HEAD, OPTIONS")));
    let preflight = request(
        edge.address,
        "OPTIONS",
        "/v/360p/level.m3u8",
        &[
            ("origin", "https://player.example"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "hdntl, range, cmcd-request, cmcd-custom, x-other"),
        ],
    )
    .await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin").as_deref(), Some("https://player.example"));
    assert_eq!(preflight.header("access-control-allow-credentials").as_deref(), Some("true"));
    let allowed = preflight.header("access-control-allow-headers").expect("headers").to_ascii_lowercase();
    for name in ["hdntl", "hdnts", "range", "cmcd-request", "cmcd-custom"] {
        assert!(allowed.split(", ").any(|listed| listed == name), "{name}: {allowed}");
    }
    assert!(!allowed.contains("x-other"), "{allowed}");
    assert!(preflight.header("access-control-max-age").is_some());
    assert!(origin.asked().is_empty(), "answered at the edge");
}

#[tokio::test]
async fn an_origin_that_is_not_listed_may_read_nothing() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "cors = { origins = [\"https://player.example\"] }").await;
    for (method, target) in
        [("GET", MASTER.to_owned()), ("GET", Access::acl("/*").on(MASTER)), ("OPTIONS", MASTER.to_owned())]
    {
        for (page, allowed) in [
            ("https://player.example", Some("https://player.example".to_owned())),
            ("https://player.example.evil", None),
            ("null", None),
        ] {
            let fields = [("origin", page), ("access-control-request-method", "GET")];
            let reply = request(edge.address, method, &target, &fields).await;
            assert_eq!(reply.header("access-control-allow-origin"), allowed, "{method} {target} {page}");
        }
    }
}

#[tokio::test]
async fn verify_only_lets_pass_and_tells_the_origin_what_no_client_can() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "action = \"verify-only\"", "session = { playlists = [\"master.m3u8\"] }").await;
    let old = Access { end: START - 1, ..Access::acl("/*") };
    let told = |origin: &TestOrigin| origin.asked().last().and_then(|asked| asked.header("sluicegate-token"));
    for (target, result) in [
        ("/v/360p/seg0.m4s".to_owned(), "no_token"),
        (old.on("/v/360p/seg0.m4s"), "expired"),
        (Access::acl("/live/*").on("/v/360p/seg0.m4s"), "acl_mismatch"),
        ("/v/360p/seg0.m4s?hdnts=a&hdnts=b".to_owned(), "duplicate_token"),
        (format!("/v/hdntl=x~hmac={}/360p/seg0.m4s", "0".repeat(64)), "bad_signature"),
        (Access::acl("/*").on("/v/360p/seg0.m4s"), "valid"),
    ] {
        for forged in [None, Some("valid")] {
            let fields: Vec<(&str, &str)> =
                forged.map(|forged| ("Sluicegate-Token", forged)).into_iter().collect();
            let reply = request(edge.address, "GET", &target, &fields).await;
            assert_eq!((reply.status, reply.reason()), (200, None), "{target}");
            assert_eq!(told(&origin).as_deref(), Some(result), "{target}, {forged:?}");
        }
    }
    let text = metrics(&edge).await;
    for reason in ["no_token", "expired", "acl_mismatch", "duplicate_token", "bad_signature"] {
        let line = format!("unverified_total{{property=\"test\",reason=\"{reason}\"}} 2");
        assert!(text.contains(&line), "{line}");
        assert!(
            text.contains(&format!("denials_total{{property=\"test\",reason=\"{reason}\"}} 0")),
            "{reason}"
        );
    }
    stage::assert_no_token_reached(&origin);
}

#[tokio::test]
async fn verify_only_refuses_no_playlist_for_its_name() {
    let origin = stage::origin().await;
    origin.at("/v/disguised", Answer::playlist(stage::MULTIVARIANT));
    let edge = edge(&origin, "action = \"verify-only\"", "session = { playlists = [\"master.m3u8\"] }").await;
    for path in ["/v/360p/level.m3u8", "/v/disguised"] {
        let reply = get(edge.address, &Access::acl("/*").on(path)).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(!reply.text().contains("hdntl"), "no session for what may not be entered: {path}");
    }
    let text = metrics(&edge).await;
    assert!(text.contains("unverified_total{property=\"test\",reason=\"playlist_not_listed\"} 2"), "{text}");
}

#[tokio::test]
async fn verify_only_passes_a_request_without_its_salt_header() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "action = \"verify-only\"", "session = { salt_headers = [\"X-Device\"] }").await;
    let target = Access::acl("/*").on(MASTER);
    let reply = get(edge.address, &target).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, stage::MULTIVARIANT));
    let reply = request(edge.address, "GET", &target, &[("x-device", "7")]).await;
    assert!(reply.uris()[0].contains("hdntl="), "{}", reply.text());
}

#[tokio::test]
async fn verify_only_mints_for_those_who_have_a_token() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "action = \"verify-only\"", "").await;
    let entry = get(edge.address, &Access::acl("/*").on("/live/master.m3u8")).await;
    let child = format!("/live/{}", entry.uris()[0]);
    assert_eq!(get(edge.address, &child).await.status, 200);
    assert_eq!(
        origin.asked().last().and_then(|asked| asked.header("sluicegate-token")).as_deref(),
        Some("valid")
    );
    edge.clock.advance(Duration::from_hours(25));
    assert_eq!(get(edge.address, &child).await.status, 200, "expired, and passed all the same");
    assert_eq!(
        origin.asked().last().and_then(|asked| asked.header("sluicegate-token")).as_deref(),
        Some("expired")
    );
}

#[tokio::test]
async fn where_tokens_are_checked_their_result_is_not_told() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "").await;
    let target = Access::acl("/*").on(MASTER);
    assert_eq!(request(edge.address, "GET", &target, &[("sluicegate-token", "valid")]).await.status, 200);
    assert!(origin.asked().iter().all(|asked| asked.header("sluicegate-token").is_none()));
}

#[tokio::test]
async fn an_open_property_asks_for_nothing_and_hands_nothing_out() {
    let origin = stage::origin().await;
    let text = format!(
        "[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ action = \"open\" }}\n",
        origin.address
    );
    let edge = TestEdge::with_config(&text).await;
    let reply = get(edge.address, MASTER).await;
    assert_eq!(
        (reply.status, reply.text().as_str(), reply.header("set-cookie")),
        (200, stage::MULTIVARIANT, None)
    );
}

#[tokio::test]
async fn every_request_of_a_connection_is_judged_by_itself() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "").await;
    let allowed = Access::acl("/*").on("/v/360p/seg0.m4s");
    let mut stream = tokio::net::TcpStream::connect(edge.address).await.expect("the edge listens");
    let pipelined = format!(
        "GET {allowed} HTTP/1.1\r\nHost: a\r\n\r\nGET /v/360p/seg1.m4s HTTP/1.1\r\nHost: a\r\n\r\nGET {allowed} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, pipelined.as_bytes()).await.expect("the edge reads");
    let mut answers = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answers).await.expect("answers");
    let statuses: Vec<&str> =
        answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.split(' ').next()).collect();
    assert_eq!(statuses, ["200", "403", "200"]);
    assert!(origin.asked_for("/v/360p/seg1.m4s").is_empty());
}
