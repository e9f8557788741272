//! Rules: which holds, what it decides, and what it changes of what the origin is asked and the viewer gets.

use super::support::logged::LoggedEdge;
use super::support::stage;
use super::support::token::Access;
use super::support::{Answer, KEY, START, TestEdge, TestOrigin, get, request};

const SEGMENT: &str = "/v/360p/seg0.m4s";
const MASTER: &str = "/v/master.m3u8";

/// An edge whose property has these rules, each the inside of an inline table.
async fn ruled(origin: &TestOrigin, rules: &[&str]) -> TestEdge {
    TestEdge::start(origin, &list(rules)).await
}

fn list(rules: &[&str]) -> String {
    format!("rule = [{}]", rules.iter().map(|rule| format!("{{ {rule} }}")).collect::<Vec<_>>().join(", "))
}

#[tokio::test]
async fn what_a_rule_allows_is_served_without_a_token_and_as_nobodys() {
    let origin = stage::origin().await;
    let edge = ruled(
        &origin,
        &["name = \"open\", when = { path = [\"/v/*\"], extension = [\"m3u8\"] }, allow = true"],
    )
    .await;
    for target in [MASTER.to_owned(), Access::acl("/*").on(MASTER)] {
        let reply = get(edge.address, &target).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, stage::MULTIVARIANT), "{target}");
        assert_eq!(reply.header("set-cookie"), None);
    }
    assert_eq!(get(edge.address, SEGMENT).await.reason().as_deref(), Some("no_token"), "no other name");
    assert_eq!(edge.metric("rules_total", ",rule=\"open\"").await, 2);
    assert_eq!(edge.metric("sessions_total", ",how=\"minted\"").await, 0);
    stage::assert_no_token_reached(&origin);
}

#[tokio::test]
async fn the_first_rule_that_holds_decides() {
    let origin = stage::origin().await;
    let edge = ruled(
        &origin,
        &[
            "name = \"no-heads\", when = { method = [\"HEAD\"] }, deny = 429",
            "name = \"open\", when = { path = [\"/v/*\"] }, unless = { path = [\"*.key\"] }, allow = true",
            "name = \"never\", when = { path = [\"/v/*.m4s\"] }, deny = 451",
            "name = \"gone\", when = { path = [\"/live/*\"] }, deny = 410",
        ],
    )
    .await;
    assert_eq!(request(edge.address, "HEAD", SEGMENT, &[]).await.status, 429);
    assert_eq!(get(edge.address, SEGMENT).await.status, 200);
    assert_eq!(get(edge.address, "/v/k/1.key").await.status, 403, "the exception keeps its token");
    let gone = get(edge.address, &Access::acl("/*").on("/live/master.m3u8")).await;
    assert_eq!((gone.status, gone.reason().as_deref()), (410, Some("rule")), "a good token does not help");
    assert_eq!(gone.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(edge.denials("rule").await, 2);
    assert!(origin.asked_for("/live/master.m3u8").is_empty(), "nobody asked the origin");
}

#[tokio::test]
async fn a_rule_is_matched_on_the_path_that_is_used() {
    let origin = stage::origin().await;
    let edge = ruled(
        &origin,
        &["name = \"secret\", when = { path = [\"/v/k/*\"] }, deny = 403", "name = \"all\", allow = true"],
    )
    .await;
    for path in ["/v/k/1.key", "/v/./k/1.key", "/v/x/../k/1.key", "/v/%6b/1.key", "/v/%2e/k/1%2ekey"] {
        assert_eq!(get(edge.address, path).await.reason().as_deref(), Some("rule"), "{path}");
    }
    let hidden = format!("/v/k/hdntl=x~hmac={}/1.key", "0".repeat(64));
    assert_eq!(get(edge.address, &hidden).await.reason().as_deref(), Some("rule"), "behind a component");
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn rules_see_the_result_of_the_token_check() {
    let origin = stage::origin().await;
    let edge = ruled(
        &origin,
        &[
            "name = \"login\", when = { token = [\"none\"], extension = [\"m3u8\"] }, redirect = { to = \"https://login.example/?back={url}\" }",
            "name = \"grace\", when = { token = [\"expired\"], path = [\"*.m4s\"] }, allow = true",
            "name = \"bad\", when = { token = [\"invalid\"] }, deny = 404",
        ],
    )
    .await;
    let reply = get(edge.address, &format!("{MASTER}?q=1")).await;
    let location = reply.header("location").expect("a location");
    assert_eq!(reply.status, 302);
    assert!(location.starts_with("https://login.example/?back=http%3a%2f%2f127.0.0.1"), "{location}");
    assert!(location.ends_with("%2fv%2fmaster.m3u8%3fq%3d1"), "{location}");
    assert_eq!(reply.header("cache-control").as_deref(), Some("no-store"));
    let old = Access { end: START - 1, ..Access::acl("/*") };
    assert_eq!(get(edge.address, &old.on(SEGMENT)).await.status, 200);
    assert_eq!(get(edge.address, &old.on("/v/k/1.key")).await.status, 404);
    assert_eq!(get(edge.address, &Access::acl("/*").on(SEGMENT)).await.status, 200, "no rule holds");
    assert_eq!(get(edge.address, SEGMENT).await.reason().as_deref(), Some("no_token"), "and none here");
}

#[tokio::test]
async fn no_token_goes_into_a_redirect() {
    let origin = stage::origin().await;
    let edge = ruled(
        &origin,
        &["name = \"away\", redirect = { status = 307, to = \"https://other.example{path}{query}\" }"],
    )
    .await;
    let entry = Access::acl("/*").on("/v/master.m3u8?a=1");
    let session = format!("/v/hdntl=exp=1~acl=%2f*~data=hdntl~hmac={}/360p/seg0.m4s", "0".repeat(64));
    for (target, location) in [
        (entry.clone(), "https://other.example/v/master.m3u8?a=1"),
        (format!("{entry}&hdntl=exp=1"), "https://other.example/v/master.m3u8?a=1"),
        (session, "https://other.example/v/360p/seg0.m4s"),
        ("//evil.example/x".to_owned(), "https://other.example//evil.example/x"),
    ] {
        let reply = get(edge.address, &target).await;
        assert_eq!(reply.status, 307, "{target}");
        assert_eq!(reply.header("location").as_deref(), Some(location), "{target}");
        assert!(!reply.head.contains("hmac"), "{}", reply.head);
    }
}

#[tokio::test]
async fn a_rule_can_require_a_token_where_others_are_only_verified() {
    let origin = stage::origin().await;
    let extra = format!(
        "access = {{ key = {{ hex = \"{KEY}\" }}, action = \"verify-only\" }}\n{}",
        list(&["name = \"keys\", when = { extension = [\"key\"] }, require = \"token\""])
    );
    let edge = TestEdge::start(&origin, &extra).await;
    assert_eq!(get(edge.address, SEGMENT).await.status, 200);
    let refused = get(edge.address, "/v/k/1.key").await;
    assert_eq!((refused.status, refused.reason().as_deref()), (403, Some("no_token")));
    assert_eq!(get(edge.address, &Access::acl("/*").on("/v/k/1.key")).await.status, 200);
}

#[tokio::test]
async fn another_origin_has_its_own_answers_and_its_own_place_in_the_store() {
    let (first, second) = (stage::origin().await, TestOrigin::start().await);
    second.at(SEGMENT, Answer::ok("video/mp4", "the other"));
    let extra = format!(
        "origins = {{ other = {{ urls = [\"http://{}\"], forwarded = \"off\" }} }}\n{}",
        second.address,
        list(&[
            "name = \"tv\", when = { header = [{ name = \"x-device\", equals = \"tv\" }] }, origin = \"other\", continue = true",
            "name = \"all\", allow = true",
        ])
    );
    let edge = TestEdge::start(&first, &extra).await;
    for _ in 0..2 {
        assert_eq!(get(edge.address, SEGMENT).await.text(), "seg0.m4s");
        let other = request(edge.address, "GET", SEGMENT, &[("X-Device", "tv")]).await;
        assert_eq!(other.text(), "the other");
    }
    assert_eq!((first.asked_for(SEGMENT).len(), second.asked_for(SEGMENT).len()), (1, 1), "each is kept");
    assert!(second.asked()[0].header("x-forwarded-for").is_none(), "its own ways of telling of viewers");
    let server = format!(",server=\"http://{}\",origin=\"other\"", second.address);
    assert_eq!(edge.metric("origin_server_requests_total", &server).await, 1);
}

#[tokio::test]
async fn headers_are_set_and_removed_and_no_client_can_forge_them() {
    let origin = stage::origin().await;
    origin
        .at("/a.ts", Answer::with("200 OK", &[("server", "secret/1"), ("content-type", "video/mp2t")], "x"));
    let edge = ruled(
        &origin,
        &[
            "name = \"plan\", request = { set = { X-Plan = \"free\" }, remove = [\"x-debug\"] }, continue = true",
            "name = \"later\", request = { set = { X-Plan = \"gold\", X-B = \"2\" } }, response = { set = { X-Edge = \"late\", X-C = \"3\" } }, continue = true",
            "name = \"all\", response = { set = { X-Edge = \"1\", Cache-Control = \"max-age=7\" }, remove = [\"Server\"] }, allow = true",
        ],
    )
    .await;
    let forged = [("X-Plan", "gold"), ("x_plan", "gold"), ("X-Debug", "1"), ("X_Debug", "1")];
    let reply = request(edge.address, "GET", "/a.ts", &forged).await;
    let asked = &origin.asked_for("/a.ts")[0];
    assert_eq!(asked.header("x-plan").as_deref(), Some("free"), "the earlier rule counts\n{}", asked.head);
    assert_eq!(asked.header("x-b").as_deref(), Some("2"));
    for name in ["x_plan", "x-debug", "x_debug"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    assert_eq!(reply.header("x-edge").as_deref(), Some("late"));
    assert_eq!(reply.header("x-c").as_deref(), Some("3"));
    assert_eq!(reply.header("server"), None);
    assert_eq!(reply.header("cache-control").as_deref(), Some("max-age=7"));
}

#[tokio::test]
async fn what_is_personal_stays_private_whatever_a_rule_says() {
    let origin = stage::origin().await;
    let edge = ruled(
        &origin,
        &["name = \"public\", response = { set = { Cache-Control = \"public, max-age=60\" } }"],
    )
    .await;
    let reply = get(edge.address, &Access::acl("/*").on(MASTER)).await;
    assert!(reply.text().contains("hdntl="));
    assert_eq!(reply.header("cache-control").as_deref(), Some("private, no-store"));
    assert_eq!(
        get(edge.address, MASTER).await.header("cache-control").as_deref(),
        Some("no-store"),
        "refused"
    );
    let segment = get(edge.address, &Access::acl("/*").on(SEGMENT)).await;
    assert_eq!(segment.header("cache-control").as_deref(), Some("public, max-age=60"));
}

#[tokio::test]
async fn cache_settings_hold_where_a_rule_says_so() {
    let origin = stage::origin().await;
    for name in ["/a/x.ts", "/b/x.ts", "/c/x.ts"] {
        let fields = [("content-type", "video/mp2t"), ("cache-control", "max-age=3600")];
        origin.at(name, Answer::with("200 OK", &fields, "x"));
    }
    origin.at("/a/live.m3u8", Answer::playlist(&stage::live(1)));
    let edge = ruled(
        &origin,
        &[
            "name = \"short\", when = { path = [\"/a/*\"] }, cache = { ttl = \"10s\" }, continue = true",
            "name = \"none\", when = { path = [\"/b/*\"] }, cache = { store = false }, continue = true",
            "name = \"one\", when = { path = [\"/c/*\"] }, cache = { query = [\"v\"] }, continue = true",
            "name = \"all\", allow = true",
        ],
    )
    .await;
    let count = |path: &str| origin.asked_for(path).len();
    for path in ["/a/x.ts", "/b/x.ts", "/a/live.m3u8"] {
        get(edge.address, path).await;
        get(edge.address, path).await;
    }
    assert_eq!((count("/a/x.ts"), count("/b/x.ts"), count("/a/live.m3u8")), (1, 2, 1));
    edge.clock.advance(std::time::Duration::from_secs(11));
    get(edge.address, "/a/x.ts").await;
    get(edge.address, "/a/live.m3u8").await;
    assert_eq!((count("/a/x.ts"), count("/a/live.m3u8")), (2, 2), "ten seconds, whatever the origin says");
    for query in ["?v=1&x=1", "?x=2&v=1", "?v=2"] {
        get(edge.address, &format!("/c/x.ts{query}")).await;
    }
    let asked: Vec<String> =
        origin.asked_for("/c/x.ts").iter().map(|asked| asked.target().to_owned()).collect();
    assert_eq!(asked, ["/c/x.ts?v=1", "/c/x.ts?v=2"]);
}

#[tokio::test]
async fn the_log_tells_the_rule_and_the_result_of_the_token_check() {
    let origin = stage::origin().await;
    let rules = list(&[
        "name = \"keys\", when = { extension = [\"key\"], token = [\"none\"] }, deny = 404",
        "name = \"heads\", when = { method = [\"HEAD\"] }, allow = true",
    ]);
    let edge = LoggedEdge::start(&origin, "json", &rules);
    get(edge.address, "/v/k/1.key").await;
    request(edge.address, "HEAD", SEGMENT, &[]).await;
    get(edge.address, &Access::acl("/*").on(SEGMENT)).await;
    let log = edge.finish().await;
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told = |index: usize| (lines[index]["rule"].as_str(), lines[index]["token_result"].as_str());
    assert_eq!(told(0), (Some("keys"), Some("no_token")));
    assert_eq!(told(1), (Some("heads"), Some("no_token")));
    assert_eq!(told(2), (None, Some("valid")));
}

#[tokio::test]
async fn the_duration_of_an_item_is_read_as_its_own_rules_say() {
    let (first, second) = (stage::origin().await, stage::origin().await);
    let extra = format!(
        "origins = {{ other = {{ urls = [\"http://{}\"] }} }}\n{}",
        second.address,
        list(&["name = \"children\", when = { path = [\"/v/360p/*\"] }, origin = \"other\""])
    );
    let edge = TestEdge::start(&first, &extra).await;
    let entry = get(edge.address, &Access::acl("/*").on(MASTER)).await;
    assert_eq!(entry.status, 200);
    assert!(first.asked_for("/v/360p/level.m3u8").is_empty());
    assert_eq!(second.asked_for("/v/360p/level.m3u8").len(), 1);
    assert_eq!(get(edge.address, &format!("/v/{}", entry.uris()[0])).await.status, 200);
    assert_eq!(second.asked_for("/v/360p/level.m3u8").len(), 1, "and was kept where it is looked for");
}

#[tokio::test]
async fn a_purge_by_url_takes_what_rules_have_kept_apart() {
    let (origin, other) = (stage::origin().await, stage::origin().await);
    let extra = format!(
        "origins = {{ other = {{ urls = [\"http://{}\"] }} }}\n{}",
        other.address,
        list(&[
            "name = \"tv\", when = { header = [{ name = \"x-device\", present = true }] }, origin = \"other\", continue = true",
            "name = \"bare\", cache = { query = \"drop\" }, allow = true",
        ])
    );
    let edge = TestEdge::start(&origin, &extra).await;
    let ask = async || {
        get(edge.address, &format!("{SEGMENT}?a=1")).await;
        request(edge.address, "GET", &format!("{SEGMENT}?a=1"), &[("X-Device", "tv")]).await;
        (origin.asked_for(SEGMENT).len(), other.asked_for(SEGMENT).len())
    };
    assert_eq!((ask().await, ask().await), ((1, 1), (1, 1)));
    let body = format!("{{\"url\":\"http://{}{SEGMENT}?a=1\"}}", edge.address);
    let head = format!(
        "POST /purge HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        edge.admin,
        body.len()
    );
    let reply = super::support::client::send(edge.admin, head.as_bytes(), false).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(ask().await, (2, 2), "both were taken");
}

#[tokio::test]
async fn what_a_key_system_reads_goes_through_unharmed() {
    let origin = stage::origin().await;
    let name = |name: &str| format!("/golden/{name}.m3u8");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/playlists");
    let edge = TestEdge::start(&origin, "").await;
    for file in ["fairplay", "widevine-playready", "multivariant-drm"] {
        let source = std::fs::read_to_string(folder.join(format!("{file}.m3u8"))).expect("a playlist");
        origin.at(&name(file), Answer::playlist(&source));
        // A media playlist is entered through one of a single variant, which names it with the session.
        let entry = get(edge.address, &Access::acl("/*").on(&name(file))).await;
        let text = if file == "multivariant-drm" {
            entry.text()
        } else {
            get(edge.address, &format!("/golden/{}", entry.uris()[0])).await.text()
        };
        for line in source.lines().filter(|line| line.contains("KEYFORMAT=") && !line.contains("identity")) {
            assert!(text.lines().any(|sent| sent == line), "{line}\n{text}");
        }
    }
}
