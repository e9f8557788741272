//! Cached bodies that the kernel sends from the memory file.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::read_reply;
use crate::support::{Answer, TestEdge, TestOrigin, get, request};

const MIB: usize = 1 << 20;

fn numbered(bytes: usize, first: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((first + at) % 251).expect("below 251")).collect()
}

fn segment(body: Vec<u8>) -> Answer {
    Answer::ok("video/mp2t", body)
}

/// An edge without tokens; `cache` are lines of `[cache]`, `limits` of `[server.limits]`.
async fn edge(origin: &TestOrigin, cache: &str, limits: &str) -> TestEdge {
    TestEdge::with_text(&format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[server.limits]\n{limits}\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n\
         [cache]\n{cache}\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\n\
         access = {{ action = \"open\" }}\n",
        origin.address
    ))
    .await
}

async fn ask(edge: &TestEdge, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(edge.address).await.expect("the edge listens");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", edge.address);
    client.write_all(head.as_bytes()).await.expect("written");
    client
}

async fn sent(edge: &TestEdge) -> u64 {
    edge.count("memory_file_sent_bytes_total").await
}

/// Waits until the edge has not sent a byte for a while: the client's queue is full, or all is in it.
async fn until_it_stands(edge: &TestEdge) {
    let mut before = u64::MAX;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = sent(edge).await;
        if now == before && now > 0 {
            return;
        }
        before = now;
    }
}

#[tokio::test]
async fn a_large_body_goes_out_of_the_memory_file() {
    let origin = TestOrigin::start().await;
    let body = numbered(3 * MIB + 70_000, 1);
    origin.at("/s.ts", segment(body.clone()));
    let edge = edge(&origin, "", "unsent = \"64MiB\"").await;
    assert!(get(edge.address, "/s.ts").await.body == body);
    let before = sent(&edge).await;
    assert!(get(edge.address, "/s.ts").await.body == body);
    // The client may have the last bytes before they are counted.
    let every_byte = async {
        while sent(&edge).await - before < body.len() as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), every_byte).await.expect("every byte of a hit");
    assert_eq!(sent(&edge).await - before, body.len() as u64, "and no other");
    assert_eq!(origin.asked().len(), 1);
    assert!(edge.count("memory_file_bytes").await >= body.len() as u64);
    assert_eq!(edge.count("memory_file_missed_total").await, 0);
}

#[tokio::test]
async fn every_range_of_it_is_the_same_bytes() {
    let origin = TestOrigin::start().await;
    let body = numbered(MIB + 1_000, 5);
    origin.at("/s.ts", segment(body.clone()));
    let edge = edge(&origin, "", "").await;
    assert!(get(edge.address, "/s.ts").await.body == body);
    for (first, last) in
        [(0, 0), (0, 262_143), (262_143, 262_144), (1, MIB), (200_000, 900_000), (MIB, MIB + 999)]
    {
        let asked = format!("bytes={first}-{last}");
        let reply = request(edge.address, "GET", "/s.ts", &[("range", &asked)]).await;
        assert_eq!(reply.status, 206, "{asked}");
        assert!(reply.body == body[first..=last], "{asked}");
    }
    let head = request(edge.address, "HEAD", "/s.ts", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn answers_follow_each_other_on_one_connection() {
    let origin = TestOrigin::start().await;
    let (large, small) = (numbered(600_000, 2), numbered(1_000, 3));
    origin.at("/large.ts", segment(large.clone())).at("/small.ts", segment(small.clone()));
    let edge = edge(&origin, "", "").await;
    let mut client = TcpStream::connect(edge.address).await.expect("the edge listens");
    for (path, body) in [("/large.ts", &large), ("/small.ts", &small)].into_iter().cycle().take(8) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", edge.address);
        client.write_all(head.as_bytes()).await.expect("written");
        let reply = read_reply(&mut client, false).await;
        assert!(reply.body == *body, "{path}: {}", reply.head);
    }
    assert!(sent(&edge).await >= 3 * large.len() as u64, "every hit");
}

#[tokio::test]
async fn a_stalled_client_gets_its_own_bytes_after_its_object_was_evicted_and_its_memory_used_again() {
    let origin = TestOrigin::start().await;
    let body = numbered(MIB, 7);
    origin.at("/mine.ts", segment(body.clone()));
    for number in 0..40 {
        origin.at(&format!("/{number}.ts"), segment(vec![0xee; MIB]));
    }
    let edge = edge(&origin, "memory = \"16MiB\"\nobject_max = \"1MiB\"", "").await;
    assert!(get(edge.address, "/mine.ts").await.body == body);
    let mut stalled = ask(&edge, "/mine.ts").await;
    until_it_stands(&edge).await;
    for number in 0..40 {
        let reply = get(edge.address, &format!("/{number}.ts")).await;
        assert!(reply.body == vec![0xee; MIB]);
    }
    assert!(edge.count("cache_memory_evictions_total").await > 20);
    assert!(edge.count("memory_file_bytes").await <= 17 << 20, "what is evicted goes back");
    let reply = read_reply(&mut stalled, false).await;
    assert!(reply.body == body && !reply.is_cut);
    let again = origin.asked_for("/mine.ts").len();
    assert!(get(edge.address, "/mine.ts").await.body == body);
    assert_eq!(origin.asked_for("/mine.ts").len(), again + 1, "it had been evicted");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_all_the_same() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(numbered(24 * MIB, 9)));
    let edge = edge(&origin, "", "stalled_write_timeout = \"300ms\"").await;
    assert_eq!(get(edge.address, "/s.ts").await.body.len(), 24 * MIB);
    let mut stalled = ask(&edge, "/s.ts").await;
    while edge.count("stalled_writes_total").await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(read_reply(&mut stalled, false).await.is_cut);
}

#[tokio::test]
async fn without_the_memory_file_the_same_bytes_go_out() {
    let origin = TestOrigin::start().await;
    let body = numbered(MIB + 5, 4);
    origin.at("/s.ts", segment(body.clone()));
    let edge = edge(&origin, "sendfile = false", "").await;
    for _ in 0..2 {
        assert!(get(edge.address, "/s.ts").await.body == body);
    }
    assert!(!get(edge.admin, "/metrics").await.text().contains("memory_file"));
}
