//! How connections to an origin are made: where to, over TCP and TLS, within one time for all of it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

use crate::trust;

use super::http1::Socket;
use super::settings::{Http2, TlsSettings};

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("a certificate of the origin's authorities is not valid: {0}")]
    Authority(rustls::Error),
    #[error("the client certificate cannot be used: {0}")]
    Client(rustls::Error),
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// Makes connections, to a fixed place or to where each request says.
#[derive(Clone)]
pub struct Dialer {
    https: HttpsConnector<HttpConnector<Resolver>>,
    /// Where to, whatever the request's authority: a server is asked under any `Host`.
    place: Option<Uri>,
    timeout: Duration,
}

/// A connection that knows its age.
pub struct Line {
    stream: Stream,
    born: Born,
}

/// When a connection was made; each of its answers has it among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Born(pub Instant);

impl Dialer {
    /// To a server of ours.
    pub fn to(
        place: Uri,
        tls: ClientConfig,
        settings: &TlsSettings,
        http2: Http2,
        timeout: Duration,
    ) -> Self {
        let tcp = tcp(Resolver { refuses_private: false, system: GaiResolver::new() }, timeout);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let builder = match &settings.server_name {
            Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name.clone())),
            None => builder,
        };
        let connector = match http2 {
            Http2::Off => builder.enable_http1().wrap_connector(tcp),
            Http2::Alpn => builder.enable_all_versions().wrap_connector(tcp),
            Http2::PriorKnowledge => builder.enable_http2().wrap_connector(tcp),
        };
        Self { https: connector, place: Some(place), timeout }
    }

    /// To hosts that a redirect named. A name among them that leads to this machine or its link is refused, so that no
    /// redirect reaches what only this machine can.
    pub fn to_redirects(tls: ClientConfig, timeout: Duration) -> Self {
        let tcp = tcp(Resolver { refuses_private: true, system: GaiResolver::new() }, timeout);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Self { https: builder.enable_http1().wrap_connector(tcp), place: None, timeout }
    }
}

impl Dialer {
    /// A connection for HTTP/1, polled by who uses it. `asked` is where to, for a dialer without a place of its own.
    pub async fn socket(&self, asked: Option<&Uri>) -> Result<Socket, BoxError> {
        let place = self.place.as_ref().or(asked).ok_or("there is no place to go to")?.clone();
        let stream = self.clone().call(place).await?.stream;
        Ok(match stream {
            MaybeHttpsStream::Http(stream) => Socket::Plain(stream.into_inner()),
            MaybeHttpsStream::Https(stream) => Socket::Tls(Box::new(stream.into_inner())),
        })
    }
}

fn tcp(resolver: Resolver, timeout: Duration) -> HttpConnector<Resolver> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(timeout));
    tcp.set_keepalive(Some(Duration::from_mins(1)));
    tcp
}

/// Without `authorities` the system's root certificates are trusted. `shows_client` is off for hosts that are not the
/// origin's own.
pub fn tls(settings: &TlsSettings, shows_client: bool) -> Result<ClientConfig, DialError> {
    let authorities = settings.authorities.as_deref().filter(|_| shows_client);
    let roots = trust::roots(authorities).map_err(DialError::Authority)?;
    let versions = if settings.only_tls13 { &[&rustls::version::TLS13][..] } else { rustls::ALL_VERSIONS };
    let builder = trust::client(roots, versions).map_err(DialError::Tls)?;
    match settings.client.as_ref().filter(|_| shows_client) {
        Some(client) => builder
            .with_client_auth_cert(client.chain.clone(), client.key.clone_key())
            .map_err(DialError::Client),
        None => Ok(builder.with_no_client_auth()),
    }
}

impl Service<Uri> for Dialer {
    type Response = Line;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Line, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, asked: Uri) -> Self::Future {
        let stream = self.https.call(self.place.clone().unwrap_or(asked));
        let timeout = self.timeout;
        Box::pin(async move {
            match tokio::time::timeout(timeout, stream).await {
                Ok(stream) => Ok(Line { stream: stream?, born: Born(Instant::now()) }),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time").into()),
            }
        })
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("place", &self.place).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("born", &self.born).finish_non_exhaustive()
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.born)
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }
}

/// The system's resolver, for foreign hosts without what leads back to this machine.
#[derive(Clone, Debug)]
struct Resolver {
    refuses_private: bool,
    system: GaiResolver,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.system.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        // Who lists "localhost" means it.
        let refuses = self.refuses_private && !name.as_str().eq_ignore_ascii_case("localhost");
        let resolved = self.system.call(name);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                resolved.await?.filter(|address| !(refuses && is_inward(address.ip()))).collect();
            if addresses.is_empty() {
                return Err(io::Error::other("the name leads to no address that may be gone to"));
            }
            Ok(addresses.into_iter())
        })
    }
}

/// Whether an address is this machine's, its link's, or nobody's.
pub fn is_inward(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_inward_are_known() {
        for inward in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "::",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_inward(inward.parse().unwrap()), "{inward}");
        }
        for outward in ["10.0.0.1", "203.0.113.5", "2001:db8::1"] {
            assert!(!is_inward(outward.parse().unwrap()), "{outward}");
        }
    }

    #[tokio::test]
    async fn a_redirects_name_that_leads_to_this_machine_is_refused() {
        let mut resolver = Resolver { refuses_private: true, system: GaiResolver::new() };
        // A numeric host is its own address for the system's resolver too: it stands for any name.
        let refused = resolver.call("127.0.0.1".parse().unwrap()).await;
        assert!(refused.unwrap_err().to_string().contains("no address that may be gone to"));
        resolver.refuses_private = false;
        assert!(resolver.call("127.0.0.1".parse().unwrap()).await.is_ok());
    }
}
