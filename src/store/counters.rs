//! What the store counts, for the metrics to read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn one(&self) {
        self.add(1);
    }

    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of all tiers since the start.
#[derive(Debug, Default)]
pub struct Counters {
    pub memory_hits: Counter,
    pub memory_misses: Counter,
    pub memory_evictions: Counter,
    /// Objects that memory refused because they are heavier than one of its shards.
    pub memory_refused: Counter,
    pub fills: Counter,
    /// Requests that joined a fetch another one had begun.
    pub collapsed: Counter,
    /// Requests turned away because too many waited for the same object.
    pub crowded: Counter,
    pub fills_failed: Counter,
    /// Fetches ended because nobody wanted them any more.
    pub fills_abandoned: Counter,
    /// Objects streamed to those who waited without being kept, for their size.
    pub fills_passed: Counter,
    /// Readers cut off because they held up the others of an object that is not kept.
    pub readers_cut: Counter,
    pub fill_bytes: Counter,
    pub purges: Counter,
    /// Objects that purges took out of memory, or marked in it.
    pub purged: Counter,
    pub purged_on_disk: Counter,
    pub purged_playlists: Counter,
    pub disk_hits: Counter,
    pub disk_misses: Counter,
    pub disk_writes: Counter,
    /// Objects not written because too many bytes already waited for the disk.
    pub disk_skipped: Counter,
    pub disk_evictions: Counter,
    pub disk_errors: Counter,
    /// Files whose bytes were not those that were written.
    pub disk_corrupt: Counter,
    /// Objects that did not come from disk in their time.
    pub disk_late: Counter,
    /// How often the disk was left alone for a while.
    pub disk_off: Counter,
    pub disk_read_bytes: Counter,
    pub disk_written_bytes: Counter,
}
