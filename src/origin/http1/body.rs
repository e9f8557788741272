//! The body of an HTTP/1 answer, read from its connection when it is polled.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;

use super::buffers::Buffers;
use super::framing::{ChunkFault, Framing, Step};
use super::idle::Idle;
use super::line::Line;

/// From so much on a body is read in large pieces.
const LARGE_BYTES: u64 = 32 << 10;

pub struct Http1Body {
    /// Until the body is over.
    line: Option<Box<Line>>,
    framing: Framing,
    /// Where the connection goes when the body is over; nowhere when it cannot be used again.
    home: Option<Arc<Idle>>,
    buffers: Arc<Buffers>,
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Chunks(#[from] ChunkFault),
    #[error("the connection ended")]
    Ended,
}

impl Http1Body {
    pub(super) fn new(
        line: Box<Line>,
        framing: Framing,
        home: Option<Arc<Idle>>,
        buffers: Arc<Buffers>,
    ) -> Self {
        let mut body = Self { line: Some(line), framing, home, buffers };
        if body.framing.is_over() {
            body.release();
        }
        body
    }

    /// The next piece; none at the end.
    pub fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        let polled = self.poll_piece(context);
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.line = None;
        } else if self.framing.is_over() {
            self.release();
        }
        polled
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        loop {
            let Some(line) = &mut self.line else { return Poll::Ready(None) };
            if line.came.is_empty() && self.framing.is_plain_beyond(LARGE_BYTES) {
                return self.poll_large(context);
            }
            match self.framing.next(&mut line.came)? {
                Step::Data(data) => return Poll::Ready(Some(Ok(data))),
                Step::End => return Poll::Ready(None),
                Step::More => {}
            }
            if ready!(line.poll_read_body(self.framing.left(), context))? == 0 {
                return self.ended();
            }
        }
    }

    /// Reads on without a look at the bytes: there is nothing in them but body.
    fn poll_large(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        let Some(line) = &mut self.line else { return Poll::Ready(None) };
        let mut buffer = self.buffers.take();
        let read = line.poll_read_into(&mut buffer, context);
        let Poll::Ready(Ok(count @ 1..)) = read else {
            self.buffers.put(buffer);
            return match read {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(Ok(_)) => self.ended(),
            };
        };
        let taken = self.framing.take_plain(count);
        if taken < count {
            // What follows the body is nobody's.
            self.home = None;
        }
        Poll::Ready(Some(Ok(self.buffers.give(buffer, taken))))
    }

    fn ended(&mut self) -> Poll<Option<Result<Bytes, BodyFault>>> {
        self.line = None;
        Poll::Ready((!self.framing.may_end()).then_some(Err(BodyFault::Ended)))
    }

    /// Whether the origin was silent until `deadline`. To be asked where there is no data.
    pub fn poll_until(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        match &mut self.line {
            Some(line) => line.patience.poll_until(context, deadline),
            None => Poll::Pending,
        }
    }

    pub fn is_over(&self) -> bool {
        self.framing.is_over()
    }

    /// How many bytes are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        self.framing.left()
    }

    fn release(&mut self) {
        if let (Some(line), Some(home)) = (self.line.take(), self.home.take()) {
            home.put(line);
        }
    }
}

impl Drop for Http1Body {
    /// A body that nobody wanted ends its connection, unless all of it is here.
    fn drop(&mut self) {
        if let (Some(line), Some(left)) = (&mut self.line, self.framing.left())
            && line.came.len() as u64 == left
        {
            line.came.clear();
            self.release();
        }
    }
}

impl std::fmt::Debug for Http1Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http1Body").field("framing", &self.framing).finish_non_exhaustive()
    }
}
