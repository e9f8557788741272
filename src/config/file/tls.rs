//! `[tls.acme]` and `[property.tls]` as typed.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::super::secret::Source;
use super::super::units::Span;

/// Certificates by ACME.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    #[serde(default)]
    pub terms_agreed: bool,
    pub names: Vec<Spanned<String>>,
    #[serde(default = "folder")]
    pub folder: PathBuf,
    #[serde(default = "directory")]
    pub directory: Spanned<String>,
    #[serde(default)]
    pub contact: Vec<Spanned<String>>,
    #[serde(default = "challenge")]
    pub challenge: Spanned<Challenge>,
    pub external_account: Option<ExternalAccount>,
    pub ca: Option<Spanned<PathBuf>>,
    pub profile: Option<String>,
    #[serde(default = "order_timeout")]
    pub order_timeout: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Challenge {
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    #[serde(rename = "http-01")]
    Http01,
}

/// An account at the authority that ours is to be joined to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    pub id: String,
    pub key: Spanned<Source>,
}

fn folder() -> PathBuf {
    "acme".into()
}

fn directory() -> Spanned<String> {
    Spanned::new(0..0, "https://acme-v02.api.letsencrypt.org/directory".to_owned())
}

fn challenge() -> Spanned<Challenge> {
    Spanned::new(0..0, Challenge::TlsAlpn01)
}

const fn order_timeout() -> Span {
    Span::seconds(300)
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PropertyTls {
    pub client_certificates: Spanned<Demanded>,
    pub client_ca: Vec<Spanned<PathBuf>>,
    pub client_names: Vec<Spanned<String>>,
}

impl Default for PropertyTls {
    fn default() -> Self {
        Self {
            client_certificates: Spanned::new(0..0, Demanded::Off),
            client_ca: Vec::new(),
            client_names: Vec::new(),
        }
    }
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Demanded {
    Off,
    Optional,
    Required,
}
