//! The spans of a request and of what it asks of origins, in the words of OpenTelemetry's conventions for HTTP. No token stands in them:
//! what describes a request is what the access log would have.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method, Response};

use crate::domain::headers::trace_context::{TRACEPARENT, TRACESTATE, TraceContext};
use crate::entropy;
use crate::telemetry::access_log::Entry;
use crate::telemetry::metrics::PropertyMetrics;
use crate::telemetry::redact;
use crate::telemetry::traces::{Span, Tracer, Value};

use super::error::EdgeError;
use super::property::Property;
use super::wanted::Place;

/// Where a request is in its trace.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    pub context: TraceContext,
    parent: Option<[u8; 8]>,
}

impl Traced {
    /// A request goes on with the trace of a trusted peer, and begins one of its own otherwise.
    pub fn begin(tracer: &Tracer, headers: &HeaderMap, is_trusted: bool) -> Self {
        let span = entropy::request_number().to_be_bytes();
        if let Some(outer) = TraceContext::read(headers).filter(|_| is_trusted) {
            return Self { context: TraceContext { span, ..outer }, parent: Some(outer.span) };
        }
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&entropy::request_number().to_be_bytes());
        trace[8..].copy_from_slice(&entropy::request_number().to_be_bytes());
        let context = TraceContext { trace, span, is_sampled: tracer.samples(trace) };
        Self { context, parent: None }
    }

    /// The fields of a request to the origin. What an untrusted client said of a trace does not pass.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if self.parent.is_none() {
            headers.remove(TRACESTATE);
        }
        headers.insert(TRACEPARENT, self.context.value());
    }

    /// The request has ended.
    pub fn end(self, tracer: &Tracer, entry: &Entry, began: Instant) {
        let mut attributes = vec![
            ("http.request.method", Value::from(method(&entry.method))),
            ("url.scheme", entry.scheme.into()),
            ("url.path", entry.path.as_str().into()),
            ("server.address", entry.host.as_str().into()),
            ("client.address", entry.client.as_str().into()),
            ("network.protocol.name", "http".into()),
            ("network.protocol.version", entry.protocol.trim_start_matches("HTTP/").into()),
            ("http.response.status_code", u64::from(entry.status).into()),
            ("http.response.body.size", entry.bytes.into()),
            ("sluicegate.property", (*entry.property).into()),
            ("sluicegate.kind", entry.kind.into()),
            ("sluicegate.request", format!("{:016x}", entry.request).into()),
        ];
        let mut some = |name, text: &str| {
            if !text.is_empty() {
                attributes.push((name, text.into()));
            }
        };
        some("url.query", &entry.query);
        some("user_agent.original", &entry.agent);
        some("sluicegate.cache", entry.cache);
        some("sluicegate.reason", entry.reason.unwrap_or_default());
        some("sluicegate.rule", entry.rule.as_deref().unwrap_or_default());
        if entry.status >= 500 {
            some("error.type", &entry.status.to_string());
        } else if !entry.complete {
            some("error.type", "incomplete");
        }
        tracer.submit(Span {
            context: self.context,
            parent: self.parent,
            name: format!("{} {}", method(&entry.method), entry.kind),
            is_server: true,
            began,
            ended: Instant::now(),
            failed: entry.status >= 500,
            attributes,
        });
    }
}

/// A question to an origin that is under way.
#[derive(Debug)]
pub struct Asking {
    metrics: Arc<PropertyMetrics>,
    context: TraceContext,
    parent: [u8; 8],
    began: Instant,
    attributes: Vec<(&'static str, Value)>,
    method: &'static str,
}

/// Begins the span of a question to an origin, where its request is traced, and tells the origin of it.
pub fn ask(
    property: &Property,
    method: &Method,
    place: &Place,
    headers: &mut Cow<'_, HeaderMap>,
) -> Option<Asking> {
    property.metrics.traces.get()?;
    let outer = TraceContext::read(headers).filter(|context| context.is_sampled)?;
    let context = TraceContext { span: entropy::request_number().to_be_bytes(), ..outer };
    headers.to_mut().insert(TRACEPARENT, context.value());
    let method = self::method(method.as_str());
    let upstream = property.upstream(place);
    let mut attributes = vec![
        ("http.request.method", Value::from(method)),
        ("url.path", redact::path(&place.path).into_owned().into()),
        ("sluicegate.property", (*property.name).into()),
    ];
    if !upstream.name.is_empty() {
        attributes.push(("sluicegate.origin", (*upstream.name).into()));
    }
    if let [server] = &*upstream.source.servers() {
        let query = redact::query(&place.query, &property.rules.token_names);
        let mark = if query.is_empty() { "" } else { "?" };
        attributes
            .push(("url.full", format!("{}{}{mark}{query}", server.name, redact::path(&place.path)).into()));
        attributes.extend(address(&server.name));
    }
    let metrics = property.metrics.clone();
    Some(Asking { metrics, context, parent: outer.span, began: Instant::now(), attributes, method })
}

/// Waits for what is asked of an origin, counts how long that took, and ends its span.
pub async fn timed<T>(
    property: &Property,
    span: Option<Asking>,
    asking: impl Future<Output = Result<Response<T>, EdgeError>>,
) -> Result<Response<T>, EdgeError> {
    let began = Instant::now();
    let answer = asking.await;
    property.metrics.times.origin.observe(began.elapsed());
    if let Some(span) = span {
        span.end(&answer);
    }
    answer
}

impl Asking {
    /// The head of the answer came, or a failure.
    fn end<T>(mut self, answer: &Result<Response<T>, EdgeError>) {
        let Some(tracer) = self.metrics.traces.get() else { return };
        let failed = match answer {
            Ok(response) => {
                let status = response.status();
                self.attributes.push(("http.response.status_code", u64::from(status.as_u16()).into()));
                if status.is_client_error() || status.is_server_error() {
                    self.attributes.push(("error.type", status.as_str().into()));
                }
                status.is_client_error() || status.is_server_error()
            }
            Err(error) => {
                self.attributes.push(("error.type", error.detail().into()));
                true
            }
        };
        tracer.submit(Span {
            context: self.context,
            parent: Some(self.parent),
            name: self.method.to_owned(),
            is_server: false,
            began: self.began,
            ended: Instant::now(),
            failed,
            attributes: self.attributes,
        });
    }
}

/// Host and port of `http://host:port`.
fn address(url: &str) -> impl Iterator<Item = (&'static str, Value)> {
    let authority = url
        .parse::<http::Uri>()
        .ok()
        .and_then(|uri| Some((uri.authority()?.clone(), uri.scheme_str() == Some("https"))));
    let (host, port) = match authority {
        Some((authority, is_secure)) => {
            let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
            (Some(Value::from(authority.host())), Some(Value::from(u64::from(port))))
        }
        None => (None, None),
    };
    host.map(|host| ("server.address", host)).into_iter().chain(port.map(|port| ("server.port", port)))
}

/// OpenTelemetry's conventions: a method that is not known is `_OTHER`, so that names stay few.
fn method(method: &str) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}
