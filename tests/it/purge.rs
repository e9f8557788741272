//! Purges over the operators' listener, and what viewers get afterwards.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::admin::{JSON, post};
use crate::support::edge::access_token;
use crate::support::script::ScriptedOrigin;
use crate::support::{Answer, TestEdge, TestOrigin, get, request};

fn segment(fields: &[(&str, &str)], body: &str) -> Answer {
    Answer::with("200 OK", &[&[("content-type", "video/mp2t")], fields].concat(), body)
}

async fn open(origin: &TestOrigin) -> TestEdge {
    TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), "").await
}

/// Memory and playlists, as the answer tells them.
async fn purge(edge: &TestEdge, body: &str) -> (u64, u64) {
    let reply = post(edge.admin, "/purge", &[JSON], body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let done: Value = serde_json::from_slice(&reply.body).expect("JSON");
    (done["memory"].as_u64().expect("a count"), done["playlists"].as_u64().expect("a count"))
}

#[tokio::test]
async fn a_url_as_the_operator_types_it_finds_its_object_under_every_name() {
    let origin = TestOrigin::start().await;
    for path in ["/a/s.ts", "/a/s.ts2"] {
        origin.at(path, segment(&[], "old"));
    }
    let edge = open(&origin).await;
    let at = edge.address;
    for (target, host) in [
        ("/a/s.ts", "h.example"),
        ("/a/s.ts", "H.example:80"),
        ("/a/s.ts?v=1", "h.example"),
        ("/a/s.ts2", "h.example"),
    ] {
        request(at, "GET", target, &[("Host", host)]).await;
    }
    let url = "{\"url\":\"https://h.EXAMPLE/a/x/../s%2Ets\"}";
    assert_eq!(purge(&edge, url).await, (2, 0));
    assert_eq!(purge(&edge, url).await, (0, 0));
    assert_eq!(purge(&edge, "{\"url\":\"/a/s.ts?v=1\",\"property\":\"test\"}").await, (1, 0));
    origin.at("/a/s.ts", segment(&[], "new"));
    let again = request(at, "GET", "/a/s.ts", &[("Host", "h.example")]).await;
    assert_eq!(again.text(), "new");
    request(at, "GET", "/a/s.ts2", &[("Host", "h.example")]).await;
    assert_eq!(origin.asked_for("/a/s.ts2").len(), 1, "another object stays");
}

#[tokio::test]
async fn a_viewers_url_may_be_given_with_its_tokens() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[], "body"));
    let edge = TestEdge::start(&origin, "").await;
    let token = access_token("/*");
    assert_eq!(get(edge.address, &format!("/s.ts?a=1&{token}")).await.status, 200);
    let url = format!("{{\"url\":\"http://h/hdntl=x/s.ts?{token}&a=1\"}}");
    assert_eq!(purge(&edge, &url).await, (1, 0));
}

#[tokio::test]
async fn a_purge_takes_the_variants_too() {
    let origin = TestOrigin::start().await;
    origin.at(
        "/s.vtt",
        Answer::with("200 OK", &[("content-type", "text/vtt"), ("vary", "accept-encoding")], "x"),
    );
    let edge = open(&origin).await;
    for coding in ["identity", "gzip", "br"] {
        request(edge.address, "GET", "/s.vtt", &[("Accept-Encoding", coding)]).await;
    }
    let url = format!("{{\"url\":\"http://{}/s.vtt\"}}", edge.address);
    assert_eq!(purge(&edge, &url).await, (3, 0));
    request(edge.address, "GET", "/s.vtt", &[("Accept-Encoding", "gzip")]).await;
    assert_eq!(origin.asked_for("/s.vtt").len(), 4);
}

#[tokio::test]
async fn a_prefix_a_surrogate_key_and_all_find_objects_and_playlists() {
    let origin = TestOrigin::start().await;
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\ns.ts\n#EXT-X-ENDLIST\n";
    origin.at("/one/s.ts", segment(&[("surrogate-key", "film-1 all-films")], "1"));
    origin.at("/two/s.ts", segment(&[("surrogate-key", "film-2 all-films")], "2"));
    origin.at(
        "/one/m.m3u8",
        Answer::with(
            "200 OK",
            &[("content-type", "application/vnd.apple.mpegurl"), ("surrogate-key", "film-1")],
            playlist,
        ),
    );
    let edge = open(&origin).await;
    let fill = async || {
        for path in ["/one/s.ts", "/two/s.ts", "/one/m.m3u8"] {
            assert_eq!(get(edge.address, path).await.status, 200);
        }
    };
    for (body, counts) in [
        (format!("{{\"prefix\":\"http://{}/one/\"}}", edge.address), (1, 1)),
        ("{\"tag\":\"film-1\"}".to_owned(), (1, 1)),
        ("{\"tag\":\"all-films\",\"property\":\"test\"}".to_owned(), (2, 0)),
        ("{\"tag\":\"film\"}".to_owned(), (0, 0)),
        ("{\"all\":true,\"property\":\"test\"}".to_owned(), (2, 1)),
        ("{\"all\":true}".to_owned(), (2, 1)),
        ("{\"url\":\"/one/m.m3u8\",\"property\":\"test\"}".to_owned(), (0, 1)),
    ] {
        fill().await;
        assert_eq!(purge(&edge, &body).await, counts, "{body}");
    }
    assert_eq!(edge.count("purges_total").await, 7);
    assert_eq!(edge.count("purged_playlists_total").await, 5);
    assert_eq!(edge.count("purged_memory_total").await, 8);
}

#[tokio::test]
async fn what_was_purged_softly_is_asked_for_again_and_served_only_while_it_may_be_stale() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[("cache-control", "max-age=3600"), ("etag", "\"1\"")], "body"));
    let edge = TestEdge::open(
        &format!("urls = [\"http://{}\"]", origin.address),
        "cache = { stale_if_error = \"60s\", stale_while_revalidate = \"30s\" }",
    )
    .await;
    get(edge.address, "/s.ts").await;
    let soft = "{\"all\":true,\"soft\":true}";
    assert_eq!(purge(&edge, soft).await, (1, 0));
    origin.at("/s.ts", Answer::with("304 Not Modified", &[("etag", "\"1\"")], ""));
    assert_eq!(get(edge.address, "/s.ts").await.text(), "body");
    assert_eq!(origin.asked()[1].header("if-none-match").as_deref(), Some("\"1\""));
    assert_eq!(get(edge.address, "/s.ts").await.text(), "body");
    assert_eq!(origin.asked().len(), 2, "confirmed, it is fresh again");

    purge(&edge, soft).await;
    origin.at("/s.ts", Answer::with("503 Service Unavailable", &[], "down"));
    assert_eq!(get(edge.address, "/s.ts").await.text(), "body");
    assert_eq!(origin.asked().len(), 3, "it is asked before the stale one is served");
    edge.clock.advance(Duration::from_secs(59));
    purge(&edge, soft).await;
    assert_eq!(get(edge.address, "/s.ts").await.text(), "body");
    edge.clock.advance(Duration::from_secs(1));
    assert_eq!(get(edge.address, "/s.ts").await.status, 503, "a second purge gives it no more time");
}

#[tokio::test]
async fn a_purge_during_a_fetch_holds() {
    let origin = TestOrigin::start().await;
    let playlist = |name: &str| {
        Answer::playlist(&format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{name}.ts\n#EXT-X-ENDLIST\n"
        ))
    };
    let edge = open(&origin).await;
    for body in [
        "{\"all\":true}".to_owned(),
        format!("{{\"prefix\":\"http://{}/\"}}", edge.address),
        "{\"url\":\"/s.ts\",\"property\":\"test\"}".to_owned(),
    ] {
        let gate = Arc::new(Notify::new());
        origin.at("/s.ts", segment(&[], "old").gated(gate.clone()));
        let asked = origin.asked().len();
        let early = tokio::spawn(get(edge.address, "/s.ts"));
        origin.until(move |origin| origin.asked().len() > asked).await;
        purge(&edge, &body).await;
        origin.at("/s.ts", segment(&[], "new"));
        assert_eq!(get(edge.address, "/s.ts").await.text(), "new", "{body}");
        gate.notify_one();
        assert_eq!(early.await.expect("an answer").text(), "old");
        assert_eq!(get(edge.address, "/s.ts").await.text(), "new", "{body}");
        purge(&edge, "{\"all\":true}").await;
    }
    let gate = Arc::new(Notify::new());
    origin.at("/m.m3u8", playlist("old").gated(gate.clone()));
    let early = tokio::spawn(get(edge.address, "/m.m3u8"));
    origin.until(|origin| origin.asked_for("/m.m3u8").len() == 1).await;
    purge(&edge, "{\"url\":\"/m.m3u8\",\"property\":\"test\"}").await;
    origin.at("/m.m3u8", playlist("new"));
    assert_eq!(get(edge.address, "/m.m3u8").await.uris(), ["new.ts"]);
    gate.notify_one();
    assert_eq!(early.await.expect("an answer").uris(), ["old.ts"]);
    assert_eq!(get(edge.address, "/m.m3u8").await.uris(), ["new.ts"]);
}

#[tokio::test]
async fn what_was_purged_for_good_is_not_brought_back_by_a_304() {
    let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counted, held) = (asked.clone(), gate.clone());
    let origin = ScriptedOrigin::start(move |mut stream| {
        let (turn, held) = (counted.fetch_add(1, Ordering::SeqCst), held.clone());
        async move {
            let answer = match turn {
                0 => "200 OK\r\netag: \"1\"\r\ncache-control: max-age=10\r\ncontent-length: 3\r\nconnection: close\r\n\r\nold",
                1 => {
                    held.notified().await;
                    "304 Not Modified\r\netag: \"1\"\r\nconnection: close\r\n\r\n"
                }
                _ => "200 OK\r\netag: \"1\"\r\ncache-control: max-age=10\r\ncontent-length: 3\r\nconnection: close\r\n\r\nnew",
            };
            let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
        }
    })
    .await;
    let cache = "cache = { stale_while_revalidate = \"0s\" }";
    let edge = TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), cache).await;
    assert_eq!(get(edge.address, "/s.ts").await.text(), "old");
    edge.clock.advance(Duration::from_secs(20));
    let asking = tokio::spawn(get(edge.address, "/s.ts"));
    let is_asked = async {
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_asked).await.expect("the origin is asked again");
    assert_eq!(purge(&edge, "{\"url\":\"/s.ts\",\"property\":\"test\"}").await, (1, 0));
    gate.notify_one();
    assert_eq!(asking.await.expect("an answer").text(), "new");
    assert_eq!(get(edge.address, "/s.ts").await.text(), "new");
}

async fn sluicegate(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let output: Output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("run").expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_purges_and_tells_how_many() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", segment(&[], "body"));
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ text = \"secret-word\" }}\n\
         [log]\naccess = \"off\"\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\n\
         origin = {{ urls = [\"http://{}\"] }}\naccess = {{ action = \"open\" }}\n",
        origin.address
    );
    let edge = TestEdge::with_text(&text).await;
    let admin = format!("http://{}", edge.admin);
    let token = ("SLUICEGATE_ADMIN_TOKEN", "secret-word");
    let url = format!("http://{}/s.ts", edge.address);

    get(edge.address, "/s.ts").await;
    let (code, out, err) = sluicegate(&[token], &["purge", "--url", &url, "--soft", "--admin", &admin]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "purged: 1 objects marked stale in memory, 0 on disk, 0 playlists\n");
    let by_environment = [token, ("SLUICEGATE_ADMIN", admin.as_str())];
    let (code, out, err) = sluicegate(&by_environment, &["purge", "--all", "--property", "test"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "purged: 1 objects in memory, 0 on disk, 0 playlists\n");

    let wrong = ("SLUICEGATE_ADMIN_TOKEN", "wrong-word");
    for (environment, arguments, status, told) in [
        (vec![wrong], vec!["purge", "--all", "--admin", &admin], 1, "Authorization: Bearer"),
        (vec![], vec!["purge", "--all", "--admin", &admin], 1, "Authorization: Bearer"),
        (vec![token], vec!["purge", "--all", "--admin", "http://127.0.0.1:1"], 1, "cannot be reached"),
        (vec![token], vec!["purge", "--all", "--admin", "https://127.0.0.1"], 2, "--admin"),
        (vec![token], vec!["purge", "--url", "nowhere", "--admin", &admin], 2, "url: is no URL"),
        (vec![token], vec!["purge", "--all", "--property", "x", "--admin", &admin], 2, "no property \"x\""),
        (vec![token], vec!["purge", "--admin", &admin], 2, "required"),
        (vec![token], vec!["purge", "--all", "--tag", "x"], 2, "cannot be used with"),
    ] {
        let (code, out, err) = sluicegate(&environment, &arguments).await;
        assert_eq!((code, out.as_str()), (status, ""), "{arguments:?}: {err}");
        assert!(err.contains(told) && !err.contains("-word"), "{arguments:?}: {err}");
    }
}
