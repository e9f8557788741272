//! `GET /properties`: who is served from where, and by which keys; never a secret.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;

use crate::domain::policy::access::Access;
use crate::domain::token::grant::UnixTime;
use crate::edge::Edge;
use crate::edge::property::{KeyNote, Mark, Property, Upstream};

use super::{Answer, json};

#[derive(Serialize)]
struct Shown {
    name: String,
    hosts: Vec<String>,
    access: Asked,
    origins: Vec<Origin>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    /// `open`, `deny` or `verify_only`.
    action: &'static str,
    /// None where no token is asked for.
    dialect: Option<&'static str>,
    keys: Vec<Key>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    name: String,
    fingerprint: Option<String>,
    /// Of a key that is told by its name alone.
    algorithm: Option<&'static str>,
    /// Unix times.
    not_before: Option<u64>,
    not_after: Option<u64>,
    /// Whether it counts at the moment.
    counts: bool,
}

#[derive(Serialize)]
struct Origin {
    /// Empty for the one that is asked unless a rule names another.
    name: String,
    /// None for the built-in streams.
    servers: Vec<Server>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    name: String,
    /// `up`, `ejected` or `down`.
    state: &'static str,
    requests: u64,
    failures: u64,
    ejections: u64,
    under_way: usize,
}

pub(super) fn answer(edge: &Edge) -> Answer {
    let (terms, now) = (edge.terms.load_full(), edge.clock.now());
    let mut hosts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (host, property) in terms.properties.entries() {
        hosts.entry(&property.name).or_default().push(host);
    }
    let shown = |property: &Property| {
        let mut hosts = hosts.get(&*property.name).cloned().unwrap_or_default();
        hosts.sort();
        Shown {
            name: property.name.to_string(),
            hosts,
            access: asked(property, now),
            origins: origins(property),
        }
    };
    let all: Vec<Shown> = terms.by_name().values().map(|property| shown(property)).collect();
    json(StatusCode::OK, &all)
}

fn asked(property: &Property, now: UnixTime) -> Asked {
    let (action, dialect) = match &property.rules.access {
        Access::Open => ("open", None),
        Access::Checked(checked) => {
            let action = if property.rules.access.is_verify_only() { "verify_only" } else { "deny" };
            (action, Some(checked.verifier.load().name()))
        }
    };
    Asked { action, dialect, keys: property.keys.iter().map(|note| key(note, now)).collect() }
}

fn key(note: &KeyNote, now: UnixTime) -> Key {
    let (fingerprint, algorithm) = match &note.mark {
        Mark::Fingerprint(fingerprint) => (Some(fingerprint.clone()), None),
        Mark::Algorithm(algorithm) => (None, Some(*algorithm)),
    };
    Key {
        name: note.name.to_string(),
        fingerprint,
        algorithm,
        not_before: note.window.not_before.map(|time| time.as_secs()),
        not_after: note.window.not_after.map(|time| time.as_secs()),
        counts: note.window.holds(now),
    }
}

fn origins(property: &Property) -> Vec<Origin> {
    let servers = |upstream: &Upstream| {
        let reports = upstream.source.servers().into_iter();
        let server = reports.map(|report| Server {
            state: report.state.as_str(),
            name: report.name,
            requests: report.requests,
            failures: report.failures,
            ejections: report.ejections,
            under_way: report.under_way,
        });
        server.collect()
    };
    let origin = |upstream: &Upstream| Origin { name: upstream.name.to_string(), servers: servers(upstream) };
    property.upstreams.iter().map(origin).collect()
}
