//! TLS and HTTP/2 towards the origin.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sluicegate::origin::OriginError;
use sluicegate::origin::settings::{ClientCertificate, Http2, Settings, TlsSettings};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::*;

/// An authority of our own.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    fn server(
        &self,
        name: &str,
        asks_for_client: bool,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .expect("versions");
        let builder = if asks_for_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.certificate.clone()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = self.issue(name);
        builder.with_single_cert(chain, key).expect("a certificate")
    }

    fn trusted(&self) -> TlsSettings {
        TlsSettings { authorities: Some(vec![self.certificate.clone()]), ..TlsSettings::default() }
    }
}

/// What a server saw.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(Version, String)>>,
    connections: AtomicUsize,
}

/// A server of hyper's, with TLS when `tls` is given, over HTTP/2 where the client wants that.
async fn serve(tls: Option<ServerConfig>, always_http2: bool) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let seen = Arc::new(Seen::default());
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let record = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            record.connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(connection(stream, acceptor.clone(), record.clone(), always_http2));
        }
    });
    (address, seen)
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, seen: Arc<Seen>, always_http2: bool) {
    let handler = service_fn(move |request: Request<Incoming>| {
        let authority = request.uri().authority().map(ToString::to_string);
        let host = request.headers().get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
        let place = authority.or(host).unwrap_or_default();
        seen.requests.lock().expect("not poisoned").push((request.version(), place));
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(
            b"secure",
        )))))
    });
    let http1 = hyper::server::conn::http1::Builder::new();
    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let Some(acceptor) = acceptor else {
        if always_http2 {
            let _ = http2.serve_connection(TokioIo::new(stream), handler).await;
        } else {
            let _ = http1.serve_connection(TokioIo::new(stream), handler).await;
        }
        return;
    };
    let Ok(stream) = acceptor.accept(stream).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let _ = http2.serve_connection(TokioIo::new(stream), handler).await;
    } else {
        let _ = http1.serve_connection(TokioIo::new(stream), handler).await;
    }
}

fn at(name: &str, address: SocketAddr, tls: TlsSettings) -> Settings {
    let mut settings = settings(&[address]);
    settings.servers = vec![server(&format!("https://{name}:{}", address.port()))];
    settings.tls = tls;
    settings
}

#[tokio::test]
async fn an_origin_of_a_given_authority_is_trusted_and_others_are_not() {
    let authority = Authority::new();
    let (address, _) = serve(Some(authority.server("localhost", false, rustls::ALL_VERSIONS)), false).await;
    assert_eq!(fetched(&origin(at("localhost", address, authority.trusted())), "/").await, "secure");
    for tls in [TlsSettings::default(), Authority::new().trusted()] {
        let answer = get(&origin(at("localhost", address, tls)), "/").await;
        assert!(matches!(answer, Err(OriginError::Connect(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn the_name_in_the_certificate_can_be_another_than_the_hosts() {
    let authority = Authority::new();
    let (address, _) =
        serve(Some(authority.server("origin.example", false, rustls::ALL_VERSIONS)), false).await;
    let answer = get(&origin(at("localhost", address, authority.trusted())), "/").await;
    assert!(matches!(answer, Err(OriginError::Connect(_))), "{answer:?}");
    let server_name = Some(ServerName::try_from("origin.example").expect("a name"));
    let tls = TlsSettings { server_name, ..authority.trusted() };
    assert_eq!(fetched(&origin(at("localhost", address, tls)), "/").await, "secure");
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let authority = Authority::new();
    let (address, _) = serve(Some(authority.server("localhost", true, rustls::ALL_VERSIONS)), false).await;
    let answer = get(&origin(at("localhost", address, authority.trusted())), "/").await;
    assert!(answer.is_err(), "{answer:?}");
    let (chain, key) = authority.issue("edge");
    let client = Some(ClientCertificate { chain, key: Arc::new(key) });
    let tls = TlsSettings { client, ..authority.trusted() };
    assert_eq!(fetched(&origin(at("localhost", address, tls)), "/").await, "secure");
}

#[tokio::test]
async fn a_least_version_of_tls_is_kept_to() {
    let authority = Authority::new();
    let old = authority.server("localhost", false, &[&rustls::version::TLS12]);
    let (address, _) = serve(Some(old), false).await;
    assert_eq!(fetched(&origin(at("localhost", address, authority.trusted())), "/").await, "secure");
    let tls = TlsSettings { only_tls13: true, ..authority.trusted() };
    let answer = get(&origin(at("localhost", address, tls)), "/").await;
    assert!(matches!(answer, Err(OriginError::Connect(_))), "{answer:?}");
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_chosen_and_offered() {
    let authority = Authority::new();
    for (http2, offered, expected) in [
        (Http2::Off, true, Version::HTTP_11),
        (Http2::Alpn, true, Version::HTTP_2),
        (Http2::Alpn, false, Version::HTTP_11),
        (Http2::PriorKnowledge, true, Version::HTTP_2),
    ] {
        let mut config = authority.server("localhost", false, rustls::ALL_VERSIONS);
        config.alpn_protocols = if offered { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { Vec::new() };
        let (address, seen) = serve(Some(config), false).await;
        let mut settings = at("localhost", address, authority.trusted());
        settings.http2 = http2;
        settings.host = Some(HeaderValue::from_static("www.example"));
        assert_eq!(fetched(&origin(settings), "/").await, "secure");
        let requests = seen.requests.lock().expect("not poisoned");
        assert_eq!(*requests, [(expected, "www.example".to_owned())], "{http2:?} {offered}");
    }
}

#[tokio::test]
async fn http2_without_tls_uses_several_connections_in_turn() {
    let (address, seen) = serve(None, true).await;
    let mut settings = settings(&[address]);
    (settings.http2, settings.http2_connections) = (Http2::PriorKnowledge, 3);
    let origin = origin(settings);
    for _ in 0..12 {
        assert_eq!(fetched(&origin, "/").await, "secure");
    }
    assert_eq!(seen.connections.load(Ordering::Relaxed), 3);
    assert!(
        seen.requests.lock().expect("not poisoned").iter().all(|(version, _)| *version == Version::HTTP_2)
    );
}
