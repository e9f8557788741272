//! The tiers together: what is looked up, kept and purged in memory and on disk.

use std::sync::Arc;
use std::time::Duration;

use crate::memory_file::MemoryFile;
use crate::store::counters::Counters;
use crate::store::disk::{Codec, Disk, Settings};
use crate::store::fill::Source;
use crate::store::key::Key;
use crate::store::memory::{Memory, mark};
use crate::store::object::Object;
use crate::store::purge::{Depth, Purge, Purges, Scope};
use crate::store::recent::Recent;

/// Memory, and the disk behind it where there is one.
#[derive(Debug)]
pub struct Tiers<M> {
    memory: Memory<M>,
    disk: Option<Behind<M>>,
    purges: Arc<Purges>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Behind<M> {
    disk: Disk<M>,
    admission: Admission,
    /// Keys that were asked for once.
    seen: Recent,
}

/// What is written to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Always,
    /// What is asked for a second time within this time.
    SecondHit(Duration),
}

/// How many objects a purge covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    pub in_memory: usize,
    pub on_disk: usize,
}

impl<M: Send + Sync + 'static> Tiers<M> {
    /// Room for `bytes_max` in memory, of which one object may take up to `object_bytes_max`.
    pub fn new(bytes_max: u64, object_bytes_max: u64) -> Self {
        let (purges, counters) = (Arc::<Purges>::default(), Arc::<Counters>::default());
        let memory = Memory::new(bytes_max, object_bytes_max, purges.clone(), counters.clone());
        Self { memory, disk: None, purges, counters }
    }

    /// With a disk behind it, whose folder is read in the background from here on.
    #[must_use]
    pub fn with_disk(self, settings: Settings, codec: Codec<M>, admission: Admission) -> Self {
        let disk = Disk::start(settings, codec, self.purges.clone(), self.counters.clone());
        let seen = Recent::new(match admission {
            Admission::Always => Duration::ZERO,
            Admission::SecondHit(within) => within,
        });
        Self { disk: Some(Behind { disk, admission, seen }), ..self }
    }

    /// The object under `key` in memory, fresh or not.
    pub fn find(&self, key: &Key) -> Option<Arc<Object<M>>> {
        let (object, hits) = self.memory.get(key)?;
        if hits == 0
            && let Some(Behind { disk, .. }) = &self.disk
            && !disk.has(key)
        {
            // It came for the first request; this is the second.
            disk.offer(&object);
        }
        Some(object)
    }

    /// Brings the object under `key` from disk into memory; `begun` is how many purges had begun that may cover it.
    pub(super) async fn bring_up(
        &self,
        key: &Key,
        begun: u64,
        file: Option<Arc<MemoryFile>>,
    ) -> Option<Arc<Object<M>>> {
        let object = Arc::new(self.disk()?.load(key, file).await?);
        if let Some(newer) = self.memory.peek(key) {
            // It was fetched meanwhile.
            return Some(newer);
        }
        // What memory refuses for its size is given out all the same.
        self.memory.insert(object.clone());
        // A purge that begins from here on finds it; one that began meanwhile may have looked too early.
        if self.purges.begun(key.text()) != begun {
            self.memory.purge(&Scope::Key(key.text().into()), Depth::Hard);
            return None;
        }
        Some(object)
    }

    /// Keeps an object for which `requests` came.
    pub fn keep(&self, object: &Arc<Object<M>>, source: Source, requests: u64) {
        self.memory.insert(object.clone());
        let Some(Behind { disk, admission, seen }) = &self.disk else { return };
        let hash = object.key().hash();
        let wanted = match (source, admission) {
            (Source::Disk, _) => false,
            (Source::Origin, Admission::Always) => true,
            (Source::Origin, Admission::SecondHit(_)) => {
                // What lies there of this key is older.
                requests > 1 || seen.has(hash) || disk.has(object.key())
            }
        };
        if wanted {
            disk.offer(object);
        } else {
            seen.note(hash);
        }
    }

    /// Takes back an object that was kept a moment ago and purged meanwhile.
    pub(super) fn take_back(self: &Arc<Self>, object: &Object<M>, depth: Depth) {
        // It may not be in memory, and still be on its way to the disk.
        mark(object, depth);
        let scope = Scope::Key(object.key().text().into());
        self.memory.purge(&scope, depth);
        if self.disk.is_some() {
            let tiers = self.clone();
            tokio::spawn(async move {
                if let Some(disk) = tiers.disk() {
                    disk.purge(&scope).await;
                }
            });
        }
    }

    /// Purges what is kept. On disk a soft purge is a hard one, so that a restart does not make it forgotten.
    pub(super) async fn purge(self: &Arc<Self>, purge: &Purge) -> Purged {
        // What the disk has not shown yet is judged by the log, whatever its name.
        let is_unread = self.disk().is_some_and(|disk| !disk.is_ready());
        if !purge.scope.is_of_one_name() || is_unread {
            self.purges.record(purge.clone());
        }
        let in_memory = if let Scope::Key(_) = purge.scope {
            self.memory.purge(&purge.scope, purge.depth)
        } else {
            // It looks at every object.
            let (tiers, purge) = (self.clone(), purge.clone());
            let walk = move || tiers.memory.purge(&purge.scope, purge.depth);
            tokio::task::spawn_blocking(walk).await.unwrap_or(0)
        };
        let on_disk = match &self.disk {
            Some(Behind { disk, .. }) => disk.purge(&purge.scope).await,
            None => 0,
        };
        Purged { in_memory, on_disk }
    }

    pub fn memory(&self) -> &Memory<M> {
        &self.memory
    }

    pub fn disk(&self) -> Option<&Disk<M>> {
        self.disk.as_ref().map(|behind| &behind.disk)
    }

    pub fn purges(&self) -> &Purges {
        &self.purges
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}
