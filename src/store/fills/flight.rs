//! A fetch under way: its task, from the first byte of the source to the object that is kept.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use tokio::time::Instant;

use crate::store::fill::{Answer, Fetched, Fill, Head, Source};
use crate::store::fills::{Fills, Limits, Standing};
use crate::store::flow::FillError;
use crate::store::object::Object;
use crate::store::purge::Depth;
use crate::store::slabs::SlabWriter;

/// A fetch under way. However its task ends, nobody is left waiting.
pub(super) struct Flight<M, P, F> {
    fills: Arc<Fills<M, P, F>>,
    fill: Arc<Fill<M, P, F>>,
    landed: bool,
    standing: Standing<()>,
}

impl<M, P, F> Flight<M, P, F>
where
    M: Send + Sync + 'static,
    P: Send + 'static,
    F: Clone + Send + Sync + 'static,
{
    pub fn new(fills: Arc<Fills<M, P, F>>, fill: Arc<Fill<M, P, F>>, standing: Standing<()>) -> Self {
        Self { fills, fill, landed: false, standing }
    }

    pub async fn run<B>(mut self, fetch: impl Future<Output = Fetched<M, P, F, B>>)
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
                self.keep(&object, Source::Origin);
                self.land(Head::Whole(object), Ok(()));
            }
            Fetched::Private(answer) => {
                if !matches!(self.standing, Standing::Apart(_)) {
                    self.fills.private.note(self.fill.key.hash());
                }
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
        if !answer.is_kept {
            self.leave();
            self.fill.flow.pass();
        }
        if answer.length.is_some_and(|length| length > self.fills.limits.object_bytes_max) {
            self.pass();
        }
        self.fill.announce(Head::Growing(description.clone()));
        let mut writer = SlabWriter::new(self.fills.memory_file.clone(), answer.length);
        let end = self.pump(answer.body, answer.length, &mut writer).await;
        let counters = self.fills.tiers.counters();
        match end {
            Some(Ok(())) if !self.fill.flow.is_passing() => {
                let body = writer.settle();
                let object = Object::new(self.fill.key.clone(), description, body, self.fill.outlived);
                self.keep(&Arc::new(object), answer.source);
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
                writer.pass();
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
    fn keep(&self, object: &Arc<Object<M>>, source: Source) {
        let tiers = &self.fills.tiers;
        match self.standing {
            Standing::Listed(()) => {}
            Standing::Apart(begun) if tiers.purges().begun(self.fill.key.text()) == begun => {}
            Standing::Alone | Standing::Apart(_) => return,
        }
        match self.fill.purged() {
            Some(Depth::Hard) => return,
            Some(Depth::Soft(since)) => object.mark_stale(since),
            None => (),
        }
        tiers.keep(object, source, self.fill.flow.requests());
        // A purge may have come between the look at it and the keeping.
        let purged = match self.standing {
            Standing::Apart(begun) if tiers.purges().begun(self.fill.key.text()) != begun => {
                Some(Depth::Hard)
            }
            Standing::Listed(()) | Standing::Alone | Standing::Apart(_) => self.fill.purged(),
        };
        if let Some(depth) = purged {
            tiers.take_back(object, depth);
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
