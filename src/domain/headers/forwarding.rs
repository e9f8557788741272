//! How a viewer is described to the origin, and which address is the viewer's.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{COOKIE, FORWARDED, HeaderName, HeaderValue, REFERER};
use ipnet::IpNet;

use super::{change, listed};

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_SERVER: HeaderName = HeaderName::from_static("x-forwarded-server");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What a client may claim of itself in these is not passed on: neither who it is, nor, in words that only some servers
/// understand, which host, path or method it meant. The answer would be kept for those who ask for what stands in the key.
static CLAIMS: [HeaderName; 22] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_FORWARDED_SERVER,
    X_REAL_IP,
    FORWARDED,
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-path"),
    HeaderName::from_static("x-forwarded-uri"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("front-end-https"),
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    // CGI makes of it HTTP_PROXY, which programs take for their own proxy.
    HeaderName::from_static("proxy"),
    HeaderName::from_static("x-url-scheme"),
];

/// In which words the origin is told of the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `X-Forwarded-For`, `-Proto`, `-Host`
    XForwarded,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    Off,
}

/// The viewer as the origin may know it.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    pub address: IpAddr,
    pub scheme: &'static str,
    pub host: &'a str,
}

/// Writes the forwarding fields anew; what the client claimed in them is not passed on.
pub fn describe(headers: &mut HeaderMap, style: Style, viewer: Viewer<'_>) {
    listed::remove(headers, &CLAIMS);
    // A gateway behind us may read `X_Real_IP` as `X-Real-IP`.
    if headers.keys().any(|name| name.as_str().contains(['_', '.'])) {
        for name in &CLAIMS {
            change::remove_alike(headers, name.as_str());
        }
    }
    match style {
        Style::XForwarded => {
            if let Ok(address) = HeaderValue::try_from(viewer.address.to_string()) {
                headers.insert(X_FORWARDED_FOR, address);
            }
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(viewer.scheme));
            insert(headers, X_FORWARDED_HOST, viewer.host);
        }
        Style::Forwarded => {
            // RFC 7239 §6: an IPv6 address is enclosed in square brackets and quoted.
            let node = match viewer.address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("\"[{address}]\""),
            };
            insert(
                headers,
                FORWARDED,
                &format!("for={node};proto={};host=\"{}\"", viewer.scheme, viewer.host),
            );
        }
        Style::Off => {}
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Removes from a request all that is the viewer's alone: cookies but those listed, and the referrer, whose URL may
/// carry a token.
pub fn remove_private(headers: &mut HeaderMap, cookies_kept: &[String]) {
    headers.remove(REFERER);
    if !headers.contains_key(COOKIE) {
        return;
    }
    let kept: Vec<String> = cookies(headers, cookies_kept).map(str::to_owned).collect();
    headers.remove(COOKIE);
    if !kept.is_empty() {
        insert(headers, COOKIE, &kept.join("; "));
    }
}

/// The pairs of a request's cookies that are among `listed`.
pub fn cookies<'a>(headers: &'a HeaderMap, listed: &'a [String]) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| std::str::from_utf8(pair).ok().map(str::trim))
        .filter(move |pair| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            listed.iter().any(|listed| listed == name)
        })
}

/// The viewer's address: the socket's, unless the socket is a trusted proxy's and `header` says more.
///
/// The header is read from its end: each trusted proxy appended the address that it saw, and the first address that
/// is not a trusted proxy's is the viewer's. What stands before it came from the viewer and is not believed.
/// IPv4-mapped IPv6 is IPv4.
pub fn client_address(socket: IpAddr, headers: &HeaderMap, header: &HeaderName, trusted: &[IpNet]) -> IpAddr {
    let mut address = socket.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    if trusted.is_empty() || !is_trusted(address) {
        return address;
    }
    let values: Vec<&str> = headers.get_all(header).iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Ok(claimed) = hop.trim().parse::<IpAddr>() else { return address };
        address = claimed.to_canonical();
        if !is_trusted(address) {
            return address;
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn address(socket: &str, fields: &[(&'static str, &'static str)], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().expect("a CIDR")).collect();
        client_address(socket.parse().expect("an address"), &headers(fields), &X_FORWARDED_FOR, &trusted)
            .to_string()
    }

    #[test]
    fn a_header_from_an_untrusted_peer_is_not_believed() {
        assert_eq!(
            address("198.51.100.9", &[("x-forwarded-for", "10.0.0.1")], &["127.0.0.0/8"]),
            "198.51.100.9"
        );
    }

    #[test]
    fn the_last_untrusted_hop_is_the_viewer() {
        let chain = [("x-forwarded-for", "6.6.6.6, 203.0.113.7"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(address("127.0.0.1", &chain, &["127.0.0.0/8", "10.0.0.0/8"]), "203.0.113.7");
    }

    #[test]
    fn a_mapped_ipv6_address_is_ipv4() {
        assert_eq!(address("::ffff:192.0.2.1", &[], &[]), "192.0.2.1");
    }

    #[test]
    fn junk_in_the_chain_ends_it() {
        assert_eq!(
            address("10.0.0.1", &[("x-forwarded-for", "203.0.113.7, 0x7f.1")], &["10.0.0.0/8"]),
            "10.0.0.1"
        );
    }

    #[test]
    fn claims_of_the_client_are_replaced() {
        let mut sent =
            headers(&[("x-forwarded-host", "evil"), ("forwarded", "for=evil"), ("x_real_ip", "1.1.1.1")]);
        let viewer = Viewer {
            address: "2001:db8::1".parse().expect("an address"),
            scheme: "https",
            host: "edge.example",
        };
        describe(&mut sent, Style::Forwarded, viewer);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[FORWARDED], "for=\"[2001:db8::1]\";proto=https;host=\"edge.example\"");
    }

    #[test]
    fn only_listed_cookies_reach_the_origin() {
        let mut sent = headers(&[
            ("cookie", "hdntl=x; keep=1"),
            ("cookie", "other=2"),
            ("referer", "https://a/?hdnts=x"),
        ]);
        remove_private(&mut sent, &["keep".to_owned()]);
        assert_eq!(sent[COOKIE], "keep=1");
        assert!(!sent.contains_key(REFERER));
    }
}
