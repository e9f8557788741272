//! Sends spans to a collector: OTLP over HTTP, in protobuf, some at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status};
use prost::Message as _;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::trust;

use super::{Counts, Settings, Span, Value};

/// The far end of the queue.
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    spans: Receiver<Span>,
    counts: Arc<Counts>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// An instant, and the time that it was.
    anchor: (Instant, Duration),
    /// The collector took the last that it was sent; told once when that changes.
    is_well: bool,
}

impl Exporter {
    /// `now` is the time at this instant.
    pub fn new(
        settings: Settings,
        spans: Receiver<Span>,
        counts: Arc<Counts>,
        now: Duration,
    ) -> Result<Self, rustls::Error> {
        let client = Client::builder(TokioExecutor::new()).build(connector(settings.timeout)?);
        Ok(Self { settings, spans, counts, client, anchor: (Instant::now(), now), is_well: true })
    }

    /// Sends what comes, until `ended`; then what waits, within the time of one request.
    pub async fn run(mut self, ended: CancellationToken) {
        let mut batch = Vec::with_capacity(self.settings.batch_max);
        while self.collect(&mut batch, &ended).await {
            self.send(&mut batch).await;
        }
        self.spans.close();
        while let Some(span) = self.spans.recv().await {
            batch.push(span);
        }
        let last = batch.len() as u64;
        let counts = self.counts.clone();
        if timeout(self.settings.timeout, self.send(&mut batch)).await.is_err() {
            counts.refused.fetch_add(last, Ordering::Relaxed);
        }
    }

    /// Fills `batch`; false when it is the end.
    async fn collect(&mut self, batch: &mut Vec<Span>, ended: &CancellationToken) -> bool {
        let first = tokio::select! {
            () = ended.cancelled() => None,
            span = self.spans.recv() => span,
        };
        let Some(first) = first else { return false };
        batch.push(first);
        let full = tokio::time::sleep(self.settings.interval);
        tokio::pin!(full);
        while batch.len() < self.settings.batch_max {
            tokio::select! {
                () = ended.cancelled() => return false,
                () = &mut full => break,
                span = self.spans.recv() => match span {
                    Some(span) => batch.push(span),
                    None => return false,
                },
            }
        }
        true
    }

    async fn send(&mut self, batch: &mut Vec<Span>) {
        let count = batch.len() as u64;
        if count == 0 {
            return;
        }
        let message = self.message(batch.drain(..));
        let outcome = self.post(message).await;
        match &outcome {
            Ok(()) => self.counts.exported.fetch_add(count, Ordering::Relaxed),
            Err(_) => self.counts.refused.fetch_add(count, Ordering::Relaxed),
        };
        if let Err(problem) = &outcome
            && self.is_well
        {
            tracing::warn!("the collector of traces does not take them: {problem}");
        }
        self.is_well = outcome.is_ok();
    }

    async fn post(&self, message: Vec<u8>) -> Result<(), String> {
        let mut request = Request::new(Full::new(Bytes::from(message)));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(&self.settings.endpoint);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        for (name, value) in &self.settings.headers {
            let Ok(mut value) = HeaderValue::from_bytes(value.expose()) else { continue };
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        match timeout(self.settings.timeout, self.client.request(request)).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(format!("it answers {}", response.status())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not answer in time".to_owned()),
        }
    }

    fn message(&self, spans: impl Iterator<Item = Span>) -> Vec<u8> {
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let spans = spans.map(|span| self.span(span)).collect();
        let resource = Resource {
            attributes: vec![
                attribute("service.name", self.settings.service_name.as_str().into()),
                attribute("service.version", env!("CARGO_PKG_VERSION").into()),
            ],
            ..Resource::default()
        };
        let scope_spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
        let resource_spans = ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
    }

    fn span(&self, span: Span) -> ProtoSpan {
        let kind = if span.is_server { SpanKind::Server } else { SpanKind::Client };
        let status = span.failed.then(|| Status { code: StatusCode::Error.into(), ..Status::default() });
        ProtoSpan {
            trace_id: span.context.trace.to_vec(),
            span_id: span.context.span.to_vec(),
            parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            flags: u32::from(span.context.is_sampled),
            name: span.name,
            kind: kind.into(),
            start_time_unix_nano: self.unix_nanos(span.began),
            end_time_unix_nano: self.unix_nanos(span.ended),
            attributes: span.attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
            status,
            ..ProtoSpan::default()
        }
    }

    fn unix_nanos(&self, instant: Instant) -> u64 {
        let (then, time) = self.anchor;
        let since = instant.saturating_duration_since(then);
        let time = (time + since).saturating_sub(then.saturating_duration_since(instant));
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }
}

fn attribute(name: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => ProtoValue::StringValue(text),
        Value::Number(number) => ProtoValue::IntValue(number),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// To collectors over HTTP, and over HTTPS with the system's roots.
fn connector(connect_timeout: Duration) -> Result<HttpsConnector<HttpConnector>, rustls::Error> {
    let tls = trust::client(trust::roots(None)?, rustls::DEFAULT_VERSIONS)?.with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(connect_timeout));
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    Ok(builder.enable_http1().wrap_connector(tcp))
}
