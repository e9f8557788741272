//! `[fleet]`, `[property.revocation]` and `[property.limits]` as typed.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::super::secret::Source;
use super::super::units::Span;
use super::bare;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    pub folder: Option<Spanned<PathBuf>>,
    pub redis: Option<Spanned<String>>,
    pub username: Option<String>,
    pub password: Option<Spanned<Source>>,
    pub ca: Option<Spanned<PathBuf>>,
    pub client_cert: Option<Spanned<PathBuf>>,
    pub client_key: Option<Spanned<PathBuf>>,
    pub prefix: Spanned<String>,
    pub compare_interval: Spanned<Span>,
    pub timeout: Spanned<Span>,
    pub backoff_max: Span,
    pub lists_max: usize,
    pub identifiers_max: usize,
    pub identifiers_per_call: usize,
    pub duration_min: Span,
    pub duration_max: Span,
    pub purges_max: Spanned<usize>,
    pub viewings_max: usize,
    pub tokens_max: usize,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Revocation {
    pub lists: Vec<String>,
    pub fail: Fail,
    pub age_max: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fail {
    Open,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub by: Spanned<By>,
    pub sessions: usize,
    pub active: Spanned<Span>,
    pub addresses: usize,
    pub address_window: Spanned<Span>,
    pub over_limit: OverLimit,
    pub one_time: bool,
    pub one_time_retry: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Id,
    Payload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverLimit {
    DenyNewest,
    DenyOldest,
    Report,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            folder: None,
            redis: None,
            username: None,
            password: None,
            ca: None,
            client_cert: None,
            client_key: None,
            prefix: bare("sluicegate".to_owned()),
            compare_interval: bare(Span(std::time::Duration::from_millis(500))),
            timeout: bare(Span(std::time::Duration::from_millis(500))),
            backoff_max: Span::seconds(2),
            lists_max: 10,
            identifiers_max: 50_000,
            identifiers_per_call: 5_000,
            duration_min: Span::seconds(1_800),
            duration_max: Span::seconds(365 * 86_400),
            purges_max: bare(256),
            viewings_max: 200_000,
            tokens_max: 200_000,
        }
    }
}

impl Default for Revocation {
    fn default() -> Self {
        Self { lists: Vec::new(), fail: Fail::Open, age_max: Span::seconds(10) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            by: bare(By::Id),
            sessions: 0,
            active: bare(Span::seconds(60)),
            addresses: 0,
            address_window: bare(Span::seconds(3_600)),
            over_limit: OverLimit::DenyNewest,
            one_time: false,
            one_time_retry: Span::seconds(10),
        }
    }
}
