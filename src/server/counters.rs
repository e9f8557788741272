//! What the listeners count, for the metrics to read.

use std::sync::atomic::{AtomicU64, Ordering};

use super::door::Refusal;
use super::proxy_protocol;

/// A count that only grows, or a gauge where its field says so.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn increment(&self) {
        self.add(1);
    }

    pub(super) fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counters of all listeners of a process.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// A gauge: connections open at the moment.
    pub open: Count,
    pub accepted: Count,
    /// Accepting failed (file limit and the like); the listener waited and went on.
    pub accept_errors: Count,
    pub refused_by_total: Count,
    pub refused_by_address: Count,
    /// Connections of HTTP/3, also among `accepted`.
    pub h3_accepted: Count,
    /// Clients of HTTP/3 that were asked to prove their address first.
    pub h3_retries: Count,
    /// Handshakes of HTTP/3, also among `tls_handshakes_done`.
    pub h3_handshakes: Count,
    /// Requests of HTTP/3 that went to the handler.
    pub h3_requests: Count,
    pub tls_handshakes_done: Count,
    pub tls_handshakes_failed: Count,
    pub tls_handshakes_timed_out: Count,
    /// Handshakes that ended for want of a good certificate of the client, also among `tls_handshakes_failed`.
    pub client_certificates_refused: Count,
    /// Handshakes in which the client showed a good certificate.
    pub client_certificates_accepted: Count,
    /// Handshakes that went on from an earlier one, also among `tls_handshakes_done`.
    pub tls_handshakes_resumed: Count,
    /// Requests of connections that have ended; what goes on is counted where it is answered.
    pub requests: Count,
    /// Heads that hyper or h2 refused by themselves.
    pub refused_by_protocol: Count,
    pub header_timeouts: Count,
    pub idle_timeouts: Count,
    pub stalled_writes: Count,
    pub too_slow_readers: Count,
    /// Connections that still had work when the drain's time was over.
    pub cut_by_drain: Count,
    /// Bytes as HTTP sees them, of connections that have ended.
    pub bytes_read: Count,
    pub bytes_written: Count,
    /// Headers of the PROXY protocol that were taken.
    pub proxy_headers: Count,
    refusals: [Count; Refusal::ALL.len()],
    proxy_refusals: [Count; proxy_protocol::Refusal::ALL.len()],
}

impl ConnectionCounters {
    /// Requests refused at the door for one reason.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal as usize].value()
    }

    /// Connections closed for want of a good header of the PROXY protocol, for one reason.
    pub fn proxy_refused(&self, refusal: proxy_protocol::Refusal) -> u64 {
        self.proxy_refusals[refusal as usize].value()
    }

    pub(super) fn count_proxy_refusal(&self, refusal: proxy_protocol::Refusal) {
        self.proxy_refusals[refusal as usize].increment();
    }

    pub(super) fn count_refusal(&self, refusal: Refusal) {
        self.refusals[refusal as usize].increment();
    }
}
