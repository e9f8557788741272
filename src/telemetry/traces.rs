//! Traces (OpenTelemetry): a span for each request and for each question to an origin, sent to a collector over OTLP.
//!
//! Spans wait in a queue of fixed length for a task that sends them; a queue that is full drops spans and counts them. Nothing waits for the
//! collector. Where no collector is configured there is no [`Tracer`], and nobody makes a span.

pub mod export;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::domain::headers::trace_context::TraceContext;
use crate::domain::token::key::Secret;

/// What is sent where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The whole URL: `http://collector:4318/v1/traces`.
    pub endpoint: http::Uri,
    /// Which part of the traces that begin here is recorded, from 0 to 1.
    pub sample_ratio: f64,
    pub service_name: String,
    /// Fields of each request to the collector.
    pub headers: Vec<(http::HeaderName, Secret)>,
    pub queue_max: usize,
    pub batch_max: usize,
    /// The longest that a span waits for others.
    pub interval: Duration,
    /// Of one request to the collector.
    pub timeout: Duration,
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    pub context: TraceContext,
    pub parent: Option<[u8; 8]>,
    pub name: String,
    pub is_server: bool,
    pub began: Instant,
    pub ended: Instant,
    pub failed: bool,
    pub attributes: Vec<(&'static str, Value)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Takes spans in.
#[derive(Debug)]
pub struct Tracer {
    queue: Sender<Span>,
    threshold: u64,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub exported: AtomicU64,
    /// The queue was full.
    pub crowded_out: AtomicU64,
    /// The collector did not take them.
    pub refused: AtomicU64,
}

impl Tracer {
    /// The near end, and the queue for [`export::Exporter`].
    pub fn new(settings: &Settings) -> (Self, Receiver<Span>) {
        let (queue, spans) = channel(settings.queue_max.max(1));
        (Self { queue, threshold: threshold(settings.sample_ratio), counts: Arc::default() }, spans)
    }

    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Whether a trace that begins here is recorded. All edges with one ratio decide alike on one id, as the SDKs do by its last bytes.
    pub fn samples(&self, trace: [u8; 16]) -> bool {
        let [_, last] = trace.as_chunks().0 else { return false };
        u64::from_be_bytes(*last) >> 1 < self.threshold
    }

    pub fn submit(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.counts.crowded_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Of 2^63 ids, so many.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a ratio from 0 to 1 of a power of two is a number of the type, as exact as the ratio"
)]
fn threshold(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_takes_its_part_of_the_ids() {
        let (none, half, all) = (threshold(0.0), threshold(0.5), threshold(1.0));
        assert_eq!((none, half, all), (0, 1 << 62, 1 << 63));
        let settings = Settings {
            endpoint: http::Uri::from_static("http://collector/"),
            sample_ratio: 0.5,
            service_name: String::new(),
            headers: Vec::new(),
            queue_max: 1,
            batch_max: 1,
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
        };
        let (tracer, _spans) = Tracer::new(&settings);
        let with_last = |last: u64| u128::from(last).to_be_bytes();
        assert!(tracer.samples(with_last(0)) && tracer.samples(with_last((1 << 63) - 1)));
        assert!(!tracer.samples(with_last(1 << 63)) && !tracer.samples(with_last(u64::MAX)));
    }
}
