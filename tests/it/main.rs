//! The whole edge over real sockets, in front of an origin that does as each test says.

mod access_token;
mod carriers;
mod forwarding;
mod media;
mod playlists;
mod refusals;
mod rewriting;
mod sessions;
mod smoke;
mod support;
