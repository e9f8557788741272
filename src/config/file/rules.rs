//! `[[property.rule]]` as typed.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::super::units::{QueryRule, Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: Spanned<String>,
    #[serde(default)]
    pub when: When,
    pub unless: Option<Spanned<When>>,

    // What it decides: at most one of these.
    pub allow: Option<Spanned<bool>>,
    pub deny: Option<Spanned<u16>>,
    pub redirect: Option<Spanned<Redirect>>,
    pub require: Option<Spanned<Require>>,
    #[serde(rename = "continue")]
    pub continues: Option<Spanned<bool>>,

    // What else it does.
    pub origin: Option<Spanned<String>>,
    pub request: Option<Spanned<Headers>>,
    pub response: Option<Spanned<Headers>>,
    pub cache: Option<Spanned<Cache>>,
}

/// Conditions; all that are given have to hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    pub path: Option<Vec<Spanned<String>>>,
    pub extension: Option<Vec<Spanned<String>>>,
    pub host: Option<Vec<Spanned<String>>>,
    pub method: Option<Vec<Spanned<String>>>,
    pub header: Vec<Spanned<Header>>,
    pub client: Option<Vec<Spanned<String>>>,
    pub country: Option<Vec<Spanned<String>>>,
    pub asn: Option<Vec<Spanned<Asn>>>,
    pub token: Option<Vec<Spanned<String>>>,
}

/// One question about a header field: exactly one of the last three.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub name: Spanned<String>,
    pub present: Option<bool>,
    pub equals: Option<Spanned<String>>,
    pub matches: Option<Spanned<String>>,
}

/// A number, or the word `"unknown"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a number such as 64500, or \"unknown\"")]
pub enum Asn {
    Number(u32),
    Word(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    pub status: Option<Spanned<u16>>,
    pub to: Spanned<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    Token,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Headers {
    pub set: BTreeMap<String, Spanned<String>>,
    pub remove: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    pub ttl: Option<Span>,
    pub store: Option<bool>,
    pub query: Option<QueryRule>,
}
