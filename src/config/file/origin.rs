//! `[property.origin]` as typed.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::super::secret::Source;
use super::super::units::{Size, Span};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    pub urls: Spanned<Vec<Spanned<String>>>,
    pub servers: Vec<Server>,
    pub balance: Balance,
    pub host: Spanned<String>,
    pub ca: Option<Spanned<PathBuf>>,
    pub client_cert: Option<Spanned<PathBuf>>,
    pub client_key: Option<Spanned<PathBuf>>,
    pub server_name: Spanned<String>,
    pub tls_min: TlsMin,
    pub http2: Http2,
    pub http2_connections: Spanned<usize>,
    pub auth: Option<Spanned<Auth>>,
    pub connect_timeout: Span,
    pub first_byte_timeout: Span,
    pub between_bytes_timeout: Span,
    pub fetch_timeout: Span,
    pub blocking_timeout: Span,
    pub fetches_max: usize,
    pub queue_max: usize,
    pub queue_timeout: Span,
    pub idle_timeout: Span,
    pub connection_age_max: Span,
    pub head_max: Size,
    pub head_fields_max: usize,
    pub interim_max: usize,
    pub retries: usize,
    pub retry_statuses: Vec<Spanned<u16>>,
    pub retry_percent: Spanned<u32>,
    pub retries_per_second: u32,
    pub ejection_failures: u32,
    pub ejection_time: Span,
    pub ejection_time_max: Span,
    pub health: Option<Health>,
    pub redirects: usize,
    pub redirect_hosts: Vec<Spanned<String>>,
    pub site_redirects: usize,
    pub pass_session: Spanned<bool>,
    pub cookies: Vec<String>,
    pub forwarded: Forwarded,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub url: Spanned<String>,
    #[serde(default = "one")]
    pub weight: Spanned<u32>,
    #[serde(default)]
    pub backup: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    LeastConnections,
    RoundRobin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum TlsMin {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Http2 {
    Off,
    Alpn,
    PriorKnowledge,
}

/// How requests prove that they come from here: exactly one of the tables.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    Bearer(Source),
    Header(Header),
    SigV4(Box<SigV4>),
    G2o(G2o),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub name: String,
    pub value: Source,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigV4 {
    pub access_key_id: Source,
    pub secret_access_key: Source,
    pub session_token: Option<Source>,
    pub region: String,
    #[serde(default = "s3")]
    pub service: String,
    #[serde(default)]
    pub unsigned_payload: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct G2o {
    pub version: u8,
    pub nonce: String,
    pub key: Source,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    pub path: Spanned<String>,
    pub interval: Span,
    pub timeout: Span,
    pub statuses: Vec<Spanned<u16>>,
    pub down_after: u32,
    pub up_after: u32,
}

/// How the origin learns of the viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarded {
    #[default]
    XForwarded,
    Forwarded,
    Off,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            urls: bare(Vec::new()),
            servers: Vec::new(),
            balance: Balance::LeastConnections,
            host: bare(String::new()),
            ca: None,
            client_cert: None,
            client_key: None,
            server_name: bare(String::new()),
            tls_min: TlsMin::Tls12,
            http2: Http2::Off,
            http2_connections: bare(2),
            auth: None,
            connect_timeout: Span::seconds(3),
            first_byte_timeout: Span::seconds(10),
            between_bytes_timeout: Span::seconds(10),
            fetch_timeout: Span::seconds(3_600),
            blocking_timeout: Span::seconds(30),
            fetches_max: 256,
            queue_max: 1_000,
            queue_timeout: Span::seconds(10),
            idle_timeout: Span::seconds(55),
            connection_age_max: Span::seconds(300),
            head_max: Size::kib(32),
            head_fields_max: 100,
            interim_max: 8,
            retries: 1,
            retry_statuses: vec![bare(502), bare(503), bare(504)],
            retry_percent: bare(20),
            retries_per_second: 3,
            ejection_failures: 5,
            ejection_time: Span::seconds(10),
            ejection_time_max: Span::seconds(300),
            health: None,
            redirects: 0,
            redirect_hosts: Vec::new(),
            site_redirects: 3,
            pass_session: bare(false),
            cookies: Vec::new(),
            forwarded: Forwarded::XForwarded,
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: bare("/".to_owned()),
            interval: Span::seconds(5),
            timeout: Span::seconds(2),
            statuses: vec![bare(200), bare(204)],
            down_after: 2,
            up_after: 2,
        }
    }
}

/// A value that was not typed, so that no place in the file belongs to it.
fn bare<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn one() -> Spanned<u32> {
    bare(1)
}

fn s3() -> String {
    "s3".to_owned()
}
