//! What operators see: metrics and the access log. No token, cookie or signed query passes through unredacted.

pub mod access_log;
pub mod build;
pub mod diagnostics;
pub mod histogram;
pub mod metrics;
pub mod redact;
pub mod times;
pub mod top;
pub mod traces;
