//! Playlists as the origin sent them, each with its compiled template, for as long as they are fresh.
//!
//! Nothing of a viewer is in here: the key has no token, and the text of a session goes in after the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header::AGE;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use sha2::{Digest, Sha256};

use crate::domain::cache::playlist::Use;
use crate::domain::manifest::template::Template;
use crate::store::object::{detached, surrogate_keys};
use crate::store::purge::{Purges, Scope};

/// A playlist of the origin.
#[derive(Debug)]
pub struct Playlist {
    /// The origin's header fields, end to end only, in memory of their own.
    pub headers: HeaderMap,
    /// The body, decoded, with its insertion points.
    pub template: Template,
    /// Whether the origin sent it encoded, so that it is worth encoding again.
    pub was_encoded: bool,
    /// Unix time at which it came.
    pub fetched: Duration,
    pub fresh_for: Duration,
    /// After that, while the origin fails.
    pub stale_for: Duration,
    digest: [u8; 32],
}

impl Playlist {
    pub fn new(
        headers: &HeaderMap,
        template: Template,
        was_encoded: bool,
        fetched: Duration,
        uses: Use,
    ) -> Self {
        let Use { fresh_for, stale_for } = uses;
        let digest = Sha256::digest(template.source()).into();
        Self { headers: detached(headers), template, was_encoded, fetched, fresh_for, stale_for, digest }
    }

    pub fn is_fresh(&self, now: Duration) -> bool {
        now < self.fetched.saturating_add(self.fresh_for)
    }

    /// How old it is, with the age at which it came (RFC 9111 §4.2.3).
    pub fn age(&self, now: Duration) -> Duration {
        let age = self.headers.get(AGE).and_then(|age| age.to_str().ok()?.parse().ok());
        Duration::from_secs(age.unwrap_or_default()).saturating_add(now.saturating_sub(self.fetched))
    }

    /// Seconds for which it is still fresh; below zero, for how long it has been stale.
    pub fn ttl(&self, now: Duration) -> i64 {
        let signed = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let end = self.fetched.saturating_add(self.fresh_for);
        end.checked_sub(now).map_or_else(|| -signed(now.saturating_sub(end)), signed)
    }

    /// Whether it may stand in for an origin that fails.
    fn is_spare(&self, now: Duration) -> bool {
        now < self.fetched.saturating_add(self.fresh_for).saturating_add(self.stale_for)
    }

    /// A strong validator (RFC 9110 §8.8.3) of this version as one viewer gets it: it changes with the origin's bytes,
    /// with the session's text and with the coding, and tells nothing of any of them.
    pub fn etag(&self, personal: &str, coding: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.digest);
        hash.update(coding.as_bytes());
        hash.update([0]);
        hash.update(personal.as_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let mut number = [0; 16];
        number.copy_from_slice(&digest[..16]);
        format!("\"{:032x}\"", u128::from_be_bytes(number))
    }

    fn weight(&self) -> u64 {
        (self.template.source().len() + self.template.weight_bytes() + self.headers.len() * 64 + 512) as u64
    }
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<String, Arc<Playlist>> for ByBytes {
    fn weight(&self, key: &String, playlist: &Arc<Playlist>) -> u64 {
        playlist.weight() + key.len() as u64
    }
}

/// The playlists in memory, bounded by bytes.
#[derive(Debug)]
pub struct Playlists {
    kept: Cache<String, Arc<Playlist>, ByBytes>,
}

impl Playlists {
    /// Room for `bytes_max`; a single playlist may have up to `playlist_bytes_max`.
    pub fn new(bytes_max: u64, playlist_bytes_max: u64) -> Self {
        // The budget is split evenly over the shards, and what is heavier than a shard is not kept.
        let shards = (bytes_max / playlist_bytes_max.saturating_mul(4).max(1)).clamp(1, 16);
        let items = usize::try_from(bytes_max / (16 << 10)).unwrap_or(usize::MAX).clamp(64, 100_000);
        let options = OptionsBuilder::new()
            .weight_capacity(bytes_max)
            .estimated_items_capacity(items)
            .shards(usize::try_from(shards).unwrap_or(1))
            .build()
            .expect("capacity and items are given");
        Self {
            kept: Cache::with_options(
                options,
                ByBytes,
                DefaultHashBuilder::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
        }
    }

    /// The playlist under `key`, when it is fresh at `now`.
    pub fn fresh(&self, key: &str, now: Duration) -> Option<Arc<Playlist>> {
        self.kept.get(key).filter(|playlist| playlist.is_fresh(now))
    }

    /// The playlist under `key` that may be served at `now` because the origin failed.
    pub fn spare(&self, key: &str, now: Duration) -> Option<Arc<Playlist>> {
        self.kept.get(key).filter(|playlist| playlist.is_spare(now))
    }

    /// Whether anything was ever kept under `key`, and not yet given up: it is a playlist then, whatever its name.
    pub fn knows(&self, key: &str) -> bool {
        self.kept.get(key).is_some()
    }

    /// Keeps a playlist that was asked for when so many purges had begun ([`Purges::begun`]). Whatever was purged since
    /// may have been this one: it is not kept then.
    pub fn keep(&self, key: &str, playlist: &Arc<Playlist>, begun: u64, purges: &Purges) {
        if purges.begun(key) != begun {
            return;
        }
        self.kept.insert(key.to_owned(), playlist.clone());
        // A purge that begins from here on finds it; one that began meanwhile may have looked too early.
        if purges.begun(key) != begun {
            self.kept.remove_if(key, |kept| Arc::ptr_eq(kept, playlist));
        }
    }

    /// Takes out what `scope` covers, looking at every playlist; how many that was. A soft purge takes them out,
    /// too: what was purged is not served again, whatever the origin answers.
    pub fn purge(&self, scope: &Scope) -> usize {
        let count = AtomicUsize::new(0);
        self.kept.retain(|key, playlist| {
            let covered = scope.covers(key, &surrogate_keys(&playlist.headers));
            count.fetch_add(usize::from(covered), Ordering::Relaxed);
            !covered
        });
        count.into_inner()
    }

    /// What `scope` covers, with its keys, fresh or not; `count_max` at most. It looks at every playlist.
    pub fn covered(&self, scope: &Scope, count_max: usize) -> Vec<(String, Arc<Playlist>)> {
        let all = self.kept.iter();
        let covered = all.filter(|(key, playlist)| scope.covers(key, &surrogate_keys(&playlist.headers)));
        covered.take(count_max).collect()
    }

    pub fn forget(&self, key: &str) {
        self.kept.remove(key);
    }

    pub fn bytes(&self) -> u64 {
        self.kept.weight()
    }

    pub fn count(&self) -> usize {
        self.kept.len()
    }
}
