//! JWT access tokens: URI signing as RFC 9246 has it, and plain JWTs whose claims are named in the configuration.
//!
//! ```text
//! token   = base64url(header) "." base64url(claims) "." base64url(signature)          RFC 7515 §7.1
//! header  = {"alg": …, "kid": …}
//! claims  = {"cdniuc": "hash:sha-256;…" | "regex:…", "exp": …, "nbf": …, "iss": …, "aud": …, "jti": …,
//!            "cdniv": 1, "cdnicrit": …, "cdniip": JWE, "sub": JWE, "cdniets": …, "cdnistt": …, "cdnistd": …}
//! ```
//!
//! What is judged is the URI without its signing package, in the normal form of RFC 3986 §6.2.2 and §6.2.3
//! ([`crate::domain::token::judged_uri`]); an expression has to match the whole of it.
//!
//! | claim | what becomes of it |
//! |---|---|
//! | `cdniuc` | has to be there, and to match |
//! | `exp`, `nbf` | judged without leeway (RFC 9246 §2.1.4: "MUST NOT allow for any time-synchronization leeway") |
//! | `iss` | has to be an issuer of the very key that verified |
//! | `aud` | has to name one of ours |
//! | `cdniv`, `cdnicrit` | another version, or an extension that is called critical: refused |
//! | `cdniip`, `sub` | JWEs (`dir` with AES-GCM); in the clear refused unless the configuration lets them be |
//! | `jti` | the token is good once, where uses are counted; refused where nobody keeps count |
//! | `cdniets`, `cdnistt`, `cdnistd` | read strictly, then passed over: our session token is the renewal |
//! | any other | passed over, as RFC 7519 §4 says, unless `cdnicrit` names it |
//!
//! What is answered: forgery and alg confusion (a key has one algorithm, and the header's is only compared); `crit` headers;
//! members that stand twice; keys named or carried by the token (`jku`, `x5u`, `jwk` are never looked at); expressions that cost
//! (linear time, bounded text and program, compiled only once the signature holds).

mod claims;
pub mod compact;
pub mod container;
pub mod expression;
mod json;
mod judge;
pub mod jwe;
pub mod jwk;
pub mod package;
pub mod sign;
pub mod verify;

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::address::AddressMatch;

/// Bounds that are checked before or right after the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub token_bytes_max: usize,
    /// Members of the header and of the claims, each.
    pub claims_max: usize,
    /// The text of an expression.
    pub expression_bytes_max: usize,
    /// What an expression may take once it is compiled.
    pub program_bytes_max: usize,
    pub session_id_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token_bytes_max: 4096,
            claims_max: 32,
            expression_bytes_max: 1024,
            program_bytes_max: 256 * 1024,
            session_id_bytes_max: 64,
        }
    }
}

/// How one property's tokens are read.
#[derive(Clone, Debug)]
pub struct Settings {
    pub profile: Profile,
    pub nonce: Nonce,
    /// Names of ours, one of which an `aud` claim has to hold. None: a token for somebody in particular is refused.
    pub audiences: Vec<String>,
    /// Whether a token without `exp` is refused.
    pub expiry_required: bool,
    /// How far ahead `exp` may lie.
    pub expiry_ahead_max: Option<Duration>,
    pub limits: Limits,
}

/// What a `jti` claim means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonce {
    /// The token asks to be good once, which nobody counts: it is refused.
    #[default]
    Refused,
    /// It names the session where nothing else does.
    Names,
    /// It is what the token is told from others by where uses are counted; and it names the session, as above.
    Counted,
}

/// Which claims say what may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 9246.
    UriSigning {
        /// Whether `sub` and `cdniip` may stand in the clear, against the RFC.
        clear_personal_data: bool,
    },
    /// Whatever is agreed on with the issuer.
    Plain(Plain),
}

/// A plain JWT's claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Names the patterns of paths that may be fetched, as an ACL has them: a text or a list of texts. A token without it is
    /// good for nothing.
    pub paths_claim: String,
    /// Names the session id.
    pub session_id_claim: String,
    /// Names the client's address or network; none is compared where this is empty.
    pub address_claim: String,
    pub expiry_skew: Duration,
    pub start_skew: Duration,
    pub address_match: AddressMatch,
}
