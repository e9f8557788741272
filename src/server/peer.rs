//! Who is at the other end of a connection, given to the handler with each request.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ProtocolVersion;

use super::tls::mutual::Shown;

/// One connection's ends. Shared by all its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's; as announced where a balancer speaks the PROXY protocol.
    pub address: SocketAddr,
    pub local: SocketAddr,
    pub protocol: Protocol,
    /// `None` on a plain socket.
    pub tls: Option<TlsInfo>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    H1,
    H2,
    H3,
}

/// What the TLS handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The server name that the client asked for, in lower case.
    pub sni: Option<Box<str>>,
    pub version: Option<ProtocolVersion>,
    /// Where a certificate of the client was asked for.
    pub client: Option<Arc<Shown>>,
}
