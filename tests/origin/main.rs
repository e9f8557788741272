//! The origin side over real sockets: servers that fail, stall and lie, TLS, HTTP/2, redirects and authentication.

mod authentication;
mod connections;
mod edge;
mod limits;
mod redirects;
mod servers;
mod support;
mod tls;
mod truth;
