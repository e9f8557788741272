//! What goes on to the origin and what comes back of headers, addresses and redirects; origins behind TLS.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::client::send;
use crate::support::edge::access_token;
use crate::support::origin::Asked;
use crate::support::script::ScriptedOrigin;
use crate::support::tls::{self, TestCertificate};
use crate::support::{Answer, TestEdge, TestOrigin, get, request};

async fn origin() -> TestOrigin {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", Answer::ok("video/mp2t", "segment"));
    origin
}

/// The origin's settings in a property: its URL and further keys.
fn urls(origin: &TestOrigin, more: &str) -> String {
    format!("urls = [\"http://{}\"]{more}", origin.address)
}

/// What the origin saw of a request with these fields.
async fn seen(origin_keys: &str, extra: &str, fields: &[(&str, &str)]) -> Asked {
    let origin = origin().await;
    let edge = TestEdge::open(&urls(&origin, origin_keys), extra).await;
    let reply = request(edge.address, "GET", "/s.ts", fields).await;
    assert_eq!(reply.status, 200, "{}", reply.head);
    origin.asked().remove(0)
}

#[tokio::test]
async fn hop_by_hop_fields_go_no_further_in_either_direction() {
    let origin = TestOrigin::start().await;
    let fields = [
        ("content-type", "video/mp2t"),
        ("connection", "x-one-hop"),
        ("x-one-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("trailer", "x-t"),
        ("upgrade", "h3"),
        ("x-end-to-end", "2"),
    ];
    origin.at("/s.ts", Answer::with("200 OK", &fields, "segment"));
    let edge = TestEdge::open(&urls(&origin, ""), "").await;
    let bytes = b"GET /s.ts HTTP/1.1\r\nHost: h\r\nConnection: close, X-Mine, Host, X-Forwarded-For\r\nX-Mine: 1\r\n\
        Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: websocket\r\nProxy-Authorization: x\r\nProxy-Connection: a\r\nX-Kept: 2\r\n\r\n";
    let reply = send(edge.address, bytes, false).await;
    assert_eq!(reply.text(), "segment");
    for name in ["x-one-hop", "keep-alive", "proxy-authenticate", "trailer", "upgrade"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    assert_eq!(reply.header("x-end-to-end").as_deref(), Some("2"));
    let asked = origin.asked().remove(0);
    for name in ["x-mine", "keep-alive", "te", "upgrade", "proxy-authorization", "proxy-connection"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    assert_eq!(asked.header("x-kept").as_deref(), Some("2"));
    assert_eq!(asked.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_viewer_cannot_hide_a_cookie_from_the_check_by_naming_it_in_connection() {
    let origin = origin().await;
    let extra =
        format!("access = {{ key = {{ hex = \"{}\" }}, locations = [\"cookie\"] }}", crate::support::KEY);
    let edge = TestEdge::start(&origin, &extra).await;
    let head = format!(
        "GET /s.ts HTTP/1.1\r\nHost: h\r\nConnection: close, Cookie\r\nCookie: {}\r\n\r\n",
        access_token("/*")
    );
    assert_eq!(send(edge.address, head.as_bytes(), false).await.status, 200);
    assert_eq!(origin.asked()[0].header("cookie"), None);
}

#[tokio::test]
async fn the_origin_learns_of_the_viewer_as_configured() {
    let claims = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6"),
        ("Host", "edge.example"),
    ];
    let asked = seen("", "", &claims).await;
    assert_eq!(asked.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(asked.header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(asked.header("x-forwarded-host").as_deref(), Some("edge.example"));
    assert_eq!(asked.header("x-real-ip"), None);
    assert_eq!(asked.header("forwarded"), None);
    let asked = seen(", forwarded = \"forwarded\"", "", &claims).await;
    assert_eq!(asked.header("forwarded").as_deref(), Some("for=127.0.0.1;proto=http;host=\"edge.example\""));
    assert_eq!(asked.header("x-forwarded-for"), None);
    let asked = seen(", forwarded = \"off\"", "", &claims).await;
    assert!(
        !asked.head.contains("6.6.6.6") && !asked.head.contains("127.0.0.1\r\nx-forwarded"),
        "{}",
        asked.head
    );
}

#[tokio::test]
async fn the_host_is_the_origins_own_or_as_configured() {
    let origin = origin().await;
    let edge = TestEdge::open(&urls(&origin, ""), "").await;
    request(edge.address, "GET", "/s.ts", &[("Host", "edge.example")]).await;
    assert_eq!(origin.asked()[0].header("host"), Some(origin.address.to_string()));
    let asked = seen(", host = \"media.internal\"", "", &[("Host", "edge.example")]).await;
    assert_eq!(asked.header("host").as_deref(), Some("media.internal"));
}

#[tokio::test]
async fn via_names_the_edge_in_both_directions() {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", Answer::with("200 OK", &[("via", "1.1 inner"), ("content-type", "video/mp2t")], "s"));
    let edge = TestEdge::open(&urls(&origin, ""), "").await;
    let reply = request(edge.address, "GET", "/s.ts", &[("Via", "1.0 outer")]).await;
    assert_eq!(reply.header("via").as_deref(), Some("1.1 inner, 1.1 sluicegate"));
    assert_eq!(origin.asked()[0].header("via").as_deref(), Some("1.0 outer, 1.1 sluicegate"));
}

#[tokio::test]
async fn what_caches_before_the_edge_said_stays() {
    let origin = TestOrigin::start().await;
    let fields =
        [("content-type", "video/mp2t"), ("cache-status", "shield; hit"), ("cache-control", "max-age=9")];
    origin.at("/s.ts", Answer::with("200 OK", &fields, "segment"));
    let edge = TestEdge::open(&urls(&origin, ""), "").await;
    let reply = get(edge.address, "/s.ts").await;
    assert_eq!(
        reply.header("cache-status").as_deref(),
        Some("shield; hit, sluicegate; fwd=uri-miss; ttl=9; stored")
    );
    assert_eq!(
        reply.header("cache-control").as_deref(),
        Some("max-age=9"),
        "segments keep the origin's leave"
    );
}

#[tokio::test]
async fn no_referrer_and_no_cookie_but_those_listed_reach_the_origin() {
    let fields = [
        ("Referer", "https://page.example/?hdnts=exp=1~hmac=00"),
        ("Cookie", "hdntl=exp=1~hmac=00; lang=de; other=1"),
        ("Cookie", "lang2=x"),
        ("Sluicegate-Token", "valid"),
        ("hdnts", "exp=1~hmac=00"),
    ];
    let asked = seen(", cookies = [\"lang\"]", "", &fields).await;
    assert_eq!(asked.header("cookie").as_deref(), Some("lang=de"));
    for name in ["referer", "sluicegate-token"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    assert_eq!(seen("", "", &fields).await.header("cookie"), None);
}

#[tokio::test]
async fn no_token_reaches_the_origin_from_any_place() {
    let origin = origin().await;
    origin.at("/m.m3u8", Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\ns.ts\n"));
    for carrier in ["path", "query", "cookie", "header", "auto"] {
        let edge = TestEdge::start(&origin, &format!("session = {{ carrier = \"{carrier}\" }}")).await;
        let entry = get(edge.address, &format!("/m.m3u8?a=1&{}&b=2", access_token("/*"))).await;
        assert_eq!(entry.status, 200, "{carrier}");
        let child = format!("/{}", entry.uris().remove(0));
        let cookie = entry.header("set-cookie").unwrap_or_default();
        let cookie = cookie.split(';').next().unwrap_or_default();
        let held = entry.header("hdntl").unwrap_or_default();
        let fields = [("Cookie", cookie), ("hdntl", held.as_str()), ("Referer", child.as_str())];
        let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        assert_eq!(request(edge.address, "GET", &child, &fields).await.text(), "segment", "{carrier}");
    }
    for asked in origin.asked() {
        for word in ["hdnt", "hmac", "exp="] {
            assert!(!asked.head.contains(word), "{}", asked.head);
        }
    }
    assert_eq!(origin.asked_for("/m.m3u8")[0].target(), "/m.m3u8?a=1&b=2");
}

#[tokio::test]
async fn accept_encoding_has_few_values_at_the_origin() {
    for (sent, arrives) in [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("br, deflate", "br"),
        ("gzip;q=0.5, deflate", "gzip"),
        ("deflate, x-own", "identity"),
        ("zstd;q=0, br;q=0, gzip;q=0", "identity"),
        ("", "identity"),
    ] {
        let asked = seen("", "", &[("Accept-Encoding", sent)]).await;
        assert_eq!(asked.header("accept-encoding").as_deref(), Some(arrives), "{sent}");
    }
    assert_eq!(seen("", "", &[]).await.header("accept-encoding").as_deref(), Some("identity"));
}

/// Where the edge sends a viewer when the origin says `location`.
async fn redirected(location: &str, prefix: &str) -> String {
    let origin = TestOrigin::start().await;
    let location = location.replace("ORIGIN", &origin.address.to_string());
    let answer = Answer::with("302 Found", &[("location", &location)], "");
    origin.at(&format!("{prefix}/v/s.ts"), answer);
    let keys = format!("urls = [\"http://{}{prefix}\"]", origin.address);
    let edge = TestEdge::open(&keys, "").await;
    let reply = get(edge.address, "/v/s.ts").await;
    assert_eq!(reply.status, 302);
    reply.header("location").expect("a place")
}

#[tokio::test]
async fn a_redirect_of_the_origin_to_itself_stays_on_this_site() {
    assert_eq!(redirected("http://ORIGIN/w/s.ts?x=1#f", "").await, "/w/s.ts?x=1#f");
    assert_eq!(redirected("HTTP://ORIGIN/w/s.ts", "").await, "/w/s.ts");
    assert_eq!(redirected("//ORIGIN/w/s.ts", "").await, "/w/s.ts");
    assert_eq!(redirected("http://ORIGIN", "").await, "/");
    assert_eq!(redirected("http://ORIGIN?x=1", "").await, "/?x=1");
    assert_eq!(redirected("http://ORIGIN//evil.example/", "").await, "/evil.example/");
    assert_eq!(redirected("/w/s.ts", "").await, "/w/s.ts");
    assert_eq!(redirected("s2.ts", "").await, "s2.ts");
}

#[tokio::test]
async fn a_redirect_below_the_origins_prefix_loses_the_prefix() {
    assert_eq!(redirected("http://ORIGIN/live/w/s.ts", "/live").await, "/w/s.ts");
    assert_eq!(redirected("/live/w/s.ts", "/live").await, "/w/s.ts");
    assert_eq!(redirected("/live", "/live").await, "/");
    assert_eq!(redirected("/lively/s.ts", "/live").await, "/lively/s.ts");
}

#[tokio::test]
async fn a_redirect_elsewhere_is_passed_on_without_any_token() {
    assert_eq!(redirected("https://other.example/s.ts", "").await, "https://other.example/s.ts");
    let origin = TestOrigin::start().await;
    origin.at("/m.m3u8", Answer::with("302 Found", &[("location", "https://other.example/m.m3u8")], ""));
    for carrier in ["path", "query", "auto"] {
        let edge = TestEdge::start(&origin, &format!("session = {{ carrier = \"{carrier}\" }}")).await;
        let reply = get(edge.address, &format!("/m.m3u8?{}", access_token("/*"))).await;
        assert_eq!(reply.header("location").as_deref(), Some("https://other.example/m.m3u8"));
        assert!(!reply.head.contains("hmac"), "{}", reply.head);
    }
}

#[tokio::test]
async fn the_prefix_of_the_origin_stands_before_the_path() {
    let origin = TestOrigin::start().await;
    origin.at("/deep/er/v/s.ts", Answer::ok("video/mp2t", "segment"));
    let edge = TestEdge::open(&format!("urls = [\"http://{}/deep/er/\"]", origin.address), "").await;
    assert_eq!(get(edge.address, "/v/s.ts?a=1").await.text(), "segment");
    assert_eq!(origin.asked()[0].target(), "/deep/er/v/s.ts?a=1");
}

#[tokio::test]
async fn an_origin_behind_a_private_authority_is_trusted_when_that_is_given() {
    let origin = origin().await;
    let certificate = TestCertificate::new();
    let secure = tls::in_front_of(origin.address, &certificate).await;
    let authority = certificate.authority();
    let keys = format!("urls = [\"https://{secure}\"], ca = \"{}\"", authority.display());
    let edge = TestEdge::open(&keys, "").await;
    assert_eq!(get(edge.address, "/s.ts").await.text(), "segment");

    let other = TestCertificate::new();
    for keys in [
        format!("urls = [\"https://{secure}\"]"),
        format!("urls = [\"https://{secure}\"], ca = \"{}\"", other.authority().display()),
    ] {
        let edge = TestEdge::open(&keys, "").await;
        let reply = request(edge.address, "GET", "/s.ts", &[("Origin", "https://p.example")]).await;
        assert_eq!(reply.status, 502, "{keys}");
        assert!(reply.header("access-control-allow-origin").is_some());
        assert_eq!(edge.metric("origin_errors_total", ",cause=\"unreachable\"").await, 1);
    }
    assert_eq!(origin.asked().len(), 1, "nothing was asked over a connection that is not trusted");
}

#[tokio::test]
async fn an_origin_whose_certificate_is_for_another_name_is_not_trusted() {
    let origin = origin().await;
    let certificate = TestCertificate::new();
    let secure = tls::in_front_of(origin.address, &certificate).await;
    let keys = format!(
        "urls = [\"https://[::ffff:127.0.0.1]:{}\"], ca = \"{}\"",
        secure.port(),
        certificate.authority().display()
    );
    let edge = TestEdge::open(&keys, "").await;
    assert_eq!(get(edge.address, "/s.ts").await.status, 502);
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn requests_beyond_the_limit_wait_and_are_then_turned_away() {
    let origin = ScriptedOrigin::start(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: video/mp2t\r\ncontent-length: 40\r\n\r\nfirst half, 20 bytes")
            .await;
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await;
    })
    .await;
    let keys = format!("urls = [\"http://{}\"], fetches_max = 1, queue_timeout = \"200ms\"", origin.address);
    let edge = TestEdge::open(&keys, "cache = { objects = false }").await;
    let mut holder = tokio::net::TcpStream::connect(edge.address).await.expect("the edge listens");
    holder.write_all(b"GET /a.ts HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    let mut piece = [0; 1024];
    assert!(tokio::io::AsyncReadExt::read(&mut holder, &mut piece).await.expect("a head") > 0);
    let reply = get(edge.address, "/b.ts").await;
    assert_eq!(reply.status, 503);
    assert_eq!(edge.metric("origin_errors_total", ",cause=\"busy\"").await, 1);
    drop(holder);
    let served = async {
        loop {
            let mut next = tokio::net::TcpStream::connect(edge.address).await.expect("the edge listens");
            next.write_all(b"GET /c.ts HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
            let read = tokio::io::AsyncReadExt::read(&mut next, &mut piece).await.expect("a head");
            if piece[..read].starts_with(b"HTTP/1.1 200") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), served).await.expect("the place of who left is free");
}
