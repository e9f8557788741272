//! What HTTP says of keeping an answer (RFC 9111), as functions of `now`.

pub mod date;
pub mod directives;
pub mod exchange;
pub mod freshness;
pub mod list;
pub mod rules;
pub mod storable;
pub mod structured;
pub mod targeted;
pub mod vary;
