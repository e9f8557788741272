//! `config.toml` as typed: every key, its type and its default. What the values mean is judged in [`super`].

pub mod access;
pub mod cache;
pub mod claims;
pub mod disk;
pub mod encryption;
pub mod fleet;
pub mod origin;
pub mod protection;
pub mod rules;
pub mod tls;
pub mod traces;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::secret::Source;
use super::units::{Size, Span};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub server: Server,
    pub tls: Tls,
    pub admin: Option<Admin>,
    pub log: Log,
    pub traces: traces::Traces,
    pub cache: cache::Cache,
    pub geo: protection::Geo,
    pub fleet: fleet::Fleet,
    pub property: Vec<Spanned<Property>>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub http3: Vec<SocketAddr>,
    pub http3_advertise: Span,
    pub http3_migration: bool,
    pub h2c: bool,
    pub workers: usize,
    pub trusted_proxies: Vec<Spanned<String>>,
    pub proxy_protocol: Vec<Spanned<SocketAddr>>,
    pub proxy_protocol_from: Vec<Spanned<String>>,
    pub client_address_header: String,
    pub drain_timeout: Span,
    pub drain_idle_timeout: Span,
    pub handover_timeout: Span,
    pub user: Option<String>,
    pub group: Option<Spanned<String>>,
    pub reload_on_change: bool,
    pub unknown_host_status: Spanned<u16>,
    pub limits: Limits,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub uri: Size,
    pub header_line: Size,
    pub header_section: Size,
    pub headers_max: usize,
    pub header_read_timeout: Span,
    pub tls_handshake_timeout: Span,
    pub proxy_header_timeout: Span,
    pub proxy_header: Size,
    pub idle_timeout: Span,
    pub idle_timeout_h2: Span,
    pub requests_per_connection: u64,
    pub streams_per_connection: u64,
    pub stalled_write_timeout: Span,
    pub unsent: Size,
    pub least_rate: Size,
    pub least_rate_window: Span,
    pub connections_max: usize,
    pub connections_per_address: usize,
    pub streams_per_address: u32,
    pub requests_per_address: u32,
    pub requests_per_address_burst: Spanned<u32>,
    pub request_addresses_max: usize,
    pub h2_concurrent_streams: u32,
    pub h2_header_list: Size,
    pub h2_stream_window: Size,
    pub h2_connection_window: Size,
    pub h2_pending_resets: usize,
    pub h2_local_resets: usize,
    pub h2_send_buffer: Size,
    pub h3_send_buffer: Size,
    pub h3_unproven_max: usize,
    pub h3_socket_buffer: Size,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub policy: TlsPolicy,
    pub certificate: Vec<Certificate>,
    pub acme: Option<Spanned<tls::Acme>>,
}

/// Which versions of TLS the listeners speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsPolicy {
    /// 1.3
    Modern,
    /// 1.2 and 1.3
    #[default]
    Intermediate,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    pub cert: Spanned<PathBuf>,
    pub key: Spanned<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub listen: SocketAddr,
    pub token: Option<Spanned<Source>>,
    #[serde(default = "default::body_max")]
    pub body_max: Size,
    #[serde(default = "default::body_timeout")]
    pub body_timeout: Span,
    #[serde(default = "default::top_objects")]
    pub top_objects: usize,
    #[serde(default = "default::top_sample")]
    pub top_sample: Spanned<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub level: Spanned<String>,
    pub format: Format,
    pub access: String,
    pub access_queue: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    pub name: Spanned<String>,
    pub hosts: Vec<Spanned<String>>,
    #[serde(default)]
    pub token_hosts: Vec<Spanned<String>>,
    #[serde(default)]
    pub debug_reasons: bool,
    #[serde(default = "default::methods")]
    pub methods: Vec<Spanned<String>>,
    #[serde(default = "default::request_body_max")]
    pub request_body_max: Size,
    #[serde(default = "default::request_body_timeout")]
    pub request_body_timeout: Span,
    pub origin: origin::Origin,
    /// Further origins, for rules.
    #[serde(default)]
    pub origins: BTreeMap<String, origin::Origin>,
    #[serde(default)]
    pub tls: tls::PropertyTls,
    #[serde(default)]
    pub https: protection::Https,
    #[serde(default)]
    pub ip: protection::Ip,
    #[serde(default)]
    pub geo: protection::PropertyGeo,
    #[serde(default)]
    pub rule: Vec<Spanned<rules::Rule>>,
    pub access: Option<Spanned<access::Access>>,
    #[serde(default)]
    pub session: Session,
    #[serde(default)]
    pub cors: Cors,
    #[serde(default)]
    pub cache: cache::PropertyCache,
    #[serde(default)]
    pub manifest: Manifest,
    pub encryption: Option<Spanned<encryption::Encryption>>,
    #[serde(default)]
    pub revocation: fleet::Revocation,
    #[serde(default)]
    pub limits: fleet::Limits,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    pub name: Spanned<String>,
    pub key: Option<Spanned<Source>>,
    pub carrier: Carrier,
    pub ttl_max: Span,
    pub pause_allowance: Span,
    pub carry: Vec<Carry>,
    pub salt_headers: Vec<Spanned<String>>,
    pub playlists: Vec<String>,
    pub renew: bool,
    pub age_max: Span,
    pub cookie: Cookie,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    Path,
    Query,
    Cookie,
    Header,
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carry {
    Id,
    Data,
    Ip,
    Acl,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cookie {
    pub domain: Spanned<String>,
    pub secure: bool,
    pub same_site: SameSite,
    pub http_only: bool,
    pub partitioned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    None,
    Lax,
    Strict,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    pub origins: Vec<Spanned<String>>,
    pub credentials: bool,
    pub max_age: Span,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manifest {
    pub compressed_max: Size,
    pub decoded_max: Size,
    pub ratio_max: usize,
    pub line_max: Size,
    pub unknown_tags: bool,
    pub compress_min: Size,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            http: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            https: Vec::new(),
            http3: Vec::new(),
            http3_advertise: Span::seconds(0),
            http3_migration: false,
            h2c: true,
            workers: 0,
            trusted_proxies: Vec::new(),
            proxy_protocol: Vec::new(),
            proxy_protocol_from: Vec::new(),
            client_address_header: "x-forwarded-for".to_owned(),
            drain_timeout: Span::seconds(30),
            drain_idle_timeout: Span::seconds(1),
            handover_timeout: Span::seconds(30),
            user: None,
            group: None,
            reload_on_change: true,
            unknown_host_status: bare(421),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uri: Size::kib(8),
            header_line: Size::kib(8),
            header_section: Size::kib(32),
            headers_max: 64,
            header_read_timeout: Span::seconds(10),
            tls_handshake_timeout: Span::seconds(5),
            proxy_header_timeout: Span::seconds(5),
            proxy_header: Size::kib(4),
            idle_timeout: Span::seconds(15),
            idle_timeout_h2: Span::seconds(60),
            requests_per_connection: 1_000,
            streams_per_connection: 10_000,
            stalled_write_timeout: Span::seconds(20),
            unsent: Size::kib(128),
            least_rate: Size::kib(8),
            least_rate_window: Span::seconds(30),
            connections_max: 0,
            connections_per_address: 256,
            streams_per_address: 2_048,
            requests_per_address: 0,
            requests_per_address_burst: bare(0),
            request_addresses_max: 65_536,
            h2_concurrent_streams: 100,
            h2_header_list: Size::kib(16),
            h2_stream_window: Size::kib(256),
            h2_connection_window: Size::mib(1),
            h2_pending_resets: 20,
            h2_local_resets: 256,
            h2_send_buffer: Size::kib(128),
            h3_send_buffer: Size::mib(1),
            h3_unproven_max: 64,
            h3_socket_buffer: Size::mib(2),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: bare("info".to_owned()),
            format: Format::Text,
            access: "stdout".to_owned(),
            access_queue: 8192,
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            name: bare("hdntl".to_owned()),
            key: None,
            carrier: Carrier::Path,
            ttl_max: Span::seconds(86_400),
            pause_allowance: Span::seconds(0),
            carry: vec![Carry::Id, Carry::Data],
            salt_headers: Vec::new(),
            playlists: Vec::new(),
            renew: true,
            age_max: Span::seconds(86_400),
            cookie: Cookie::default(),
        }
    }
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            domain: bare(String::new()),
            secure: true,
            same_site: SameSite::None,
            http_only: true,
            partitioned: false,
        }
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self { origins: vec![bare("*".to_owned())], credentials: true, max_age: Span::seconds(86_400) }
    }
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            compressed_max: Size::mib(4),
            decoded_max: Size::mib(16),
            ratio_max: 250,
            line_max: Size::kib(64),
            unknown_tags: true,
            compress_min: Size::kib(1),
        }
    }
}

/// A value that was not typed, so that no place in the file belongs to it.
pub(super) fn bare<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

mod default {
    use super::{Size, Span, Spanned, bare};

    pub(super) const fn body_max() -> Size {
        Size::mib(1)
    }

    pub(super) const fn body_timeout() -> Span {
        Span::seconds(10)
    }

    pub(super) const fn top_objects() -> usize {
        256
    }

    pub(super) fn top_sample() -> Spanned<u64> {
        Spanned::new(0..0, 8)
    }

    pub(super) fn methods() -> Vec<Spanned<String>> {
        ["GET", "HEAD", "OPTIONS"].map(|name| bare(name.to_owned())).into()
    }

    pub(super) const fn request_body_max() -> Size {
        Size::mib(8)
    }

    pub(super) const fn request_body_timeout() -> Span {
        Span::seconds(30)
    }
}
