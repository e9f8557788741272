//! Requests that are refused before the handler, as they come over the wire.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use sluicegate::server::door::Refusal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Server, exchange, h2_client, is_closed, read_all, settings, start, until, within};

async fn assert_refused(server: &Server, request: &[u8], status: u16, refusal: Refusal) {
    let before = server.counters.refused(refusal);
    let shown = String::from_utf8_lossy(&request[..request.len().min(120)]);
    let answer = exchange(server.http, request).await;
    assert_eq!(answer.split(' ').nth(1), Some(status.to_string().as_str()), "{shown:?} got {answer:?}");
    assert!(answer.contains("cache-control: no-store\r\n"), "{shown:?} got {answer:?}");
    assert!(answer.contains("connection: close\r\n"), "{shown:?} got {answer:?}");
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{shown:?} got {answer:?}");
    assert_eq!(server.counters.refused(refusal), before + 1, "{shown:?}");
}

/// Refused by hyper's parser.
async fn assert_bad(server: &Server, request: &[u8]) {
    let shown = String::from_utf8_lossy(&request[..request.len().min(120)]);
    let answer = exchange(server.http, request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{shown:?} got {answer:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown:?} got {answer:?}");
}

#[tokio::test]
async fn targets_beyond_the_limit_get_414_however_long() {
    let server = start(settings());
    for bytes in [8 * 1024, 20 * 1024, 45 * 1024, 70 * 1024, 300 * 1024] {
        let request = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(bytes));
        assert_refused(&server, request.as_bytes(), 414, Refusal::TargetTooLong).await;
    }
    let endless = format!("GET /{}", "a".repeat(100 * 1024));
    assert_refused(&server, endless.as_bytes(), 414, Refusal::TargetTooLong).await;
    let longest =
        format!("GET /{} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "a".repeat(8 * 1024 - 1));
    assert!(exchange(server.http, longest.as_bytes()).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn heads_beyond_the_limits_get_431() {
    let server = start(settings());
    let line = format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {}\r\n\r\n", "c".repeat(9000));
    assert_refused(&server, line.as_bytes(), 431, Refusal::HeaderLineTooLong).await;
    let section =
        format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", format!("A: {}\r\n", "b".repeat(7000)).repeat(5));
    assert_refused(&server, section.as_bytes(), 431, Refusal::HeaderSectionTooLarge).await;
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(64));
    assert_refused(&server, many.as_bytes(), 431, Refusal::TooManyHeaders).await;
}

#[tokio::test]
async fn hosts_that_are_missing_doubled_or_junk_get_400() {
    let server = start(settings());
    assert_refused(&server, b"GET / HTTP/1.1\r\n\r\n", 400, Refusal::HostMissing).await;
    assert_refused(&server, b"GET / HTTP/1.0\r\n\r\n", 400, Refusal::HostMissing).await;
    let doubled = b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n";
    assert_refused(&server, doubled, 400, Refusal::HostDoubled).await;
    for host in ["", "a b", "a/b", "u@a", "a:x", "a, b"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_refused(&server, request.as_bytes(), 400, Refusal::HostMalformed).await;
    }
    let other = b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_refused(&server, other, 400, Refusal::HostConflict).await;
}

#[tokio::test]
async fn odd_targets_and_methods_are_refused() {
    let server = start(settings());
    assert_refused(&server, b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, Refusal::Method).await;
    assert_refused(&server, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, Refusal::Method).await;
    assert_refused(&server, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, Refusal::TargetForm).await;
    assert_refused(&server, b"GET index.html HTTP/1.1\r\nHost: a\r\n\r\n", 400, Refusal::TargetForm).await;
    assert_refused(&server, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, Refusal::Fragment).await;
    assert_bad(&server, b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_bad(&server, b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_bad(&server, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_bad(&server, b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n").await;
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_refused() {
    let server = start(settings());
    let tail = "\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (headers, refusal) in [
        ("Content-Length: 3\r\nTransfer-Encoding: chunked", Refusal::LengthConflict),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3", Refusal::LengthConflict),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", Refusal::LengthConflict),
        ("Transfer-Encoding: gzip, chunked", Refusal::TransferEncoding),
        ("Transfer-Encoding: chunked, chunked", Refusal::TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Refusal::TransferEncoding),
        ("Content_Length: 3", Refusal::LookAlikeHeader),
        ("Transfer_Encoding: chunked", Refusal::LookAlikeHeader),
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{headers}\r\nConnection: close{tail}");
        assert_refused(&server, request.as_bytes(), 400, refusal).await;
    }
    assert_refused(&server, b"POST / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400, Refusal::FoldedLine)
        .await;
    assert_refused(&server, b"POST / HTTP/1.1\nHost: a\r\n\r\n", 400, Refusal::BareLineFeed).await;
    assert_refused(&server, b"GET / HTTP/1.1\r\nHost: a\r\nA: b\n\r\n", 400, Refusal::BareLineFeed).await;
    until(|| server.counters.open.value() == 0).await;
    assert_eq!(server.counters.requests.value(), 11);
    for headers in [
        "Content-Length : 3",
        "Content-Length\t: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 3",
        "Content-Length: +3",
        "Content-Length: 0x3",
        "Content-Length: -1",
        "Content-Length:",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "X: a\rb",
        "X: a\0b",
        ": x",
        "X",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{headers}{tail}");
        assert_bad(&server, request.as_bytes()).await;
    }
    assert_bad(&server, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    until(|| server.counters.open.value() == 0).await;
    assert_eq!(server.counters.requests.value(), 11, "none of these reached the service");
}

#[tokio::test]
async fn get_and_head_with_a_body_are_refused_and_closed() {
    let server = start(settings());
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 39\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 39\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    ] {
        assert_refused(&server, request.as_bytes(), 400, Refusal::UnexpectedBody).await;
    }
    let none = "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(server.http, none.as_bytes()).await;
    assert!(answer.contains("hello /a") && answer.ends_with("hello /b"), "{answer}");
}

#[tokio::test]
async fn a_fault_among_pipelined_requests_is_answered_in_its_place() {
    let server = start(settings());
    let requests = format!(
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /{}",
        "c".repeat(100 * 1024)
    );
    let answer = exchange(server.http, requests.as_bytes()).await;
    let places: Vec<_> = ["hello /a", "hello /b", "HTTP/1.1 414"].map(|part| answer.find(part)).to_vec();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 3, "{answer}");
}

#[tokio::test]
async fn an_upgrade_is_ignored() {
    let server = start(settings());
    for upgrade in
        ["h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "websocket\r\nSec-WebSocket-Version: 13"]
    {
        let request =
            format!("GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: {upgrade}\r\n\r\n");
        let answer = exchange(server.http, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello /a"), "{answer}");
    }
}

#[tokio::test]
async fn noise_is_no_request() {
    let server = start(settings());
    for noise in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], b"\xff\xfe\xfd\r\n\r\n", b"{}\r\n\r\n"]
    {
        assert_bad(&server, noise).await;
    }
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(b"GET /a HT").await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(read_all(&mut socket).await, "");
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.shutdown().await.unwrap();
    assert!(is_closed(&mut socket).await);
}

#[tokio::test]
async fn http2_is_refused_by_the_same_rules() {
    let server = start(settings());
    let (mut client, _connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    let long = format!("http://a/{}", "p".repeat(9000));
    let body = || Full::new(Bytes::from_static(b"body"));
    let cases = [
        (Request::get("http://a/").header("host", "b").body(Full::default()), 400, Refusal::HostConflict),
        (Request::get("http://u@a/").body(Full::default()), 400, Refusal::HostMalformed),
        (Request::get(long.as_str()).body(Full::default()), 414, Refusal::TargetTooLong),
        (Request::get("http://a/").body(body()), 400, Refusal::UnexpectedBody),
        (Request::trace("http://a/").body(Full::default()), 405, Refusal::Method),
        (
            Request::get("http://a/").header("content_length", "3").body(Full::default()),
            400,
            Refusal::LookAlikeHeader,
        ),
    ];
    for (request, status, refusal) in cases {
        let response = within(client.send_request(request.unwrap())).await.unwrap();
        assert_eq!(response.status(), StatusCode::from_u16(status).unwrap(), "{refusal}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(server.counters.refused(refusal), 1, "{refusal}");
    }
    let big = Request::get("http://a/").header("cookie", "c".repeat(20_000)).body(Full::default()).unwrap();
    let refused = within(client.send_request(big)).await;
    assert!(refused.is_ok_and(|response| response.status() == 431));
}
