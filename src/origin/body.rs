//! The body of an origin's answer while it arrives: held to its length and its times, and ended with its client.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::http1::body::{BodyFault, Http1Body};
use super::judge::Length;
use super::patience::Patience;
use super::server::Work;

/// Bytes from the origin. Dropping it (the client left) ends the fetch and frees its place.
pub struct OriginBody {
    arriving: Arriving,
    watch: Box<Watch>,
}

/// A body as its protocol brings it.
#[derive(Debug)]
pub enum Arriving {
    Http1(Http1Body),
    Hyper(Incoming),
}

/// Why it did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("{0}")]
    Http1(BodyFault),
    #[error("{0}")]
    Hyper(hyper::Error),
}

/// What a body is held to, and what it keeps until it is over.
struct Watch {
    length: Length,
    came: u64,
    has_failed: bool,
    /// Why it ends, while what came before is still to be sent on.
    late_error: Option<BodyError>,
    /// Whether bytes were given on without a pause after them.
    is_held: bool,
    limits: BodyLimits,
    /// Since when the origin is waited for. A reader that comes late finds no silence of the origin's.
    waiting_since: Option<Instant>,
    /// For bodies whose connection has no timer of its own.
    patience: Patience,
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
    Broken(#[from] Broken),
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
        arriving: Arriving,
        length: Length,
        limits: BodyLimits,
        work: Work,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let watch = Watch {
            length,
            came: 0,
            has_failed: false,
            late_error: None,
            is_held: false,
            limits,
            waiting_since: None,
            patience: Patience::default(),
            work,
            _place: place,
        };
        Self { arriving, watch: Box::new(watch) }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.arriving.poll(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.watch.counted(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.watch.broken(error)))),
            Poll::Ready(None) => Poll::Ready(self.watch.missing().map(Err)),
            Poll::Pending => {
                self.watch.poll_silence(&mut self.arriving, context).map(|error| Some(Err(error)))
            }
        }
    }
}

impl Arriving {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Http1(body) => body
                .poll_data(context)
                .map(|data| data.map(|data| data.map(Frame::data).map_err(Broken::Http1))),
            Self::Hyper(body) => Pin::new(body).poll_frame(context).map_err(Broken::Hyper),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_over(),
            Self::Hyper(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Hyper(body) => body.size_hint(),
        }
    }
}

impl Watch {
    fn counted(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        self.came += frame.data_ref().map_or(0, |data| data.len() as u64);
        self.waiting_since = None;
        match self.length {
            Length::Bodiless if self.came > 0 => Err(BodyError::Unannounced),
            Length::Known(length) if self.came > length => Err(BodyError::Long(length)),
            _ if Instant::now() >= self.limits.deadline => Err(BodyError::TooLong(self.limits.fetch)),
            Length::Known(_) | Length::Open | Length::Bodiless => Ok(frame),
        }
    }

    fn broken(&self, error: Broken) -> BodyError {
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

    fn poll_silence(&mut self, arriving: &mut Arriving, context: &mut Context<'_>) -> Poll<BodyError> {
        let BodyLimits { between_bytes, fetch, deadline } = self.limits;
        let silent_at = *self.waiting_since.get_or_insert_with(Instant::now) + between_bytes;
        let until = silent_at.min(deadline);
        let is_late = match arriving {
            Arriving::Http1(body) => body.poll_until(context, until),
            Arriving::Hyper(_) => self.patience.poll_until(context, until),
        };
        is_late.map(|()| {
            if deadline <= silent_at { BodyError::TooLong(fetch) } else { BodyError::Silent(between_bytes) }
        })
    }
}

/// Whether the connection ended, in order, before the body did.
fn is_early_end(error: &Broken) -> bool {
    match error {
        Broken::Http1(BodyFault::Ended) => true,
        Broken::Http1(BodyFault::Socket(cause)) => cause.kind() == ErrorKind::UnexpectedEof,
        Broken::Http1(BodyFault::Chunks(_)) => false,
        Broken::Hyper(error) => {
            let cause =
                std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
            error.is_incomplete_message()
                || cause.is_some_and(|cause| cause.kind() == ErrorKind::UnexpectedEof)
        }
    }
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
        let polled = match self.watch.late_error.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => self.poll(context),
        };
        match polled {
            Poll::Ready(Some(Err(error))) if self.watch.is_held => {
                // A server that is given an error throws away what it has not sent yet. It is given time to.
                self.watch.is_held = false;
                self.watch.late_error = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(Err(error))) => {
                self.watch.has_failed = true;
                self.watch.work.fail();
                Poll::Ready(Some(Err(error)))
            }
            polled => {
                self.watch.is_held = polled.is_ready();
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.watch.has_failed
            && self.watch.late_error.is_none()
            && self.watch.missing().is_none()
            && self.arriving.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.arriving.size_hint()
    }
}
