//! The files of the disk tier: `aa/bb/<32 hex digits>` under one root. Every call here may block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IoSliceMut, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Advice, FlockOperation, fadvise, flock};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::store::disk::format::{self, CHUNK_BYTES, Front, HEAD_BYTES, Layout, Table};
use crate::store::slabs::Slabs;

/// The first read of a file, in which most heads with what follows them fit.
const FIRST_READ_BYTES: usize = 4 << 10;
const BEING_WRITTEN: &str = "tmp";
const LOCK: &str = "lock";

/// The folder of the disk tier. While it lives, no other process uses the folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    names: AtomicU64,
    _lock: File,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("the file is gone")]
    Gone,
    #[error("the file's bytes are not those that were written")]
    Corrupt,
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            io::ErrorKind::UnexpectedEof => Self::Corrupt,
            _ => Self::Io(error),
        }
    }
}

/// An object's file, of which all but the body was read and checked.
#[derive(Debug)]
pub(super) struct ObjectFile {
    file: File,
    layout: Layout,
    front: Vec<u8>,
    head: [u8; HEAD_BYTES],
    table: Box<[u32]>,
}

impl Folder {
    /// Makes the folder where it is missing, and takes it for this process.
    pub fn claim(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(root.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { root: root.to_owned(), names: AtomicU64::new(0), _lock: lock })
    }

    /// Writes a file beside its place and moves it there when it is whole; its size.
    pub fn write(
        &self,
        hash: u128,
        front: &Front<'_>,
        meta_weight: u32,
        body: &Slabs,
    ) -> io::Result<Option<u64>> {
        let Some((bytes, checksum)) = format::front(hash, front, meta_weight, body.len()) else {
            return Ok(None);
        };
        let place = self.place(hash);
        let folder = place.parent().unwrap_or(&self.root);
        make_folders(&self.root, folder)?;
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let beside = folder.join(format!("{hash:032x}.{number}.{BEING_WRITTEN}"));
        let written = write_all(&beside, &bytes, checksum, body)
            .and_then(|bytes| fs::rename(&beside, &place).map(|()| bytes));
        if written.is_err() {
            // What cannot be removed here is removed at the next start.
            let _ = fs::remove_file(&beside);
        }
        written.map(Some)
    }

    pub fn open(&self, hash: u128) -> Result<ObjectFile, FileError> {
        ObjectFile::open(&self.place(hash), hash)
    }

    /// Removes the file of `hash`; one that is gone already is no error.
    pub fn remove(&self, hash: u128) -> io::Result<()> {
        match fs::remove_file(self.place(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Opens every object that lies here, one by one; removes what was not written to its end and what is damaged.
    /// To be called before anything is written: a file on its way would be taken for one that was left so.
    pub fn files(&self) -> impl Iterator<Item = io::Result<Option<ObjectFile>>> + use<> {
        let outer = folders(self.root.clone());
        let inner = outer.flat_map(|outer| either(outer, folders));
        inner.flat_map(|inner| either(inner, entries)).map(|path| open_or_remove(&path?))
    }

    fn place(&self, hash: u128) -> PathBuf {
        let name = format!("{hash:032x}");
        self.root.join(&name[..2]).join(&name[2..4]).join(name)
    }
}

/// What lies in a folder, or why it cannot be read.
fn entries(of: PathBuf) -> Box<dyn Iterator<Item = io::Result<PathBuf>>> {
    match fs::read_dir(of) {
        Ok(entries) => Box::new(entries.map(|entry| entry.map(|entry| entry.path()))),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

/// The folders of our making in a folder.
fn folders(of: PathBuf) -> Box<dyn Iterator<Item = io::Result<PathBuf>>> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.len() == 2 && u8::from_str_radix(name, 16).is_ok()) && path.is_dir()
    };
    Box::new(entries(of).filter(move |path| path.as_ref().map_or(true, ours)))
}

/// What `of` makes of a path, or the error in its place.
fn either(
    path: io::Result<PathBuf>,
    of: fn(PathBuf) -> Box<dyn Iterator<Item = io::Result<PathBuf>>>,
) -> Box<dyn Iterator<Item = io::Result<PathBuf>>> {
    match path {
        Ok(path) => of(path),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

fn open_or_remove(path: &Path) -> io::Result<Option<ObjectFile>> {
    let hash = path.file_name().and_then(|name| hash_of(name.to_str()?));
    let opened = match hash {
        Some(hash) => ObjectFile::open(path, hash),
        None if path.extension().is_some_and(|kind| kind == BEING_WRITTEN) => Err(FileError::Corrupt),
        // Not of our making.
        None => return Ok(None),
    };
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(FileError::Gone) => Ok(None),
        Err(FileError::Corrupt) => fs::remove_file(path).map(|()| None),
        Err(FileError::Io(error)) => Err(error),
    }
}

fn hash_of(name: &str) -> Option<u128> {
    let ours = name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(name, 16).ok().filter(|_| ours)
}

/// Makes the two folders of a file, and never the root: a root that is gone is a fault to be seen.
fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    for folder in [folder.parent().filter(|outer| *outer != root), Some(folder)].into_iter().flatten() {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => (),
        }
    }
    Ok(())
}

fn write_all(path: &Path, front: &[u8], checksum: u32, body: &Slabs) -> io::Result<u64> {
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    let mut writer = BufWriter::new(file);
    writer.write_all(front)?;
    let mut table = Table::default();
    for piece in body.pieces() {
        table.add(piece);
        writer.write_all(piece)?;
    }
    let table = table.finish(checksum);
    writer.write_all(&table)?;
    writer.flush()?;
    Ok(front.len() as u64 + body.len() + table.len() as u64)
}

impl ObjectFile {
    fn open(path: &Path, hash: u128) -> Result<Self, FileError> {
        let file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        let mut first = vec![0; FIRST_READ_BYTES.min(usize::try_from(file_bytes).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut first, 0)?;
        let head = *first.first_chunk::<HEAD_BYTES>().ok_or(FileError::Corrupt)?;
        let layout = Layout::read(&head, file_bytes).filter(|layout| layout.hash == hash);
        let layout = layout.ok_or(FileError::Corrupt)?;
        let mut front = vec![0; layout.front_bytes()];
        let here = (first.len() - HEAD_BYTES).min(front.len());
        front[..here].copy_from_slice(&first[HEAD_BYTES..HEAD_BYTES + here]);
        file.read_exact_at(&mut front[here..], (HEAD_BYTES + here) as u64)?;
        layout.front(&head, &front).ok_or(FileError::Corrupt)?;
        let mut table = vec![0; usize::try_from(layout.table_bytes()).map_err(|_| FileError::Corrupt)?];
        file.read_exact_at(&mut table, layout.table_offset())?;
        let table = layout.table(&table).ok_or(FileError::Corrupt)?;
        Ok(Self { file, layout, front, head, table })
    }

    /// Tells the kernel that the body will be read from front to back.
    pub fn advise(&self) {
        let length = std::num::NonZeroU64::new(self.layout.body_bytes);
        // Advice that is not taken costs nothing but speed.
        let _ = fadvise(&self.file, self.layout.body_offset(), length, Advice::Sequential);
    }

    pub fn front(&self) -> Option<Front<'_>> {
        self.layout.front(&self.head, &self.front)
    }

    pub fn meta_weight(&self) -> u32 {
        self.layout.meta_weight
    }

    pub fn hash(&self) -> u128 {
        self.layout.hash
    }

    pub fn body_bytes(&self) -> u64 {
        self.layout.body_bytes
    }

    pub fn file_bytes(&self) -> u64 {
        self.layout.table_offset() + self.layout.table_bytes()
    }

    /// A chunk of the body, when the kernel has it in memory; it never waits for the device.
    pub fn chunk_at_hand(&self, number: u64) -> Result<Option<Vec<u8>>, FileError> {
        let (offset, mut chunk) = self.empty_chunk(number);
        let mut filled = 0;
        while filled < chunk.len() {
            let mut rest = [IoSliceMut::new(&mut chunk[filled..])];
            match preadv2(&self.file, &mut rest, offset + filled as u64, ReadWriteFlags::NOWAIT) {
                Ok(0) => return Err(FileError::Corrupt),
                Ok(bytes) => filled += bytes,
                Err(Errno::INTR) => (),
                // Not in memory, or a file system or kernel that cannot tell.
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(None),
                Err(error) => return Err(FileError::Io(error.into())),
            }
        }
        self.checked(number, chunk).map(Some)
    }

    /// A chunk of the body, waiting for the device.
    pub fn chunk(&self, number: u64) -> Result<Vec<u8>, FileError> {
        let (offset, mut chunk) = self.empty_chunk(number);
        self.file.read_exact_at(&mut chunk, offset)?;
        self.checked(number, chunk)
    }

    fn empty_chunk(&self, number: u64) -> (u64, Vec<u8>) {
        let start = number.saturating_mul(CHUNK_BYTES as u64).min(self.layout.body_bytes);
        let bytes = (self.layout.body_bytes - start).min(CHUNK_BYTES as u64);
        (self.layout.body_offset() + start, vec![0; usize::try_from(bytes).unwrap_or(CHUNK_BYTES)])
    }

    fn checked(&self, number: u64, chunk: Vec<u8>) -> Result<Vec<u8>, FileError> {
        let entry = usize::try_from(number).ok().and_then(|number| self.table.get(number));
        if entry == Some(&crc32fast::hash(&chunk)) { Ok(chunk) } else { Err(FileError::Corrupt) }
    }
}
