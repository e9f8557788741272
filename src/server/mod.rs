//! Listeners, TLS, HTTP versions, connection limits and drain; what answers a request is given as a handler.
//!
//! One task per connection. Its way: an accepted socket takes a slot (total, per address), says whose it is where a balancer
//! stands before it ([`proxy_protocol`]), does its TLS handshake, is given to hyper as HTTP/1.1 or HTTP/2, and is watched by
//! one timer until it ends. HTTP/3 (`http3`) has its own way in. Requests that no handler should see
//! are refused at the door: what only the bytes show by `head`, the rest by [`door`].
//!
//! Threats answered here: slow handshakes, heads and readers; idle connections; too many connections in all or of one
//! address; request smuggling; oversized heads; HTTP/2 floods (by h2's own limits).

mod activity;
mod body;
pub mod challenges;
mod connection;
pub mod counters;
pub mod door;
mod drain;
pub mod given;
mod head;
mod http3;
pub mod incoming;
mod least_rate;
pub mod listen;
mod outbox;
pub mod peer;
mod protocol;
pub mod proxy_protocol;
mod sending;
mod service;
pub mod settings;
mod slots;
mod stream;
pub mod tls;
mod watch;
