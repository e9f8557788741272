//! Playlists while the origin fails.

use std::time::Duration;

use crate::admin::{JSON, post};
use crate::support::edge::access_token;
use crate::support::{Answer, Reply, TestEdge, TestOrigin, get, stage};

const VOD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\ns.ts\n#EXT-X-ENDLIST\n";
const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlevel.m3u8\n";

fn busy() -> Answer {
    Answer::with("503 Service Unavailable", &[], "busy")
}

async fn open(answer: Answer) -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    origin.at("/p.m3u8", answer);
    let edge =
        TestEdge::open(&format!("urls = [\"http://{}\"], ejection_failures = 0", origin.address), "").await;
    assert_eq!(get(edge.address, "/p.m3u8").await.status, 200);
    (origin, edge)
}

fn told(reply: &Reply) -> (u16, String) {
    (reply.status, reply.header("cache-status").unwrap_or_default())
}

#[tokio::test]
async fn what_does_not_change_outlives_an_origin_that_fails() {
    for text in [VOD, MULTIVARIANT] {
        for (failure, forwarded) in [
            (busy(), "; fwd-status=503"),
            (Answer::with("500 Internal Server Error", &[], ""), "; fwd-status=500"),
            (Answer::raw(""), ""),
            (Answer::raw("nonsense\r\n\r\n"), ""),
        ] {
            let (origin, edge) = open(Answer::playlist(text)).await;
            origin.at("/p.m3u8", failure.clone());
            edge.clock.advance(Duration::from_secs(70));
            let stale = get(edge.address, "/p.m3u8").await;
            let expected = format!("sluicegate; fwd=stale{forwarded}; ttl=-10; detail=origin-failed");
            assert_eq!(told(&stale), (200, expected));
            assert_eq!((stale.text().as_str(), stale.header("age").as_deref()), (text, Some("70")));
            assert_eq!(edge.metric("cache_total", ",result=\"stale\"").await, 1);
            edge.clock.advance(Duration::from_secs(50));
            assert!(get(edge.address, "/p.m3u8").await.status >= 500, "60 s of freshness and 60 s beyond");
        }
    }
}

#[tokio::test]
async fn a_live_playlist_is_stale_for_three_target_durations_at_most() {
    let (origin, edge) = open(Answer::playlist(&stage::live(1))).await;
    origin.at("/p.m3u8", busy());
    edge.clock.advance(Duration::from_secs(13));
    assert_eq!(
        told(&get(edge.address, "/p.m3u8").await),
        (200, "sluicegate; fwd=stale; fwd-status=503; ttl=-11; detail=origin-failed".to_owned())
    );
    edge.clock.advance(Duration::from_secs(1));
    assert_eq!(get(edge.address, "/p.m3u8").await.status, 503);
    origin.at("/p.m3u8", Answer::playlist(&stage::live(5)));
    assert_eq!(
        get(edge.address, "/p.m3u8").await.text(),
        stage::live(5),
        "and it comes back with the origin"
    );
}

#[tokio::test]
async fn only_failures_are_bridged_and_only_where_the_origin_allows() {
    let (origin, edge) = open(Answer::playlist(VOD)).await;
    origin.at("/p.m3u8", Answer::with("404 Not Found", &[], "gone"));
    edge.clock.advance(Duration::from_secs(61));
    assert_eq!(get(edge.address, "/p.m3u8").await.status, 404);
    for (control, status) in [
        ("max-age=5", 200),
        ("max-age=5, stale-if-error=10", 200),
        ("max-age=5, stale-if-error=1", 503),
        ("max-age=5, must-revalidate", 503),
        ("s-maxage=5", 503),
        ("no-store", 503),
    ] {
        let fields = [("content-type", "application/vnd.apple.mpegurl"), ("cache-control", control)];
        let (origin, edge) = open(Answer::with("200 OK", &fields, VOD)).await;
        origin.at("/p.m3u8", busy());
        edge.clock.advance(Duration::from_secs(7));
        assert_eq!(get(edge.address, "/p.m3u8").await.status, status, "{control}");
    }
}

#[tokio::test]
async fn what_was_purged_does_not_come_back_with_a_failure() {
    for soft in ["false", "true"] {
        let (origin, edge) = open(Answer::playlist(VOD)).await;
        origin.at("/p.m3u8", busy());
        let body = format!("{{\"url\":\"/p.m3u8\",\"property\":\"test\",\"soft\":{soft}}}");
        assert_eq!(post(edge.admin, "/purge", &[JSON], &body).await.status, 200);
        assert_eq!(get(edge.address, "/p.m3u8").await.status, 503);
    }
}

#[tokio::test]
async fn a_stale_playlist_has_its_viewers_session_and_asks_for_it() {
    let origin = stage::origin().await;
    let edge =
        TestEdge::start(&origin, "session = { carrier = \"query\" }\ncache = { playlist_ttl = \"5s\" }")
            .await;
    let entry = get(edge.address, &format!("/v/master.m3u8?{}", access_token("/*"))).await;
    let child = format!("/v/{}", entry.uris()[0]);
    let session = child.split_once('?').expect("a query").1;
    assert_eq!(get(edge.address, &child).await.status, 200);
    origin.at("/v/360p/level.m3u8", busy());
    edge.clock.advance(Duration::from_secs(7));
    let stale = get(edge.address, &child).await;
    assert_eq!(stale.status, 200, "{}", stale.head);
    assert!(stale.uris().iter().all(|uri| uri.contains(session)), "{}", stale.text());
    assert_eq!(get(edge.address, "/v/360p/level.m3u8").await.status, 403);
}
