//! How many requests an address may make.

use std::time::Duration;

use super::support::edge::access_token;
use super::support::token::Access;
use super::support::{KEY, TestEdge, TestOrigin, get, request, stage};

const SEGMENT: &str = "/v/360p/seg0.m4s";

/// An edge that believes this machine when it tells of viewers.
fn text(origin: &TestOrigin, limits: &str) -> String {
    format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[server.limits]\n{limits}\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n",
        origin.address
    )
}

async fn from(edge: &TestEdge, address: &str) -> u16 {
    request(edge.address, "GET", &Access::acl("/*").on(SEGMENT), &[("x-forwarded-for", address)]).await.status
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let origin = stage::origin().await;
    let limits = "requests_per_address = 1\nrequests_per_address_burst = 3";
    let edge = TestEdge::with_text(&text(&origin, limits)).await;
    for _ in 0..3 {
        assert_eq!(from(&edge, "203.0.113.7").await, 200);
    }
    let headers = [("x-forwarded-for", "203.0.113.7"), ("origin", "https://player.example")];
    let refused = request(edge.address, "GET", &Access::acl("/*").on(SEGMENT), &headers).await;
    assert_eq!((refused.status, refused.reason().as_deref()), (429, Some("request_rate")));
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    assert_eq!(refused.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(refused.header("access-control-allow-origin").as_deref(), Some("https://player.example"));
    assert_eq!(edge.denials("request_rate").await, 1);
    // Another address is served, and so is this one after a while.
    assert_eq!(from(&edge, "203.0.113.8").await, 200);
    edge.clock.advance(Duration::from_secs(1));
    assert_eq!(from(&edge, "203.0.113.7").await, 200);
    assert_eq!(from(&edge, "203.0.113.7").await, 429);
}

#[tokio::test]
async fn refusals_and_preflights_count_like_answers_and_reach_no_origin() {
    let origin = stage::origin().await;
    let edge =
        TestEdge::with_text(&text(&origin, "requests_per_address = 2\nrequests_per_address_burst = 2")).await;
    assert_eq!(get(edge.address, "/v/master.m3u8").await.status, 403);
    assert_eq!(request(edge.address, "OPTIONS", SEGMENT, &[]).await.status, 204);
    let asked = origin.asked().len();
    assert_eq!(get(edge.address, &format!("/v/master.m3u8?{}", access_token("/v/*"))).await.status, 429);
    assert_eq!(origin.asked().len(), asked);
}

#[tokio::test]
async fn a_64_of_ipv6_is_one_address() {
    let origin = stage::origin().await;
    let edge =
        TestEdge::with_text(&text(&origin, "requests_per_address = 1\nrequests_per_address_burst = 1")).await;
    assert_eq!(from(&edge, "2001:db8:0:1::1").await, 200);
    assert_eq!(from(&edge, "2001:db8:0:1:ffff::2").await, 429);
    assert_eq!(from(&edge, "2001:db8:0:2::1").await, 200);
}

#[tokio::test]
async fn who_is_not_trusted_is_counted_by_its_own_address() {
    let origin = stage::origin().await;
    let text = text(&origin, "requests_per_address = 1\nrequests_per_address_burst = 1");
    let edge = TestEdge::with_text(&text.replace("\"127.0.0.0/8\"", "")).await;
    assert_eq!(from(&edge, "203.0.113.7").await, 200);
    assert_eq!(from(&edge, "203.0.113.8").await, 429);
}

#[tokio::test]
async fn nothing_is_counted_unless_asked_for_and_a_reload_asks_for_it() {
    let (origin, folder) = (stage::origin().await, tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("edge.toml");
    let write = |limits: &str| std::fs::write(&path, text(&origin, limits)).expect("a file");
    write("");
    let edge = TestEdge::with_file(&path).await;
    for _ in 0..50 {
        assert_eq!(from(&edge, "203.0.113.7").await, 200);
    }
    write("requests_per_address = 1\nrequests_per_address_burst = 1");
    let reloader = edge.reloader.clone().expect("the configuration is a file");
    let outcome = tokio::task::spawn_blocking(move || reloader.reload()).await.expect("no panic");
    let warnings = outcome.expect("it is good").warnings;
    assert!(!warnings.iter().any(|warning| warning.contains("limits")), "{warnings:?}");
    assert_eq!(from(&edge, "203.0.113.7").await, 200);
    assert_eq!(from(&edge, "203.0.113.7").await, 429);
}
