//! HTTP/3 over real UDP sockets: the same handler, door, limits and drain as for the other versions.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3_quinn::{BidiStream, OpenStreams};
use http::{HeaderValue, Request, Response, StatusCode};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint};
use rustls::pki_types::CertificateDer;
use sluicegate::server::door::Refusal;
use sluicegate::server::settings::{H2Limits, H3Limits, Limits, Settings};
use sluicegate::server::tls::Certificates;

use crate::support::{
    BIG_BYTES, Server, certificate, connect_tls, connector, get, h2_client, start, tls_settings, until,
    within,
};

type Client = SendRequest<OpenStreams, Bytes>;
type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

struct Peer {
    connection: Connection,
    client: Client,
    endpoint: Endpoint,
}

fn http3(limits: Limits) -> (Server, CertificateDer<'static>) {
    let (certificate, root) = certificate(&["edge.example"]);
    let settings =
        Settings { http3: vec!["127.0.0.1:0".parse().unwrap()], ..tls_settings(limits, &[certificate]) };
    (start(settings), root)
}

fn endpoint(root: &CertificateDer<'static>) -> Endpoint {
    let mut store = rustls::RootCertStore::empty();
    store.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = QuicClientConfig::try_from(config).unwrap();
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    endpoint
}

async fn connect(server: &Server, root: &CertificateDer<'static>) -> Peer {
    let endpoint = endpoint(root);
    let connecting = endpoint.connect(server.http3.unwrap(), "edge.example").unwrap();
    let connection = within(connecting).await.unwrap();
    let mut builder = h3::client::builder();
    let made = builder.send_grease(false).build(h3_quinn::Connection::new(connection.clone()));
    let (mut driver, client) = within(made).await.unwrap();
    tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    Peer { connection, client, endpoint }
}

impl Peer {
    async fn send(&mut self, request: Request<()>) -> Stream {
        let mut stream = within(self.client.send_request(request)).await.unwrap();
        within(stream.finish()).await.unwrap();
        stream
    }

    async fn ask(&mut self, request: Request<()>) -> (Response<()>, String) {
        let mut stream = self.send(request).await;
        let response = within(stream.recv_response()).await.unwrap();
        (response, String::from_utf8(body(&mut stream).await.unwrap()).unwrap())
    }
}

async fn body(stream: &mut Stream) -> Result<Vec<u8>, h3::error::StreamError> {
    let mut all = Vec::new();
    while let Some(mut piece) = within(stream.recv_data()).await? {
        all.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    Ok(all)
}

fn request(path: &str) -> Request<()> {
    Request::get(format!("https://edge.example{path}")).body(()).unwrap()
}

fn with(name: &'static str, value: &str) -> Request<()> {
    let mut request = request("/a");
    request.headers_mut().append(name, HeaderValue::try_from(value).unwrap());
    request
}

#[tokio::test]
async fn http3_has_the_same_handler() {
    let (server, root) = http3(Limits::default());
    let mut peer = connect(&server, &root).await;
    let (response, text) = peer.ask(request("/peer")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("date"));
    assert_eq!(response.headers()["content-length"], text.len().to_string().as_str());
    assert!(text.starts_with("H3 127.0.0.1:") && text.ends_with("Some(\"edge.example\")"), "{text}");
    for path in ["/a", "/b", "/c"] {
        assert_eq!(peer.ask(request(path)).await.1, format!("hello {path}"));
    }
    let head = Request::head("https://edge.example/a").body(()).unwrap();
    let (response, text) = peer.ask(head).await;
    assert_eq!((response.status(), text.as_str()), (StatusCode::OK, ""));
    drop(peer);
    until(|| server.counters.open.value() == 0).await;
    assert_eq!(server.counters.h3_requests.value(), 5);
    assert_eq!((server.counters.h3_accepted.value(), server.counters.h3_handshakes.value()), (1, 1));
}

#[tokio::test]
async fn a_body_of_http3_is_read_and_its_length_is_kept() {
    let (server, root) = http3(Limits::default());
    let mut peer = connect(&server, &root).await;
    let post = Request::post("https://edge.example/echo").header("content-length", "4").body(()).unwrap();
    let mut stream = within(peer.client.send_request(post)).await.unwrap();
    within(stream.send_data(Bytes::from_static(b"body"))).await.unwrap();
    within(stream.finish()).await.unwrap();
    assert_eq!(within(stream.recv_response()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(body(&mut stream).await.unwrap(), b"body");
}

#[tokio::test]
async fn large_bodies_stream_over_http3() {
    let (server, root) = http3(Limits::default());
    let mut peer = connect(&server, &root).await;
    let mut stream = peer.send(request("/frames")).await;
    within(stream.recv_response()).await.unwrap();
    let mut bytes = 0;
    while let Some(piece) = within(stream.recv_data()).await.unwrap() {
        bytes += piece.remaining();
    }
    assert_eq!(bytes, BIG_BYTES);
}

#[tokio::test]
async fn a_broken_body_is_a_reset_and_no_end() {
    let (server, root) = http3(Limits::default());
    let mut peer = connect(&server, &root).await;
    let mut stream = peer.send(request("/broken")).await;
    // The reset may overtake what was sent before it.
    let outcome = match within(stream.recv_response()).await {
        Ok(_) => body(&mut stream).await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(outcome.is_err());
    assert_eq!(peer.ask(request("/a")).await.1, "hello /a");
}

#[tokio::test]
async fn the_door_is_the_same_for_http3() {
    let (server, root) = http3(Limits::default());
    let mut peer = connect(&server, &root).await;
    let trace = Request::builder().method("TRACE").uri("https://edge.example/a").body(()).unwrap();
    let long = request(&format!("/{}", "a".repeat(8 * 1024)));
    let cases = [
        (trace, Refusal::Method),
        (long, Refusal::TargetTooLong),
        (with("x-long", &"a".repeat(9 * 1024)), Refusal::HeaderLineTooLong),
        (with("connection", "close"), Refusal::ConnectionField),
        (with("transfer-encoding", "chunked"), Refusal::ConnectionField),
        (with("te", "gzip"), Refusal::ConnectionField),
        (with("content_length", "3"), Refusal::LookAlikeHeader),
    ];
    for (request, refusal) in cases {
        let (response, _) = peer.ask(request).await;
        assert_eq!(response.status(), refusal.status(), "{refusal}");
        assert!(server.counters.refused(refusal) > 0, "{refusal}");
    }
    let mut stream = within(peer.client.send_request(request("/a"))).await.unwrap();
    within(stream.send_data(Bytes::from_static(b"body"))).await.unwrap();
    within(stream.finish()).await.unwrap();
    assert_eq!(within(stream.recv_response()).await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.counters.refused(Refusal::UnexpectedBody), 1);
    assert_eq!(peer.ask(request("/a")).await.1, "hello /a");
}

#[tokio::test]
async fn a_header_list_over_its_limit_is_refused() {
    let limits =
        Limits { h2: H2Limits { header_list_bytes_max: 4096, ..H2Limits::default() }, ..Limits::default() };
    let (server, root) = http3(limits);
    // A client that does not heed our settings: raw frames.
    let endpoint = endpoint(&root);
    let connection = within(endpoint.connect(server.http3.unwrap(), "edge.example").unwrap()).await.unwrap();
    let (mut send, mut recv) = within(connection.open_bi()).await.unwrap();
    // A HEADERS frame that says to be 1 GiB long, and keeps coming.
    within(send.write_all(&[0x01, 0x80 | 0x40, 0, 0, 0])).await.unwrap();
    let junk = vec![0_u8; 64 * 1024];
    let outcome = within(async {
        loop {
            if let Err(error) = send.write_all(&junk).await {
                return error;
            }
        }
    })
    .await;
    assert!(
        matches!(outcome, quinn::WriteError::Stopped(_) | quinn::WriteError::ConnectionLost(_)),
        "{outcome}"
    );
    assert!(within(recv.read_to_end(1024)).await.is_err());
    let mut other = connect(&server, &root).await;
    assert_eq!(other.ask(request("/a")).await.1, "hello /a");
}

#[tokio::test]
async fn connections_of_http3_count_against_the_same_limit() {
    let (server, root) = http3(Limits { connections_per_address_max: 1, ..Limits::default() });
    let peer = connect(&server, &root).await;
    let refused = endpoint(&root).connect(server.http3.unwrap(), "edge.example").unwrap();
    assert!(within(refused).await.is_err());
    assert_eq!(server.counters.refused_by_address.value(), 1);
    drop(peer);
    until(|| server.counters.open.value() == 0).await;
    let _again = connect(&server, &root).await;
}

#[tokio::test]
async fn streams_of_http3_count_against_those_of_their_address() {
    let (server, root) = http3(Limits { streams_per_address_max: 1, ..Limits::default() });
    let mut holding = connect(&server, &root).await;
    let held = tokio::spawn(async move { holding.ask(request("/gate")).await });
    server.arrived.acquire().await.unwrap().forget();
    let mut peer = connect(&server, &root).await;
    assert_eq!(peer.ask(request("/a")).await.0.status(), 429);
    server.gate.add_permits(1);
    assert_eq!(within(held).await.unwrap().1, "through the gate");
}

#[tokio::test]
async fn an_unproven_address_has_to_come_back_where_told() {
    let limits = Limits { h3: H3Limits { unproven_max: 0, ..H3Limits::default() }, ..Limits::default() };
    let (server, root) = http3(limits);
    let mut peer = connect(&server, &root).await;
    assert_eq!(peer.ask(request("/a")).await.1, "hello /a");
    assert_eq!((server.counters.h3_retries.value(), server.counters.h3_accepted.value()), (1, 1));
}

#[tokio::test]
async fn an_idle_connection_of_http3_ends() {
    let limits = Limits { idle_timeout_h2: Duration::from_millis(100), ..Limits::default() };
    let (server, root) = http3(limits);
    let peer = connect(&server, &root).await;
    within(peer.connection.closed()).await;
    until(|| server.counters.open.value() == 0).await;
    assert_eq!(server.counters.idle_timeouts.value(), 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let limits = Limits {
        stalled_write_timeout: Duration::from_millis(200),
        h3: H3Limits { send_buffer_bytes_max: 64 * 1024, ..H3Limits::default() },
        ..Limits::default()
    };
    let (server, root) = http3(limits);
    let mut peer = connect(&server, &root).await;
    let _unread = peer.send(request("/frames")).await;
    within(peer.connection.closed()).await;
    assert_eq!(server.counters.stalled_writes.value(), 1);
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_ends() {
    let (server, root) = http3(Limits::default());
    let mut peer = connect(&server, &root).await;
    let mut stream = peer.send(request("/gate")).await;
    within(server.arrived.acquire()).await.unwrap().forget();
    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    drop(stream);
    server.shutdown.cancel();
    // With the request still running, the drain would wait for the gate.
    within(server.task).await.unwrap();
    assert_eq!(server.counters.cut_by_drain.value(), 0);
}

#[tokio::test]
async fn the_drain_lets_running_requests_finish_and_takes_no_more() {
    let (server, root) = http3(Limits::default());
    let mut peer = connect(&server, &root).await;
    let mut stream = peer.send(request("/gate")).await;
    within(server.arrived.acquire()).await.unwrap().forget();
    server.shutdown.cancel();
    within(async {
        while endpoint(&root).connect(server.http3.unwrap(), "edge.example").unwrap().await.is_ok() {}
    })
    .await;
    server.gate.add_permits(1);
    within(stream.recv_response()).await.unwrap();
    assert_eq!(body(&mut stream).await.unwrap(), b"through the gate");
    within(peer.connection.closed()).await;
    within(server.task).await.unwrap();
    assert_eq!(server.counters.cut_by_drain.value(), 0);
}

#[tokio::test]
async fn streams_beyond_the_requests_of_a_connection_are_turned_away() {
    let (server, root) = http3(Limits { requests_max_h2: 2, ..Limits::default() });
    let mut peer = connect(&server, &root).await;
    for _ in 0..2 {
        assert_eq!(peer.ask(request("/a")).await.1, "hello /a");
    }
    within(peer.connection.closed()).await;
    assert_eq!(server.counters.requests.value(), 2);
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_old_ones_go_on() {
    let (first, first_root) = certificate(&["edge.example"]);
    let (second, second_root) = certificate(&["edge.example"]);
    let certificates = Arc::new(Certificates::new(&[first]).unwrap());
    let server = start(Settings {
        http3: vec!["127.0.0.1:0".parse().unwrap()],
        certificates: Some(Arc::clone(&certificates)),
        ..crate::support::settings()
    });
    let mut old = connect(&server, &first_root).await;
    certificates.replace(&[second]).unwrap();
    let mut new = connect(&server, &second_root).await;
    assert_eq!(new.ask(request("/a")).await.1, "hello /a");
    assert_eq!(old.ask(request("/b")).await.1, "hello /b");
    assert!(
        within(endpoint(&first_root).connect(server.http3.unwrap(), "edge.example").unwrap()).await.is_err()
    );
}

#[tokio::test]
async fn a_client_that_changes_its_address_connects_anew_and_its_port_may_change() {
    let (server, root) = http3(Limits::default());
    let mut peer = connect(&server, &root).await;
    assert_eq!(peer.ask(request("/a")).await.1, "hello /a");
    peer.endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    assert_eq!(peer.ask(request("/b")).await.1, "hello /b");
    peer.endpoint.rebind(UdpSocket::bind("127.0.0.2:0").unwrap()).unwrap();
    let mut stream = peer.send(request("/c")).await;
    assert!(within(stream.recv_response()).await.is_err());
}

#[tokio::test]
async fn junk_datagrams_and_resets_leave_others_alone() {
    let (server, root) = http3(Limits::default());
    let address: SocketAddr = server.http3.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in 0..1400_u16 {
        let junk: Vec<u8> = (0..length).map(|at| (at ^ length.rotate_left(3)).to_le_bytes()[0]).collect();
        socket.send_to(&junk, address).unwrap();
    }
    let mut peer = connect(&server, &root).await;
    for _ in 0..300 {
        let mut stream = within(peer.client.send_request(request("/a"))).await.unwrap();
        stream.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
        stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    }
    assert_eq!(peer.ask(request("/a")).await.1, "hello /a");
}

#[tokio::test]
async fn answers_over_tls_tell_of_http3_where_told() {
    let (certificate, root) = certificate(&["edge.example"]);
    let settings = tls_settings(Limits::default(), &[certificate]);
    let told =
        Settings { alt_svc: Some(HeaderValue::from_static("h3=\":8443\"; ma=60")), ..settings.clone() };
    for (settings, expected) in [(told, Some("h3=\":8443\"; ma=60")), (settings, None)] {
        let server = start(settings);
        let tls = connector(std::slice::from_ref(&root), &["h2"]);
        let stream = within(connect_tls(server.https.unwrap(), &tls, "edge.example")).await.unwrap();
        let (mut client, _connection) = h2_client(stream).await;
        let response = within(client.send_request(get("https://edge.example/a"))).await.unwrap();
        assert_eq!(response.headers().get("alt-svc").map(|value| value.to_str().unwrap()), expected);
    }
}

/// An address that is proven may be another where that is allowed, and the connection goes on.
#[tokio::test]
async fn a_connection_goes_on_from_another_address_where_migration_is_allowed() {
    let h3 = H3Limits { migration: true, ..H3Limits::default() };
    let (server, root) = http3(Limits { h3, ..Limits::default() });
    let mut peer = connect(&server, &root).await;
    assert_eq!(peer.ask(request("/a")).await.1, "hello /a");
    peer.endpoint.rebind(UdpSocket::bind("127.0.0.2:0").unwrap()).unwrap();
    assert_eq!(peer.ask(request("/b")).await.1, "hello /b");
    // Who asks is judged anew.
    let (_, seen) = peer.ask(request("/peer")).await;
    assert!(seen.starts_with("H3 127.0.0.2:"), "{seen}");
}

#[tokio::test]
async fn a_head_of_http3_that_does_not_end_loses_its_stream() {
    let limits = Limits { header_read_timeout: Duration::from_millis(100), ..Limits::default() };
    let (server, root) = http3(limits);
    let mut peer = connect(&server, &root).await;
    let (mut send, mut recv) = within(peer.connection.open_bi()).await.unwrap();
    // RFC 9114 §7.2.2: a HEADERS frame of 64 bytes, of which three come.
    send.write_all(&[1, 0x40, 64, 0, 0, 0xd1]).await.unwrap();
    assert!(within(recv.read_to_end(1000)).await.is_err());
    until(|| server.counters.header_timeouts.value() == 1).await;
    assert_eq!(peer.ask(request("/a")).await.1, "hello /a");
}

/// A field section that names the dynamic table, which is never filled (RFC 9204 §2.2.1), waits for nothing.
#[tokio::test]
async fn a_field_section_that_waits_for_the_dynamic_table_is_refused() {
    let (server, root) = http3(Limits::default());
    let peer = connect(&server, &root).await;
    let (mut send, mut recv) = within(peer.connection.open_bi()).await.unwrap();
    // Required Insert Count 200, base 0, an indexed field of the dynamic table.
    send.write_all(&[1, 4, 0xff, 0x00, 0x00, 0x80]).await.unwrap();
    send.finish().unwrap();
    assert!(within(recv.read_to_end(1000)).await.is_err());
    let mut other = connect(&server, &root).await;
    assert_eq!(other.ask(request("/a")).await.1, "hello /a");
}
