//! The tiers together: what is looked up, kept and purged in memory and on disk.

use std::sync::Arc;

use crate::store::counters::Counters;
use crate::store::key::Key;
use crate::store::memory::Memory;
use crate::store::object::Object;
use crate::store::purge::{Purge, Purges, Scope};

/// Memory, and the disk behind it where there is one.
#[derive(Debug)]
pub struct Tiers<M> {
    memory: Memory<M>,
    purges: Arc<Purges>,
    counters: Arc<Counters>,
}

/// How many objects a purge covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    pub in_memory: usize,
}

impl<M: Send + Sync + 'static> Tiers<M> {
    /// Room for `bytes_max` in memory, of which one object may take up to `object_bytes_max`.
    pub fn new(bytes_max: u64, object_bytes_max: u64) -> Self {
        let (purges, counters) = (Arc::<Purges>::default(), Arc::<Counters>::default());
        let memory = Memory::new(bytes_max, object_bytes_max, purges.clone(), counters.clone());
        Self { memory, purges, counters }
    }

    /// The object under `key` in memory, fresh or not.
    pub fn find(&self, key: &Key) -> Option<Arc<Object<M>>> {
        self.memory.get(key)
    }

    /// Keeps an object.
    pub fn keep(&self, object: &Arc<Object<M>>) {
        self.memory.insert(object.clone());
    }

    pub(super) fn purge(&self, purge: &Purge) -> Purged {
        match purge.scope {
            Scope::Key(_) => (),
            Scope::Prefix(_) | Scope::Tag(_) | Scope::All => self.purges.record(purge.clone()),
        }
        Purged { in_memory: self.memory.purge(&purge.scope, purge.depth) }
    }

    pub fn memory(&self) -> &Memory<M> {
        &self.memory
    }

    pub fn purges(&self) -> &Purges {
        &self.purges
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}
