//! What started this process, and what follows it: sockets that were opened before it, readiness and the watchdog of a
//! service manager, a successor that takes the sockets over, and whom the process runs as.

pub mod given;
pub mod manager;
pub mod privileges;
pub mod successor;
