//! Access tokens: what a viewer presents first.

pub mod acl;
pub mod address;
pub mod edgeauth;
pub mod grant;
pub mod key;
pub mod reason;
