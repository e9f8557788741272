//! What the origin sent, kept without tokens and shared by all viewers. Playlists are personalised after it.

pub mod counters;
pub mod flights;
pub mod key;
pub mod memory;
pub mod object;
pub mod playlists;
pub mod purge;
pub mod slabs;
