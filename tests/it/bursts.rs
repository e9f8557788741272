//! An origin that fails while many ask: it is asked no more than one time for all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::support::{Answer, Reply, TestEdge, TestOrigin, get};

const VIEWERS: u64 = 100;

async fn open(origin: &TestOrigin) -> TestEdge {
    let keys = format!("urls = [\"http://{}\"], retries = 0, ejection_failures = 0", origin.address);
    TestEdge::open(&keys, "").await
}

/// What so many viewers get who ask for `path` while the origin holds its answer back.
async fn together(edge: &TestEdge, path: &'static str, gate: &Notify) -> Vec<Reply> {
    let (address, before) = (edge.address, edge.count("cache_collapsed_total").await);
    let viewers: Vec<_> =
        (0..VIEWERS).map(|_| tokio::spawn(async move { get(address, path).await })).collect();
    while edge.count("cache_collapsed_total").await < before + VIEWERS - 1 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    let mut replies = Vec::new();
    for viewer in viewers {
        replies.push(viewer.await.expect("an answer"));
    }
    replies
}

#[tokio::test]
async fn while_a_stale_object_stands_in_a_failing_origin_is_asked_once_for_all_who_wait() {
    let origin = TestOrigin::start().await;
    let lived = [("content-type", "video/mp2t"), ("cache-control", "max-age=10, stale-while-revalidate=0")];
    origin.at("/s.ts", Answer::with("200 OK", &lived, "segment"));
    let edge = open(&origin).await;
    get(edge.address, "/s.ts").await;
    edge.clock.advance(Duration::from_secs(20));
    for (round, fields) in [&[][..], &[("cache-control", "max-age=60")]].into_iter().enumerate() {
        let gate = Arc::new(Notify::new());
        origin.at("/s.ts", Answer::with("503 Service Unavailable", fields, "no").gated(gate.clone()));
        for reply in together(&edge, "/s.ts", &gate).await {
            assert_eq!((reply.status, reply.text().as_str()), (200, "segment"), "{}", reply.head);
            let status = reply.header("cache-status").unwrap_or_default();
            assert!(
                status.contains("fwd-status=503") && status.ends_with("detail=origin-failed"),
                "{status}"
            );
        }
        assert_eq!(origin.asked().len(), 2 + round);
    }
    // Once it is too old, all who wait get the error of one request.
    edge.clock.advance(Duration::from_mins(2));
    let gate = Arc::new(Notify::new());
    origin.at("/s.ts", Answer::with("503 Service Unavailable", &[], "no").gated(gate.clone()));
    for reply in together(&edge, "/s.ts", &gate).await {
        assert_eq!((reply.status, reply.text().as_str()), (503, "no"), "{}", reply.head);
    }
    assert_eq!(origin.asked().len(), 4);
    origin.at("/s.ts", Answer::with("200 OK", &lived, "anew"));
    assert_eq!(get(edge.address, "/s.ts").await.text(), "anew");
}
