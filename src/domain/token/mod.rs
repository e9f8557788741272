//! Access tokens: what a viewer presents first.

pub mod acl;
pub mod address;
pub mod base64url;
pub mod cat;
pub mod dialect;
pub mod edgeauth;
pub mod explanation;
pub mod grant;
pub mod identity;
pub mod judged_uri;
pub mod jwt;
pub mod key;
pub mod keys;
pub mod media_cdn;
pub mod presented;
pub mod reason;
pub mod secure_link;
pub mod signature;
pub mod validity;
