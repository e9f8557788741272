//! `GET /cache?url=…`: what is kept for a URL, typed as viewers ask for it. A path alone takes `&property=…`.

use std::borrow::Cow;

use http::StatusCode;
use http::request::Parts;
use serde::Serialize;

use crate::domain::uri::{escape, query};
use crate::edge::Edge;
use crate::edge::looking::{self, Known};

use super::problem::Problem;
use super::purge::field;
use super::{Answer, json};

#[derive(Serialize)]
struct Found {
    entries: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    /// `memory`, `playlists`, or `disk` for what is there alone.
    tier: &'static str,
    property: String,
    /// Scheme, host and port by which viewers reach it.
    site: String,
    /// Path and query as they are keyed.
    target: String,
    /// What tells variants of one URL apart; empty for the first.
    variant: String,
    bytes: u64,
    status: Option<u16>,
    age_seconds: Option<u64>,
    /// Below zero, since when it is stale.
    fresh_seconds: Option<i64>,
    is_fresh: Option<bool>,
    hits: Option<u32>,
    is_on_disk: bool,
}

pub(super) async fn answer(edge: &Edge, parts: &Parts) -> Result<Answer, Problem> {
    let parameter = |name: &'static str| {
        let written = query::values(parts.uri.query().unwrap_or_default(), name).next();
        let bad = || Problem::field(name, "its percent-escapes are none");
        written.map(|text| escape::decode(text).map(Cow::into_owned).ok_or_else(bad)).transpose()
    };
    let url = parameter("url")?;
    let url = url.ok_or_else(|| Problem::field("url", "is missing; give ?url=https://host/path, escaped"))?;
    let property = parameter("property")?;
    let found = edge.look(&url, property.as_deref()).await;
    let found = found.map_err(|error| Problem::field(field(&error, "url"), error))?;
    let found = Found { entries: found.iter().map(entry).collect() };
    Ok(json(StatusCode::OK, &found))
}

fn entry(entry: &looking::Entry) -> Entry {
    let mut lines = entry.key.splitn(4, '\n').map(str::to_owned);
    let mut line = || lines.next().unwrap_or_default();
    let of = |known: fn(&Known) -> u64| entry.known.as_ref().map(known);
    Entry {
        tier: entry.tier.as_str(),
        property: line(),
        site: line(),
        target: line().trim_end_matches('?').to_owned(),
        variant: line(),
        bytes: entry.bytes,
        status: entry.known.map(|known| known.status),
        age_seconds: of(|known| known.age.as_secs()),
        fresh_seconds: entry.known.map(|known| known.fresh_seconds),
        is_fresh: entry.known.map(|known| known.is_fresh),
        hits: entry.known.and_then(|known| known.hits),
        is_on_disk: entry.known.is_none_or(|known| known.is_on_disk),
    }
}
