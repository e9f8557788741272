//! Sluicegate: access control at the edge for HLS video. ARCHITECTURE.md says who may import whom.

pub mod cli;
pub mod clock;
pub mod domain;
pub mod entropy;
pub mod lab;
pub mod server;
