//! The lab: everything for testing players without a network.

pub mod answer;
pub mod live;
pub mod media;
pub mod origin;
pub mod page;
pub mod playlists;
pub mod subtitles;
pub mod token_endpoint;
