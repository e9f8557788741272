//! Sluicegate: access control at the edge for HLS video. ARCHITECTURE.md says who may import whom.

pub mod acme;
pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod edge;
pub mod entropy;
pub mod fleet;
pub mod geo;
pub mod lab;
pub mod memory_file;
pub mod origin;
pub mod server;
pub mod store;
pub mod supervision;
pub mod telemetry;
pub mod trust;
