//! `[property.tls]` as typed.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

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
