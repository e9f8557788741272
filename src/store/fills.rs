//! One fetch per key, as a task of its own, whose bytes go to all who ask for the object while it arrives.

mod flight;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use http_body::Body;

use crate::memory_file::MemoryFile;
use crate::store::disk::Disk;
use crate::store::fill::{Fetched, Fill, Opened, Reader, WaitError};
use crate::store::fills::flight::Flight;
use crate::store::flights::{Flights, Joined};
use crate::store::flow::Flow;
use crate::store::key::{AsItIs, Key};
use crate::store::object::Object;
use crate::store::purge::Purge;
use crate::store::recent::Recent;
use crate::store::tiers::{Purged, Tiers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that wait for the head of one object.
    pub waiters_max: usize,
    /// A larger object is streamed to those who wait and not kept.
    pub object_bytes_max: u64,
    /// All arriving objects together; above it they are streamed and not kept.
    pub flying_bytes_max: u64,
    /// How far the slowest reader of an object that is not kept may be behind before its source has to wait.
    pub window_bytes: u64,
    /// How long such a reader may hold up others.
    pub laggard_time_max: Duration,
    /// How long a key is remembered whose answer was for one request alone; its requests do not wait for each other.
    pub private_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiters_max: 1_000,
            object_bytes_max: 64 << 20,
            flying_bytes_max: 256 << 20,
            window_bytes: 1 << 20,
            laggard_time_max: Duration::from_secs(5),
            private_for: Duration::from_mins(1),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} requests already wait for the same object")]
pub struct Crowded(pub usize);

/// A place in the list of fetches.
type Place<'a, M, P, F> = Entry<'a, u128, Arc<Fill<M, P, F>>>;

/// How a fetch stands to other requests for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing<Place> {
    /// Others join it, by its place in the list.
    Listed(Place),
    /// It is for its request alone, and is not kept: no purge would find it.
    Alone,
    /// Nobody joins it, and its answer tells nothing of others'. It is kept unless a purge that may cover it
    /// began after so many.
    Apart(u64),
}

/// The fetches under way, over the tiers into which they go.
#[derive(Debug)]
pub struct Fills<M, P, F> {
    flying: DashMap<u128, Arc<Fill<M, P, F>>, AsItIs>,
    private: Recent,
    flying_bytes: Arc<AtomicU64>,
    tiers: Arc<Tiers<M>>,
    limits: Limits,
    memory_file: Option<Arc<MemoryFile>>,
    /// Objects on their way from disk into memory.
    loads: Arc<Flights<Option<Arc<Object<M>>>>>,
}

impl<M, P, F> Fills<M, P, F>
where
    M: Send + Sync + 'static,
    P: Send + 'static,
    F: Clone + Send + Sync + 'static,
{
    pub fn new(tiers: Arc<Tiers<M>>, limits: Limits) -> Arc<Self> {
        Self::with_memory_file(tiers, limits, None)
    }

    /// As [`Fills::new`], with large bodies in `memory_file`, from which plain sockets are sent them without a copy.
    pub fn with_memory_file(
        tiers: Arc<Tiers<M>>,
        limits: Limits,
        memory_file: Option<Arc<MemoryFile>>,
    ) -> Arc<Self> {
        // What memory would refuse at its end need not be collected.
        let object_bytes_max = limits.object_bytes_max.min(tiers.memory().object_bytes_max());
        let limits = Limits { object_bytes_max, ..limits };
        Arc::new(Self {
            flying: DashMap::with_hasher(AsItIs::default()),
            private: Recent::new(limits.private_for),
            flying_bytes: Arc::default(),
            tiers,
            loads: Flights::new(limits.waiters_max),
            limits,
            memory_file,
        })
    }

    /// The object under `key`, fresh or not: from memory, or from disk, from which it goes into memory by one read for
    /// all who ask. What is wrong with the disk is a miss.
    pub async fn find(&self, key: &Key) -> Option<Arc<Object<M>>> {
        if let Some(object) = self.tiers.find(key) {
            return Some(object);
        }
        let disk = self.tiers.disk()?;
        if !disk.has(key) {
            self.tiers.counters().disk_misses.one();
            return None;
        }
        // Apart, so that a hit in memory is not as large as a read.
        Box::pin(self.find_on_disk(disk, key)).await
    }

    async fn find_on_disk(&self, disk: &Disk<M>, key: &Key) -> Option<Arc<Object<M>>> {
        if self.flying.contains_key(&key.hash()) {
            // A newer one arrives.
            return None;
        }
        // Who comes after a purge does not join a read from before it.
        let begun = self.tiers.purges().begun(key.text());
        let name = format!("{begun}\n{}", key.text());
        let (tiers, file, key) = (self.tiers.clone(), self.memory_file.clone(), key.clone());
        // Twice the time of a read: it may have to wait for its turn.
        let wait = disk.read_timeout() * 2;
        let load = async move { tiers.bring_up(&key, begun, file).await };
        let (Joined::Led(object) | Joined::Waited(object)) = self.loads.join(name, wait, load).await.ok()?;
        object
    }

    /// Joins the fetch of `key`, beginning it with `fetch` when none is under way. `fetch` is given the number of the
    /// latest purge, for the objects that it makes itself.
    pub fn open<B, Fetch>(
        self: &Arc<Self>,
        key: &Key,
        fetch: impl FnOnce(u64) -> Fetch,
    ) -> Result<Reader<M, P, F>, Crowded>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Display + Send,
        Fetch: Future<Output = Fetched<M, P, F, B>> + Send + 'static,
    {
        if self.private.has(key.hash()) {
            return Ok(self.begin(key, fetch, Standing::Alone));
        }
        match self.flying.entry(key.hash()) {
            Entry::Vacant(place) => Ok(self.begin(key, fetch, Standing::Listed(Entry::Vacant(place)))),
            Entry::Occupied(place) => {
                let fill = place.get().clone();
                if fill.key != *key {
                    drop(place);
                    return Ok(self.begin(key, fetch, Standing::Alone));
                }
                if fill.waiting() >= self.limits.waiters_max {
                    self.tiers.counters().crowded.one();
                    return Err(Crowded(self.limits.waiters_max));
                }
                let seat = if self.is_purged(&fill) { None } else { fill.flow.take_seat() };
                match seat {
                    Some(seat) => {
                        drop(place);
                        self.tiers.counters().collapsed.one();
                        Ok(Reader::new(fill, seat, false))
                    }
                    None => Ok(self.begin(key, fetch, Standing::Listed(Entry::Occupied(place)))),
                }
            }
        }
    }

    /// Whether the last answer for this key was for one request alone. Such requests do not wait for each other.
    pub fn expects_private(&self, key: &Key) -> bool {
        self.private.has(key.hash())
    }

    /// Fetches for one request that nobody else waits for, in its own task. Only when the answer is for everybody after
    /// all does it become a fetch like another.
    pub async fn fetch_alone<B, Fetch>(
        self: &Arc<Self>,
        key: &Key,
        wait: Duration,
        fetch: impl FnOnce(u64) -> Fetch,
    ) -> Result<Opened<M, P, F>, WaitError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Display + Send,
        Fetch: Future<Output = Fetched<M, P, F, B>>,
    {
        let outlived = self.tiers.purges().latest();
        match fetch(outlived).await {
            Fetched::Private(answer) => {
                self.tiers.counters().fills.one();
                self.private.note(key.hash());
                Ok(Opened::Private(answer))
            }
            Fetched::Failed(failure) => {
                self.tiers.counters().fills.one();
                self.tiers.counters().fills_failed.one();
                Ok(Opened::Failed(failure))
            }
            fetched @ (Fetched::Shared(_) | Fetched::Whole(_)) => {
                self.launch(key, outlived, std::future::ready(fetched), Standing::Alone).opened(wait).await
            }
        }
    }

    /// Whether the object under `key` arrives, or lies in memory or on disk, fresh or not.
    pub fn is_here_or_coming(&self, key: &Key) -> bool {
        self.flying.contains_key(&key.hash())
            || self.tiers.memory().peek(key).is_some()
            || self.tiers.disk().is_some_and(|disk| disk.has(key))
    }

    /// Begins a fetch that nobody joins, as of a request that names its sender. What it brings is kept where it may be
    /// for everybody, and it tells nothing of other requests' answers.
    pub fn open_apart<B, Fetch>(
        self: &Arc<Self>,
        key: &Key,
        fetch: impl FnOnce(u64) -> Fetch,
    ) -> Reader<M, P, F>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Display + Send,
        Fetch: Future<Output = Fetched<M, P, F, B>> + Send + 'static,
    {
        self.begin(key, fetch, Standing::Apart(self.tiers.purges().begun(key.text())))
    }

    fn begin<B, Fetch>(
        self: &Arc<Self>,
        key: &Key,
        fetch: impl FnOnce(u64) -> Fetch,
        standing: Standing<Place<'_, M, P, F>>,
    ) -> Reader<M, P, F>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Display + Send,
        Fetch: Future<Output = Fetched<M, P, F, B>> + Send + 'static,
    {
        let outlived = self.tiers.purges().latest();
        self.launch(key, outlived, fetch(outlived), standing)
    }

    /// Sends a fetch on its way that outlived all purges up to this one.
    fn launch<B>(
        self: &Arc<Self>,
        key: &Key,
        outlived: u64,
        fetch: impl Future<Output = Fetched<M, P, F, B>> + Send + 'static,
        standing: Standing<Place<'_, M, P, F>>,
    ) -> Reader<M, P, F>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Display + Send,
    {
        let flow = Flow::new(self.flying_bytes.clone());
        let seat = flow.take_seat().expect("a new flow has its beginning");
        let fill = Fill::new(key.clone(), flow, outlived);
        let standing = match standing {
            Standing::Listed(place) => {
                drop(place.insert(fill.clone()));
                Standing::Listed(())
            }
            Standing::Alone => Standing::Alone,
            Standing::Apart(begun) => Standing::Apart(begun),
        };
        self.tiers.counters().fills.one();
        let flight = Flight::new(self.clone(), fill.clone(), standing);
        tokio::spawn(flight.run(fetch));
        Reader::new(fill, seat, true)
    }

    fn is_purged(&self, fill: &Fill<M, P, F>) -> bool {
        let verdict =
            fill.with_tags(|tags| self.tiers.purges().verdict(fill.outlived, fill.key.text(), tags));
        verdict.or(fill.purged()).is_some()
    }

    /// Purges what is kept and what is on its way.
    pub async fn purge(&self, purge: &Purge) -> Purged {
        self.tiers.purges().begin(&purge.scope);
        if purge.scope.is_of_one_name() {
            for fill in self.flying.iter().filter(|fill| purge.scope.covers(fill.key.text(), &[])) {
                fill.purge(purge.depth);
            }
        }
        self.tiers.purge(purge).await
    }

    pub fn tiers(&self) -> &Arc<Tiers<M>> {
        &self.tiers
    }

    /// Objects that are arriving and can be joined.
    pub fn len(&self) -> usize {
        self.flying.len()
    }

    pub fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// Bytes that are here of arriving objects.
    pub fn bytes(&self) -> u64 {
        self.flying_bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
