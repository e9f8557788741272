//! What HTTP says of keeping an answer (RFC 9111), as functions of `now`.

pub mod freshness;
pub mod range;
