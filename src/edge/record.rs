//! What is noted of a request on its way, for the access log and the metrics.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Version};

use crate::domain::cmcd::{Cmcd, Value};
use crate::domain::rule::token::TokenResult;
use crate::domain::token::reason::Reason;
use crate::server::peer::Protocol;
use crate::telemetry::access_log::{AccessLog, Entry};
use crate::telemetry::metrics::{Kind, PropertyMetrics};
use crate::telemetry::redact;

use super::spans::Traced;

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
    /// Where a trace is recorded that it belongs to.
    traced: Option<Traced>,
}

/// Who asked, by what name and over what.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub client: IpAddr,
    pub scheme: &'static str,
    pub host: &'a str,
    pub protocol: Protocol,
}

impl Record {
    pub fn begin(log: &AccessLog, now: Duration, request: u64, traced: Option<Traced>) -> Box<Self> {
        let entry = Entry { time: now, request, ..Entry::default() };
        Box::new(Self {
            entry,
            kind: Kind::default(),
            began: Instant::now(),
            log: log.clone(),
            is_sampled: false,
            metrics: None,
            traced: traced.filter(|traced| traced.context.is_sampled),
        })
    }

    /// Whether anybody will read what is noted of it.
    fn is_described(&self) -> bool {
        self.log.is_on() || self.traced.is_some()
    }

    /// Who asked for what. `path` is without its token component; what may hold a token elsewhere is redacted here. Without the
    /// `names` of tokens, as nobody's property has them, no value of the query is kept.
    pub fn describe(&mut self, parts: &Parts, asker: &Asker<'_>, path: &str, names: Option<&[String]>) {
        if !self.is_described() {
            return;
        }
        self.entry.client = asker.client.to_string();
        parts.method.as_str().clone_into(&mut self.entry.method);
        self.entry.scheme = asker.scheme;
        self.entry.protocol = protocol(asker.protocol, parts.version);
        self.entry.path = redact::path(path).into_owned();
        let query = parts.uri.query().unwrap_or_default();
        self.entry.cmcd = cmcd(&parts.headers, query);
        self.entry.query = match names {
            Some(names) => redact::query(&without_cmcd(query), names).into_owned(),
            None => redact::names(&without_cmcd(query)),
        };
        let names = names.unwrap_or_default();
        for (_, value) in &mut self.entry.cmcd.values {
            if let Value::Text(text) = value {
                *text = redact::text(text, names).to_owned();
            }
        }
        redact::text(asker.host, names).clone_into(&mut self.entry.host);
        let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        redact::text(agent.unwrap_or_default(), names).clone_into(&mut self.entry.agent);
    }

    pub fn belongs_to(&mut self, property: &Arc<str>, metrics: &Arc<PropertyMetrics>) {
        self.entry.property = property.clone();
        self.is_sampled = metrics.top.samples(self.entry.request);
        self.metrics = Some(metrics.clone());
    }

    /// The path without the token component, once it is known.
    pub fn path(&mut self, path: &str) {
        if self.is_described() || self.is_sampled {
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

    /// The time until now, where it is to be written how long the origin was waited for.
    pub fn elapsed(&self) -> Option<Duration> {
        self.log.is_on().then(|| self.began.elapsed())
    }

    /// The origin was waited for since then, by this request or by one that it shares a fetch with.
    pub fn waited_since(&mut self, begin: Option<Duration>) {
        let waited = self.elapsed().zip(begin).map(|(now, begin)| now.saturating_sub(begin));
        self.entry.origin = waited.map(|waited| self.entry.origin.unwrap_or_default() + waited);
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
        self.entry.bytes = sent;
        self.entry.complete = complete;
        self.entry.duration = duration;
        if let (Some(traced), Some(tracer)) =
            (self.traced, self.metrics.as_ref().and_then(|metrics| metrics.traces.get()))
        {
            traced.end(tracer, &self.entry, self.began);
        }
        if self.log.is_on() {
            self.log.write(self.entry);
        }
    }
}

const fn protocol(spoken: Protocol, version: Version) -> &'static str {
    match (spoken, version) {
        (Protocol::H3, _) => "HTTP/3",
        (Protocol::H2, _) => "HTTP/2",
        (Protocol::H1, Version::HTTP_10) => "HTTP/1.0",
        (Protocol::H1, _) => "HTTP/1.1",
    }
}

/// CTA-5004 §3 gives players the choice of headers or the query.
fn cmcd(headers: &HeaderMap, query: &str) -> Cmcd {
    const FIELDS: [HeaderName; 4] = [
        HeaderName::from_static("cmcd-request"),
        HeaderName::from_static("cmcd-object"),
        HeaderName::from_static("cmcd-status"),
        HeaderName::from_static("cmcd-session"),
    ];
    let mut cmcd = Cmcd::default();
    for field in FIELDS {
        for text in headers.get_all(field).iter().filter_map(|value| value.to_str().ok()) {
            cmcd.read(text);
        }
    }
    cmcd.read_query(query);
    cmcd
}

/// What stands in `CMCD=` has its own place in the log.
fn without_cmcd(query: &str) -> Cow<'_, str> {
    let is_other = |pair: &&str| !pair.starts_with("CMCD=");
    if query.split('&').all(|pair| is_other(&pair)) {
        return Cow::Borrowed(query);
    }
    Cow::Owned(query.split('&').filter(is_other).collect::<Vec<_>>().join("&"))
}
