//! A small, bounded memory of keys that were seen of late. It may forget early and, once in a billion, mistake a key.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::key::low_half;

const SLOTS: usize = 1 << 14;
const SECONDS_BITS: u32 = 28;

/// Keys by their hash, each for `lasting`; a newer one takes the place of an older one.
#[derive(Debug)]
pub struct Recent {
    slots: Box<[AtomicU64]>,
    since: Instant,
    lasting: Duration,
}

impl Recent {
    pub fn new(lasting: Duration) -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), since: Instant::now(), lasting }
    }

    pub fn note(&self, hash: u128) {
        let (slot, name) = self.place(hash);
        slot.store(name | (self.seconds() + 1), Ordering::Relaxed);
    }

    pub fn has(&self, hash: u128) -> bool {
        let (slot, name) = self.place(hash);
        let noted = slot.load(Ordering::Relaxed);
        let seconds = noted & ((1 << SECONDS_BITS) - 1);
        seconds > 0 && noted ^ seconds == name && self.seconds() < seconds - 1 + self.lasting.as_secs()
    }

    pub fn forget(&self, hash: u128) {
        if self.has(hash) {
            self.place(hash).0.store(0, Ordering::Relaxed);
        }
    }

    /// The slot of a hash, and the upper bits by which it is known there.
    fn place(&self, hash: u128) -> (&AtomicU64, u64) {
        let slot = usize::try_from(hash >> 64 & (SLOTS as u128 - 1)).unwrap_or(0);
        (&self.slots[slot], low_half(hash) >> SECONDS_BITS << SECONDS_BITS)
    }

    fn seconds(&self) -> u64 {
        self.since.elapsed().as_secs() & ((1 << (SECONDS_BITS - 1)) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::key::Key;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_remembered_for_its_time() {
        let recent = Recent::new(Duration::from_secs(60));
        let [a, b] = ["a", "b"].map(|text| Key::new(text).hash());
        recent.note(a);
        assert!(recent.has(a) && !recent.has(b));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(recent.has(a));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!recent.has(a));
    }

    #[tokio::test]
    async fn a_key_that_is_forgotten_is_not_there() {
        let recent = Recent::new(Duration::from_secs(60));
        let a = Key::new("a").hash();
        recent.note(a);
        recent.forget(a);
        assert!(!recent.has(a));
    }

    #[tokio::test]
    async fn few_keys_of_many_are_mistaken_or_forgotten() {
        let recent = Recent::new(Duration::from_secs(60));
        let hashes: Vec<_> = (0..1_000).map(|number| Key::new(format!("{number}")).hash()).collect();
        hashes.iter().for_each(|hash| recent.note(*hash));
        assert!(hashes.iter().filter(|hash| recent.has(**hash)).count() > 900);
        assert!((1_000..9_000).all(|number| !recent.has(Key::new(format!("{number}")).hash())));
    }
}
