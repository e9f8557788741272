//! The URI that a token is judged for: the whole of it, without the token, in one normal form.

use super::presented::Presented;
use crate::domain::uri::escape::{escaped_byte, is_unreserved, push_upper_escape};

/// The parts of a request's URI, with the tokens taken out.
#[derive(Clone, Copy, Debug)]
pub struct JudgedUri<'a> {
    /// `http` or `https`, as the client used it.
    pub scheme: &'a str,
    pub host: &'a str,
    pub port: Option<u16>,
    /// The path in its normal form.
    pub path: &'a str,
    /// The query without our token parameters; empty when there is none.
    pub query: &'a str,
}

impl<'a> JudgedUri<'a> {
    pub fn of(presented: &Presented<'a>) -> Self {
        let (host, port) = split_port(presented.head.authority);
        Self { scheme: presented.head.scheme, host, port, path: presented.path, query: presented.query }
    }

    /// The port that a URI without one means.
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(if self.scheme.eq_ignore_ascii_case("https") { 443 } else { 80 })
    }

    /// The whole URI in the normal form of RFC 3986 §6.2.2 and §6.2.3: scheme and host in lower case, no default port, escapes
    /// in upper case and none for unreserved characters, no empty query.
    pub fn uri(&self) -> String {
        let mut uri = String::with_capacity(self.path.len() + self.query.len() + self.host.len() + 16);
        uri.push_str(self.scheme);
        uri.push_str("://");
        uri.push_str(self.host);
        uri.make_ascii_lowercase();
        let default = if uri.starts_with("https:") { 443 } else { 80 };
        if let Some(port) = self.port.filter(|port| *port != default) {
            uri.push(':');
            uri.push_str(itoa::Buffer::new().format(port));
        }
        push_normal(&mut uri, self.path);
        if !self.query.is_empty() {
            uri.push('?');
            push_normal(&mut uri, self.query);
        }
        uri
    }

    /// The path with its escapes in upper case.
    pub fn normal_path(&self) -> String {
        normal(self.path)
    }

    /// The query in the same form.
    pub fn normal_query(&self) -> String {
        normal(self.query)
    }
}

fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_normal(&mut out, text);
    out
}

fn push_normal(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let digits = &rest[at + 1..];
        let Some(byte) = escaped_byte(digits.as_bytes()) else {
            out.push('%');
            rest = digits;
            continue;
        };
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            push_upper_escape(out, byte);
        }
        rest = &digits[2..];
    }
    out.push_str(rest);
}

/// Host and port; an authority whose port is no number is a host of that name, which nothing is signed for.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    let (host, digits) = match authority.rsplit_once(':') {
        // A colon within the brackets of an IPv6 address begins no port.
        Some((host, digits)) if !digits.ends_with(']') => (host, digits),
        Some(_) | None => return (authority, None),
    };
    match digits.parse() {
        Ok(port) if digits.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ if digits.is_empty() => (host, None),
        Ok(_) | Err(_) => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(authority: &str, query: &str) -> String {
        let mut presented = Presented::for_path("", "/a%2cb/~c", [203, 0, 113, 7].into());
        presented.head.scheme = "HTTPS";
        presented.head.authority = authority;
        presented.query = query;
        JudgedUri::of(&presented).uri()
    }

    #[test]
    fn a_uri_has_one_normal_form() {
        for (authority, query, expected) in [
            ("WWW.Example.com", "", "https://www.example.com/a%2Cb/~c"),
            ("www.example.com:443", "x=%7e%2f%zz%", "https://www.example.com/a%2Cb/~c?x=~%2F%zz%"),
            ("www.example.com:", "X=Y", "https://www.example.com/a%2Cb/~c?X=Y"),
            ("www.example.com:8443", "X=Y", "https://www.example.com:8443/a%2Cb/~c?X=Y"),
            ("[2001:DB8::1]", "", "https://[2001:db8::1]/a%2Cb/~c"),
            ("[2001:db8::1]:80", "", "https://[2001:db8::1]:80/a%2Cb/~c"),
            ("host:+80", "", "https://host:+80/a%2Cb/~c"),
        ] {
            assert_eq!(uri(authority, query), expected);
        }
    }
}
