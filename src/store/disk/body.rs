//! A body from disk on its way to a viewer, each chunk checked before a byte of it is sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::store::disk::folder::{FileError, ObjectFile};
use crate::store::disk::format::CHUNK_BYTES;
use crate::store::disk::rack::Rack;

/// Why a body from disk ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("the object could not be read from disk: {0}")]
pub struct DiskError(#[from] pub(super) FileError);

/// An object on disk, or a range of it. A chunk that the kernel has in memory is read at once; another one by a thread
/// that may wait, with the next one behind it.
#[derive(Debug)]
pub struct DiskBody {
    file: Arc<ObjectFile>,
    rack: Arc<Rack>,
    at: u64,
    end: u64,
    /// A chunk that is being read.
    pub(super) coming: Option<(u64, Read)>,
    failed: bool,
}

type Read = JoinHandle<Result<Vec<u8>, FileError>>;

impl DiskBody {
    pub(super) fn new(file: Arc<ObjectFile>, rack: Arc<Rack>, first: u64, end: u64) -> Self {
        let end = end.min(file.body_bytes());
        Self { file, rack, at: first.min(end), end, coming: None, failed: false }
    }

    /// The chunk, and whether it had to be waited for.
    fn poll_chunk(
        &mut self,
        number: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Vec<u8>, bool), FileError>> {
        loop {
            match &mut self.coming {
                Some((coming, read)) if *coming == number => {
                    let chunk = ready!(Pin::new(read).poll(context));
                    self.coming = None;
                    let chunk = chunk.unwrap_or(Err(FileError::Corrupt));
                    return Poll::Ready(chunk.map(|chunk| (chunk, true)));
                }
                Some(_) | None => match self.file.chunk_at_hand(number) {
                    Ok(Some(chunk)) => return Poll::Ready(Ok((chunk, false))),
                    Ok(None) => self.begin(number),
                    Err(error) => return Poll::Ready(Err(error)),
                },
            }
        }
    }

    pub(super) fn begin(&mut self, number: u64) {
        let (file, rack) = (self.file.clone(), self.rack.clone());
        let read = tokio::spawn(async move { rack.blocking(move || file.chunk(number)).await });
        self.coming = Some((number, read));
    }
}

impl Body for DiskBody {
    type Data = Bytes;
    type Error = DiskError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DiskError>>> {
        let this = &mut *self;
        if this.at >= this.end || this.failed {
            return Poll::Ready(None);
        }
        let number = this.at / CHUNK_BYTES as u64;
        let start = number * CHUNK_BYTES as u64;
        match ready!(this.poll_chunk(number, context)) {
            Ok((chunk, was_waited_for)) => {
                let chunk = Bytes::from(chunk);
                let from = usize::try_from(this.at - start).unwrap_or(CHUNK_BYTES).min(chunk.len());
                let to = usize::try_from(this.end - start).unwrap_or(usize::MAX).min(chunk.len());
                let part = chunk.slice(from..to);
                this.at += part.len() as u64;
                this.rack.counters().disk_read_bytes.add(part.len() as u64);
                if was_waited_for && this.at < this.end {
                    this.begin(number + 1);
                }
                Poll::Ready(Some(Ok(Frame::data(part))))
            }
            Err(error) => {
                this.failed = true;
                this.rack.read_failed(this.file.hash(), &error);
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}
