//! Collapsing: one fetch per key, its outcome given to all who wait for it.
//!
//! The fetch runs as a task of its own: a client that leaves ends nothing for the others. The waiters of one key are
//! counted and bounded, and so is the time they wait.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::watch;

/// Fetches under way, by key.
#[derive(Debug)]
pub struct Flights<T> {
    flying: DashMap<String, Flight<T>>,
    waiters_max: usize,
}

#[derive(Debug)]
struct Flight<T> {
    outcome: watch::Receiver<Option<T>>,
    waiters: Arc<AtomicUsize>,
}

/// How a value was come by.
#[derive(Debug)]
pub enum Joined<T> {
    /// This call began the fetch.
    Led(T),
    /// Another call had begun it.
    Waited(T),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    #[error("{0} requests already wait for the same object")]
    Crowded(usize),
    #[error("the fetch of the object did not end within {0:?}")]
    Late(Duration),
    #[error("the fetch of the object ended without an outcome")]
    Lost,
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    pub fn new(waiters_max: usize) -> Arc<Self> {
        Arc::new(Self { flying: DashMap::new(), waiters_max })
    }

    /// Waits for the fetch of `key`, beginning it with `fetch` when none is under way, for `wait` at most. What
    /// `fetch` stores it stores before it returns, so that no second fetch slips in between.
    pub async fn join<F>(
        self: &Arc<Self>,
        key: String,
        wait: Duration,
        fetch: F,
    ) -> Result<Joined<T>, JoinError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (mut outcome, waiters, leads) = match self.flying.entry(key) {
            Entry::Occupied(flight) => {
                let flight = flight.get();
                if flight.waiters.load(Ordering::Relaxed) >= self.waiters_max {
                    return Err(JoinError::Crowded(self.waiters_max));
                }
                (flight.outcome.clone(), flight.waiters.clone(), false)
            }
            Entry::Vacant(place) => {
                let landing = Landing { flights: self.clone(), key: place.key().clone() };
                let (sender, outcome) = watch::channel(None);
                let waiters = Arc::new(AtomicUsize::new(0));
                place.insert(Flight { outcome: outcome.clone(), waiters: waiters.clone() });
                tokio::spawn(async move {
                    let value = fetch.await;
                    drop(landing);
                    sender.send_replace(Some(value));
                });
                (outcome, waiters, true)
            }
        };
        let _waiting = Waiting::begin(waiters);
        let landed = tokio::time::timeout(wait, outcome.wait_for(Option::is_some))
            .await
            .map_err(|_| JoinError::Late(wait))?
            .map_err(|_| JoinError::Lost)?;
        let value = landed.clone().ok_or(JoinError::Lost)?;
        Ok(if leads { Joined::Led(value) } else { Joined::Waited(value) })
    }

    /// Fetches under way.
    pub fn len(&self) -> usize {
        self.flying.len()
    }

    pub fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }
}

/// Takes a flight off the list when its task ends, also when it panics.
struct Landing<T: Clone + Send + Sync + 'static> {
    flights: Arc<Flights<T>>,
    key: String,
}

impl<T: Clone + Send + Sync + 'static> Drop for Landing<T> {
    fn drop(&mut self) {
        self.flights.flying.remove(&self.key);
    }
}

struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn begin(waiters: Arc<AtomicUsize>) -> Self {
        waiters.fetch_add(1, Ordering::Relaxed);
        Self(waiters)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn many_waiters_make_one_fetch() {
        let flights = Flights::new(1_000);
        let fetches = Arc::new(AtomicUsize::new(0));
        let release = Arc::new(Notify::new());
        let join = || {
            let (flights, fetches, release) = (flights.clone(), fetches.clone(), release.clone());
            async move {
                flights
                    .join("key".to_owned(), LONG, async move {
                        fetches.fetch_add(1, Ordering::Relaxed);
                        release.notified().await;
                        7
                    })
                    .await
            }
        };
        let waiters: Vec<_> = (0..100).map(|_| tokio::spawn(join())).collect();
        tokio::task::yield_now().await;
        release.notify_one();
        for waiter in waiters {
            let (Joined::Led(value) | Joined::Waited(value)) = waiter.await.unwrap().unwrap();
            assert_eq!(value, 7);
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
        assert!(flights.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_does_not_end_the_fetch() {
        let flights = Flights::new(10);
        let release = Arc::new(Notify::new());
        let held = release.clone();
        let leader = tokio::spawn({
            let flights = flights.clone();
            async move {
                flights
                    .join("key".to_owned(), LONG, async move {
                        held.notified().await;
                        1
                    })
                    .await
            }
        });
        tokio::task::yield_now().await;
        let follower = tokio::spawn({
            let flights = flights.clone();
            async move { flights.join("key".to_owned(), LONG, async { 2 }).await }
        });
        tokio::task::yield_now().await;
        leader.abort();
        tokio::task::yield_now().await;
        release.notify_one();
        assert!(matches!(follower.await.unwrap(), Ok(Joined::Waited(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_bounded_in_number_and_time() {
        let flights = Flights::<u8>::new(1);
        let late = tokio::spawn({
            let flights = flights.clone();
            async move { flights.join("key".to_owned(), Duration::from_secs(1), std::future::pending()).await }
        });
        tokio::task::yield_now().await;
        let crowded = flights.join("key".to_owned(), LONG, std::future::pending()).await;
        assert_eq!(crowded.unwrap_err(), JoinError::Crowded(1));
        assert_eq!(late.await.unwrap().unwrap_err(), JoinError::Late(Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn a_fetch_that_panics_is_an_error_and_leaves_nothing_behind() {
        let flights = Flights::<u8>::new(10);
        let lost = flights.join("key".to_owned(), LONG, async { panic!("as told") }).await;
        assert_eq!(lost.unwrap_err(), JoinError::Lost);
        assert!(flights.is_empty());
    }
}
