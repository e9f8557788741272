//! What is decided: tokens, sessions, policy, rules, playlists, caching. No I/O, no clock, no randomness, nothing async.

pub mod cache;
pub mod cmcd;
pub mod encryption;
pub mod headers;
pub mod manifest;
pub mod network;
pub mod origin_auth;
pub mod policy;
pub mod protection;
pub mod rate;
pub mod revocation;
pub mod rule;
pub mod session;
pub mod token;
pub mod uri;
