//! The memory tier: objects by their bytes, kept by a rule (S3-FIFO) that a scan does not wash away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::store::counters::Counters;
use crate::store::key::{AsItIs, Key};
use crate::store::object::Object;
use crate::store::purge::{Depth, Purges, Scope};

/// A guess at the size of an object, from which the number of remembered names of evicted objects is taken.
const OBJECT_BYTES_TYPICAL: u64 = 64 << 10;
const SHARDS_MAX: u64 = 64;

/// Objects in memory, bounded by bytes.
#[derive(Debug)]
pub struct Memory<M> {
    kept: Cache<u128, Arc<Object<M>>, ByBytes, AsItIs, Evictions>,
    /// The longest body.
    object_bytes_max: u64,
    /// The most that an object may weigh with all that belongs to it.
    weight_max: u64,
    purges: Arc<Purges>,
    counters: Arc<Counters>,
}

#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl<M> Weighter<u128, Arc<Object<M>>> for ByBytes {
    fn weight(&self, _hash: &u128, object: &Arc<Object<M>>) -> u64 {
        object.weight()
    }
}

/// Collects what is evicted, so that it is freed after the shard's lock.
#[derive(Clone, Copy, Debug)]
struct Evictions;

impl<M> Lifecycle<u128, Arc<Object<M>>> for Evictions {
    type RequestState = Vec<(u128, Arc<Object<M>>)>;

    fn on_evict(&self, evicted: &mut Self::RequestState, hash: u128, object: Arc<Object<M>>) {
        evicted.push((hash, object));
    }
}

impl<M> Memory<M> {
    /// Room for `bytes_max`; the body of one object may have up to `object_bytes_max`.
    pub fn new(bytes_max: u64, object_bytes_max: u64, purges: Arc<Purges>, counters: Arc<Counters>) -> Self {
        // The budget is split evenly over the shards, and what is heavier than a shard's share is refused: eight of the
        // largest objects fit into each. The cache takes the next power of two, so give it the one before.
        let shards = (bytes_max / object_bytes_max.saturating_mul(8).max(1)).clamp(1, SHARDS_MAX);
        let shards = 1_u64 << shards.ilog2();
        let items = (bytes_max / OBJECT_BYTES_TYPICAL).clamp(32 * shards, 4_000_000);
        let options = OptionsBuilder::new()
            .weight_capacity(bytes_max)
            .estimated_items_capacity(usize::try_from(items).unwrap_or(usize::MAX))
            .shards(usize::try_from(shards).unwrap_or(1))
            .build()
            .expect("capacity and items are given");
        let kept = Cache::with_options(options, ByBytes, AsItIs::default(), Evictions);
        // What the cache keeps for objects that proved themselves is the most that one object may weigh.
        let weight_max = kept.shard_capacity() / 100 * 97;
        let object_bytes_max = object_bytes_max.min(weight_max);
        Self { kept, object_bytes_max, weight_max, purges, counters }
    }

    /// The object under `key`, whose whole text is compared, and how often it was found before. One that was purged
    /// softly comes marked stale.
    pub fn get(&self, key: &Key) -> Option<(Arc<Object<M>>, u32)> {
        let found = self.kept.get(&key.hash()).filter(|object| object.key() == key);
        let found = found.filter(|object| self.outlives_all_purges(object));
        match &found {
            Some(_) => self.counters.memory_hits.one(),
            None => self.counters.memory_misses.one(),
        }
        found.map(|object| {
            let hits = object.hit();
            (object, hits)
        })
    }

    /// The object under `key`, without counting anything.
    pub fn peek(&self, key: &Key) -> Option<Arc<Object<M>>> {
        let found = self.kept.peek(&key.hash()).filter(|object| object.key() == key);
        found.filter(|object| self.outlives_all_purges(object))
    }

    /// What `scope` covers, without counting anything; `count_max` at most. It looks at every object.
    pub fn covered(&self, scope: &Scope, count_max: usize) -> Vec<Arc<Object<M>>> {
        let covered = self.kept.iter().map(|(_, object)| object).filter(|object| {
            scope.covers(object.key().text(), object.tags()) && self.outlives_all_purges(object)
        });
        covered.take(count_max).collect()
    }

    /// Keeps `object` in place of what was under its key, unless it was purged while it came. Whether it is kept.
    pub fn insert(&self, object: Arc<Object<M>>) -> bool {
        let hash = object.key().hash();
        if !self.outlives_all_purges(&object) {
            return false;
        }
        if object.len() > self.object_bytes_max || object.weight() > self.weight_max {
            self.counters.memory_refused.one();
            self.kept.remove(&hash);
            return false;
        }
        let mut evicted = Vec::new();
        self.kept.insert_with_lifecycle(hash, object, &mut evicted);
        let others = evicted.iter().filter(|(evicted, _)| *evicted != hash).count();
        self.counters.memory_evictions.add(others as u64);
        true
    }

    /// Purges what `scope` covers and tells how many objects that was. One key costs a look-up, all else a walk.
    pub(super) fn purge(&self, scope: &Scope, depth: Depth) -> usize {
        let count = match scope {
            Scope::Key(text) => {
                let key = Key::new(&**text);
                let found = self.kept.peek(&key.hash()).filter(|object| *object.key() == key);
                usize::from(found.is_some_and(|object| self.apply(&object, depth)))
            }
            Scope::Name { .. }
            | Scope::Names { .. }
            | Scope::Prefix(_)
            | Scope::Tag(_)
            | Scope::AllOf(_)
            | Scope::All => {
                let count = AtomicUsize::new(0);
                self.kept.retain(|_, object| {
                    let covered = scope.covers(object.key().text(), object.tags());
                    if covered {
                        count.fetch_add(1, Ordering::Relaxed);
                        mark(object, depth);
                    }
                    !covered || depth != Depth::Hard
                });
                count.into_inner()
            }
        };
        self.counters.purged.add(count as u64);
        count
    }

    fn apply(&self, object: &Arc<Object<M>>, depth: Depth) -> bool {
        mark(object, depth);
        match depth {
            Depth::Soft(_) => true,
            Depth::Hard => {
                let same = |kept: &Arc<Object<M>>| Arc::ptr_eq(kept, object);
                self.kept.remove_if(&object.key().hash(), same).is_some()
            }
        }
    }

    fn outlives_all_purges(&self, object: &Arc<Object<M>>) -> bool {
        let (outlived, latest) = (object.outlived(), self.purges.latest());
        if outlived == latest {
            return true;
        }
        match self.purges.verdict(outlived, object.key().text(), object.tags()) {
            Some(Depth::Hard) => {
                self.apply(object, Depth::Hard);
                return false;
            }
            Some(Depth::Soft(since)) => object.mark_stale(since),
            None => (),
        }
        object.outlives(latest);
        true
    }

    /// The longest body that is kept, after what the room allows.
    pub fn object_bytes_max(&self) -> u64 {
        self.object_bytes_max
    }

    /// What the objects weigh together.
    pub fn bytes(&self) -> u64 {
        self.kept.weight()
    }

    pub fn count(&self) -> usize {
        self.kept.len()
    }
}

/// Tells also those who hold the object.
pub(super) fn mark<M>(object: &Object<M>, depth: Depth) {
    object.mark_stale(match depth {
        Depth::Soft(since) => since,
        Depth::Hard => Duration::ZERO,
    });
}

#[cfg(test)]
mod tests;
