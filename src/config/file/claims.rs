//! `[property.access.jwt]` and `[property.access.cat]` as typed: the dialects whose tokens are sets of claims.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::bare;
use crate::config::units::Size;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jwt {
    pub profile: Profile,
    pub algorithm: Spanned<String>,
    pub issuers: Vec<String>,
    pub jwks: Vec<JwkSet>,
    pub audiences: Vec<String>,
    pub nonce: Nonce,
    pub clear_personal_data: bool,
    pub expiry_required: bool,
    pub paths_claim: String,
    pub session_id_claim: String,
    pub address_claim: String,
    pub claims_max: usize,
    pub expression_max: Size,
    pub program_max: Size,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cat {
    pub query_name: Spanned<String>,
    pub issuers: Vec<String>,
    pub jwks: Vec<JwkSet>,
    pub audiences: Vec<String>,
    pub expiry_required: bool,
    pub claims_ignored: Vec<String>,
    pub claims_max: usize,
    pub items_max: usize,
    pub expression_max: Size,
    pub program_max: Size,
}

/// A file with a JWK set, and the issuers that sign with its keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwkSet {
    pub file: Spanned<PathBuf>,
    #[serde(default)]
    pub issuers: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    #[default]
    UriSigning,
    Plain,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nonce {
    #[default]
    Refuse,
    Name,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            algorithm: bare("HS256".to_owned()),
            issuers: Vec::new(),
            jwks: Vec::new(),
            audiences: Vec::new(),
            nonce: Nonce::default(),
            clear_personal_data: false,
            expiry_required: true,
            paths_claim: "paths".to_owned(),
            session_id_claim: "sub".to_owned(),
            address_claim: String::new(),
            claims_max: 32,
            expression_max: Size::kib(1),
            program_max: Size::kib(256),
        }
    }
}

impl Default for Cat {
    fn default() -> Self {
        Self {
            query_name: bare("CAT".to_owned()),
            issuers: Vec::new(),
            jwks: Vec::new(),
            audiences: Vec::new(),
            expiry_required: true,
            claims_ignored: Vec::new(),
            claims_max: 32,
            items_max: 32,
            expression_max: Size::kib(1),
            program_max: Size::kib(256),
        }
    }
}
