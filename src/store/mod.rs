//! What the origin sent, kept without tokens and shared by all viewers. Playlists are personalised after it.

pub mod counters;
pub mod disk;
pub mod fill;
pub mod fills;
pub mod flights;
pub mod flow;
pub mod key;
pub mod memory;
pub mod object;
pub mod playlists;
pub mod purge;
pub mod recent;
pub mod slabs;
pub mod tiers;
