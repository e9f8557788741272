//! A server on port 0 with a small handler, and clients that write raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use sluicegate::server::counters::ConnectionCounters;
use sluicegate::server::incoming::RequestBody;
use sluicegate::server::listen::{Bound, bind};
use sluicegate::server::peer::Peer;
use sluicegate::server::settings::{Limits, Settings};
use sluicegate::server::tls::{Certificate, Certificates, load_certificate};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What `/big` sends in one frame, and `/frames` in many.
pub(crate) const BIG_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) http3: Option<SocketAddr>,
    pub(crate) counters: Arc<ConnectionCounters>,
    pub(crate) shutdown: CancellationToken,
    /// A permit for each request that has reached `/gate`.
    pub(crate) arrived: Arc<Semaphore>,
    /// A permit lets one request out of `/gate`.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn settings() -> Settings {
    Settings { http: vec!["127.0.0.1:0".parse().unwrap()], h2c: true, ..Settings::default() }
}

pub(crate) fn with_limits(limits: Limits) -> Settings {
    Settings { limits, ..settings() }
}

pub(crate) fn start(settings: Settings) -> Server {
    let bound: Bound = bind(settings).unwrap();
    let (http, https) = bound.local_addresses().unwrap();
    let over_quic = bound.http3_addresses().unwrap();
    let counters = Arc::new(ConnectionCounters::default());
    let shutdown = CancellationToken::new();
    let (arrived, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (arrived_inside, gate_inside) = (Arc::clone(&arrived), Arc::clone(&gate));
    let handler = move |request, peer: Arc<Peer>| {
        let (arrived, gate) = (Arc::clone(&arrived_inside), Arc::clone(&gate_inside));
        async move { answer(request, &peer, &arrived, &gate).await }
    };
    let task = tokio::spawn(bound.run(handler, Arc::clone(&counters), shutdown.clone()));
    Server {
        http: http[0],
        https: https.first().copied(),
        http3: over_quic.first().copied(),
        counters,
        shutdown,
        arrived,
        gate,
        task,
    }
}

async fn answer(
    request: Request<RequestBody>,
    peer: &Peer,
    arrived: &Semaphore,
    gate: &Semaphore,
) -> Response<UnsyncBoxBody<Bytes, std::io::Error>> {
    let path = request.uri().path().to_owned();
    let body = match path.as_str() {
        "/gate" => {
            arrived.add_permits(1);
            gate.acquire().await.unwrap().forget();
            Bytes::from_static(b"through the gate")
        }
        "/peer" => {
            let sni = peer.tls.as_ref().and_then(|tls| tls.sni.as_deref());
            Bytes::from(format!("{:?} {} {sni:?}", peer.protocol, peer.address))
        }
        "/echo" => request.into_body().collect().await.unwrap().to_bytes(),
        "/frames" => {
            let frame = Bytes::from(vec![b'x'; 64 * 1024]);
            let frames = std::iter::repeat_n(frame, BIG_BYTES / (64 * 1024));
            let stream = futures_util::stream::iter(frames.map(|frame| Ok(Frame::data(frame))));
            return Response::new(UnsyncBoxBody::new(StreamBody::new(stream)));
        }
        "/broken" => {
            let frames = [Ok(Frame::data(Bytes::from_static(b"half"))), Err(std::io::Error::other("cut"))];
            return Response::new(UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(frames))));
        }
        "/big" => Bytes::from(vec![b'x'; BIG_BYTES]),
        _ => Bytes::from(format!("hello {path}")),
    };
    Response::new(UnsyncBoxBody::new(Full::new(body).map_err(|never| match never {})))
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("done in time")
}

/// Writes `bytes`, and reads until the server closes.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The server may have refused and closed before all is written.
    let _ = socket.write_all(bytes).await;
    read_all(&mut socket).await
}

/// What comes until the other side closes or resets.
pub(crate) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer whose body is `body`.
pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin), body: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(format!("\r\n\r\n{body}").as_bytes()) {
        let byte = within(stream.read_u8()).await.unwrap_or_else(|_| {
            panic!("closed after {:?}", String::from_utf8_lossy(&answer));
        });
        answer.push(byte);
    }
    String::from_utf8(answer).unwrap()
}

/// Whether the server has closed without a further byte.
pub(crate) async fn is_closed(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    matches!(within(stream.read(&mut [0])).await, Ok(0) | Err(_))
}

/// Waits until a counter has come to a value.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A self-signed certificate, also in the form that a client trusts.
pub(crate) fn certificate(names: &[&str]) -> (Certificate, CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let generated = rcgen::generate_simple_self_signed(names).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    std::fs::write(&certificate, generated.cert.pem()).unwrap();
    std::fs::write(&key, generated.signing_key.serialize_pem()).unwrap();
    let loaded = load_certificate(&certificate, &key, Duration::ZERO).unwrap();
    (loaded, CertificateDer::from_pem_slice(generated.cert.pem().as_bytes()).unwrap())
}

pub(crate) fn tls_settings(limits: Limits, certificates: &[Certificate]) -> Settings {
    Settings {
        https: vec!["127.0.0.1:0".parse().unwrap()],
        certificates: Some(Arc::new(Certificates::new(certificates).unwrap())),
        ..with_limits(limits)
    }
}

pub(crate) fn connector(roots: &[CertificateDer<'static>], alpn: &[&str]) -> TlsConnector {
    let mut store = rustls::RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

pub(crate) async fn connect_tls(
    address: SocketAddr,
    connector: &TlsConnector,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from(name.to_owned()).unwrap(), socket).await
}

/// A HTTP/2 client over a stream; its connection runs until the handle is dropped, and then says how it ended.
pub(crate) async fn h2_client<T>(
    stream: T,
) -> (hyper::client::conn::http2::SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (client, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    (client, tokio::spawn(connection))
}

pub(crate) fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}
