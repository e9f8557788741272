//! The only reader of time. Tests set it by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of Unix time: the system's clock with an offset, or one that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System { offset_seconds: Arc<AtomicI64> },
    Manual { milliseconds: Arc<AtomicU64> },
}

impl Clock {
    /// The system's clock, moved by `offset_seconds` (0 for the true time).
    pub fn system(offset_seconds: i64) -> Self {
        Self(Kind::System { offset_seconds: Arc::new(AtomicI64::new(offset_seconds)) })
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Duration) -> Self {
        let milliseconds = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
        Self(Kind::Manual { milliseconds: Arc::new(AtomicU64::new(milliseconds)) })
    }

    /// Time since the Unix epoch. A clock before the epoch reads as the epoch.
    pub fn now(&self) -> Duration {
        match &self.0 {
            Kind::System { offset_seconds } => {
                #[expect(clippy::disallowed_methods, reason = "this module is the one reader of the clock")]
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let offset = offset_seconds.load(Ordering::Relaxed);
                let shift = Duration::from_secs(offset.unsigned_abs());
                if offset < 0 { now.saturating_sub(shift) } else { now.saturating_add(shift) }
            }
            Kind::Manual { milliseconds } => Duration::from_millis(milliseconds.load(Ordering::Relaxed)),
        }
    }

    /// Moves the clock forward; the system's clock by raising its offset.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Kind::System { offset_seconds } => {
                let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
                offset_seconds.fetch_add(seconds, Ordering::Relaxed);
            }
            Kind::Manual { milliseconds } => {
                let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
                milliseconds.fetch_add(by, Ordering::Relaxed);
            }
        }
    }
}
