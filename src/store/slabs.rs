//! Bodies in memory of our own: written once into slabs, read in slices of them without a copy.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

pub const SLAB_BYTES: usize = 256 << 10;
/// The first slab of a body whose length nobody told; each further one is twice as large, up to [`SLAB_BYTES`].
const SLAB_BYTES_FIRST: usize = 4 << 10;
/// Where the pieces of a finished body are smaller than this on average, it is copied together once.
const PIECE_BYTES_MIN: usize = 12 << 10;

/// A finished body: pieces of at most [`SLAB_BYTES`], each with the offset at which it begins.
#[derive(Clone, Debug)]
pub struct Slabs {
    pieces: Arc<[(u64, Bytes)]>,
    bytes: u64,
    allocated: u64,
}

impl Slabs {
    /// Joins pieces that lie in `allocated` bytes of memory, copying them together where much of it is not theirs or
    /// where they are many and small.
    pub(super) fn settle(pieces: Vec<(u64, Bytes)>, allocated: u64) -> Self {
        let bytes = pieces.last().map_or(0, |(start, piece)| start + piece.len() as u64);
        let wasteful = allocated > bytes + bytes / 4 + 64;
        let fragmented = pieces.len() as u64 > 4 + bytes / PIECE_BYTES_MIN as u64;
        if wasteful || fragmented {
            let mut writer = SlabWriter::new(Some(bytes));
            let mut whole = Vec::new();
            for (_, piece) in &pieces {
                writer.write(piece, |slab| whole.push(slab));
            }
            whole.extend(writer.take());
            return Self::of(whole, bytes);
        }
        Self { pieces: pieces.into(), bytes, allocated: allocated.max(bytes) }
    }

    fn of(slabs: Vec<Bytes>, allocated: u64) -> Self {
        let mut bytes = 0;
        let pieces = slabs
            .into_iter()
            .map(|slab| {
                let start = bytes;
                bytes += slab.len() as u64;
                (start, slab)
            })
            .collect();
        Self { pieces, bytes, allocated }
    }

    /// A copy of `body` in slabs.
    pub fn copied(body: &[u8]) -> Self {
        let slabs = body.chunks(SLAB_BYTES).map(Bytes::copy_from_slice).collect();
        Self::of(slabs, body.len() as u64)
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
    tail: BytesMut,
    next_slab: usize,
    /// Bytes that are still to come and have no slab yet, where the length is known.
    remaining: Option<u64>,
    allocated: u64,
}

impl SlabWriter {
    pub fn new(length: Option<u64>) -> Self {
        Self { tail: BytesMut::new(), next_slab: SLAB_BYTES_FIRST, remaining: length, allocated: 0 }
    }

    /// Copies `data`, giving each piece that fills its slab to `full`.
    pub fn write(&mut self, mut data: &[u8], mut full: impl FnMut(Bytes)) {
        while !data.is_empty() {
            let room = self.tail.capacity() - self.tail.len();
            if room == 0 {
                if let Some(piece) = self.take() {
                    full(piece);
                }
                self.begin_slab();
                continue;
            }
            let (now, later) = data.split_at(room.min(data.len()));
            self.tail.extend_from_slice(now);
            data = later;
        }
        if self.tail.len() == self.tail.capacity()
            && let Some(piece) = self.take()
        {
            full(piece);
        }
    }

    /// What was written since the last piece.
    pub fn take(&mut self) -> Option<Bytes> {
        (!self.tail.is_empty()).then(|| self.tail.split().freeze())
    }

    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    fn begin_slab(&mut self) {
        let slab = match &mut self.remaining {
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
        self.tail = BytesMut::with_capacity(slab);
        self.allocated += self.tail.capacity() as u64;
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

    fn written(length: Option<u64>, frames: &[&[u8]]) -> Slabs {
        let mut writer = SlabWriter::new(length);
        let (mut pieces, mut start) = (Vec::new(), 0);
        let mut keep = |piece: Bytes| {
            let begins = start;
            start += piece.len() as u64;
            pieces.push((begins, piece));
        };
        for frame in frames {
            writer.write(frame, &mut keep);
        }
        if let Some(piece) = writer.take() {
            keep(piece);
        }
        Slabs::settle(pieces, writer.allocated())
    }

    async fn read(body: SlabBody) -> Vec<u8> {
        body.collect().await.unwrap().to_bytes().to_vec()
    }

    #[test]
    fn a_small_body_takes_no_slab_of_256_kib() {
        for length in [Some(1_000), None] {
            let slabs = written(length, &[&numbered(1_000)]);
            assert!(slabs.allocated() <= 1_100, "{length:?}: {} bytes for 1000", slabs.allocated());
        }
    }

    #[test]
    fn a_body_of_known_length_lies_in_whole_slabs() {
        let body = numbered(SLAB_BYTES * 2 + 77);
        let slabs = written(Some(body.len() as u64), &[&body]);
        let sizes: Vec<_> = slabs.pieces().map(Bytes::len).collect();
        assert_eq!(sizes, [SLAB_BYTES, SLAB_BYTES, 77]);
        assert_eq!(slabs.allocated(), body.len() as u64);
    }

    #[test]
    fn a_body_of_many_small_frames_is_copied_together() {
        let body = numbered(100_000);
        let mut pieces: Vec<(u64, Bytes)> = Vec::new();
        for (index, frame) in body.chunks(100).enumerate() {
            pieces.push((index as u64 * 100, Bytes::copy_from_slice(frame)));
        }
        let slabs = Slabs::settle(pieces, 100_000);
        assert_eq!(slabs.pieces().count(), 1);
        assert_eq!(slabs.slice(0, u64::MAX).unwrap(), body);
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
            let slabs = written(known.then_some(body.len() as u64), &cut);
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
