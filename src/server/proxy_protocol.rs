//! The PROXY protocol on listeners where it is configured: who the client of a balancer's connection is.
//!
//! Threat: whoever may send this header chooses the address by which limits, lists and tokens judge. So on such a listener
//! a connection has to come from a trusted network, and has to begin with the header; there is no guessing whether one is
//! there. The specification, §5: "The receiver MUST be configured to only receive the protocol described in this
//! specification and MUST not try to guess whether the protocol header is present or not. This means that the protocol
//! explicitly prevents port sharing between public and private access."

pub mod header;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::domain::network::Networks;

use header::{Announced, Progress};

/// On which listeners the header is expected, and from whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Of the addresses that are listened on.
    pub listeners: Vec<SocketAddr>,
    /// The networks of the balancers.
    pub trusted: Networks,
    /// From accepting a connection to the header's last byte.
    pub header_timeout: Duration,
    /// Of a header of version 2, what is skipped included.
    pub header_bytes_max: usize,
}

/// Why a connection was closed before anything else was read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It comes from no trusted network.
    Untrusted,
    /// It does not begin with a header.
    Missing,
    Malformed,
    TooLong,
    TimedOut,
    /// It ended within its header, or failed.
    CutShort,
}

impl Refusal {
    pub const ALL: [Self; 6] =
        [Self::Untrusted, Self::Missing, Self::Malformed, Self::TooLong, Self::TimedOut, Self::CutShort];

    /// A name for metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::TimedOut => "timed_out",
            Self::CutShort => "cut_short",
        }
    }
}

impl ProxyProtocol {
    /// Takes the header off a connection, and not a byte more.
    pub(super) async fn announced(&self, socket: &mut TcpStream) -> Result<Announced, Refusal> {
        let read = timeout(self.header_timeout, read(socket, self.header_bytes_max)).await;
        read.map_err(|_| Refusal::TimedOut)?
    }
}

async fn read(socket: &mut TcpStream, bytes_max: usize) -> Result<Announced, Refusal> {
    const PIECE: usize = 256;
    let mut header = Vec::with_capacity(PIECE);
    loop {
        let mut piece = [0; PIECE];
        // Looked at first: what follows the header is not ours. Each look is at bytes that were not there before, since those
        // that belong to the header are taken off.
        let count = socket.peek(&mut piece).await.map_err(cut_short)?;
        if count == 0 {
            return Err(Refusal::CutShort);
        }
        let before = header.len();
        header.extend_from_slice(&piece[..count]);
        let (ours, announced) = match header::read(&header, bytes_max)? {
            Progress::Unfinished => (count, None),
            Progress::Complete { bytes, announced } => (bytes.saturating_sub(before), Some(announced)),
        };
        // A piece is what was just looked at.
        socket.read_exact(&mut piece[..ours.min(count)]).await.map_err(cut_short)?;
        if let Some(announced) = announced {
            return Ok(announced);
        }
    }
}

fn cut_short(_: io::Error) -> Refusal {
    Refusal::CutShort
}
