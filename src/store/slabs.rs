//! Bodies in memory of our own: written once into slabs, read in slices of them without a copy.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::memory_file::{Block, MemoryFile};

pub const SLAB_BYTES: usize = 256 << 10;
/// The first slab of a body whose length nobody told; each further one is twice as large, up to [`SLAB_BYTES`].
const SLAB_BYTES_FIRST: usize = 4 << 10;

/// A finished body: pieces of at most [`SLAB_BYTES`], each with the offset at which it begins.
#[derive(Clone, Debug)]
pub struct Slabs {
    pieces: Arc<[(u64, Bytes)]>,
    bytes: u64,
    allocated: u64,
}

impl Slabs {
    fn of(blocks: &[Block]) -> Self {
        let (mut bytes, mut allocated) = (0, 0);
        let pieces = blocks
            .iter()
            .map(|block| {
                let start = bytes;
                bytes += block.len() as u64;
                allocated += block.allocated();
                (start, block.piece(0))
            })
            .collect();
        Self { pieces, bytes, allocated }
    }

    /// A copy of `body` in slabs.
    pub fn copied(body: &[u8]) -> Self {
        let mut writer = SlabWriter::new(None, Some(body.len() as u64));
        writer.write(body, drop);
        writer.settle()
    }

    pub fn len(&self) -> u64 {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The memory that it takes.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().map(|(_, piece)| piece)
    }

    /// What lies at `at` in one piece, up to `end`; nothing at or behind the end of the body.
    pub fn slice(&self, at: u64, end: u64) -> Option<Bytes> {
        let next = self.pieces.partition_point(|(start, _)| *start <= at);
        let (start, piece) = self.pieces.get(next.checked_sub(1)?)?;
        part(*start, piece, at, end)
    }

    /// The whole as a body.
    pub fn body(&self) -> SlabBody {
        self.range(0, self.bytes)
    }

    /// The bytes from `first` to before `end` as a body; what lies behind the end is not there.
    pub fn range(&self, first: u64, end: u64) -> SlabBody {
        let end = end.min(self.bytes);
        SlabBody { slabs: self.clone(), at: first.min(end), end }
    }
}

/// The bytes of `piece`, which begins at `start`, from `at` to before `end`.
pub(super) fn part(start: u64, piece: &Bytes, at: u64, end: u64) -> Option<Bytes> {
    let from = usize::try_from(at.checked_sub(start)?).ok()?;
    let to = usize::try_from(end.checked_sub(start)?).unwrap_or(usize::MAX).min(piece.len());
    (from < to).then(|| piece.slice(from..to))
}

/// A stored body, or a range of one, on its way to a viewer.
#[derive(Clone, Debug)]
pub struct SlabBody {
    slabs: Slabs,
    at: u64,
    end: u64,
}

impl Body for SlabBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(slice) = self.slabs.slice(self.at, self.end) else { return Poll::Ready(None) };
        self.at += slice.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}

/// Copies what comes into slabs, and gives out what is written so far without moving it.
#[derive(Debug)]
pub(super) struct SlabWriter {
    /// Where slabs that are large enough lie.
    file: Option<Arc<MemoryFile>>,
    full: Vec<Block>,
    last: Option<Block>,
    /// How much of the last one was given out.
    given: usize,
    next_slab: usize,
    /// Bytes that are still to come and have no slab yet, where the length is known.
    remaining: Option<u64>,
    keeps: bool,
}

impl SlabWriter {
    pub fn new(file: Option<Arc<MemoryFile>>, length: Option<u64>) -> Self {
        let next_slab = SLAB_BYTES_FIRST;
        Self { file, full: Vec::new(), last: None, given: 0, next_slab, remaining: length, keeps: true }
    }

    /// Copies `data`, giving each piece that fills its slab to `full`.
    pub fn write(&mut self, mut data: &[u8], mut full: impl FnMut(Bytes)) {
        while !data.is_empty() {
            if self.last.is_none() {
                self.last = Some(self.slab());
            }
            let Some(block) = &mut self.last else { return };
            data = &data[block.write(data)..];
            if block.len() == block.capacity() {
                self.take().into_iter().for_each(&mut full);
                let block = self.last.take().filter(|_| self.keeps);
                self.full.extend(block);
                self.given = 0;
            }
        }
    }

    /// What was written since the last piece.
    pub fn take(&mut self) -> Option<Bytes> {
        let block = self.last.as_ref().filter(|block| block.len() > self.given)?;
        let piece = block.piece(self.given);
        self.given = block.len();
        Some(piece)
    }

    /// From here on slabs are only as long as the pieces that were given out; nothing is going to be settled.
    pub fn pass(&mut self) {
        self.keeps = false;
        self.full.clear();
    }

    /// The body in its slabs, copied together where much of their memory is not its own.
    pub fn settle(mut self) -> Slabs {
        self.full.extend(self.last.take());
        let slabs = Slabs::of(&self.full);
        if slabs.allocated <= slabs.bytes + slabs.bytes / 4 + 64 {
            return slabs;
        }
        let mut close = Self::new(self.file, Some(slabs.bytes));
        for piece in slabs.pieces() {
            close.write(piece, drop);
        }
        close.full.extend(close.last.take());
        Slabs::of(&close.full)
    }

    fn slab(&mut self) -> Block {
        let bytes = match &mut self.remaining {
            Some(remaining) if *remaining > 0 => {
                let slab = usize::try_from(*remaining).unwrap_or(SLAB_BYTES).min(SLAB_BYTES);
                *remaining -= slab as u64;
                slab
            }
            Some(_) | None => {
                let slab = self.next_slab;
                self.next_slab = (slab * 2).min(SLAB_BYTES);
                slab
            }
        };
        Block::new(self.file.as_ref(), bytes)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    fn numbered(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    fn written(file: Option<&Arc<MemoryFile>>, length: Option<u64>, frames: &[&[u8]]) -> Slabs {
        let mut writer = SlabWriter::new(file.cloned(), length);
        let mut given = Vec::new();
        for frame in frames {
            writer.write(frame, |piece| given.extend_from_slice(&piece));
            given.extend(writer.take().unwrap_or_default());
        }
        assert!(given == frames.concat(), "all is given out, in order");
        writer.settle()
    }

    fn file() -> Arc<MemoryFile> {
        MemoryFile::create(16 << 20).unwrap()
    }

    async fn read(body: SlabBody) -> Vec<u8> {
        body.collect().await.unwrap().to_bytes().to_vec()
    }

    #[test]
    fn a_small_body_takes_no_slab_of_256_kib() {
        for length in [Some(1_000), None] {
            let slabs = written(Some(&file()), length, &[&numbered(1_000)]);
            assert!(slabs.allocated() <= 1_100, "{length:?}: {} bytes for 1000", slabs.allocated());
        }
    }

    #[test]
    fn a_body_of_known_length_lies_in_whole_slabs() {
        let body = numbered(SLAB_BYTES * 2 + 77);
        let slabs = written(None, Some(body.len() as u64), &[&body]);
        let sizes: Vec<_> = slabs.pieces().map(Bytes::len).collect();
        assert_eq!(sizes, [SLAB_BYTES, SLAB_BYTES, 77]);
        assert_eq!(slabs.allocated(), body.len() as u64);
    }

    #[test]
    fn a_body_of_many_small_frames_lies_in_whole_slabs() {
        let body = numbered(600_000);
        let frames: Vec<&[u8]> = body.chunks(100).collect();
        let slabs = written(None, Some(600_000), &frames);
        let sizes: Vec<_> = slabs.pieces().map(Bytes::len).collect();
        assert_eq!(sizes, [SLAB_BYTES, SLAB_BYTES, 600_000 - 2 * SLAB_BYTES]);
        let slabs = written(None, None, &frames);
        assert!(slabs.pieces().count() <= 10);
    }

    #[test]
    fn a_large_body_lies_in_the_memory_file_and_leaves_it_when_it_is_dropped() {
        let (file, body) = (file(), numbered(SLAB_BYTES * 3 + 100_000));
        for length in [Some(body.len() as u64), None] {
            let slabs = written(Some(&file), length, &body.chunks(7_000).collect::<Vec<_>>());
            let large: Vec<_> = slabs.pieces().filter(|piece| piece.len() >= 64 << 10).collect();
            assert!(large.len() >= 3);
            assert!(large.iter().all(|piece| file.place(piece).is_some()));
            drop(large);
            assert!(file.held_bytes() <= slabs.allocated());
            drop(slabs);
            assert_eq!(file.held_bytes(), 0, "{length:?}");
        }
    }

    #[test]
    fn what_passes_is_held_only_by_its_pieces() {
        let file = file();
        let mut writer = SlabWriter::new(Some(file.clone()), Some(SLAB_BYTES as u64 * 8));
        writer.write(&numbered(SLAB_BYTES), drop);
        assert_eq!(file.held_bytes(), SLAB_BYTES as u64);
        writer.pass();
        assert_eq!(file.held_bytes(), 0);
        let mut pieces = Vec::new();
        writer.write(&numbered(SLAB_BYTES * 2), |piece| pieces.push(piece));
        assert_eq!(file.held_bytes(), SLAB_BYTES as u64 * 2);
        pieces.clear();
        assert_eq!(file.held_bytes(), 0);
    }

    #[test]
    fn a_slice_shares_the_memory_of_its_slab() {
        let slabs = Slabs::copied(&numbered(SLAB_BYTES + 10));
        let whole = slabs.pieces().next().unwrap();
        let slice = slabs.slice(100, 200).unwrap();
        assert_eq!(slice.as_ptr(), whole[100..].as_ptr());
    }

    #[tokio::test]
    async fn a_range_tells_its_exact_size_and_ends_there() {
        let body = numbered(SLAB_BYTES + 10);
        let slabs = Slabs::copied(&body);
        let range = slabs.range(SLAB_BYTES as u64 - 5, SLAB_BYTES as u64 + 5);
        assert_eq!(range.size_hint().exact(), Some(10));
        assert_eq!(read(range).await, body[SLAB_BYTES - 5..SLAB_BYTES + 5]);
        assert!(slabs.range(10, 10).is_end_stream());
        assert!(slabs.range(u64::MAX, u64::MAX).is_end_stream());
        assert!(Slabs::copied(b"").body().is_end_stream());
    }

    proptest! {
        #[test]
        fn every_range_of_every_splitting_is_the_same_bytes(
            frames in prop::collection::vec(0_usize..9_000, 0..40),
            known in any::<bool>(),
            in_file in any::<bool>(),
            first in 0_u64..200_000,
            length in 0_u64..200_000,
        ) {
            let body = numbered(frames.iter().sum());
            let mut rest = body.as_slice();
            let mut cut = Vec::new();
            for frame in frames {
                let (now, later) = rest.split_at(frame);
                cut.push(now);
                rest = later;
            }
            let file = in_file.then(file);
            let slabs = written(file.as_ref(), known.then_some(body.len() as u64), &cut);
            prop_assert_eq!(slabs.len(), body.len() as u64);
            let from = usize::try_from(first).unwrap().min(body.len());
            let to = usize::try_from(first + length).unwrap().min(body.len());
            let mut got = Vec::new();
            let mut at = first;
            while let Some(slice) = slabs.slice(at, first + length) {
                at += slice.len() as u64;
                got.extend_from_slice(&slice);
            }
            prop_assert_eq!(got, &body[from..to]);
        }
    }
}
