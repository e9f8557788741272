//! Which one-time tokens have been used through this edge.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::token::grant::UnixTime;

/// By what a token is recognised: a digest of what its signature covers.
pub type TokenKey = [u8; 16];

#[derive(Debug)]
pub(super) struct Tokens {
    used: Mutex<HashMap<TokenKey, Used>>,
    tokens_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) address: IpAddr,
    pub(super) first: UnixTime,
    /// Unix time from which on the token is no good anyhow.
    pub(super) ends: UnixTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    First,
    /// The same viewer again, a moment later.
    Retry,
    Replay,
    /// There is no room for another.
    Full,
}

impl Tokens {
    pub(super) fn new(tokens_max: usize) -> Self {
        Self { used: Mutex::new(HashMap::new()), tokens_max }
    }

    /// What is known of a token here.
    pub(super) fn known(
        &self,
        token: &TokenKey,
        address: IpAddr,
        retry: Duration,
        now: UnixTime,
    ) -> Option<Use> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(token).map(|used| {
            let is_retry = used.address == address && now.saturating_sub(used.first) <= retry;
            if is_retry { Use::Retry } else { Use::Replay }
        })
    }

    /// Judges and notes a use in one step.
    pub(super) fn take(&self, token: TokenKey, by: Used, retry: Duration) -> Use {
        let now = by.first;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(past) = used.get(&token) {
            let is_retry = past.address == by.address && now.saturating_sub(past.first) <= retry;
            return if is_retry { Use::Retry } else { Use::Replay };
        }
        if used.len() >= self.tokens_max {
            used.retain(|_, used| used.ends > now);
        }
        if used.len() >= self.tokens_max {
            return Use::Full;
        }
        used.insert(token, by);
        Use::First
    }

    /// Notes what the fleet or a file said.
    pub(super) fn note(&self, token: TokenKey, used: Used) {
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < self.tokens_max {
            all.entry(token).or_insert(used);
        }
    }

    pub(super) fn forget(&self, now: UnixTime) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, used| used.ends > now);
    }

    pub(super) fn count(&self) -> usize {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_secs(10);

    fn by(address: u8, second: u64) -> Used {
        Used {
            address: IpAddr::from([10, 0, 0, address]),
            first: Duration::from_secs(second),
            ends: Duration::from_secs(100),
        }
    }

    #[test]
    fn a_token_is_good_once_and_for_a_retry_of_the_same_viewer() {
        let tokens = Tokens::new(10);
        assert_eq!(tokens.take([1; 16], by(1, 0), RETRY), Use::First);
        assert_eq!(tokens.take([1; 16], by(1, 10), RETRY), Use::Retry);
        assert_eq!(tokens.take([1; 16], by(2, 1), RETRY), Use::Replay);
        assert_eq!(tokens.take([1; 16], by(1, 11), RETRY), Use::Replay);
        assert_eq!(tokens.take([2; 16], by(2, 1), RETRY), Use::First);
    }

    #[test]
    fn a_token_that_has_ended_makes_room_and_no_other_does() {
        let tokens = Tokens::new(1);
        assert_eq!(tokens.take([1; 16], by(1, 0), RETRY), Use::First);
        assert_eq!(tokens.take([2; 16], by(1, 99), RETRY), Use::Full);
        assert_eq!(tokens.take([2; 16], by(1, 100), RETRY), Use::First);
    }
}
