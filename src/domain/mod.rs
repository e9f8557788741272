//! What is decided: tokens, sessions, policy, playlists, caching. No I/O, no clock, no randomness, nothing async.

pub mod manifest;
pub mod session;
pub mod token;
pub mod uri;
