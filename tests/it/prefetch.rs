//! Segments that are fetched ahead of viewers.

use std::sync::Arc;
use std::time::Duration;

use sluicegate::clock::Clock;
use sluicegate::telemetry::metrics::Metrics;
use tokio::sync::Notify;

use crate::admin::{JSON, post};
use crate::support::edge::access_token;
use crate::support::player::Player;
use crate::support::{Answer, Reply, START, TestEdge, TestOrigin, get, request, stage};

const LIST: &str = "/v/level.m3u8";

fn vod(names: &[&str]) -> String {
    let segments = names.iter().map(|name| ["#EXTINF:4,\n", name, "\n"].concat()).collect::<String>();
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{segments}#EXT-X-ENDLIST\n")
}

fn segment(number: usize) -> String {
    format!("/v/s{number}.ts")
}

/// An origin with five segments.
async fn origin() -> TestOrigin {
    let origin = TestOrigin::start().await;
    origin.at(LIST, Answer::playlist(&vod(&["s0.ts", "s1.ts", "s2.ts", "s3.ts", "s4.ts"])));
    for number in 0..5 {
        origin.at(&segment(number), Answer::ok("video/mp2t", format!("segment {number}, clear")));
    }
    origin
}

async fn open(origin: &TestOrigin, extra: &str) -> TestEdge {
    TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), extra).await
}

/// How often the origin was asked for each of the five.
fn asked(origin: &TestOrigin) -> [usize; 5] {
    [0, 1, 2, 3, 4].map(|number| origin.asked_for(&segment(number)).len())
}

fn is_hit(reply: &Reply) -> bool {
    reply.header("cache-status").unwrap_or_default().starts_with("sluicegate; hit")
}

impl TestEdge {
    async fn prefetches(&self, result: &str) -> u64 {
        self.metric("prefetches_total", &format!(",result=\"{result}\"")).await
    }

    /// Waits until so many prefetches came to this.
    async fn until_prefetched(&self, result: &str, count: u64) {
        let wait = async {
            while self.prefetches(result).await < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("prefetches end");
        assert_eq!(self.prefetches(result).await, count, "{result}");
    }
}

#[tokio::test]
async fn the_next_segments_are_here_before_a_viewer_asks() {
    let origin = origin().await;
    let edge = open(&origin, "cache = { prefetch = 2 }").await;
    get(edge.address, LIST).await;
    assert_eq!(asked(&origin), [0; 5], "a playlist alone has nothing fetched");
    assert!(!is_hit(&get(edge.address, &segment(0)).await));
    edge.until_prefetched("arrived", 2).await;
    assert_eq!(asked(&origin), [1, 1, 1, 0, 0]);
    for (number, arrived) in [(1, 3), (2, 4), (3, 4), (4, 4)] {
        let reply = get(edge.address, &segment(number)).await;
        assert!(is_hit(&reply), "{}", reply.head);
        assert_eq!(reply.text(), format!("segment {number}, clear"));
        edge.until_prefetched("arrived", arrived).await;
    }
    assert_eq!(asked(&origin), [1; 5], "nothing is behind the last");
    let bytes = (1..5).map(|number| format!("segment {number}, clear").len() as u64).sum::<u64>();
    assert_eq!(edge.metric("prefetch_bytes_total", "").await, bytes);
    let results = (edge.prefetches("begun").await, edge.prefetches("failed").await);
    assert_eq!((results, edge.prefetches("left_out").await), ((4, 0), 0));
}

#[tokio::test]
async fn by_default_nothing_is_fetched_ahead() {
    let origin = origin().await;
    let edge = open(&origin, "").await;
    get(edge.address, LIST).await;
    get(edge.address, &segment(0)).await;
    assert_eq!((edge.prefetches("begun").await, edge.prefetches("left_out").await), (0, 0));
    assert!(!is_hit(&get(edge.address, &segment(1)).await));
    assert_eq!(asked(&origin), [1, 1, 0, 0, 0]);
}

#[tokio::test]
async fn no_more_than_the_budget_is_on_its_way() {
    let (origin, gate) = (origin().await, Arc::new(Notify::new()));
    for number in 1..5 {
        origin.at(&segment(number), Answer::ok("video/mp2t", "later").gated(gate.clone()));
    }
    let edge = open(&origin, "cache = { prefetch = 4, prefetch_parallel = 2 }").await;
    get(edge.address, LIST).await;
    for times in 1..4 {
        assert_eq!(get(edge.address, &segment(0)).await.status, 200, "the viewer waits for none of them");
        assert_eq!((edge.prefetches("begun").await, edge.prefetches("left_out").await), (2, times));
    }
    origin.until(|origin| asked(origin) == [1, 1, 1, 0, 0]).await;
    gate.notify_one();
    edge.until_prefetched("arrived", 1).await;
    gate.notify_one();
    edge.until_prefetched("arrived", 2).await;
    assert_eq!(asked(&origin), [1, 1, 1, 0, 0], "what was left out is not queued");
    get(edge.address, &segment(0)).await;
    assert_eq!(edge.prefetches("begun").await, 4, "there is room again");
}

#[tokio::test]
async fn a_segment_over_the_bytes_of_the_budget_is_given_up() {
    let origin = origin().await;
    origin.at(&segment(1), Answer::ok("video/mp2t", vec![7; 4_096]));
    let edge = open(&origin, "cache = { prefetch = 1, prefetch_bytes = \"1KiB\" }").await;
    get(edge.address, LIST).await;
    get(edge.address, &segment(0)).await;
    edge.until_prefetched("left_out", 1).await;
    assert_eq!((edge.prefetches("begun").await, edge.prefetches("arrived").await), (1, 0));
    assert_eq!(edge.metric("prefetch_bytes_total", "").await, 0);
    assert_eq!(get(edge.address, &segment(1)).await.body, [7; 4_096]);
    edge.until_prefetched("arrived", 1).await;
}

#[tokio::test]
async fn what_is_here_or_on_its_way_is_not_asked_for_again() {
    let (origin, gate) = (origin().await, Arc::new(Notify::new()));
    origin.at(&segment(1), Answer::ok("video/mp2t", "later").gated(gate.clone()));
    let edge = open(&origin, "cache = { prefetch = 1 }").await;
    get(edge.address, LIST).await;
    for _ in 0..3 {
        get(edge.address, &segment(0)).await;
        assert_eq!(edge.prefetches("begun").await, 1);
    }
    let address = edge.address;
    let viewer = tokio::spawn(async move { get(address, &segment(1)).await });
    while edge.count("cache_collapsed_total").await == 0 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    assert_eq!(viewer.await.expect("an answer").text(), "later", "it joined the fetch");
    edge.until_prefetched("arrived", 2).await;
    for number in [0, 1] {
        get(edge.address, &segment(number)).await;
    }
    assert_eq!((edge.prefetches("begun").await, asked(&origin)), (2, [1, 1, 1, 0, 0]));
}

#[tokio::test]
async fn nothing_of_a_viewer_reaches_the_origin() {
    let origin = origin().await;
    let edge = TestEdge::start(&origin, "cache = { prefetch = 1 }").await;
    let token = access_token("/*");
    get(edge.address, &format!("{LIST}?{token}")).await;
    let fields = [
        ("Cookie", "hdntl=mine; login=mine"),
        ("X-Mine", "mine"),
        ("User-Agent", "mine"),
        ("Referer", "http://mine.example/"),
        ("If-None-Match", "\"mine\""),
    ];
    let reply = request(edge.address, "GET", &format!("{}?{token}&CMCD=mine", segment(0)), &fields).await;
    assert_eq!(reply.status, 200, "{}", reply.head);
    edge.until_prefetched("arrived", 1).await;
    let ahead = &origin.asked_for(&segment(1))[0];
    assert_eq!((ahead.method(), ahead.target()), ("GET", &*segment(1)));
    assert!(!ahead.head.contains("mine"), "{}", ahead.head);
    stage::assert_no_token_reached(&origin);
    let names = |head: &str| -> Vec<String> {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.map(|(name, _)| name.to_ascii_lowercase()).collect()
    };
    let shared = names(&origin.asked_for(&segment(0))[0].head);
    assert!(names(&ahead.head).iter().all(|name| shared.contains(name)), "{}", ahead.head);
}

#[tokio::test]
async fn a_players_whole_viewing_asks_the_origin_once_for_each_in_every_carrier() {
    for carrier in ["path", "query", "cookie"] {
        let origin = stage::origin().await;
        let session = format!(
            "session = {{ carrier = \"{carrier}\", cookie = {{ secure = false, same_site = \"lax\" }} }}"
        );
        let edge = TestEdge::start(&origin, &format!("cache = {{ prefetch = 2 }}\n{session}")).await;
        let got = Player::new(&edge).play(&format!("/v/master.m3u8?{}", access_token("/v/*"))).await;
        assert!(got.iter().all(|(_, reply)| reply.status == 200));
        // The last segment of both renditions is one.
        for name in ["360p/seg0", "360p/seg1", "360p/seg2", "720p/seg0", "720p/seg1"] {
            assert_eq!(origin.asked_for(&format!("/v/{name}.m4s")).len(), 1, "{carrier} {name}");
        }
        assert_eq!(edge.prefetches("begun").await, 3, "{carrier}: all but the first of each");
        stage::assert_no_token_reached(&origin);
    }
}

#[tokio::test]
async fn of_a_live_window_the_newest_counts() {
    let origin = stage::origin().await;
    let edge = open(&origin, "cache = { prefetch = 3 }").await;
    let count = |number: u8| origin.asked_for(&format!("/live/a/{number}.ts")).len();
    get(edge.address, "/live/a/level.m3u8").await;
    get(edge.address, "/live/a/1.ts").await;
    edge.until_prefetched("arrived", 1).await;
    get(edge.address, "/live/a/2.ts").await;
    assert_eq!(edge.prefetches("begun").await, 1, "the window ends there");
    origin.at("/live/a/level.m3u8", Answer::playlist(&stage::live(2)));
    edge.clock.advance(Duration::from_secs(3));
    get(edge.address, "/live/a/level.m3u8").await;
    get(edge.address, "/live/a/1.ts").await;
    assert_eq!(edge.prefetches("begun").await, 1, "it has left the window");
    get(edge.address, "/live/a/2.ts").await;
    edge.until_prefetched("arrived", 2).await;
    assert!(is_hit(&get(edge.address, "/live/a/3.ts").await));
    assert_eq!([1, 2, 3, 4].map(count), [1, 1, 1, 0]);
}

#[tokio::test]
async fn the_oldest_playlists_order_is_forgotten_first() {
    let origin = origin().await;
    origin.at("/v/other.m3u8", Answer::playlist(&vod(&["s3.ts", "s4.ts"])));
    let edge = open(&origin, "cache = { prefetch = 1, prefetch_remembered = 6 }").await;
    get(edge.address, LIST).await;
    get(edge.address, "/v/other.m3u8").await;
    get(edge.address, &segment(0)).await;
    assert_eq!(edge.prefetches("begun").await, 0);
    get(edge.address, &segment(3)).await;
    edge.until_prefetched("arrived", 1).await;
    assert_eq!(asked(&origin), [1, 0, 0, 1, 1]);
}

#[tokio::test]
async fn what_is_encrypted_here_is_encrypted_ahead_too() {
    let origin = origin().await;
    let secret = "secret = { hex = \"00112233445566778899aabbccddeeff\" }";
    let encryption = format!("encryption = {{ {secret}, require_https = false }}");
    let plain = TestEdge::start(&origin, &encryption).await;
    let ahead = TestEdge::start(&origin, &format!("cache = {{ prefetch = 1 }}\n{encryption}")).await;
    let token = access_token("/*");
    let target = |number| format!("{}?{token}", segment(number));
    assert_eq!(get(ahead.address, &format!("{LIST}?{token}")).await.status, 200);
    get(ahead.address, &target(0)).await;
    ahead.until_prefetched("arrived", 1).await;
    let (here, there) = (get(ahead.address, &target(1)).await, get(plain.address, &target(1)).await);
    assert!(is_hit(&here) && !is_hit(&there));
    assert_eq!((here.status, &here.body), (200, &there.body));
    assert!(!here.text().contains("clear"));
}

#[tokio::test]
async fn what_rules_say_of_a_segment_holds_ahead_too() {
    let origin = origin().await;
    origin.at(LIST, Answer::playlist(&vod(&["s0.ts?x=1", "s1.ts?x=2", "s2.ts?x=3"])));
    let rule = "rule = [{ name = \"bare\", when = { extension = [\"ts\"] }, cache = { query = \"drop\" } }]";
    let edge = open(&origin, &format!("cache = {{ prefetch = 2 }}\n{rule}")).await;
    get(edge.address, LIST).await;
    get(edge.address, "/v/s0.ts?x=1").await;
    edge.until_prefetched("arrived", 2).await;
    assert_eq!(origin.asked_for(&segment(1))[0].target(), segment(1));
    assert!(is_hit(&get(edge.address, "/v/s1.ts?x=2").await));
    assert!(is_hit(&get(edge.address, "/v/s2.ts?x=9").await));
    let kept = "rule = [{ name = \"no\", when = { path = [\"/v/s1.ts\"] }, cache = { store = false } }]";
    let edge = open(&origin, &format!("cache = {{ prefetch = 2 }}\n{kept}")).await;
    get(edge.address, LIST).await;
    get(edge.address, "/v/s0.ts?x=1").await;
    edge.until_prefetched("arrived", 1).await;
    assert_eq!(asked(&origin)[1], 1, "what is not kept is not fetched ahead");
}

#[tokio::test]
async fn what_is_for_one_viewer_teaches_and_begins_nothing() {
    let origin = origin().await;
    let list = vod(&["s0.ts", "s1.ts"]);
    let fields = [("content-type", "application/vnd.apple.mpegurl"), ("cache-control", "private")];
    origin.at(LIST, Answer::with("200 OK", &fields, list.clone()));
    let edge = open(&origin, "cache = { prefetch = 1 }").await;
    get(edge.address, LIST).await;
    get(edge.address, &segment(0)).await;
    assert_eq!(edge.prefetches("begun").await, 0);
    origin.at(LIST, Answer::playlist(&list));
    get(edge.address, LIST).await;
    request(edge.address, "GET", &segment(0), &[("Authorization", "Basic eDp5")]).await;
    request(edge.address, "HEAD", &segment(0), &[]).await;
    assert_eq!(edge.prefetches("begun").await, 0);
    get(edge.address, &segment(0)).await;
    edge.until_prefetched("arrived", 1).await;
}

#[tokio::test]
async fn segments_of_other_sites_and_what_is_no_segment_stay_out() {
    let origin = origin().await;
    let names =
        ["s0.ts", "http://other.example/v/s1.ts", "../../%", "{$x}.ts", "k.key", "b.m3u8", "s2.ts", "s3.ts"];
    let list = vod(&names).replace("#EXT-X-TARGET", "#EXT-X-DEFINE:NAME=\"x\",VALUE=\"s4\"\n#EXT-X-TARGET");
    origin.at(LIST, Answer::playlist(&list));
    let edge = open(&origin, "cache = { prefetch = 9 }").await;
    get(edge.address, LIST).await;
    get(edge.address, &segment(0)).await;
    edge.until_prefetched("arrived", 2).await;
    assert_eq!((asked(&origin), edge.prefetches("begun").await), ([1, 0, 1, 1, 0], 2));
    assert_eq!(origin.asked().len(), 4);
}

#[tokio::test]
async fn a_failing_origin_is_counted_and_harms_no_viewer() {
    let origin = origin().await;
    origin.at(&segment(1), Answer::raw("no HTTP at all"));
    let edge = open(&origin, "cache = { prefetch = 1 }").await;
    get(edge.address, LIST).await;
    assert_eq!(get(edge.address, &segment(0)).await.status, 200);
    edge.until_prefetched("failed", 1).await;
    origin.at(&segment(1), Answer::with("404 Not Found", &[], "none"));
    get(edge.address, &segment(0)).await;
    edge.until_prefetched("failed", 2).await;
    edge.clock.advance(Duration::from_secs(2));
    origin.at(&segment(1), Answer::ok("video/mp2t", "well again"));
    assert_eq!(get(edge.address, &segment(1)).await.text(), "well again");
}

#[tokio::test]
async fn a_purge_covers_what_was_fetched_ahead_and_what_is_on_its_way() {
    let (origin, gate) = (origin().await, Arc::new(Notify::new()));
    origin.at(&segment(2), Answer::ok("video/mp2t", "old").gated(gate.clone()));
    let edge = open(&origin, "cache = { prefetch = 2 }").await;
    get(edge.address, LIST).await;
    get(edge.address, &segment(0)).await;
    edge.until_prefetched("arrived", 1).await;
    origin.until(|origin| asked(origin) == [1, 1, 1, 0, 0]).await;
    assert_eq!(post(edge.admin, "/purge", &[JSON], "{\"all\":true}").await.status, 200);
    for number in [1, 2] {
        origin.at(&segment(number), Answer::ok("video/mp2t", "new"));
    }
    gate.notify_one();
    edge.until_prefetched("arrived", 2).await;
    for number in [1, 2] {
        assert_eq!(get(edge.address, &segment(number)).await.text(), "new");
    }
}

#[tokio::test]
async fn after_a_reload_orders_are_learned_anew() {
    let (origin, folder) = (origin().await, tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("edge.toml");
    let configure = |prefetch: usize| {
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ action = \"open\" }}\ncache = {{ prefetch = {prefetch} }}\n",
            origin.address
        );
        std::fs::write(&path, text).expect("a file");
    };
    configure(1);
    let edge = TestEdge::with_file(&path).await;
    let reload = async || {
        let reloader = edge.reloader.clone().expect("the configuration is a file");
        let done = tokio::task::spawn_blocking(move || reloader.reload()).await.expect("no panic");
        done.expect("it is good");
    };
    get(edge.address, LIST).await;
    configure(2);
    reload().await;
    get(edge.address, &segment(0)).await;
    assert_eq!(edge.prefetches("begun").await, 0);
    get(edge.address, LIST).await;
    get(edge.address, &segment(0)).await;
    edge.until_prefetched("arrived", 2).await;
    configure(0);
    reload().await;
    get(edge.address, LIST).await;
    get(edge.address, &segment(2)).await;
    assert_eq!((edge.prefetches("begun").await, asked(&origin)), (2, [1, 1, 1, 0, 0]));
}

#[test]
fn a_prefetch_that_could_fetch_nothing_is_a_fault() {
    for (keys, lacking) in [
        ("objects = false", "objects = false"),
        ("prefetch_parallel = 0", "prefetch_parallel = 0"),
        ("prefetch_bytes = \"0B\"", "prefetch_bytes = \"0B\""),
        ("prefetch_remembered = 3", "prefetch_remembered"),
    ] {
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"]\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://127.0.0.1:1\"] }}\naccess = {{ action = \"open\" }}\ncache = {{ prefetch = 3, {keys} }}\n"
        );
        let now = Clock::manual(Duration::from_secs(START)).now();
        let folder = std::path::Path::new(".");
        let faults = sluicegate::config::parse(&text, "test.toml", folder, &Metrics::new(), now)
            .expect_err("a fault")
            .lines()
            .join("\n");
        assert!(faults.contains("prefetch = 3 fetches nothing with") && faults.contains(lacking), "{faults}");
    }
}
