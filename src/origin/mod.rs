//! The origin side: which server is asked, how often, for how long, and whether its answer can be true.
//!
//! [`Origin::fetch`] takes a place, picks a server, sends the request, follows redirects that may be followed, judges the
//! answer's head, and tries elsewhere while nothing was sent on and the budget allows it. The body then holds the place
//! until it is over.

mod authorize;
mod balance;
pub mod body;
mod dial;
mod error;
mod follow;
mod foreign;
mod health;
pub mod http1;
mod judge;
mod patience;
mod pool;
mod queue;
mod redirect;
mod retry;
mod server;
pub mod settings;
mod target;
pub mod upload;

use std::borrow::{Borrow, Cow};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};
use tokio::time::Instant;

use authorize::Authorizer;
use balance::Balancer;
use body::{Arriving, BodyLimits, OriginBody};
use dial::Dialer;
use error::Fault;
use follow::Next;
use foreign::Foreign;
use health::{Checker, Checks};
use http1::{Choice, Outgoing, Wait};
use pool::{Failed, Pool};
use queue::Queue;
use retry::Budget;
use server::Server;
use settings::{Base, ServerSettings, Settings};
use upload::Upload;

pub use dial::DialError;
pub use error::{OriginError, chain};
pub use server::{Report, State};

/// An origin that can be asked.
#[derive(Debug)]
pub struct Origin {
    settings: Settings,
    balancer: Balancer,
    queue: Queue,
    budget: Budget,
    authorizer: Arc<Authorizer>,
    /// For hosts that redirects lead to.
    foreign: Option<Foreign>,
    checks: OnceLock<Checks>,
}

/// A request, the same for every attempt.
struct Asked<'a> {
    method: &'a Method,
    path_and_query: &'a str,
    fields: &'a HeaderMap,
    /// From sending to the first byte.
    patience: Duration,
    is_held_back: bool,
    has_body: bool,
    /// When all of it has to be over.
    deadline: Instant,
    now: Duration,
}

impl Asked<'_> {
    fn is_safe(&self) -> bool {
        !self.has_body && matches!(*self.method, Method::GET | Method::HEAD)
    }
}

/// Where a request goes.
struct Target<'a> {
    host: HeaderValue,
    path: Cow<'a, str>,
    /// The place that a redirect named, when it is another host's.
    foreign: Option<Uri>,
}

impl Target<'_> {
    fn foreign(uri: Uri) -> Result<Self, OriginError> {
        let host = target::host(uri.authority().ok_or(OriginError::Target)?);
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned().into();
        Ok(Self { host, path, foreign: Some(uri) })
    }
}

impl Origin {
    pub fn new(settings: Settings) -> Result<Self, DialError> {
        let tls = dial::tls(&settings.tls, true)?;
        let mut servers = Vec::with_capacity(settings.servers.len());
        for server in &settings.servers {
            let place = place(server);
            let (http2, timeout) = (settings.http2, settings.connect_timeout);
            let dialer = Dialer::to(place, tls.clone(), &settings.tls, http2, timeout);
            let pool = Pool::new(dialer, server.base.scheme.clone(), http2, &settings);
            servers.push(Arc::new(Server::new(server.clone(), pool, settings.ejection)));
        }
        let foreign = if settings.redirects.hops_max > 0 {
            let dialer = Dialer::to_redirects(dial::tls(&settings.tls, false)?, settings.connect_timeout);
            Some(Foreign::new(dialer, &settings))
        } else {
            None
        };
        Ok(Self {
            balancer: Balancer::new(servers, settings.balance),
            queue: Queue::new(settings.fetches_max, settings.queue_max, settings.queue_timeout),
            budget: Budget::new(settings.retry.percent, settings.retry.per_second),
            authorizer: Arc::new(Authorizer::new(settings.auth.clone())),
            foreign,
            checks: OnceLock::new(),
            settings,
        })
    }

    /// Asks the origin, without a body.
    pub async fn fetch(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: impl Borrow<HeaderMap>,
        first_byte_timeout: Option<Duration>,
        now: Duration,
    ) -> Result<Response<OriginBody>, OriginError> {
        self.fetch_with(method, path_and_query, headers, Upload::Nothing, first_byte_timeout, now).await
    }

    /// Asks the origin. `headers` go out as they are, but for `Host` and what proves who asks. `first_byte_timeout` is
    /// given where the answer may be held back on purpose (a blocking playlist reload); such a request is sent once, and so is
    /// one with a body.
    /// `now` is signed where the origin wants that.
    pub async fn fetch_with(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: impl Borrow<HeaderMap>,
        mut upload: Upload,
        first_byte_timeout: Option<Duration>,
        now: Duration,
    ) -> Result<Response<OriginBody>, OriginError> {
        let headers = headers.borrow();
        self.start_checks(now);
        let place = self.queue.enter().await?;
        let asked = Asked {
            method,
            path_and_query,
            fields: headers,
            patience: first_byte_timeout.unwrap_or(self.settings.first_byte_timeout),
            is_held_back: first_byte_timeout.is_some(),
            has_body: !upload.is_nothing(),
            deadline: Instant::now() + self.settings.fetch_timeout,
            now,
        };
        self.budget.earn();
        let mut tried = Vec::new();
        let mut next = self.balancer.pick(&tried, Instant::now()).ok_or(OriginError::Target)?;
        loop {
            let server = &self.balancer.servers()[next];
            tried.push(next);
            let mut work = server.begin();
            let answer = self.ask(server, &asked, &mut upload).await.and_then(|answer| {
                let (parts, body) = answer.into_parts();
                let length = judge::judge(method, headers, &parts, self.settings.head)?;
                Ok((parts, body, length))
            });
            let fault = match &answer {
                Ok((parts, ..)) if self.settings.retry.statuses.contains(&parts.status) => {
                    Some(Fault::Server)
                }
                Ok(_) => None,
                Err(error) => Some(error.fault()),
            };
            match fault {
                // A viewer chooses how long a held-back answer takes: no server is put out by it.
                Some(Fault::Server | Fault::Connection) if !asked.is_held_back => work.fail(),
                Some(_) => work.forget(),
                None => {}
            }
            if let Some(fault) = fault
                && let Some(other) = self.another(&asked, fault, &tried, next)
            {
                next = other;
                continue;
            }
            let (parts, body, length) = answer?;
            let limits = BodyLimits {
                between_bytes: self.settings.between_bytes_timeout,
                fetch: self.settings.fetch_timeout,
                deadline: asked.deadline,
            };
            return Ok(Response::from_parts(parts, OriginBody::new(body, length, limits, work, place)));
        }
    }

    /// The server for another attempt, when there may be one. RFC 9110 §9.2.2 allows it for methods that change nothing.
    fn another(&self, asked: &Asked<'_>, fault: Fault, tried: &[usize], last: usize) -> Option<usize> {
        let has_time = Instant::now() < asked.deadline;
        if fault == Fault::Request
            || asked.is_held_back
            || !asked.is_safe()
            || !has_time
            || tried.len() > self.settings.retry.attempts_max
        {
            return None;
        }
        let now = Instant::now();
        let another =
            self.balancer.pick(tried, now).or_else(|| (fault == Fault::Connection).then_some(last))?;
        self.budget.take(now).then_some(another)
    }

    /// One attempt at one server, with the redirects that may be followed.
    async fn ask(
        &self,
        server: &Server,
        asked: &Asked<'_>,
        upload: &mut Upload,
    ) -> Result<Response<Arriving>, OriginError> {
        let base = &server.settings.base;
        let mut target = Target {
            host: self.settings.host.as_ref().unwrap_or(&server.host).clone(),
            path: with_prefix(&base.prefix, asked.path_and_query),
            foreign: None,
        };
        for _ in 0..=self.settings.redirects.hops_max {
            let response = self.send(server, asked, &target, upload).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let current = match &target.foreign {
                Some(uri) => uri.clone(),
                None => target::uri(base.scheme.clone(), &target.host, &target.path)?,
            };
            let own = if target.foreign.is_some() { Vec::new() } else { self.own_authorities(base) };
            let redirects = &self.settings.redirects;
            match follow::next(response.status(), response.headers(), &current, &own, redirects) {
                Some(_) | None if asked.has_body => return Ok(response),
                None => return Ok(response),
                Some(Next::Same(path)) => target.path = path.into(),
                Some(Next::Foreign(uri)) => target = Target::foreign(uri)?,
            }
        }
        Err(OriginError::Redirects(self.settings.redirects.hops_max))
    }

    /// RFC 9112 §9.3.1: "When an inbound connection is closed prematurely, a client MAY open a new connection and
    /// automatically retransmit an aborted sequence of requests if all of those requests have idempotent methods". So is
    /// done once, free of the budget, when the connection had been kept from before.
    async fn send(
        &self,
        server: &Server,
        asked: &Asked<'_>,
        target: &Target<'_>,
        upload: &mut Upload,
    ) -> Result<Response<Arriving>, OriginError> {
        let first = self.send_once(server, asked, target, upload, Choice::Any).await;
        let answer = match first {
            Err(failed) if failed.was_kept && asked.is_safe() => {
                self.send_once(server, asked, target, upload, Choice::New).await
            }
            Ok(_) | Err(_) => first,
        };
        answer.map_err(|failed| failed.error)
    }

    async fn send_once(
        &self,
        server: &Server,
        asked: &Asked<'_>,
        target: &Target<'_>,
        upload: &mut Upload,
        choice: Choice,
    ) -> Result<Response<Arriving>, Failed> {
        let fields = self.proven(asked, target)?;
        let patience = asked.patience + self.settings.connect_timeout;
        let wait = Wait { deadline: (Instant::now() + patience).min(asked.deadline), patience };
        let request = Outgoing {
            method: asked.method,
            path_and_query: &target.path,
            host: &target.host,
            fields: &fields,
            upload,
        };
        match (&target.foreign, &self.foreign) {
            (None, _) => server.pool.send(request, choice, wait).await,
            (Some(place), Some(foreign)) => foreign.send(place, request, choice, wait).await,
            (Some(_), None) => Err(OriginError::Target.into()),
        }
    }

    /// The fields of a request with what proves who asks; without it where another host is asked.
    fn proven<'a>(&self, asked: &Asked<'a>, target: &Target<'_>) -> Result<Cow<'a, HeaderMap>, OriginError> {
        if target.foreign.is_none() && self.authorizer.adds_nothing() {
            return Ok(Cow::Borrowed(asked.fields));
        }
        let mut fields = asked.fields.clone();
        fields.insert(HOST, target.host.clone());
        if target.foreign.is_some() {
            self.authorizer.bare(&mut fields);
        } else {
            self.authorizer.authorize(asked.method, &target.path, &mut fields, asked.now)?;
        }
        Ok(Cow::Owned(fields))
    }

    /// The authorities under which a server knows itself.
    fn own_authorities<'a>(&'a self, base: &'a Base) -> Vec<&'a str> {
        let host = self.settings.host.as_ref().and_then(|host| host.to_str().ok());
        host.into_iter().chain([base.authority.as_str()]).collect()
    }

    /// Checks begin with the first request: before that nobody asks how the servers are.
    fn start_checks(&self, now: Duration) {
        if let Some(settings) = &self.settings.health {
            self.checks.get_or_init(|| {
                let checker = Checker {
                    settings: settings.clone(),
                    servers: self.balancer.servers().to_vec(),
                    host: self.settings.host.clone(),
                    authorizer: self.authorizer.clone(),
                };
                Checks::start(checker, now)
            });
        }
    }

    /// How the servers are, in the order of the configuration.
    pub fn report(&self) -> Vec<Report> {
        let now = Instant::now();
        self.balancer.servers().iter().map(|server| server.report(now)).collect()
    }

    /// The place on this site that a `Location` of the origin's means, when it means the origin itself.
    pub fn place_on_site(&self, location: &str) -> Option<String> {
        let bases: Vec<&Base> = self.settings.servers.iter().map(|server| &server.base).collect();
        redirect::place_on_site(location, &bases)
    }
}

fn with_prefix<'a>(prefix: &str, path_and_query: &'a str) -> Cow<'a, str> {
    if prefix.is_empty() { path_and_query.into() } else { [prefix, path_and_query].concat().into() }
}

/// Where connections to a server go.
fn place(server: &ServerSettings) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(server.base.scheme.clone());
    parts.authority = Some(server.base.authority.clone());
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).expect("scheme, authority and path make a URL")
}
