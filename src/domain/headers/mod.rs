//! Header rules as data: what goes no further than one hop, how a viewer is described to the origin, CORS.

pub mod cors;
pub mod forwarding;
pub mod hop;

use http::HeaderMap;
use http::header::HeaderName;

/// Removes fields that are mostly absent: to compare a name with the few that are there costs less than to look it up.
pub fn remove_all(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        if headers.keys().any(|present| present == name) {
            headers.remove(name);
        }
    }
}
