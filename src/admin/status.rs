//! `GET /status`: what runs here, since when, and how it does.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use crate::edge::Edge;
use crate::telemetry::build::COMMIT;

use super::control::{Certificate, Configuration, Connections, Listeners};
use super::{Admin, Answer, json};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    /// `serving`, `degraded` or `draining`.
    state: &'static str,
    /// What is amiss, for people.
    problems: Vec<String>,
    version: &'static str,
    commit: Option<&'static str>,
    /// Unix time.
    started_at: u64,
    uptime_seconds: u64,
    now: u64,
    configuration: Configuration,
    listeners: Listeners,
    certificates: Vec<Certificate>,
    connections: Connections,
    cache: Cache,
    fleet: Fleet,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cache {
    memory: Memory,
    /// None where the cache has no disk.
    disk: Option<Disk>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    objects: usize,
    bytes: u64,
    /// Of objects that are on their way.
    arriving_bytes: u64,
    playlists: usize,
    playlist_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Disk {
    objects: usize,
    bytes: u64,
    /// Whether its folder was read to its end since the start.
    is_ready: bool,
    /// Whether it is left alone for a while, for its errors.
    is_off: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fleet {
    /// None where the edge is alone.
    is_connected: Option<bool>,
    /// How long ago all that the fleet knew was known here.
    age_seconds: Option<u64>,
    version: u64,
    viewings: usize,
}

pub(super) fn answer(admin: &Admin) -> Answer {
    let edge = &admin.edge;
    let (report, now) = ((admin.control.report)(), edge.clock.now());
    let fleet = fleet(edge);
    let mut problems = origins_out(edge);
    if report.configuration.is_outdated {
        problems.push(
            "the configuration's file has a fault; the one before it is in force (POST /reload tells which)"
                .to_owned(),
        );
    }
    if fleet.is_connected == Some(false) {
        problems.push("the fleet is away; what it last told holds".to_owned());
    }
    for certificate in &report.certificates {
        if let Some(error) = &certificate.last_error {
            let names = certificate.names.join(", ");
            problems.push(format!("no new certificate was obtained for {names}: {error}"));
        }
    }
    let cache = cache(edge);
    if cache.disk.as_ref().is_some_and(|disk| disk.is_off) {
        problems.push("the cache's disk fails; it is left alone for a while".to_owned());
    }
    let state = match (admin.control.drain.is_cancelled(), problems.is_empty()) {
        (true, _) => "draining",
        (false, true) => "serving",
        (false, false) => "degraded",
    };
    let status = Status {
        state,
        problems,
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
        started_at: admin.started.as_secs(),
        uptime_seconds: now.saturating_sub(admin.started).as_secs(),
        now: now.as_secs(),
        configuration: report.configuration,
        listeners: report.listeners,
        certificates: report.certificates,
        connections: report.connections,
        cache,
        fleet,
    };
    json(StatusCode::OK, &status)
}

/// Origins none of whose servers is asked.
fn origins_out(edge: &Edge) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, property) in edge.terms.load().by_name() {
        for upstream in &property.upstreams {
            let servers = upstream.source.servers();
            if !servers.is_empty() && servers.iter().all(|server| server.state.as_str() != "up") {
                let which = match &*upstream.name {
                    "" => "its origin".to_owned(),
                    named => format!("its origin \"{named}\""),
                };
                problems.push(format!("property \"{name}\": no server of {which} is up"));
            }
        }
    }
    problems
}

fn cache(edge: &Edge) -> Cache {
    let tiers = edge.objects.tiers();
    Cache {
        memory: Memory {
            objects: tiers.memory().count(),
            bytes: tiers.memory().bytes(),
            arriving_bytes: edge.objects.bytes(),
            playlists: edge.playlists.count(),
            playlist_bytes: edge.playlists.bytes(),
        },
        disk: tiers.disk().map(|disk| Disk {
            objects: disk.count(),
            bytes: disk.bytes(),
            is_ready: disk.is_ready(),
            is_off: disk.is_off(),
        }),
    }
}

fn fleet(edge: &Edge) -> Fleet {
    let fleet = &edge.fleet;
    Fleet {
        is_connected: fleet.is_connected(),
        age_seconds: fleet.age().filter(|age| *age < Duration::MAX).map(|age| age.as_secs()),
        version: fleet.version(),
        viewings: fleet.viewings_count(),
    }
}
