//! `EdgeAuth` access tokens, compatible with Akamai's SDKs and edges to the byte.
//!
//! ```text
//! fields     = [ip=E(ip)] [st=N] exp=N [acl=A!B…] [id=E(session id)] [data=E(payload)]     in this order
//! hash input = fields + [url=E(url), when there is no acl] + [salt=S]                       joined by "~"
//! hmac       = lower-case hex of HMAC-SHA256 | SHA1 | MD5 (hex-decoded key, hash input)
//! token      = fields + hmac=…                                                              joined by "~"
//! ```
//!
//! `E` is the identity or one of the SDKs' URL escapers ([`dialect::Dialect`]). Where the SDKs disagree, Python's is followed in
//! signing, and every other one is accepted in verifying:
//!
//! | topic | Python (followed) | others |
//! |---|---|---|
//! | escaper: space `!` `(` `)` `*` `~` | `+` `%21` `%28` `%29` `%2a` `~` | Node `%20 ! ( ) %2a %7e`; Java `+ %21 %28 %29 * %7e`; Ruby as Python |
//! | ACL under escaping | raw | Java and the 2.0.x tools escape it: accepted, read decoded |
//! | empty ip, id, payload | left out | Java and Ruby write `ip=~`: refused as malformed, since it would admit everybody |
//! | `start_time` 0 | no start | Ruby: an error |
//! | `end_time` 0 | `exp=0` | all others: an error |
//! | key not hex, odd, `0x` | an error (`0x` is taken off here) | Node and Ruby sign with garbage: such tokens are refused |
//!
//! What is answered: forgery (constant-time HMAC, the algorithm configured and never read off the token); a payload that
//! carries further fields (only the string whose HMAC matched is parsed, in one order, each field once); a URL token shown as
//! an ACL token (`url` and `salt` may not stand in a token); unbounded work (limits before the first hash).

use std::time::Duration;

use super::address::AddressMatch;
use super::key::{Algorithm, Secret};
use super::keys::Keys;

mod cures;
pub mod dialect;
pub mod explain;
pub mod fields;
pub mod sign;
pub mod verify;

#[cfg(test)]
mod tests;

/// What separates fields, and the patterns of an ACL. The real edge knows only the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiters {
    pub field: char,
    pub acl: char,
}

impl Default for Delimiters {
    fn default() -> Self {
        Self { field: '~', acl: '!' }
    }
}

/// Bounds that are checked before or right after the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub token_bytes_max: usize,
    pub fields_max: usize,
    pub acl_patterns_max: usize,
    pub acl_bytes_max: usize,
    pub session_id_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token_bytes_max: 4096,
            fields_max: 16,
            acl_patterns_max: 32,
            acl_bytes_max: 2048,
            session_id_bytes_max: 64,
        }
    }
}

/// How one property's access tokens are made and judged.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In the order in which they are tried: the primary first, then the transition key.
    pub keys: Keys<Secret>,
    /// Allowed salts, tried in order; a token has to carry one of them. None: tokens are unsalted.
    pub salts: Vec<Secret>,
    pub algorithm: Algorithm,
    /// Whether signers escape the URL, ip, id and payload first.
    pub escape_inputs: bool,
    /// Whether URL tokens are signed for the path alone.
    pub ignore_query: bool,
    /// How long after `exp` a token is still good.
    pub expiry_skew: Duration,
    /// How long before `st` a token is already good.
    pub start_skew: Duration,
    /// How far ahead `exp` may lie.
    pub expiry_ahead_max: Option<Duration>,
    pub address_match: AddressMatch,
    pub delimiters: Delimiters,
    pub limits: Limits,
}

impl Settings {
    /// One key named "key", everything else as the SDKs have it.
    pub fn with_key(key: Secret) -> Self {
        Self {
            keys: Keys::of([("key", key)]),
            salts: Vec::new(),
            algorithm: Algorithm::Sha256,
            escape_inputs: false,
            ignore_query: false,
            expiry_skew: Duration::ZERO,
            start_skew: Duration::from_secs(5),
            expiry_ahead_max: None,
            address_match: AddressMatch::EXACT,
            delimiters: Delimiters::default(),
            limits: Limits::default(),
        }
    }
}
