//! How long a client may take for what is sent to it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};

use super::super::least_rate::LeastRate;
use super::super::settings::Limits;
use super::quic::Facts;

/// What a client takes too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slow {
    Stalled,
    BelowLeastRate,
}

/// One stream's waiting for its client, judged by what the whole connection has taken meanwhile.
#[derive(Debug)]
pub(super) struct Pace {
    stalled_write_timeout: Duration,
    least_rate: LeastRate,
}

impl Pace {
    pub(super) fn new(limits: &Limits, facts: &Facts) -> Self {
        Self {
            stalled_write_timeout: limits.stalled_write_timeout,
            least_rate: LeastRate::new(limits, facts.written.load(Ordering::Relaxed)),
        }
    }

    /// Waits for `sending`, as long as the connection's client takes enough.
    pub(super) async fn keep<T>(
        &mut self,
        facts: &Facts,
        sending: impl Future<Output = T>,
    ) -> Result<T, Slow> {
        let mut sending = std::pin::pin!(sending);
        // Most are taken at once, without a look at the clock.
        if let Some(sent) = sending.as_mut().now_or_never() {
            return Ok(sent);
        }
        let mut since = Instant::now();
        let mut progress_at = since;
        let mut written = facts.written.load(Ordering::Relaxed);
        loop {
            let window_ends = since + self.least_rate.left();
            let due = window_ends.min(progress_at + self.stalled_write_timeout);
            let sent = timeout_at(due, sending.as_mut()).await;
            let now = Instant::now();
            self.least_rate.wait(now - since);
            since = now;
            if let Ok(sent) = sent {
                return Ok(sent);
            }
            let written_now = facts.written.load(Ordering::Relaxed);
            if written_now != written {
                (written, progress_at) = (written_now, now);
            } else if now >= progress_at + self.stalled_write_timeout {
                return Err(Slow::Stalled);
            }
            if self.least_rate.is_missed(written_now) {
                return Err(Slow::BelowLeastRate);
            }
        }
    }
}
