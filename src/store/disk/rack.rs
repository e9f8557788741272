//! What all users of the disk share: the folder, the index of what lies in it, and the state of its health.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::store::counters::Counters;
use crate::store::disk::folder::{FileError, Folder, ObjectFile};
use crate::store::disk::index::{Index, Item};
use crate::store::disk::switch::Switch;
use crate::store::key::Key;
use crate::store::purge::{Purges, Scope};

/// Places of the index that a purge looks at under one lock.
const PURGE_STEP: usize = 2_048;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub folder: PathBuf,
    pub bytes_max: u64,
    pub object_bytes_max: u64,
    /// Reads that may wait for the device at once.
    pub reads_max: usize,
    /// Bytes of objects on their way into memory.
    pub loading_bytes_max: u64,
    /// Bytes that may wait to be written; what comes above it is not written.
    pub unwritten_bytes_max: u64,
    /// How long an object may take into memory; a slower disk is one that failed.
    pub read_timeout: Duration,
    /// How long a disk that failed is left alone at first.
    pub pause: Duration,
}

#[derive(Debug)]
pub(super) struct Rack {
    pub settings: Settings,
    folder: OnceLock<Folder>,
    /// Everything that lay in the folder is in the index.
    ready: AtomicBool,
    index: Mutex<Index>,
    reads: Switch,
    writes: Switch,
    /// Threads that may wait for the device.
    waiting: Semaphore,
    counters: Arc<Counters>,
    purges: Arc<Purges>,
}

impl Rack {
    pub fn new(settings: Settings, counters: Arc<Counters>, purges: Arc<Purges>) -> Arc<Self> {
        Arc::new(Self {
            folder: OnceLock::new(),
            ready: AtomicBool::new(false),
            index: Mutex::new(Index::new(settings.bytes_max)),
            reads: Switch::new(settings.pause),
            writes: Switch::new(settings.pause),
            waiting: Semaphore::new(settings.reads_max.clamp(1, Semaphore::MAX_PERMITS)),
            settings,
            counters,
            purges,
        })
    }

    /// Takes the folder and reads what lies in it, trying again for as long as that fails and anybody holds the rack.
    pub async fn fill(rack: Weak<Self>) {
        loop {
            let Some(this) = rack.upgrade() else { return };
            let pause = this.settings.pause;
            let weak = rack.clone();
            drop(this);
            let read = tokio::task::spawn_blocking(move || Self::read_folder(&weak)).await;
            match read {
                Ok(Ok(())) | Err(_) => return,
                Ok(Err(error)) => {
                    let Some(this) = rack.upgrade() else { return };
                    this.failed(&this.writes, "reading its folder", &error);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn read_folder(rack: &Weak<Self>) -> io::Result<()> {
        let Some(this) = rack.upgrade() else { return Ok(()) };
        if this.folder.get().is_none() {
            // Nobody else sets it: one task reads the folder.
            let _ = this.folder.set(Folder::claim(&this.settings.folder)?);
        }
        let files = this.folder.get().map(Folder::files);
        drop(this);
        for file in files.into_iter().flatten() {
            let Some(this) = rack.upgrade() else { return Ok(()) };
            let victims = file?.map(|file| this.found(&file)).unwrap_or_default();
            this.remove_files(victims);
        }
        if let Some(this) = rack.upgrade() {
            this.ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Takes a file from before the start into the index; the hashes of those that go for it.
    fn found(&self, file: &ObjectFile) -> Vec<u128> {
        let Some(front) = file.front() else { return vec![file.hash()] };
        let key = Key::new(front.key);
        // A purge is recorded before it walks the index: either it is seen here, or it will find the object there.
        let mut index = self.index();
        let outlived = self.purges.latest();
        let purged = self.purges.verdict(0, key.text(), &front.tags).is_some();
        if key.hash() != file.hash() || purged || file.file_bytes() > self.settings.bytes_max {
            return vec![file.hash()];
        }
        index.insert(Item { key, tags: front.tags, bytes: file.file_bytes(), outlived })
    }

    /// The folder, while the disk may be read.
    pub fn readable(&self) -> Option<&Folder> {
        self.folder.get().filter(|_| !self.reads.is_off())
    }

    /// The folder, once it was read and while the disk may be written.
    pub fn writable(&self) -> Option<&Folder> {
        self.folder.get().filter(|_| self.is_ready() && !self.writes.is_off())
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub fn is_off(&self) -> bool {
        self.reads.is_off() || self.writes.is_off()
    }

    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn purges(&self) -> &Purges {
        &self.purges
    }

    /// Runs `work` on a thread that may wait for the device, as one of a bounded number.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let permit = self.waiting.acquire().await;
        let done = tokio::task::spawn_blocking(work).await;
        drop(permit);
        done.unwrap_or_else(|lost| Err(FileError::Io(io::Error::other(lost))))
    }

    /// Notes that the device took longer than it may.
    pub fn late(&self) {
        self.counters.disk_late.one();
        self.failed(&self.reads, "reading", &io::Error::from(io::ErrorKind::TimedOut));
    }

    pub fn write_failed(&self, error: &io::Error) {
        self.failed(&self.writes, "writing", error);
    }

    pub fn read_succeeded(&self) {
        self.reads.succeed();
    }

    pub fn write_succeeded(&self) {
        self.writes.succeed();
    }

    /// Notes that an object could not be read: a file that is gone or damaged is taken out, a device that fails is left
    /// alone for a while.
    pub fn read_failed(self: &Arc<Self>, hash: u128, error: &FileError) {
        match error {
            FileError::Io(error) => {
                self.failed(&self.reads, "reading", error);
                return;
            }
            FileError::Corrupt => self.counters.disk_corrupt.one(),
            FileError::Gone => (),
        }
        self.index().remove(hash);
        let rack = self.clone();
        tokio::task::spawn_blocking(move || rack.remove_files([hash]));
    }

    /// Takes out what `scope` covers, with its files; how many objects that was.
    pub fn purge(&self, scope: &Scope) -> usize {
        if let Scope::Key(text) = scope {
            let key = Key::new(&**text);
            let mut index = self.index();
            index.doom(scope);
            let gone = index.has(&key).then(|| index.remove(key.hash())).flatten();
            drop(index);
            // Its file may be there and not found yet.
            self.remove_files([key.hash()]);
            return usize::from(gone.is_some());
        }
        // What is being written is seen here, or stands in the index by the time of the walk.
        self.index().doom(scope);
        let (mut count, mut from) = (0, Some(0));
        while let Some(at) = from {
            let (gone, next) = self.index().purge_some(scope, at, PURGE_STEP);
            count += gone.len();
            self.remove_files(gone);
            from = next;
        }
        count
    }

    /// Removes files, waiting for the device.
    pub fn remove_files(&self, hashes: impl IntoIterator<Item = u128>) {
        let Some(folder) = self.folder.get() else { return };
        for hash in hashes {
            if let Err(error) = folder.remove(hash) {
                self.failed(&self.writes, "removing", &error);
            }
        }
    }

    fn failed(&self, switch: &Switch, doing: &str, error: &io::Error) {
        self.counters.disk_errors.one();
        if switch.fail() {
            self.counters.disk_off.one();
            tracing::warn!(folder = %self.settings.folder.display(), %error, "the disk tier is off for a while: {doing} failed");
        }
    }
}
