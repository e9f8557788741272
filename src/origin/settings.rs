//! How an origin is reached, as the configuration's second stage hands it over.

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, StatusCode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::domain::origin_auth::{g2o, sigv4};
use crate::domain::token::key::Secret;

/// Durations and counts are limits; each has a key in `[property.origin]`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub servers: Vec<ServerSettings>,
    pub balance: Balance,
    /// The `Host` sent (over HTTP/2 the `:authority`); `None` for the server's own.
    pub host: Option<HeaderValue>,
    pub tls: TlsSettings,
    pub http2: Http2,
    /// Connections of HTTP/2 to each server.
    pub http2_connections: usize,
    pub auth: Auth,
    /// For DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub between_bytes_timeout: Duration,
    /// From the request to the end of the body, with all retries and redirects.
    pub fetch_timeout: Duration,
    /// Requests under way at once; `queue_max` more wait for `queue_timeout`.
    pub fetches_max: usize,
    pub queue_max: usize,
    pub queue_timeout: Duration,
    /// How long a connection may lie idle.
    pub idle_timeout: Duration,
    /// A connection of this age takes no further request, so that a change of DNS is followed.
    pub connection_age_max: Duration,
    pub head: HeadLimits,
    pub retry: RetrySettings,
    pub ejection: EjectionSettings,
    pub health: Option<HealthSettings>,
    pub redirects: RedirectSettings,
}

/// One server of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    pub base: Base,
    /// Its share of the load beside the others'; at least 1.
    pub weight: u32,
    /// Asked only while none of the others can be.
    pub is_backup: bool,
}

/// Where a request goes: scheme, authority and path prefix (without a trailing slash).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub scheme: Scheme,
    pub authority: Authority,
    pub prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The server with the fewest requests under way for its weight.
    LeastConnections,
    RoundRobin,
}

#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Authorities trusted instead of the system's.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    pub client: Option<ClientCertificate>,
    /// The name in SNI and in the certificate; `None` for the URL's host.
    pub server_name: Option<ServerName<'static>>,
    /// TLS 1.3 only; otherwise 1.2 too.
    pub only_tls13: bool,
}

#[derive(Clone, Debug)]
pub struct ClientCertificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Arc<PrivateKeyDer<'static>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    Off,
    /// Where the server offers it in the TLS handshake.
    Alpn,
    /// Always, also without TLS.
    PriorKnowledge,
}

/// How a request proves to the origin that it comes from here.
#[derive(Clone, Debug)]
pub enum Auth {
    None,
    /// A fixed field. The value is marked as sensitive.
    Field(HeaderName, HeaderValue),
    SigV4 {
        credentials: Box<sigv4::Credentials>,
        /// Of temporary credentials, sent as `x-amz-security-token`.
        session_token: Option<Secret>,
        /// The literal `UNSIGNED-PAYLOAD` instead of the hash of the empty body.
        unsigned_payload: bool,
    },
    G2o {
        signer: Box<g2o::G2o>,
        /// The first part of this process's unique ids.
        process_id: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    pub bytes_max: usize,
    pub fields_max: usize,
    /// Interim answers (1xx) before the answer.
    pub interim_max: usize,
}

#[derive(Clone, Debug)]
pub struct RetrySettings {
    /// Further attempts for one request.
    pub attempts_max: usize,
    /// Answers that are asked for again at another server. They count as failures of the one that gave them.
    pub statuses: Vec<StatusCode>,
    /// Retries for a hundred requests ...
    pub percent: u32,
    /// ... and so many a second in any case.
    pub per_second: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct EjectionSettings {
    /// Failures in a row that put a server out; 0 for never.
    pub failures: u32,
    /// For how long at first; doubled each time.
    pub time: Duration,
    pub time_max: Duration,
}

#[derive(Clone, Debug)]
pub struct HealthSettings {
    /// Path and query.
    pub path: String,
    pub interval: Duration,
    pub timeout: Duration,
    /// What a healthy server answers.
    pub statuses: Vec<StatusCode>,
    /// Checks in a row that have to fail, or to succeed, until the server counts as down, or up again.
    pub down_after: u32,
    pub up_after: u32,
}

#[derive(Clone, Debug, Default)]
pub struct RedirectSettings {
    /// How many are followed; 0 to pass them on.
    pub hops_max: usize,
    /// Other hosts that may be gone to, each with a port where it is not the scheme's.
    pub hosts: Vec<String>,
}
