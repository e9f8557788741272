//! The paths of the operators' listener, each with its methods: what is not listed here is not there.

use http::request::Parts;

use super::problem::Problem;

/// A path. A segment in braces stands for any one, and a last one with a plus in them for all that follows.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub path: &'static str,
    /// As in `Allow`.
    pub methods: &'static str,
    /// Whether it is answered without the operators' token.
    pub is_public: bool,
}

const fn open(path: &'static str) -> Route {
    Route { path, methods: "GET, HEAD", is_public: true }
}

const fn closed(path: &'static str, methods: &'static str) -> Route {
    Route { path, methods, is_public: false }
}

/// All of them; `openapi.json` describes each.
pub const ROUTES: [Route; 24] = [
    open("/"),
    open("/page.css"),
    open("/page.js"),
    open("/healthz"),
    open("/openapi.json"),
    closed("/metrics", "GET, HEAD"),
    closed("/status", "GET, HEAD"),
    closed("/properties", "GET, HEAD"),
    closed("/cache", "GET, HEAD"),
    closed("/top", "GET, HEAD"),
    closed("/reload", "POST"),
    closed("/drain", "POST"),
    closed("/log-level", "GET, HEAD, PUT"),
    closed("/purge", "POST"),
    closed("/revocation-lists", "GET, POST"),
    closed("/revocation-lists/{list}", "GET, DELETE"),
    closed("/revocation-lists/{list}/meta", "GET"),
    closed("/revocation-lists/{list}/properties", "GET"),
    closed("/revocation-lists/{list}/identifiers", "GET"),
    closed("/revocation-lists/{list}/identifiers/add", "POST"),
    closed("/revocation-lists/{list}/identifiers/remove", "POST"),
    closed("/revocation-lists/{list}/identifiers/{+identifier}", "GET"),
    closed("/sessions", "GET"),
    closed("/sessions/{viewing}", "DELETE"),
];

impl Route {
    /// The route of a request, whose method it takes.
    pub(super) fn of(parts: &Parts) -> Result<&'static Self, Problem> {
        let path = parts.uri.path();
        let route = ROUTES.iter().find(|route| route.fits(path)).ok_or_else(|| Problem::not_found(path))?;
        let is_allowed = route.methods.split(", ").any(|method| parts.method == *method);
        is_allowed.then_some(route).ok_or_else(|| Problem::method(route.methods))
    }

    /// What it is called in metrics, and by which it is led to its area.
    pub fn area(&self) -> &'static str {
        match self.path.trim_start_matches('/').split('/').next().unwrap_or_default() {
            "" | "page.css" | "page.js" => "page",
            area => area,
        }
    }

    fn fits(&self, path: &str) -> bool {
        let mut shown = path.split('/');
        for segment in self.path.split('/') {
            let Some(one) = shown.next() else { return false };
            if segment.starts_with("{+") {
                return !one.is_empty();
            }
            let is_any = segment.starts_with('{') && !one.is_empty();
            if !is_any && segment != one {
                return false;
            }
        }
        shown.next().is_none()
    }
}

/// The area that a path belongs to, by its name in metrics; what is unknown has one name for all.
pub(super) fn area(path: &str) -> &'static str {
    ROUTES.iter().find(|route| route.fits(path)).map_or("unknown", Route::area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_of_few_areas() {
        for (path, named) in [
            ("/purge", "purge"),
            ("/metrics", "metrics"),
            ("/healthz", "healthz"),
            ("/revocation-lists/0/meta", "revocation-lists"),
            ("/revocation-lists/0/identifiers/10.0.0.0/8", "revocation-lists"),
            ("/revocation-lists/0/identifiers/", "unknown"),
            ("/sessions", "sessions"),
            ("/sessions/7", "sessions"),
            ("/sessions/7/8", "unknown"),
            ("/", "page"),
            ("/page.js", "page"),
            ("//purge", "unknown"),
            ("/purge/", "unknown"),
            ("/purges", "unknown"),
        ] {
            assert_eq!(area(path), named, "{path}");
        }
    }
}
