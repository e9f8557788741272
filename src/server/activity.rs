//! What goes on in one connection: facts that the stream, the bodies and the service note, and the watch reads.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::door::Refusal;
use super::peer::Protocol;

/// The facts of one connection. Relaxed throughout: none of them orders access to anything else.
#[derive(Debug, Default)]
pub(super) struct Activity {
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    /// The socket takes no more bytes for the moment.
    pub(super) write_waits: AtomicBool,
    /// A flush was put off; the connection has to be polled once more.
    pub(super) has_unsent: AtomicBool,
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

    /// Whether a connection of HTTP/1 that is drained goes on until a request came: one has begun, or nothing goes on and
    /// it `may_idle`.
    pub(super) fn awaits_request(&self, may_idle: bool) -> bool {
        let has_begun = self.head_is_open.load(Ordering::Relaxed);
        let is_lingering = self.is_lingering.load(Ordering::Relaxed);
        self.in_flight.load(Ordering::Relaxed) == 0 && !is_lingering && (has_begun || may_idle)
    }

    /// Which limit applies, and a mark that changes with each step forward, upon which the limit counts anew.
    pub(super) fn phase(&self, protocol: Protocol) -> (Phase, u64) {
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
            if protocol != Protocol::H1 && held_back >= in_flight {
                return (Phase::Writing, u64::from(self.body_turns.load(Ordering::Relaxed)));
            }
            (Phase::Answering, 0)
        } else {
            match protocol {
                Protocol::H1 if requests == 0 || flag(&self.head_is_open) => {
                    (Phase::Head, u64::from(requests))
                }
                Protocol::H1 => (Phase::Idle, u64::from(requests)),
                Protocol::H2 | Protocol::H3 if self.bytes_read.load(Ordering::Relaxed) == 0 => {
                    (Phase::Head, 0)
                }
                // The end of a body may still be on its way out after its request is over; answers to pings are not.
                Protocol::H2 | Protocol::H3 => (Phase::Idle, u64::from(requests) + (written >> 10)),
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
pub(super) enum Phase {
    Head,
    Idle,
    /// The handler or the origin works; they have limits of their own.
    Answering,
    /// There are bytes, and the client takes none.
    Writing,
    Lingering,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_request_and_its_fault_are_found_by_number() {
        let activity = Activity::default();
        assert_eq!(activity.standing(1), Standing::OthersFollow);
        activity.set_last_request(3, None);
        assert_eq!(activity.standing(2), Standing::OthersFollow);
        assert_eq!(activity.standing(3), Standing::Last);
        activity.set_last_request(4, Some(Refusal::TargetTooLong));
        assert_eq!(activity.standing(4), Standing::Refused(Refusal::TargetTooLong));
    }
}
