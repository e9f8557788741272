//! What the fleet's parts are told: where things are kept, where Redis is, how much is held.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::token::key::Secret;

/// What all properties share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where files are kept that survive a restart; none: nothing survives it.
    pub folder: Option<PathBuf>,
    pub redis: Option<RedisSettings>,
    pub lists: ListLimits,
    /// Purges that are remembered for edges that were away.
    pub purges_max: usize,
    /// Viewings that one edge keeps in mind.
    pub viewings_max: usize,
    /// Used one-time tokens that one edge keeps in mind.
    pub tokens_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: None,
            redis: None,
            lists: ListLimits::default(),
            purges_max: 256,
            viewings_max: 200_000,
            tokens_max: 200_000,
        }
    }
}

/// The bounds of Akamai's Access Revocation API.
#[derive(Clone, Copy, Debug)]
pub struct ListLimits {
    pub lists_max: usize,
    pub identifiers_max: usize,
    pub identifiers_per_call_max: usize,
    /// Shorter durations are raised to this.
    pub duration_min: Duration,
    pub duration_max: Duration,
}

impl Default for ListLimits {
    fn default() -> Self {
        Self {
            lists_max: 10,
            identifiers_max: 50_000,
            identifiers_per_call_max: 5_000,
            duration_min: Duration::from_mins(30),
            duration_max: Duration::from_hours(24 * 365),
        }
    }
}

#[derive(Clone, Debug)]
pub struct RedisSettings {
    pub place: Place,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Certificates of authorities, PEM, instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// A certificate and its key, PEM, to be shown.
    pub client: Option<ClientCertificate>,
    /// What all keys and the channel begin with.
    pub prefix: String,
    /// How often versions are compared, whatever messages came.
    pub compare_interval: Duration,
    /// For connecting, and for each answer.
    pub timeout: Duration,
    pub backoff_max: Duration,
}

#[derive(Clone)]
pub struct ClientCertificate {
    pub certificate: Vec<u8>,
    pub key: Secret,
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientCertificate(..)")
    }
}

/// Which servers there are, and how the one to ask is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Single {
        node: Node,
        is_tls: bool,
        database: i64,
    },
    Socket {
        path: PathBuf,
        database: i64,
    },
    /// The sentinels know where the master is.
    Sentinel {
        nodes: Vec<Node>,
        service: String,
        is_tls: bool,
        database: i64,
    },
    Cluster {
        nodes: Vec<Node>,
        is_tls: bool,
    },
}

pub type Node = (String, u16);

/// Why a text is no place of a Redis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error(
        "it has none of the schemes redis, rediss, redis-sentinel, rediss-sentinel, redis-cluster, rediss-cluster, unix"
    )]
    Scheme,
    #[error("it holds a name or password, which would end up in logs")]
    Credentials,
    #[error("\"{0}\" is no host with an optional port")]
    Node(String),
    #[error("a sentinel's URL needs the name of the master after the hosts")]
    Service,
    #[error("\"{0}\" is no number of a database")]
    Database(String),
}

impl std::str::FromStr for Place {
    type Err = PlaceError;

    /// `redis://host:6379/0`, `rediss://..`, `redis-sentinel://a:26379,b:26379/master/0`, `redis-cluster://a,b,c`, `unix:///path`.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (scheme, rest) = text.split_once("://").ok_or(PlaceError::Scheme)?;
        if rest.contains('@') {
            return Err(PlaceError::Credentials);
        }
        if scheme == "unix" {
            return Ok(Self::Socket { path: rest.into(), database: 0 });
        }
        let (is_tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (false, scheme.strip_prefix("redis").ok_or(PlaceError::Scheme)?),
        };
        let mut parts = rest.trim_end_matches('/').split('/');
        let hosts = parts.next().unwrap_or_default();
        let port = if kind == "-sentinel" { 26_379 } else { 6_379 };
        let nodes: Vec<Node> = hosts.split(',').map(|host| node(host, port)).collect::<Result<_, _>>()?;
        let database = |parts: &mut std::str::Split<'_, char>| match parts.next() {
            None => Ok(0),
            Some(number) => {
                number.parse::<u16>().map(i64::from).map_err(|_| PlaceError::Database(number.to_owned()))
            }
        };
        match kind {
            "" => {
                let [node] = <[Node; 1]>::try_from(nodes).map_err(|_| PlaceError::Node(hosts.to_owned()))?;
                Ok(Self::Single { node, is_tls, database: database(&mut parts)? })
            }
            "-sentinel" => {
                let service = parts.next().filter(|name| !name.is_empty()).ok_or(PlaceError::Service)?;
                let service = service.to_owned();
                Ok(Self::Sentinel { nodes, service, is_tls, database: database(&mut parts)? })
            }
            "-cluster" => Ok(Self::Cluster { nodes, is_tls }),
            _ => Err(PlaceError::Scheme),
        }
    }
}

fn node(text: &str, port: u16) -> Result<Node, PlaceError> {
    let fault = || PlaceError::Node(text.to_owned());
    let is_bracketed = text.starts_with('[');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, digits)) if !is_bracketed || host.ends_with(']') => {
            (host, digits.parse().map_err(|_| fault())?)
        }
        _ => (text, port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        || is_bracketed && host.parse::<std::net::Ipv6Addr>().is_ok();
    if is_host { Ok((host.to_owned(), port)) } else { Err(fault()) }
}

/// What one property asks of the fleet.
#[derive(Clone, Debug)]
pub struct Terms {
    pub property: Arc<str>,
    /// Names of the lists that are obeyed beside the default one; all, when empty.
    pub lists: Vec<Box<str>>,
    pub fail: Fail,
    /// Closed: how old the knowledge of the fleet may be.
    pub age_max: Duration,
    pub limits: Option<Arc<Limits>>,
    /// An access token is good for one viewing; a retry from the same address is let through for so long.
    pub one_time: Option<Duration>,
}

/// What happens when the fleet cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// Viewers are admitted by what this edge knows.
    Open,
    /// Viewers are refused.
    Closed,
}

/// How many may watch at once by one session id or payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub by: By,
    /// Viewings at once; none: not limited.
    pub sessions_max: Option<usize>,
    /// How long after its last request a viewing counts.
    pub active: Duration,
    /// Distinct addresses over `address_window`; none: not limited.
    pub addresses_max: Option<usize>,
    pub address_window: Duration,
    pub action: Action,
    /// How long a viewing that gave way is remembered: the longest life of a session.
    pub life: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    SessionId,
    Payload,
}

impl By {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionId => "id",
            Self::Payload => "payload",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    DenyNewest,
    DenyOldest,
    Report,
}

impl Terms {
    /// Nothing but the revocations of the default list and all others.
    pub fn plain(property: &str) -> Self {
        Self {
            property: property.into(),
            lists: Vec::new(),
            fail: Fail::Open,
            age_max: Duration::from_secs(10),
            limits: None,
            one_time: None,
        }
    }

    /// Whether anything but a look at the revocations is asked.
    pub fn are_plain(&self) -> bool {
        self.limits.is_none() && self.one_time.is_none() && self.fail == Fail::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_place_is_read() {
        let node = |host: &str, port| (host.to_owned(), port);
        let cases = [
            ("redis://a", Place::Single { node: node("a", 6379), is_tls: false, database: 0 }),
            ("rediss://a.b:7000/3", Place::Single { node: node("a.b", 7000), is_tls: true, database: 3 }),
            ("redis://[::1]:7000/", Place::Single { node: node("::1", 7000), is_tls: false, database: 0 }),
            ("unix:///run/redis.sock", Place::Socket { path: "/run/redis.sock".into(), database: 0 }),
            (
                "redis-sentinel://a,b:7/main/2",
                Place::Sentinel {
                    nodes: vec![node("a", 26_379), node("b", 7)],
                    service: "main".into(),
                    is_tls: false,
                    database: 2,
                },
            ),
            (
                "rediss-cluster://a,b",
                Place::Cluster { nodes: vec![node("a", 6379), node("b", 6379)], is_tls: true },
            ),
        ];
        for (text, place) in cases {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_and_no_password_is_repeated() {
        for (text, fault) in [
            ("a:6379", PlaceError::Scheme),
            ("http://a", PlaceError::Scheme),
            ("redis-ring://a", PlaceError::Scheme),
            ("redis://:hunter22@a", PlaceError::Credentials),
            ("redis://a b", PlaceError::Node("a b".into())),
            ("redis://a,b", PlaceError::Node("a,b".into())),
            ("redis://a:x", PlaceError::Node("a:x".into())),
            ("redis-sentinel://a", PlaceError::Service),
            ("redis://a/x", PlaceError::Database("x".into())),
        ] {
            assert_eq!(text.parse::<Place>(), Err(fault.clone()), "{text}");
            assert!(!fault.to_string().contains("hunter22"));
        }
    }
}
