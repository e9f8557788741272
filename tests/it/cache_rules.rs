//! What RFC 9111 asks of a cache, over sockets: the cases of the public conformance suite that matter here.

use std::time::Duration;

use crate::support::{Answer, Reply, TestEdge, TestOrigin, get, request};

/// No default lifetimes, viewers' directives honoured: HTTP alone decides.
const BY_HTTP_ALONE: &str = "cache = { segment_ttl = \"0s\", negative_ttl = \"0s\", stale_while_revalidate = \"0s\", stale_if_error = \"0s\", client_directives = true, origin_clock = true, set_cookie = \"keep\" }";

async fn start(origin: &TestOrigin) -> TestEdge {
    let keys = format!("urls = [\"http://{}\"], retries = 0, ejection_failures = 0", origin.address);
    TestEdge::open(&keys, BY_HTTP_ALONE).await
}

fn answer(fields: &[(&str, &str)], body: &str) -> Answer {
    let mut all = vec![("content-type", "text/plain")];
    all.extend_from_slice(fields);
    Answer::with("200 OK", &all, body)
}

/// How often the origin is asked when `/x` is asked for a second time after `seconds`, with these fields.
async fn asked(stored: &[(&str, &str)], seconds: u64, second: &[(&str, &str)]) -> usize {
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    origin.at("/x", answer(stored, "one"));
    assert_eq!(get(edge.address, "/x").await.text(), "one");
    edge.clock.advance(Duration::from_secs(seconds));
    request(edge.address, "GET", "/x", second).await;
    origin.asked().len()
}

fn status_of(reply: &Reply) -> String {
    reply.header("cache-status").unwrap_or_default()
}

#[tokio::test]
async fn without_a_lifetime_nothing_is_used_again() {
    assert_eq!(asked(&[], 0, &[]).await, 2);
    assert_eq!(asked(&[("cache-control", "max-age=10")], 9, &[]).await, 1);
    assert_eq!(asked(&[("cache-control", "max-age=10")], 10, &[]).await, 2);
    assert_eq!(asked(&[("cache-control", "max-age=10, s-maxage=1")], 5, &[]).await, 2);
    assert_eq!(asked(&[("cache-control", "max-age=10"), ("age", "6")], 5, &[]).await, 2);
}

#[tokio::test]
async fn a_targeted_field_replaces_cache_control() {
    let targeted = |value| [("cache-control", "no-store"), ("cdn-cache-control", value)];
    assert_eq!(asked(&targeted("max-age=60"), 50, &[]).await, 1);
    assert_eq!(asked(&targeted("max-age=60"), 61, &[]).await, 2);
    assert_eq!(asked(&targeted("max-age=sixty"), 1, &[]).await, 2, "one that is not valid is not there");
    let forbids = [("cache-control", "max-age=60"), ("cdn-cache-control", "no-store")];
    assert_eq!(asked(&forbids, 1, &[]).await, 2);
}

#[tokio::test]
async fn what_the_origin_withholds_is_not_used_again() {
    for control in ["no-store, max-age=60", "private, max-age=60", "no-cache, max-age=60"] {
        assert_eq!(asked(&[("cache-control", control)], 1, &[]).await, 2, "{control}");
    }
}

#[tokio::test]
async fn a_viewers_directives_count_where_the_property_says_so() {
    let stored = [("cache-control", "max-age=60")];
    assert_eq!(asked(&stored, 5, &[("Cache-Control", "no-cache")]).await, 2);
    assert_eq!(asked(&stored, 5, &[("Cache-Control", "max-age=4")]).await, 2);
    assert_eq!(asked(&stored, 5, &[("Cache-Control", "min-fresh=56")]).await, 2);
    assert_eq!(asked(&stored, 65, &[("Cache-Control", "max-stale=10")]).await, 1);
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    let reply = request(edge.address, "GET", "/x", &[("Cache-Control", "only-if-cached")]).await;
    assert_eq!((reply.status, origin.asked().len()), (504, 0));
    assert_eq!(status_of(&reply), "sluicegate; fwd=uri-miss; detail=only-if-cached");

    let edge = TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), "").await;
    origin.at("/y", answer(&stored, "one"));
    get(edge.address, "/y").await;
    request(edge.address, "GET", "/y", &[("Cache-Control", "no-cache"), ("Pragma", "no-cache")]).await;
    assert_eq!(origin.asked_for("/y").len(), 1, "by default whoever likes cannot have all fetched anew");
}

#[tokio::test]
async fn each_variant_is_kept_for_those_who_select_it() {
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    let of = |value: Option<&'static str>| {
        let address = edge.address;
        async move {
            let fields: Vec<(&str, &str)> = value.map(|value| ("X-A", value)).into_iter().collect();
            request(address, "GET", "/x", &fields).await
        }
    };
    let fields = [("cache-control", "max-age=60"), ("vary", "x-a")];
    for (value, body) in [(Some("1"), "one"), (Some("2"), "two"), (None, "none")] {
        origin.at("/x", answer(&fields, body));
        assert_eq!(of(value).await.text(), body);
    }
    origin.at("/x", answer(&fields, "other"));
    for (value, body) in [(Some("1"), "one"), (Some("2"), "two"), (None, "none"), (Some("2"), "two")] {
        let reply = of(value).await;
        assert_eq!(reply.text(), body);
        assert!(status_of(&reply).starts_with("sluicegate; hit"), "{}", status_of(&reply));
    }
    let reply = of(Some("3")).await;
    assert_eq!(
        (reply.text().as_str(), status_of(&reply).as_str()),
        ("other", "sluicegate; fwd=vary-miss; ttl=60; stored")
    );
    origin.at("/y", answer(&[("cache-control", "max-age=60"), ("vary", "*")], "one"));
    get(edge.address, "/y").await;
    get(edge.address, "/y").await;
    assert_eq!(origin.asked_for("/y").len(), 2);
}

#[tokio::test]
async fn those_who_wait_together_get_their_own_variants() {
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
    origin.at("/x", answer(&fields, "some language").gated(gate.clone()));
    let address = edge.address;
    let asking = |language: &'static str| {
        tokio::spawn(async move { request(address, "GET", "/x", &[("Accept-Language", language)]).await })
    };
    let first = asking("de");
    origin.until(|origin| origin.asked().len() == 1).await;
    let second = asking("fr");
    while edge.count("cache_collapsed_total").await < 1 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    origin.until(|origin| origin.asked().len() == 2).await;
    gate.notify_one();
    let both = [first.await.expect("an answer"), second.await.expect("an answer")];
    assert!(both.iter().all(|reply| reply.status == 200));
    let languages: Vec<_> = origin.asked().iter().map(|asked| asked.header("accept-language")).collect();
    assert_eq!(languages, [Some("de".to_owned()), Some("fr".to_owned())]);
}

#[tokio::test]
async fn what_authorization_brought_is_for_its_sender_unless_it_says_otherwise() {
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    for (control, again) in
        [("max-age=60", 2), ("max-age=60, public", 1), ("max-age=60, must-revalidate", 1), ("s-maxage=60", 1)]
    {
        let path = format!("/{}", control.len());
        origin.at(&path, answer(&[("cache-control", control)], "mine"));
        request(edge.address, "GET", &path, &[("Authorization", "Basic eA==")]).await;
        get(edge.address, &path).await;
        assert_eq!(origin.asked_for(&path).len(), again, "{control}");
        assert_eq!(origin.asked_for(&path)[0].header("authorization").as_deref(), Some("Basic eA=="));
    }
}

#[tokio::test]
async fn a_304_updates_what_is_stored_and_one_of_another_version_does_not() {
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    let fields = |etag, note| [("etag", etag), ("cache-control", "max-age=5"), ("x-note", note)];
    origin.at("/x", answer(&fields("\"1\"", "a"), "one"));
    get(edge.address, "/x").await;
    edge.clock.advance(Duration::from_secs(6));
    origin.at("/x", Answer::with("304 Not Modified", &fields("\"1\"", "b"), ""));
    let reply = get(edge.address, "/x").await;
    assert_eq!((reply.text().as_str(), reply.header("x-note").as_deref()), ("one", Some("b")));
    assert_eq!(status_of(&reply), "sluicegate; fwd=stale; fwd-status=304; ttl=5; stored");
    edge.clock.advance(Duration::from_secs(6));
    // It confirms a version that is not here; asked without a condition it gives no body at all.
    origin.at("/x", Answer::with("304 Not Modified", &fields("\"2\"", "c"), ""));
    assert_eq!(get(edge.address, "/x").await.status, 502, "what it did not confirm is not served");
    assert_eq!(origin.asked().last().and_then(|asked| asked.header("if-none-match")), None);
    origin.at("/x", answer(&fields("\"2\"", "c"), "two"));
    assert_eq!(get(edge.address, "/x").await.text(), "two");
}

#[tokio::test]
async fn head_tells_of_what_get_has_stored() {
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    let fields = |etag| [("etag", etag), ("cache-control", "max-age=5")];
    origin.at("/x", answer(&fields("\"1\""), "one"));
    get(edge.address, "/x").await;
    edge.clock.advance(Duration::from_secs(6));
    let reply = request(edge.address, "HEAD", "/x", &[]).await;
    assert_eq!((reply.status, status_of(&reply).as_str()), (200, "sluicegate; fwd=stale; stored"));
    assert_eq!(get(edge.address, "/x").await.text(), "one");
    assert_eq!(origin.asked().len(), 2, "the HEAD has confirmed it");
    edge.clock.advance(Duration::from_secs(6));
    origin.at("/x", answer(&fields("\"2\""), "two"));
    request(edge.address, "HEAD", "/x", &[]).await;
    assert_eq!(get(edge.address, "/x").await.text(), "two");
}

#[tokio::test]
async fn stale_answers_are_served_as_far_as_the_origin_allows() {
    for (control, status) in [
        ("max-age=2, stale-if-error=60", 200),
        ("max-age=2, stale-if-error=60, must-revalidate", 503),
        ("max-age=2, stale-if-error=60, proxy-revalidate", 503),
        ("max-age=2", 503),
    ] {
        let origin = TestOrigin::start().await;
        let edge = start(&origin).await;
        origin.at("/x", answer(&[("cache-control", control)], "one"));
        get(edge.address, "/x").await;
        edge.clock.advance(Duration::from_secs(3));
        origin.at("/x", Answer::with("503 Service Unavailable", &[("cache-control", "max-age=60")], "no"));
        let reply = get(edge.address, "/x").await;
        assert_eq!(reply.status, status, "{control}");
        if status == 200 {
            let expected = "sluicegate; fwd=stale; fwd-status=503; ttl=-1; detail=origin-failed";
            assert_eq!(status_of(&reply), expected);
            assert_eq!(edge.metric("cache_total", ",result=\"stale\"").await, 1);
        }
    }
}

#[tokio::test]
async fn an_error_that_is_not_kept_is_still_one_request_for_those_who_wait() {
    let origin = TestOrigin::start().await;
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    origin.at("/x.ts", Answer::with("500 Internal Server Error", &[], "it failed").gated(gate.clone()));
    let edge = start(&origin).await;
    let address = edge.address;
    let waiters: Vec<_> =
        (0..100).map(|_| tokio::spawn(async move { get(address, "/x.ts").await })).collect();
    while edge.count("cache_collapsed_total").await < 99 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    for waiter in waiters {
        let reply = waiter.await.expect("an answer");
        assert_eq!((reply.status, reply.text().as_str()), (500, "it failed"));
    }
    assert_eq!(origin.asked().len(), 1);
    origin.at("/x.ts", answer(&[], "it works"));
    assert_eq!(get(edge.address, "/x.ts").await.text(), "it works");
}

#[tokio::test]
async fn every_answer_says_what_the_cache_did() {
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    origin.at("/x", answer(&[("cache-control", "no-store")], "one"));
    let told = |reply: Reply| status_of(&reply);
    assert_eq!(told(get(edge.address, "/x").await), "sluicegate; fwd=uri-miss; detail=no-store");
    assert_eq!(told(request(edge.address, "OPTIONS", "/x", &[]).await), "sluicegate; detail=options");
    assert_eq!(told(get(edge.address, "/%2e%2e%2fx").await), "sluicegate; detail=refused");
    origin.at(
        "/z.m3u8",
        Answer::playlist("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n"),
    );
    assert_eq!(told(get(edge.address, "/z.m3u8").await), "sluicegate; fwd=uri-miss; ttl=60; stored");
    assert_eq!(told(get(edge.address, "/z.m3u8").await), "sluicegate; hit; ttl=60");
    origin.at("/bad", Answer::with("206 Partial Content", &[("content-range", "bytes 0-0/9")], "1"));
    assert_eq!(told(get(edge.address, "/bad").await), "sluicegate; fwd=uri-miss; detail=origin-invalid");
    let edge =
        TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), "cache = { objects = false }")
            .await;
    assert_eq!(told(get(edge.address, "/x").await), "sluicegate; fwd=bypass");
    let protected = TestEdge::start(&origin, "").await;
    assert_eq!(told(get(protected.address, "/x").await), "sluicegate; detail=refused");
}

/// Servers of applications take these for the host, path or method that was meant. They stand in no key, so that whoever
/// sends them first would choose what others get.
#[tokio::test]
async fn no_field_that_is_not_keyed_chooses_what_others_get() {
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    origin.at("/x", answer(&[("cache-control", "max-age=60")], "x"));
    let named = [
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Scheme",
        "X-Forwarded-Prefix",
        "X-Forwarded-Path",
        "X-Forwarded-Uri",
        "X-Forwarded-Ssl",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "Front-End-Https",
        "X-Host",
        "X-Original-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-Url-Scheme",
        "Forwarded",
        "Proxy",
        "X.Original.URL",
        "X_Rewrite_URL",
    ];
    let fields: Vec<(&str, &str)> = named.iter().map(|name| (*name, "poison.example")).collect();
    assert_eq!(request(edge.address, "GET", "/x", &fields).await.text(), "x");
    let asked = origin.asked_for("/x");
    assert!(!asked[0].head.contains("poison"), "{}", asked[0].head);
    assert_eq!(get(edge.address, "/x").await.text(), "x");
    assert_eq!(origin.asked_for("/x").len(), 1);
}

/// Whoever asks in ever new words does not have ever new copies kept.
#[tokio::test]
async fn ranges_and_codings_of_a_client_make_no_copies_without_bound() {
    let origin = TestOrigin::start().await;
    let edge = start(&origin).await;
    let fields = [("cache-control", "max-age=60"), ("vary", "accept-encoding")];
    origin.at("/x", answer(&fields, "0123456789"));
    get(edge.address, "/x").await;
    for number in 0..50 {
        let range = format!("bytes={}-{}", number % 10, number % 10 + 1);
        let coding = format!("x-{number}, identity;q=0.{number}");
        let fields = [("Range", range.as_str()), ("Accept-Encoding", coding.as_str())];
        let reply = request(edge.address, "GET", "/x", &fields).await;
        assert_eq!(reply.status, 206);
    }
    assert_eq!(origin.asked_for("/x").len(), 1);
}
