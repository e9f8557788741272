//! The story of one judgement, as `sluicegate token explain` tells it; every dialect tells its own.

use serde::Serialize;

use super::reason::Reason;

/// Everything that decided over a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub valid: bool,
    /// The word of the first failure.
    pub reason: Option<&'static str>,
    /// How the presented text was read.
    pub form: Option<String>,
    /// The name of the key that verified it.
    pub key: Option<String>,
    /// What was signed, secrets shown as `<salt>` and `<secret>`.
    pub string_to_sign: Option<String>,
    pub checks: Vec<Outcome>,
    pub cures: Vec<String>,
}

/// How one check came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub check: &'static str,
    /// `ok`, the word of the reason, or `not reached`.
    pub outcome: &'static str,
    pub detail: String,
}

impl Explanation {
    pub fn passed(&mut self, check: &'static str, detail: String) {
        self.checks.push(Outcome { check, outcome: "ok", detail });
    }

    /// The first failure is the reason.
    pub fn failed(&mut self, check: &'static str, reason: Reason, detail: String) {
        self.reason.get_or_insert(reason.as_str());
        self.checks.push(Outcome { check, outcome: reason.as_str(), detail });
    }

    /// With the verdict that follows from the checks.
    #[must_use]
    pub fn concluded(mut self) -> Self {
        self.valid = self.reason.is_none();
        self
    }
}
