//! `[property.access]` as typed: the dialect of the access token, its keys, and a table for each dialect.

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::bare;
use super::claims::{Cat, Jwt};
use crate::config::secret::Source;
use crate::config::units::{Size, Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    #[serde(default)]
    pub dialect: Dialect,
    pub preset: Option<Spanned<Preset>>,
    #[serde(default)]
    pub action: Action,
    #[serde(default = "default::result_header")]
    pub result_header: Spanned<String>,
    pub name: Option<Spanned<String>>,
    pub locations: Option<Vec<Location>>,
    pub key: Option<Spanned<Source>>,
    pub transition_key: Option<Spanned<Source>>,
    #[serde(default)]
    pub keys: Vec<Key>,
    pub salt: Option<Spanned<Source>>,
    #[serde(default = "default::algorithm")]
    pub algorithm: Spanned<String>,
    pub escape_inputs: Option<bool>,
    #[serde(default)]
    pub ignore_query: bool,
    #[serde(default = "default::clock_skew")]
    pub clock_skew: Span,
    #[serde(default = "default::start_skew")]
    pub start_skew: Span,
    pub expiry_ahead_max: Option<Span>,
    #[serde(default = "default::ipv4_prefix")]
    pub ipv4_prefix: Spanned<u8>,
    #[serde(default = "default::ipv6_prefix")]
    pub ipv6_prefix: Spanned<u8>,
    pub session_id_max: Option<usize>,
    pub expired_status: Option<Spanned<u16>>,
    #[serde(default)]
    pub limits: TokenLimits,
    #[serde(default)]
    pub secure_link: SecureLink,
    #[serde(default)]
    pub media_cdn: MediaCdn,
    #[serde(default)]
    pub jwt: Jwt,
    #[serde(default)]
    pub cat: Cat,
}

/// One of several keys, under a name of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub name: Spanned<String>,
    pub from: Spanned<Source>,
    pub encoding: Option<Encoding>,
    #[serde(default)]
    pub kind: KeyKind,
    pub not_before: Option<Datetime>,
    pub not_after: Option<Datetime>,
}

/// What a key is: a secret that both sides know, or a public key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    #[default]
    Hmac,
    Ed25519,
}

/// How a key's bytes are written where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    Hex,
    Base64,
    Text,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenLimits {
    pub token: Size,
    pub fields: usize,
    pub acl_alternatives: usize,
    pub acl: Size,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    #[default]
    Edgeauth,
    SecureLink,
    MediaCdn,
    Jwt,
    Cat,
}

/// Other defaults than a dialect's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Preset {
    /// Akamai's behavior "Auth Token 2.0 Verification".
    #[serde(rename = "auth-token-2.0")]
    AuthToken20,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    #[default]
    Deny,
    VerifyOnly,
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    Query,
    Cookie,
    Header,
    Path,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecureLink {
    pub expression: Spanned<String>,
    pub directory_expression: Spanned<String>,
    pub expires: Spanned<String>,
    pub path_prefix: Spanned<String>,
    pub depth_max: usize,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaCdn {
    pub cookie: Spanned<String>,
    pub algorithms: Vec<MediaCdnAlgorithm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaCdnAlgorithm {
    Ed25519,
    HmacSha256,
    HmacSha1,
}

impl Default for MediaCdn {
    fn default() -> Self {
        use MediaCdnAlgorithm::{Ed25519, HmacSha256};
        Self { cookie: bare("Edge-Cache-Cookie".to_owned()), algorithms: vec![Ed25519, HmacSha256] }
    }
}

impl Default for TokenLimits {
    fn default() -> Self {
        Self { token: Size::kib(4), fields: 16, acl_alternatives: 32, acl: Size::kib(2) }
    }
}

impl Default for SecureLink {
    fn default() -> Self {
        Self {
            expression: bare("$secret$uri$expires".to_owned()),
            directory_expression: bare(String::new()),
            expires: bare("e".to_owned()),
            path_prefix: bare(String::new()),
            depth_max: 32,
        }
    }
}

mod default {
    use super::{Span, Spanned, bare};

    pub(super) fn result_header() -> Spanned<String> {
        bare("Sluicegate-Token".to_owned())
    }

    pub(super) fn algorithm() -> Spanned<String> {
        bare("sha256".to_owned())
    }

    pub(super) const fn clock_skew() -> Span {
        Span::seconds(0)
    }

    pub(super) const fn start_skew() -> Span {
        Span::seconds(5)
    }

    pub(super) fn ipv4_prefix() -> Spanned<u8> {
        bare(32)
    }

    pub(super) fn ipv6_prefix() -> Spanned<u8> {
        bare(128)
    }
}
