//! Playlists over time: kept for their freshness, fetched once for all who ask, with validators of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::support::edge::access_token;
use crate::support::script::ScriptedOrigin;
use crate::support::{Answer, Reply, TestEdge, TestOrigin, get, request};

const VOD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n/v/s.ts\n#EXT-X-ENDLIST\n";
const LIVE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:4,\ns7.ts\n";
const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlevel.m3u8\n";

fn urls(origin: &TestOrigin) -> String {
    format!("urls = [\"http://{}\"]", origin.address)
}

/// An edge that asks for no token, in front of an origin with this answer at `/p.m3u8`.
async fn open(answer: Answer) -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    origin.at("/p.m3u8", answer);
    let edge = TestEdge::open(&urls(&origin), "").await;
    (origin, edge)
}

fn with_control(control: &str, body: &str) -> Answer {
    let fields = [("content-type", "application/vnd.apple.mpegurl"), ("cache-control", control)];
    Answer::with("200 OK", &fields, body)
}

async fn seen_after(edge: &TestEdge, origin: &TestOrigin, seconds: u64) -> usize {
    edge.clock.advance(Duration::from_secs(seconds));
    assert_eq!(get(edge.address, "/p.m3u8").await.status, 200);
    origin.asked_for("/p.m3u8").len()
}

#[tokio::test]
async fn a_playlist_is_kept_for_as_long_as_the_origin_says() {
    let (origin, edge) = open(with_control("max-age=5", VOD)).await;
    assert_eq!(seen_after(&edge, &origin, 0).await, 1);
    assert_eq!(seen_after(&edge, &origin, 4).await, 1);
    assert_eq!(seen_after(&edge, &origin, 1).await, 2);
    let reply = get(edge.address, "/p.m3u8").await;
    assert_eq!(reply.header("cache-status").as_deref(), Some("sluicegate; hit; ttl=5"));
}

#[tokio::test]
async fn a_live_playlist_is_kept_for_half_its_target_duration_and_a_vod_playlist_for_a_minute() {
    let (origin, edge) = open(Answer::playlist(LIVE)).await;
    assert_eq!(seen_after(&edge, &origin, 0).await, 1);
    assert_eq!(seen_after(&edge, &origin, 1).await, 1);
    assert_eq!(seen_after(&edge, &origin, 1).await, 2);
    let (origin, edge) = open(Answer::playlist(VOD)).await;
    assert_eq!(seen_after(&edge, &origin, 0).await, 1);
    assert_eq!(seen_after(&edge, &origin, 59).await, 1);
    assert_eq!(seen_after(&edge, &origin, 1).await, 2);
}

#[tokio::test]
async fn what_may_not_be_kept_is_fetched_each_time() {
    for control in ["no-store", "private, max-age=60", "no-cache", "max-age=0", "s-maxage=0, max-age=60"] {
        let (origin, edge) = open(with_control(control, VOD)).await;
        assert_eq!(seen_after(&edge, &origin, 0).await, 1);
        assert_eq!(seen_after(&edge, &origin, 0).await, 2, "{control}");
    }
}

#[tokio::test]
async fn what_varies_or_sets_a_cookie_is_fetched_each_time() {
    for (name, value, requests) in [
        ("vary", "User-Agent", 2),
        ("vary", "*", 2),
        ("set-cookie", "a=b", 2),
        ("vary", "Accept-Encoding, Origin", 1),
    ] {
        let fields = [("content-type", "audio/mpegurl"), ("cache-control", "max-age=60"), (name, value)];
        let (origin, edge) = open(Answer::with("200 OK", &fields, VOD)).await;
        assert_eq!(seen_after(&edge, &origin, 0).await, 1);
        assert_eq!(seen_after(&edge, &origin, 0).await, requests, "{name}: {value}");
    }
}

#[tokio::test]
async fn an_answer_to_somebody_by_name_is_given_to_nobody_else() {
    let origin = TestOrigin::start().await;
    origin.at("/p.m3u8", with_control("max-age=60", VOD));
    let edge = TestEdge::open(&format!("{}, cookies = [\"user\"]", urls(&origin)), "").await;
    for fields in [[("Authorization", "Basic a")], [("Authorization", "Basic b")], [("Cookie", "user=c")]] {
        assert_eq!(request(edge.address, "GET", "/p.m3u8", &fields).await.text(), VOD);
    }
    assert_eq!(get(edge.address, "/p.m3u8").await.text(), VOD);
    assert_eq!(origin.asked().len(), 4);
    request(edge.address, "GET", "/p.m3u8", &[("Cookie", "unlisted=d")]).await;
    assert_eq!(origin.asked().len(), 4, "a cookie that the origin never sees makes no difference");
}

#[tokio::test]
async fn an_error_is_not_kept() {
    let (origin, edge) = open(Answer::with("503 Service Unavailable", &[("retry-after", "1")], "no\n")).await;
    let reply = get(edge.address, "/p.m3u8").await;
    assert_eq!((reply.status, reply.header("retry-after").as_deref()), (503, Some("1")));
    origin.at("/p.m3u8", Answer::playlist(VOD));
    assert_eq!(get(edge.address, "/p.m3u8").await.text(), VOD);
}

#[tokio::test]
async fn a_playlist_that_broke_off_is_a_bad_gateway_and_is_not_kept() {
    let (origin, edge) = open(Answer::playlist(VOD).cut_after(30)).await;
    assert_eq!(get(edge.address, "/p.m3u8").await.status, 502);
    origin.at("/p.m3u8", Answer::playlist(VOD));
    assert_eq!(get(edge.address, "/p.m3u8").await.text(), VOD);
}

#[tokio::test]
async fn many_who_ask_at_once_make_one_request() {
    let gate = Arc::new(Notify::new());
    let (origin, edge) = open(Answer::playlist(VOD).gated(gate.clone())).await;
    let viewers: Vec<_> = (0..60).map(|_| tokio::spawn(get(edge.address, "/p.m3u8"))).collect();
    origin.until(|origin| origin.asked().len() == 1).await;
    while !viewers.iter().all(tokio::task::JoinHandle::is_finished) {
        gate.notify_waiters();
        tokio::task::yield_now().await;
    }
    for viewer in viewers {
        let reply = viewer.await.expect("an answer");
        assert_eq!((reply.status, reply.text().as_str()), (200, VOD));
    }
    assert_eq!(origin.asked().len(), 1);
    let of = async |result: &str| edge.metric("cache_total", &format!(",result=\"{result}\"")).await;
    assert_eq!(of("miss").await, 1);
    assert_eq!(of("hit").await + of("collapsed").await, 59);
}

#[tokio::test]
async fn a_viewer_who_leaves_does_not_end_the_fetch_of_the_others() {
    let gate = Arc::new(Notify::new());
    let (origin, edge) = open(Answer::playlist(VOD).gated(gate.clone())).await;
    let leader = tokio::spawn(get(edge.address, "/p.m3u8"));
    origin.until(|origin| origin.asked().len() == 1).await;
    let follower = tokio::spawn(get(edge.address, "/p.m3u8"));
    leader.abort();
    let _ = leader.await;
    while !follower.is_finished() {
        gate.notify_waiters();
        tokio::task::yield_now().await;
    }
    assert_eq!(follower.await.expect("an answer").text(), VOD);
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn a_page_shared_by_waiters_gives_its_cookie_to_none_but_the_first() {
    let gate = Arc::new(Notify::new());
    let fields = [("content-type", "text/html"), ("set-cookie", "visitor=1")];
    let (origin, edge) = open(Answer::with("200 OK", &fields, "<html>").gated(gate.clone())).await;
    let viewers: Vec<_> = (0..20).map(|_| tokio::spawn(get(edge.address, "/p.m3u8"))).collect();
    while !viewers.iter().all(tokio::task::JoinHandle::is_finished) {
        gate.notify_waiters();
        tokio::task::yield_now().await;
    }
    let mut cookies = 0;
    for viewer in viewers {
        let reply: Reply = viewer.await.expect("an answer");
        assert_eq!(reply.status, 200);
        cookies += usize::from(reply.header("set-cookie").is_some());
    }
    assert_eq!(cookies, origin.asked().len(), "one for each request that the origin answered");
}

#[tokio::test]
async fn what_was_made_for_one_is_not_shared_with_those_who_wait() {
    for (name, value) in [("cache-control", "private"), ("vary", "User-Agent")] {
        let gate = Arc::new(Notify::new());
        let fields = [("content-type", "audio/mpegurl"), (name, value)];
        let (origin, edge) = open(Answer::with("200 OK", &fields, VOD).gated(gate.clone())).await;
        let viewers: Vec<_> = (0..10).map(|_| tokio::spawn(get(edge.address, "/p.m3u8"))).collect();
        while !viewers.iter().all(tokio::task::JoinHandle::is_finished) {
            gate.notify_waiters();
            tokio::task::yield_now().await;
        }
        for viewer in viewers {
            assert_eq!(viewer.await.expect("an answer").text(), VOD);
        }
        assert_eq!(origin.asked().len(), 10, "{name}: {value}");
    }
}

#[tokio::test]
async fn hosts_are_separate() {
    let (origin, edge) = open(Answer::playlist(VOD)).await;
    for host in ["a.example", "b.example", "a.example:81", "A.EXAMPLE"] {
        let reply = request(edge.address, "GET", "/p.m3u8", &[("Host", host)]).await;
        assert_eq!(reply.text(), VOD);
    }
    assert_eq!(origin.asked().len(), 3);
}

#[tokio::test]
async fn the_delivery_directives_reach_the_origin_and_are_keyed_by() {
    let (origin, edge) = open(Answer::playlist(LIVE)).await;
    for query in [
        "?_HLS_msn=7&_HLS_part=1",
        "?_HLS_msn=7&_HLS_part=2",
        "?_HLS_skip=YES&_HLS_msn=7&_HLS_part=2",
        "?_HLS_msn=7&_HLS_part=1",
    ] {
        assert_eq!(get(edge.address, &format!("/p.m3u8{query}")).await.text(), LIVE);
    }
    let asked: Vec<String> = origin.asked().iter().map(|asked| asked.target().to_owned()).collect();
    assert_eq!(
        asked,
        [
            "/p.m3u8?_HLS_msn=7&_HLS_part=1",
            "/p.m3u8?_HLS_msn=7&_HLS_part=2",
            "/p.m3u8?_HLS_skip=YES&_HLS_msn=7&_HLS_part=2"
        ]
    );
}

#[tokio::test]
async fn a_blocking_reload_may_be_held_longer_than_other_answers() {
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let origin = ScriptedOrigin::start(move |mut stream| {
        let held = held.clone();
        async move {
            use tokio::io::AsyncWriteExt as _;
            held.notified().await;
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{LIVE}", LIVE.len());
            let _ = stream.write_all(text.as_bytes()).await;
        }
    })
    .await;
    let keys = format!(
        "urls = [\"http://{}\"], first_byte_timeout = \"100ms\", connect_timeout = \"100ms\", blocking_timeout = \"15s\"",
        origin.address
    );
    let edge = TestEdge::open(&keys, "").await;
    let blocking = tokio::spawn(get(edge.address, "/p.m3u8?_HLS_msn=8"));
    let plain = get(edge.address, "/p.m3u8").await;
    assert_eq!(plain.status, 504);
    while !blocking.is_finished() {
        gate.notify_waiters();
        tokio::task::yield_now().await;
    }
    assert_eq!(blocking.await.expect("an answer").text(), LIVE);
}

#[tokio::test]
async fn cmcd_is_neither_keyed_by_nor_sent_to_the_origin() {
    let (origin, edge) = open(Answer::playlist(VOD)).await;
    let cmcd = [
        ("CMCD-Request", "bl=1"),
        ("CMCD-Session", "sid=\"a\""),
        ("cmcd-object", "br=1"),
        ("CMCD-Status", "bs"),
    ];
    assert_eq!(request(edge.address, "GET", "/p.m3u8?CMCD=bl%3D100&a=1", &cmcd).await.text(), VOD);
    assert_eq!(get(edge.address, "/p.m3u8?a=1&CMCD=bl%3D200").await.text(), VOD);
    let asked = origin.asked();
    assert_eq!((asked.len(), asked[0].target()), (1, "/p.m3u8?a=1"));
    assert!(!asked[0].head.to_ascii_lowercase().contains("cmcd"), "{}", asked[0].head);
}

#[tokio::test]
async fn the_query_is_kept_dropped_or_sifted() {
    for (rule, expected) in
        [("\"keep\"", "/p.m3u8?b=2&a=1&v"), ("\"drop\"", "/p.m3u8"), ("[\"a\", \"v\"]", "/p.m3u8?a=1&v")]
    {
        let origin = TestOrigin::start().await;
        origin.at("/p.m3u8", Answer::playlist(VOD));
        let edge = TestEdge::open(&urls(&origin), &format!("cache = {{ query = {rule} }}")).await;
        get(edge.address, "/p.m3u8?b=2&a=1&v").await;
        get(edge.address, "/p.m3u8?b=2&a=1&v&CMCD=x").await;
        let asked = origin.asked();
        assert_eq!((asked.len(), asked[0].target()), (1, expected), "{rule}");
    }
}

/// An edge with sessions in the query, and the URL of a child playlist with a session.
async fn with_session(playlist: Answer) -> (TestOrigin, TestEdge, String) {
    let origin = TestOrigin::start().await;
    origin.at("/v/master.m3u8", Answer::playlist(MULTIVARIANT));
    origin.at("/v/level.m3u8", playlist);
    let edge = TestEdge::start(&origin, "session = { carrier = \"query\" }").await;
    let entry = get(edge.address, &format!("/v/master.m3u8?{}", access_token("/*"))).await;
    let child = format!("/v/{}", entry.uris().remove(0));
    (origin, edge, child)
}

fn with_validators() -> Answer {
    let fields = [
        ("content-type", "application/vnd.apple.mpegurl"),
        ("etag", "\"of-the-origin\""),
        ("last-modified", "Tue, 14 Nov 2023 22:00:00 GMT"),
        ("cache-control", "public, max-age=60"),
        ("cdn-cache-control", "max-age=600"),
        ("expires", "Tue, 14 Nov 2033 22:00:00 GMT"),
        ("age", "3"),
        ("accept-ranges", "bytes"),
        ("set-cookie", "origin=1"),
        ("content-md5", "AAAA"),
    ];
    Answer::with("200 OK", &fields, VOD)
}

#[tokio::test]
async fn a_personal_playlist_has_its_own_validator_and_is_kept_by_nobody() {
    let (_origin, edge, child) = with_session(with_validators()).await;
    let reply = get(edge.address, &child).await;
    assert_eq!(reply.header("cache-control").as_deref(), Some("private, no-store"));
    let etag = reply.header("etag").expect("a validator");
    assert!(etag.starts_with('"') && etag != "\"of-the-origin\"", "{etag}");
    assert_eq!(reply.header("last-modified").as_deref(), Some("Tue, 14 Nov 2023 22:00:00 GMT"));
    for name in ["cdn-cache-control", "expires", "age", "accept-ranges", "set-cookie", "content-md5"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string()));
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let (origin, edge, child) = with_session(with_validators()).await;
    origin.at("/v/s.ts", Answer::ok("video/mp2t", vec![0x47; 376]));
    origin.at("/v/page.m3u8", Answer::ok("text/html", "<html>"));
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n6\r\n<html>\r\n0\r\n\r\n";
    origin.at("/v/chunked.m3u8", Answer::raw(chunked));
    let query = child.split_once('?').expect("a query").1;
    for target in [
        child.clone(),
        format!("/v/master.m3u8?{query}"),
        format!("/v/s.ts?{query}"),
        format!("/v/page.m3u8?{query}"),
        format!("/v/chunked.m3u8?{query}"),
    ] {
        let of_get = get(edge.address, &target).await;
        let of_head = request(edge.address, "HEAD", &target, &[]).await;
        assert_eq!(of_head.body, b"");
        for name in ["content-length", "content-type", "etag", "last-modified", "cache-control", "vary"] {
            assert_eq!(of_head.header(name), of_get.header(name), "{name} of {target}");
        }
        assert_eq!((of_head.status, of_get.status), (200, 200));
    }
}

#[tokio::test]
async fn an_unchanged_playlist_is_a_304_without_a_body() {
    let (origin, edge, child) = with_session(with_validators()).await;
    let first = get(edge.address, &child).await;
    let etag = first.header("etag").expect("a validator");
    let modified = "Tue, 14 Nov 2023 22:00:00 GMT";
    let weak = format!("\"x\", W/{etag}");
    for (name, value, status) in [
        ("If-None-Match", etag.as_str(), 304),
        ("If-None-Match", &weak, 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", "\"of-the-origin\"", 200),
        ("If-Modified-Since", modified, 304),
        ("If-Modified-Since", "Tue, 14 Nov 2023 21:59:59 GMT", 200),
        ("If-Modified-Since", "yesterday", 200),
    ] {
        let reply = request(edge.address, "GET", &child, &[(name, value)]).await;
        assert_eq!(reply.status, status, "{name}: {value}");
        if status == 304 {
            assert_eq!(reply.header("etag").as_deref(), Some(etag.as_str()));
            assert_eq!(reply.body, b"");
        }
    }
    let both = [("If-None-Match", "\"other\""), ("If-Modified-Since", modified)];
    assert_eq!(request(edge.address, "GET", &child, &both).await.status, 200, "the validator decides");
    for asked in origin.asked() {
        assert_eq!(asked.header("if-none-match"), None, "our validator means nothing to the origin");
        assert_eq!(asked.header("if-modified-since"), None);
    }
}

#[tokio::test]
async fn a_changed_playlist_has_another_validator() {
    let (origin, edge, child) = with_session(Answer::playlist(LIVE)).await;
    let first = get(edge.address, &child).await.header("etag");
    origin.at("/v/level.m3u8", Answer::playlist(&LIVE.replace('7', "8")));
    edge.clock.advance(Duration::from_secs(2));
    let second = get(edge.address, &child).await.header("etag");
    assert!(first.is_some() && second.is_some() && first != second);
}

/// The entry is personal to a session that was made for this answer: an older date says nothing of it.
#[tokio::test]
async fn a_new_session_is_never_answered_by_date() {
    let origin = TestOrigin::start().await;
    let fields = [
        ("content-type", "application/vnd.apple.mpegurl"),
        ("last-modified", "Tue, 14 Nov 2023 22:00:00 GMT"),
    ];
    origin.at("/v/master.m3u8", Answer::with("200 OK", &fields, MULTIVARIANT));
    let edge = TestEdge::start(&origin, "session = { carrier = \"query\" }").await;
    let target = format!("/v/master.m3u8?{}", access_token("/*"));
    let first = get(edge.address, &target).await;
    edge.clock.advance(Duration::from_secs(100));
    let since = [("If-Modified-Since", "Tue, 14 Nov 2023 22:00:00 GMT")];
    let second = request(edge.address, "GET", &target, &since).await;
    assert_eq!(second.status, 200);
    assert_ne!(first.text(), second.text());
}

#[tokio::test]
async fn a_range_of_a_playlist_is_answered_whole() {
    let (origin, edge, child) = with_session(Answer::playlist(VOD)).await;
    let reply = request(edge.address, "GET", &child, &[("Range", "bytes=0-9")]).await;
    assert_eq!((reply.status, reply.header("content-range")), (200, None));
    assert!(reply.text().ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(origin.asked_for("/v/level.m3u8")[0].header("range"), None);
}

#[tokio::test]
async fn a_hit_is_authorised_like_a_miss() {
    let (origin, edge, child) = with_session(Answer::playlist(VOD)).await;
    assert_eq!(get(edge.address, &child).await.status, 200);
    for target in ["/v/level.m3u8", "/v/level.m3u8?hdntl=exp=9~hmac=00"] {
        assert_eq!(get(edge.address, target).await.status, 403);
    }
    assert_eq!(origin.asked_for("/v/level.m3u8").len(), 1);
}
