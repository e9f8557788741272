//! The retry budget: a share of the requests, and a few a second in any case, so that retries never multiply an outage.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// One retry, in the budget's unit.
const RETRY: u64 = 100;

/// Requests give `percent` hundredths of a retry; what is saved up is bounded.
#[derive(Debug)]
pub struct Budget {
    percent: u64,
    per_second: u64,
    saved: Mutex<Saved>,
}

#[derive(Debug)]
struct Saved {
    by_requests: u64,
    by_time: u64,
    counted_to: Option<Instant>,
}

impl Budget {
    pub fn new(percent: u32, per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        let saved = Saved { by_requests: 0, by_time: per_second * RETRY, counted_to: None };
        Self { percent: u64::from(percent), per_second, saved: Mutex::new(saved) }
    }

    /// Notes a request, which earns its share of a retry. At most ten retries are saved up: a quiet hour does not pay
    /// for a storm.
    pub fn earn(&self) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        saved.by_requests = (saved.by_requests + self.percent).min(10 * RETRY);
    }

    /// Takes a retry, if there is one.
    pub fn take(&self, now: Instant) -> bool {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let since = saved.counted_to.map_or(0, |then| now.saturating_duration_since(then).as_millis());
        let gained = u64::try_from(since).unwrap_or(u64::MAX).saturating_mul(self.per_second * RETRY) / 1_000;
        if gained > 0 || saved.counted_to.is_none() {
            saved.counted_to = Some(now);
            saved.by_time = saved.by_time.saturating_add(gained).min(self.per_second * RETRY);
        }
        if saved.by_requests >= RETRY {
            saved.by_requests -= RETRY;
            return true;
        }
        if saved.by_time >= RETRY {
            saved.by_time -= RETRY;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_the_requests() {
        let budget = Budget::new(20, 0);
        let now = Instant::now();
        assert!(!budget.take(now), "nothing is earned yet");
        let mut retries = 0;
        for _ in 0..100 {
            budget.earn();
            retries += u32::from(budget.take(now));
        }
        assert_eq!(retries, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_a_second_are_there_in_any_case() {
        let budget = Budget::new(0, 2);
        let start = Instant::now();
        let within =
            |seconds: u64| (0..10).filter(|_| budget.take(start + Duration::from_secs(seconds))).count();
        assert_eq!([within(0), within(0), within(1), within(100)], [2, 0, 2, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_saved_up_is_bounded() {
        let budget = Budget::new(20, 0);
        for _ in 0..10_000 {
            budget.earn();
        }
        assert_eq!((0..100).filter(|_| budget.take(Instant::now())).count(), 10);
    }
}
