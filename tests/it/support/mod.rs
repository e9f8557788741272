//! What the tests share: an edge on a free port, an origin that records what it is asked, a plain client.

pub mod client;
pub mod edge;
pub mod logged;
pub mod mmdb;
pub mod origin;
pub mod pebble;
pub mod player;
pub mod program;
pub mod redis;
pub mod script;
pub mod stage;
pub mod tls;
pub mod token;

pub use client::{Reply, get, request};
pub use edge::TestEdge;
pub use origin::{Answer, TestOrigin};

/// The key of all test properties, and a token signed with it.
pub const KEY: &str = "eee7e9157f81b2f6d471bf2c";

/// The time at which the clocks of all tests begin.
pub const START: u64 = 1_700_000_000;

/// The values of a header field of a head, joined by a comma.
pub fn field(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let values: Vec<&str> =
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}
