//! What lies on disk, held in memory, and which of it goes first: SIEVE (Zhang et al., NSDI '24) by bytes.
//!
//! Objects stand in the order in which they came. A hit only marks one. A hand walks from the oldest to the newest: what
//! it finds marked it unmarks and leaves in place, what is not marked goes.

use std::collections::HashMap;

use crate::store::key::{AsItIs, Key};
use crate::store::purge::Scope;

#[derive(Debug)]
pub(super) struct Index {
    places: HashMap<u128, usize, AsItIs>,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    newest: Option<usize>,
    oldest: Option<usize>,
    hand: Option<usize>,
    bytes: u64,
    bytes_max: u64,
    /// Objects on their way to the disk, and whether they were purged on it.
    writing: HashMap<u128, (Key, bool), AsItIs>,
}

#[derive(Debug)]
struct Entry {
    item: Item,
    visited: bool,
    newer: Option<usize>,
    older: Option<usize>,
}

/// One object on disk.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub key: Key,
    pub tags: Box<[Box<str>]>,
    /// The size of its file.
    pub bytes: u64,
    /// The number of the latest purge that it has outlived.
    pub outlived: u64,
}

impl Index {
    pub fn new(bytes_max: u64) -> Self {
        Self {
            places: HashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            newest: None,
            oldest: None,
            hand: None,
            bytes: 0,
            bytes_max,
            writing: HashMap::default(),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The object of `key`, marked as wanted.
    pub fn hit(&mut self, key: &Key) -> Option<&Item> {
        let entry = self.entries[*self.places.get(&key.hash())?].as_mut()?;
        entry.visited = true;
        Some(&entry.item).filter(|item| item.key == *key)
    }

    pub fn has(&self, key: &Key) -> bool {
        let place = self.places.get(&key.hash()).and_then(|place| self.entries[*place].as_ref());
        place.is_some_and(|entry| entry.item.key == *key)
    }

    /// Notes that `key` is being written; false when it is already.
    pub fn begin_write(&mut self, key: &Key) -> bool {
        let free = !self.writing.contains_key(&key.hash());
        if free {
            self.writing.insert(key.hash(), (key.clone(), false));
        }
        free
    }

    /// Ends a write; whether the object was purged meanwhile.
    pub fn end_write(&mut self, key: &Key) -> bool {
        self.writing.remove(&key.hash()).is_none_or(|(_, doomed)| doomed)
    }

    /// Notes that objects being written were purged by their keys.
    pub fn doom(&mut self, scope: &Scope) {
        for (key, doomed) in self.writing.values_mut() {
            *doomed |= scope.covers(key.text(), &[]);
        }
    }

    /// Adds an object as the newest, in place of an older one of its key, and gives the hashes of those that go.
    pub fn insert(&mut self, item: Item) -> Vec<u128> {
        let hash = item.key.hash();
        self.remove(hash);
        let mut victims = Vec::new();
        while self.bytes.saturating_add(item.bytes) > self.bytes_max
            && let Some(victim) = self.evict()
        {
            victims.push(victim);
        }
        self.bytes += item.bytes;
        let entry = Entry { item, visited: false, newer: None, older: self.newest };
        let place = self.free.pop().unwrap_or(self.entries.len());
        if place == self.entries.len() {
            self.entries.push(None);
        }
        self.entries[place] = Some(entry);
        match self.newest.and_then(|newest| self.entries[newest].as_mut()) {
            Some(newest) => newest.newer = Some(place),
            None => self.oldest = Some(place),
        }
        self.newest = Some(place);
        self.places.insert(hash, place);
        victims
    }

    pub fn remove(&mut self, hash: u128) -> Option<Item> {
        let place = self.places.remove(&hash)?;
        self.unlink(place)
    }

    /// The keys that `scope` covers, each with the size of its file; `count_max` at most.
    pub fn covered(&self, scope: &Scope, count_max: usize) -> Vec<(Key, u64)> {
        let items = self.entries.iter().flatten().map(|entry| &entry.item);
        let covered = items.filter(|item| scope.covers(item.key.text(), &item.tags));
        covered.take(count_max).map(|item| (item.key.clone(), item.bytes)).collect()
    }

    /// Looks at up to `count` places from `from` on and takes out what `scope` covers. The place to go on from, while
    /// there is more.
    pub fn purge_some(&mut self, scope: &Scope, from: usize, count: usize) -> (Vec<u128>, Option<usize>) {
        let to = from.saturating_add(count).min(self.entries.len());
        let covered: Vec<_> = self.entries[from.min(to)..to]
            .iter()
            .flatten()
            .filter(|entry| scope.covers(entry.item.key.text(), &entry.item.tags))
            .map(|entry| entry.item.key.hash())
            .collect();
        for hash in &covered {
            self.remove(*hash);
        }
        (covered, (to < self.entries.len()).then_some(to))
    }

    fn evict(&mut self) -> Option<u128> {
        let mut hand = self.hand.or(self.oldest)?;
        loop {
            let entry = self.entries[hand].as_mut()?;
            if !entry.visited {
                break;
            }
            entry.visited = false;
            hand = entry.newer.or(self.oldest)?;
        }
        self.hand = Some(hand);
        let hash = self.entries[hand].as_ref()?.item.key.hash();
        self.remove(hash);
        Some(hash)
    }

    fn unlink(&mut self, place: usize) -> Option<Item> {
        let entry = self.entries[place].take()?;
        match entry.newer.and_then(|newer| self.entries[newer].as_mut()) {
            Some(newer) => newer.older = entry.older,
            None => self.newest = entry.older,
        }
        match entry.older.and_then(|older| self.entries[older].as_mut()) {
            Some(older) => older.newer = entry.newer,
            None => self.oldest = entry.newer,
        }
        if self.hand == Some(place) {
            self.hand = entry.newer;
        }
        self.free.push(place);
        self.bytes -= entry.item.bytes;
        Some(entry.item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(text: &str, bytes: u64) -> Item {
        Item { key: Key::new(text), tags: Box::default(), bytes, outlived: 0 }
    }

    fn hashes(texts: &[&str]) -> Vec<u128> {
        texts.iter().map(|text| Key::new(*text).hash()).collect()
    }

    #[test]
    fn the_oldest_that_nobody_asked_for_goes_first() {
        let mut index = Index::new(30);
        for text in ["a", "b", "c"] {
            assert!(index.insert(item(text, 10)).is_empty());
        }
        assert!(index.hit(&Key::new("a")).is_some());
        assert_eq!(index.insert(item("d", 10)), hashes(&["b"]));
        assert_eq!(index.insert(item("e", 20)), hashes(&["c", "d"]));
        assert_eq!((index.bytes(), index.count()), (30, 2));
    }

    #[test]
    fn a_scan_leaves_what_is_asked_for() {
        let mut index = Index::new(100);
        for number in 0..5 {
            index.insert(item(&format!("hot/{number}"), 10));
        }
        for number in 0..100 {
            for hot in 0..5 {
                assert!(index.hit(&Key::new(format!("hot/{hot}"))).is_some(), "at {number}");
            }
            index.insert(item(&format!("scan/{number}"), 10));
        }
    }

    #[test]
    fn one_hash_with_another_text_is_no_hit() {
        let mut index = Index::new(100);
        index.insert(item("a", 1));
        let place = index.places[&Key::new("a").hash()];
        index.places.insert(Key::new("b").hash(), place);
        assert!(index.hit(&Key::new("b")).is_none() && !index.has(&Key::new("b")));
    }

    #[test]
    fn a_purge_in_steps_finds_all() {
        let mut index = Index::new(u64::MAX);
        for number in 0..100 {
            index.insert(item(&format!("/{}/{number}", number % 2), 1));
        }
        let (mut gone, mut from) = (0, Some(0));
        while let Some(at) = from {
            let (some, next) = index.purge_some(&Scope::Prefix("/0/".into()), at, 7);
            gone += some.len();
            from = next;
        }
        assert_eq!((gone, index.count(), index.bytes()), (50, 50, 50));
    }

    proptest! {
        #[test]
        fn bytes_and_order_hold_whatever_happens(steps in prop::collection::vec((0_u8..4, 0_u8..20, 1_u64..40), 0..300)) {
            let mut index = Index::new(100);
            for (step, name, bytes) in steps {
                let key = Key::new(format!("{name}"));
                match step {
                    0 => drop(index.remove(key.hash())),
                    1 => drop(index.hit(&key).is_some()),
                    _ => {
                        index.insert(item(key.text(), bytes));
                        prop_assert!(index.has(&key));
                    }
                }
                prop_assert!(index.bytes() <= 100);
                let sum: u64 = index.entries.iter().flatten().map(|entry| entry.item.bytes).sum();
                prop_assert_eq!(sum, index.bytes());
                let (mut walked, mut at, mut before) = (0, index.oldest, None);
                while let Some(place) = at {
                    let entry = index.entries[place].as_ref().unwrap();
                    prop_assert_eq!(entry.older, before);
                    (before, at, walked) = (at, entry.newer, walked + 1);
                }
                prop_assert_eq!(before, index.newest);
                prop_assert_eq!(walked, index.count());
                prop_assert!(index.hand.is_none_or(|hand| index.entries[hand].is_some()));
            }
        }
    }
}
