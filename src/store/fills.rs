//! One fetch per key, as a task of its own, whose bytes go to all who ask for the object while it arrives.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use http_body::Body;
use tokio::time::Instant;

use crate::store::fill::{Answer, Fetched, Fill, Head, Reader};
use crate::store::flow::{FillError, Flow};
use crate::store::key::{AsItIs, Key};
use crate::store::object::Object;
use crate::store::purge::{Depth, Purge, Scope};
use crate::store::recent::Recent;
use crate::store::slabs::{SlabWriter, Slabs};
use crate::store::tiers::{Purged, Tiers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that wait for the head of one object.
    pub waiters_max: usize,
    /// A larger object is streamed to those who wait and not kept.
    pub object_bytes_max: u64,
    /// All arriving objects together; above it they are streamed and not kept.
    pub flying_bytes_max: u64,
    /// How far the slowest reader of an object that is not kept may be behind before its source has to wait.
    pub window_bytes: u64,
    /// How long such a reader may hold up others.
    pub laggard_time_max: Duration,
    /// How long a key is remembered whose answer was for one request alone; its requests do not wait for each other.
    pub private_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiters_max: 1_000,
            object_bytes_max: 64 << 20,
            flying_bytes_max: 256 << 20,
            window_bytes: 1 << 20,
            laggard_time_max: Duration::from_secs(5),
            private_for: Duration::from_secs(60),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} requests already wait for the same object")]
pub struct Crowded(pub usize);

/// The fetches under way, over the tiers into which they go.
#[derive(Debug)]
pub struct Fills<M, P, F> {
    flying: DashMap<u128, Arc<Fill<M, P, F>>, AsItIs>,
    private: Recent,
    flying_bytes: Arc<AtomicU64>,
    tiers: Arc<Tiers<M>>,
    limits: Limits,
}

impl<M, P, F> Fills<M, P, F>
where
    M: Send + Sync + 'static,
    P: Send + 'static,
    F: Clone + Send + Sync + 'static,
{
    pub fn new(tiers: Arc<Tiers<M>>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            flying: DashMap::with_hasher(AsItIs::default()),
            private: Recent::new(limits.private_for),
            flying_bytes: Arc::default(),
            tiers,
            limits,
        })
    }

    /// Joins the fetch of `key`, beginning it with `fetch` when none is under way. `fetch` is given the number of the
    /// latest purge, for the objects that it makes itself.
    pub fn open<B, Fetch>(
        self: &Arc<Self>,
        key: &Key,
        fetch: impl FnOnce(u64) -> Fetch,
    ) -> Result<Reader<M, P, F>, Crowded>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Display + Send,
        Fetch: Future<Output = Fetched<M, P, F, B>> + Send + 'static,
    {
        if self.private.has(key.hash()) {
            return Ok(self.begin(key, fetch, |_| ()));
        }
        match self.flying.entry(key.hash()) {
            Entry::Vacant(place) => Ok(self.begin(key, fetch, |fill| drop(place.insert(fill)))),
            Entry::Occupied(mut place) => {
                let fill = place.get().clone();
                if fill.key != *key {
                    drop(place);
                    return Ok(self.begin(key, fetch, |_| ()));
                }
                if fill.waiting() >= self.limits.waiters_max {
                    self.tiers.counters().crowded.one();
                    return Err(Crowded(self.limits.waiters_max));
                }
                let seat = if self.is_purged(&fill) { None } else { fill.flow.take_seat() };
                match seat {
                    Some(seat) => {
                        drop(place);
                        self.tiers.counters().collapsed.one();
                        Ok(Reader::new(fill, seat, false))
                    }
                    None => Ok(self.begin(key, fetch, |fill| drop(place.insert(fill)))),
                }
            }
        }
    }

    fn begin<B, Fetch>(
        self: &Arc<Self>,
        key: &Key,
        fetch: impl FnOnce(u64) -> Fetch,
        enlist: impl FnOnce(Arc<Fill<M, P, F>>),
    ) -> Reader<M, P, F>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Display + Send,
        Fetch: Future<Output = Fetched<M, P, F, B>> + Send + 'static,
    {
        let outlived = self.tiers.purges().latest();
        let flow = Flow::new(self.flying_bytes.clone());
        let seat = flow.take_seat().expect("a new flow has its beginning");
        let fill = Fill::new(key.clone(), flow, outlived);
        enlist(fill.clone());
        self.tiers.counters().fills.one();
        let flight = Flight { fills: self.clone(), fill: fill.clone(), landed: false };
        tokio::spawn(flight.run(fetch(outlived)));
        Reader::new(fill, seat, true)
    }

    fn is_purged(&self, fill: &Fill<M, P, F>) -> bool {
        let verdict =
            fill.with_tags(|tags| self.tiers.purges().verdict(fill.outlived, fill.key.text(), tags));
        verdict.or(fill.purged()).is_some()
    }

    /// Purges what is kept and what is on its way.
    pub fn purge(&self, purge: &Purge) -> Purged {
        if let Scope::Key(text) = &purge.scope {
            let key = Key::new(&**text);
            let fill = self.flying.get(&key.hash()).map(|fill| fill.clone());
            if let Some(fill) = fill.filter(|fill| fill.key == key) {
                fill.purge(purge.depth);
            }
        }
        self.tiers.purge(purge)
    }

    pub fn tiers(&self) -> &Arc<Tiers<M>> {
        &self.tiers
    }

    /// Objects that are arriving and can be joined.
    pub fn len(&self) -> usize {
        self.flying.len()
    }

    pub fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// Bytes that are here of arriving objects.
    pub fn bytes(&self) -> u64 {
        self.flying_bytes.load(Ordering::Relaxed)
    }
}

/// A fetch under way. However its task ends, nobody is left waiting.
struct Flight<M, P, F> {
    fills: Arc<Fills<M, P, F>>,
    fill: Arc<Fill<M, P, F>>,
    landed: bool,
}

impl<M, P, F> Flight<M, P, F>
where
    M: Send + Sync + 'static,
    P: Send + 'static,
    F: Clone + Send + Sync + 'static,
{
    async fn run<B>(mut self, fetch: impl Future<Output = Fetched<M, P, F, B>>)
    where
        B: Body<Data = Bytes>,
        B::Error: Display + Send,
    {
        let fetched = tokio::select! {
            biased;
            fetched = fetch => fetched,
            () = self.fill.flow.abandoned() => {
                self.fills.tiers.counters().fills_abandoned.one();
                return;
            }
        };
        match fetched {
            Fetched::Shared(answer) => self.stream(answer).await,
            Fetched::Whole(object) => {
                self.fills.private.forget(self.fill.key.hash());
                self.keep(&object);
                self.land(Head::Whole(object), Ok(()));
            }
            Fetched::Private(answer) => {
                self.fills.private.note(self.fill.key.hash());
                self.leave();
                self.fill.announce_private(answer);
                self.land(Head::Private, Ok(()));
            }
            Fetched::Failed(failure) => {
                self.fills.tiers.counters().fills_failed.one();
                self.land(Head::Failed(failure), Err(FillError::Lost));
            }
        }
    }

    /// Streams the body to those who wait, and keeps it when it came whole.
    async fn stream<B>(&mut self, answer: Answer<M, B>)
    where
        B: Body<Data = Bytes>,
        B::Error: Display + Send,
    {
        let description = Arc::new(answer.description);
        self.fills.private.forget(self.fill.key.hash());
        self.fill.flow.declare(answer.length);
        if answer.length.is_some_and(|length| length > self.fills.limits.object_bytes_max) {
            self.pass();
        }
        self.fill.announce(Head::Growing(description.clone()));
        let mut writer = SlabWriter::new(answer.length);
        let end = self.pump(answer.body, answer.length, &mut writer).await;
        let counters = self.fills.tiers.counters();
        match end {
            Some(Ok(())) if !self.fill.flow.is_passing() => {
                let body = Slabs::settle(self.fill.flow.pieces(), writer.allocated());
                let object = Object::new(self.fill.key.clone(), description, body, self.fill.outlived);
                self.keep(&Arc::new(object));
            }
            Some(Ok(())) => (),
            Some(Err(_)) => counters.fills_failed.one(),
            None => counters.fills_abandoned.one(),
        }
        self.leave();
        self.fill.flow.finish(end.unwrap_or(Err(FillError::Lost)));
        self.landed = true;
    }

    /// Copies the body into slabs and shows them to the readers: each full slab at once, and what there is when the
    /// source has no more for now, so that many small frames make one wake-up. Nothing, when nobody is left.
    async fn pump<B>(
        &self,
        body: B,
        declared: Option<u64>,
        writer: &mut SlabWriter,
    ) -> Option<Result<(), FillError>>
    where
        B: Body<Data = Bytes>,
        B::Error: Display + Send,
    {
        let mut body = pin!(body);
        let mut came = 0;
        loop {
            let frame = poll_fn(|context| {
                let polled = body.as_mut().poll_frame(context);
                if polled.is_pending()
                    && let Some(piece) = writer.take()
                {
                    self.publish(piece);
                }
                polled
            });
            let frame = tokio::select! {
                biased;
                () = self.fill.flow.abandoned() => return None,
                frame = frame => frame,
            };
            let data = match frame {
                None => break,
                Some(Err(error)) => return Some(Err(FillError::Broken(error.to_string().into()))),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            came += data.len() as u64;
            if let Some(declared) = declared.filter(|declared| came > *declared) {
                return Some(Err(FillError::Long { declared }));
            }
            if came > self.fills.limits.object_bytes_max {
                self.pass();
            }
            self.fills.tiers.counters().fill_bytes.add(data.len() as u64);
            writer.write(&data, |piece| self.publish(piece));
            if self.fill.flow.is_passing() {
                self.make_room().await?;
            }
            tokio::task::coop::consume_budget().await;
        }
        if let Some(piece) = writer.take() {
            self.publish(piece);
        }
        match declared {
            Some(declared) if came != declared => Some(Err(FillError::Short { came, declared })),
            Some(_) | None => Some(Ok(())),
        }
    }

    fn publish(&self, piece: Bytes) {
        if self.fill.flow.publish(piece) > self.fills.limits.flying_bytes_max {
            self.pass();
        }
    }

    /// Gives up keeping it: it goes on for its readers alone.
    fn pass(&self) {
        if !self.fill.flow.is_passing() {
            self.leave();
            self.fill.flow.pass();
            self.fills.tiers.counters().fills_passed.one();
        }
    }

    /// Waits until the slowest reader is near enough; one that holds up others for too long is cut off. Nothing, when
    /// nobody is left.
    async fn make_room(&self) -> Option<()> {
        let Limits { window_bytes, laggard_time_max, .. } = self.fills.limits;
        let flow = &self.fill.flow;
        let mut patience = Instant::now() + laggard_time_max;
        while !flow.has_room(window_bytes) {
            tokio::select! {
                biased;
                () = flow.abandoned() => return None,
                () = flow.moved() => (),
                () = tokio::time::sleep_until(patience) => {
                    let cut = flow.cut_laggards(window_bytes);
                    self.fills.tiers.counters().readers_cut.add(cut);
                    patience = Instant::now() + laggard_time_max;
                }
            }
        }
        Some(())
    }

    /// Keeps an object that came whole, unless it was purged on its way.
    fn keep(&self, object: &Arc<Object<M>>) {
        let tiers = &self.fills.tiers;
        if self.fill.purged() == Some(Depth::Hard) {
            return;
        }
        tiers.keep(object);
        // A purge of this key may have come between the look at it and the keeping.
        if let Some(depth) = self.fill.purged() {
            tiers.purge(&Purge { scope: Scope::Key(self.fill.key.text().into()), depth });
        }
    }

    fn land(&mut self, head: Head<M, F>, end: Result<(), FillError>) {
        self.leave();
        self.fill.announce(head);
        self.fill.flow.finish(end);
        self.landed = true;
    }
}

impl<M, P, F> Flight<M, P, F> {
    /// Takes the fetch off the list, so that who comes from here on begins anew.
    fn leave(&self) {
        let same = |_: &u128, fill: &Arc<Fill<M, P, F>>| Arc::ptr_eq(fill, &self.fill);
        self.fills.flying.remove_if(&self.fill.key.hash(), same);
    }
}

impl<M, P, F> Drop for Flight<M, P, F> {
    fn drop(&mut self) {
        if !self.landed {
            self.leave();
            self.fill.announce_loss();
            self.fill.flow.finish(Err(FillError::Lost));
        }
    }
}

#[cfg(test)]
mod tests;
