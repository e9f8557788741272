//! What a verified access token allows: the one thing in which every dialect ends.

use std::time::Duration;

/// A verified access token: what may be fetched, until when, by whom.
///
/// `acl`, `ip`, `session_id` and `payload` are the texts as they stood in the signed string whose HMAC matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The ACL, patterns separated by `!`; `None` for a token that was signed for one URL.
    pub acl: Option<String>,
    /// Unix time, seconds, at which the access token ends.
    pub expires: u64,
    pub ip: Option<String>,
    pub session_id: Option<String>,
    pub payload: Option<String>,
    /// Which of the property's keys verified it: its name in the configuration (`key`, `transition_key`).
    pub key_name: &'static str,
}

/// Unix time as the domain sees it: a point in time that somebody else read from a clock.
pub type UnixTime = Duration;
