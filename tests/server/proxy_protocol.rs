//! The PROXY protocol: whom a balancer announces, and whom nobody may.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sluicegate::domain::network::Networks;
use sluicegate::server::proxy_protocol::{ProxyProtocol, Refusal};
use sluicegate::server::settings::{Limits, Settings};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{
    Server, certificate, connector, exchange, is_closed, read_answer, settings, start, tls_settings, until,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const REQUEST: &[u8] = b"GET /peer HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Settings whose listeners all expect the header, from this network.
fn announced(settings: Settings, trusted: &str) -> Settings {
    let listeners: Vec<SocketAddr> = settings.http.iter().chain(&settings.https).copied().collect();
    Settings {
        proxy_protocol: ProxyProtocol {
            listeners,
            trusted: Networks::new([trusted.parse().unwrap()]),
            header_timeout: Duration::from_secs(5),
            header_bytes_max: 512,
        },
        ..settings
    }
}

/// A header of version 2: command, family and protocol, and what follows its length.
fn second(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, body].concat()
}

async fn told(server: &Server, header: &[u8]) -> String {
    exchange(server.http, &[header, REQUEST].concat()).await
}

#[tokio::test]
async fn the_client_is_whom_a_trusted_balancer_announces() {
    let server = start(announced(settings(), "127.0.0.0/8"));
    let v4 = [[203, 0, 113, 7].as_slice(), &[192, 0, 2, 1], &[0x12, 0x34], &[0, 80]].concat();
    let v6 = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9][..], &[0; 16], &[0x12, 0x34, 0, 80]]
        .concat();
    let with_more = [&v4[..], &[0x04, 0, 3, 0, 0, 0]].concat();
    for (header, client) in [
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 4660 80\r\n".to_vec(), "203.0.113.7:4660"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 4660 80\r\n".to_vec(), "[2001:db8::9]:4660"),
        (second(1, 0x11, &v4), "203.0.113.7:4660"),
        (second(1, 0x11, &with_more), "203.0.113.7:4660"),
        (second(1, 0x21, &v6), "[2001:db8::9]:4660"),
    ] {
        let answer = told(&server, &header).await;
        assert!(answer.contains(&format!(" {client} ")), "{header:?}: {answer}");
    }
    // A check of the balancer itself, and one whose client is not told.
    for header in [second(0, 0, b""), b"PROXY UNKNOWN\r\n".to_vec()] {
        assert!(told(&server, &header).await.contains(" 127.0.0.1:"), "{header:?}");
    }
    assert_eq!(server.counters.proxy_headers.value(), 7);
}

#[tokio::test]
async fn what_is_no_header_closes_the_connection_by_its_reason() {
    let server = start(announced(settings(), "127.0.0.0/8"));
    let long = second(1, 0x11, &[0; 2_000]);
    for (bytes, refusal) in [
        (&b""[..], Refusal::Missing),
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 4660 99999\r\n", Refusal::Malformed),
        (b"PROXY TCP4 2001:db8::9 192.0.2.1 1 2\r\n", Refusal::Malformed),
        (long.as_slice(), Refusal::TooLong),
    ] {
        let before = server.counters.proxy_refused(refusal);
        let mut socket = TcpStream::connect(server.http).await.unwrap();
        // The other side may have closed before all is written.
        let _ = socket.write_all(&[bytes, REQUEST].concat()).await;
        assert!(is_closed(&mut socket).await, "{bytes:?}");
        assert_eq!(server.counters.proxy_refused(refusal), before + 1, "{bytes:?}");
    }
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(b"PROXY TCP4 203").await.unwrap();
    socket.shutdown().await.unwrap();
    assert!(is_closed(&mut socket).await);
    assert_eq!(server.counters.proxy_refused(Refusal::CutShort), 1);
}

#[tokio::test]
async fn a_header_that_does_not_come_or_end_closes_the_connection() {
    let mut waiting = announced(settings(), "127.0.0.0/8");
    waiting.proxy_protocol.header_timeout = Duration::from_millis(150);
    let server = start(waiting);
    for start_of_header in [&b""[..], b"PROXY TCP4 203.0.113.7", SIGNATURE] {
        let mut socket = TcpStream::connect(server.http).await.unwrap();
        socket.write_all(start_of_header).await.unwrap();
        assert!(is_closed(&mut socket).await);
    }
    assert_eq!(server.counters.proxy_refused(Refusal::TimedOut), 3);
    until(|| server.counters.open.value() == 0).await;
}

#[tokio::test]
async fn an_untrusted_peer_announces_nobody() {
    let server = start(announced(settings(), "192.0.2.0/24"));
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 4660 80\r\n";
    let _ = socket.write_all(&[header, REQUEST].concat()).await;
    assert!(is_closed(&mut socket).await);
    assert_eq!(server.counters.proxy_refused(Refusal::Untrusted), 1);
}

#[tokio::test]
async fn without_the_switch_a_header_is_no_http() {
    let server = start(settings());
    let answer = told(&server, b"PROXY TCP4 203.0.113.7 192.0.2.1 4660 80\r\n").await;
    assert!(!answer.contains("203.0.113.7") && !answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn connections_count_for_the_announced_client_and_not_for_its_balancer() {
    let limits = Limits { connections_per_address_max: 1, ..Limits::default() };
    let server = start(announced(Settings { limits, ..settings() }, "127.0.0.1/32"));
    let mut sockets = Vec::new();
    for client in ["2001:db8::1", "2001:db8:0:1::1"] {
        let address: IpAddr = client.parse().unwrap();
        let mut socket = TcpStream::connect(server.http).await.unwrap();
        let head = format!("PROXY TCP6 {address} ::1 1 2\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        read_answer(&mut socket, "hello /a").await;
        sockets.push(socket);
    }
    let mut third = TcpStream::connect(server.http).await.unwrap();
    third.write_all(b"PROXY TCP6 2001:db8::ffff ::1 1 2\r\n").await.unwrap();
    assert!(is_closed(&mut third).await, "the same /64");
    assert_eq!(server.counters.refused_by_address.value(), 1);
    drop(sockets);
    until(|| server.counters.open.value() == 0).await;
}

#[tokio::test]
async fn the_header_comes_before_the_handshake() {
    let (loaded, root) = certificate(&["a.test"]);
    let server = start(announced(tls_settings(Limits::default(), &[loaded]), "127.0.0.1/32"));
    let mut socket = TcpStream::connect(server.https.unwrap()).await.unwrap();
    // In two pieces, as a network may have it.
    socket.write_all(b"PROXY TCP4 203.0.113.7 ").await.unwrap();
    socket.write_all(b"192.0.2.1 4660 443\r\n").await.unwrap();
    let name = "a.test".try_into().unwrap();
    let mut session = connector(&[root], &["http/1.1"]).connect(name, socket).await.unwrap();
    session.write_all(REQUEST).await.unwrap();
    let answer = crate::support::read_all(&mut session).await;
    assert!(answer.contains(" 203.0.113.7:4660 "), "{answer}");
}
