//! Header rules as data: what goes no further than one hop, how a viewer is described to the origin, CORS.

pub mod change;
pub mod cors;
pub mod forwarding;
pub mod hop;
pub mod listed;
pub mod trace_context;
