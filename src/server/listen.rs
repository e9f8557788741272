//! Binds the listeners, accepts connections, and drains.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Accepted, Shared};
use super::counters::ConnectionCounters;
use super::drain::Drain;
use super::given::Listening;
use super::http3;
use super::incoming::RequestBody;
use super::peer::Peer;
use super::proxy_protocol::Refusal;
use super::settings::Settings;
use super::slots::Slots;
use super::tls::mutual::Demands;
use super::tls::{Tls, TlsError};

/// Why the listeners do not stand.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no address to listen on is given")]
    NoAddress,
}

/// Listeners that stand, with nothing accepted yet.
#[derive(Debug)]
pub struct Bound {
    http: Vec<Arc<TcpListener>>,
    https: Vec<Arc<TcpListener>>,
    http3: Vec<quinn::Endpoint>,
    /// Those that a predecessor still holds.
    http3_later: Vec<Later>,
    tls: Option<Arc<Tls>>,
    demands: Demands,
    settings: Settings,
}

/// A UDP address that is opened once nobody else has it.
#[derive(Debug)]
struct Later {
    address: SocketAddr,
    tls: Arc<rustls::ServerConfig>,
}

/// Connections that the kernel keeps for us to accept.
const BACKLOG: u16 = 4096;

/// Binds all addresses, or none. Has to be called within a runtime.
pub fn bind(settings: Settings) -> Result<Bound, ServerError> {
    if settings.http.is_empty() && settings.https.is_empty() && settings.http3.is_empty() {
        return Err(ServerError::NoAddress);
    }
    let tls = match (&settings.certificates, settings.https.is_empty() && settings.http3.is_empty()) {
        (_, true) => None,
        (Some(certificates), false) => {
            Some(Arc::new(Tls::new(Arc::clone(certificates), settings.tls_policy)?))
        }
        (None, false) => return Err(TlsError::NoneGiven.into()),
    };
    let all = |addresses: &[SocketAddr]| {
        let one = |address: &SocketAddr| {
            listen(*address, &settings).map_err(|source| ServerError::Bind { address: *address, source })
        };
        addresses.iter().map(one).collect::<Result<Vec<_>, _>>()
    };
    let (http, https) = (all(&settings.http)?, all(&settings.https)?);
    let mut bound = Bound {
        http,
        https,
        http3: Vec::new(),
        http3_later: Vec::new(),
        tls,
        demands: Demands::default(),
        settings,
    };
    bound.bind_http3()?;
    Ok(bound)
}

/// Options set here are inherited by the accepted sockets (Linux and the BSDs), which saves calls for each connection.
fn listen(address: SocketAddr, settings: &Settings) -> io::Result<Arc<TcpListener>> {
    const KEEPALIVE: Duration = Duration::from_mins(1);
    let given = settings.given.take(address).map(Socket::from);
    let is_new = given.is_none();
    let socket = match given {
        Some(socket) => socket,
        None => Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?,
    };
    if is_new && address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    // The kernel's part of the same limit: bytes that it holds and that nobody acknowledges.
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(settings.limits.stalled_write_timeout + KEEPALIVE / 2))?;
        socket.set_tcp_notsent_lowat(settings.limits.unsent_bytes_max)?;
    }
    socket.set_nonblocking(true)?;
    if is_new {
        socket.bind(&address.into())?;
    }
    socket.listen(i32::from(BACKLOG))?;
    TcpListener::from_std(socket.into()).map(Arc::new)
}

impl Bound {
    fn bind_http3(&mut self) -> Result<(), ServerError> {
        let Some(tls) = self.tls.as_ref().filter(|_| !self.settings.http3.is_empty()) else { return Ok(()) };
        let tls = tls.quic_config()?;
        for &address in &self.settings.http3 {
            match http3::bind(address, &self.settings, Arc::clone(&tls)) {
                Ok(endpoint) => self.http3.push(endpoint),
                Err(error) if is_held(&error) && self.settings.waits_for_udp => {
                    self.http3_later.push(Later { address, tls: Arc::clone(&tls) });
                }
                Err(source) => return Err(ServerError::Bind { address, source }),
            }
        }
        Ok(())
    }

    /// What another process may take over.
    pub fn listening(&self) -> Listening {
        Listening(self.http.iter().chain(&self.https).map(Arc::downgrade).collect())
    }

    /// The addresses of the plain listeners and of the TLS ones, in the order of the settings.
    pub fn local_addresses(&self) -> io::Result<(Vec<SocketAddr>, Vec<SocketAddr>)> {
        let all =
            |listeners: &[Arc<TcpListener>]| listeners.iter().map(|listener| listener.local_addr()).collect();
        let http: io::Result<_> = all(&self.http);
        Ok((http?, all(&self.https)?))
    }

    /// Has handshakes ask clients for certificates where these say so.
    #[must_use]
    pub fn demanding(self, demands: Demands) -> Self {
        Self { demands, ..self }
    }

    /// The addresses of HTTP/3, in the order of the settings.
    pub fn http3_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.http3.iter().map(quinn::Endpoint::local_addr).collect()
    }

    /// Serves until `shutdown`, then drains: the listeners close at once, idle connections after a short while, requests
    /// that run go on for at most the drain's time. Connections that had to be cut are counted in `cut_by_drain`.
    pub async fn run<H, F, B>(
        self,
        handler: H,
        counters: Arc<ConnectionCounters>,
        shutdown: CancellationToken,
    ) where
        H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        /// Connections end by themselves at the drain's limit; this is for their tasks to notice.
        const GRACE: Duration = Duration::from_secs(1);
        let drain_timeout = self.settings.drain_timeout;
        let slots = Arc::new(Slots::new(&self.settings.limits, Arc::clone(&counters)));
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            settings: self.settings,
            handler,
            counters,
            demands: self.demands,
            drain: Drain::default(),
            tasks: tasks.clone(),
        });
        let addresses = shared.settings.http.iter().chain(&shared.settings.https);
        let plain = self.http.into_iter().map(|listener| (listener, None));
        let secure = self.https.into_iter().map(|listener| (listener, self.tls.clone()));
        for ((listener, tls), address) in plain.chain(secure).zip(addresses) {
            let is_announced = shared.settings.proxy_protocol.listeners.contains(address);
            let way = Way { tls, is_announced };
            tasks.spawn(accept(listener, way, Arc::clone(&shared), Arc::clone(&slots)));
        }
        for endpoint in self.http3 {
            tasks.spawn(http3::accept(endpoint, Arc::clone(&shared), Arc::clone(&slots)));
        }
        for later in self.http3_later {
            tasks.spawn(accept_later(later, Arc::clone(&shared), Arc::clone(&slots)));
        }
        shutdown.cancelled().await;
        shared.drain.begin();
        tasks.close();
        let idle_ends = async {
            tokio::time::sleep(shared.settings.drain_idle_timeout).await;
            shared.drain.end_idle();
            std::future::pending::<()>().await;
        };
        let all_ended = async {
            tokio::select! {
                () = tasks.wait() => {}
                () = idle_ends => {}
            }
        };
        if tokio::time::timeout(drain_timeout + GRACE, all_ended).await.is_err() {
            tracing::warn!(tasks = tasks.len(), "not everything ended within the drain's time");
        }
    }
}

fn is_held(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Opens a UDP address when its holder is gone; until then clients use the other versions.
async fn accept_later<H, F, B>(later: Later, shared: Arc<Shared<H>>, slots: Arc<Slots>)
where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    const PAUSE: Duration = Duration::from_millis(100);
    let Later { address, tls } = later;
    let drain = shared.drain.token().clone();
    while drain.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some() {
        match http3::bind(address, &shared.settings, Arc::clone(&tls)) {
            Ok(endpoint) => return http3::accept(endpoint, shared, slots).await,
            Err(error) if is_held(&error) => {}
            Err(error) => {
                tracing::error!(%address, %error, "HTTP/3 is not served");
                return;
            }
        }
    }
}

/// How the connections of a listener begin.
#[derive(Clone, Debug)]
struct Way {
    tls: Option<Arc<Tls>>,
    /// With a header of the PROXY protocol.
    is_announced: bool,
}

/// Accepts until shutdown; no error ends it.
async fn accept<H, F, B>(listener: Arc<TcpListener>, way: Way, shared: Arc<Shared<H>>, slots: Arc<Slots>)
where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut backoff = Backoff::default();
    let drain = shared.drain.token();
    let take_in = |(socket, address)| take_in(socket, address, way.clone(), &shared, &slots);
    while let Some(accepted) = drain.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok(accepted) => {
                backoff = Backoff::default();
                take_in(accepted);
            }
            // The client was gone before its turn.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                shared.counters.accept_errors.increment();
                tracing::error!(%error, "cannot accept connections; trying again");
                let pause = tokio::time::sleep(backoff.next());
                if drain.run_until_cancelled(pause).await.is_none() {
                    break;
                }
            }
        }
    }
    // Whom the kernel let in already would be reset when the socket closes.
    for _ in 0..BACKLOG {
        let Ok(accepted) = accept_now(&listener) else { break };
        take_in(accepted);
    }
}

/// A connection that waits to be accepted. The runtime may not have heard of it.
fn accept_now(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, address) = SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    let address = address.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok((TcpStream::from_std(socket.into())?, address))
}

fn take_in<H, F, B>(
    socket: TcpStream,
    address: SocketAddr,
    Way { tls, is_announced }: Way,
    shared: &Arc<Shared<H>>,
    slots: &Arc<Slots>,
) where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    shared.counters.accepted.increment();
    if is_announced && !shared.settings.proxy_protocol.trusted.contains(address.ip()) {
        shared.counters.count_proxy_refusal(Refusal::Untrusted);
        tracing::debug!(%address, "refused: not a trusted balancer");
        return;
    }
    // Dropped, the socket closes; there is no room to say why.
    let slot = if is_announced { slots.take_unnamed() } else { slots.take(address.ip()) };
    let Some(slot) = slot else { return };
    let Ok(local) = socket.local_addr() else { return };
    let accepted = Accepted { socket, address, local, is_announced };
    shared.tasks.spawn(connection::serve(Arc::clone(shared), accepted, tls, slot));
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Pauses after errors of accepting, such as a full table of files: 5 ms, then twice as long each time, up to 500 ms.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(5))
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (self.0 * 2).min(Duration::from_millis(500));
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_second() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 500, 500]);
    }
}
