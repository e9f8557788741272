//! What is decided: tokens, sessions, policy, playlists, caching. No I/O, no clock, no randomness, nothing async.

pub mod cache;
pub mod encryption;
pub mod headers;
pub mod manifest;
pub mod origin_auth;
pub mod policy;
pub mod session;
pub mod token;
pub mod uri;
