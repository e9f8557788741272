//! HTTP at the edge: hosts, methods, CORS, TLS and versions, trusted proxies, the log, the operators' listener, the drain.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluicegate::app::App;
use sluicegate::clock::Clock;
use sluicegate::config;
use sluicegate::telemetry::diagnostics::Level;
use sluicegate::telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::client::{read_reply, send};
use crate::support::edge::{access_token, signed};
use crate::support::tls::{self, TestCertificate};
use crate::support::{Answer, KEY, Reply, START, TestEdge, TestOrigin, get, request};

const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlevel.m3u8\n";

async fn origin() -> TestOrigin {
    let origin = TestOrigin::start().await;
    origin.at("/m.m3u8", Answer::playlist(MULTIVARIANT));
    origin.at("/s.ts", Answer::ok("video/mp2t", "segment"));
    origin
}

fn property(name: &str, host: &str, origin: &TestOrigin) -> String {
    format!(
        "[[property]]\nname = \"{name}\"\nhosts = [\"{host}\"]\norigin = {{ urls = [\"http://{}\"] }}\n\
         access = {{ key = {{ hex = \"{KEY}\" }} }}\n",
        origin.address
    )
}

/// An app of which the test holds the end.
struct Running {
    plain: SocketAddr,
    secure: Option<SocketAddr>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

fn run(text: &str) -> Running {
    let metrics = Metrics::new();
    let clock = Clock::manual(Duration::from_secs(START));
    let parsed = config::parse(text, "test.toml", Path::new("."), &metrics, clock.now());
    let config = parsed.unwrap_or_else(|faults| panic!("{}", faults.lines().join("\n")));
    let app = App::build(config, metrics, clock, Level::of_nothing()).expect("an edge");
    let (plain, secure) = app.addresses().expect("addresses");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(app.run(shutdown.clone()));
    Running { plain: plain[0], secure: secure.first().copied(), shutdown, task }
}

impl Running {
    /// Begins the drain and waits for its end.
    async fn end(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("in time").expect("no panic");
    }
}

#[tokio::test]
async fn an_unknown_host_is_misdirected() {
    let origin = origin().await;
    let edge = TestEdge::with_config(&property("test", "*.edge.example", &origin)).await;
    let target = format!("/m.m3u8?{}", access_token("/*"));
    for host in ["other.example", "edge.example", "evil-edge.example", "127.0.0.1"] {
        let reply = request(edge.address, "GET", &target, &[("Host", host)]).await;
        assert_eq!(reply.status, 421, "{host}");
    }
    let absolute = format!("GET http://other.example{target} HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(send(edge.address, absolute.as_bytes(), false).await.status, 421);
    assert!(origin.asked().is_empty());
    let reply = request(edge.address, "GET", &target, &[("Host", "WWW.Edge.Example:8080")]).await;
    assert_eq!(reply.status, 200, "a host is a host on any port and in any case");
}

#[tokio::test]
async fn a_token_of_one_property_is_good_for_no_other() {
    let origin = origin().await;
    let text = property("one", "one.example", &origin) + &property("two", "two.example", &origin);
    let edge = TestEdge::with_config(&text).await;
    let target = format!("/m.m3u8?{}", access_token("/*"));
    let entry = request(edge.address, "GET", &target, &[("Host", "one.example")]).await;
    let child = format!("/{}", entry.uris().remove(0).replace("level.m3u8", "s.ts"));
    let ask = async |host| request(edge.address, "GET", &child, &[("Host", host)]).await.status;
    assert_eq!(ask("one.example").await, 200);
    assert_eq!(ask("two.example").await, 403, "the session keys are derived from the property's name");
}

#[tokio::test]
async fn only_get_head_and_options_are_served() {
    let origin = origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let target = format!("/s.ts?{}", access_token("/*"));
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "PURGE"] {
        let fields = [("Origin", "https://p.example"), ("Content-Length", "0")];
        let reply = request(edge.address, method, &target, &fields).await;
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.header("allow").as_deref(), Some("GET, HEAD, OPTIONS"));
        assert_eq!(reply.header("access-control-allow-origin").as_deref(), Some("https://p.example"));
    }
    for method in ["TRACE", "CONNECT"] {
        let target = if method == "CONNECT" { "origin:80" } else { target.as_str() };
        let reply = request(edge.address, method, target, &[("Host", "origin:80")]).await;
        assert!(matches!(reply.status, 400 | 405), "{method}: {}", reply.head);
    }
    let body =
        format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
    assert_eq!(send(edge.address, body.as_bytes(), false).await.status, 405);
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn permission_is_asked_for_without_a_token() {
    let origin = origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let preflight = [
        ("Origin", "https://p.example"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "range, hdntl, cmcd-request, x-own"),
    ];
    let reply = request(edge.address, "OPTIONS", "/m.m3u8", &preflight).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(reply.header("access-control-allow-origin").as_deref(), Some("https://p.example"));
    assert_eq!(reply.header("access-control-allow-credentials").as_deref(), Some("true"));
    assert_eq!(reply.header("access-control-allow-methods").as_deref(), Some("GET, HEAD, OPTIONS"));
    assert_eq!(reply.header("access-control-max-age").as_deref(), Some("86400"));
    let allowed = reply.header("access-control-allow-headers").expect("a list").to_ascii_lowercase();
    for name in ["origin", "range", "hdnts", "hdntl", "cmcd-request", "cmcd-object"] {
        assert!(allowed.split(", ").any(|listed| listed == name), "{name}: {allowed}");
    }
    assert!(!allowed.contains("x-own"), "{allowed}");
    let plain = request(edge.address, "OPTIONS", "/m.m3u8", &[]).await;
    assert_eq!((plain.status, plain.header("allow").as_deref()), (204, Some("GET, HEAD, OPTIONS")));
    let asterisk = request(edge.address, "OPTIONS", "*", &[]).await;
    assert_eq!(asterisk.status, 204);
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn pages_may_read_every_status() {
    let origin = origin().await;
    let part = [("content-range", "bytes 0-1/9"), ("access-control-allow-origin", "*"), ("vary", "Accept")];
    origin.at("/206.ts", Answer::with("206 Partial Content", &part, "se"));
    origin.at("/304.ts", Answer::with("304 Not Modified", &[], ""));
    origin.at("/302.ts", Answer::with("302 Found", &[("location", "https://elsewhere.example/s.ts")], ""));
    origin.at("/416.ts", Answer::with("416 Range Not Satisfiable", &[], ""));
    origin.at("/500.ts", Answer::with("500 Internal Server Error", &[], "oops"));
    origin.at("/502.ts", Answer::raw("nonsense"));
    origin.at("/502.m3u8", Answer::playlist("#EXTM3U\n").cut_after(3));
    let edge = TestEdge::start(&origin, "cache = { objects = false }").await;
    let token = access_token("/*");
    let fields = [("Origin", "https://p.example"), ("Range", "bytes=0-1"), ("If-None-Match", "\"x\"")];
    for (path, status) in [
        ("/s.ts", 200),
        ("/m.m3u8", 200),
        ("/206.ts", 206),
        ("/302.ts", 302),
        ("/304.ts", 304),
        ("/gone.ts", 404),
        ("/gone.m3u8", 404),
        ("/416.ts", 416),
        ("/500.ts", 500),
        ("/502.ts", 502),
        ("/502.m3u8", 502),
        ("/a%00b.ts", 400),
    ] {
        let reply = request(edge.address, "GET", &format!("{path}?{token}"), &fields).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.head);
        may_be_read(&reply, path);
    }
    let denied = request(edge.address, "GET", "/s.ts", &fields).await;
    assert_eq!(denied.status, 403);
    may_be_read(&denied, "without a token");
}

fn may_be_read(reply: &Reply, what: &str) {
    assert_eq!(reply.header("access-control-allow-origin").as_deref(), Some("https://p.example"), "{what}");
    assert_eq!(reply.header("access-control-allow-credentials").as_deref(), Some("true"), "{what}");
    assert_eq!(reply.header("timing-allow-origin").as_deref(), Some("https://p.example"), "{what}");
    let vary = reply.header("vary").expect("what it varies by");
    assert!(vary.split(',').any(|name| name.trim() == "Origin"), "{what}: {vary}");
    let exposed = reply.header("access-control-expose-headers").expect("a list");
    for name in ["hdntl", "Content-Length", "Content-Range", "Date", "Age", "ETag", "Cache-Status"] {
        assert!(exposed.split(", ").any(|listed| listed == name), "{what}: {exposed}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_than_listed_may_read_nothing() {
    let origin = TestOrigin::start().await;
    let star = [("content-type", "video/mp2t"), ("access-control-allow-origin", "*")];
    origin.at("/s.ts", Answer::with("200 OK", &star, "segment"));
    let edge = TestEdge::start(&origin, "cors = { origins = [\"https://p.example\"] }").await;
    let target = format!("/s.ts?{}", access_token("/*"));
    for (from, may) in [
        ("https://p.example", true),
        ("https://p.example.evil", false),
        ("http://p.example", false),
        ("null", false),
    ] {
        let reply = request(edge.address, "GET", &target, &[("Origin", from)]).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("access-control-allow-origin").is_some(), may, "{from}");
        assert_eq!(reply.header("vary").as_deref(), Some("Origin"));
    }
}

#[tokio::test]
async fn all_token_failures_look_alike() {
    let origin = origin().await;
    let text = property("test", "*", &origin);
    let edge = TestEdge::with_config(&text).await;
    let expired = signed(
        sluicegate::domain::token::edgeauth::sign::Target::Acl(vec!["/*".to_owned()]),
        START - 100,
        None,
        None,
    );
    let mut seen = Vec::new();
    for target in [
        "/s.ts".to_owned(),
        "/s.ts?hdnts=junk".to_owned(),
        format!("/s.ts?{expired}"),
        format!("/s.ts?{}", access_token("/other/*")),
        format!("/s.ts?{}0", access_token("/*")),
        "/hdntl=exp=1~acl=%2f*~hmac=00/s.ts".to_owned(),
    ] {
        let reply = get(edge.address, &target).await;
        assert_eq!(reply.status, 403, "{target}");
        assert!(!reply.head.contains("hmac") && !reply.text().contains("hmac"));
        let head: Vec<String> = reply
            .head
            .lines()
            .filter(|line| !line.starts_with("x-request-id") && !line.starts_with("date"))
            .map(str::to_owned)
            .collect();
        seen.push((head, reply.body));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn an_operator_is_told_the_reason() {
    let origin = origin().await;
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ text = \"let-me-in\" }}\n\
         [log]\naccess = \"off\"\n{}",
        property("test", "*", &origin)
    );
    let edge = TestEdge::with_text(&text).await;
    let told =
        async |token| request(edge.address, "GET", "/s.ts", &[("Sluicegate-Debug", token)]).await.reason();
    assert_eq!(told("let-me-in").await.as_deref(), Some("no_token"));
    assert_eq!(told("let-me-i").await, None);
    assert_eq!(told("").await, None);
}

/// One request over HTTP/2 or HTTP/1.1 within TLS, as the client's ALPN chooses.
async fn over_tls(
    running: &Running,
    authority: &Path,
    version: Version,
    target: &str,
) -> (Version, u16, String) {
    let alpn: &[&str] = if version == Version::HTTP_2 { &["h2"] } else { &["http/1.1"] };
    let address = running.secure.expect("a TLS listener");
    let io = TokioIo::new(tls::connect(address, authority, alpn).await);
    let ask = Request::get(format!("https://localhost:{}{target}", address.port())).version(version);
    let response = if version == Version::HTTP_2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        sender.send_request(ask.body(Full::<Bytes>::default()).expect("a request")).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        let ask = Request::get(target).header("host", format!("localhost:{}", address.port()));
        sender.send_request(ask.body(Full::<Bytes>::default()).expect("a request")).await
    };
    let response = response.expect("an answer");
    let (version, status) = (response.version(), response.status().as_u16());
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (version, status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn the_exchange_runs_over_tls_in_both_versions() {
    let origin = origin().await;
    let certificate = TestCertificate::new();
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n[log]\naccess = \"off\"\n\
         [[tls.certificate]]\ncert = \"{}\"\nkey = \"{}\"\n{}",
        certificate.certificate().display(),
        certificate.key().display(),
        property("test", "localhost", &origin)
    );
    let running = run(&text);
    let port = running.secure.expect("a TLS listener").port();
    let absolute = format!(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttps://localhost:{port}/s.ts\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhttp://localhost:{port}/weaker.ts\n"
    );
    origin.at("/abs.m3u8", Answer::playlist(&absolute));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let ask = async |target: &str| over_tls(&running, &certificate.authority(), version, target).await;
        let (answered, status, _) = ask("/m.m3u8").await;
        assert_eq!((answered, status), (version, 403));
        let (_, status, body) = ask(&format!("/abs.m3u8?{}", access_token("/*"))).await;
        assert_eq!(status, 200);
        let (own, weaker) = (body.lines().nth(2).expect("own"), body.lines().nth(4).expect("weaker"));
        assert_eq!(
            weaker,
            format!("http://localhost:{port}/weaker.ts"),
            "no token goes where all can read it"
        );
        let path = own.strip_prefix(&format!("https://localhost:{port}")).expect("our own");
        assert!(path.starts_with("/hdntl="), "{path}");
        let (_, status, body) = ask(path).await;
        assert_eq!((status, body.as_str()), (200, "segment"));
    }
    let asked = origin.asked_for("/s.ts").remove(0);
    assert_eq!(asked.header("x-forwarded-proto").as_deref(), Some("https"));
    running.end().await;
}

#[tokio::test]
async fn http2_by_prior_knowledge_passes_a_cookie_in_pieces() {
    let origin = origin().await;
    let edge = TestEdge::start(&origin, "session = { carrier = \"cookie\" }").await;
    let entry = get(edge.address, &format!("/m.m3u8?{}", access_token("/*"))).await;
    let cookie = entry.header("set-cookie").expect("a cookie");
    let io = TokioIo::new(TcpStream::connect(edge.address).await.expect("the edge listens"));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    tokio::spawn(connection);
    // RFC 9113 §8.2.3: a client may send each pair of a cookie as a field of its own.
    let ask = Request::get(format!("http://{}/s.ts", edge.address))
        .header("cookie", "theme=dark")
        .header("cookie", cookie.split(';').next().expect("a pair"))
        .body(Full::<Bytes>::default())
        .expect("a request");
    let response = sender.send_request(ask).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(origin.asked_for("/s.ts")[0].header("cookie"), None);
}

#[tokio::test]
async fn headers_of_a_trusted_proxy_are_believed_and_of_nobody_else() {
    let origin = origin().await;
    let claims = [
        ("X-Forwarded-For", "203.0.113.7, 127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Request-Id", "0123456789abcdef"),
        ("Host", "edge.example"),
    ];
    for (trusted, address, scheme) in
        [("127.0.0.0/8", "203.0.113.7", "https"), ("192.0.2.0/24", "127.0.0.1", "http")]
    {
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"{trusted}\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [log]\naccess = \"off\"\n{}",
            property("test", "*", &origin)
        );
        let edge = TestEdge::with_text(&text).await;
        let reply = request(edge.address, "GET", &format!("/s.ts?{}", access_token("/*")), &claims).await;
        let asked = origin.asked().pop().expect("a request");
        assert_eq!(asked.header("x-forwarded-for").as_deref(), Some(address));
        assert_eq!(asked.header("x-forwarded-proto").as_deref(), Some(scheme));
        let is_kept = reply.header("x-request-id").as_deref() == Some("0123456789abcdef");
        assert_eq!(is_kept, scheme == "https");
    }
}

#[tokio::test]
async fn the_access_log_tells_all_but_the_tokens() {
    let origin = origin().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("access.log");
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[log]\naccess = \"{}\"\nformat = \"json\"\n{}",
        file.display(),
        property("test", "*", &origin)
    );
    let running = run(&text);
    let agent = ("User-Agent", "a \"player\"\\1");
    let entry = request(running.plain, "GET", &format!("/m.m3u8?v=1&{}", access_token("/*")), &[agent]).await;
    let child = format!("/{}", entry.uris().remove(0).replace("level.m3u8", "s.ts"));
    assert_eq!(request(running.plain, "GET", &child, &[("Referer", &child)]).await.status, 200);
    assert_eq!(get(running.plain, &child.replace("hmac=", "hmac=0")).await.status, 403);
    let mark = "?hdnts=exp=1~hmac=abcdef";
    assert_eq!(get(running.plain, &format!("/a%22%7b.ts{mark}")).await.status, 403);
    assert_eq!(get(running.plain, &format!("/a%0d%0a{{%22x%22:1}}.ts{mark}")).await.status, 400);
    running.end().await;

    let log = std::fs::read_to_string(&file).expect("a log");
    assert!(!log.contains("hmac") && !log.contains("acl="), "{log}");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 5);
    let first = &lines[0];
    for (name, value) in [
        ("time", "2023-11-14T22:13:20.000Z"),
        ("client", "127.0.0.1"),
        ("property", "test"),
        ("method", "GET"),
        ("scheme", "http"),
        ("host", "127.0.0.1"),
        ("path", "/m.m3u8"),
        ("query", "v=1&hdnts=[redacted]"),
        ("kind", "multivariant"),
        ("cache", "miss"),
        ("carrier", "path"),
        ("agent", "a \"player\"\\1"),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    assert_eq!(first["request"], entry.header("x-request-id").expect("an id"));
    assert_eq!((first["status"].as_u64(), first["complete"].as_bool()), (Some(200), Some(true)));
    assert_eq!(first["bytes"].as_u64(), Some(entry.body.len() as u64));
    assert!(first["duration_ms"].as_f64() >= first["first_byte_ms"].as_f64());
    assert_eq!((lines[1]["path"].as_str(), lines[1]["kind"].as_str()), (Some("/s.ts"), Some("segment")));
    assert_eq!(lines[1]["bytes"].as_u64(), Some(7));
    assert_eq!((lines[2]["status"].as_u64(), lines[2]["path"].as_str()), (Some(403), Some("/s.ts")));
    assert!(lines[2]["reason"].is_string() && lines[3]["reason"].is_string());
    assert_eq!(
        (lines[3]["query"].as_str(), lines[4]["query"].as_str()),
        (Some("hdnts=[redacted]"), Some("hdnts=[redacted]"))
    );
    assert_eq!(lines[4]["status"], 400);
}

#[tokio::test]
async fn a_body_that_was_not_sent_whole_is_logged_so() {
    let origin = origin().await;
    origin.at("/cut.ts", Answer::ok("video/mp2t", vec![0x47; 100]).cut_after(40));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("access.log");
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[log]\naccess = \"{}\"\nformat = \"json\"\n{}",
        file.display(),
        property("test", "*", &origin)
    );
    let running = run(&text);
    assert!(get(running.plain, &format!("/cut.ts?{}", access_token("/*"))).await.is_cut);
    running.end().await;
    let log = std::fs::read_to_string(&file).expect("a log");
    let line: serde_json::Value = serde_json::from_str(log.trim()).expect("JSON");
    assert_eq!((line["complete"].as_bool(), line["bytes"].as_u64()), (Some(false), Some(40)));
}

#[tokio::test]
async fn a_drain_lets_what_runs_finish_and_takes_nothing_new() {
    let origin = origin().await;
    let gate = Arc::new(Notify::new());
    origin.at("/held.ts", Answer::ok("video/mp2t", "the whole segment").gated(gate.clone()));
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\ndrain_timeout = \"15s\"\n[log]\naccess = \"off\"\n{}",
        property("test", "*", &origin)
    );
    let running = run(&text);
    let mut idle = TcpStream::connect(running.plain).await.expect("the edge listens");
    idle.write_all(b"GET /s.ts HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    assert_eq!(read_reply(&mut idle, false).await.status, 403);
    let address = running.plain;
    let held = tokio::spawn(async move { get(address, &format!("/held.ts?{}", access_token("/*"))).await });
    origin.until(|origin| !origin.asked_for("/held.ts").is_empty()).await;
    running.shutdown.cancel();
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0, "an idle connection is closed");
    assert!(!running.task.is_finished(), "a request runs");
    // The listener closes when the drain begins.
    let refused = async {
        while let Ok(mut late) = TcpStream::connect(address).await {
            // In the backlog when the listener closed.
            let _ = late.read(&mut [0]).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.expect("nothing new is taken");
    while !held.is_finished() {
        gate.notify_waiters();
        tokio::task::yield_now().await;
    }
    let reply = held.await.expect("an answer");
    assert_eq!((reply.status, reply.text().as_str(), reply.is_cut), (200, "the whole segment", false));
    tokio::time::timeout(Duration::from_secs(10), running.task).await.expect("it ends").expect("no panic");
    origin.until(|origin| origin.closed() > 0).await;
}

#[tokio::test]
async fn the_operators_listener_asks_for_its_token() {
    let origin = origin().await;
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ text = \"let-me-in\" }}\n\
         [log]\naccess = \"off\"\n{}",
        property("test", "*", &origin)
    );
    let edge = TestEdge::with_text(&text).await;
    let health = get(edge.admin, "/healthz").await;
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));
    for shown in
        ["", "Bearer", "Bearer let-me-i", "Bearer let-me-inn", "Basic let-me-in", "bearer: let-me-in"]
    {
        let reply = request(edge.admin, "GET", "/metrics", &[("Authorization", shown)]).await;
        assert_eq!(
            (reply.status, reply.header("www-authenticate").as_deref()),
            (401, Some("Bearer")),
            "{shown}"
        );
        assert!(!reply.text().contains("sluicegate_"));
    }
    let shown = [("Authorization", "Bearer let-me-in")];
    let metrics = request(edge.admin, "GET", "/metrics", &shown).await;
    assert!(metrics.text().contains("sluicegate_requests_total{property=\"test\""), "{}", metrics.text());
    assert!(metrics.text().ends_with("# EOF\n"));
    assert!(!metrics.text().contains(KEY) && !metrics.text().contains("let-me-in"));
    assert_eq!(request(edge.admin, "GET", "/nothing", &shown).await.status, 404);
    assert_eq!(request(edge.admin, "POST", "/metrics", &shown).await.status, 405);
}

#[tokio::test]
async fn nothing_of_the_operators_is_on_the_public_listener() {
    let origin = origin().await;
    let edge = TestEdge::open(&format!("urls = [\"http://{}\"]", origin.address), "").await;
    for path in ["/healthz", "/metrics"] {
        let reply = get(edge.address, path).await;
        assert_eq!((reply.status, reply.text().as_str()), (404, "no such thing\n"), "it is the origin's");
    }
    assert_eq!(origin.asked().len(), 2);
}
