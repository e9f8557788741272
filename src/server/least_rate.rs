//! The least rate at which a client has to take what waits for it.
//!
//! Only time in which we waited for the client counts. When that makes a whole window, the client must have taken enough
//! meanwhile.

use std::time::Duration;

use super::settings::Limits;

/// The time waited for a client, and what it took meanwhile.
#[derive(Debug)]
pub(super) struct LeastRate {
    window: Duration,
    least_bytes_in_window: u64,
    waited: Duration,
    written_at_window_start: u64,
}

impl LeastRate {
    /// `written` is how many bytes the client has taken up to here.
    pub(super) fn new(limits: &Limits, written: u64) -> Self {
        // A window has to pass some time, or the timer would stand still on it.
        let window = limits.least_rate_window.max(Duration::from_millis(100));
        let window_millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Self {
            window,
            least_bytes_in_window: limits.least_rate.saturating_mul(window_millis) / 1000,
            waited: Duration::ZERO,
            written_at_window_start: written,
        }
    }

    /// Counts time in which we waited for the client.
    pub(super) fn wait(&mut self, time: Duration) {
        self.waited += time;
    }

    /// How much more waiting makes the window whole.
    pub(super) fn left(&self) -> Duration {
        self.window.saturating_sub(self.waited)
    }

    /// Whether the window is whole and the client took too little in it; begins the next one where it took enough.
    pub(super) fn is_missed(&mut self, written: u64) -> bool {
        if self.waited < self.window {
            return false;
        }
        if written - self.written_at_window_start < self.least_bytes_in_window {
            return true;
        }
        self.waited = Duration::ZERO;
        self.written_at_window_start = written;
        false
    }
}
