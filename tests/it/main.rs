//! The whole edge over real sockets, in front of an origin that does as each test says.

mod commands;
mod forwarding;
mod http;
mod media;
mod playlists;
mod rewriting;
mod smoke;
mod support;
