//! LL-HLS through the edge: blocking reloads, deltas, parts while they grow.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::edge::access_token;
use crate::support::script::ScriptedOrigin;
use crate::support::{Answer, TestEdge, TestOrigin, get, request, stage};

/// A delta with everything that names a URI in it.
const DELTA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24,PART-HOLD-BACK=1.0\n#EXT-X-PART-INF:PART-TARGET=0.33\n#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-SKIP:SKIPPED-SEGMENTS=12\n#EXTINF:4,\n112.m4s\n#EXT-X-PART:DURATION=0.33,URI=\"113.0.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"113.1.m4s\"\n#EXT-X-RENDITION-REPORT:URI=\"../b/level.m3u8\",LAST-MSN=113,LAST-PART=0\n";

async fn edge_with(origin: &str, cache: &str) -> TestEdge {
    TestEdge::with_config(&format!(
        "[server.limits]\nconnections_per_address = 4000\n[cache]\n{cache}\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ {origin} }}\naccess = {{ action = \"open\" }}\n"
    ))
    .await
}

#[tokio::test]
async fn a_thousand_blocked_reloads_are_one_request() {
    let origin = TestOrigin::start().await;
    let gate = Arc::new(Notify::new());
    origin.at("/l.m3u8", Answer::playlist(&stage::live(7)).gated(gate.clone()));
    let edge = edge_with(&format!("urls = [\"http://{}\"]", origin.address), "").await;
    let address = edge.address;
    let viewers: Vec<_> = (0..1_000)
        .map(|_| tokio::spawn(async move { get(address, "/l.m3u8?_HLS_msn=8&_HLS_part=2").await }))
        .collect();
    origin.until(|origin| origin.asked().len() == 1).await;
    gate.notify_one();
    for viewer in viewers {
        let reply = viewer.await.expect("an answer");
        assert_eq!((reply.status, reply.text()), (200, stage::live(7)), "{}", reply.head);
    }
    assert_eq!(origin.asked().len(), 1);
    assert_eq!(origin.asked()[0].target(), "/l.m3u8?_HLS_msn=8&_HLS_part=2");
}

#[tokio::test]
async fn those_who_wait_are_bounded_in_number() {
    let origin = TestOrigin::start().await;
    let gate = Arc::new(Notify::new());
    origin.at("/l.m3u8", Answer::playlist(&stage::live(7)).gated(gate.clone()));
    let edge = edge_with(&format!("urls = [\"http://{}\"]", origin.address), "waiters_max = 5").await;
    let address = edge.address;
    let viewers: Vec<_> = (0..20)
        .map(|_| tokio::spawn(async move { get(address, "/l.m3u8?_HLS_msn=8").await.status }))
        .collect();
    // Only when the others have been turned away is the playlist there.
    while viewers.iter().filter(|viewer| viewer.is_finished()).count() < 14 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    let mut statuses = Vec::new();
    for viewer in viewers {
        statuses.push(viewer.await.expect("an answer"));
    }
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    assert!(count(200) + count(503) == 20 && matches!(count(200), 5 | 6), "{statuses:?}");
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn a_reload_that_is_held_too_long_ends_for_all_who_wait() {
    let origin = ScriptedOrigin::start(|stream| async move {
        // It never answers, and keeps the connection.
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let keys = format!("urls = [\"http://{}\"], blocking_timeout = \"300ms\"", origin.address);
    let edge = edge_with(&keys, "wait_timeout = \"300ms\"").await;
    let address = edge.address;
    let viewers: Vec<_> = (0..20)
        .map(|_| tokio::spawn(async move { get(address, "/l.m3u8?_HLS_msn=8").await.status }))
        .collect();
    for viewer in viewers {
        assert_eq!(viewer.await.expect("an answer"), 504);
    }
    assert_eq!(origin.requests(), 1, "and it is not asked again for them");
}

#[tokio::test]
async fn what_the_origin_says_to_a_blocked_reload_reaches_every_viewer() {
    for (status, line) in [(503, "503 Service Unavailable"), (404, "404 Not Found"), (400, "400 Bad Request")]
    {
        let origin = TestOrigin::start().await;
        let gate = Arc::new(Notify::new());
        let fields = [("retry-after", "2"), ("content-type", "text/plain")];
        origin.at("/live/a/level.m3u8", Answer::with(line, &fields, "not yet\n").gated(gate.clone()));
        let edge = TestEdge::start(&origin, "session = { carrier = \"query\" }").await;
        let target = format!("/live/a/level.m3u8?{}&_HLS_msn=9", access_token("/*"));
        let viewers: Vec<_> = (0..10)
            .map(|_| {
                let (address, target) = (edge.address, target.clone());
                tokio::spawn(async move {
                    request(address, "GET", &target, &[("Origin", "https://player.example")]).await
                })
            })
            .collect();
        origin.until(|origin| origin.asked().len() == 1).await;
        gate.notify_one();
        for viewer in viewers {
            let reply = viewer.await.expect("an answer");
            assert_eq!((reply.status, reply.text().as_str()), (status, "not yet\n"));
            assert_eq!(reply.header("retry-after").as_deref(), Some("2"));
            assert_eq!(
                reply.header("access-control-allow-origin").as_deref(),
                Some("https://player.example")
            );
        }
        assert_eq!(origin.asked().len(), 1, "a blocking reload is not asked again");
        // Nothing of it is kept: the next reload asks.
        gate.notify_one();
        get(edge.address, &target).await;
        assert_eq!(origin.asked().len(), 2, "{line}");
    }
}

#[tokio::test]
async fn a_delta_is_personalised_as_a_whole_playlist_is() {
    for carrier in ["path", "query"] {
        let origin = stage::origin().await;
        origin.at("/live/a/level.m3u8", Answer::playlist(DELTA));
        let edge = TestEdge::start(&origin, &format!("session = {{ carrier = \"{carrier}\" }}")).await;
        let entry = get(edge.address, &format!("/live/master.m3u8?{}", access_token("/*"))).await;
        let child = format!("/live/{}", entry.uris()[0]);
        let separator = if child.contains('?') { '&' } else { '?' };
        let reply =
            get(edge.address, &format!("{child}{separator}_HLS_msn=113&_HLS_part=0&_HLS_skip=YES")).await;
        let text = reply.text();
        assert!(text.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=12\n"), "{text}");
        assert_eq!(reply.references().len(), 4, "{text}");
        let (inherits, session) = match child.split_once('?') {
            Some((_, session)) => (false, session.to_owned()),
            None => (true, child.split('/').find(|part| part.starts_with("hdntl=")).expect("one").to_owned()),
        };
        for reference in reply.references() {
            let climbs = reference.starts_with("..");
            assert!((inherits && !climbs) || reference.contains(&session), "{reference}");
        }
        let asked = origin.asked();
        let last = asked.last().expect("a request");
        assert_eq!(last.target(), "/live/a/level.m3u8?_HLS_msn=113&_HLS_part=0&_HLS_skip=YES");
    }
}

/// Reads from a connection until `text` has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut data = Vec::new();
    let mut chunk = [0; 4096];
    while !String::from_utf8_lossy(&data).contains(text) {
        let read = stream.read(&mut chunk).await.expect("a byte");
        assert!(read > 0, "{}", String::from_utf8_lossy(&data));
        data.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8_lossy(&data).into_owned()
}

#[tokio::test]
async fn a_part_reaches_everybody_while_it_grows() {
    let gate = Arc::new(Notify::new());
    let waiting = gate.clone();
    let origin = ScriptedOrigin::start(move |mut stream| {
        let waiting = waiting.clone();
        async move {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\ntransfer-encoding: chunked\r\n\r\n15\r\nfirst moof and mdat; \r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            waiting.notified().await;
            let _ = stream.write_all(b"b\r\nsecond moof\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let edge = edge_with(&format!("urls = [\"http://{}\"]", origin.address), "").await;
    let mut viewers = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(edge.address).await.expect("the edge listens");
        let head = format!("GET /113.1.m4s HTTP/1.1\r\nHost: {}\r\n\r\n", edge.address);
        stream.write_all(head.as_bytes()).await.expect("the edge reads");
        read_until(&mut stream, "first moof and mdat; ").await;
        viewers.push(stream);
    }
    // Each has the first piece, and the part is not there yet.
    gate.notify_one();
    for mut stream in viewers {
        read_until(&mut stream, "second moof").await;
    }
    assert_eq!(origin.requests(), 1);
}
