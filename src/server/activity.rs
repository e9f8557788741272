//! What goes on in one connection, and the one timer that ends it when too little does.
//!
//! The stream, the bodies and the service note facts in [`Activity`]; after each turn of the connection [`Watch`] reads from
//! them which limit applies. The timer is only moved when a limit falls due before it, or when it fires: requests that
//! follow each other do not touch it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::door::Refusal;
use super::peer::Protocol;
use super::settings::Limits;

/// The facts of one connection. Relaxed throughout: none of them orders access to anything else.
#[derive(Debug, Default)]
pub(super) struct Activity {
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    /// The socket takes no more bytes for the moment.
    pub(super) write_waits: AtomicBool,
    /// A request's head has begun and is not complete.
    pub(super) head_is_open: AtomicBool,
    /// Our side is closed; the rest of the client's bytes is thrown away.
    pub(super) is_lingering: AtomicBool,
    /// The connection ends on a request of which bytes may be unread.
    pub(super) should_linger: AtomicBool,
    /// End by a reset, so that the kernel keeps no bytes for a client that takes none.
    pub(super) should_reset: AtomicBool,
    /// Requests taken and not yet answered to the last byte of the body.
    in_flight: AtomicU32,
    /// Of these, those whose body has a next frame that HTTP/2's flow control does not let out.
    held_back: AtomicU32,
    body_turns: AtomicU32,
    requests: AtomicU32,
    /// The number of the last request in the upper half; what is wrong with it, counted from 1, in the lower.
    last_request: AtomicU64,
}

impl Activity {
    /// Takes in a request; gives its number, from 1.
    pub(super) fn begin_request(&self) -> u32 {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    pub(super) fn end_request(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn hold_back(&self) {
        self.held_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn let_out(&self) {
        self.held_back.fetch_sub(1, Ordering::Relaxed);
        self.body_turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that no request follows the one with this number.
    pub(super) fn set_last_request(&self, number: u32, refusal: Option<Refusal>) {
        let refusal = refusal.map_or(0, |refusal| refusal as u64 + 1);
        self.last_request.store(u64::from(number) << 32 | refusal, Ordering::Relaxed);
    }

    /// What the scanner found about the request with this number.
    pub(super) fn standing(&self, number: u32) -> Standing {
        let last = self.last_request.load(Ordering::Relaxed);
        if last >> 32 != u64::from(number) {
            return Standing::OthersFollow;
        }
        let place = usize::try_from(last & 0xff).ok().and_then(|code| code.checked_sub(1));
        place
            .and_then(|place| Refusal::ALL.get(place))
            .map_or(Standing::Last, |refusal| Standing::Refused(*refusal))
    }

    /// Which limit applies, and a mark that changes with each step forward, upon which the limit counts anew.
    fn phase(&self, protocol: Protocol) -> (Phase, u64) {
        let flag = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let written = self.bytes_written.load(Ordering::Relaxed);
        let requests = self.requests();
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        if flag(&self.is_lingering) {
            (Phase::Lingering, 0)
        } else if flag(&self.write_waits) {
            (Phase::Writing, written)
        } else if in_flight > 0 {
            let held_back = self.held_back.load(Ordering::Relaxed);
            if protocol == Protocol::H2 && held_back >= in_flight {
                return (Phase::Writing, u64::from(self.body_turns.load(Ordering::Relaxed)));
            }
            (Phase::Answering, 0)
        } else {
            match protocol {
                Protocol::H1 if requests == 0 || flag(&self.head_is_open) => {
                    (Phase::Head, u64::from(requests))
                }
                Protocol::H1 => (Phase::Idle, u64::from(requests)),
                Protocol::H2 if self.bytes_read.load(Ordering::Relaxed) == 0 => (Phase::Head, 0),
                // The end of a body may still be on its way out after its request is over; answers to pings are not.
                Protocol::H2 => (Phase::Idle, u64::from(requests) + (written >> 10)),
            }
        }
    }
}

/// A request's place in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    OthersFollow,
    /// Nothing after it is read.
    Last,
    /// The last as well, for its fault.
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Idle,
    /// The handler or the origin works; they have limits of their own.
    Answering,
    /// There are bytes, and the client takes none.
    Writing,
    Lingering,
}

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
    least_bytes_in_window: u64,
    window: Duration,
    phase: Phase,
    mark: u64,
    /// When the phase began or last stepped forward.
    since: Instant,
    /// Up to when waiting for the client is counted into `waited`.
    waiting_from: Instant,
    waited: Duration,
    written_at_window_start: u64,
    armed: Instant,
    end_by: Option<Instant>,
}

impl Watch {
    pub(super) fn new(limits: &Limits, protocol: Protocol, now: Instant) -> Self {
        let idle_timeout = match protocol {
            Protocol::H1 => limits.idle_timeout_h1,
            Protocol::H2 => limits.idle_timeout_h2,
        };
        // A window has to pass some time, or the timer would stand still on it.
        let window = limits.least_rate_window.max(Duration::from_millis(100));
        let window_millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Self {
            protocol,
            header_read_timeout: limits.header_read_timeout,
            idle_timeout,
            stalled_write_timeout: limits.stalled_write_timeout,
            least_bytes_in_window: limits.least_rate.saturating_mul(window_millis) / 1000,
            window,
            phase: Phase::Head,
            mark: 0,
            since: now,
            waiting_from: now,
            waited: Duration::ZERO,
            written_at_window_start: 0,
            armed: now + limits.header_read_timeout,
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

    /// Looks at the connection after a turn of it; `Some` when it has to end. Registers the task with the timer.
    pub(super) fn look(
        &mut self,
        activity: &Activity,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Option<Expiry> {
        self.follow(activity);
        if timer.is_elapsed() {
            let now = Instant::now();
            if let Some(expiry) = self.expiry(activity, now) {
                return Some(expiry);
            }
            self.armed = now;
        }
        loop {
            let due = self.due();
            if due < self.armed || timer.is_elapsed() {
                self.armed = due;
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return None;
            }
            if let Some(expiry) = self.expiry(activity, Instant::now()) {
                return Some(expiry);
            }
            self.armed = Instant::now();
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
            self.waited += now - self.waiting_from;
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
                let window_ends = self.waiting_from + self.window.saturating_sub(self.waited);
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
        self.waited += now - self.waiting_from;
        self.waiting_from = now;
        if self.waited < self.window {
            return None;
        }
        let written = activity.bytes_written.load(Ordering::Relaxed);
        if written - self.written_at_window_start < self.least_bytes_in_window {
            return Some(Expiry::TooSlow);
        }
        self.waited = Duration::ZERO;
        self.written_at_window_start = written;
        None
    }
}

#[cfg(test)]
mod tests;
