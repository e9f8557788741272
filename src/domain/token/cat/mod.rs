//! Common Access Tokens (CTA-5007): CBOR Web Tokens (RFC 8392) under a COSE MAC or signature (RFC 9052).
//!
//! ```text
//! token  = base64url([61] 17 [protected, {4: kid}, claims, tag])            COSE_Mac0: HS256
//!        | base64url([61] 18 [protected, {4: kid}, claims, signature])      COSE_Sign1: ES256, EdDSA
//! claims = {1: iss, 2: sub, 3: aud, 4: exp, 5: nbf, 6: iat, 7: cti, 310: catv, 311: catnip, 312: catu, 313: catm, 315: cath, …}
//! ```
//!
//! | claim | what becomes of it |
//! |---|---|
//! | `exp`, `nbf`, `iss`, `aud`, `catv` | judged; version 1 |
//! | `catu` | every component that it names has to match in every way it says ([`matching`]) |
//! | `catm`, `cath` | the method is one of these; each of these header fields has a value that matches |
//! | `catnip` | the client is in one of these networks, or its network has one of these numbers where that is known |
//! | `catgeoiso3166` | the client's country is one of these; refused where it is not known |
//! | `catreplay` | 0 and 2 are met (what a viewer goes on with is a session of ours); 1 is met where uses are counted, refused elsewhere |
//! | `catif`, `catifdata`, `catr` | passed over: they say what to answer and how to renew, and never admit anybody |
//! | `catpor`, `catalpn`, `catgeocoord`, `catgeoalt`, `geohash`, `cattpk`, `cattprint`, `catdpop`, `cnf` | refused: nobody here can judge them |
//! | any other | refused, unless the configuration says that it may be passed over |
//!
//! What is answered: forgery and alg confusion (a key has one algorithm; an unprotected `alg` is refused); truncated MACs
//! (HS256/64 is no algorithm here); doubled labels; deep or large CBOR (bounded text, bounded depth, bounded claims); claims
//! whose limits a reader does not know; expressions that cost (linear time, bounded, compiled only once the signature holds).

mod cbor;
pub mod claims;
mod cose;
mod judge;
pub mod matching;
pub mod sign;
pub mod verify;

#[cfg(test)]
mod tests;

use std::time::Duration;

/// Bounds that are checked before or right after the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub token_bytes_max: usize,
    pub claims_max: usize,
    /// Matches, networks, methods and header fields, each.
    pub items_max: usize,
    pub expression_bytes_max: usize,
    pub program_bytes_max: usize,
    pub session_id_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token_bytes_max: 4096,
            claims_max: 32,
            items_max: 32,
            expression_bytes_max: 1024,
            program_bytes_max: 256 * 1024,
            session_id_bytes_max: 64,
        }
    }
}

/// How one property's tokens are read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names of ours, one of which an `aud` claim has to hold. None: a token for somebody in particular is refused.
    pub audiences: Vec<String>,
    /// Whether a token without `exp` is refused.
    pub expiry_required: bool,
    pub expiry_skew: Duration,
    pub start_skew: Duration,
    /// How far ahead `exp` may lie.
    pub expiry_ahead_max: Option<Duration>,
    /// Whether somebody counts how often a token is used, so that one may ask to be good once.
    pub uses_counted: bool,
    /// Claims that may be passed over though nobody here can judge them.
    pub claims_ignored: Vec<claims::Label>,
    pub limits: Limits,
}
