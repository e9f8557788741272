//! HTTP/3: QUIC endpoints, their connections and streams, under the rules and limits of the other versions.
//!
//! A datagram that begins a connection takes a slot like any other connection, but only from an address that is proven:
//! while many handshakes of unproven addresses run, the next client is asked to come back with a token (Retry), so that
//! forged addresses take no room. Each connection is a task, each request a task of it.
//!
//! Threats answered here, beside those of [`super`]: amplification (quinn sends an unproven address at most three times what
//! came from it), replay (0-RTT is off), forged changes of address (a connection ends with the address that it began with,
//! unless migration is allowed), heads without end (`quic`), answers that look whole and are not (`quic`).

pub(super) mod body;
mod connection;
mod endpoint;
mod exchange;
mod pace;
mod quic;

pub(super) use endpoint::{accept, bind};
