//! The whole edge over real sockets, in front of an origin that does as each test says.

mod access_token;
mod carriers;
mod leaks;
mod paths;
mod refusals;
mod sessions;
mod smoke;
mod support;
