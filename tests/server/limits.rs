//! Limits on connections: number, time, rate.

use std::time::Duration;

use http_body_util::BodyExt;
use sluicegate::server::door::Refusal;
use sluicegate::server::settings::{H2Limits, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    BIG_BYTES, certificate, connect_tls, connector, exchange, get, h2_client, is_closed, read_all,
    read_answer, settings, start, text, tls_settings, until, with_limits, within,
};

const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn a_head_that_does_not_come_or_end_closes_the_connection() {
    let limits = Limits { header_read_timeout: SHORT, ..Limits::default() };
    let server = start(with_limits(limits));
    for start_of_head in [&b""[..], b"PRI * HT", b"GET /a HTTP/1.1\r\nHost:"] {
        let mut socket = TcpStream::connect(server.http).await.unwrap();
        socket.write_all(start_of_head).await.unwrap();
        assert!(is_closed(&mut socket).await);
    }
    assert_eq!(server.counters.header_timeouts.value(), 3);
}

#[tokio::test]
async fn the_head_of_a_later_request_has_the_same_limit() {
    let limits = Limits { header_read_timeout: SHORT, ..Limits::default() };
    let server = start(with_limits(limits));
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HT").await.unwrap();
    read_answer(&mut socket, "hello /a").await;
    assert!(is_closed(&mut socket).await);
    assert_eq!(server.counters.header_timeouts.value(), 1);
}

#[tokio::test]
async fn a_tls_handshake_has_a_limit() {
    let (loaded, _) = certificate(&["a.test"]);
    let limits = Limits { tls_handshake_timeout: SHORT, ..Limits::default() };
    let server = start(tls_settings(limits, &[loaded]));
    for start_of_hello in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut socket = TcpStream::connect(server.https.unwrap()).await.unwrap();
        socket.write_all(start_of_hello).await.unwrap();
        assert!(is_closed(&mut socket).await);
    }
    assert_eq!(server.counters.tls_handshakes_timed_out.value(), 2);
    exchange(server.https.unwrap(), b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(server.counters.tls_handshakes_failed.value(), 1);
}

#[tokio::test]
async fn a_stalled_handshake_holds_nobody_else() {
    let (loaded, root) = certificate(&["a.test"]);
    let server = start(tls_settings(Limits::default(), &[loaded]));
    let _silent = TcpStream::connect(server.https.unwrap()).await.unwrap();
    let connector = connector(&[root], &[]);
    within(connect_tls(server.https.unwrap(), &connector, "a.test")).await.unwrap();
}

#[tokio::test]
async fn idle_connections_close_in_both_versions() {
    let limits = Limits { idle_timeout_h1: SHORT, idle_timeout_h2: SHORT, ..Limits::default() };
    let server = start(with_limits(limits));
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    read_answer(&mut socket, "hello /a").await;
    assert!(is_closed(&mut socket).await);

    let (mut client, connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    within(client.send_request(get("http://h/a"))).await.unwrap();
    within(connection).await.unwrap().unwrap();
    assert_eq!(server.counters.idle_timeouts.value(), 2);
    until(|| server.counters.open.value() == 0).await;
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_the_idle_limit_comes() {
    let limits = Limits { idle_timeout_h1: SHORT, header_read_timeout: SHORT, ..Limits::default() };
    let server = start(with_limits(limits));
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(b"GET /gate HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    server.arrived.acquire().await.unwrap().forget();
    tokio::time::sleep(SHORT * 3).await;
    server.gate.add_permits(1);
    read_answer(&mut socket, "through the gate").await;
}

#[tokio::test]
async fn one_address_has_only_its_share_of_connections() {
    let limits = Limits { connections_per_address_max: 2, ..Limits::default() };
    let server = start(with_limits(limits));
    let first = TcpStream::connect(server.http).await.unwrap();
    let _second = TcpStream::connect(server.http).await.unwrap();
    let mut third = TcpStream::connect(server.http).await.unwrap();
    assert!(is_closed(&mut third).await);
    assert_eq!(server.counters.refused_by_address.value(), 1);
    drop(first);
    until(|| server.counters.open.value() == 1).await;
    let request = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert!(exchange(server.http, request).await.ends_with("hello /a"));
}

#[tokio::test]
async fn streams_of_an_address_are_limited_over_all_its_connections() {
    let server = start(with_limits(Limits { streams_per_address_max: 2, ..Limits::default() }));
    let (mut first, _one) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    let (mut second, _two) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    let held = [first.send_request(get("http://h/gate")), second.send_request(get("http://h/gate"))]
        .map(tokio::spawn);
    server.arrived.acquire_many(2).await.unwrap().forget();
    let refused = within(first.send_request(get("http://h/a"))).await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()),
        (429, b"1".as_slice())
    );
    assert_eq!(server.counters.refused(Refusal::TooManyStreams), 1);
    // A connection of HTTP/1.1 has one request at a time, and connections are limited.
    let plain = exchange(server.http, b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert!(plain.ends_with("hello /a"), "{plain}");
    server.gate.add_permits(2);
    for stream in held {
        let response = within(stream).await.unwrap().unwrap();
        assert_eq!(text(response).await, "through the gate");
    }
    let response = within(second.send_request(get("http://h/a"))).await.unwrap();
    assert_eq!(text(response).await, "hello /a");
}

#[tokio::test]
async fn a_stream_that_its_client_resets_gives_its_place_back() {
    let server = start(with_limits(Limits { streams_per_address_max: 1, ..Limits::default() }));
    let (mut client, _connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    let held = tokio::spawn(client.send_request(get("http://h/gate")));
    server.arrived.acquire().await.unwrap().forget();
    held.abort();
    // The reset is on its way before the next request, but its stream's task may end later.
    let freed = async { while client.send_request(get("http://h/a")).await.unwrap().status() == 429 {} };
    within(freed).await;
}

#[tokio::test]
async fn all_connections_together_are_limited() {
    let limits = Limits { connections_max: Some(1), ..Limits::default() };
    let server = start(with_limits(limits));
    let _first = TcpStream::connect(server.http).await.unwrap();
    let mut second = TcpStream::connect(server.http).await.unwrap();
    assert!(is_closed(&mut second).await);
    assert_eq!(server.counters.refused_by_total.value(), 1);
}

#[tokio::test]
async fn a_connection_serves_only_so_many_requests() {
    let limits = Limits { requests_max_h1: 2, requests_max_h2: 2, ..Limits::default() };
    let server = start(with_limits(limits));
    let request = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    let answer = exchange(server.http, request.repeat(3).as_bytes()).await;
    assert_eq!(answer.matches("hello /a").count(), 2, "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");

    let (mut client, connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    for _ in 0..2 {
        let response = within(client.send_request(get("http://h/a"))).await.unwrap();
        assert_eq!(text(response).await, "hello /a");
    }
    within(connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off() {
    let limits = Limits { stalled_write_timeout: SHORT, ..Limits::default() };
    let server = start(with_limits(limits));
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    until(|| server.counters.stalled_writes.value() == 1).await;
    until(|| server.counters.open.value() == 0).await;
    let mut rest = Vec::new();
    let _ = within(socket.read_to_end(&mut rest)).await;
    assert!(rest.len() < BIG_BYTES);
}

#[tokio::test]
async fn a_tls_client_that_stops_reading_is_cut_off() {
    let (loaded, root) = certificate(&["a.test"]);
    let limits = Limits { stalled_write_timeout: SHORT, ..Limits::default() };
    let server = start(tls_settings(limits, &[loaded]));
    let connector = connector(&[root], &["http/1.1"]);
    let mut session = connect_tls(server.https.unwrap(), &connector, "a.test").await.unwrap();
    session.write_all(b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    until(|| server.counters.stalled_writes.value() == 1).await;
    assert!(read_all(&mut session).await.len() < BIG_BYTES);
}

#[tokio::test]
async fn absurd_limits_of_http2_do_not_panic() {
    let h2 = H2Limits {
        stream_window_bytes: u32::MAX,
        connection_window_bytes: u32::MAX,
        send_buffer_bytes_max: usize::MAX,
        ..H2Limits::default()
    };
    let server = start(with_limits(Limits { h2, ..Limits::default() }));
    let (mut client, _connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    let response = within(client.send_request(get("http://h/a"))).await.unwrap();
    assert_eq!(text(response).await, "hello /a");
}

#[tokio::test]
async fn a_http2_client_that_gives_no_window_is_cut_off() {
    let limits = Limits { stalled_write_timeout: SHORT, ..Limits::default() };
    let server = start(with_limits(limits));
    let (mut client, _connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    // hyper's client takes frames up to its window, and no more while the body is not read.
    let response = within(client.send_request(get("http://h/frames"))).await.unwrap();
    until(|| server.counters.stalled_writes.value() == 1).await;
    assert!(within(response.into_body().collect()).await.is_err());
}

#[tokio::test]
async fn a_http2_client_that_leaves_the_end_of_a_body_is_idle() {
    let limits = Limits { idle_timeout_h2: SHORT, header_read_timeout: SHORT, ..Limits::default() };
    let server = start(with_limits(limits));
    let (mut client, _connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    // One frame: the handler is done with it at once, the rest waits in the connection's buffers.
    let response = within(client.send_request(get("http://h/big"))).await.unwrap();
    until(|| server.counters.open.value() == 0).await;
    assert_eq!(server.counters.idle_timeouts.value(), 1);
    assert!(within(response.into_body().collect()).await.is_err());
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_cut_off() {
    let limits = Limits {
        least_rate: 1024 * 1024 * 1024,
        least_rate_window: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = start(with_limits(limits));
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut taken = 0;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = within(socket.read(&mut buffer)).await {
        taken += count;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(taken < BIG_BYTES);
    assert_eq!(server.counters.too_slow_readers.value(), 1);
}

#[tokio::test]
async fn a_large_answer_arrives_whole_in_every_way() {
    let (loaded, root) = certificate(&["a.test"]);
    let server = start(tls_settings(Limits::default(), &[loaded]));
    let plain = exchange(server.http, b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(plain.split_once("\r\n\r\n").unwrap().1.len(), BIG_BYTES);
    let roots = [root];
    let mut session = connect_tls(server.https.unwrap(), &connector(&roots, &[]), "a.test").await.unwrap();
    session.write_all(b"GET /big HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut session).await.split_once("\r\n\r\n").unwrap().1.len(), BIG_BYTES);
    let session = connect_tls(server.https.unwrap(), &connector(&roots, &["h2"]), "a.test").await.unwrap();
    let (mut client, _connection) = h2_client(session).await;
    for uri in ["https://a.test/big", "https://a.test/frames"] {
        let response = within(client.send_request(get(uri))).await.unwrap();
        assert_eq!(text(response).await.len(), BIG_BYTES);
    }
    let frames = exchange(server.http, b"GET /frames HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert!(frames.len() > BIG_BYTES && frames.ends_with("\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn streams_of_one_connection_are_limited() {
    let h2 = H2Limits { streams_max: 2, ..H2Limits::default() };
    let server = start(with_limits(Limits { h2, ..Limits::default() }));
    let (mut client, _connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    // The client learns of the limit with the server's first frames.
    within(client.send_request(get("http://h/a"))).await.unwrap();
    let mut requests = Vec::new();
    for _ in 0..3 {
        let mut client = client.clone();
        requests.push(tokio::spawn(async move { client.send_request(get("http://h/gate")).await }));
    }
    within(server.arrived.acquire_many(2)).await.unwrap().forget();
    tokio::task::yield_now().await;
    assert_eq!(server.arrived.available_permits(), 0, "the third waits for a place");
    server.gate.add_permits(3);
    for request in requests {
        assert!(within(request).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn bytes_are_counted() {
    let server = start(settings());
    let request = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = exchange(server.http, request).await;
    until(|| server.counters.open.value() == 0).await;
    assert_eq!(server.counters.bytes_read.value(), request.len() as u64);
    assert_eq!(server.counters.bytes_written.value(), answer.len() as u64);
}

/// The kernel alone would take 4 MB of each, of a memory that all connections share.
#[tokio::test]
async fn a_client_that_reads_nothing_has_little_waiting_in_the_kernel() {
    let limits = Limits { unsent_bytes_max: 64 * 1024, ..Limits::default() };
    let server = start(with_limits(limits));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(server.http).await.unwrap();
    client.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    // However long it is waited, no more is taken.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(client);
    until(|| server.counters.open.value() == 0).await;
    let taken = server.counters.bytes_written.value();
    assert!(taken < 512 * 1024, "{taken} bytes were taken for a client that reads nothing");
}
