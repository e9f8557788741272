//! Hop-by-hop header fields: what one connection says to its other end, and nobody else may hear.

use http::HeaderMap;
use http::header::{
    CONNECTION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::listed;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Fields that stay even when `Connection` names them: the message would change its meaning without them.
const END_TO_END: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "content-range",
    "cookie",
    "set-cookie",
    "authorization",
    "range",
    "if-range",
    "cache-control",
    "date",
    "vary",
];

/// Removes the hop-by-hop fields, and those that `Connection` nominates.
///
/// RFC 9110 §7.6.1: "Intermediaries MUST parse a received Connection header field before a message is forwarded
/// and, for each connection-option in this field, remove any header or trailer field(s) from the message with the
/// same name". "A sender MUST NOT send a connection option corresponding to a field that is intended for all
/// recipients of the content": such a nomination is not honoured, so that nobody can have `Cookie` dropped.
pub fn strip(headers: &mut HeaderMap) {
    if !listed::has_any(headers, &HOP_BY_HOP) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        let nominated: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .filter(|name| !END_TO_END.contains(&name.as_str()) && !name.as_str().starts_with("x-forwarded-"))
            .collect();
        for name in nominated {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn stripped(fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut names: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn hop_by_hop_fields_go_no_further() {
        let left = stripped(&[
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
        ]);
        assert_eq!(left, ["accept"]);
    }

    #[test]
    fn fields_named_in_connection_go_no_further() {
        assert_eq!(
            stripped(&[("connection", "X-Once , close"), ("x-once", "1"), ("x-twice", "2")]),
            ["x-twice"]
        );
    }

    #[test]
    fn a_client_cannot_have_an_end_to_end_field_dropped() {
        let left = stripped(&[
            ("connection", "Cookie, Host, Content-Length, Authorization"),
            ("cookie", "a=b"),
            ("host", "h"),
        ]);
        assert_eq!(left, ["cookie", "host"]);
    }
}
