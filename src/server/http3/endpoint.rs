//! The sockets of HTTP/3, and whom they let in.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, IdleTimeout, Incoming, TokioRuntime, TransportConfig, VarInt};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use super::super::connection::Shared;
use super::super::incoming::RequestBody;
use super::super::peer::Peer;
use super::super::settings::{Limits, Settings};
use super::super::slots::Slots;
use super::connection;

/// Binds a socket, without taking anyone in. `tls` has to speak TLS 1.3.
pub(in super::super) fn bind(
    address: SocketAddr,
    settings: &Settings,
    tls: Arc<ServerConfig>,
) -> io::Result<Endpoint> {
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    // A client behind NAT changes its port; a change of the address is judged where requests are.
    server.migration(true).max_incoming(INCOMING_MAX).transport_config(Arc::new(transport(&settings.limits)));
    let socket = udp(address, settings.limits.h3.socket_buffer_bytes)?;
    Endpoint::new(EndpointConfig::default(), Some(server), socket, Arc::new(TokioRuntime))
}

/// Clients that wait to be taken in; each is at once.
const INCOMING_MAX: usize = 1024;

fn udp(address: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // One socket holds what all connections have on their way. The system gives less where its own limit is less.
    socket.set_recv_buffer_size(buffer_bytes)?;
    socket.set_send_buffer_size(buffer_bytes)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn transport(limits: &Limits) -> TransportConfig {
    /// A client needs three (control, and two of QPACK); reserved kinds come beside them.
    const CONTROL_STREAMS_MAX: u32 = 8;
    let mut transport = TransportConfig::default();
    let idle = limits.idle_timeout_h2.max(Duration::from_secs(1));
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.h2.streams_max))
        .max_concurrent_uni_streams(VarInt::from_u32(CONTROL_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(limits.h2.stream_window_bytes))
        .receive_window(VarInt::from_u32(limits.h2.connection_window_bytes))
        .send_window(limits.h3.send_buffer_bytes_max)
        .max_idle_timeout(Some(IdleTimeout::try_from(idle).unwrap_or(IdleTimeout::from(VarInt::MAX))))
        .datagram_receive_buffer_size(None);
    transport
}

/// Takes in clients until the drain, and waits for the last farewell to leave.
pub(in super::super) async fn accept<H, F, B>(endpoint: Endpoint, shared: Arc<Shared<H>>, slots: Arc<Slots>)
where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Ok(local) = endpoint.local_addr() else { return };
    let unproven = Arc::new(AtomicUsize::new(0));
    let drain = shared.drain.token().clone();
    while let Some(Some(incoming)) = drain.run_until_cancelled(endpoint.accept()).await {
        take_in(incoming, local, &shared, &slots, &unproven);
    }
    // Who comes now is told so at once, and goes elsewhere.
    let refusing = async {
        while let Some(incoming) = endpoint.accept().await {
            incoming.refuse();
        }
    };
    tokio::select! {
        () = refusing => {}
        () = endpoint.wait_idle() => {}
    }
}

fn take_in<H, F, B>(
    incoming: Incoming,
    local: SocketAddr,
    shared: &Arc<Shared<H>>,
    slots: &Arc<Slots>,
    unproven: &Arc<AtomicUsize>,
) where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (limits, counters) = (&shared.settings.limits, &shared.counters);
    let is_proven = incoming.remote_address_validated();
    if !is_proven && unproven.load(Ordering::Relaxed) >= limits.h3.unproven_max && incoming.may_retry() {
        counters.h3_retries.increment();
        let _ = incoming.retry();
        return;
    }
    counters.accepted.increment();
    counters.h3_accepted.increment();
    let Some(slot) = slots.take(incoming.remote_address().ip()) else {
        incoming.refuse();
        return;
    };
    let Ok(connecting) = incoming.accept() else {
        counters.tls_handshakes_failed.increment();
        return;
    };
    let guard = (!is_proven).then(|| Unproven::new(unproven));
    shared.tasks.spawn(connection::serve(Arc::clone(shared), connecting, local, slot, guard));
}

/// A handshake with an address that is not proven.
#[derive(Debug)]
pub(super) struct Unproven(Arc<AtomicUsize>);

impl Unproven {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
