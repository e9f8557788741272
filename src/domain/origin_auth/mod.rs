//! How a request proves to an origin that it comes from this edge: the pure part, with times and nonces as arguments.

pub mod base64;
pub mod g2o;
pub mod sigv4;
