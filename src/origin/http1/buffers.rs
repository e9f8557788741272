//! Buffers for large bodies, used again and again: the one that was filled last is still in the processor's cache, and no
//! page of it has to be found anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// One read of a large body. What is read at once is written at once, and each of the two wakes somebody up.
pub const BUFFER_BYTES: usize = 256 << 10;

/// Buffers that are kept while nobody needs them.
const FREE_MAX: usize = 32;

/// What fills less of a buffer than this is copied out of it, so that a reader who is slow does not hold the rest.
const FILLED_BYTES_MIN: usize = BUFFER_BYTES / 4;

#[derive(Debug, Default)]
pub struct Buffers(Mutex<Vec<Box<[u8]>>>);

/// The filled part of a buffer; when nobody has it any more, the buffer goes back.
struct Filled {
    buffer: Box<[u8]>,
    bytes: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    pub fn take(&self) -> Box<[u8]> {
        let kept = self.free().pop();
        kept.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    pub fn put(&self, buffer: Box<[u8]>) {
        let mut free = self.free();
        if free.len() < FREE_MAX {
            free.push(buffer);
        }
    }

    /// The first bytes of a buffer, to be handed on.
    pub fn give(self: &Arc<Self>, buffer: Box<[u8]>, bytes: usize) -> Bytes {
        if bytes < FILLED_BYTES_MIN {
            let copy = Bytes::copy_from_slice(&buffer[..bytes]);
            self.put(buffer);
            return copy;
        }
        Bytes::from_owner(Filled { buffer, bytes, home: self.clone() })
    }

    fn free(&self) -> MutexGuard<'_, Vec<Box<[u8]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.bytes]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_bytes_are_gone_and_is_used_next() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take();
        let place = buffer.as_ptr();
        buffer[..3].copy_from_slice(b"abc");
        let small = buffers.give(buffer, 3);
        assert_eq!((&small[..], buffers.free().len()), (&b"abc"[..], 1), "a copy");
        let large = buffers.give(buffers.take(), BUFFER_BYTES - 1);
        let part = large.slice(10..20);
        drop(large);
        assert_eq!(buffers.free().len(), 0, "a part of it is still in use");
        drop(part);
        let again = buffers.take();
        assert_eq!(again.as_ptr(), place);
    }

    #[test]
    fn few_are_kept() {
        let buffers = Buffers::default();
        let taken: Vec<_> = (0..3 * FREE_MAX).map(|_| buffers.take()).collect();
        for buffer in taken {
            buffers.put(buffer);
        }
        assert_eq!(buffers.free().len(), FREE_MAX);
    }
}
