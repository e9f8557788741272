//! `[traces]` as typed.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::super::secret::Source;
use super::super::units::Span;
use super::bare;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    pub endpoint: Option<Spanned<String>>,
    pub sample_ratio: Spanned<f64>,
    pub service_name: String,
    pub headers: Vec<Header>,
    pub queue: usize,
    pub batch: usize,
    pub interval: Span,
    pub timeout: Span,
}

/// A field of each request to the collector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub name: Spanned<String>,
    pub value: Spanned<Source>,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: None,
            sample_ratio: bare(1.0),
            service_name: "sluicegate".to_owned(),
            headers: Vec::new(),
            queue: 2048,
            batch: 512,
            interval: Span(Duration::from_secs(5)),
            timeout: Span(Duration::from_secs(10)),
        }
    }
}
