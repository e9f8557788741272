//! Access tokens: what a viewer presents first.

pub mod acl;
pub mod address;
pub mod dialect;
pub mod edgeauth;
pub mod explanation;
pub mod grant;
pub mod key;
pub mod keys;
pub mod presented;
pub mod reason;
