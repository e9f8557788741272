//! What a verified access token allows: the one thing in which every dialect ends.
//!
//! Whatever the dialect, a grant becomes a session of ours in one way:
//!
//! * what may be fetched: a [`Scope::Acl`] is the session's ACL where `carry` names `acl`; every other scope was judged by
//!   its dialect for the request at hand and has no text that a session could carry, so that the session is good for `/*`;
//! * until when: the session's life is the media's, not the access token's;
//! * by whom, with which id and payload: carried on where `carry` names `ip`, `id`, `data`.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

/// A verified access token: what may be fetched, until when, by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub scope: Scope,
    /// Unix time, seconds, at which the access token ends; `u64::MAX` for one without an end.
    pub expires: u64,
    pub clients: Clients,
    pub session_id: Option<String>,
    pub payload: Option<String>,
    /// What tells the token from all others that its key signed, in dialects that have such a thing.
    pub nonce: Option<Nonce>,
    /// Which of the property's keys verified it: its name in the configuration, or the key's own (`kid`).
    pub key_name: Arc<str>,
}

/// A token's own number: a digest of the id that it has, or of all its claims.
pub type Nonce = [u8; 16];

/// What may be fetched. The request at hand is covered, whatever this says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Patterns separated by `!`, as [`super::acl`] reads them.
    Acl(String),
    /// The one URL that was signed.
    Url,
    /// A condition of the dialect's own (an expression, a hash, a header) that no ACL can say.
    Condition,
}

/// By whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    Any,
    /// The text of an address, as it was signed.
    Address(String),
    Networks(Vec<IpNet>),
}

/// Unix time as the domain sees it: a point in time that somebody else read from a clock.
pub type UnixTime = Duration;
