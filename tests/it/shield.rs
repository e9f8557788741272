//! An edge behind an edge: the one behind asks for no token and keeps for all; the one in front has the viewers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::support::edge::access_token;
use crate::support::stage::{self, assert_no_token_reached};
use crate::support::{Answer, KEY, TestEdge, TestOrigin, get, request};

/// A shield in front of `origin`, and an edge in front of the shield.
async fn pair(origin: &TestOrigin) -> (TestEdge, TestEdge) {
    let shield = TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), "").await;
    let edge = TestEdge::with_config(&format!(
        "[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"], host = \"shield.example\" }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n",
        shield.address
    ))
    .await;
    (shield, edge)
}

#[tokio::test]
async fn a_viewer_plays_through_both_and_no_token_passes_between_them() {
    let origin = stage::origin().await;
    let (shield, edge) = pair(&origin).await;
    let master = get(edge.address, &format!("/v/master.m3u8?{}", access_token("/*"))).await;
    let child = format!("/v/{}", master.uris()[0]);
    let media = get(edge.address, &child).await;
    assert_eq!(media.status, 200, "{}", media.head);
    let folder = child.rsplit_once('/').expect("a folder").0;
    let segment = get(edge.address, &format!("{folder}/{}", media.uris()[0])).await;
    assert_eq!((segment.status, segment.text().as_str()), (200, "seg0.m4s"));
    assert_no_token_reached(&origin);
    assert!(!get(shield.address, "/v/360p/level.m3u8").await.text().contains("hdntl"));
    assert_eq!(get(edge.address, "/v/360p/seg0.m4s").await.status, 403, "the edge in front still asks");
}

#[tokio::test]
async fn both_say_what_they_had() {
    let origin = stage::origin().await;
    let (shield, edge) = pair(&origin).await;
    let path = format!("/v/360p/seg0.m4s?{}", access_token("/*"));
    let told = |reply: crate::support::Reply| reply.header("cache-status").unwrap_or_default();
    let first = told(get(edge.address, &path).await);
    assert_eq!(
        first,
        "sluicegate; fwd=uri-miss; ttl=86400; stored, sluicegate; fwd=uri-miss; ttl=86400; stored"
    );
    let second = told(get(edge.address, &path).await);
    assert!(second.ends_with("sluicegate; hit; ttl=86400"), "{second}");
    assert_eq!(origin.asked_for("/v/360p/seg0.m4s").len(), 1);
    assert_eq!(get(shield.address, "/v/360p/seg0.m4s").await.status, 200);
}

#[tokio::test]
async fn viewers_of_one_playlist_make_one_request_to_the_shield_and_one_to_the_origin() {
    let origin = TestOrigin::start().await;
    let gate = Arc::new(Notify::new());
    origin.at("/live.m3u8", Answer::playlist(&stage::live(1)).gated(gate.clone()));
    let (shield, edge) = pair(&origin).await;
    let address = edge.address;
    let target = format!("/live.m3u8?{}", access_token("/*"));
    let viewers: Vec<_> = (0..50)
        .map(|_| {
            let target = target.clone();
            tokio::spawn(async move { get(address, &target).await })
        })
        .collect();
    origin.until(|origin| origin.asked().len() == 1).await;
    gate.notify_one();
    for viewer in viewers {
        assert_eq!(viewer.await.expect("an answer").status, 200);
    }
    assert_eq!(origin.asked().len(), 1);
    assert_eq!(shield.metric("cache_total", ",result=\"miss\"").await, 1);
}

#[tokio::test]
async fn an_age_counts_through_both() {
    let origin = TestOrigin::start().await;
    let fields = [("content-type", "video/mp2t"), ("cache-control", "max-age=60")];
    origin.at("/s.ts", Answer::with("200 OK", &fields, "segment"));
    let (shield, edge) = pair(&origin).await;
    request(shield.address, "GET", "/s.ts", &[("Host", "shield.example")]).await;
    shield.clock.advance(Duration::from_secs(40));
    let target = format!("/s.ts?{}", access_token("/*"));
    assert_eq!(get(edge.address, &target).await.header("age").as_deref(), Some("40"));
    edge.clock.advance(Duration::from_secs(15));
    assert_eq!(get(edge.address, &target).await.header("age").as_deref(), Some("55"));
    edge.clock.advance(Duration::from_secs(4));
    let last = get(edge.address, &target).await.header("cache-status").unwrap_or_default();
    assert!(last.ends_with("sluicegate; hit; ttl=1"), "{last}");
    assert_eq!(origin.asked().len(), 1);
}
