//! A file that is read whole, and again when it has changed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file and how it was when it was last read.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    bytes_max: u64,
    seen: Mutex<Option<Mark>>,
    reloads: AtomicU64,
    failures: AtomicU64,
}

/// Two files with one mark are one file that nobody has written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is over {bytes_max} bytes; raise [geo] file_max", path.display())]
    TooLarge { path: PathBuf, bytes_max: u64 },
}

impl Watched {
    pub fn new(path: PathBuf, bytes_max: u64) -> Self {
        Self {
            path,
            bytes_max,
            seen: Mutex::new(None),
            reloads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file, and remembers how it was.
    pub fn read(&self) -> Result<Vec<u8>, FileError> {
        let unreadable = |source| FileError::Unreadable { path: self.path.clone(), source };
        let file = File::open(&self.path).map_err(unreadable)?;
        let mark = Mark::of(&file.metadata().map_err(unreadable)?);
        // A file that cannot be read is not read again before it changes.
        self.remember(Some(mark));
        let mut bytes = Vec::new();
        file.take(self.bytes_max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > self.bytes_max {
            return Err(FileError::TooLarge { path: self.path.clone(), bytes_max: self.bytes_max });
        }
        Ok(bytes)
    }

    /// Whether the file is another than the one that was read. One that is missing has changed, once.
    pub fn has_changed(&self) -> bool {
        let mark = fs::metadata(&self.path).ok().map(|metadata| Mark::of(&metadata));
        let seen = *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if mark.is_none() {
            self.remember(None);
        }
        mark != seen
    }

    pub fn reloaded(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a changed file was taken into use.
    pub fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// How often a changed file could not be used.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn remember(&self, mark: Option<Mark>) {
        *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = mark;
    }
}

impl Mark {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
