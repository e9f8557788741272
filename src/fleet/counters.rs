//! What the fleet's part of an edge counts.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub struct Counters {
    /// Connections made to Redis.
    pub connected: Count,
    /// Questions and changes that Redis did not answer in time or well.
    pub failed: Count,
    /// Whole comparisons: at each connection.
    pub resyncs: Count,
    /// Changes of the lists that came from elsewhere.
    pub changes: Count,
    /// Viewings that asked for a seat.
    pub asked: Count,
    pub refused: Count,
    pub reported: Count,
    pub displaced: Count,
    /// Viewings that were judged by this edge alone, the fleet being away.
    pub alone: Count,
    /// No room for another viewing or token.
    pub full: Count,
    pub tokens_used: Count,
    pub tokens_replayed: Count,
    pub purges: Count,
    /// Purges of everything, since single ones were missed.
    pub purges_of_all: Count,
    pub file_errors: Count,
    pub files_damaged: Count,
}
