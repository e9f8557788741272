//! HTTP/1.1, HTTP/2 by ALPN and by prior knowledge, TLS by server name.

use std::time::Duration;

use http::Version;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sluicegate::cli::cert::{CertArgs, run};
use sluicegate::server::listen::{ServerError, bind};
use sluicegate::server::settings::{Limits, Settings};
use sluicegate::server::tls::load_certificate;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{
    certificate, connect_tls, connector, exchange, get, h2_client, read_answer, settings, start, text,
    tls_settings, until, within,
};

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = start(settings());
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    for path in ["/a", "/b", "/c"] {
        socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_answer(&mut socket, &format!("hello {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    drop(socket);
    until(|| server.counters.open.value() == 0).await;
    assert_eq!(server.counters.accepted.value(), 1);
    assert_eq!(server.counters.requests.value(), 3);
}

#[tokio::test]
async fn http_1_0_is_served_and_closed() {
    let server = start(settings());
    let answer = exchange(server.http, b"GET /a HTTP/1.0\r\nHost: h\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("hello /a"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start(settings());
    let requests = "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n\
                    GET /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = exchange(server.http, requests.as_bytes()).await;
    let bodies: Vec<_> = answer.matches("hello /").collect();
    assert_eq!(bodies.len(), 3, "{answer}");
    assert!(answer.find("hello /a") < answer.find("hello /b") && answer.ends_with("hello /c"), "{answer}");
}

#[tokio::test]
async fn a_body_is_read_and_ends_its_connection() {
    let server = start(settings());
    for body in ["Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"]
    {
        let request = format!("POST /echo HTTP/1.1\r\nHost: h\r\n{body}GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = exchange(server.http, request.as_bytes()).await;
        assert!(answer.contains("connection: close") && answer.ends_with("\r\n\r\nbody"), "{answer}");
    }
    until(|| server.counters.open.value() == 0).await;
    assert_eq!(server.counters.requests.value(), 2);
}

#[tokio::test]
async fn plain_sockets_speak_http2_by_prior_knowledge_where_told() {
    let server = start(settings());
    let (mut client, _connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    let response = within(client.send_request(get("http://h/peer"))).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert!(text(response).await.starts_with("H2 127.0.0.1:"));

    let h1_only = start(Settings { h2c: false, ..settings() });
    let (mut client, _connection) = h2_client(TcpStream::connect(h1_only.http).await.unwrap()).await;
    assert!(within(client.send_request(get("http://h/peer"))).await.is_err());
}

#[tokio::test]
async fn the_preface_may_come_in_pieces() {
    let server = start(settings());
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.set_nodelay(true).unwrap();
    // A request that begins like the preface, byte by byte.
    for byte in b"PRI * HTTP/2.1\r\nHost: h\r\n\r\n" {
        socket.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = crate::support::read_all(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn alpn_chooses_between_http2_and_http1() {
    let (loaded, root) = certificate(&["a.test"]);
    let server = start(tls_settings(Limits::default(), &[loaded]));
    let https = server.https.unwrap();
    let roots = [root];

    let session = connect_tls(https, &connector(&roots, &["h2", "http/1.1"]), "a.test").await.unwrap();
    assert_eq!(session.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, _connection) = h2_client(session).await;
    let response = within(client.send_request(get("https://a.test/peer"))).await.unwrap();
    assert!(text(response).await.contains("Some(\"a.test\")"));

    for alpn in [&["http/1.1"][..], &[]] {
        let mut session = connect_tls(https, &connector(&roots, alpn), "a.test").await.unwrap();
        session.write_all(b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        read_answer(&mut session, "hello /a").await;
    }
    assert_eq!(server.counters.tls_handshakes_done.value(), 3);
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() {
    let (first, first_root) = certificate(&["a.test"]);
    let (second, second_root) = certificate(&["*.b.test"]);
    let settings = tls_settings(Limits::default(), &[first, second]);
    let certificates = settings.certificates.clone().unwrap();
    let server = start(settings);
    let https = server.https.unwrap();
    let roots = [first_root, second_root];
    let connector = connector(&roots, &[]);
    assert!(connect_tls(https, &connector, "a.test").await.is_ok());
    assert!(connect_tls(https, &connector, "x.b.test").await.is_ok());
    // The default certificate is shown, which is not for this name.
    assert!(connect_tls(https, &connector, "c.test").await.is_err());

    let (third, third_root) = certificate(&["c.test"]);
    certificates.replace(&[third]).unwrap();
    let connector = crate::support::connector(&[third_root], &[]);
    assert!(connect_tls(https, &connector, "c.test").await.is_ok());
}

#[tokio::test]
async fn sessions_are_resumed_by_tickets() {
    let (loaded, root) = certificate(&["a.test"]);
    let server = start(tls_settings(Limits::default(), &[loaded]));
    let connector = connector(&[root], &["http/1.1"]);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut session = connect_tls(server.https.unwrap(), &connector, "a.test").await.unwrap();
        session.write_all(b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        read_answer(&mut session, "hello /a").await;
        kinds.push(session.get_ref().1.handshake_kind());
    }
    assert_eq!(kinds[1], Some(rustls::HandshakeKind::Resumed));
}

#[tokio::test]
async fn the_development_certificate_is_trusted_by_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let args = CertArgs {
        out: folder.path().to_owned(),
        hosts: vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
        days: 30,
        force: false,
    };
    let now = sluicegate::clock::Clock::system(0).now();
    run(&args, now, &mut Vec::new()).unwrap();
    let file = |name: &str| folder.path().join(name);
    let loaded = load_certificate(&file("dev.pem"), &file("dev.key"), now).unwrap();
    assert!(loaded.not_after() > now + Duration::from_hours(29 * 24));
    let server = start(tls_settings(Limits::default(), &[loaded]));
    let authority = CertificateDer::from_pem_file(file("ca.pem")).unwrap();
    let connector = connector(&[authority], &["h2"]);
    for name in ["localhost", "127.0.0.1"] {
        connect_tls(server.https.unwrap(), &connector, name).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_bound_is_named() {
    let server = start(settings());
    let taken = Settings { http: vec![server.http], ..Settings::default() };
    let error = bind(taken).unwrap_err();
    assert!(error.to_string().contains(&server.http.to_string()), "{error}");
    let bare = Settings { https: vec!["127.0.0.1:0".parse().unwrap()], ..Settings::default() };
    assert!(matches!(bind(bare), Err(ServerError::Tls(_))));
    assert!(matches!(bind(Settings::default()), Err(ServerError::NoAddress)));
}
