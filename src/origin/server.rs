//! One server of an origin: what runs there, how it did, and whether it is asked at all.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use super::pool::Pool;
use super::settings::{EjectionSettings, HealthSettings, ServerSettings};
use super::target;

#[derive(Debug)]
pub struct Server {
    pub settings: ServerSettings,
    /// The `Host` that it is asked under, unless the origin has one for all.
    pub host: HeaderValue,
    pub pool: Pool,
    ejection: EjectionSettings,
    under_way: AtomicUsize,
    requests: AtomicU64,
    failures: AtomicU64,
    ejections: AtomicU64,
    condition: Mutex<Condition>,
}

/// What operators see of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Scheme and authority.
    pub name: String,
    pub state: State,
    pub requests: u64,
    pub failures: u64,
    /// How often it was put out.
    pub ejections: u64,
    pub under_way: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Up,
    /// Put out for a time, by its failures.
    Ejected,
    /// Found down by the health check.
    Down,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Ejected => "ejected",
            Self::Down => "down",
        }
    }
}

/// A request at a server. When it is dropped the server did well, unless it was told otherwise.
#[derive(Debug)]
pub struct Work {
    server: Arc<Server>,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    Failed,
    /// It says nothing of the server.
    Unknown,
}

impl Server {
    pub fn new(settings: ServerSettings, pool: Pool, ejection: EjectionSettings) -> Self {
        Self {
            host: target::host(&settings.base.authority),
            settings,
            pool,
            ejection,
            under_way: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
            condition: Mutex::default(),
        }
    }

    pub fn begin(self: &Arc<Self>) -> Work {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        Work { server: self.clone(), outcome: Outcome::Good }
    }

    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    pub fn is_available(&self, now: Instant) -> bool {
        self.condition().state(now) == State::Up
    }

    /// Notes the result of a health check.
    pub fn checked(&self, is_healthy: bool, settings: &HealthSettings) {
        let change = self.condition().checked(is_healthy, settings);
        if let Some(is_up) = change {
            let name = self.name();
            if is_up {
                tracing::info!(server = %name, "the origin server is up again");
            } else {
                tracing::warn!(server = %name, "the origin server is down");
            }
        }
    }

    pub fn report(&self, now: Instant) -> Report {
        Report {
            name: self.name(),
            state: self.condition().state(now),
            requests: self.requests.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            ejections: self.ejections.load(Ordering::Relaxed),
            under_way: self.under_way(),
        }
    }

    fn name(&self) -> String {
        format!("{}://{}", self.settings.base.scheme, self.settings.base.authority)
    }

    fn failed(&self, now: Instant) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let put_out_for = self.condition().failed(now, self.ejection);
        if let Some(time) = put_out_for {
            self.ejections.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(server = %self.name(), ?time, "the origin server failed too often in a row and is left out");
        }
    }

    fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    pub fn fail(&mut self) {
        self.outcome = Outcome::Failed;
    }

    pub fn forget(&mut self) {
        self.outcome = Outcome::Unknown;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.server.under_way.fetch_sub(1, Ordering::Relaxed);
        match self.outcome {
            Outcome::Good => self.server.condition().succeeded(Instant::now()),
            Outcome::Failed => self.server.failed(Instant::now()),
            Outcome::Unknown => {}
        }
    }
}

/// What is known of a server's health, as a function of the time.
#[derive(Debug, Default)]
struct Condition {
    failures_in_row: u32,
    put_out: Option<PutOut>,
    is_down: bool,
    /// Checks in a row that speak against what is held of the server.
    checks_against: u32,
}

#[derive(Clone, Copy, Debug)]
struct PutOut {
    until: Instant,
    time: Duration,
    times: u32,
}

impl Condition {
    fn state(&self, now: Instant) -> State {
        if self.is_down {
            State::Down
        } else if self.put_out.is_some_and(|out| now < out.until) {
            State::Ejected
        } else {
            State::Up
        }
    }

    /// A failure: for how long the server is put out by it. One that comes back is on trial: its failures in a row are
    /// not forgotten before its first success, so that one more failure puts it out again, for longer.
    fn failed(&mut self, now: Instant, settings: EjectionSettings) -> Option<Duration> {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        let is_enough = settings.failures > 0 && self.failures_in_row >= settings.failures;
        if !is_enough || self.state(now) == State::Ejected {
            return None;
        }
        let times = self.put_out.map_or(0, |out| out.times);
        let factor = 2_u32.saturating_pow(times);
        let time = settings.time.saturating_mul(factor).min(settings.time_max);
        self.put_out = Some(PutOut { until: now + time, time, times: times.saturating_add(1) });
        Some(time)
    }

    fn succeeded(&mut self, now: Instant) {
        if self.state(now) == State::Ejected {
            // It began before the server was put out.
            return;
        }
        self.failures_in_row = 0;
        // Good for as long as it was out: what was is forgotten.
        if self.put_out.is_some_and(|out| now >= out.until + out.time) {
            self.put_out = None;
        }
    }

    /// A check's result: whether the server came up or went down by it.
    fn checked(&mut self, is_healthy: bool, settings: &HealthSettings) -> Option<bool> {
        if is_healthy != self.is_down {
            self.checks_against = 0;
            return None;
        }
        self.checks_against += 1;
        let needed = if is_healthy { settings.up_after } else { settings.down_after };
        if self.checks_against < needed {
            return None;
        }
        self.checks_against = 0;
        self.is_down = !is_healthy;
        Some(is_healthy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EJECTION: EjectionSettings =
        EjectionSettings { failures: 3, time: Duration::from_secs(10), time_max: Duration::from_secs(35) };

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_put_a_server_out_for_a_growing_time() {
        let mut now = Instant::now();
        let mut condition = Condition::default();
        assert_eq!(condition.failed(now, EJECTION), None);
        assert_eq!(condition.failed(now, EJECTION), None);
        assert_eq!(condition.state(now), State::Up);
        for seconds in [10, 20, 35, 35] {
            let time = Duration::from_secs(seconds);
            assert_eq!(condition.failed(now, EJECTION), Some(time));
            assert_eq!(condition.failed(now, EJECTION), None, "it is out already");
            assert_eq!(condition.state(now + time / 2), State::Ejected);
            now += time;
            assert_eq!(condition.state(now), State::Up);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_between_failures_keeps_a_server_in() {
        let now = Instant::now();
        let mut condition = Condition::default();
        for _ in 0..10 {
            assert_eq!(condition.failed(now, EJECTION), None);
            assert_eq!(condition.failed(now, EJECTION), None);
            condition.succeeded(now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_did_well_for_as_long_as_it_was_out_is_new_again() {
        let now = Instant::now();
        let mut condition = Condition { failures_in_row: 2, ..Condition::default() };
        assert_eq!(condition.failed(now, EJECTION), Some(Duration::from_secs(10)));
        condition.succeeded(now + Duration::from_secs(5));
        assert_eq!(condition.failures_in_row, 3, "a success from before says nothing");
        condition.succeeded(now + Duration::from_secs(20));
        condition.failures_in_row = 2;
        assert_eq!(condition.failed(now + Duration::from_secs(21), EJECTION), Some(Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn zero_failures_put_nothing_out() {
        let now = Instant::now();
        let mut condition = Condition::default();
        for _ in 0..100 {
            assert_eq!(condition.failed(now, EjectionSettings { failures: 0, ..EJECTION }), None);
        }
    }

    #[test]
    fn checks_have_to_agree_before_a_server_is_down_or_up() {
        let settings = HealthSettings {
            path: "/".to_owned(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            statuses: Vec::new(),
            down_after: 2,
            up_after: 3,
        };
        let mut condition = Condition::default();
        let changes: Vec<Option<bool>> =
            [false, true, false, false, false, true, true, false, true, true, true, true]
                .into_iter()
                .map(|is_healthy| condition.checked(is_healthy, &settings))
                .collect();
        let expected: Vec<Option<bool>> =
            (0..12).map(|at| (at == 3).then_some(false).or((at == 10).then_some(true))).collect();
        assert_eq!(changes, expected);
    }
}
