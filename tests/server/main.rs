//! The server over real sockets: versions, TLS, refusals at the door, limits, drain.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod door;
mod drain;
mod floods;
mod http3;
mod limits;
mod proxy_protocol;
mod support;
mod verification;
mod versions;
