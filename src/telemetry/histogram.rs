//! Histograms of times that are counted without a lock: each thread adds to a shard of its own, and a reader sums them.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::metrics::Labels;

/// Upper bounds in microseconds: from what memory gives at once to what a blocking reload waits.
pub const BOUNDS_MICROS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// More threads than these share shards, which is slower and no less right.
const SHARDS: usize = 4;

/// Times of one kind of thing.
#[derive(Debug, Default)]
pub struct Histogram {
    shards: [Shard; SHARDS],
}

/// On cache lines of its own: threads that count do not take lines from each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// By bound, each alone; the last is for what is longer than all.
    counts: [AtomicU64; BOUNDS_MICROS.len() + 1],
    micros: AtomicU64,
}

/// What a histogram held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub counts: [u64; BOUNDS_MICROS.len() + 1],
    pub micros: u64,
}

impl Histogram {
    pub fn observe(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        let shard = &self.shards[shard()];
        shard.counts[bucket].fetch_add(1, Ordering::Relaxed);
        shard.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for shard in &self.shards {
            for (sum, count) in sum.counts.iter_mut().zip(&shard.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
            sum.micros = sum.micros.wrapping_add(shard.micros.load(Ordering::Relaxed));
        }
        sum
    }
}

/// The shard of this thread: threads take them in turn.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let taken = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            mine.set(Some(taken));
            taken
        })
    })
}

/// Histograms of one name, each with its labels.
pub type Histograms = Box<dyn Fn() -> Vec<(Labels, Snapshot)> + Send + Sync>;

/// A family of histograms for Prometheus. Those in which nothing was counted are left out.
pub(super) struct Exported {
    pub name: &'static str,
    pub help: &'static str,
    pub histograms: Histograms,
}

impl std::fmt::Debug for Exported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exported").field("name", &self.name).finish_non_exhaustive()
    }
}

impl prometheus_client::collector::Collector for Exported {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let kind = MetricType::Histogram;
        let mut family = encoder.encode_descriptor(self.name, self.help, Some(&Unit::Seconds), kind)?;
        for (labels, snapshot) in (self.histograms)() {
            let bounds = BOUNDS_MICROS.iter().map(|micros| seconds(*micros)).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(snapshot.counts).collect();
            let count = snapshot.counts.iter().sum();
            if count > 0 {
                let mut one = family.encode_family(&labels)?;
                one.encode_histogram::<NoLabelSet>(seconds(snapshot.micros), count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a microsecond in 285 years")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_the_first_bucket_that_is_not_below_it() {
        let histogram = Histogram::default();
        for micros in [0, 500, 501, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let held = histogram.snapshot();
        let last = BOUNDS_MICROS.len();
        assert_eq!((held.counts[0], held.counts[1], held.counts[last - 1], held.counts[last]), (2, 1, 1, 1));
        assert_eq!(held.micros, 120_001_002);
    }

    #[test]
    fn what_many_threads_count_is_all_there() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| histogram.observe(Duration::from_millis(3))));
            }
        });
        let held = histogram.snapshot();
        assert_eq!((held.counts.iter().sum::<u64>(), held.micros), (8_000, 24_000_000));
    }
}
