//! The methods that a property serves.

use http::{HeaderValue, Method};

/// Methods by name, and how `Allow` says them.
#[derive(Clone, Debug)]
pub struct Methods {
    served: Vec<Method>,
    allow: HeaderValue,
}

/// Why a name is no method that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    #[error("is no method")]
    Name,
    /// RFC 9110 §9.3.6, §9.3.8: one opens a tunnel, the other shows a request with what a trusted peer has put in.
    #[error("is never served")]
    Never,
}

impl Methods {
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut served: Vec<Method> = Vec::new();
        for method in names.into_iter().filter_map(|name| parse(name).ok()) {
            if !served.contains(&method) {
                served.push(method);
            }
        }
        let names: Vec<&str> = served.iter().map(Method::as_str).collect();
        let allow = HeaderValue::from_str(&names.join(", ")).expect("methods are tokens");
        Self { served, allow }
    }

    pub fn has(&self, method: &Method) -> bool {
        self.served.contains(method)
    }

    /// RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response containing a list of the
    /// target resource's currently supported methods."
    pub fn allow(&self) -> &HeaderValue {
        &self.allow
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::new(["GET", "HEAD", "OPTIONS"])
    }
}

/// A method by its name, which is case-sensitive.
pub fn parse(name: &str) -> Result<Method, MethodError> {
    let method = Method::from_bytes(name.as_bytes()).map_err(|_| MethodError::Name)?;
    if method == Method::TRACE || method == Method::CONNECT { Err(MethodError::Never) } else { Ok(method) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_what_allow_says() {
        let methods = Methods::new(["GET", "HEAD", "POST", "M-SEARCH", "GET"]);
        assert_eq!(methods.allow(), "GET, HEAD, POST, M-SEARCH");
        assert!(methods.has(&Method::POST) && !methods.has(&Method::PUT));
        assert_eq!(Methods::default().allow(), "GET, HEAD, OPTIONS");
    }

    #[test]
    fn tunnels_and_traces_are_never_served() {
        assert_eq!(parse("TRACE"), Err(MethodError::Never));
        assert_eq!(parse("CONNECT"), Err(MethodError::Never));
        assert_eq!(parse("P ST"), Err(MethodError::Name));
        assert!(parse("post").is_ok_and(|method| method != Method::POST), "methods are case-sensitive");
    }
}
