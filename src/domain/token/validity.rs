//! When a token is good: the same judgement of times for every dialect. Times are Unix seconds, saturating at the end of time.

use std::time::Duration;

use super::grant::UnixTime;
use super::reason::Reason;

/// A token that begins when it ends, or later, was never good.
pub fn in_order(start: Option<u64>, end: u64) -> Result<(), Reason> {
    if start.is_some_and(|start| start >= end) { Err(Reason::Malformed) } else { Ok(()) }
}

/// Its start may lie so far ahead as clocks may differ.
pub fn begun(start: Option<u64>, skew: Duration, now: UnixTime) -> Result<(), Reason> {
    let earliest = now.saturating_add(skew);
    let has_begun = start.is_none_or(|start| Duration::from_secs(start) <= earliest);
    if has_begun { Ok(()) } else { Err(Reason::NotYetValid) }
}

/// It ends with the second that it names, and the skew.
pub fn unended(end: u64, skew: Duration, now: UnixTime) -> Result<(), Reason> {
    if now < Duration::from_secs(end).saturating_add(skew) { Ok(()) } else { Err(Reason::Expired) }
}

/// Its end may lie no further ahead than the operator allows.
pub fn near(end: u64, ahead_max: Option<Duration>, now: UnixTime) -> Result<(), Reason> {
    let bound = ahead_max.map(|ahead| now.saturating_add(ahead));
    if bound.is_none_or(|bound| Duration::from_secs(end) <= bound) {
        Ok(())
    } else {
        Err(Reason::ExpiryTooFar)
    }
}
