//! The playlist's own URL as the client sees it, and the hosts that may be handed a token.

use url::Url;

use super::ManifestError;

/// The URL of a playlist or JSON document as the client sees it, without any token.
#[derive(Debug, Clone)]
pub struct Base {
    url: Url,
    directory_end: usize,
}

impl Base {
    /// Takes scheme, host, port, normal path and query. A fragment and user information are dropped.
    pub fn parse(url: &str) -> Result<Self, ManifestError> {
        let mut parsed = Url::parse(url).map_err(|error| ManifestError::BadBase(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(ManifestError::BadBase(format!("scheme `{}`", parsed.scheme())));
        }
        parsed.set_fragment(None);
        let cleared = parsed.set_username("").and_then(|()| parsed.set_password(None));
        cleared.map_err(|()| ManifestError::BadBase("user information".to_owned()))?;
        let directory_end = parsed.path().rfind('/').map_or(0, |slash| slash + 1);
        Ok(Self { url: parsed, directory_end })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The path up to and with its last slash.
    pub fn directory(&self) -> &str {
        &self.url.path()[..self.directory_end]
    }

    /// What follows the last slash of the path; empty for a directory.
    pub fn last_segment(&self) -> &str {
        &self.url.path()[self.directory_end..]
    }

    pub fn query(&self) -> Option<&str> {
        self.url.query()
    }

    pub(super) fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }
}

/// Which hosts get tokens: the property's, and those listed besides.
///
/// A property's host counts on the port of the playlist, and on the scheme's own port when the playlist is on
/// its scheme's own port too. A host of `token_hosts` counts on the port written with it; without one, on the
/// same ports as the property's.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    accepted: Vec<(Pattern, Option<u16>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    /// Any host that ends in this suffix, which begins with a dot.
    Below(String),
}

impl Hosts {
    /// `property`: exact names or `*.example.com` (any depth below, not the name itself). `token_hosts`: the
    /// same, each with an optional `:port`.
    pub fn new<S: AsRef<str>, T: AsRef<str>>(
        property: &[S],
        token_hosts: &[T],
    ) -> Result<Self, ManifestError> {
        let mut accepted = Vec::with_capacity(property.len() + token_hosts.len());
        for text in property {
            accepted.push((Pattern::parse(text.as_ref())?, None));
        }
        for text in token_hosts {
            let (host, port) = split_port(text.as_ref());
            let port = match port {
                None => None,
                Some(digits) => {
                    Some(digits.parse().map_err(|_| ManifestError::BadHost(text.as_ref().to_owned()))?)
                }
            };
            accepted.push((Pattern::parse(host)?, port));
        }
        Ok(Self { accepted })
    }

    /// Whether a reference to this scheme, host (lower case) and port may carry a token of a playlist at
    /// `base`.
    pub fn own(&self, base: &Base, secure: bool, host: &str, port: u16) -> bool {
        if base.is_secure() && !secure {
            return false;
        }
        let default = |secure: bool| if secure { 443 } else { 80 };
        let property_port =
            port == base.port() || (port == default(secure) && base.port() == default(base.is_secure()));
        if property_port && host == base.host() {
            return true;
        }
        self.accepted.iter().any(|(pattern, wanted)| {
            wanted.map_or(property_port, |wanted| wanted == port) && pattern.matches(host)
        })
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, ManifestError> {
        let lower = text.to_ascii_lowercase();
        let (name, below) = match lower.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (lower.as_str(), false),
        };
        let bracketed = name.starts_with('[') && name.ends_with(']');
        let inner = if bracketed { &name[1..name.len() - 1] } else { name };
        let allowed =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || (bracketed && c == ':');
        if inner.is_empty() || !inner.chars().all(allowed) {
            return Err(ManifestError::BadHost(text.to_owned()));
        }
        Ok(if below { Self::Below(format!(".{name}")) } else { Self::Exact(lower) })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(suffix) => host
                .strip_suffix(suffix.as_str())
                .is_some_and(|labels| labels.split('.').all(|label| !label.is_empty())),
        }
    }
}

/// `host:port` apart; the brackets of an IPv6 address stay with it.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority, None),
    }
}
