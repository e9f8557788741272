//! When a name's certificate is asked for: pure, all times since the Unix epoch.

use std::time::Duration;

use crate::server::tls::Certificate;

/// When the next attempt is due, when the authority is asked whether it should be sooner, and how many attempts before
/// failed in a row. The default: at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    at: Duration,
    look: Option<Duration>,
    failures: u32,
}

impl Due {
    pub(super) fn at(self) -> Duration {
        self.at
    }

    /// When there is something to do.
    pub(super) fn next(self) -> Duration {
        self.look.map_or(self.at, |look| look.min(self.at))
    }

    /// At a time that the authority suggests.
    pub(super) fn suggested(at: Duration) -> Self {
        Self { at, ..Self::default() }
    }

    /// What the authority says in place of this; failures count on.
    pub(super) fn told(self, told: Self) -> Self {
        Self { failures: self.failures, ..told }
    }

    /// The same, with the authority asked at `time`.
    pub(super) fn looking(self, time: Duration) -> Self {
        Self { look: Some(time), ..self }
    }

    /// The same, but not before `earliest`.
    pub(super) fn not_before(self, earliest: Duration) -> Self {
        Self { at: self.at.max(earliest), ..self }
    }

    /// At two thirds of a certificate's life; earlier by up to a thirtieth of it. `spread` are thousandths.
    pub(super) fn of(certificate: &Certificate, spread: u32) -> Self {
        Self::in_life(certificate.not_before(), certificate.not_after(), spread)
    }

    fn in_life(not_before: Duration, not_after: Duration, spread: u32) -> Self {
        let life = not_after.saturating_sub(not_before);
        Self::suggested((not_before + life * 2 / 3).saturating_sub(life / 30 * spread / 1000))
    }

    /// After a minute, then twice as long each time up to half a day; an hour at least where the authority says that it
    /// was asked too often. Later by up to a quarter. `spread` are thousandths.
    pub(super) fn after_failure(self, now: Duration, is_rate_limit: bool, spread: u32) -> Self {
        const FIRST: Duration = Duration::from_mins(1);
        const LONGEST: Duration = Duration::from_hours(12);
        const LIMITED: Duration = Duration::from_hours(1);
        let doubled = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        let wait = if is_rate_limit { doubled.max(LIMITED) } else { doubled };
        let at = now + wait + wait / 4 * spread / 1000;
        Self { at, look: None, failures: self.failures.saturating_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn two_thirds_of_a_life_whatever_its_length() {
        let begin = Duration::from_secs(1_790_000_000);
        for days in [90, 45, 6] {
            let at = |spread| Due::in_life(begin, begin + DAY * days, spread).at();
            assert_eq!(at(0), begin + DAY * days * 2 / 3);
            assert_eq!(at(1000), begin + DAY * days * 19 / 30);
        }
    }

    #[test]
    fn failures_wait_twice_as_long_each_time_up_to_half_a_day() {
        let now = Duration::from_secs(1_790_000_000);
        let mut due = Due::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            due = due.after_failure(now, false, 0);
            waits.push((due.at().as_secs() - now.as_secs()) / 60);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 720, 720]);
        assert_eq!(Due::default().after_failure(now, true, 0).at(), now + Duration::from_hours(1));
        assert_eq!(Due::default().after_failure(now, false, 1000).at(), now + Duration::from_secs(75));
    }
}
