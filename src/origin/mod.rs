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
mod health;
mod judge;
mod pool;
mod queue;
mod redirect;
mod retry;
mod server;
pub mod settings;
mod target;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, Method, Response, Uri};
use hyper::body::Incoming;
use tokio::time::Instant;

use authorize::Authorizer;
use balance::Balancer;
use body::{BodyLimits, OriginBody};
use dial::Dialer;
use error::Fault;
use follow::Next;
use health::{Checker, Checks};
use pool::{Failed, Pool};
use queue::Queue;
use retry::Budget;
use server::Server;
use settings::{Base, Http2, ServerSettings, Settings};

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
    foreign: Option<Pool>,
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
    /// When all of it has to be over.
    deadline: Instant,
    now: Duration,
}

impl Asked<'_> {
    fn is_safe(&self) -> bool {
        matches!(*self.method, Method::GET | Method::HEAD)
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
            let pool = Pool::new(&dialer, http2, &settings);
            servers.push(Arc::new(Server::new(server.clone(), pool, settings.ejection)));
        }
        let foreign = if settings.redirects.hops_max > 0 {
            let dialer = Dialer::to_redirects(dial::tls(&settings.tls, false)?, settings.connect_timeout);
            Some(Pool::new(&dialer, Http2::Off, &settings))
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

    /// Asks the origin. `headers` go out as they are, but for `Host` and what proves who asks. `first_byte_timeout` is
    /// given where the answer may be held back on purpose (a blocking playlist reload); such a request is sent once.
    /// `now` is signed where the origin wants that.
    pub async fn fetch(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: HeaderMap,
        first_byte_timeout: Option<Duration>,
        now: Duration,
    ) -> Result<Response<OriginBody>, OriginError> {
        self.start_checks(now);
        let place = self.queue.enter().await?;
        let asked = Asked {
            method,
            path_and_query,
            fields: &headers,
            patience: first_byte_timeout.unwrap_or(self.settings.first_byte_timeout),
            is_held_back: first_byte_timeout.is_some(),
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
            let answer = self.ask(server, &asked).await.and_then(|answer| {
                let (parts, body) = answer.into_parts();
                let length = judge::judge(method, &headers, &parts, self.settings.head)?;
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
    async fn ask(&self, server: &Server, asked: &Asked<'_>) -> Result<Response<Incoming>, OriginError> {
        let base = &server.settings.base;
        let first = format!("{}{}", base.prefix, asked.path_and_query);
        let mut uri = target::uri(base, self.settings.host.as_ref(), &first)?;
        let mut pool = &server.pool;
        let mut is_foreign = false;
        for _ in 0..=self.settings.redirects.hops_max {
            let response = self.send(pool, asked, uri.clone(), is_foreign).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let own = if is_foreign { Vec::new() } else { self.own_authorities(base) };
            let redirects = &self.settings.redirects;
            match follow::next(response.status(), response.headers(), &uri, &own, redirects) {
                None => return Ok(response),
                Some(Next::Same(path)) => uri = target::uri(base, self.settings.host.as_ref(), &path)?,
                Some(Next::Foreign(foreign)) => {
                    pool = self.foreign.as_ref().ok_or(OriginError::Target)?;
                    is_foreign = true;
                    uri = foreign;
                }
            }
        }
        Err(OriginError::Redirects(self.settings.redirects.hops_max))
    }

    /// RFC 9112 §9.3.1: "When an inbound connection is closed prematurely, a client MAY open a new connection and
    /// automatically retransmit an aborted sequence of requests if all of those requests have idempotent methods". So is
    /// done once, free of the budget, when the connection had been kept from before.
    async fn send(
        &self,
        pool: &Pool,
        asked: &Asked<'_>,
        uri: Uri,
        is_foreign: bool,
    ) -> Result<Response<Incoming>, OriginError> {
        let first = self.send_once(pool, asked, uri.clone(), is_foreign).await;
        let answer = match first {
            Err(failed) if failed.was_kept && asked.is_safe() => {
                self.send_once(pool, asked, uri, is_foreign).await
            }
            Ok(_) | Err(_) => first,
        };
        answer.map_err(|failed| failed.error)
    }

    async fn send_once(
        &self,
        pool: &Pool,
        asked: &Asked<'_>,
        uri: Uri,
        is_foreign: bool,
    ) -> Result<Response<Incoming>, Failed> {
        let mut fields = asked.fields.clone();
        fields.insert(HOST, target::host(&uri)?);
        if is_foreign {
            self.authorizer.bare(&mut fields);
        } else {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            self.authorizer.authorize(asked.method, path, &mut fields, asked.now)?;
        }
        let patience = asked.patience + self.settings.connect_timeout;
        let deadline = (Instant::now() + patience).min(asked.deadline);
        pool.send(target::request(asked.method, uri, fields), deadline, patience).await
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

/// Where connections to a server go.
fn place(server: &ServerSettings) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(server.base.scheme.clone());
    parts.authority = Some(server.base.authority.clone());
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).expect("scheme, authority and path make a URL")
}
