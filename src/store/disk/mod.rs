//! The disk tier: one file per object, checked on every read, and never in a viewer's way.
//!
//! An object is written beside its place and renamed, then shown in the index: who finds it there finds it whole. There
//! is no sync to the device: a file that a crash left short or torn is told by its size and its checksums, and is a
//! miss. What fails turns the tier off for a while; a miss is all that anybody sees of it. No lock is held while a file
//! is touched.

mod body;
mod folder;
mod format;
mod index;
mod rack;
mod switch;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use crate::store::disk::body::{DiskBody, DiskError};
pub use crate::store::disk::rack::Settings;

use crate::memory_file::MemoryFile;
use crate::store::counters::Counters;
use crate::store::disk::folder::{FileError, ObjectFile};
use crate::store::disk::format::Front;
use crate::store::disk::index::Item;
use crate::store::disk::rack::Rack;
use crate::store::fill::{Answer, Source};
use crate::store::key::Key;
use crate::store::object::{Description, Object};
use crate::store::purge::{Purges, Scope};
use crate::store::slabs::SlabWriter;

/// How a description's meta is written into a file, and read from it again.
#[derive(Debug)]
pub struct Codec<M> {
    pub write: fn(&M, &mut Vec<u8>),
    /// Nothing, where the bytes are not those of a meta, as after a change of its form.
    pub read: fn(&[u8]) -> Option<M>,
}

/// Objects on disk, bounded by bytes.
#[derive(Debug)]
pub struct Disk<M> {
    rack: Arc<Rack>,
    codec: Codec<M>,
    /// One write at a time.
    writer: Arc<Semaphore>,
    /// KiB that may still wait for it.
    unwritten: Arc<Semaphore>,
    /// KiB that may still be on their way into memory.
    loading: Semaphore,
}

impl<M: Send + Sync + 'static> Disk<M> {
    /// Begins to read the folder in the background: what it has not found yet is a miss.
    pub fn start(settings: Settings, codec: Codec<M>, purges: Arc<Purges>, counters: Arc<Counters>) -> Self {
        let kib =
            |bytes: u64| usize::try_from(bytes >> 10).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let (unwritten, loading) = (kib(settings.unwritten_bytes_max), kib(settings.loading_bytes_max));
        let rack = Rack::new(settings, counters, purges);
        tokio::spawn(Rack::fill(Arc::downgrade(&rack)));
        Self {
            rack,
            codec,
            writer: Arc::new(Semaphore::new(1)),
            unwritten: Arc::new(Semaphore::new(unwritten)),
            loading: Semaphore::new(loading),
        }
    }

    /// The object under `key`, if its file is whole as far as it can be told without reading its body.
    pub async fn find(&self, key: &Key) -> Option<OnDisk<M>> {
        let found = self.look_up(key).await;
        match found {
            Some(_) => self.rack.counters().disk_hits.one(),
            None => self.rack.counters().disk_misses.one(),
        }
        found
    }

    /// Reads the object under `key` into memory, every byte of it checked; `file` is where large bodies lie. Whatever goes
    /// wrong, or takes too long, is a miss.
    pub async fn load(&self, key: &Key, file: Option<Arc<MemoryFile>>) -> Option<Object<M>> {
        let read_timeout = self.rack.settings.read_timeout;
        let outlived = self.rack.purges().latest();
        let Ok(found) = tokio::time::timeout(read_timeout, self.find(key)).await else {
            self.rack.late();
            return None;
        };
        let found = found?;
        let kib = u32::try_from((found.len() >> 10) + 1).unwrap_or(u32::MAX);
        let all = self.rack.settings.loading_bytes_max >> 10;
        let kib = kib.min(u32::try_from(all).unwrap_or(u32::MAX)).max(1);
        let _room = self.loading.acquire_many(kib).await.ok()?;
        let mut writer = SlabWriter::new(file, Some(found.len()));
        let read = async {
            let mut body = found.body();
            while let Some(frame) = body.frame().await {
                let data = frame.ok()?.into_data().unwrap_or_default();
                writer.write(&data, drop);
                tokio::task::coop::consume_budget().await;
            }
            Some(())
        };
        let Ok(read) = tokio::time::timeout(read_timeout, read).await else {
            self.rack.late();
            return None;
        };
        read?;
        self.rack.read_succeeded();
        Some(Object::new(key.clone(), Arc::new(found.description), writer.settle(), outlived))
    }

    async fn look_up(&self, key: &Key) -> Option<OnDisk<M>> {
        self.rack.readable()?;
        let item = self.rack.index().hit(key).cloned()?;
        if self.rack.purges().verdict(item.outlived, key.text(), &item.tags).is_some() {
            self.rack.index().remove(key.hash());
            return None;
        }
        let (rack, hash) = (self.rack.clone(), key.hash());
        let opened = self.rack.blocking(move || {
            let file = rack.readable().ok_or(FileError::Gone)?.open(hash)?;
            file.advise();
            Ok(file)
        });
        let file = match opened.await {
            Ok(file) => Arc::new(file),
            Err(error) => {
                self.rack.read_failed(hash, &error);
                return None;
            }
        };
        let front = file.front().filter(|front| front.key == key.text())?;
        let meta = (self.codec.read)(front.meta);
        let Some(meta) = meta else {
            self.rack.read_failed(hash, &FileError::Corrupt);
            return None;
        };
        let meta_bytes = u64::from(file.meta_weight());
        let description = Description { meta, meta_bytes, tags: front.tags, may_rest_on_disk: true };
        Some(OnDisk { description, file, rack: self.rack.clone() })
    }

    pub fn has(&self, key: &Key) -> bool {
        self.rack.index().has(key)
    }

    /// Has `object` written, in place of what was under its key, when the disk keeps up.
    pub fn offer(&self, object: &Arc<Object<M>>) {
        let settings = &self.rack.settings;
        let too_large = object.len() > settings.object_bytes_max.min(settings.bytes_max / 2);
        if too_large || !object.description().may_rest_on_disk || self.rack.writable().is_none() {
            return;
        }
        let kib = u32::try_from((object.weight() >> 10) + 1).unwrap_or(u32::MAX);
        let Ok(room) = self.unwritten.clone().try_acquire_many_owned(kib) else {
            self.rack.counters().disk_skipped.one();
            return;
        };
        if self.rack.index().begin_write(object.key()) {
            let mut meta = Vec::new();
            (self.codec.write)(object.meta(), &mut meta);
            let (rack, writer, object) = (self.rack.clone(), self.writer.clone(), object.clone());
            tokio::spawn(async move {
                let turn = writer.acquire_owned().await;
                let written = tokio::task::spawn_blocking(move || {
                    let _held: (_, OwnedSemaphorePermit) = (turn, room);
                    write(&rack, &object, &meta);
                });
                // A panic of it is on the record already; the index forgot the write on the way.
                drop(written.await);
            });
        }
    }

    /// Removes what `scope` covers, also its files, so that a restart does not bring it back; how many objects.
    pub async fn purge(&self, scope: &Scope) -> usize {
        let (rack, scope) = (self.rack.clone(), scope.clone());
        tokio::task::spawn_blocking(move || rack.purge(&scope)).await.unwrap_or(0)
    }

    pub fn read_timeout(&self) -> Duration {
        self.rack.settings.read_timeout
    }

    /// The keys of what `scope` covers, each with the size of its file; `count_max` at most. It looks at every object.
    pub fn covered(&self, scope: &Scope, count_max: usize) -> Vec<(Key, u64)> {
        self.rack.index().covered(scope, count_max)
    }

    /// Whether the folder was read to its end since the start.
    pub fn is_ready(&self) -> bool {
        self.rack.is_ready()
    }

    /// Whether the disk is left alone for a while.
    pub fn is_off(&self) -> bool {
        self.rack.is_off()
    }

    /// The files together.
    pub fn bytes(&self) -> u64 {
        self.rack.index().bytes()
    }

    pub fn count(&self) -> usize {
        self.rack.index().count()
    }
}

/// Writes an object, shows it, and removes those that go for it.
fn write<M>(rack: &Rack, object: &Object<M>, meta: &[u8]) {
    let key = object.key();
    let mut ending = EndWrite { rack, key, ended: false };
    let Some(folder) = rack.writable() else { return };
    let front = Front { key: key.text(), tags: object.tags().into(), meta };
    let meta_weight = u32::try_from(object.description().meta_bytes).unwrap_or(u32::MAX);
    let bytes = match folder.write(key.hash(), &front, meta_weight, object.slabs()) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        Err(error) => {
            rack.write_failed(&error);
            return;
        }
    };
    rack.write_succeeded();
    let outlived = object.outlived();
    let mut index = rack.index();
    ending.ended = true;
    let doomed = index.end_write(key) || object.is_marked_stale();
    let purged = doomed || rack.purges().verdict(outlived, key.text(), object.tags()).is_some();
    let victims = if purged {
        index.remove(key.hash());
        vec![key.hash()]
    } else {
        index.insert(Item { key: key.clone(), tags: object.tags().into(), bytes, outlived })
    };
    drop(index);
    rack.counters().disk_writes.one();
    rack.counters().disk_written_bytes.add(bytes);
    if !purged {
        rack.counters().disk_evictions.add(victims.len() as u64);
    }
    rack.remove_files(victims);
}

/// Takes a write off the index's list, however it ends.
struct EndWrite<'a> {
    rack: &'a Rack,
    key: &'a Key,
    ended: bool,
}

impl Drop for EndWrite<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.rack.index().end_write(self.key);
        }
    }
}

/// An object found on disk. Its body is read, and each part of it checked, as it is sent.
#[derive(Debug)]
pub struct OnDisk<M> {
    description: Description<M>,
    file: Arc<ObjectFile>,
    rack: Arc<Rack>,
}

impl<M> OnDisk<M> {
    pub fn meta(&self) -> &M {
        &self.description.meta
    }

    pub fn len(&self) -> u64 {
        self.file.body_bytes()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn body(&self) -> DiskBody {
        self.range(0, self.len())
    }

    /// The bytes from `first` to before `end` as a body.
    pub fn range(&self, first: u64, end: u64) -> DiskBody {
        DiskBody::new(self.file.clone(), self.rack.clone(), first, end)
    }

    /// What a fill makes of it, so that it goes into memory and many readers make one read.
    pub fn into_answer(self) -> Answer<M, DiskBody> {
        let (length, body) = (Some(self.len()), self.body());
        Answer { description: self.description, length, body, is_kept: true, source: Source::Disk }
    }
}

#[cfg(test)]
mod tests;
