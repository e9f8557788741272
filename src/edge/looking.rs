//! What the cache has for a URL, by the look-up that a purge of it would make: under all hosts, with all variants.

use std::time::Duration;

use crate::domain::cache::freshness::Freshness;
use crate::store::purge::Scope;

use super::Edge;
use super::purging::{PurgeError, What};

/// The most entries that are told of one URL.
pub const ENTRIES_MAX: usize = 100;

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Memory,
    Playlists,
    /// Of what is on disk alone no more is known than its size.
    Disk,
}

impl Tier {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Playlists => "playlists",
            Self::Disk => "disk",
        }
    }
}

/// Something kept under a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key of the store, which has no token: property, site, path and query, and what tells variants apart.
    pub key: String,
    pub tier: Tier,
    /// Of its body; on disk, of its file.
    pub bytes: u64,
    pub known: Option<Known>,
}

/// What is known of an entry in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub status: u16,
    pub age: Duration,
    /// Seconds for which it is fresh; below zero, since when it is not.
    pub fresh_seconds: i64,
    pub is_fresh: bool,
    /// How often it was found; not counted for playlists.
    pub hits: Option<u32>,
    /// Whether it lies on disk, too.
    pub is_on_disk: bool,
}

impl Edge {
    /// What is kept for `url`, which is typed as viewers ask for it. Tokens in it count for nothing.
    pub async fn look(&self, url: &str, property: Option<&str>) -> Result<Vec<Entry>, PurgeError> {
        let scopes = self.terms.load().scopes(&What::Url(url.to_owned()), property)?;
        let (playlists, objects, now) = (self.playlists.clone(), self.objects.clone(), self.clock.now());
        // It looks at everything that is kept.
        let walk = move || {
            let mut entries = Vec::new();
            for scope in &scopes {
                entries.extend(in_memory(&objects, scope, now));
                entries.extend(playlists.covered(scope, ENTRIES_MAX).into_iter().map(|(key, playlist)| {
                    let known = Known {
                        status: 200,
                        age: playlist.age(now),
                        fresh_seconds: playlist.ttl(now),
                        is_fresh: playlist.is_fresh(now),
                        hits: None,
                        is_on_disk: false,
                    };
                    let bytes = playlist.template.source().len() as u64;
                    Entry { key, tier: Tier::Playlists, bytes, known: Some(known) }
                }));
                let on_disk = objects.tiers().disk().map(|disk| disk.covered(scope, ENTRIES_MAX));
                for (key, bytes) in on_disk.unwrap_or_default() {
                    if objects.tiers().memory().peek(&key).is_none() {
                        let key = key.text().to_owned();
                        entries.push(Entry { key, tier: Tier::Disk, bytes, known: None });
                    }
                }
            }
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            entries.truncate(ENTRIES_MAX);
            entries
        };
        Ok(tokio::task::spawn_blocking(walk).await.unwrap_or_default())
    }
}

fn in_memory(objects: &super::objects::Objects, scope: &Scope, now: Duration) -> Vec<Entry> {
    let disk = objects.tiers().disk();
    let covered = objects.tiers().memory().covered(scope, ENTRIES_MAX);
    let entry = |object: super::objects::Stored| {
        let freshness: &Freshness = &object.meta().freshness;
        let is_marked = object.is_marked_stale();
        let known = Known {
            status: object.meta().status.as_u16(),
            age: freshness.age(now),
            fresh_seconds: if is_marked { freshness.ttl(now).min(0) } else { freshness.ttl(now) },
            is_fresh: freshness.is_fresh(now) && !is_marked,
            hits: Some(object.hits()),
            is_on_disk: disk.is_some_and(|disk| disk.has(object.key())),
        };
        Entry {
            key: object.key().text().to_owned(),
            tier: Tier::Memory,
            bytes: object.len(),
            known: Some(known),
        }
    };
    covered.into_iter().map(entry).collect()
}
