//! The body of an origin's answer while it arrives: bounded between bytes, and ended with its client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// Bytes from the origin. Dropping it (the client left) ends the fetch and frees its place.
pub struct OriginBody {
    incoming: Incoming,
    between_bytes: Duration,
    /// One timer for the whole body, armed when the origin is first silent. It is not moved with every frame: when
    /// it ends and bytes have come since it was set, it is set once more. The origin may so be silent for between
    /// one and two times the limit.
    silence: Option<Pin<Box<Sleep>>>,
    arrived_since_set: bool,
    _slot: OwnedSemaphorePermit,
}

impl std::fmt::Debug for OriginBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OriginBody(..)")
    }
}

/// Why the body of an answer ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the origin's body broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the origin sent nothing for {0:?} in the middle of a body")]
    Silent(Duration),
}

impl OriginBody {
    pub fn new(incoming: Incoming, slot: OwnedSemaphorePermit, between_bytes: Duration) -> Self {
        Self { incoming, between_bytes, silence: None, arrived_since_set: false, _slot: slot }
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(context) {
            this.arrived_since_set = true;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        let between_bytes = this.between_bytes;
        let silence = this.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(between_bytes)));
        while silence.as_mut().poll(context).is_ready() {
            if !std::mem::take(&mut this.arrived_since_set) {
                return Poll::Ready(Some(Err(BodyError::Silent(between_bytes))));
            }
            silence.as_mut().reset(Instant::now() + between_bytes);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
