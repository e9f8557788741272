//! Memory that the kernel sends by itself: one file in memory, mapped once, given out in blocks.
//!
//! Large bodies of the cache lie in blocks of this file. Their readers see [`Bytes`] in the mapping; to a plain socket the
//! same bytes go by `sendfile`, which queues the file's pages themselves, without a copy.
//!
//! **Those pages outlive their block.** A client that reads slowly has them in its socket's queue long after the last
//! [`Bytes`] is gone, and would get whatever is written into them meanwhile. So no byte is written twice: within a block
//! bytes are only added, and a freed block's pages are punched out of the file, which leaves them to the sockets that hold
//! them and gives the place fresh ones. That is true of whole pages only: of a huge page the kernel zeroes the part that is
//! punched, whoever else holds it. Hence the mapping forbids huge pages, and places begin and end with the largest pages
//! that a kernel is built for.
//!
//! Places are plenty (the file is as good as all hole): they are of a few sizes, reused within their size and never
//! joined. Memory is what is written, and goes back to the system when a block is freed.

#![expect(unsafe_code, reason = "a mapping is reached by address; each block says why its use is sound")]

use std::fmt;
use std::io::{self, ErrorKind};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::{Resource, getrlimit};

/// Smaller blocks come from the heap: to send them apart from their head costs more than to copy them.
pub const BLOCK_BYTES_MIN: usize = 32 << 10;
/// Larger blocks come from the heap.
pub const BLOCK_BYTES_MAX: usize = PLACE_BYTES_MIN << (PLACE_SIZES - 1);
/// A slice below this is copied to its socket.
const SENT_BYTES_MIN: usize = 32 << 10;
/// The largest page of the architectures that we run on.
const PLACE_BYTES_MIN: usize = 64 << 10;
/// Places of 64, 128 and 256 KiB.
const PLACE_SIZES: usize = 3;
/// How much room there is for places, by what is going to be kept: the smallest block takes half of its place, what is
/// freed in one size is no room for another, and what is being sent is held beyond what is kept.
const ROOM: u64 = 16;

/// The file and its mapping.
pub struct MemoryFile {
    file: OwnedFd,
    base: NonNull<u8>,
    room: usize,
    page_bytes: usize,
    places: Mutex<Places>,
    held: AtomicU64,
    missed: AtomicU64,
    sent: AtomicU64,
    cannot_send: AtomicBool,
}

/// What is free of the file, by offset.
#[derive(Debug, Default)]
struct Places {
    freed: [Vec<usize>; PLACE_SIZES],
    /// From here on nothing was ever given out.
    next: usize,
}

/// Why there is no memory file. All goes on without it; bodies are then copied to their sockets.
#[derive(Debug, thiserror::Error)]
pub enum MemoryFileError {
    #[error("{0}: {1}")]
    System(&'static str, #[source] io::Error),
    #[error("files may have no more than {0} bytes here (RLIMIT_FSIZE), and {1} are needed")]
    FileLimit(u64, u64),
    #[error("{0} bytes of memory are more than can be addressed")]
    TooLarge(u64),
}

impl MemoryFile {
    /// A file with room for blocks of `bytes` in all, and for those that are still being sent beside them.
    pub fn create(bytes: u64) -> Result<Arc<Self>, MemoryFileError> {
        let system = |what| move |errno: Errno| MemoryFileError::System(what, errno.into());
        let room =
            bytes.checked_mul(ROOM).and_then(|room| room.checked_next_multiple_of(BLOCK_BYTES_MAX as u64));
        let room = room.ok_or(MemoryFileError::TooLarge(bytes))?;
        let mapped = usize::try_from(room).map_err(|_| MemoryFileError::TooLarge(bytes))?;
        // Beyond it the kernel would end us with SIGXFSZ.
        if let Some(limit) = getrlimit(Resource::Fsize).current.filter(|limit| *limit < room) {
            return Err(MemoryFileError::FileLimit(limit, room));
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let name = c"sluicegate-cache";
        let file = rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL)
            // Linux before 6.3 does not know that seal.
            .or_else(|_| rustix::fs::memfd_create(name, flags))
            .map_err(system("memfd_create"))?;
        rustix::fs::ftruncate(&file, room).map_err(system("ftruncate"))?;
        // Nobody can shorten the file under the mapping, which would end its readers with SIGBUS.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals).map_err(system("fcntl(F_ADD_SEALS)"))?;
        let page = rustix::fs::fstat(&file).map_err(system("fstat"))?.st_blksize;
        let page_bytes = usize::try_from(page).unwrap_or(PLACE_BYTES_MIN).clamp(1, PLACE_BYTES_MIN);
        let (protection, how) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::NORESERVE);
        // SAFETY: the kernel chooses the address, so that no other memory is touched.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), mapped, protection, how, &file, 0) };
        let base = NonNull::new(base.map_err(system("mmap"))?.cast()).expect("the kernel maps nothing at 0");
        let made = Self {
            file,
            base,
            room: mapped,
            page_bytes,
            places: Mutex::default(),
            held: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            cannot_send: AtomicBool::new(false),
        };
        // SAFETY: the mapping is ours, and the advice changes no byte of it.
        match unsafe { rustix::mm::madvise(base.as_ptr().cast(), mapped, Advice::LinuxNoHugepage) } {
            // A kernel without huge pages does not know the advice.
            Ok(()) | Err(Errno::INVAL) => Ok(Arc::new(made)),
            Err(errno) => Err(system("madvise(MADV_NOHUGEPAGE)")(errno)),
        }
    }

    /// The memory that blocks take.
    pub fn held_bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Blocks that had to come from the heap, the file having no place or the system no memory for it.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Bytes that were sent from it.
    pub fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Where in the file `slice` lies, if it does and is long enough to be worth sending from there.
    pub fn place(&self, slice: &[u8]) -> Option<u64> {
        let at = slice.as_ptr().addr().checked_sub(self.base.addr().get())?;
        let is_within = slice.len() >= SENT_BYTES_MIN && at < self.room;
        (is_within && !self.cannot_send.load(Ordering::Relaxed)).then_some(at as u64)
    }

    /// Sends `bytes` from `place` to a socket; how many it took. The socket must not wait.
    pub fn send(&self, socket: impl AsFd, place: u64, bytes: usize) -> io::Result<usize> {
        let mut at = place;
        match rustix::fs::sendfile(socket, &self.file, Some(&mut at), bytes) {
            Ok(sent) => {
                self.sent.fetch_add(sent as u64, Ordering::Relaxed);
                Ok(sent)
            }
            Err(errno @ (Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS)) => {
                if !self.cannot_send.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%errno, "sendfile is refused here; cached bodies are copied to their sockets");
                }
                Err(ErrorKind::Unsupported.into())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// A place with memory behind `bytes` of it.
    fn take(&self, bytes: usize) -> Option<(usize, NonNull<u8>)> {
        let size = size_of_place(bytes)?;
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            let next = places.next;
            match places.freed[size].pop() {
                Some(freed) => Some(freed),
                None if self.room - next >= PLACE_BYTES_MIN << size => {
                    places.next += PLACE_BYTES_MIN << size;
                    Some(next)
                }
                None => None,
            }
        };
        let start = place.map(|place| {
            // SAFETY: places lie within the mapping.
            (place, unsafe { self.base.add(place) })
        });
        // SAFETY: the pages are of a place that nobody else has. To have them filled in now is one system call where
        // there would be a fault for each, and an error where a fault would be the end of the process.
        let filled = start.map(|(_, start)| unsafe {
            rustix::mm::madvise(start.as_ptr().cast(), bytes, Advice::LinuxPopulateWrite)
        });
        match (start, filled) {
            // Linux before 5.14 does not know the advice.
            (Some(start), Some(Ok(()) | Err(Errno::INVAL))) => {
                self.held.fetch_add(self.in_pages(bytes), Ordering::Relaxed);
                Some(start)
            }
            (Some((place, _)), _) => {
                self.put_back(place, size);
                self.missed.fetch_add(1, Ordering::Relaxed);
                None
            }
            (None, _) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    fn free(&self, place: usize, bytes: usize) {
        let size = size_of_place(bytes).expect("it was taken by the same number of bytes");
        if self.put_back(place, size) {
            self.held.fetch_sub(self.in_pages(bytes), Ordering::Relaxed);
        }
    }

    /// Gives a place's pages up and the place to who comes next; whether that was possible. Where it is not, the place
    /// is not used again.
    fn put_back(&self, place: usize, size: usize) -> bool {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let punch = || rustix::fs::fallocate(&self.file, how, place as u64, (PLACE_BYTES_MIN << size) as u64);
        if let Err(errno) = rustix::io::retry_on_intr(punch) {
            tracing::error!(%errno, "a block of the memory file could not be freed, and stays");
            return false;
        }
        self.places.lock().unwrap_or_else(PoisonError::into_inner).freed[size].push(place);
        true
    }

    fn in_pages(&self, bytes: usize) -> u64 {
        bytes.next_multiple_of(self.page_bytes) as u64
    }
}

/// Which of the sizes of places `bytes` need; none where they are better kept elsewhere.
fn size_of_place(bytes: usize) -> Option<usize> {
    let fits = |size: &usize| bytes <= PLACE_BYTES_MIN << *size;
    (bytes >= BLOCK_BYTES_MIN).then(|| (0..PLACE_SIZES).find(fits)).flatten()
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        // SAFETY: every block holds the file, so that no slice of the mapping is left. What sockets still have in their
        // queues are pages, not addresses.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.room) };
    }
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFile")
            .field("room", &self.room)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

// SAFETY: the address is constant, the mapping lives as long as the file, and what is written to it goes through blocks.
unsafe impl Send for MemoryFile {}
// SAFETY: as above; all that changes is atomic or under a lock.
unsafe impl Sync for MemoryFile {}

/// Memory that is written once, from its beginning on, while what is written can be read already.
pub struct Block {
    memory: Arc<Memory>,
    filled: usize,
}

struct Memory {
    start: NonNull<u8>,
    capacity: usize,
    /// The file and the place in it; none for memory of the heap.
    place: Option<(Arc<MemoryFile>, usize)>,
}

// SAFETY: an address and a size; who may write to and who may read what of it, `Block` and `Piece` say.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Block {
    /// Room for `bytes`, in `file` where there is one and where they belong there.
    pub fn new(file: Option<&Arc<MemoryFile>>, bytes: usize) -> Self {
        let placed =
            file.filter(|_| size_of_place(bytes).is_some()).and_then(|file| Some((file, file.take(bytes)?)));
        let memory = if let Some((file, (place, start))) = placed {
            Memory { start, capacity: bytes, place: Some((file.clone(), place)) }
        } else {
            let mut heap = ManuallyDrop::new(Vec::<u8>::with_capacity(bytes));
            let start = NonNull::new(heap.as_mut_ptr()).expect("a vector's pointer is never null");
            Memory { start, capacity: heap.capacity(), place: None }
        };
        Self { memory: Arc::new(memory), filled: 0 }
    }

    pub fn len(&self) -> usize {
        self.filled
    }

    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    pub fn capacity(&self) -> usize {
        self.memory.capacity
    }

    /// The memory that it takes.
    pub fn allocated(&self) -> u64 {
        match &self.memory.place {
            Some((file, _)) => file.in_pages(self.memory.capacity),
            None => self.memory.capacity as u64,
        }
    }

    /// Adds the beginning of `bytes`, as much as there is room for; how much that was.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.memory.capacity - self.filled);
        // SAFETY: `filled + count` is within the memory. Only a block writes to it, there is one for each memory, and it
        // is borrowed mutably; pieces refer to what lies before `filled` alone, which is not written again.
        unsafe {
            let end = self.memory.start.add(self.filled);
            ptr::copy_nonoverlapping(bytes.as_ptr(), end.as_ptr(), count);
        }
        self.filled += count;
        count
    }

    /// What was written from `from` on, without a copy. It keeps the whole block.
    pub fn piece(&self, from: usize) -> Bytes {
        let from = from.min(self.filled);
        Bytes::from_owner(Piece { memory: self.memory.clone(), from, bytes: self.filled - from })
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.memory.place.as_ref().map(|(_, place)| place);
        f.debug_struct("Block")
            .field("filled", &self.filled)
            .field("capacity", &self.memory.capacity)
            .field("place", &place)
            .finish()
    }
}

/// A part of a block that is written.
struct Piece {
    memory: Arc<Memory>,
    from: usize,
    bytes: usize,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: these bytes were written before the piece was made, and `Block` writes none of them again; the piece
        // holds their memory. No other process of ours has the file, and its seals keep it as long as it is.
        unsafe { std::slice::from_raw_parts(self.memory.start.add(self.from).as_ptr(), self.bytes) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self.place.take() {
            Some((file, place)) => file.free(place, self.capacity),
            // SAFETY: it came from a vector of bytes of this capacity, and this is the last that knows of it.
            None => drop(unsafe { Vec::from_raw_parts(self.start.as_ptr(), 0, self.capacity) }),
        }
    }
}

#[cfg(test)]
mod tests;
