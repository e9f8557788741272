//! A property at run time: a set of hosts with an origin, rules, and its own counters.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{HeaderName, ORIGIN};
use http::{Method, Response, StatusCode};

use crate::domain::cache::rules::{self, Negative, Unstated};
use crate::domain::encryption::Encryption;
use crate::domain::headers::cors::Cors;
use crate::domain::headers::forwarding::Style;
use crate::domain::manifest::Options;
use crate::domain::manifest::base::Hosts;
use crate::domain::manifest::encoding::Limits;
use crate::domain::policy::Rules;
use crate::domain::session::carrier::CookieSettings;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::keys::Window;
use crate::fleet::settings::Terms;
use crate::lab::origin::Streams;
use crate::origin::upload::Upload;
use crate::origin::{Origin, Report};
use crate::telemetry::metrics::{Kind, PropertyMetrics};

use super::body::Content;
use super::change::Bodies;
use super::error::{EdgeError, Statuses};
use super::guard::Guard;
use super::methods::Methods;
use super::prefetch::Prefetch;
use super::ruling::{Ruling, Treatment};
use super::slices::Slicing;
use super::wanted::Place;

#[derive(Debug)]
pub struct Property {
    pub name: Arc<str>,
    pub rules: Rules,
    /// The keys of access tokens.
    pub keys: Vec<KeyNote>,
    pub carrier: Carrier,
    pub cookie: CookieSettings,
    /// Whether sessions in cookies are renewed.
    pub renew: bool,
    pub cors: Cors,
    /// The origins; the first is asked unless a rule names another.
    pub upstreams: Vec<Upstream>,
    /// What is asked of a request before its token.
    pub guard: Guard,
    pub ruling: Ruling,
    /// The header in which the origin is told the result of the token check, where the property only verifies.
    pub result_header: Option<HeaderName>,
    pub query: QueryRule,
    pub methods: Methods,
    /// What viewers may send with methods that take a body.
    pub bodies: Bodies,
    pub lifetimes: Lifetimes,
    /// How everything that is no playlist is cached.
    pub caching: Caching,
    /// Which large objects are cached in slices.
    pub slicing: Option<Slicing>,
    /// Whether the next segments are fetched ahead of viewers.
    pub prefetch: Option<Arc<Prefetch>>,
    /// Hosts whose absolute references may carry the session token.
    pub hosts: Hosts,
    pub manifest: Options,
    pub encoding: Limits,
    /// How clear segments are encrypted on their way.
    pub encryption: Option<Encryption>,
    /// Playlists from this size on are encoded for the client, when the origin sent them encoded.
    pub compress_min: usize,
    pub statuses: Statuses,
    /// What is asked of the fleet.
    pub terms: Terms,
    /// Refusals name their reason in `Sluicegate-Reason` to everybody: for a laboratory.
    pub debug_reasons: bool,
    pub metrics: Arc<PropertyMetrics>,
}

/// What operators may know of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNote {
    pub name: Arc<str>,
    pub mark: Mark,
    /// When it counts.
    pub window: Window,
}

/// How a key is told from another without being shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    Fingerprint(String),
    /// Of a key that is told by its name (`kid`) alone.
    Algorithm(&'static str),
}

/// `name fingerprint`, and the time of a key that does not always count.
impl fmt::Display for KeyNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: UnixTime| humantime::format_rfc3339_seconds(UNIX_EPOCH + time);
        match &self.mark {
            Mark::Fingerprint(mark) => write!(f, "{} {mark}", self.name)?,
            Mark::Algorithm(algorithm) => write!(f, "{} {algorithm}", self.name)?,
        }
        if let Some(begin) = self.window.not_before {
            write!(f, " from {}", time(begin))?;
        }
        self.window.not_after.map_or(Ok(()), |end| write!(f, " until {}", time(end)))
    }
}

/// An origin of a property, and what it may learn of viewers.
#[derive(Debug)]
pub struct Upstream {
    /// Empty for the first.
    pub name: Arc<str>,
    pub source: Source,
    pub forwarded: Style,
    /// Names of the viewer's cookies that the origin may see.
    pub cookies_forwarded: Vec<String>,
    pub blocking_timeout: Duration,
    /// How many redirects to a place on this site are followed for a viewer who could not follow them.
    pub site_redirects: usize,
    /// Whether it is an edge that is shown the viewers' sessions.
    pub pass_session: bool,
}

impl Property {
    /// The origin that has this document.
    pub fn upstream(&self, place: &Place) -> &Upstream {
        let index = place.treatment.as_ref().and_then(|treatment| treatment.upstream);
        &self.upstreams[index.unwrap_or_default()]
    }

    /// The caching rules for a document of this kind.
    pub fn caching_rules<'a>(&'a self, place: &'a Place, kind: Kind) -> &'a Arc<rules::Rules> {
        let forced = place.treatment.as_ref().and_then(|treatment| treatment.cache.lifetime.as_ref());
        forced.map_or(&self.caching, |forced| &forced.caching).rules(kind)
    }

    /// All that may become of a query: what the property says, and what its rules do.
    pub fn query_rules(&self) -> impl Iterator<Item = &QueryRule> {
        std::iter::once(&self.query).chain(self.ruling.query_rules())
    }

    /// What becomes of the query of a document that is treated so.
    pub fn query_rule<'a>(&'a self, treatment: Option<&'a Treatment>) -> &'a QueryRule {
        treatment.and_then(|treatment| treatment.cache.query.as_ref()).unwrap_or(&self.query)
    }
}

/// Where a new session travels. A token that a request carried goes on in the place where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Path,
    Query,
    Cookie,
    Header,
    /// A cookie when the client has shown that it returns one, otherwise the path.
    Auto,
}

/// What becomes of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryRule {
    Keep,
    Drop,
    Only(Vec<String>),
}

/// How long an answer is fresh when the origin says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of live media playlists; `None` for half their target duration.
    pub live_playlist: Option<Duration>,
    pub playlist: Duration,
    /// While the origin fails; of live playlists no longer than three target durations.
    pub stale_if_error: Duration,
}

/// How objects are cached: by rules that are made once, one set for each kind.
#[derive(Clone, Debug)]
pub struct Caching {
    /// Whether anything but playlists is kept at all.
    pub is_on: bool,
    by_kind: [Arc<rules::Rules>; Kind::ALL.len()],
}

/// How long objects are kept, where the origin does not say.
#[derive(Clone, Copy, Debug)]
pub struct ObjectLifetimes {
    pub segment: Duration,
    /// At most, for what is neither a playlist nor media: a tenth of its age when it came.
    pub heuristic_max: Duration,
    pub negative: Duration,
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
}

/// What an operator may have the cache believe.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    /// The viewers' `Cache-Control` and `Pragma`.
    pub client_directives: bool,
    /// The origin's clock: the time since `Date` counts as age.
    pub origin_clock: bool,
    /// An answer to POST that may stand for GET.
    pub post: bool,
    pub set_cookie: rules::SetCookie,
}

impl Caching {
    pub fn new(is_on: bool, lifetimes: ObjectLifetimes, trust: Trust) -> Self {
        Self { is_on, by_kind: Kind::ALL.map(|kind| Arc::new(lifetimes.rules(kind, trust))) }
    }

    /// The same with a lifetime that replaces whatever the origin states.
    #[must_use]
    pub fn forced(&self, lifetime: Duration) -> Self {
        let forced = |rules: &Arc<rules::Rules>| {
            Arc::new(rules::Rules { forced_lifetime: Some(lifetime), ..(**rules).clone() })
        };
        Self { is_on: self.is_on, by_kind: self.by_kind.each_ref().map(forced) }
    }

    /// The rules for an object of this kind.
    pub fn rules(&self, kind: Kind) -> &Arc<rules::Rules> {
        &self.by_kind[kind as usize]
    }
}

impl ObjectLifetimes {
    fn rules(self, kind: Kind, trust: Trust) -> rules::Rules {
        rules::Rules {
            unstated: match kind {
                Kind::Segment => Unstated::Lifetime(self.segment),
                Kind::Key => Unstated::NotStored,
                Kind::Multivariant | Kind::MediaPlaylist | Kind::Json | Kind::Preflight | Kind::Other => {
                    Unstated::Heuristic { lifetime_max: self.heuristic_max }
                }
            },
            negative: Negative {
                lifetime: self.negative,
                // Without a lifetime of their own HTTP's rules hold, as for anything else.
                statuses: if self.negative.is_zero() {
                    Vec::new()
                } else {
                    vec![StatusCode::NOT_FOUND, StatusCode::GONE]
                },
            },
            stale_while_revalidate: self.stale_while_revalidate,
            stale_if_error: self.stale_if_error,
            honour_client_directives: trust.client_directives,
            counts_apparent_age: trust.origin_clock,
            keeps_post: trust.post,
            set_cookie: trust.set_cookie,
            vary_ignored: vec![ORIGIN],
            ..rules::Rules::default()
        }
    }
}

/// Where a property's objects come from.
#[derive(Debug)]
pub enum Source {
    Origin(Box<Origin>),
    /// The streams that are built in.
    Lab(Arc<Streams>),
}

impl Source {
    pub async fn fetch(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: impl Borrow<HeaderMap>,
        first_byte_timeout: Option<Duration>,
        now: Duration,
    ) -> Result<Response<Content>, EdgeError> {
        match self {
            Self::Origin(origin) => {
                // In a box, as all that asks an origin: a request's future is moved about, and most have no need of it.
                let asking = origin.fetch(method, path_and_query, headers, first_byte_timeout, now);
                let response = Box::pin(asking).await?;
                Ok(response.map(|rest| Content::Stream { read: bytes::Bytes::new(), rest }))
            }
            Self::Lab(lab) => {
                let path = path_and_query.split('?').next().unwrap_or_default();
                Ok(lab.respond(method, path, headers.borrow(), now).map(Content::Whole))
            }
        }
    }

    /// Sends a request that may change something, with its body, and once.
    pub async fn pass_on(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: Upload,
        patience: Duration,
        now: Duration,
    ) -> Result<Response<Content>, EdgeError> {
        match self {
            Self::Origin(origin) => {
                let sending = origin.fetch_with(method, path_and_query, headers, body, Some(patience), now);
                let sent = Box::pin(sending).await?;
                Ok(sent.map(|rest| Content::Stream { read: bytes::Bytes::new(), rest }))
            }
            Self::Lab(_) => Err(EdgeError::Method),
        }
    }

    /// How the origin's servers are; none for the built-in streams.
    pub fn servers(&self) -> Vec<Report> {
        match self {
            Self::Origin(origin) => origin.report(),
            Self::Lab(_) => Vec::new(),
        }
    }

    /// The place on this site that a `Location` of the origin's means, when it means the origin itself.
    pub fn place_on_site(&self, location: &str) -> Option<String> {
        match self {
            Self::Origin(origin) => origin.place_on_site(location),
            Self::Lab(_) => None,
        }
    }
}
