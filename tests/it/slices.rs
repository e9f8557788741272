//! Ranges from the middle of large objects, answered from aligned slices.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::admin::{JSON, post};
use crate::support::{Answer, Reply, TestEdge, TestOrigin, get, request};

const SLICE: usize = 64 << 10;
const SLICED: &str = "cache = { slice = \"64KiB\", slice_above = \"128KiB\" }";
const LENGTH: usize = 1_000_000;

/// Bytes of which no two slices are alike, nor two versions.
fn bytes(version: u8, length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at * 7 + at / SLICE) % 251).expect("a byte") ^ version;
    (0..length).map(byte).collect()
}

fn file(tag: &str, body: Vec<u8>) -> Answer {
    Answer::file(&[("content-type", "video/mp4"), ("etag", tag), ("surrogate-key", "film")], body)
}

async fn started() -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    origin.at("/f.mp4", file("\"1\"", bytes(1, LENGTH)));
    let edge = open(&origin, SLICED).await;
    (origin, edge)
}

async fn open(origin: &TestOrigin, cache: &str) -> TestEdge {
    TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), cache).await
}

async fn range(edge: &TestEdge, range: &str) -> Reply {
    request(edge.address, "GET", "/f.mp4", &[("Range", range)]).await
}

/// The ranges that the origin was asked for.
fn ranges(origin: &TestOrigin) -> Vec<String> {
    origin.asked().iter().map(|asked| asked.header("range").unwrap_or_default()).collect()
}

fn slice(number: usize) -> String {
    format!("bytes={}-{}", number * SLICE, (number + 1) * SLICE - 1)
}

impl TestEdge {
    async fn slices(&self, result: &str) -> u64 {
        self.metric("slices_total", &format!(",result=\"{result}\"")).await
    }
}

/// Waits until the slices that a changed object left behind are gone.
async fn until_dropped(edge: &TestEdge) {
    while edge.count("purged_memory_total").await == 0 {
        tokio::task::yield_now().await;
    }
}

fn cache_status(reply: &Reply) -> String {
    reply.header("cache-status").unwrap_or_default()
}

#[track_caller]
fn is_part(reply: &Reply, version: u8, first: usize, last: usize) {
    assert_eq!((reply.status, reply.is_cut), (206, false), "{}", reply.head);
    let stated = format!("bytes {first}-{last}/{LENGTH}");
    assert_eq!(reply.header("content-range"), Some(stated), "{}", reply.head);
    assert!(reply.body == bytes(version, LENGTH)[first..=last], "other bytes");
}

#[tokio::test]
async fn a_range_from_the_middle_fetches_its_slices_alone_and_once() {
    let (origin, edge) = started().await;
    let first = range(&edge, "bytes=100000-150000").await;
    is_part(&first, 1, 100_000, 150_000);
    assert_eq!(cache_status(&first), "sluicegate; fwd=uri-miss; ttl=86400; stored; detail=slices");
    assert_eq!(ranges(&origin), [slice(1), slice(2)]);
    assert_eq!(origin.asked()[1].header("if-range").as_deref(), Some("\"1\""));
    assert_eq!(origin.asked()[1].header("if-match").as_deref(), Some("\"1\""));
    let again = range(&edge, "bytes=70000-190000").await;
    is_part(&again, 1, 70_000, 190_000);
    assert_eq!(cache_status(&again), "sluicegate; hit; ttl=86400; detail=slices");
    assert_eq!(origin.asked().len(), 2);
    let further = range(&edge, "bytes=190000-200000").await;
    is_part(&further, 1, 190_000, 200_000);
    assert!(cache_status(&further).starts_with("sluicegate; fwd=partial"), "{}", cache_status(&further));
    assert_eq!(ranges(&origin)[2..], [slice(3)]);
    let count = |result: &'static str| edge.slices(result);
    assert_eq!((count("fetched").await, count("hit").await, count("changed").await), (3, 3, 0));
}

#[tokio::test]
async fn to_the_end_and_from_behind_it_are_what_they_should_be() {
    let (origin, edge) = started().await;
    is_part(&range(&edge, "bytes=-5").await, 1, LENGTH - 5, LENGTH - 1);
    assert_eq!(ranges(&origin), [slice(0), slice(LENGTH / SLICE)], "the first tells the length");
    is_part(&range(&edge, "bytes=990000-").await, 1, 990_000, LENGTH - 1);
    is_part(&range(&edge, "bytes=990000-9007199254740991").await, 1, 990_000, LENGTH - 1);
    let behind = range(&edge, "bytes=1000000-1000001").await;
    assert_eq!((behind.status, behind.header("content-range").as_deref()), (416, Some("bytes */1000000")));
    let far = range(&edge, "bytes=5000000-").await;
    assert_eq!((far.status, far.header("content-range").as_deref()), (416, Some("bytes */1000000")));
    is_part(&range(&edge, "bytes=1-").await, 1, 1, LENGTH - 1);
    let mut asked = ranges(&origin);
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), origin.asked().len(), "nothing was asked twice");
}

#[tokio::test]
async fn a_condition_on_the_range_holds_for_the_slices_too() {
    let (origin, edge) = started().await;
    let ask = async |range: &str, condition: (&str, &str)| {
        request(edge.address, "GET", "/f.mp4", &[("Range", range), condition]).await
    };
    is_part(&ask("bytes=70000-70009", ("If-Range", "\"1\"")).await, 1, 70_000, 70_009);
    let other = ask("bytes=70000-70009", ("If-Range", "\"2\"")).await;
    assert_eq!((other.status, other.is_cut, other.body == bytes(1, LENGTH)), (200, false, true));
    let known = ask("bytes=70000-70009", ("If-None-Match", "\"1\"")).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert!(ranges(&origin).iter().all(|range| range != "bytes=70000-70009"));
    let head = request(edge.address, "HEAD", "/f.mp4", &[("Range", "bytes=70000-70009")]).await;
    assert_eq!(head.body.len(), 0);
    assert_eq!(origin.asked().last().map(|asked| asked.method().to_owned()).as_deref(), Some("HEAD"));
}

#[tokio::test]
async fn several_ranges_get_the_whole() {
    let (origin, edge) = started().await;
    let reply = range(&edge, "bytes=70000-70009,90000-90009").await;
    assert_eq!((reply.status, reply.body == bytes(1, LENGTH)), (200, true));
    assert_eq!(ranges(&origin), [""]);
}

#[tokio::test]
async fn many_waiters_on_one_slice_make_one_request() {
    let origin = TestOrigin::start().await;
    let gate = Arc::new(Notify::new());
    origin.at("/f.mp4", file("\"1\"", bytes(1, LENGTH)).gated(gate.clone()));
    let edge = open(&origin, SLICED).await;
    let address = edge.address;
    let waiters: Vec<_> = (0..50)
        .map(|_| {
            let ask =
                async move { request(address, "GET", "/f.mp4", &[("Range", "bytes=70000-70009")]).await };
            tokio::spawn(ask)
        })
        .collect();
    origin.until(|origin| !origin.asked().is_empty()).await;
    gate.notify_one();
    for waiter in waiters {
        is_part(&waiter.await.expect("an answer"), 1, 70_000, 70_009);
    }
    assert_eq!(ranges(&origin), [slice(1)]);
}

#[tokio::test]
async fn slices_of_two_versions_never_mix() {
    for conditions_count in [true, false] {
        let (origin, edge) = started().await;
        is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
        let second = bytes(2, LENGTH);
        if conditions_count {
            origin.at("/f.mp4", file("\"2\"", second.clone()));
        } else {
            let stated = format!("bytes {}-{}/{LENGTH}", 2 * SLICE, 3 * SLICE - 1);
            let fields = [("content-type", "video/mp4"), ("etag", "\"2\""), ("content-range", &*stated)];
            let part = &second[2 * SLICE..3 * SLICE];
            origin.at("/f.mp4", Answer::with("206 Partial Content", &fields, part));
        }
        let mixed = range(&edge, "bytes=70000-150000").await;
        assert_eq!((mixed.status, mixed.is_cut), (206, true), "it breaks off");
        assert!(mixed.body == bytes(1, LENGTH)[70_000..2 * SLICE], "what came is of the first version");
        assert_eq!(edge.slices("changed").await, 1);
        origin.at("/f.mp4", file("\"2\"", second));
        until_dropped(&edge).await;
        is_part(&range(&edge, "bytes=70000-150000").await, 2, 70_000, 150_000);
    }
}

#[tokio::test]
async fn without_a_strong_validator_ranges_pass_through() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin, SLICED).await;
    for (path, tag) in [("/weak.mp4", Some("W/\"1\"")), ("/none.mp4", None)] {
        let mut fields = vec![("content-type", "video/mp4")];
        fields.extend(tag.map(|tag| ("etag", tag)));
        origin.at(path, Answer::file(&fields, bytes(1, LENGTH)));
        for first in [70_000, 80_000] {
            let asked = format!("bytes={first}-{}", first + 9);
            let reply = request(edge.address, "GET", path, &[("Range", &asked)]).await;
            is_part(&reply, 1, first, first + 9);
            assert!(!cache_status(&reply).contains("slices"), "{}", cache_status(&reply));
        }
        let asked = origin.asked_for(path);
        let asked: Vec<_> = asked.iter().filter_map(|asked| asked.header("range")).collect();
        assert_eq!(asked, [&*slice(1), "bytes=70000-70009", "bytes=80000-80009"], "found out once");
    }
}

#[tokio::test]
async fn what_may_not_be_kept_or_is_for_one_viewer_passes_through() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin, SLICED).await;
    let fields = [("content-type", "video/mp4"), ("etag", "\"1\""), ("cache-control", "private")];
    origin.at("/f.mp4", Answer::file(&fields, bytes(1, LENGTH)));
    is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
    is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
    assert_eq!(ranges(&origin), [&*slice(1), "bytes=70000-70009", "bytes=70000-70009"]);
    origin.at("/g.mp4", file("\"1\"", bytes(1, LENGTH)));
    let fields = [("Range", "bytes=70000-70009"), ("Authorization", "Basic eDp5")];
    is_part(&request(edge.address, "GET", "/g.mp4", &fields).await, 1, 70_000, 70_009);
    assert_eq!(origin.asked_for("/g.mp4")[0].header("range").as_deref(), Some("bytes=70000-70009"));
}

#[tokio::test]
async fn an_origin_without_ranges_is_kept_as_a_whole() {
    let origin = TestOrigin::start().await;
    let fields = [("content-type", "video/mp4"), ("etag", "\"1\"")];
    origin.at("/f.mp4", Answer::with("200 OK", &fields, bytes(1, LENGTH)));
    let edge = open(&origin, SLICED).await;
    is_part(&range(&edge, "bytes=70000-900000").await, 1, 70_000, 900_000);
    is_part(&range(&edge, "bytes=170000-270009").await, 1, 170_000, 270_009);
    assert_eq!(ranges(&origin), [&*slice(1), ""]);
}

#[tokio::test]
async fn a_small_object_is_fetched_as_a_whole() {
    let origin = TestOrigin::start().await;
    origin.at("/s.mp4", file("\"1\"", bytes(1, 128 << 10)));
    let edge = open(&origin, SLICED).await;
    for first in [70_000, 10] {
        let asked = format!("bytes={first}-{}", first + 9);
        let reply = request(edge.address, "GET", "/s.mp4", &[("Range", &asked)]).await;
        assert_eq!((reply.status, reply.body == bytes(1, 128 << 10)[first..first + 10]), (206, true));
    }
    assert_eq!(ranges(&origin), [&*slice(1), ""]);
}

#[tokio::test]
async fn other_bytes_than_were_asked_for_are_a_bad_gateway() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin, SLICED).await;
    for wrong in ["bytes 0-9/1000000", "bytes 65536-65545/1000000", "bytes */1000000", "nonsense"] {
        let fields = [("content-type", "video/mp4"), ("etag", "\"1\""), ("content-range", wrong)];
        origin.at("/f.mp4", Answer::with("206 Partial Content", &fields, "0123456789"));
        assert_eq!(range(&edge, "bytes=70000-70009").await.status, 502, "{wrong}");
    }
    origin.at("/f.mp4", file("\"1\"", bytes(1, LENGTH)));
    is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
}

#[tokio::test]
async fn a_slice_that_breaks_off_ends_the_body_with_an_error_and_is_not_kept() {
    let (origin, edge) = started().await;
    origin.at("/f.mp4", file("\"1\"", bytes(1, LENGTH)).cut_after(20_000));
    let cut = range(&edge, "bytes=70000-150000").await;
    assert!(cut.is_cut && cut.body == bytes(1, LENGTH)[70_000..70_000 + cut.body.len()]);
    origin.at("/f.mp4", file("\"1\"", bytes(1, LENGTH)));
    is_part(&range(&edge, "bytes=70000-150000").await, 1, 70_000, 150_000);
}

#[tokio::test]
async fn what_is_missing_is_missing_for_all() {
    let (origin, edge) = started().await;
    for _ in 0..3 {
        let reply = request(edge.address, "GET", "/gone.mp4", &[("Range", "bytes=70000-70009")]).await;
        assert_eq!(reply.status, 404);
    }
    assert_eq!(origin.asked_for("/gone.mp4").len(), 1);
}

#[tokio::test]
async fn stale_slices_are_confirmed_and_serve_when_the_origin_fails() {
    let (origin, edge) = started().await;
    is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
    edge.clock.advance(Duration::from_secs(86_400 + 10));
    is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
    assert_eq!(origin.asked()[1].header("if-none-match").as_deref(), Some("\"1\""));
    edge.clock.advance(Duration::from_secs(86_400 + 10));
    origin.at("/f.mp4", Answer::raw("no HTTP at all"));
    is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
    edge.clock.advance(Duration::from_hours(24));
    assert_eq!(range(&edge, "bytes=70000-70009").await.status, 502);
}

#[tokio::test]
async fn purges_of_the_object_take_its_slices() {
    for what in [
        "\"url\":\"/f.mp4\",\"property\":\"test\"",
        "\"prefix\":\"/f\",\"property\":\"test\"",
        "\"tag\":\"film\"",
        "\"all\":true",
    ] {
        let (origin, edge) = started().await;
        is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
        let purged = post(edge.admin, "/purge", &[JSON], &format!("{{{what}}}")).await;
        assert_eq!(purged.status, 200, "{}", purged.text());
        origin.at("/f.mp4", file("\"2\"", bytes(2, LENGTH)));
        is_part(&range(&edge, "bytes=70000-70009").await, 2, 70_000, 70_009);
    }
}

#[tokio::test]
async fn what_is_encrypted_is_never_sliced() {
    let origin = TestOrigin::start().await;
    origin.at("/v/f.mp4", file("\"1\"", bytes(1, LENGTH)));
    let secret = "secret = { hex = \"00112233445566778899aabbccddeeff\" }";
    let extra = format!("{SLICED}\nencryption = {{ {secret}, require_https = false }}");
    let edge = TestEdge::start(&origin, &extra).await;
    let target = format!("/v/f.mp4?{}", crate::support::edge::access_token("/*"));
    let reply = request(edge.address, "GET", &target, &[("Range", "bytes=70000-70009")]).await;
    assert_eq!((reply.status, reply.body.len()), (200, LENGTH + 16 - LENGTH % 16), "the whole, encrypted");
    assert_eq!(ranges(&origin), [""]);
}

#[tokio::test]
async fn slices_can_be_turned_off() {
    let origin = TestOrigin::start().await;
    origin.at("/f.mp4", file("\"1\"", bytes(1, LENGTH)));
    let edge = open(&origin, "cache = { slice = \"0B\" }").await;
    is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
    is_part(&range(&edge, "bytes=70000-70009").await, 1, 70_000, 70_009);
    assert_eq!(ranges(&origin), ["bytes=70000-70009", "bytes=70000-70009"]);
}

#[tokio::test]
async fn a_whole_that_is_here_needs_no_slices() {
    let (origin, edge) = started().await;
    assert_eq!(get(edge.address, "/f.mp4").await.status, 200);
    is_part(&range(&edge, "bytes=70000-270009").await, 1, 70_000, 270_009);
    assert_eq!(ranges(&origin), [""]);
}
