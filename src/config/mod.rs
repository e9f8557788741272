//! Configuration in two stages: [`mod@file`] is what was typed, [`Config`] what the parts accept. After the second stage
//! nothing is validated again.

mod accept;
mod access;
mod acme;
mod cache;
mod clients;
pub mod disk;
mod encryption;
pub mod fault;
pub mod file;
mod files;
mod fleet;
mod keys;
mod origin;
mod property;
mod protection;
mod rules;
pub mod secret;
mod traces;
pub mod units;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::rate::Rate;
use crate::domain::token::key::Secret;
use crate::edge::error::Statuses;
use crate::edge::host::HostTable;
use crate::edge::property::Property;
use crate::geo::Geo;
use crate::server;
use crate::telemetry::access_log;
use crate::telemetry::metrics::Metrics;

pub use files::files_named;

use fault::{Faults, Judge};

/// A configuration that can be used as it is.
#[derive(Debug)]
pub struct Config {
    pub server: server::settings::Settings,
    /// Certificates that are to be obtained.
    pub acme: Option<std::sync::Arc<crate::acme::settings::Settings>>,
    /// Where it was read; `None` for a text that stands in no file, which cannot be reloaded.
    pub path: Option<PathBuf>,
    /// Whether a change of its files reloads it.
    pub watches_files: bool,
    /// Threads; 0 for one per CPU.
    pub workers: usize,
    pub process: Process,
    pub trusted_proxies: Vec<ipnet::IpNet>,
    pub client_address_header: http::HeaderName,
    pub statuses: Statuses,
    pub requests: Requests,
    pub admin: Option<Admin>,
    pub log: Log,
    /// Where spans go, where they go anywhere.
    pub traces: Option<crate::telemetry::traces::Settings>,
    pub cache: Cache,
    /// The disk behind the memory, where there is one.
    pub disk: Option<disk::Disk>,
    pub geo: Geo,
    pub fleet: crate::fleet::settings::Settings,
    pub properties: HostTable<Arc<Property>>,
    /// One line a property, for people: name, hosts, origin, carrier, fingerprints of keys.
    pub summary: Vec<String>,
    /// What works and should not stay so: a key in the configuration itself, say.
    pub warnings: Vec<String>,
}

/// Whom the process runs as, and how it makes way for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// A name or a number; looked up at the start.
    pub user: Option<String>,
    pub group: Option<String>,
    /// Within which a successor has to serve.
    pub handover_timeout: Duration,
}

/// How many requests an address may make.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// `None` for as many as it likes.
    pub rate: Option<Rate>,
    /// Addresses that are remembered.
    pub addresses_max: usize,
}

/// The operators' listener.
#[derive(Debug)]
pub struct Admin {
    pub listen: std::net::SocketAddr,
    pub token: Option<Secret>,
    /// Of the bodies of requests.
    pub body_bytes_max: usize,
    pub body_timeout: Duration,
    /// So many objects are kept in mind by how much they are asked for.
    pub top_objects: usize,
    /// One request in so many is looked at for that.
    pub top_sample: u64,
}

#[derive(Clone, Debug)]
pub struct Log {
    /// A filter such as `info` or `sluicegate=debug,warn`.
    pub level: String,
    pub format: access_log::Format,
    pub access: access_log::Target,
    pub access_queue: usize,
}

/// What all properties share of the cache.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    pub memory_bytes: u64,
    pub object_bytes_max: u64,
    pub waiters_max: usize,
    pub wait: Duration,
    /// How far the slowest reader of an object that is not kept may be behind, and how long it may hold others up.
    pub reader_window_bytes: u64,
    pub reader_time_max: Duration,
    /// How long a key is remembered whose answer was for one request alone.
    pub uncollapsed_for: Duration,
    /// Whether large bodies lie in a memory file, from which the kernel sends them to plain sockets.
    pub is_sent_by_the_kernel: bool,
}

/// Reads and judges the configuration at `path`.
pub fn load(path: &Path, metrics: &Metrics, now: Duration) -> Result<Config, Faults> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
            let config = parse(&text, &name, &folder, metrics, now)?;
            Ok(Config { path: Some(path.to_owned()), ..config })
        }
        Err(error) => {
            let mut judge = Judge::new(&name, "");
            judge.fault(
                0..0,
                format!("cannot read it: {error}"),
                "name a file with --config, or copy the reference config.toml beside the program",
            );
            judge.finish(None)
        }
    }
}

/// Judges a configuration's text. `name` is what it is called in faults; relative files are taken from `folder`;
/// certificates that have expired at `now` are warned of.
pub fn parse(
    text: &str,
    name: &str,
    folder: &Path,
    metrics: &Metrics,
    now: Duration,
) -> Result<Config, Faults> {
    let mut judge = Judge::new(name, text);
    let accepted = match toml::from_str::<file::File>(text) {
        Ok(typed) => accept::accept(typed, folder, &mut judge, metrics, now),
        Err(error) => {
            judge.syntax(&error);
            None
        }
    };
    judge.finish(accepted)
}

#[cfg(test)]
mod tests;
