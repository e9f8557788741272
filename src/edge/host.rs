//! One host, one property: which property answers for a `Host`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// A host as configured: `www.example.com`, `*.example.com`, `*`, each with an optional port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    name: Name,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Any,
    /// What follows `*`, with its dot.
    Below(String),
    Exact(String),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a host; write for example \"www.example.com\", \"*.example.com\" or \"127.0.0.1:8080\""
)]
pub struct HostError(String);

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let refused = || HostError(text.to_owned());
        let (name, port) = split_port(text).ok_or_else(refused)?;
        let name = name.to_ascii_lowercase();
        let is_host = |name: &str| {
            let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            match literal {
                Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
                None => {
                    !name.is_empty()
                        && name
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
                }
            }
        };
        let name = if name == "*" {
            Name::Any
        } else if let Some(below) = name.strip_prefix('*') {
            if !below.starts_with('.') || !is_host(&below[1..]) {
                return Err(refused());
            }
            Name::Below(below.to_owned())
        } else if is_host(&name) {
            Name::Exact(name)
        } else {
            return Err(refused());
        };
        Ok(Self { name, port })
    }
}

impl HostPattern {
    /// The name or wildcard without its port; `None` for `*`, which names no host.
    pub fn name(&self) -> Option<String> {
        match &self.name {
            Name::Any => None,
            Name::Below(below) => Some(format!("*{below}")),
            Name::Exact(name) => Some(name.clone()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Any => f.write_str("*")?,
            Name::Below(below) => write!(f, "*{below}")?,
            Name::Exact(name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// `host[:port]` taken apart; `None` for a port that is no number.
pub fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_literal = memchr::memrchr(b']', authority.as_bytes()).map_or(0, |end| end + 1);
    match memchr::memchr(b':', &authority.as_bytes()[after_literal..]) {
        None => Some((authority, None)),
        Some(colon) => {
            let (name, port) = authority.split_at(after_literal + colon);
            Some((name, Some(port[1..].parse().ok()?)))
        }
    }
}

/// The properties by host: exact names first, then the longest wildcard, then `*`; a pattern with the request's port
/// goes before one without a port.
#[derive(Debug)]
pub struct HostTable<T> {
    exact: HashMap<String, Vec<(Option<u16>, T)>>,
    /// Longest suffix first.
    below: Vec<(String, Option<u16>, T)>,
    any: Vec<(Option<u16>, T)>,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: Vec::new(), any: Vec::new() }
    }
}

impl<T> HostTable<T> {
    pub fn insert(&mut self, pattern: &HostPattern, value: T) {
        let port = pattern.port;
        match &pattern.name {
            Name::Any => self.any.push((port, value)),
            Name::Below(below) => {
                self.below.push((below.clone(), port, value));
                self.below.sort_by_key(|(below, port, _)| (usize::MAX - below.len(), port.is_none()));
            }
            Name::Exact(name) => {
                let entries = self.exact.entry(name.clone()).or_default();
                entries.push((port, value));
                entries.sort_by_key(|(port, _)| port.is_none());
            }
        }
        self.any.sort_by_key(|(port, _)| port.is_none());
    }

    /// All that answer for some host; one with several hosts comes as often.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let exact = self.exact.values().flatten().map(|(_, value)| value);
        let below = self.below.iter().map(|(_, _, value)| value);
        exact.chain(below).chain(self.any.iter().map(|(_, value)| value))
    }

    /// All with the hosts for which they answer, as configured.
    pub fn entries(&self) -> impl Iterator<Item = (String, &T)> {
        let with_port = |name: &str, port: &Option<u16>| match port {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        let exact = self.exact.iter().flat_map(move |(name, entries)| {
            entries.iter().map(move |(port, value)| (with_port(name, port), value))
        });
        let below =
            self.below.iter().map(move |(below, port, value)| (with_port(&format!("*{below}"), port), value));
        let any = self.any.iter().map(move |(port, value)| (with_port("*", port), value));
        exact.chain(below).chain(any)
    }

    /// What answers for `host` (without port, any case) on `port`.
    pub fn select(&self, host: &str, port: Option<u16>) -> Option<&T> {
        let host = lower(host.strip_suffix('.').unwrap_or(host));
        let fits = |configured: Option<u16>| configured.is_none() || configured == port;
        let exact = self.exact.get(&*host).and_then(|entries| entries.iter().find(|(port, _)| fits(*port)));
        if let Some((_, value)) = exact {
            return Some(value);
        }
        let below = self.below.iter().find(|(below, port, _)| {
            fits(*port) && host.len() > below.len() && host.ends_with(below.as_str())
        });
        if let Some((_, _, value)) = below {
            return Some(value);
        }
        self.any.iter().find(|(port, _)| fits(*port)).map(|(_, value)| value)
    }
}

fn lower(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(patterns: &[&'static str]) -> HostTable<&'static str> {
        let mut table = HostTable::default();
        for pattern in patterns {
            table.insert(&pattern.parse().expect("a pattern"), *pattern);
        }
        table
    }

    #[test]
    fn the_most_exact_pattern_answers() {
        let table =
            table(&["*", "*.example.com", "*.a.example.com", "www.example.com", "www.example.com:81"]);
        let select = |host, port| table.select(host, port).copied();
        assert_eq!(select("WWW.example.com", None), Some("www.example.com"));
        assert_eq!(select("www.example.com", Some(81)), Some("www.example.com:81"));
        assert_eq!(select("x.a.example.com.", Some(80)), Some("*.a.example.com"));
        assert_eq!(select("x.example.com", None), Some("*.example.com"));
        assert_eq!(select("example.com", None), Some("*"));
    }

    #[test]
    fn an_unknown_host_has_no_property() {
        let table = table(&["*.example.com", "[::1]"]);
        assert_eq!(table.select("example.com", None), None);
        assert_eq!(table.select("evil-example.com", None), None);
        assert!(table.select("[::1]", Some(8080)).is_some());
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "a b", "*example.com", "a.*", "host:port", "http://host", "[::1", "*.", "a/b"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }
}
