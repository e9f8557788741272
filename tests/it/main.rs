//! The whole edge over real sockets, in front of an origin that does as each test says.

#![expect(
    clippy::format_push_string,
    clippy::unused_async,
    reason = "a test reads best as it is said, in short strings; what starts a task needs a runtime around it"
)]

mod access_token;
mod acme;
mod admin;
mod auth_token;
mod balancers;
mod bursts;
mod cache_rules;
mod carriers;
mod changes;
mod client_certificates;
mod commands;
mod disk;
mod encryption;
mod fleet;
mod forwarding;
mod http;
mod keys;
mod leaks;
mod log_schema;
mod low_latency;
mod media;
mod media_cdn;
mod metrics_page;
mod moved;
mod objects;
mod operators;
mod paths;
mod playlists;
mod prefetch;
mod protection;
mod purge;
mod rates;
mod redaction;
mod refusals;
mod reload;
mod restart;
mod revocation;
mod rewriting;
mod rules;
mod secure_link;
mod sendfile;
mod sessions;
mod shield;
mod shield_sessions;
mod signed_claims;
mod slices;
mod smoke;
mod stale_playlists;
mod support;
mod traces;
