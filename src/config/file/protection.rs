//! `[geo]`, and `[property.https]`, `[property.ip]`, `[property.geo]` as typed.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::super::units::{Size, Span};

/// Databases and lists of addresses that all properties share.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Geo {
    pub country: Option<Spanned<PathBuf>>,
    pub asn: Option<Spanned<PathBuf>>,
    pub check_interval: Spanned<Span>,
    pub file_max: Size,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Https {
    pub only: Only,
    pub port: Option<Spanned<u16>>,
    pub hsts_max_age: Option<Spanned<Span>>,
    pub hsts_subdomains: bool,
    pub hsts_preload: Option<Spanned<bool>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    #[default]
    Off,
    Refuse,
    Redirect,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ip {
    pub allow: Vec<Spanned<String>>,
    pub block: Vec<Spanned<String>>,
    pub allow_files: Vec<Spanned<PathBuf>>,
    pub block_files: Vec<Spanned<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PropertyGeo {
    pub allow_countries: Vec<Spanned<String>>,
    pub block_countries: Vec<Spanned<String>>,
    pub allow_asns: Vec<Spanned<u32>>,
    pub block_asns: Vec<Spanned<u32>>,
    pub unknown: Unknown,
}

/// What becomes of an address that is in no database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// Refused where there is an allow list, let through otherwise.
    #[default]
    Auto,
    Allow,
    Block,
}

impl Default for Geo {
    fn default() -> Self {
        Self {
            country: None,
            asn: None,
            check_interval: Spanned::new(0..0, Span::seconds(10)),
            file_max: Size::mib(512),
        }
    }
}
