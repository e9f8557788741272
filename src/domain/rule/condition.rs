//! What a rule asks of a request.

use std::fmt;

use http::Method;
use http::header::{HeaderName, HeaderValue};

use crate::domain::network::{Country, Networks};
use crate::domain::token::acl;

use super::Facts;
use super::token::TokenResults;

/// One question. Where several values are given, one of them has to fit.
#[derive(Clone, Debug)]
pub enum Condition {
    Method(Vec<Method>),
    Token(TokenResults),
    /// Without the dot, in lower case.
    Extension(Vec<String>),
    /// `None` stands for an address whose country is not known.
    Country(Vec<Option<Country>>),
    Asn(Vec<Option<u32>>),
    Host(Vec<HostName>),
    Client(Networks, String),
    /// Patterns as in an ACL, in the form of [`acl::normalise`].
    Path(String),
    Header(HeaderName, Value),
}

/// A host without its port: a name, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    Exact(String),
    /// What follows `*`, with its dot.
    Below(String),
}

/// What is asked of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Present,
    Absent,
    Equals(HeaderValue),
    /// `*` is any run of bytes, `?` one byte.
    Matches(String),
}

impl Condition {
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Method(methods) => methods.contains(facts.method),
            Self::Token(results) => results.contains(facts.token),
            Self::Extension(extensions) => extension(facts.path)
                .is_some_and(|found| extensions.iter().any(|one| one.eq_ignore_ascii_case(found))),
            Self::Country(countries) => countries.contains(&facts.whereabouts.country),
            Self::Asn(numbers) => numbers.contains(&facts.whereabouts.asn),
            Self::Host(names) => names.iter().any(|name| name.fits(facts.host)),
            Self::Client(networks, _) => networks.contains(facts.client),
            Self::Path(patterns) => acl::covers(patterns, facts.path),
            Self::Header(name, value) => {
                let mut found = facts.headers.get_all(name).iter();
                match value {
                    Value::Present => found.next().is_some(),
                    Value::Absent => found.next().is_none(),
                    Value::Equals(wanted) => found.any(|found| found == wanted),
                    Value::Matches(pattern) => {
                        found.any(|found| acl::matches(pattern.as_bytes(), found.as_bytes()))
                    }
                }
            }
        }
    }

    /// Which conditions are asked first.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::Token(_) | Self::Method(_) => 0,
            Self::Country(_) | Self::Asn(_) => 1,
            Self::Extension(_) | Self::Host(_) => 2,
            Self::Path(_) => 3,
            Self::Client(..) => 4,
            Self::Header(..) => 5,
        }
    }

    pub(super) fn asks_for_token(&self) -> bool {
        matches!(self, Self::Token(_))
    }

    pub(super) fn asks_for_whereabouts(&self) -> bool {
        matches!(self, Self::Country(_) | Self::Asn(_))
    }
}

impl HostName {
    /// A name, or `*.` and a name; `None` for what is neither. Ports are not compared.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix('*').unwrap_or(text);
        let is_below = name.len() < text.len();
        let bare = if is_below { name.strip_prefix('.')? } else { name };
        let is_name = |bare: &str| {
            bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        };
        let literal = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_host = literal.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
            || (!bare.is_empty() && is_name(bare));
        let name = name.to_ascii_lowercase();
        is_host.then_some(if is_below { Self::Below(name) } else { Self::Exact(name) })
    }

    fn fits(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
            Self::Below(name) => {
                host.len() > name.len()
                    && host[host.len() - name.len()..].eq_ignore_ascii_case(name.as_bytes())
            }
        }
    }
}

/// What follows the last dot of a path's last segment.
fn extension(path: &str) -> Option<&str> {
    path.rsplit('/').next()?.rsplit_once('.').map(|(_, extension)| extension)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |word: Option<String>| word.unwrap_or_else(|| "unknown".to_owned());
        match self {
            Self::Method(methods) => write!(f, "method is {}", list(methods)),
            Self::Token(results) => write!(f, "token is {results}"),
            Self::Extension(extensions) => write!(f, "extension is {}", list(extensions)),
            Self::Country(countries) => {
                let words = countries.iter().map(|country| known(country.map(|country| country.to_string())));
                write!(f, "country is {}", words.collect::<Vec<_>>().join(" | "))
            }
            Self::Asn(numbers) => {
                let words = numbers.iter().map(|number| known(number.map(|number| number.to_string())));
                write!(f, "asn is {}", words.collect::<Vec<_>>().join(" | "))
            }
            Self::Host(names) => write!(f, "host is {}", list(names)),
            Self::Client(_, typed) => write!(f, "client is in {typed}"),
            Self::Path(patterns) => write!(f, "path matches {}", patterns.replace(acl::SEPARATOR, " | ")),
            Self::Header(name, Value::Present) => write!(f, "header {name} is present"),
            Self::Header(name, Value::Absent) => write!(f, "header {name} is absent"),
            Self::Header(name, Value::Equals(value)) => write!(f, "header {name} is {value:?}"),
            Self::Header(name, Value::Matches(pattern)) => write!(f, "header {name} matches \"{pattern}\""),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*{name}"),
        }
    }
}

fn list<T: fmt::Display>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}
