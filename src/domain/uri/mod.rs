//! The parts of a request target: the one path that is checked and used, query parameters, percent-escapes.

pub mod escape;
pub mod hex;
pub mod parts;
pub mod path;
pub mod query;
