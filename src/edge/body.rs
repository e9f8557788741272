//! The body of an answer: whole in memory or streaming from the origin; its end is when the access log is written.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::domain::encryption::cipher::CipherError;
use crate::origin::body::{BodyError, OriginBody};
use crate::store::flow::{FillBody, FillError};
use crate::store::slabs::SlabBody;

use super::error::EdgeError;
use super::record::Record;
use super::sealing::Sealed;
use super::slices::SlicedBody;

/// The most that is given to a connection at once: more would count as one piece against a reader that stalls.
const FRAME_BYTES: usize = 256 << 10;

/// What is sent.
#[derive(Debug, Default)]
pub enum Content {
    #[default]
    Empty,
    Whole(Bytes),
    /// Bytes already read to see what they are, and the rest as it arrives.
    Stream {
        read: Bytes,
        rest: OriginBody,
    },
    /// From memory.
    Kept(SlabBody),
    /// An object that others may be reading, too, while it arrives.
    Arriving(FillBody),
    /// An object of which each slice may come from elsewhere.
    Sliced(Box<SlicedBody>),
    /// Any of these on its way through the cipher.
    Sealed(Box<Sealed>),
}

/// Why a body ended before its end. The connection ends with it: never as if that were all.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Origin(#[from] BodyError),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error("a slice of the object is not to be had: {0}")]
    Slice(Box<EdgeError>),
    #[error(transparent)]
    Cipher(#[from] CipherError),
}

impl Content {
    /// Its length, where that is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Stream { read, rest } => Some(read.len() as u64 + rest.size_hint().exact()?),
            Self::Kept(body) => body.size_hint().exact(),
            Self::Arriving(body) => body.size_hint().exact(),
            Self::Sliced(body) => Some(body.left()),
            Self::Sealed(body) => body.length(),
        }
    }
}

impl HttpBody for Content {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let frame = bytes.split_to(bytes.len().min(FRAME_BYTES));
                Poll::Ready((!frame.is_empty()).then(|| Ok(Frame::data(frame))))
            }
            Self::Stream { read, rest } => {
                if !read.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(read)))));
                }
                Pin::new(rest).poll_frame(context).map_err(SendError::Origin)
            }
            Self::Kept(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Arriving(body) => Pin::new(body).poll_frame(context).map_err(SendError::Fill),
            Self::Sliced(body) => body.poll_frame(context),
            Self::Sealed(body) => body.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream { read, rest } => read.is_empty() && rest.is_end_stream(),
            Self::Kept(body) => body.is_end_stream(),
            Self::Arriving(body) => body.is_end_stream(),
            Self::Sliced(body) => body.left() == 0,
            Self::Sealed(body) => body.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// An answer's body. When it is dropped, sent whole or not, the request is written down.
#[derive(Debug, Default)]
pub struct Body {
    content: Content,
    sent: u64,
    ended: bool,
    expected: Option<u64>,
    record: Option<Box<Record>>,
}

impl Body {
    pub fn new(content: Content) -> Self {
        let mut body = Self { content, sent: 0, ended: false, expected: None, record: None };
        body.expected = body.content.length();
        body
    }

    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::new(Content::Whole(bytes.into()))
    }

    /// The same answer without its body, as HEAD wants it.
    #[must_use]
    pub fn emptied(mut self) -> Self {
        self.content = Content::Empty;
        self.expected = Some(0);
        self
    }

    #[must_use]
    pub fn with_record(mut self, record: Box<Record>) -> Self {
        self.record = Some(record);
        self
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let polled = Pin::new(&mut self.content).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            // hyper stops polling as soon as the announced length was taken.
            let complete = self.ended || self.expected == Some(self.sent) || self.is_end_stream();
            record.close(self.sent, complete);
        }
    }
}
