//! Gathers the small writes of an HTTP/2 connection, so that the answers of one turn leave together.
//!
//! h2 writes and flushes each DATA frame by itself: a system call, and over TLS a record, for each of many small answers. A
//! flush that follows a write is therefore put off. Behind the last frame of a turn h2 flushes once more, with nothing
//! written in between; where it does not, the connection is polled again at once (`Activity::has_unsent`), and begins with
//! a read, before which all is sent.

use std::io::IoSlice;

/// One TLS record, and what a frame at its largest does not fit into.
const BYTES_MAX: usize = 16 << 10;
const BYTES_FIRST: usize = 2 << 10;

/// What was written and not yet sent. It takes memory only while there is something.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// Something was written since the last flush.
    is_fresh: bool,
}

impl Outbox {
    /// What is to be sent.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// So much of it was sent.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Takes all of `slices` and tells how much that was; nothing where they are too much.
    pub(super) fn take(&mut self, slices: &[IoSlice<'_>]) -> Option<usize> {
        let count = slices.iter().try_fold(0_usize, |sum, slice| sum.checked_add(slice.len()))?;
        if count > BYTES_MAX - self.bytes.len() {
            return None;
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(count.max(BYTES_FIRST));
        }
        for slice in slices {
            self.bytes.extend_from_slice(slice);
        }
        self.is_fresh = true;
        Some(count)
    }

    /// Whether a flush can be put off: it follows a write. The next one cannot.
    pub(super) fn puts_off(&mut self) -> bool {
        std::mem::take(&mut self.is_fresh) && !self.rest().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(outbox: &mut Outbox, parts: &[&[u8]]) -> Option<usize> {
        outbox.take(&parts.iter().map(|part| IoSlice::new(part)).collect::<Vec<_>>())
    }

    #[test]
    fn only_a_flush_behind_a_write_is_put_off() {
        let mut outbox = Outbox::default();
        assert!(!outbox.puts_off());
        assert_eq!(taken(&mut outbox, &[b"head", b"body"]), Some(8));
        assert!(outbox.puts_off());
        assert!(!outbox.puts_off());
        assert_eq!(taken(&mut outbox, &[b"more"]), Some(4));
        assert_eq!(outbox.rest(), b"headbodymore");
        outbox.advance(10);
        assert_eq!(outbox.rest(), b"re");
        outbox.advance(2);
        assert!(outbox.rest().is_empty() && !outbox.puts_off());
        assert_eq!(outbox.bytes.capacity(), 0, "an idle connection keeps nothing");
    }

    #[test]
    fn what_is_too_much_is_not_taken() {
        let mut outbox = Outbox::default();
        assert_eq!(taken(&mut outbox, &[&vec![0; BYTES_MAX + 1]]), None);
        assert_eq!(taken(&mut outbox, &[&vec![0; BYTES_MAX - 1]]), Some(BYTES_MAX - 1));
        assert_eq!(taken(&mut outbox, &[&[0; 2]]), None);
        assert_eq!(taken(&mut outbox, &[&[0; 1]]), Some(1));
        assert_eq!(outbox.rest().len(), BYTES_MAX);
    }
}
