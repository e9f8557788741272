//! Access tokens: what a viewer presents first.

pub mod grant;
pub mod reason;
