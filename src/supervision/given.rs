//! Sockets that were open before the process began: by systemd (`sd_listen_fds(3)`), or by the process that it succeeds.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use listenfd::ListenFd;

/// Says that the last of the descriptors leads to the predecessor, which waits to hear that this process serves.
pub(super) const SUCCEEDS: &str = "SLUICEGATE_SUCCEEDS";

/// What was there when the process began.
#[derive(Debug, Default)]
pub struct Given {
    pub listeners: Vec<TcpListener>,
    /// Who makes way once it is told that this process serves.
    pub predecessor: Option<Predecessor>,
}

/// The way to the process that gave us its sockets.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

/// A descriptor that was given is not what is taken.
#[derive(Debug, thiserror::Error)]
#[error(
    "socket {number} of those that were given (LISTEN_FDS) is no TCP listener: {source}; sluicegate.socket may only have ListenStream= with an address and a port, HTTP/3 opens its sockets itself"
)]
pub struct GivenError {
    number: usize,
    source: io::Error,
}

impl Given {
    /// Takes what the environment names, and takes it out of the environment. To be called before there are threads.
    pub fn from_environment() -> Result<Self, GivenError> {
        let mut descriptors = ListenFd::from_env();
        let mut count = descriptors.len();
        let error = |number: usize| move |source| GivenError { number: number + 1, source };
        let mut predecessor = None;
        if succeeds() && count > 0 {
            count -= 1;
            // One end of a pair, which listenfd has no other name for.
            let end = descriptors.take_unix_listener(count).map_err(error(count))?;
            predecessor = end.map(|end: UnixListener| Predecessor(OwnedFd::from(end).into()));
        }
        let mut listeners = Vec::with_capacity(count);
        for number in 0..count {
            listeners.extend(descriptors.take_tcp_listener(number).map_err(error(number))?);
        }
        Ok(Self { listeners, predecessor })
    }
}

#[expect(clippy::disallowed_methods, reason = "what a process is given is told in its environment alone")]
fn succeeds() -> bool {
    std::env::var_os(SUCCEEDS).is_some()
}

impl Predecessor {
    /// Tells it that this process serves.
    pub fn tell_ready(self) -> io::Result<()> {
        io::Write::write_all(&mut &self.0, &[super::successor::READY])
    }
}
