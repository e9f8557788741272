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
    /// Times are taken for the log alone.
    began: Option<Instant>,
    log: AccessLog,
    metrics: Option<Arc<PropertyMetrics>>,
}

impl Record {
    pub fn begin(log: &AccessLog, now: Duration, request: u64) -> Box<Self> {
        let entry = Entry { time: now, request, ..Entry::default() };
        Box::new(Self {
            entry,
            kind: Kind::default(),
            began: log.is_on().then(Instant::now),
            log: log.clone(),
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
        self.metrics = Some(metrics.clone());
    }

    /// The path without the token component, once it is known.
    pub fn path(&mut self, path: &str) {
        if self.log.is_on() {
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
        self.entry.first_byte = self.elapsed();
        if let Some(metrics) = &self.metrics {
            metrics.count_request(self.kind, status);
        }
    }

    fn elapsed(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// The body ended: `sent` bytes of it, and whether that was all.
    pub fn close(mut self: Box<Self>, sent: u64, complete: bool) {
        if let Some(metrics) = &self.metrics {
            metrics.body_bytes.inc_by(sent);
        }
        if self.log.is_on() {
            self.entry.bytes = sent;
            self.entry.complete = complete;
            self.entry.duration = self.elapsed();
            self.log.write(self.entry);
        }
    }
}
