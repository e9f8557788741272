//! What the origin sent, kept without tokens and shared by all viewers. Playlists are personalised after it.

pub mod flights;
pub mod playlists;
