//! The result of the token check in a word, and sets of such words.

use std::fmt;

use crate::domain::token::reason::Reason;

/// What the token check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenResult {
    /// A session or an access token verified.
    Valid,
    /// [`Reason::NoToken`] where none was shown, or the property asks for none.
    Failed(Reason),
}

/// A set of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenResults(u64);

/// For [`Reason::NoToken`] in configurations, beside its own word.
const NONE: &str = "none";
/// For every reason but [`Reason::NoToken`]: a token was shown and is not good.
const INVALID: &str = "invalid";

impl TokenResult {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Failed(reason) => reason.as_str(),
        }
    }

    const fn bit(self) -> u64 {
        match self {
            Self::Valid => 1,
            Self::Failed(reason) => 2 << reason as u32,
        }
    }

    /// `valid`, `none`, or a reason's word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "valid" => Some(Self::Valid),
            NONE => Some(Self::Failed(Reason::NoToken)),
            _ => Reason::ALL.into_iter().find(|reason| reason.as_str() == word).map(Self::Failed),
        }
    }
}

impl TokenResults {
    pub fn contains(self, result: TokenResult) -> bool {
        self.0 & result.bit() != 0
    }

    /// Adds what a word means; `false` for a word that means nothing.
    pub fn add(&mut self, word: &str) -> bool {
        if word == INVALID {
            let shown = Reason::ALL.into_iter().filter(|reason| *reason != Reason::NoToken);
            self.0 |= shown.fold(0, |bits, reason| bits | TokenResult::Failed(reason).bit());
            return true;
        }
        let Some(result) = TokenResult::parse(word) else { return false };
        self.0 |= result.bit();
        true
    }
}

impl fmt::Display for TokenResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = std::iter::once(TokenResult::Valid).chain(Reason::ALL.map(TokenResult::Failed));
        let words: Vec<&str> = all.filter(|result| self.contains(*result)).map(TokenResult::as_str).collect();
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_a_word_and_a_bit_of_its_own() {
        const { assert!(Reason::ALL.len() < 63, "a set has 64 bits") };
        for result in std::iter::once(TokenResult::Valid).chain(Reason::ALL.map(TokenResult::Failed)) {
            assert_eq!(TokenResult::parse(result.as_str()), Some(result));
            let mut set = TokenResults::default();
            assert!(set.add(result.as_str()));
            assert_eq!(set.0.count_ones(), 1);
            assert!(set.contains(result));
        }
        assert_eq!(TokenResult::parse("none"), Some(TokenResult::Failed(Reason::NoToken)));
        assert!(!TokenResults::default().add("expird"));
    }

    #[test]
    fn invalid_is_every_failure_of_a_token_that_was_shown() {
        let mut set = TokenResults::default();
        assert!(set.add("invalid"));
        assert!(set.contains(TokenResult::Failed(Reason::Expired)));
        assert!(!set.contains(TokenResult::Failed(Reason::NoToken)));
        assert!(!set.contains(TokenResult::Valid));
    }
}
