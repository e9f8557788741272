//! Purging by prefix, by surrogate key, and of everything, also of what is still on its way.
//!
//! A purge is written into a short log with a number. Whatever is fetched remembers the number that stood there when
//! its fetch began, so that an answer from before a purge is recognised whenever it turns up: in memory, on its way
//! into it, or on disk. A look at one number tells on each hit that nothing happened since. The log is bounded: what
//! was last looked at before the log begins counts as purged, which costs a fetch and never shows old bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

const LOG_ENTRIES_MAX: usize = 256;

/// What is to be purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One object, by the whole text of its key.
    Key(Box<str>),
    /// All objects whose key begins with this.
    Prefix(Box<str>),
    /// All objects that carry this surrogate key.
    Tag(Box<str>),
    All,
}

impl Scope {
    pub fn covers(&self, key: &str, tags: &[Box<str>]) -> bool {
        match self {
            Self::Key(whole) => **whole == *key,
            Self::Prefix(prefix) => key.starts_with(&**prefix),
            Self::Tag(tag) => tags.contains(tag),
            Self::All => true,
        }
    }
}

/// How much is left of what is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// It stays, marked stale, and may be validated or served while its origin is down.
    Soft,
    /// It is gone.
    Hard,
}

#[derive(Clone, Debug)]
pub struct Purge {
    pub scope: Scope,
    pub depth: Depth,
}

/// The purges of late, numbered.
#[derive(Debug, Default)]
pub struct Purges {
    latest: AtomicU64,
    log: RwLock<Log>,
}

#[derive(Debug, Default)]
struct Log {
    /// The highest number that was dropped from the log.
    forgotten: u64,
    entries: VecDeque<(u64, Purge)>,
}

impl Purges {
    /// The number of the latest purge: what is fetched from here on is newer than it.
    pub fn latest(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }

    pub(super) fn record(&self, purge: Purge) {
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        // A later purge of the same scope stands for an earlier one, if it is not the milder of the two.
        log.entries.retain(|(_, past)| past.scope != purge.scope || past.depth > purge.depth);
        if log.entries.len() == LOG_ENTRIES_MAX
            && let Some((number, _)) = log.entries.pop_front()
        {
            log.forgotten = number;
        }
        let number = self.latest() + 1;
        log.entries.push_back((number, purge));
        self.latest.store(number, Ordering::Release);
    }

    /// The deepest purge after number `since` that covers an object.
    pub fn verdict(&self, since: u64, key: &str, tags: &[Box<str>]) -> Option<Depth> {
        if since == self.latest() {
            return None;
        }
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
        if since < log.forgotten {
            return Some(Depth::Hard);
        }
        let after = log.entries.iter().rev().take_while(|(number, _)| *number > since);
        after.filter(|(_, purge)| purge.scope.covers(key, tags)).map(|(_, purge)| purge.depth).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard(scope: Scope) -> Purge {
        Purge { scope, depth: Depth::Hard }
    }

    #[test]
    fn a_purge_covers_what_is_older_and_not_what_is_newer() {
        let purges = Purges::default();
        let before = purges.latest();
        purges.record(hard(Scope::Prefix("/vod/".into())));
        assert_eq!(purges.verdict(before, "/vod/a", &[]), Some(Depth::Hard));
        assert_eq!(purges.verdict(before, "/live/a", &[]), None);
        assert_eq!(purges.verdict(purges.latest(), "/vod/a", &[]), None);
    }

    #[test]
    fn a_surrogate_key_is_matched_whole() {
        let purges = Purges::default();
        purges.record(hard(Scope::Tag("film-1".into())));
        assert_eq!(purges.verdict(0, "/a", &["x".into(), "film-1".into()]), Some(Depth::Hard));
        assert_eq!(purges.verdict(0, "/a", &["film-11".into()]), None);
    }

    #[test]
    fn the_deeper_of_two_purges_rules() {
        let purges = Purges::default();
        purges.record(hard(Scope::All));
        purges.record(Purge { scope: Scope::All, depth: Depth::Soft });
        assert_eq!(purges.verdict(0, "/a", &[]), Some(Depth::Hard));
        assert_eq!(purges.verdict(1, "/a", &[]), Some(Depth::Soft));
    }

    #[test]
    fn what_the_log_forgot_counts_as_purged() {
        let purges = Purges::default();
        for number in 0..=LOG_ENTRIES_MAX {
            purges.record(hard(Scope::Prefix(format!("/{number}/").into())));
        }
        assert_eq!(purges.verdict(0, "/other", &[]), Some(Depth::Hard));
        assert_eq!(purges.verdict(1, "/other", &[]), None);
    }

    #[test]
    fn the_same_purge_again_takes_one_place() {
        let purges = Purges::default();
        for _ in 0..=LOG_ENTRIES_MAX * 2 {
            purges.record(hard(Scope::All));
        }
        assert_eq!(purges.log.read().unwrap().entries.len(), 1);
        assert_eq!(purges.verdict(0, "/a", &[]), Some(Depth::Hard));
    }
}
