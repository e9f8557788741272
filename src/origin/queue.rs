//! Places at an origin: so many requests at once, so many more that wait, for so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::OriginError;

#[derive(Debug)]
pub struct Queue {
    places: Arc<Semaphore>,
    fetches_max: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    wait: Duration,
}

impl Queue {
    pub fn new(fetches_max: usize, waiting_max: usize, wait: Duration) -> Self {
        let places = Arc::new(Semaphore::new(fetches_max.min(Semaphore::MAX_PERMITS)));
        Self { places, fetches_max, waiting: AtomicUsize::new(0), waiting_max, wait }
    }

    /// A place, kept until it is dropped.
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, OriginError> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::begin(&self.waiting, self.waiting_max)?;
        tokio::time::timeout(self.wait, self.places.clone().acquire_owned())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(OriginError::Busy(self.fetches_max, self.wait))
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize, max: usize) -> Result<Self, OriginError> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= max {
            return Err(OriginError::Crowded(max));
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiters_are_bounded_in_number_and_time() {
        let queue = Arc::new(Queue::new(1, 1, Duration::from_secs(10)));
        let place = queue.enter().await.unwrap();
        let waiter = tokio::spawn({
            let queue = queue.clone();
            async move { queue.enter().await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(matches!(queue.enter().await, Err(OriginError::Crowded(1))));
        assert!(matches!(waiter.await.unwrap(), Err(OriginError::Busy(1, _))), "after ten seconds");
        let waiter = tokio::spawn({
            let queue = queue.clone();
            async move { queue.enter().await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(place);
        assert!(waiter.await.unwrap().is_ok(), "a place that becomes free is given to who waits");
    }
}
