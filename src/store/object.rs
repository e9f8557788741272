//! A stored answer of the origin: its key, what is known of it, and its body in slabs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::store::key::Key;
use crate::store::slabs::{SlabBody, Slabs};

/// What an entry takes beyond its own bytes: the entry, its counters, its place in an index. No object is so small that
/// it escapes the budget.
const OVERHEAD_BYTES: u64 = 512;

/// The mark of an object that was purged for good.
const GONE: u64 = 1;

/// An answer as it came from the origin. `M` is what the rules of caching need to know of it (status, header fields,
/// freshness); the store holds it and does not look into it.
#[derive(Debug)]
pub struct Object<M> {
    key: Key,
    description: Arc<Description<M>>,
    body: Slabs,
    /// The number of the latest purge that it is known to have outlived.
    outlived: AtomicU64,
    /// Unix milliseconds of its first soft purge, and one; 0 without one.
    stale_since: AtomicU64,
    hits: AtomicU32,
}

/// All of an answer but its key and its body.
#[derive(Clone, Debug)]
pub struct Description<M> {
    pub meta: M,
    /// What `meta` takes in memory.
    pub meta_bytes: u64,
    /// The surrogate keys under which it can be purged.
    pub tags: Box<[Box<str>]>,
    /// Whether it is worth writing to disk, as what soon changes is not.
    pub may_rest_on_disk: bool,
}

impl<M> Object<M> {
    /// `outlived` is the number of the latest purge when its fetch began ([`Purges::latest`]).
    ///
    /// [`Purges::latest`]: crate::store::purge::Purges::latest
    pub fn new(key: Key, description: Arc<Description<M>>, body: Slabs, outlived: u64) -> Self {
        Self {
            key,
            description,
            body,
            outlived: AtomicU64::new(outlived),
            stale_since: AtomicU64::new(0),
            hits: AtomicU32::new(0),
        }
    }

    /// The same body under a new description, as after a 304: the body is shared, not copied.
    #[must_use]
    pub fn described_anew(&self, description: Arc<Description<M>>, outlived: u64) -> Self {
        Self::new(self.key.clone(), description, self.body.clone(), outlived)
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn meta(&self) -> &M {
        &self.description.meta
    }

    pub fn description(&self) -> &Description<M> {
        &self.description
    }

    pub fn tags(&self) -> &[Box<str>] {
        &self.description.tags
    }

    pub fn slabs(&self) -> &Slabs {
        &self.body
    }

    pub fn len(&self) -> u64 {
        self.body.len()
    }

    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    pub fn body(&self) -> SlabBody {
        self.body.body()
    }

    /// The bytes from `first` to before `end` as a body.
    pub fn range(&self, first: u64, end: u64) -> SlabBody {
        self.body.range(first, end)
    }

    /// Whether a soft purge asked for it to be validated before it is served as fresh.
    pub fn is_marked_stale(&self) -> bool {
        self.stale_since().is_some()
    }

    /// Unix time as of which a soft purge made it stale. A later mark moves nothing: what was purged twice is not
    /// served for longer.
    pub fn stale_since(&self) -> Option<Duration> {
        self.stale_since.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_millis)
    }

    /// Whether it was purged for good: not even the origin's word that nothing changed brings it back.
    pub fn is_gone(&self) -> bool {
        self.stale_since() == Some(Duration::ZERO)
    }

    pub fn mark_stale(&self, since: Duration) {
        let mark = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let is_moved = |before| before == 0 || mark == GONE;
        // It fails where there is a mark already, unless nothing is to be left of it.
        let _ = self
            .stale_since
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| is_moved(before).then_some(mark));
    }

    /// The memory that it is charged for.
    pub fn weight(&self) -> u64 {
        let tags: usize = self.tags().iter().map(|tag| tag.len() + size_of::<Box<str>>()).sum();
        let own = self.body.allocated() + self.description.meta_bytes + self.key.text().len() as u64;
        own + tags as u64 + OVERHEAD_BYTES
    }

    pub(super) fn outlived(&self) -> u64 {
        self.outlived.load(Ordering::Relaxed)
    }

    pub(super) fn outlives(&self, purge: u64) {
        self.outlived.fetch_max(purge, Ordering::Relaxed);
    }

    /// How often it was found.
    pub fn hits(&self) -> u32 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Counts a hit and tells how many there were before.
    pub(super) fn hit(&self) -> u32 {
        let before = self.hits.load(Ordering::Relaxed);
        if before < u32::MAX {
            self.hits.store(before + 1, Ordering::Relaxed);
        }
        before
    }
}

/// Copies of all values: hyper's values are slices of a connection's read buffer and would keep it alive.
pub fn detached(headers: &HeaderMap) -> HeaderMap {
    /// What an answer from the store says beside: age, cache status, length, request number and the like.
    const ADDED: usize = 6;
    let mut copy = HeaderMap::with_capacity(headers.len() + ADDED);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.append(name, value);
        }
    }
    // A clone keeps the room of the index, so that no answer has to index its fields anew, and leaves that of the fields.
    copy.clone()
}

/// The surrogate keys that an origin names: the words of `Surrogate-Key`.
pub fn surrogate_keys(headers: &HeaderMap) -> Box<[Box<str>]> {
    let lines = headers.get_all("surrogate-key").iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(str::split_ascii_whitespace).map(Box::from).collect()
}

/// What a header map takes in memory, for [`Description::meta_bytes`].
pub fn headers_bytes(headers: &HeaderMap) -> u64 {
    let text: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    // An entry of the map with its index, and the counted buffer of its value.
    (text + headers.len() * 144) as u64
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn detached_headers_share_no_memory_with_the_originals() {
        let buffer = Bytes::from_static(b"GET /; text/plain; a; b");
        let mut headers = HeaderMap::new();
        for (name, value) in [("content-type", buffer.slice(7..17)), ("x-a", buffer.slice(19..20))] {
            headers.append(name, HeaderValue::from_maybe_shared(value).unwrap());
        }
        headers.append("x-a", HeaderValue::from_maybe_shared(buffer.slice(22..23)).unwrap());
        let copy = detached(&headers);
        assert_eq!(copy, headers);
        let within = buffer.as_ptr_range();
        assert!(copy.values().all(|value| !within.contains(&value.as_bytes().as_ptr())));
    }

    #[test]
    fn an_object_described_anew_shares_its_body() {
        let description = |meta| {
            Arc::new(Description { meta, meta_bytes: 0, tags: Box::default(), may_rest_on_disk: true })
        };
        let object = Object::new(Key::new("a"), description(1), Slabs::copied(b"bytes"), 0);
        let freshened = object.described_anew(description(2), 0);
        assert_eq!(*freshened.meta(), 2);
        let first = |object: &Object<i32>| object.slabs().slice(0, 5).unwrap().as_ptr();
        assert_eq!(first(&object), first(&freshened));
    }

    #[test]
    fn an_empty_object_weighs_something() {
        let description =
            Description { meta: (), meta_bytes: 0, tags: Box::default(), may_rest_on_disk: true };
        let object = Object::new(Key::new(""), Arc::new(description), Slabs::copied(b""), 0);
        assert_eq!(object.weight(), OVERHEAD_BYTES);
    }
}
