//! What the listeners are told: addresses, certificates, and a limit for everything a client can do to a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::memory_file::MemoryFile;

use super::given::Given;
use super::proxy_protocol::ProxyProtocol;
use super::tls::{Certificates, TlsPolicy};

/// The listeners' settings. An `https` address needs `certificates`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    /// UDP addresses for HTTP/3; they need `certificates` too.
    pub http3: Vec<SocketAddr>,
    /// What answers over TLS say of HTTP/3 (RFC 7838).
    pub alt_svc: Option<HeaderValue>,
    /// Whether plain listeners speak HTTP/2 to clients that begin with its preface (prior knowledge).
    pub h2c: bool,
    pub certificates: Option<Arc<Certificates>>,
    pub tls_policy: TlsPolicy,
    /// Whom balancers announce, and where they may.
    pub proxy_protocol: ProxyProtocol,
    pub limits: Limits,
    /// How long requests that run may go on once shutdown was asked for.
    pub drain_timeout: Duration,
    /// How long idle connections stay open then, so that a request that is on its way is answered.
    pub drain_idle_timeout: Duration,
    /// Listeners that were open before; where one has an address that is asked for, it is taken.
    pub given: Given,
    /// Whether a predecessor may hold the UDP addresses for a while: they are then opened when it is gone.
    pub waits_for_udp: bool,
    /// Where bodies may lie that plain sockets are sent without a copy.
    pub memory_file: Option<Arc<MemoryFile>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            https: Vec::new(),
            http3: Vec::new(),
            alt_svc: None,
            h2c: false,
            certificates: None,
            tls_policy: TlsPolicy::default(),
            proxy_protocol: ProxyProtocol::default(),
            limits: Limits::default(),
            drain_timeout: Duration::from_secs(30),
            drain_idle_timeout: Duration::from_secs(1),
            given: Given::default(),
            waits_for_udp: false,
            memory_file: None,
        }
    }
}

/// Limits on connections and requests; `Default` gives the documented ones.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request target (path and query, or an absolute URI); beyond it 414.
    pub target_bytes_max: usize,
    /// Bytes of all header lines of a request; beyond it 431.
    pub header_section_bytes_max: usize,
    /// Bytes of one header line; beyond it 431.
    pub header_line_bytes_max: usize,
    /// Header lines of a request; beyond it 431.
    pub headers_max: usize,
    /// From a connection's start, or the first byte of a later request, to the end of its head.
    pub header_read_timeout: Duration,
    pub tls_handshake_timeout: Duration,
    /// A HTTP/1.1 connection without a request. A configuration with a single idle timeout sets this and the next.
    pub idle_timeout_h1: Duration,
    /// A HTTP/2 connection without a stream, and with less than 1 KiB written.
    pub idle_timeout_h2: Duration,
    pub requests_max_h1: u32,
    pub requests_max_h2: u32,
    /// A client that takes no byte for this long, while there are bytes for it, is cut off.
    pub stalled_write_timeout: Duration,
    /// Bytes of a connection that the kernel takes before it has sent them. It has memory for all sockets together, and resets
    /// connections of anybody when that is full: thousands of slow readers of large objects must not have the 4 MB each that
    /// it would let them have.
    pub unsent_bytes_max: u32,
    /// Bytes per second that a client has to take, measured over the time that we wait for it.
    pub least_rate: u64,
    /// The waiting time over which `least_rate` is judged.
    pub least_rate_window: Duration,
    pub h2: H2Limits,
    pub h3: H3Limits,
    /// Connections in all; `None` stands for 60 % of the process's limit of open files.
    pub connections_max: Option<usize>,
    /// Connections of one IPv4 address or one IPv6 /64.
    pub connections_per_address_max: usize,
    /// Streams of HTTP/2 and HTTP/3 at once, over all connections of one IPv4 address or IPv6 /64; 0 for as many as these allow.
    pub streams_per_address_max: u32,
}

/// Limits within one HTTP/2 connection.
#[derive(Clone, Debug)]
pub struct H2Limits {
    pub streams_max: u32,
    pub header_list_bytes_max: u32,
    pub stream_window_bytes: u32,
    pub connection_window_bytes: u32,
    /// Streams reset by the client before we accepted them (rapid reset); beyond it GOAWAY.
    pub pending_resets_max: usize,
    /// Streams that we reset for the client's faults; beyond it GOAWAY.
    pub local_resets_max: usize,
    /// Bytes held for each stream towards the client.
    pub send_buffer_bytes_max: usize,
}

/// Limits of HTTP/3, beside those that it shares with HTTP/2: streams, header list, windows of what clients send, requests
/// and idling of a connection.
#[derive(Clone, Debug)]
pub struct H3Limits {
    /// Bytes held for each connection that its client has not acknowledged.
    pub send_buffer_bytes_max: u64,
    /// Handshakes at a time with clients whose address is not proven; the next has to prove it first (Retry).
    pub unproven_max: usize,
    /// What each socket holds in each direction, as far as the system allows it.
    pub socket_buffer_bytes: usize,
    /// Whether a connection may go on from another address.
    pub migration: bool,
}

impl Default for H3Limits {
    fn default() -> Self {
        Self {
            send_buffer_bytes_max: 1024 * 1024,
            unproven_max: 64,
            socket_buffer_bytes: 2 * 1024 * 1024,
            migration: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            target_bytes_max: 8 * 1024,
            header_section_bytes_max: 32 * 1024,
            header_line_bytes_max: 8 * 1024,
            headers_max: 64,
            header_read_timeout: Duration::from_secs(10),
            tls_handshake_timeout: Duration::from_secs(5),
            idle_timeout_h1: Duration::from_secs(15),
            idle_timeout_h2: Duration::from_mins(1),
            requests_max_h1: 1_000,
            requests_max_h2: 10_000,
            stalled_write_timeout: Duration::from_secs(20),
            unsent_bytes_max: 128 * 1024,
            least_rate: 8 * 1024,
            least_rate_window: Duration::from_secs(30),
            h2: H2Limits::default(),
            h3: H3Limits::default(),
            connections_max: None,
            connections_per_address_max: 256,
            streams_per_address_max: 2_048,
        }
    }
}

impl Default for H2Limits {
    fn default() -> Self {
        Self {
            streams_max: 100,
            header_list_bytes_max: 16 * 1024,
            stream_window_bytes: 256 * 1024,
            connection_window_bytes: 1024 * 1024,
            pending_resets_max: 20,
            local_resets_max: 256,
            send_buffer_bytes_max: 128 * 1024,
        }
    }
}

impl Limits {
    /// The most connections that may be open at once.
    pub fn connections_max(&self) -> usize {
        self.connections_max.unwrap_or_else(|| open_files_max().saturating_mul(6) / 10)
    }
}

/// The soft limit of open files from `/proc/self/limits`; 1024, the customary one, where there is none to read.
fn open_files_max() -> usize {
    const CUSTOMARY: usize = 1024;
    let Ok(text) = std::fs::read_to_string("/proc/self/limits") else { return CUSTOMARY };
    parse_open_files_max(&text).unwrap_or(CUSTOMARY)
}

fn parse_open_files_max(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    // Without a limit of files, memory is the limit: a million connections is more than one process should hold.
    if soft == "unlimited" { Some(1_000_000) } else { soft.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_files_is_read() {
        let text = "Limit   Soft Limit  Hard Limit  Units\nMax open files            20000                30000                files     \n";
        assert_eq!(parse_open_files_max(text), Some(20_000));
        assert_eq!(parse_open_files_max("Max open files unlimited unlimited files"), Some(1_000_000));
        assert_eq!(parse_open_files_max("Max cpu time unlimited"), None);
    }

    #[test]
    fn connections_are_three_fifths_of_the_files_unless_told() {
        let limits = Limits::default();
        assert_eq!(limits.connections_max(), open_files_max() * 6 / 10);
        assert_eq!(Limits { connections_max: Some(7), ..limits }.connections_max(), 7);
    }
}
