//! Listeners that were open before this process, by their addresses; and those that another may take over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Listeners that nobody has taken yet. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Given(Arc<Mutex<Vec<TcpListener>>>);

impl Given {
    pub fn new(listeners: Vec<TcpListener>) -> Self {
        Self(Arc::new(Mutex::new(listeners)))
    }

    /// The one that listens on `address`; where no port is asked for, the first on that host.
    pub(super) fn take(&self, address: SocketAddr) -> Option<TcpListener> {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_asked_for = |local: SocketAddr| match address.port() {
            0 => local.ip() == address.ip(),
            _ => local == address,
        };
        let place = listeners.iter().position(|one| one.local_addr().is_ok_and(is_asked_for))?;
        Some(listeners.remove(place))
    }

    /// Closes those that nobody took, and gives their addresses.
    pub fn close_rest(&self) -> Vec<SocketAddr> {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.drain(..).filter_map(|listener| listener.local_addr().ok()).collect()
    }
}

/// The listeners of this process for as long as they accept: held here, they would stay open through the drain.
#[derive(Clone, Debug, Default)]
pub struct Listening(pub(super) Vec<Weak<tokio::net::TcpListener>>);

impl Listening {
    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Further descriptors of the same sockets.
    pub fn duplicates(&self) -> io::Result<Vec<OwnedFd>> {
        use std::os::fd::AsFd;
        let open = self.0.iter().filter_map(Weak::upgrade);
        open.map(|listener| listener.as_fd().try_clone_to_owned()).collect()
    }
}
