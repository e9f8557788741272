//! The connections to one server, and one exchange on them: a request out, a head back, within limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST};
use http::uri::Scheme;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::body::Arriving;
use super::dial::{Born, Dialer};
use super::error::{OriginError, chain};
use super::http1::{self, Choice, Outgoing, Wait};
use super::settings::{Http2, Settings};
use super::target;
use super::upload::Upload;

/// How a server is talked to.
#[derive(Debug)]
pub enum Pool {
    Http1(http1::Client),
    /// HTTP/2, or what the handshake comes to.
    Hyper(Hyper),
}

/// One or several clients of hyper's, asked in turn. A client keeps to one connection of HTTP/2, whose stream limit and one
/// lock would be those of all: hence several.
#[derive(Debug, Default)]
pub struct Hyper {
    clients: Vec<Client<Dialer, Upload>>,
    next: AtomicUsize,
    scheme: Option<Scheme>,
    interim_max: usize,
    age_max: Duration,
}

/// A request without an answer.
#[derive(Debug)]
pub struct Failed {
    pub error: OriginError,
    /// The connection had been kept from before, and ended. Origins close idle connections at the very moment at which
    /// they are used again: that says nothing of the server.
    pub was_kept: bool,
}

impl Pool {
    pub fn new(dialer: Dialer, scheme: Scheme, http2: Http2, settings: &Settings) -> Self {
        match http2 {
            Http2::Off => Self::Http1(http1::Client::new(dialer, settings)),
            Http2::Alpn | Http2::PriorKnowledge => Self::Hyper(Hyper::new(&dialer, scheme, http2, settings)),
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn send(
        &self,
        request: Outgoing<'_>,
        choice: Choice,
        wait: Wait,
    ) -> Result<Response<Arriving>, Failed> {
        match self {
            Self::Http1(client) => Ok(client.send(None, request, choice, wait).await?.map(Arriving::Http1)),
            Self::Hyper(clients) => Ok(clients.send(request, wait).await?.map(Arriving::Hyper)),
        }
    }
}

impl Default for Pool {
    /// Without any connection.
    fn default() -> Self {
        Self::Hyper(Hyper::default())
    }
}

impl Hyper {
    fn new(dialer: &Dialer, scheme: Scheme, http2: Http2, settings: &Settings) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.fetches_max)
            .http1_max_headers(settings.head.fields_max)
            .http2_only(http2 == Http2::PriorKnowledge)
            .http2_max_header_list_size(u32::try_from(settings.head.bytes_max).unwrap_or(u32::MAX))
            // One stream, one connection: what may be under way for a fast reader over a long way.
            .http2_initial_stream_window_size(4 << 20)
            .http2_initial_connection_window_size(32 << 20)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .set_host(false);
        Self {
            clients: (0..settings.http2_connections.max(1)).map(|_| builder.build(dialer.clone())).collect(),
            next: AtomicUsize::new(0),
            scheme: Some(scheme),
            interim_max: settings.head.interim_max,
            age_max: settings.connection_age_max,
        }
    }

    async fn send(&self, mut outgoing: Outgoing<'_>, wait: Wait) -> Result<Response<Incoming>, Failed> {
        let began = Instant::now();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let client = self.clients.get(turn % self.clients.len().max(1)).ok_or(OriginError::Target)?;
        let mut request = self.request(&mut outgoing)?;
        let too_many = Arc::new(Notify::new());
        self.count_interim(&mut request, too_many.clone());
        let connection = capture_connection(&mut request);
        let answer = tokio::select! {
            biased;
            () = too_many.notified() => return Err(OriginError::Interim(self.interim_max).into()),
            answer = tokio::time::timeout_at(wait.deadline, client.request(request)) => answer,
        };
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(failed(&error, began)),
            Err(_) => return Err(OriginError::FirstByte(wait.patience).into()),
        };
        let is_old = response.extensions().get::<Born>().is_some_and(|born| born.0.elapsed() >= self.age_max);
        if is_old && let Some(connection) = connection.connection_metadata().as_ref() {
            connection.poison();
        }
        Ok(response)
    }

    fn request(&self, outgoing: &mut Outgoing<'_>) -> Result<Request<Upload>, OriginError> {
        let scheme = self.scheme.clone().ok_or(OriginError::Target)?;
        let mut request = Request::new(std::mem::take(outgoing.upload));
        *request.method_mut() = outgoing.method.clone();
        *request.uri_mut() = target::uri(scheme, outgoing.host, outgoing.path_and_query)?;
        *request.headers_mut() = outgoing.fields.clone();
        request.headers_mut().remove(CONTENT_LENGTH);
        request.headers_mut().insert(HOST, outgoing.host.clone());
        Ok(request)
    }

    fn count_interim(&self, request: &mut Request<Upload>, too_many: Arc<Notify>) {
        let max = self.interim_max;
        let count = AtomicUsize::new(0);
        hyper::ext::on_informational(request, move |_| {
            if count.fetch_add(1, Ordering::Relaxed) >= max {
                too_many.notify_one();
            }
        });
    }
}

impl From<OriginError> for Failed {
    fn from(error: OriginError) -> Self {
        Self { error, was_kept: false }
    }
}

fn failed(error: &hyper_util::client::legacy::Error, began: Instant) -> Failed {
    let mut extras = http::Extensions::new();
    if let Some(connection) = error.connect_info() {
        connection.get_extras(&mut extras);
    }
    let is_older = extras.get::<Born>().is_some_and(|born| born.0 < began);
    let error = judged(error);
    let was_kept = is_older && matches!(error, OriginError::Closed(_));
    Failed { error, was_kept }
}

/// What the client's error says of the server.
fn judged(error: &hyper_util::client::legacy::Error) -> OriginError {
    let text = chain(error);
    if error.is_connect() {
        return OriginError::Connect(text);
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(hyper) = inner.downcast_ref::<hyper::Error>() {
            if hyper.is_parse_too_large() {
                return OriginError::HeadTooLarge(format!("the limit of bytes or fields ({text})"));
            }
            if hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed() {
                return OriginError::Closed(text);
            }
        }
        if inner.downcast_ref::<std::io::Error>().is_some() {
            return OriginError::Closed(text);
        }
        cause = inner.source();
    }
    OriginError::Invalid(text)
}
