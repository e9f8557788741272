//! One connection of HTTP/3, from its handshake to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use h3::error::Code;
use http::{Request, Response};
use http_body::Body;
use quinn::Connecting;
use quinn::crypto::rustls::HandshakeData;
use rustls::ProtocolVersion;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::connection::Shared;
use super::super::incoming::RequestBody;
use super::super::peer::{Peer, Protocol, TlsInfo};
use super::super::settings::Limits;
use super::super::slots::Slot;
use super::endpoint::Unproven;
use super::exchange::{self, Context};
use super::quic::{self, Allowed, Facts, code_of};

type Http3 = h3::server::Connection<quic::Connection, Bytes>;

/// Serves a connection to its end.
pub(super) async fn serve<H, F, B>(
    shared: Arc<Shared<H>>,
    connecting: Connecting,
    local: SocketAddr,
    slot: Slot,
    unproven: Option<Unproven>,
) where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let drain = shared.drain.token().clone();
    let opened = drain.run_until_cancelled(Box::pin(open(&shared, connecting, local, &slot))).await;
    drop(unproven);
    if let Some(Some((context, http3))) = opened {
        let facts = Arc::clone(&context.facts);
        Box::pin(Driver::new(context, http3).run()).await;
        shared.counters.bytes_read.add(facts.read.load(Ordering::Relaxed));
        shared.counters.bytes_written.add(facts.written.load(Ordering::Relaxed));
    }
    drop(slot);
}

/// The handshake, and our side of HTTP/3's own streams.
async fn open<H>(
    shared: &Arc<Shared<H>>,
    connecting: Connecting,
    local: SocketAddr,
    slot: &Slot,
) -> Option<(Arc<Context<H>>, Http3)> {
    let (limits, counters) = (&shared.settings.limits, &shared.counters);
    let address = connecting.remote_address();
    let facts = Arc::new(Facts::default());
    let quic = match timeout(limits.tls_handshake_timeout, connecting).await {
        Ok(Ok(quic)) => quic,
        Ok(Err(error)) => {
            counters.tls_handshakes_failed.increment();
            tracing::debug!(%address, %error, "QUIC handshake failed");
            return None;
        }
        Err(_) => {
            counters.tls_handshakes_timed_out.increment();
            return None;
        }
    };
    counters.tls_handshakes_done.increment();
    counters.h3_handshakes.increment();
    let sni = quic.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok()?.server_name);
    let tls = TlsInfo { sni: sni.map(Into::into), version: Some(ProtocolVersion::TLSv1_3), client: None };
    let local = SocketAddr::new(quic.local_ip().unwrap_or(local.ip()), local.port());
    let peer =
        Arc::new(Peer { address: quic.remote_address(), local, protocol: Protocol::H3, tls: Some(tls) });
    let transport = quic::Connection::new(quic.clone(), Arc::clone(&facts), allowed(limits));
    let mut builder = h3::server::builder();
    builder.max_field_section_size(u64::from(limits.h2.header_list_bytes_max)).send_grease(false);
    // A client that lets us open no stream gets no further.
    let Ok(http3) = timeout(limits.header_read_timeout, builder.build(transport)).await else {
        counters.header_timeouts.increment();
        return None;
    };
    let http3 = http3.inspect_err(|error| tracing::debug!(%address, %error, "no HTTP/3 over QUIC")).ok()?;
    let context = Context { shared: Arc::clone(shared), quic, peer, facts, streams: slot.streams() };
    Some((Arc::new(context), http3))
}

fn allowed(limits: &Limits) -> Allowed {
    /// Frames of kinds that are reserved may stand before a head.
    const BESIDE_HEAD: u64 = 4 << 10;
    /// A frame of priority for each request, and settings.
    const CONTROL: u64 = 64 << 10;
    const CONTROL_PER_REQUEST: u64 = 256;
    Allowed {
        // Compression never makes it longer than a few bytes more; what a client sends behind the head may come with it.
        head: u64::from(limits.h2.header_list_bytes_max)
            + BESIDE_HEAD
            + u64::from(limits.h2.stream_window_bytes),
        control: CONTROL + CONTROL_PER_REQUEST * u64::from(limits.requests_max_h2),
    }
}

/// Runs a connection.
struct Driver<H> {
    context: Arc<Context<H>>,
    http3: Http3,
    requests: JoinSet<()>,
    taken: u32,
    idle_from: Instant,
    /// Since when no new request is taken.
    finishing: Option<Finishing>,
}

#[derive(Clone, Copy, Debug)]
struct Finishing {
    /// When it has to be over.
    end_by: Instant,
    is_drain: bool,
}

impl<H, F, B> Driver<H>
where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn new(context: Arc<Context<H>>, http3: Http3) -> Self {
        Self {
            context,
            http3,
            requests: JoinSet::new(),
            taken: 0,
            idle_from: Instant::now(),
            finishing: None,
        }
    }

    /// Requests that still run when it returns end with it.
    async fn run(mut self) {
        let shared = Arc::clone(&self.context.shared);
        let drain = shared.drain.token();
        let limits = &shared.settings.limits;
        loop {
            let is_idle = self.requests.is_empty();
            let end_by = match self.finishing {
                Some(finishing) if is_idle => finishing.end_by.min(self.idle_from + self.farewell()),
                Some(finishing) => finishing.end_by,
                None => self.idle_from + limits.idle_timeout_h2,
            };
            tokio::select! {
                accepted = self.http3.accept() => match accepted {
                    Ok(Some(resolver)) => {
                        let Some(accepted) = self.context.facts.take_accepted() else { continue };
                        let Some(peer) = self.context.peer_now() else { break };
                        self.taken += 1;
                        let context = Arc::clone(&self.context);
                        self.requests.spawn(exchange::serve(context, resolver, accepted, peer));
                        if self.taken >= limits.requests_max_h2 {
                            self.finish(limits.idle_timeout_h2, false).await;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(address = %self.context.peer.address, %error, "connection ended");
                        break;
                    }
                },
                Some(_) = self.requests.join_next() => self.idle_from = Instant::now(),
                () = drain.cancelled(), if !self.finishing.is_some_and(|finishing| finishing.is_drain) => {
                    self.finish(shared.settings.drain_timeout, true).await;
                }
                () = sleep_until(end_by), if is_idle || self.finishing.is_some() => {
                    match self.finishing {
                        None => shared.counters.idle_timeouts.increment(),
                        Some(Finishing { is_drain: true, .. }) if !is_idle => {
                            shared.counters.cut_by_drain.increment();
                        }
                        Some(_) => {}
                    }
                    break;
                }
            }
        }
        shared.counters.requests.add(u64::from(self.taken));
        self.context.quic.close(code_of(Code::H3_NO_ERROR.value()), b"");
    }

    /// Says that no request after these is taken (GOAWAY).
    async fn finish(&mut self, within: Duration, is_drain: bool) {
        let end_by = Instant::now() + within;
        self.finishing = Some(Finishing { end_by, is_drain });
        self.idle_from = Instant::now();
        // It waits only for room on the control stream, for a client that reads nothing.
        let _ = timeout(Duration::from_secs(1), self.http3.shutdown(0)).await;
    }

    /// How long requests that were on their way when we said so are still turned away one by one, which says that
    /// they were not looked at.
    fn farewell(&self) -> Duration {
        const LEAST: Duration = Duration::from_millis(100);
        (self.context.quic.rtt() * 3).max(LEAST)
    }
}
