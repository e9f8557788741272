//! Purging by prefix, by surrogate key, and of everything, also of what is still on its way.
//!
//! A purge is written into a short log with a number. Whatever is fetched remembers the number that stood there when
//! its fetch began, so that an answer from before a purge is recognised whenever it turns up: in memory, on its way
//! into it, or on disk. A look at one number tells on each hit that nothing happened since. The log is bounded: what
//! was last looked at before the log begins counts as purged, which costs a fetch and never shows old bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

const LOG_ENTRIES_MAX: usize = 256;

/// What is to be purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One object, by the whole text of its key.
    Key(Box<str>),
    /// All objects of one name in a space of keys, as in `space LF site LF name`: on whatever site, and with those whose
    /// keys go on after a further line feed (variants, parts).
    Name {
        space: Box<str>,
        name: Box<str>,
    },
    /// All objects of a space whose names begin so, on whatever site.
    Names {
        space: Box<str>,
        start: Box<str>,
    },
    /// All objects whose key begins with this.
    Prefix(Box<str>),
    /// All objects that carry this surrogate key.
    Tag(Box<str>),
    /// What all of these cover.
    AllOf(Box<[Scope]>),
    All,
}

impl Scope {
    pub fn covers(&self, key: &str, tags: &[Box<str>]) -> bool {
        match self {
            Self::Key(whole) => **whole == *key,
            Self::Name { space, name } => name_in(space, key)
                .and_then(|named| named.strip_prefix(&**name))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('\n')),
            Self::Names { space, start } => {
                name_in(space, key).is_some_and(|named| named.starts_with(&**start))
            }
            Self::AllOf(scopes) => scopes.iter().all(|scope| scope.covers(key, tags)),
            Self::Prefix(prefix) => key.starts_with(&**prefix),
            Self::Tag(tag) => tags.contains(tag),
            Self::All => true,
        }
    }
}

impl Scope {
    /// Whether it covers the objects of one name, and no more: too little for a place in the log, which would soon forget
    /// what counts for many.
    pub(super) fn is_of_one_name(&self) -> bool {
        self.one_name().is_some()
    }

    /// The path and query of all that it covers, where that is one.
    fn one_name(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(name_of(key)),
            Self::Name { name, .. } => Some(first_line(name)),
            Self::Names { .. } | Self::Prefix(_) | Self::Tag(_) | Self::AllOf(_) | Self::All => None,
        }
    }
}

/// The name in a key of this space.
fn name_in<'a>(space: &str, key: &'a str) -> Option<&'a str> {
    let (_, name) = key.strip_prefix(space)?.strip_prefix('\n')?.split_once('\n')?;
    Some(name)
}

/// The name in a key, as [`Scope::Name`] has it.
fn name_of(key: &str) -> &str {
    key.splitn(3, '\n').nth(2).map_or(key, first_line)
}

fn first_line(name: &str) -> &str {
    name.split_once('\n').map_or(name, |(line, _)| line)
}

fn count_of(name: &[&str]) -> usize {
    let mut hash = crc32fast::Hasher::new();
    for part in name {
        hash.update(part.as_bytes());
    }
    hash.finalize() as usize % NAME_COUNTS
}

/// How much is left of what is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// It stays, marked stale as of this Unix time, and may be validated or served while its origin is down.
    Soft(Duration),
    /// It is gone.
    Hard,
}

impl Depth {
    /// What two purges of one object leave: the harder one counts, of two soft ones the earlier.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Soft(one), Self::Soft(other)) => Self::Soft(one.min(other)),
            (Self::Hard, _) | (_, Self::Hard) => Self::Hard,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Purge {
    pub scope: Scope,
    pub depth: Depth,
}

/// Counts of purges of one name each: names share a count where their hashes do, which costs a fetch now and then.
const NAME_COUNTS: usize = 1_024;

/// The purges of late, numbered.
#[derive(Debug)]
pub struct Purges {
    latest: AtomicU64,
    /// How many purges of more than one name have begun since the start.
    of_many: AtomicU64,
    /// How many of one name, so that a change to one object says nothing of what is fetched of others.
    of_one: Box<[AtomicU64]>,
    log: RwLock<Log>,
}

#[derive(Debug, Default)]
struct Log {
    /// The highest number that was dropped from the log.
    forgotten: u64,
    entries: VecDeque<(u64, Purge)>,
}

impl Default for Purges {
    fn default() -> Self {
        Self {
            latest: AtomicU64::default(),
            of_many: AtomicU64::default(),
            of_one: (0..NAME_COUNTS).map(|_| AtomicU64::default()).collect(),
            log: RwLock::default(),
        }
    }
}

impl Purges {
    /// The number of the latest purge: what is fetched from here on is newer than it.
    pub fn latest(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }

    /// How many purges of more than one name have begun.
    pub fn of_many_begun(&self) -> u64 {
        self.of_many.load(Ordering::SeqCst)
    }

    /// How many purges have begun that may have been of this name (a path and its query). It only grows.
    pub fn of_one_begun(&self, path: &str, query: &str) -> u64 {
        self.of_one[count_of(&[path, "?", query])].load(Ordering::SeqCst)
    }

    /// How many purges have begun that may cover this key: what was copied from one place to another while this number
    /// changed may be what was purged. It is the sum of the two counts above.
    pub fn begun(&self, key: &str) -> u64 {
        self.of_many_begun() + self.of_one[count_of(&[name_of(key)])].load(Ordering::SeqCst)
    }

    /// To be called before a purge looks at anything.
    pub fn begin(&self, scope: &Scope) {
        let count = match scope.one_name() {
            Some(name) => &self.of_one[count_of(&[name])],
            None => &self.of_many,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn record(&self, purge: Purge) {
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        // A later purge of the same scope stands for an earlier one, if it is not the milder of the two.
        log.entries.retain(|(_, past)| {
            past.scope != purge.scope || (past.depth == Depth::Hard && purge.depth != Depth::Hard)
        });
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
        after
            .filter(|(_, purge)| purge.scope.covers(key, tags))
            .map(|(_, purge)| purge.depth)
            .reduce(Depth::with)
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
        purges.record(Purge { scope: Scope::All, depth: Depth::Soft(Duration::from_secs(9)) });
        assert_eq!(purges.verdict(0, "/a", &[]), Some(Depth::Hard));
        assert_eq!(purges.verdict(1, "/a", &[]), Some(Depth::Soft(Duration::from_secs(9))));
    }

    #[test]
    fn of_two_soft_purges_the_earlier_counts() {
        let purges = Purges::default();
        for (scope, at) in [(Scope::Prefix("/".into()), 5), (Scope::All, 7)] {
            purges.record(Purge { scope, depth: Depth::Soft(Duration::from_secs(at)) });
        }
        assert_eq!(purges.verdict(0, "/a", &[]), Some(Depth::Soft(Duration::from_secs(5))));
    }

    #[test]
    fn a_name_is_covered_on_every_site_with_its_variants_and_no_other_query() {
        let one = Scope::Name { space: "p".into(), name: "/a?".into() };
        let below = Scope::Names { space: "p".into(), start: "/a".into() };
        for (key, by_one, by_below) in [
            ("p\nhttp://h\n/a?", true, true),
            ("p\nhttps://other:1\n/a?", true, true),
            ("p\nhttp://h\n/a?\ngzip", true, true),
            ("p\nhttp://h\n/a?b=1", false, true),
            ("p\nhttp://h\n/b/a?", false, false),
            ("pp\nhttp://h\n/a?", false, false),
            ("q\nhttp://h\n/a?", false, false),
        ] {
            assert_eq!((one.covers(key, &[]), below.covers(key, &[])), (by_one, by_below), "{key:?}");
        }
    }

    #[test]
    fn what_all_of_several_scopes_cover_is_covered_by_all() {
        let scope = Scope::AllOf([Scope::Prefix("p\n".into()), Scope::Tag("t".into())].into());
        assert!(scope.covers("p\nx", &["t".into()]));
        assert!(!scope.covers("q\nx", &["t".into()]) && !scope.covers("p\nx", &[]));
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
    fn a_purge_of_one_name_is_begun_for_that_name_alone() {
        let purges = Purges::default();
        let one = "p\nhttp://h\n/a?b=1";
        let (variant, other) = ("p\nhttps://h\n/a?b=1\ngzip", "p\nhttp://h\n/c?");
        let begun = || [one, variant, other].map(|key| purges.begun(key));
        let scopes = [
            Scope::Key(one.into()),
            Scope::Name { space: "p".into(), name: "/a?b=1".into() },
            Scope::Name { space: "p".into(), name: "/a?b=1\nslice".into() },
        ];
        for (number, scope) in (1..).zip(&scopes) {
            purges.begin(scope);
            assert_eq!(begun(), [number, number, 0], "{scope:?}");
        }
        assert_eq!(purges.of_one_begun("/a", "b=1"), 3, "a request and a key agree on the name");
        purges.begin(&Scope::Tag("film".into()));
        assert_eq!((begun(), purges.of_many_begun()), ([4, 4, 1], 1));
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
