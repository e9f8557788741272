//! The one timer of a connection, which ends it when too little goes on in it.
//!
//! After each turn of the connection [`Watch`] reads from its [`Activity`] which limit applies. The timer is only moved when
//! a limit falls due before it, or when it fires: requests that follow each other do not touch it.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::activity::{Activity, Phase};
use super::least_rate::LeastRate;
use super::peer::Protocol;
use super::settings::Limits;

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    HeaderTimeout,
    Idle,
    StalledWrite,
    TooSlow,
    Lingered,
    Drained,
}

/// How long the rest of a refused request is read and thrown away, so that our answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);
/// How often a connection is looked at while no limit applies.
const LOOK: Duration = Duration::from_secs(30);

/// The timer's view of a connection.
#[derive(Debug)]
pub(super) struct Watch {
    protocol: Protocol,
    header_read_timeout: Duration,
    idle_timeout: Duration,
    stalled_write_timeout: Duration,
    least_rate: LeastRate,
    phase: Phase,
    mark: u64,
    /// When the phase began or last stepped forward.
    since: Instant,
    /// Up to when waiting for the client is counted into `least_rate`.
    waiting_from: Instant,
    armed: Instant,
    is_registered: bool,
    end_by: Option<Instant>,
}

impl Watch {
    pub(super) fn new(limits: &Limits, protocol: Protocol, now: Instant) -> Self {
        let idle_timeout = match protocol {
            Protocol::H1 => limits.idle_timeout_h1,
            Protocol::H2 | Protocol::H3 => limits.idle_timeout_h2,
        };
        Self {
            protocol,
            header_read_timeout: limits.header_read_timeout,
            idle_timeout,
            stalled_write_timeout: limits.stalled_write_timeout,
            least_rate: LeastRate::new(limits, 0),
            phase: Phase::Head,
            mark: 0,
            since: now,
            waiting_from: now,
            armed: now + limits.header_read_timeout,
            is_registered: false,
            end_by: None,
        }
    }

    /// When the timer has to fire first.
    pub(super) fn first_due(&self) -> Instant {
        self.armed
    }

    /// The connection has to be over in `time`, whatever it does.
    pub(super) fn end_within(&mut self, time: Duration, now: Instant) {
        let end_by = now + time;
        self.end_by = Some(self.end_by.map_or(end_by, |earlier| earlier.min(end_by)));
    }

    /// Looks at the connection after a turn of it; `Some` when it has to end. Registers the task with the timer, which
    /// has to be polled by the same task each time: it is registered anew only when the timer moves.
    pub(super) fn look(
        &mut self,
        activity: &Activity,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Option<Expiry> {
        self.follow(activity);
        let mut has_fired = timer.is_elapsed();
        loop {
            if has_fired && let Some(expiry) = self.expiry(activity, Instant::now()) {
                return Some(expiry);
            }
            let due = self.due();
            if self.is_registered && !has_fired && due >= self.armed {
                return None;
            }
            self.armed = due;
            self.is_registered = true;
            timer.as_mut().reset(due);
            has_fired = timer.as_mut().poll(cx).is_ready();
            if !has_fired {
                return None;
            }
        }
    }

    /// Takes over the phase. The clock is read only where something changed.
    fn follow(&mut self, activity: &Activity) {
        let (phase, mark) = activity.phase(self.protocol);
        if (phase, mark) == (self.phase, self.mark) {
            return;
        }
        let now = Instant::now();
        if self.phase == Phase::Writing {
            self.least_rate.wait(now - self.waiting_from);
        }
        (self.phase, self.mark) = (phase, mark);
        self.since = now;
        self.waiting_from = now;
    }

    fn due(&self) -> Instant {
        let due = match self.phase {
            Phase::Head => self.since + self.header_read_timeout,
            Phase::Idle => self.since + self.idle_timeout,
            Phase::Answering => self.since.max(self.armed) + LOOK,
            Phase::Writing => {
                let window_ends = self.waiting_from + self.least_rate.left();
                window_ends.min(self.since + self.stalled_write_timeout)
            }
            Phase::Lingering => self.since + LINGER,
        };
        self.end_by.map_or(due, |end_by| due.min(end_by))
    }

    fn expiry(&mut self, activity: &Activity, now: Instant) -> Option<Expiry> {
        if self.end_by.is_some_and(|end_by| now >= end_by) {
            return Some(Expiry::Drained);
        }
        let elapsed = now - self.since;
        match self.phase {
            Phase::Head if elapsed >= self.header_read_timeout => Some(Expiry::HeaderTimeout),
            Phase::Idle if elapsed >= self.idle_timeout => Some(Expiry::Idle),
            Phase::Lingering if elapsed >= LINGER => Some(Expiry::Lingered),
            Phase::Writing if elapsed >= self.stalled_write_timeout => Some(Expiry::StalledWrite),
            Phase::Writing => self.judge_rate(activity, now),
            Phase::Head | Phase::Idle | Phase::Lingering | Phase::Answering => None,
        }
    }

    /// When we have waited for the client a whole window long, it must have taken enough meanwhile.
    fn judge_rate(&mut self, activity: &Activity, now: Instant) -> Option<Expiry> {
        self.least_rate.wait(now - self.waiting_from);
        self.waiting_from = now;
        let written = activity.bytes_written.load(Ordering::Relaxed);
        self.least_rate.is_missed(written).then_some(Expiry::TooSlow)
    }
}

#[cfg(test)]
mod tests;
