//! The origin side: pooled connections, timeouts, and a bound on what runs at once.

pub mod body;
mod connector;
mod redirect;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Notify, Semaphore};

use body::OriginBody;

pub use connector::ConnectorError;

/// How an origin is reached. Durations and counts are limits; each has a key in `[property.origin]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One or several bases, `http` or `https`, each with an optional path prefix.
    pub bases: Vec<Base>,
    /// The `Host` sent; `None` for the base's own.
    pub host: Option<HeaderValue>,
    /// Certificates (DER) of the authorities that are trusted instead of the system's.
    pub authorities: Option<Vec<rustls::pki_types::CertificateDer<'static>>>,
    pub connect_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub between_bytes_timeout: Duration,
    /// Requests under way at once; more wait for `queue_timeout`.
    pub fetches_max: usize,
    pub queue_timeout: Duration,
}

/// Where a request goes: scheme, authority and path prefix (without a trailing slash).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub scheme: Scheme,
    pub authority: Authority,
    pub prefix: String,
}

/// An origin that can be asked.
#[derive(Debug)]
pub struct Origin {
    client: Client<hyper_rustls::HttpsConnector<HttpConnector>, Empty<Bytes>>,
    settings: Settings,
    next: AtomicUsize,
    slots: Arc<Semaphore>,
}

/// Why an origin gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error("the origin cannot be reached: {0}")]
    Connect(String),
    #[error("the origin closed the connection without an answer: {0}")]
    Closed(String),
    #[error("the origin sent no answer within {0:?}")]
    FirstByte(Duration),
    #[error("{0} requests to the origin are under way and no place became free within {1:?}")]
    Busy(usize, Duration),
    #[error("the origin's answer is not valid: {0}")]
    Invalid(String),
    #[error("the request's target cannot be sent to the origin")]
    Target,
}

/// Header lines of an answer; hyper refuses more.
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Answers of status 1xx before the answer itself.
const INTERIM_MAX: usize = 8;
const TOO_MANY_INTERIM: &str = "more than 8 interim answers came before it";

impl Origin {
    pub fn new(settings: Settings) -> Result<Self, ConnectorError> {
        let connector = connector::connector(settings.authorities.as_deref(), settings.connect_timeout)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(55))
            .pool_max_idle_per_host(settings.fetches_max)
            .http1_max_headers(HEADERS_MAX)
            .set_host(false)
            .build(connector);
        let slots = Arc::new(Semaphore::new(settings.fetches_max));
        Ok(Self { client, settings, next: AtomicUsize::new(0), slots })
    }

    /// Asks the origin, and the next of several when a connection cannot be made. `headers` go out as they are, but
    /// for `Host`. `first_byte_timeout` is given where the answer may be held back on purpose (a blocking playlist
    /// reload).
    pub async fn fetch(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: HeaderMap,
        first_byte_timeout: Option<Duration>,
    ) -> Result<Response<OriginBody>, OriginError> {
        let slot = tokio::time::timeout(self.settings.queue_timeout, self.slots.clone().acquire_owned())
            .await
            .map_err(|_| OriginError::Busy(self.settings.fetches_max, self.settings.queue_timeout))?
            .map_err(|_| OriginError::Target)?;
        let bases = &self.settings.bases;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let timeout = first_byte_timeout.unwrap_or(self.settings.first_byte_timeout);
        let mut refused = None;
        for attempt in 0..bases.len() {
            let base = &bases[(first.wrapping_add(attempt)) % bases.len()];
            let request = || self.request(base, method, path_and_query, headers.clone());
            let mut answer = self.send(request()?, timeout).await;
            // RFC 9112 §9.3.1: "When an inbound connection is closed prematurely, a client MAY open a new connection and
            // automatically retransmit an aborted sequence of requests if all of those requests have idempotent methods".
            // Origins close idle connections at the very moment at which they are used again.
            if matches!(answer, Err(OriginError::Closed(_))) && method.is_safe() {
                answer = self.send(request()?, timeout).await;
            }
            match answer {
                Ok(response) => {
                    let between_bytes = self.settings.between_bytes_timeout;
                    return Ok(response.map(|body| OriginBody::new(body, slot, between_bytes)));
                }
                Err(OriginError::Connect(error)) => refused = Some(error),
                Err(other) => return Err(other),
            }
        }
        Err(OriginError::Connect(refused.unwrap_or_else(|| "no origin is configured".to_owned())))
    }

    fn request(
        &self,
        base: &Base,
        method: &Method,
        path_and_query: &str,
        headers: HeaderMap,
    ) -> Result<Request<Empty<Bytes>>, OriginError> {
        let target = if base.prefix.is_empty() {
            PathAndQuery::try_from(path_and_query)
        } else {
            PathAndQuery::try_from(format!("{}{path_and_query}", base.prefix))
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(base.scheme.clone());
        parts.authority = Some(base.authority.clone());
        parts.path_and_query = Some(target.map_err(|_| OriginError::Target)?);
        let host = match &self.settings.host {
            Some(host) => host.clone(),
            None => HeaderValue::from_str(base.authority.as_str()).map_err(|_| OriginError::Target)?,
        };
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| OriginError::Target)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, host);
        Ok(request)
    }

    async fn send(
        &self,
        mut request: Request<Empty<Bytes>>,
        first_byte_timeout: Duration,
    ) -> Result<Response<hyper::body::Incoming>, OriginError> {
        let wait = first_byte_timeout + self.settings.connect_timeout;
        let interim = Interim::watch(&mut request);
        let answer = async {
            tokio::select! {
                answer = self.client.request(request) => answer.map(Some),
                () = interim.too_many() => Ok(None),
            }
        };
        match tokio::time::timeout(wait, answer).await {
            Ok(Ok(Some(response))) => match fault(&response, &interim) {
                Some(fault) => Err(OriginError::Invalid(fault.to_owned())),
                None => Ok(response),
            },
            Ok(Ok(None)) => Err(OriginError::Invalid(TOO_MANY_INTERIM.to_owned())),
            Ok(Err(error)) if error.is_connect() => Err(OriginError::Connect(chain(&error))),
            Ok(Err(error)) if is_closed(&error) => Err(OriginError::Closed(chain(&error))),
            Ok(Err(error)) => Err(OriginError::Invalid(chain(&error))),
            Err(_) => Err(OriginError::FirstByte(wait)),
        }
    }

    /// The place on this site that a `Location` of the origin's means, when it means the origin itself.
    pub fn place_on_site(&self, location: &str) -> Option<String> {
        redirect::place_on_site(location, &self.settings.bases)
    }
}

/// The answers before the answer (1xx) to one request.
#[derive(Debug)]
struct Interim {
    seen: Arc<AtomicUsize>,
    exceeded: Arc<Notify>,
}

impl Interim {
    fn watch(request: &mut Request<Empty<Bytes>>) -> Self {
        let watch = Self { seen: Arc::default(), exceeded: Arc::default() };
        let (seen, exceeded) = (watch.seen.clone(), watch.exceeded.clone());
        hyper::ext::on_informational(request, move |_| {
            if seen.fetch_add(1, Ordering::Relaxed) == INTERIM_MAX {
                exceeded.notify_one();
            }
        });
        watch
    }

    async fn too_many(&self) {
        self.exceeded.notified().await;
    }
}

/// Whether the connection ended before an answer began.
fn is_closed(error: &hyper_util::client::legacy::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<hyper::Error>());
    source.is_some_and(|error| {
        let io = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
        error.is_incomplete_message()
            || error.is_closed()
            || io.is_some_and(|io| matches!(io.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
    })
}

/// What makes a well-formed answer unfit to be passed on.
fn fault(response: &Response<hyper::body::Incoming>, interim: &Interim) -> Option<&'static str> {
    if interim.seen.load(Ordering::Relaxed) > INTERIM_MAX {
        return Some(TOO_MANY_INTERIM);
    }
    // A switch of protocols comes as if it were the answer.
    if response.status().is_informational() {
        return Some("it switches to another protocol, which was not asked for");
    }
    let headers = response.headers();
    // RFC 9112 §6.3: "Such a message might indicate an attempt to perform request smuggling … or response splitting …
    // and ought to be handled as an error."
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Some("it has both Content-Length and Transfer-Encoding");
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (bytes > HEAD_BYTES_MAX).then_some("its header section is over 32 KiB")
}

/// An error with all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
