//! What is noted of a request on its way, for the access log and the metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::USER_AGENT;
use http::request::Parts;

use crate::domain::rule::token::TokenResult;
use crate::domain::token::reason::Reason;
use crate::telemetry::access_log::{AccessLog, Entry};
use crate::telemetry::metrics::{Kind, PropertyMetrics};
use crate::telemetry::redact;

/// The notes of one request.
#[derive(Debug)]
pub struct Record {
    entry: Entry,
    pub kind: Kind,
    began: Instant,
    log: AccessLog,
    /// Whether it counts for the objects that are asked for most.
    is_sampled: bool,
    metrics: Option<Arc<PropertyMetrics>>,
}

impl Record {
    pub fn begin(log: &AccessLog, now: Duration, request: u64) -> Box<Self> {
        let entry = Entry { time: now, request, ..Entry::default() };
        Box::new(Self {
            entry,
            kind: Kind::default(),
            began: Instant::now(),
            log: log.clone(),
            is_sampled: false,
            metrics: None,
        })
    }

    /// Who asked for what. `path` is without its token component; the query is redacted here.
    pub fn describe(
        &mut self,
        parts: &Parts,
        client: std::net::IpAddr,
        scheme: &'static str,
        host: &str,
        path: &str,
        token_names: &[String],
    ) {
        if !self.log.is_on() {
            return;
        }
        self.entry.client = client.to_string();
        parts.method.as_str().clone_into(&mut self.entry.method);
        self.entry.scheme = scheme;
        host.clone_into(&mut self.entry.host);
        self.entry.path = redact::path(path).into_owned();
        self.entry.query = redact::query(parts.uri.query().unwrap_or_default(), token_names).into_owned();
        let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        agent.unwrap_or_default().clone_into(&mut self.entry.agent);
    }

    pub fn belongs_to(&mut self, property: &Arc<str>, metrics: &Arc<PropertyMetrics>) {
        self.entry.property = property.clone();
        self.is_sampled = metrics.top.samples(self.entry.request);
        self.metrics = Some(metrics.clone());
    }

    /// The path without the token component, once it is known.
    pub fn path(&mut self, path: &str) {
        if self.log.is_on() || self.is_sampled {
            self.entry.path = redact::path(path).into_owned();
        }
    }

    pub fn session(&mut self, id: Option<&str>, carrier: &'static str) {
        self.entry.carrier = Some(carrier);
        if self.log.is_on() {
            self.entry.session = id.map(str::to_owned);
        }
    }

    pub fn reason(&mut self, reason: Reason) {
        self.entry.reason = Some(reason.as_str());
    }

    /// The rule that decided, or the last that held, and what the token check came to.
    pub fn ruled(&mut self, rule: Option<&Arc<str>>, token: Option<TokenResult>) {
        self.entry.rule = rule.cloned();
        self.entry.token_result = token.map(TokenResult::as_str);
    }

    pub fn cache(&mut self, result: &'static str) {
        self.entry.cache = result;
    }

    pub fn request(&self) -> u64 {
        self.entry.request
    }

    /// The head of the answer is ready.
    pub fn answered(&mut self, status: u16) {
        self.entry.status = status;
        self.entry.kind = self.kind.as_str();
        self.entry.first_byte = self.began.elapsed();
        if let Some(metrics) = &self.metrics {
            metrics.times.answered(self.kind, self.entry.first_byte);
            metrics.count_request(self.kind, status);
        }
    }

    /// The body ended: `sent` bytes of it, and whether that was all.
    pub fn close(mut self: Box<Self>, sent: u64, complete: bool) {
        let duration = self.began.elapsed();
        if let Some(metrics) = &self.metrics {
            metrics.body_bytes.inc_by(sent);
            metrics.times.ended(self.kind, duration);
            if self.is_sampled && (200..300).contains(&self.entry.status) {
                metrics.top.note(&self.entry.property, &self.entry.path, sent);
            }
        }
        if self.log.is_on() {
            self.entry.bytes = sent;
            self.entry.complete = complete;
            self.entry.duration = duration;
            self.log.write(self.entry);
        }
    }
}
