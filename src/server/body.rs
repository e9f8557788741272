//! The body of a response on its way out: the handler's, or none; it tells the connection when it is over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::activity::Activity;
use super::slots::StreamPlace;

/// A request that is being answered, from its head to the last byte of its body.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    is_held_back: bool,
    place: StreamPlace,
}

impl InFlight {
    /// To be made once for each [`Activity::begin_request`].
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self { activity, is_held_back: false, place: StreamPlace::default() }
    }

    /// Gives `place` back when the request is over.
    pub(super) fn keep(&mut self, place: StreamPlace) {
        self.place = place;
    }

    fn hold_back(&mut self) {
        if !self.is_held_back {
            self.is_held_back = true;
            self.activity.hold_back();
        }
    }

    fn let_out(&mut self) {
        if self.is_held_back {
            self.is_held_back = false;
            self.activity.let_out();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.let_out();
        self.activity.end_request();
    }
}

/// `None` is the empty body of a refusal.
#[derive(Debug)]
pub(super) struct ResponseBody<B> {
    body: Option<B>,
    in_flight: InFlight,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(body: Option<B>, mut in_flight: InFlight) -> Self {
        // Until the first frame is asked for, only the client's window can be what it waits for.
        in_flight.hold_back();
        Self { body, in_flight }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.in_flight.let_out();
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if frame.is_ready() {
            self.in_flight.hold_back();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
