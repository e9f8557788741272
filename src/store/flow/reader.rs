//! A reader of an arriving object, and the body that it sends on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::store::flow::{FillError, Flow};

/// A reader's place. To drop it is to leave.
#[derive(Debug)]
pub(in crate::store) struct Seated {
    flow: Arc<Flow>,
    seat: usize,
}

impl Seated {
    pub(super) fn new(flow: Arc<Flow>, seat: usize) -> Self {
        Self { flow, seat }
    }

    pub fn declared(&self) -> Option<u64> {
        self.flow.state().declared
    }

    pub fn is_passing(&self) -> bool {
        self.flow.is_passing()
    }

    /// The bytes from `first` to before `end`, or to the end of the object.
    pub fn body(self, first: u64, end: Option<u64>) -> FillBody {
        let mut state = self.flow.state();
        let declared = state.declared;
        let end = end.map_or(declared, |end| Some(end.min(declared.unwrap_or(end))));
        let at = first.min(end.unwrap_or(first));
        if let Some(seat) = &mut state.seats[self.seat] {
            seat.at = at;
        }
        drop(state);
        self.flow.room.notify_one();
        FillBody { seated: self, at, end }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut state = self.flow.state();
        let left = state.seats[self.seat].take();
        state.free.push(self.seat);
        state.readers -= 1;
        if state.readers == 0 && state.end.is_none() && !state.is_worth_ending() {
            state.abandoned = true;
            self.flow.abandoned.cancel();
        }
        let passing = state.passing;
        drop(state);
        if passing {
            self.flow.room.notify_one();
        }
        drop(left);
    }
}

/// An arriving object, or a range of it, on its way to a viewer. It ends with an error, never early and clean, when
/// the object does not come to its end.
#[derive(Debug)]
pub struct FillBody {
    seated: Seated,
    at: u64,
    end: Option<u64>,
}

impl Body for FillBody {
    type Data = Bytes;
    type Error = FillError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FillError>>> {
        let this = &mut *self;
        if this.end == Some(this.at) {
            return Poll::Ready(None);
        }
        let flow = &this.seated.flow;
        let mut state = flow.state();
        let passing = state.passing;
        let slice = state.slice(this.at, this.end.unwrap_or(u64::MAX));
        let (ended, bytes) = (state.end.clone(), state.bytes);
        let Some(seat) = &mut state.seats[this.seated.seat] else {
            return Poll::Ready(Some(Err(FillError::Lost)));
        };
        if seat.cut {
            return Poll::Ready(Some(Err(FillError::Cut)));
        }
        if let Some(slice) = slice {
            this.at += slice.len() as u64;
            seat.at = this.at;
            drop(state);
            if passing {
                flow.room.notify_one();
            }
            return Poll::Ready(Some(Ok(Frame::data(slice))));
        }
        match (ended, this.end) {
            (Some(Err(error)), _) => Poll::Ready(Some(Err(error))),
            (Some(Ok(())), Some(end)) => {
                Poll::Ready(Some(Err(FillError::Short { came: bytes, declared: end })))
            }
            (Some(Ok(())), None) => Poll::Ready(None),
            (None, _) => {
                if !seat.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    seat.waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        if let Some(end) = self.end {
            return self.at >= end;
        }
        let state = self.seated.flow.state();
        state.end == Some(Ok(())) && self.at >= state.bytes
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(end) = self.end {
            return SizeHint::with_exact(end - self.at);
        }
        let state = self.seated.flow.state();
        let left = state.bytes.saturating_sub(self.at);
        if state.end == Some(Ok(())) {
            return SizeHint::with_exact(left);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(left);
        hint
    }
}
