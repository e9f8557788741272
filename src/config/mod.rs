//! Configuration in two stages.

pub mod file;
pub mod secret;
pub mod units;
