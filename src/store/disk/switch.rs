//! Leaving a failing disk alone for a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// On, or off until a time; each failure right after a pause makes the next one twice as long.
#[derive(Debug)]
pub(super) struct Switch {
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    off_until: Option<Instant>,
    failures: u32,
}

const DOUBLINGS_MAX: u32 = 5;

impl Switch {
    pub fn new(pause: Duration) -> Self {
        Self { pause, state: Mutex::default() }
    }

    pub fn is_off(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.off_until.is_some_and(|until| Instant::now() < until)
    }

    /// Turns off; false when it is off already.
    pub fn fail(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.off_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let pause = self.pause * (1 << state.failures.min(DOUBLINGS_MAX));
        state.off_until = Some(Instant::now() + pause);
        state.failures = state.failures.saturating_add(1);
        true
    }

    pub fn succeed(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failures > 0 && state.off_until.is_none_or(|until| Instant::now() >= until) {
            *state = State::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_fails_again_is_left_alone_for_longer() {
        let switch = Switch::new(Duration::from_secs(10));
        assert!(switch.fail() && !switch.fail() && switch.is_off());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!switch.is_off() && switch.fail());
        tokio::time::advance(Duration::from_secs(19)).await;
        assert!(switch.is_off());
        tokio::time::advance(Duration::from_secs(1)).await;
        switch.succeed();
        switch.fail();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!switch.is_off());
    }
}
