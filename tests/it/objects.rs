//! The cache of everything that is no playlist, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::support::client::read_reply;
use crate::support::edge::access_token;
use crate::support::{Answer, Reply, TestEdge, TestOrigin, get, request};

async fn open(origin: &TestOrigin) -> TestEdge {
    TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), "").await
}

fn segment(fields: &[(&str, &str)], body: &str) -> Answer {
    let mut all = vec![("content-type", "video/mp2t")];
    all.extend_from_slice(fields);
    Answer::with("200 OK", &all, body)
}

fn cache_status(reply: &Reply) -> String {
    reply.header("cache-status").unwrap_or_default()
}

#[tokio::test]
async fn a_segment_is_fetched_once_and_served_from_memory() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[("etag", "\"1\"")], "segment"));
    let edge = open(&origin).await;
    let first = get(edge.address, "/s.ts").await;
    assert_eq!(
        (first.text().as_str(), cache_status(&first).as_str()),
        ("segment", "sluicegate; fwd=uri-miss; ttl=86400; stored")
    );
    edge.clock.advance(Duration::from_secs(7));
    let second = get(edge.address, "/s.ts").await;
    assert_eq!(second.text(), "segment");
    assert_eq!(second.header("age").as_deref(), Some("7"));
    assert_eq!(second.header("etag").as_deref(), Some("\"1\""));
    assert!(cache_status(&second).starts_with("sluicegate; hit; ttl=863"), "{}", cache_status(&second));
    let head = request(edge.address, "HEAD", "/s.ts", &[]).await;
    assert_eq!((head.status, head.header("content-length").as_deref()), (200, Some("7")));
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn a_hit_is_authorised_like_a_miss() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[], "segment"));
    let edge = TestEdge::start(&origin, "").await;
    assert_eq!(get(edge.address, &format!("/s.ts?{}", access_token("/*"))).await.status, 200);
    assert_eq!(get(edge.address, "/s.ts").await.status, 403);
    assert_eq!(get(edge.address, &format!("/s.ts?{}", access_token("/other/*"))).await.status, 403);
    let other = crate::support::edge::signed(
        sluicegate::domain::token::edgeauth::sign::Target::Acl(vec!["/s*".to_owned()]),
        crate::support::START + 100,
        Some("viewer-2"),
        None,
    );
    assert_eq!(get(edge.address, &format!("/s.ts?{other}")).await.status, 200);
    assert_eq!(origin.asked().len(), 1, "tokens are not in the key");
}

#[tokio::test]
async fn a_thousand_waiters_on_one_segment_make_one_request() {
    let origin = TestOrigin::start().await;
    let gate = Arc::new(Notify::new());
    origin.at("/s.ts", segment(&[], &"x".repeat(100_000)).gated(gate.clone()));
    let edge = TestEdge::with_text(&format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[server.limits]\nconnections_max = 2000\nconnections_per_address = 2000\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ action = \"open\" }}\n",
        origin.address
    ))
    .await;
    let address = edge.address;
    let waiters: Vec<_> =
        (0..1_000).map(|_| tokio::spawn(async move { get(address, "/s.ts").await })).collect();
    // All of them wait before the first byte comes.
    while edge.count("cache_collapsed_total").await < 999 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    for waiter in waiters {
        let reply = waiter.await.expect("an answer");
        assert_eq!((reply.status, reply.body.len(), reply.is_cut), (200, 100_000, false));
    }
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn many_waiters_on_a_missing_segment_make_one_request() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin).await;
    for _ in 0..20 {
        assert_eq!(get(edge.address, "/gone.ts").await.status, 404);
    }
    assert_eq!(origin.asked().len(), 1);
    edge.clock.advance(Duration::from_secs(2));
    origin.at("/gone.ts", segment(&[], "there"));
    assert_eq!(get(edge.address, "/gone.ts").await.text(), "there", "for a short time only");
}

#[tokio::test]
async fn a_waiter_that_reads_nothing_holds_nobody_up() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[], &"x".repeat(8 << 20)));
    let edge = open(&origin).await;
    let mut stalled = tokio::net::TcpStream::connect(edge.address).await.expect("the edge listens");
    let head = format!("GET /s.ts HTTP/1.1\r\nHost: {}\r\n\r\n", edge.address);
    stalled.write_all(head.as_bytes()).await.expect("written");
    origin.until(|origin| origin.asked().len() == 1).await;
    let reply = get(edge.address, "/s.ts").await;
    assert_eq!((reply.body.len(), reply.is_cut), (8 << 20, false), "{}", reply.head);
    let late = read_reply(&mut stalled, false).await;
    assert_eq!((late.body.len(), late.is_cut), (8 << 20, false));
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_with_an_error_and_is_not_kept() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[], &"x".repeat(50_000)).cut_after(20_000));
    let edge = open(&origin).await;
    assert!(get(edge.address, "/s.ts").await.is_cut);
    origin.at("/s.ts", segment(&[], "whole"));
    let reply = get(edge.address, "/s.ts").await;
    assert_eq!((reply.text().as_str(), reply.is_cut), ("whole", false));
}

#[tokio::test]
async fn ranges_are_cut_from_what_is_kept() {
    let origin = TestOrigin::start().await;
    origin.at("/s.mp4", segment(&[("etag", "\"1\"")], "0123456789"));
    let edge = open(&origin).await;
    assert_eq!(get(edge.address, "/s.mp4").await.status, 200);
    for (range, status, content_range, body) in [
        ("bytes=2-5", 206, "bytes 2-5/10", "2345"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=8-", 206, "bytes 8-9/10", "89"),
        ("bytes=5-9007199254740991", 206, "bytes 5-9/10", "56789"),
        ("bytes=10-", 416, "bytes */10", ""),
    ] {
        let reply = request(edge.address, "GET", "/s.mp4", &[("Range", range)]).await;
        assert_eq!((reply.status, reply.text().as_str()), (status, body), "{range}");
        assert_eq!(reply.header("content-range").as_deref(), Some(content_range), "{range}");
    }
    let whole =
        request(edge.address, "GET", "/s.mp4", &[("Range", "bytes=0-1"), ("If-Range", "\"2\"")]).await;
    assert_eq!((whole.status, whole.body.len()), (200, 10));
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn a_range_from_the_beginning_fetches_the_whole_and_one_from_the_middle_passes() {
    let origin = TestOrigin::start().await;
    origin.at("/s.mp4", segment(&[], "0123456789"));
    let urls = format!("urls = [\"http://{}\"]", origin.address);
    let edge = TestEdge::open(&urls, "cache = { slice = \"0B\" }").await;
    let reply = request(edge.address, "GET", "/s.mp4", &[("Range", "bytes=0-3")]).await;
    assert_eq!((reply.status, reply.text().as_str()), (206, "0123"));
    assert_eq!(origin.asked()[0].header("range"), None, "for everybody");
    origin.at("/t.mp4", Answer::file(&[("content-type", "video/mp4")], "0123456789"));
    let reply = request(edge.address, "GET", "/t.mp4", &[("Range", "bytes=4-5")]).await;
    assert_eq!((reply.status, reply.text().as_str()), (206, "45"));
    assert_eq!(origin.asked()[1].header("range").as_deref(), Some("bytes=4-5"));
}

#[tokio::test]
async fn a_client_that_has_it_is_told_so() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[("etag", "\"1\"")], "segment"));
    let edge = open(&origin).await;
    get(edge.address, "/s.ts").await;
    let same = request(edge.address, "GET", "/s.ts", &[("If-None-Match", "\"1\"")]).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let other = request(edge.address, "GET", "/s.ts", &[("If-None-Match", "\"2\"")]).await;
    assert_eq!((other.status, other.text().as_str()), (200, "segment"));
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn what_is_stale_is_confirmed_by_its_validator() {
    let origin = TestOrigin::start().await;
    let fields = [("etag", "\"1\""), ("cache-control", "max-age=10, stale-while-revalidate=0")];
    origin.at("/s.ts", segment(&fields, "segment"));
    let edge = open(&origin).await;
    get(edge.address, "/s.ts").await;
    edge.clock.advance(Duration::from_secs(11));
    origin.at("/s.ts", Answer::with("304 Not Modified", &fields, ""));
    assert_eq!(get(edge.address, "/s.ts").await.text(), "segment");
    assert_eq!(origin.asked()[1].header("if-none-match").as_deref(), Some("\"1\""));
    assert_eq!(get(edge.address, "/s.ts").await.text(), "segment");
    assert_eq!(origin.asked().len(), 2, "it is fresh again");
}

#[tokio::test]
async fn what_is_stale_is_served_while_the_origin_fails_and_for_so_long_only() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[("cache-control", "max-age=10, stale-while-revalidate=0")], "segment"));
    let edge = open(&origin).await;
    get(edge.address, "/s.ts").await;
    origin.at("/s.ts", Answer::with("503 Service Unavailable", &[], "no"));
    edge.clock.advance(Duration::from_secs(30));
    let stale = get(edge.address, "/s.ts").await;
    assert_eq!((stale.status, stale.text().as_str()), (200, "segment"));
    assert!(cache_status(&stale).contains("ttl=-20"), "{}", cache_status(&stale));
    origin.at("/s.ts", Answer::raw("not HTTP"));
    assert_eq!(get(edge.address, "/s.ts").await.text(), "segment");
    edge.clock.advance(Duration::from_mins(1));
    assert_eq!(get(edge.address, "/s.ts").await.status, 502);
}

#[tokio::test]
async fn what_is_stale_is_served_while_it_is_fetched_anew() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[("cache-control", "max-age=10, stale-while-revalidate=30")], "old"));
    let edge = open(&origin).await;
    get(edge.address, "/s.ts").await;
    origin.at("/s.ts", segment(&[("cache-control", "max-age=100")], "new"));
    edge.clock.advance(Duration::from_secs(15));
    assert_eq!(get(edge.address, "/s.ts").await.text(), "old");
    origin.until(|origin| origin.asked().len() == 2).await;
    let renewed = async {
        while get(edge.address, "/s.ts").await.text() != "new" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed).await.expect("the new one is served");
    assert_eq!(origin.asked().len(), 2);
}

#[tokio::test]
async fn what_is_for_one_is_not_kept() {
    let origin = TestOrigin::start().await;
    for (path, fields) in [
        ("/private.ts", [("cache-control", "private, max-age=60")]),
        ("/no-store.ts", [("cache-control", "no-store")]),
        ("/cookie.ts", [("set-cookie", "a=b")]),
        ("/star.ts", [("vary", "*")]),
    ] {
        origin.at(path, segment(&fields, "mine"));
    }
    origin.at("/k.key", Answer::ok("application/octet-stream", "0123456789abcdef"));
    let edge = open(&origin).await;
    for path in ["/private.ts", "/no-store.ts", "/cookie.ts", "/star.ts", "/k.key"] {
        for _ in 0..2 {
            assert_eq!(get(edge.address, path).await.status, 200, "{path}");
        }
        assert_eq!(origin.asked_for(path).len(), 2, "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_varies_by_coding_is_kept_for_each() {
    let origin = TestOrigin::start().await;
    origin.at(
        "/s.vtt",
        Answer::with("200 OK", &[("content-type", "text/vtt"), ("vary", "Accept-Encoding")], "plain"),
    );
    let edge = open(&origin).await;
    for _ in 0..2 {
        assert_eq!(get(edge.address, "/s.vtt").await.text(), "plain");
        assert_eq!(
            request(edge.address, "GET", "/s.vtt", &[("Accept-Encoding", "gzip")]).await.text(),
            "plain"
        );
    }
    assert_eq!(origin.asked().len(), 2);
}

#[tokio::test]
async fn an_object_over_the_limit_streams_through() {
    let origin = TestOrigin::start().await;
    origin.at("/big.ts", segment(&[], &"x".repeat(100_000)));
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[cache]\nobject_max = \"64KiB\"\n\
         [[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ action = \"open\" }}\n",
        origin.address
    );
    let edge = TestEdge::with_text(&text).await;
    for _ in 0..2 {
        assert_eq!(get(edge.address, "/big.ts").await.body.len(), 100_000);
    }
    assert_eq!(origin.asked().len(), 2);
}
