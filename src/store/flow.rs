//! The bytes of an object while they arrive: written by one, read by many, each from where it is.
//!
//! There is one list of pieces, under a lock that is held for the time of a clone. A reader has a seat: its offset and,
//! while it waits, its waker. Nobody queues anything for a reader, so that one that stalls costs the others nothing.
//! Where the bytes are kept for nobody else (an object too large to store), they are dropped behind the slowest reader
//! and the writer waits for it, up to a limit.

mod reader;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::slabs::part;

pub use crate::store::flow::reader::FillBody;
pub(super) use crate::store::flow::reader::Seated;

/// Neighbours smaller than this are put together, so that a source of single bytes does not make a list of them.
const PIECE_BYTES_MIN: usize = 4 << 10;

/// Why the body of an arriving object ended before its end. It is told to every reader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    #[error("the source broke off: {0}")]
    Broken(Arc<str>),
    #[error("the source ended after {came} of {declared} bytes")]
    Short { came: u64, declared: u64 },
    #[error("the source sent more than the {declared} bytes that it declared")]
    Long { declared: u64 },
    #[error("the fetch ended without an end of the body")]
    Lost,
    #[error("the reader held up the others for too long")]
    Cut,
}

#[derive(Debug)]
pub(super) struct Flow {
    state: Mutex<State>,
    /// The writer waits here for readers to come on, where bytes are dropped behind them.
    room: Notify,
    abandoned: CancellationToken,
    /// Bytes of all flows together.
    flying_bytes: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<(u64, Bytes)>,
    bytes: u64,
    declared: Option<u64>,
    end: Option<Result<(), FillError>>,
    seats: Vec<Option<Seat>>,
    free: Vec<usize>,
    readers: usize,
    requests: u64,
    /// Bytes are dropped behind the slowest reader.
    passing: bool,
    abandoned: bool,
}

#[derive(Debug, Default)]
struct Seat {
    at: u64,
    waker: Option<Waker>,
    cut: bool,
}

impl Flow {
    pub fn new(flying_bytes: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            room: Notify::new(),
            abandoned: CancellationToken::new(),
            flying_bytes,
        })
    }

    /// A place among the readers, at the beginning; none where the beginning may be gone.
    pub fn take_seat(self: &Arc<Self>) -> Option<Seated> {
        let mut state = self.state();
        if state.passing || state.abandoned {
            return None;
        }
        state.readers += 1;
        state.requests += 1;
        let seat = state.free.pop().unwrap_or(state.seats.len());
        if seat == state.seats.len() {
            state.seats.push(None);
        }
        state.seats[seat] = Some(Seat::default());
        drop(state);
        Some(Seated::new(self.clone(), seat))
    }

    pub fn declare(&self, length: Option<u64>) {
        self.state().declared = length;
    }

    /// Adds bytes and wakes those who wait for them. Bytes that all flows hold together.
    pub fn publish(&self, piece: Bytes) -> u64 {
        let mut state = self.state();
        let added = piece.len() as u64;
        state.append(piece);
        let dropped = state.trim();
        self.flying_bytes.fetch_add(added, Ordering::Relaxed);
        let flying_bytes = self.flying_bytes.fetch_sub(dropped, Ordering::Relaxed) - dropped;
        wake(state, |state, seat| seat.at < state.bytes);
        flying_bytes
    }

    /// From here on bytes are kept only until the slowest reader has them.
    pub fn pass(&self) {
        let mut state = self.state();
        state.passing = true;
        let dropped = state.trim();
        self.flying_bytes.fetch_sub(dropped, Ordering::Relaxed);
        if state.readers == 0 {
            state.abandoned = true;
            self.abandoned.cancel();
        }
    }

    /// Ends the body for all readers, once.
    pub fn finish(&self, end: Result<(), FillError>) {
        let mut state = self.state();
        if state.end.is_none() {
            state.end = Some(end);
            let held = state.pieces.iter().map(|(_, piece)| piece.len() as u64).sum();
            self.flying_bytes.fetch_sub(held, Ordering::Relaxed);
        }
        wake(state, |_, _| true);
    }

    pub fn is_passing(&self) -> bool {
        self.state().passing
    }

    /// Requests that came for it so far.
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    /// Whether the slowest reader is less than `window_bytes` behind.
    pub fn has_room(&self, window_bytes: u64) -> bool {
        let state = self.state();
        state.bytes - state.slowest() < window_bytes
    }

    /// Ends when a reader of a passing body has come on.
    pub async fn moved(&self) {
        self.room.notified().await;
    }

    /// Cuts off the readers that hold up others; how many these were.
    pub fn cut_laggards(&self, window_bytes: u64) -> u64 {
        let mut state = self.state();
        let bytes = state.bytes;
        let lags = |seat: &Seat| bytes - seat.at >= window_bytes;
        if state.seats.iter().flatten().all(|seat| seat.cut || lags(seat)) {
            return 0;
        }
        let mut count = 0;
        for seat in state.seats.iter_mut().flatten().filter(|seat| !seat.cut && lags(seat)) {
            seat.cut = true;
            count += 1;
        }
        wake(state, |_, seat| seat.cut);
        count
    }

    /// Ends when nobody wants the bytes any more.
    pub async fn abandoned(&self) {
        self.abandoned.cancelled().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the waiting readers that `concerned` names, outside the lock.
fn wake(mut state: MutexGuard<'_, State>, concerned: impl Fn(&State, &Seat) -> bool) {
    let mut seats = std::mem::take(&mut state.seats);
    let mut wakers = Vec::new();
    for seat in seats.iter_mut().flatten() {
        if seat.waker.is_some() && concerned(&state, seat) {
            wakers.extend(seat.waker.take());
        }
    }
    state.seats = seats;
    drop(state);
    wakers.into_iter().for_each(Waker::wake);
}

impl State {
    fn append(&mut self, piece: Bytes) {
        let start = self.bytes;
        self.bytes += piece.len() as u64;
        match self.pieces.back_mut() {
            Some((_, last)) if last.len() + piece.len() <= PIECE_BYTES_MIN => {
                *last = [&**last, &*piece].concat().into();
            }
            Some(_) | None => self.pieces.push_back((start, piece)),
        }
    }

    /// The offset of the slowest reader.
    fn slowest(&self) -> u64 {
        let seats = self.seats.iter().flatten().filter(|seat| !seat.cut);
        seats.map(|seat| seat.at).min().unwrap_or(self.bytes).min(self.bytes)
    }

    /// Drops what every reader has, where nothing is kept; the bytes that were dropped.
    fn trim(&mut self) -> u64 {
        let mut dropped = 0;
        if self.passing {
            let slowest = self.slowest();
            while let Some((start, piece)) = self.pieces.front()
                && start + piece.len() as u64 <= slowest
            {
                dropped += piece.len() as u64;
                self.pieces.pop_front();
            }
        }
        dropped
    }

    fn slice(&self, at: u64, end: u64) -> Option<Bytes> {
        let next = self.pieces.partition_point(|(start, _)| *start <= at);
        let (start, piece) = self.pieces.get(next.checked_sub(1)?)?;
        part(*start, piece, at, end)
    }

    /// Whether the fetch goes on when nobody reads any more: somebody may come back for it when two came already, and
    /// what is mostly here is worth its rest.
    fn is_worth_ending(&self) -> bool {
        let mostly_here = self.declared.is_some_and(|declared| self.bytes >= declared.div_ceil(2));
        !self.passing && (self.requests >= 2 || mostly_here)
    }
}
