//! Methods that may change something: passed on with their bodies where a property says so, and what they make untrue.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::support::client::send;
use crate::support::edge::access_token;
use crate::support::{Answer, Reply, TestEdge, TestOrigin, get, request};

const ALL: &str = "methods = [\"GET\", \"HEAD\", \"OPTIONS\", \"POST\", \"PUT\", \"DELETE\", \"M-SEARCH\"]";

async fn open(origin: &TestOrigin, extra: &str) -> TestEdge {
    TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), &format!("{ALL}\n{extra}")).await
}

async fn sent(edge: &TestEdge, method: &str, target: &str, body: &str) -> Reply {
    let (host, length) = (edge.address, body.len());
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
    send(edge.address, [head.as_bytes(), body.as_bytes()].concat().as_slice(), false).await
}

fn page(body: &str) -> Answer {
    Answer::with("200 OK", &[("content-type", "text/plain"), ("cache-control", "max-age=600")], body)
}

#[tokio::test]
async fn a_method_that_the_property_lists_passes_with_its_body() {
    let origin = TestOrigin::start().await;
    origin.at("/form", Answer::with("201 Created", &[("content-type", "text/plain")], "made"));
    let edge = open(&origin, "").await;
    for method in ["POST", "PUT", "DELETE", "M-SEARCH"] {
        let reply = sent(&edge, method, "/form?a=1", "some words").await;
        assert_eq!((reply.status, reply.text().as_str()), (201, "made"), "{method}");
        assert_eq!(reply.header("cache-status").as_deref(), Some("sluicegate; fwd=method"));
        let asked = origin.asked().pop().expect("it was asked");
        assert_eq!((asked.method(), asked.target()), (method, "/form?a=1"));
        assert_eq!(
            (asked.body.as_slice(), asked.header("content-length").as_deref()),
            (&b"some words"[..], Some("10"))
        );
    }
}

#[tokio::test]
async fn a_body_without_a_length_streams_on_in_chunks() {
    let origin = TestOrigin::start().await;
    origin.at("/form", Answer::ok("text/plain", "taken"));
    let edge = open(&origin, "").await;
    let chunked =
        b"POST /form HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwords\r\n0\r\n\r\n";
    assert_eq!(send(edge.address, chunked, false).await.text(), "taken");
    assert_eq!(origin.asked()[0].header("transfer-encoding").as_deref(), Some("chunked"));
}

#[tokio::test]
async fn a_method_that_is_not_listed_is_refused_with_those_that_are() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin, "").await;
    let reply = sent(&edge, "PATCH", "/form", "x").await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow").as_deref(), Some("GET, HEAD, OPTIONS, POST, PUT, DELETE, M-SEARCH"));
    assert_eq!(reply.header("cache-status").as_deref(), Some("sluicegate; detail=refused"));
    assert_eq!(edge.denials("method").await, 1);
    assert!(origin.asked().is_empty());
    let preflight = [("Origin", "https://p.example"), ("Access-Control-Request-Method", "PUT")];
    let reply = request(edge.address, "OPTIONS", "/form", &preflight).await;
    let allowed = reply.header("access-control-allow-methods");
    assert_eq!(allowed.as_deref(), Some("GET, HEAD, OPTIONS, POST, PUT, DELETE, M-SEARCH"));
}

#[tokio::test]
async fn a_body_with_a_get_is_refused_whatever_the_property_passes() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin, "").await;
    for method in ["GET", "HEAD"] {
        assert_eq!(sent(&edge, method, "/form", "x").await.status, 400, "{method}");
    }
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_told_or_not() {
    let origin = TestOrigin::start().await;
    origin.at("/form", Answer::ok("text/plain", "taken"));
    let edge = open(&origin, "request_body_max = \"10B\"").await;
    assert_eq!(sent(&edge, "POST", "/form", "ten bytes.").await.status, 200);
    assert_eq!(sent(&edge, "POST", "/form", "eleven byte").await.status, 413);
    let chunked =
        b"POST /form HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\neleven byte\r\n0\r\n\r\n";
    assert_eq!(send(edge.address, chunked, false).await.status, 413);
    assert_eq!(edge.metric("request_bodies_refused_total", "").await, 2);
}

#[tokio::test]
async fn a_change_needs_a_token_like_anything_else() {
    let origin = TestOrigin::start().await;
    origin.at("/form", Answer::ok("text/plain", "taken"));
    let edge = TestEdge::start(&origin, ALL).await;
    assert_eq!(sent(&edge, "POST", "/form", "x").await.status, 403);
    assert!(origin.asked().is_empty());
    let reply = sent(&edge, "POST", &format!("/form?{}", access_token("/*")), "x").await;
    assert_eq!(reply.text(), "taken");
    assert_eq!(origin.asked()[0].target(), "/form", "no token reaches the origin");
}

#[tokio::test]
async fn a_successful_change_has_its_url_forgotten_and_a_failed_one_does_not() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin, "").await;
    for method in ["POST", "PUT", "DELETE", "M-SEARCH"] {
        let path = format!("/{method}");
        origin.at(&path, page("old"));
        assert_eq!(get(edge.address, &path).await.text(), "old");
        origin.at(&path, Answer::with("500 Internal Server Error", &[], "no"));
        assert_eq!(sent(&edge, method, &path, "x").await.status, 500);
        assert_eq!(get(edge.address, &path).await.text(), "old", "{method}: it failed");
        origin.at(&path, page("new"));
        assert_eq!(sent(&edge, method, &path, "x").await.status, 200);
        origin.at(&path, page("newer"));
        assert_eq!(get(edge.address, &path).await.text(), "newer", "{method}");
    }
    assert_eq!(edge.metric("cache_invalidated_total", "").await, 4);
}

#[tokio::test]
async fn a_change_has_the_urls_forgotten_that_it_names_on_this_site_alone() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin, "").await;
    for path in ["/a/there", "/a/content", "/b"] {
        origin.at(path, page("old"));
        assert_eq!(get(edge.address, path).await.text(), "old");
        origin.at(path, page("new"));
    }
    let fields = [("location", "there"), ("content-location", "/a/content?#x"), ("link", "</b>")];
    origin.at("/a/form", Answer::with("201 Created", &fields, ""));
    let foreign = [("location", "http://elsewhere.example/b")];
    origin.at("/a/other", Answer::with("201 Created", &foreign, ""));
    for path in ["/a/form", "/a/other"] {
        assert_eq!(sent(&edge, "POST", path, "").await.status, 201);
    }
    assert_eq!(get(edge.address, "/a/there").await.text(), "new");
    assert_eq!(get(edge.address, "/a/content").await.text(), "new");
    assert_eq!(get(edge.address, "/b").await.text(), "old");
}

#[tokio::test]
async fn a_change_has_all_variants_and_a_playlist_forgotten_too() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin, "").await;
    let variant = |body: &str| {
        let fields = [("content-type", "text/plain"), ("cache-control", "max-age=600"), ("vary", "x-a")];
        Answer::with("200 OK", &fields, body)
    };
    let of = |value| {
        let address = edge.address;
        async move { request(address, "GET", "/page", &[("X-A", value)]).await.text() }
    };
    origin.at("/page", variant("old"));
    assert_eq!((of("1").await, of("2").await), ("old".to_owned(), "old".to_owned()));
    origin.at("/page", variant("new"));
    assert_eq!(of("2").await, "old");
    sent(&edge, "POST", "/page", "").await;
    assert_eq!((of("1").await, of("2").await), ("new".to_owned(), "new".to_owned()));

    origin.at(
        "/l.m3u8",
        Answer::playlist("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n"),
    );
    get(edge.address, "/l.m3u8").await;
    get(edge.address, "/l.m3u8").await;
    assert_eq!(origin.asked_for("/l.m3u8").len(), 1);
    origin.at("/l.m3u8", Answer::ok("text/plain", "put"));
    sent(&edge, "PUT", "/l.m3u8", "").await;
    get(edge.address, "/l.m3u8").await;
    assert_eq!(origin.asked_for("/l.m3u8").len(), 3);
}

#[tokio::test]
async fn a_change_keeps_out_what_is_being_fetched_of_its_own_url_and_of_no_other() {
    let origin = TestOrigin::start().await;
    let edge = open(&origin, "").await;
    for (changed, fetches) in [("/other.m3u8", 1), ("/l.m3u8", 2)] {
        let gate = Arc::new(Notify::new());
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n";
        origin.at("/l.m3u8", Answer::playlist(text).gated(gate.clone()));
        let fetched = || origin.asked_for("/l.m3u8").iter().filter(|asked| asked.method() == "GET").count();
        let before = fetched();
        let address = edge.address;
        let fetching = tokio::spawn(async move { get(address, "/l.m3u8").await });
        origin.until(|_| fetched() > before).await;
        origin.at(changed, Answer::ok("text/plain", "put"));
        assert_eq!(sent(&edge, "PUT", changed, "").await.status, 200);
        origin.at("/l.m3u8", Answer::playlist(text));
        gate.notify_one();
        assert_eq!(fetching.await.unwrap().status, 200);
        get(edge.address, "/l.m3u8").await;
        assert_eq!(fetched() - before, fetches, "{changed}");
        sent(&edge, "PUT", "/l.m3u8", "").await;
    }
}

#[tokio::test]
async fn an_answer_to_post_stands_for_get_only_where_it_says_so_and_the_property_believes_it() {
    let origin = TestOrigin::start().await;
    let fields =
        [("content-type", "text/plain"), ("cache-control", "max-age=60"), ("content-location", "/q")];
    origin.at("/q", Answer::with("200 OK", &fields, "posted"));
    origin.at("/r", Answer::with("200 OK", &fields[..2], "posted"));
    for (extra, asked) in [("", 2), ("cache = { keep_post = true }", 1)] {
        let edge = open(&origin, extra).await;
        let before = origin.asked().len();
        for (path, asked) in [("/q", asked), ("/r", 2)] {
            let before = origin.asked_for(path).len();
            assert_eq!(sent(&edge, "POST", path, "x").await.text(), "posted");
            assert_eq!(get(edge.address, path).await.text(), "posted");
            assert_eq!(origin.asked_for(path).len() - before, asked, "{path} {extra}");
        }
        assert!(origin.asked().len() > before);
    }
}

#[tokio::test]
async fn a_viewer_who_sends_its_body_slowly_puts_no_server_out() {
    let origin = TestOrigin::start().await;
    origin.at("/form", Answer::ok("text/plain", "taken"));
    let keys = format!("urls = [\"http://{}\"], ejection_failures = 1", origin.address);
    let extra = format!("{ALL}\nrequest_body_timeout = \"100ms\"");
    let edge = TestEdge::open(&keys, &extra).await;
    let slow = b"POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nsome";
    assert_eq!(send(edge.address, slow, false).await.status, 504);
    let up = format!("origin_server_up{{property=\"test\",server=\"http://{}\"}}", origin.address);
    assert_eq!(edge.count(&up).await, 1);
}
