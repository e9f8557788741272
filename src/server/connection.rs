//! One connection, from the accepted socket to its end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::HandshakeKind;
use rustls::server::Acceptor;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::activity::Activity;
use super::body::InFlight;
use super::challenges::{self, ACME_TLS};
use super::counters::ConnectionCounters;
use super::drain::Drain;
use super::head::Scanner;
use super::incoming::RequestBody;
use super::peer::{Peer, Protocol, TlsInfo};
use super::protocol::{Driven, Streams, http1_builder, http2_builder};
use super::proxy_protocol::header::Announced;
use super::service::Service;
use super::settings::Settings;
use super::slots::{AddressStreams, Slot};
use super::stream::{FirstBytes, Stream, Transport};
use super::tls::Tls;
use super::tls::mutual::{self, Demands, Shown};
use super::watch::{Expiry, Watch};

/// RFC 9113 §3.4.
const H2_PREFACE: &[u8; FirstBytes::MAX] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What all connections of a process share.
#[derive(Debug)]
pub(super) struct Shared<H> {
    pub(super) settings: Settings,
    pub(super) handler: H,
    pub(super) counters: Arc<ConnectionCounters>,
    /// Which handshakes ask for certificates of clients.
    pub(super) demands: Demands,
    pub(super) drain: Drain,
    /// Connections and HTTP/2 streams.
    pub(super) tasks: TaskTracker,
}

/// A socket as accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) socket: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) local: SocketAddr,
    /// A header of the PROXY protocol comes first.
    pub(super) is_announced: bool,
}

/// A socket that speaks a protocol.
#[derive(Debug)]
struct Opened {
    transport: Transport,
    first: FirstBytes,
    peer: Peer,
}

/// Serves a connection to its end. A drain ends it before its first request only when that had time to come.
///
/// A task is as large as its largest state, and most connections are idle: each stage is therefore allocated apart, and
/// gone when it is over.
pub(super) async fn serve<H, F, B>(
    shared: Arc<Shared<H>>,
    accepted: Accepted,
    tls: Option<Arc<Tls>>,
    mut slot: Slot,
) where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let opening = Box::pin(open(Arc::clone(&shared), accepted, tls, &mut slot));
    if let Some(Some(opened)) = shared.drain.idle_may_end().run_until_cancelled(opening).await {
        speak(&shared, opened, &slot).await;
    }
    drop(slot);
}

/// The connection's life in its protocol.
fn speak<H, F, B>(
    shared: &Arc<Shared<H>>,
    opened: Opened,
    slot: &Slot,
) -> Pin<Box<dyn Future<Output = ()> + Send>>
where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Opened { transport, first, peer } = opened;
    let activity = Arc::new(Activity::default());
    let protocol = peer.protocol;
    // A connection of HTTP/1.1 has one request at a time, and connections are counted.
    let streams = if protocol == Protocol::H1 { AddressStreams::default() } else { slot.streams() };
    let scanner = (protocol == Protocol::H1).then(|| Scanner::new(&shared.settings.limits));
    let memory_file = match transport {
        Transport::Plain(_) => shared.settings.memory_file.clone(),
        Transport::Tls(_) => None,
    };
    let io = TokioIo::new(Stream::new(transport, memory_file, Arc::clone(&activity), first, scanner));
    let requests = Arc::new(Service {
        shared: Arc::clone(shared),
        activity: Arc::clone(&activity),
        peer: Arc::new(peer),
        streams,
    });
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let request = request.map(RequestBody::Hyper);
        let number = requests.activity.begin_request();
        let in_flight = InFlight::new(Arc::clone(&requests.activity));
        let requests = Arc::clone(&requests);
        async move { Ok::<_, Infallible>(requests.answer(request, number, in_flight).await) }
    });
    let shared = Arc::clone(shared);
    match protocol {
        Protocol::H1 => {
            let connection = Box::pin(http1_builder(&shared.settings.limits).serve_connection(io, service));
            Box::pin(drive(connection, shared, activity, protocol))
        }
        // HTTP/3 does not come over a stream.
        Protocol::H2 | Protocol::H3 => {
            let builder = http2_builder(&shared.settings.limits, Streams::new(shared.tasks.clone()));
            let connection = Box::pin(builder.serve_connection(io, service));
            Box::pin(drive(connection, shared, activity, protocol))
        }
    }
}

/// The handshake, or the first bytes of a plain socket: which protocol it is.
async fn open<H>(
    shared: Arc<Shared<H>>,
    accepted: Accepted,
    tls: Option<Arc<Tls>>,
    slot: &mut Slot,
) -> Option<Opened> {
    let accepted = if accepted.is_announced { announced(&shared, accepted, slot).await? } else { accepted };
    let Accepted { socket, address, local, .. } = accepted;
    let limits = &shared.settings.limits;
    let counters = &shared.counters;
    let Some(tls) = tls else {
        let deadline = Instant::now() + limits.header_read_timeout;
        let Ok(sniffed) = timeout_at(deadline, sniff(socket, shared.settings.h2c)).await else {
            counters.header_timeouts.increment();
            return None;
        };
        let (socket, first, protocol) = sniffed.ok()?;
        let peer = Peer { address, local, protocol, tls: None };
        return Some(Opened { transport: Transport::Plain(socket), first, peer });
    };
    let handshake = Box::pin(handshake(&tls, socket, local, &shared.demands));
    let (session, client) = match timeout(limits.tls_handshake_timeout, handshake).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => {
            counters.tls_handshakes_failed.increment();
            if mutual::is_refusal(&error) {
                counters.client_certificates_refused.increment();
            }
            tracing::debug!(%address, %error, "TLS handshake failed");
            return None;
        }
        Err(_) => {
            counters.tls_handshakes_timed_out.increment();
            return None;
        }
    };
    counters.tls_handshakes_done.increment();
    let (_, state) = session.get_ref();
    // RFC 8737 §3: "Once the handshake is completed, the client MUST NOT exchange any further data with the server".
    if state.alpn_protocol() == Some(ACME_TLS) {
        return None;
    }
    if state.handshake_kind() == Some(HandshakeKind::Resumed) {
        counters.tls_handshakes_resumed.increment();
    }
    if state.peer_certificates().is_some() {
        counters.client_certificates_accepted.increment();
    }
    let protocol = if state.alpn_protocol() == Some(b"h2") { Protocol::H2 } else { Protocol::H1 };
    let tls = TlsInfo { sni: state.server_name().map(Box::from), version: state.protocol_version(), client };
    let peer = Peer { address, local, protocol, tls: Some(tls) };
    Some(Opened { transport: Transport::Tls(Box::new(session)), first: FirstBytes::default(), peer })
}

/// The handshake, and what the client showed where a certificate was asked for.
async fn handshake(
    tls: &Tls,
    socket: TcpStream,
    local: SocketAddr,
    demands: &Demands,
) -> io::Result<(TlsStream<TcpStream>, Option<Arc<Shown>>)> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    let hello = start.client_hello();
    // An authority that verifies a name is no client of the property, and gets nothing from it.
    let is_client = !challenges::is_verification(&hello);
    let demand = is_client.then(|| demands.find(hello.server_name(), local)).flatten();
    let config = tls.config(demand.as_deref()).map_err(io::Error::other)?;
    let time = Arc::clone(&config.time_provider);
    let session = start.into_stream(config).await?;
    let Some(demand) = demand else { return Ok((session, None)) };
    let now = time.current_time().ok_or(io::ErrorKind::Other)?;
    let shown = demand.shown(session.get_ref().1.peer_certificates(), now).map_err(io::Error::other)?;
    Ok((session, Some(Arc::new(shown))))
}

/// Takes the balancer's header off, and goes on with the ends that it announces.
async fn announced<H>(shared: &Shared<H>, mut accepted: Accepted, slot: &mut Slot) -> Option<Accepted> {
    let balancer = accepted.address;
    let announced = shared.settings.proxy_protocol.announced(&mut accepted.socket).await;
    let announced = announced.inspect_err(|refusal| {
        shared.counters.count_proxy_refusal(*refusal);
        tracing::debug!(%balancer, reason = refusal.name(), "no header of the PROXY protocol");
    });
    if let Announced::Client { source, destination } = announced.ok()? {
        tracing::debug!(%balancer, client = %source, "announced by a balancer");
        (accepted.address, accepted.local) = (source, destination);
    }
    shared.counters.proxy_headers.increment();
    slot.name(accepted.address.ip()).then_some(accepted)
}

/// Waits for a plain socket's first bytes, before anything is allocated for it. They are read, not peeked at: a part of
/// the preface would make peeking spin until the rest comes.
async fn sniff(mut socket: TcpStream, h2c: bool) -> std::io::Result<(TcpStream, FirstBytes, Protocol)> {
    let mut first = FirstBytes::default();
    socket.readable().await?;
    if !h2c {
        return Ok((socket, first, Protocol::H1));
    }
    loop {
        let count = socket.read(first.free()).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        first.advance(count);
        if !H2_PREFACE.starts_with(first.filled()) {
            return Ok((socket, first, Protocol::H1));
        }
        if first.filled().len() == H2_PREFACE.len() {
            return Ok((socket, first, Protocol::H2));
        }
    }
}

/// Runs a connection until it ends, a limit ends it, or the drain does.
async fn drive<H>(
    mut connection: Pin<Box<impl Driven>>,
    shared: Arc<Shared<H>>,
    activity: Arc<Activity>,
    protocol: Protocol,
) {
    let mut drain = pin!(shared.drain.token().cancelled());
    // Once registered, the task is woken by it; to poll it each turn would take a lock that all connections share.
    let mut is_registered = false;
    let mut watch = Watch::new(&shared.settings.limits, protocol, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    // HTTP/1.1 says in the last answer that it is the last.
    let requests_max = match protocol {
        Protocol::H1 => u32::MAX,
        Protocol::H2 | Protocol::H3 => shared.settings.limits.requests_max_h2,
    };
    let (mut is_finishing, mut is_draining) = (false, false);
    let end = std::future::poll_fn(|cx| {
        loop {
            if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                return Poll::Ready(Ok(end));
            }
            if activity.has_unsent.swap(false, Ordering::Relaxed) {
                continue;
            }
            if !is_finishing {
                let is_drain = if is_registered {
                    shared.drain.has_begun()
                } else {
                    is_registered = true;
                    drain.as_mut().poll(cx).is_ready()
                };
                if is_drain && !is_draining {
                    is_draining = true;
                    watch.end_within(shared.settings.drain_timeout, Instant::now());
                    drain.set(shared.drain.idle_may_end().cancelled());
                    // Polled below, so that the task hears of it.
                    is_registered = drain.as_mut().poll(cx).is_pending();
                }
                let is_next_awaited = || {
                    protocol == Protocol::H1
                        && activity.awaits_request(!shared.drain.idle_may_end().is_cancelled())
                };
                if (is_drain && !is_next_awaited()) || activity.requests() >= requests_max {
                    is_finishing = true;
                    connection.as_mut().finish();
                    continue;
                }
            }
            return match watch.look(&activity, timer.as_mut(), cx) {
                None => Poll::Pending,
                Some(Expiry::Idle) if !is_finishing => {
                    is_finishing = true;
                    shared.counters.idle_timeouts.increment();
                    // GOAWAY, or the end of the stream; a client that does not answer it is not waited for.
                    watch.end_within(shared.settings.limits.header_read_timeout, Instant::now());
                    connection.as_mut().finish();
                    continue;
                }
                Some(expiry) => Poll::Ready(Err(expiry)),
            };
        }
    })
    .await;
    match end {
        Ok(Ok(())) => {}
        Ok(Err(error)) => note_failure(&error, &shared.counters),
        Err(expiry) => note_expiry(expiry, &shared, &activity),
    }
    shared.counters.requests.add(u64::from(activity.requests()));
    shared.counters.bytes_read.add(activity.bytes_read.load(Ordering::Relaxed));
    shared.counters.bytes_written.add(activity.bytes_written.load(Ordering::Relaxed));
}

fn note_failure(error: &hyper::Error, counters: &ConnectionCounters) {
    if error.is_parse() {
        counters.refused_by_protocol.increment();
    }
    tracing::debug!(%error, "connection failed");
}

fn note_expiry<H>(expiry: Expiry, shared: &Shared<H>, activity: &Activity) {
    let counters = &shared.counters;
    let should_reset = match expiry {
        Expiry::HeaderTimeout => {
            counters.header_timeouts.increment();
            false
        }
        Expiry::StalledWrite => {
            counters.stalled_writes.increment();
            true
        }
        Expiry::TooSlow => {
            counters.too_slow_readers.increment();
            true
        }
        Expiry::Drained if shared.drain.has_begun() => {
            counters.cut_by_drain.increment();
            true
        }
        Expiry::Drained | Expiry::Idle | Expiry::Lingered => false,
    };
    activity.should_reset.store(should_reset, Ordering::Relaxed);
}
