//! The server over real sockets: versions, TLS, refusals at the door, limits, drain.

mod door;
mod drain;
mod limits;
mod support;
mod versions;
