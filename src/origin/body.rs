//! The body of an origin's answer while it arrives: held to its length and its times, and ended with its client.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::judge::Length;
use super::server::Work;

/// Bytes from the origin. Dropping it (the client left) ends the fetch and frees its place.
pub struct OriginBody {
    incoming: Incoming,
    watch: Box<Watch>,
}

/// What a body is held to, and what it keeps until it is over.
struct Watch {
    length: Length,
    came: u64,
    has_failed: bool,
    limits: BodyLimits,
    /// One timer for the whole body, armed when the origin is first silent. It is not moved with every frame: when
    /// it ends and bytes have come since it was set, it is set once more. The origin may so be silent for between
    /// one and two times the limit.
    silence: Option<Pin<Box<Sleep>>>,
    arrived_since_set: bool,
    work: Work,
    _place: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub between_bytes: Duration,
    /// The whole fetch, and when it has to be over.
    pub fetch: Duration,
    pub deadline: Instant,
}

/// Why the body of an answer ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the origin's body broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the origin's body ended after {came} of {announced} bytes")]
    Short { announced: u64, came: u64 },
    #[error("the origin's body goes on after the {0} bytes that were announced")]
    Long(u64),
    #[error("the origin sent a body where none can be")]
    Unannounced,
    #[error("the origin sent nothing for {0:?} in the middle of a body")]
    Silent(Duration),
    #[error("the fetch from the origin was not over within {0:?}")]
    TooLong(Duration),
}

impl std::fmt::Debug for OriginBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OriginBody(..)")
    }
}

impl OriginBody {
    pub fn new(
        incoming: Incoming,
        length: Length,
        limits: BodyLimits,
        work: Work,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let watch = Watch {
            length,
            came: 0,
            has_failed: false,
            limits,
            silence: None,
            arrived_since_set: false,
            work,
            _place: place,
        };
        Self { incoming, watch: Box::new(watch) }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.watch.arrived_since_set = true;
                Poll::Ready(Some(self.watch.counted(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.watch.broken(error)))),
            Poll::Ready(None) => Poll::Ready(self.watch.missing().map(Err)),
            Poll::Pending => self.watch.poll_silence(context).map(|error| Some(Err(error))),
        }
    }
}

impl Watch {
    fn counted(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        self.came += frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.length {
            Length::Bodiless if self.came > 0 => Err(BodyError::Unannounced),
            Length::Known(length) if self.came > length => Err(BodyError::Long(length)),
            _ if Instant::now() >= self.limits.deadline => Err(BodyError::TooLong(self.limits.fetch)),
            Length::Known(_) | Length::Open | Length::Bodiless => Ok(frame),
        }
    }

    fn broken(&self, error: hyper::Error) -> BodyError {
        match self.missing() {
            Some(short) if is_early_end(&error) => short,
            Some(_) | None => BodyError::Broken(error),
        }
    }

    fn missing(&self) -> Option<BodyError> {
        match self.length {
            Length::Known(announced) if self.came < announced => {
                Some(BodyError::Short { announced, came: self.came })
            }
            Length::Known(_) | Length::Open | Length::Bodiless => None,
        }
    }

    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<BodyError> {
        let BodyLimits { between_bytes, fetch, deadline } = self.limits;
        let next = |now: Instant| (now + between_bytes).min(deadline);
        let silence =
            self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next(Instant::now()))));
        while silence.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if now >= deadline {
                return Poll::Ready(BodyError::TooLong(fetch));
            }
            if !std::mem::take(&mut self.arrived_since_set) {
                return Poll::Ready(BodyError::Silent(between_bytes));
            }
            silence.as_mut().reset(next(now));
        }
        Poll::Pending
    }
}

/// Whether the connection ended, in order, before the body did.
fn is_early_end(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.is_incomplete_message() || cause.is_some_and(|cause| cause.kind() == ErrorKind::UnexpectedEof)
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.watch.has_failed {
            return Poll::Ready(None);
        }
        let polled = self.poll(context);
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.watch.has_failed = true;
            self.watch.work.fail();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        !self.watch.has_failed && self.watch.missing().is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
