//! Reload: a new configuration takes the place of the old one, all of it or nothing.
//!
//! What begins it: SIGHUP, a change of the configuration's file or of a file that it names (keys, certificates, lists), an
//! operator. The new text is judged as at the start; with any fault the old configuration goes on, the faults are logged and
//! counted. Requests that run end under the terms they began with. What is bound to the process (addresses, limits of the
//! listeners, sizes of the cache) keeps its value until the next start, and is named in a warning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::acme::Acme;
use crate::clock::Clock;
use crate::config::fault::Faults;
use crate::config::{self, Config};
use crate::edge::{Edge, Terms};
use crate::supervision::manager;
use crate::telemetry::diagnostics::Level;
use crate::telemetry::metrics::Metrics;

/// Editors write a file in several steps, and a mounted folder is swapped in some; what follows within this time is one change.
const SETTLE: Duration = Duration::from_millis(250);

/// What the metrics tell of reloads.
#[derive(Debug, Default)]
pub struct Counts {
    /// 1 for the configuration of the start, one more for each that took its place.
    pub generation: AtomicU64,
    pub failures: AtomicU64,
    /// Unix time of the last one that was taken.
    pub loaded: AtomicU64,
    /// Whether the last one that was read was refused.
    pub is_outdated: AtomicBool,
}

/// Replaces the configuration of a running process.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    edge: Arc<Edge>,
    metrics: Arc<Metrics>,
    clock: Clock,
    acme: Option<Arc<Acme>>,
    level: Level,
    counts: Arc<Counts>,
    /// What stays until the next start, as it was at this one.
    fixed: BTreeMap<&'static str, String>,
    /// What the files held when they were last read. Held while a reload runs, so that there is one at a time.
    seen: Mutex<BTreeMap<PathBuf, Option<[u8; 32]>>>,
}

/// A reload that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    pub generation: u64,
    pub warnings: Vec<String>,
}

impl Terms {
    /// Takes the terms out of a configuration.
    pub fn of(config: &mut Config) -> Self {
        Self {
            properties: std::mem::take(&mut config.properties),
            trusted_proxies: std::mem::take(&mut config.trusted_proxies),
            client_address_header: config.client_address_header.clone(),
            operator_token: config.admin.as_ref().and_then(|admin| admin.token.clone()),
            statuses: config.statuses,
            rate: config.requests.rate,
            geo: Arc::new(std::mem::take(&mut config.geo)),
        }
    }
}

/// What of a configuration a reload cannot change, for people.
pub fn fixed(config: &Config) -> BTreeMap<&'static str, String> {
    let server = &config.server;
    BTreeMap::from([
        ("[server] http", format!("{:?}", server.http)),
        ("[server] https", format!("{:?}", server.https)),
        ("[server] proxy_protocol or proxy_protocol_from", format!("{:?}", server.proxy_protocol)),
        ("[server] http3 or http3_advertise", format!("{:?}", (&server.http3, &server.alt_svc))),
        ("[tls] policy", format!("{:?}", server.tls_policy)),
        ("[server] h2c", server.h2c.to_string()),
        ("[server] workers", config.workers.to_string()),
        (
            "[server] drain_timeout or drain_idle_timeout",
            format!("{:?}", (server.drain_timeout, server.drain_idle_timeout)),
        ),
        ("[server] user, group or handover_timeout", format!("{:?}", config.process)),
        ("[server.limits]", format!("{:?}", server.limits)),
        ("[server.limits] request_addresses_max", config.requests.addresses_max.to_string()),
        (
            "[admin] top_objects or top_sample",
            format!("{:?}", config.admin.as_ref().map(|admin| (admin.top_objects, admin.top_sample))),
        ),
        ("[admin] listen", format!("{:?}", config.admin.as_ref().map(|admin| admin.listen))),
        (
            "[log] access, format or access_queue",
            format!("{:?}", (&config.log.access, config.log.format, config.log.access_queue)),
        ),
        ("[traces]", format!("{:?}", config.traces)),
        ("[cache]", format!("{:?}", config.cache)),
        ("[fleet]", format!("{:?}", config.fleet)),
        ("[cache.disk]", format!("{:?}", config.disk)),
    ])
}

impl Reloader {
    #[expect(
        clippy::too_many_arguments,
        reason = "it is put together in one place, from the parts of a process"
    )]
    pub fn new(
        path: PathBuf,
        edge: Arc<Edge>,
        metrics: Arc<Metrics>,
        clock: Clock,
        acme: Option<Arc<Acme>>,
        level: Level,
        counts: Arc<Counts>,
        fixed: BTreeMap<&'static str, String>,
    ) -> Self {
        let seen = Mutex::new(contents(&path));
        Self { path, edge, metrics, clock, acme, level, counts, fixed, seen }
    }

    /// Reads the configuration anew and goes by it, or by the old one where it has a fault. Reads files: not for a thread
    /// that must not wait.
    pub fn reload(&self) -> Result<Reloaded, Faults> {
        manager::reloading();
        let reloaded = self.replace();
        match &reloaded {
            Ok(Reloaded { generation, .. }) => manager::status(&format!("configuration {generation}")),
            Err(_) => manager::status("the last reload was refused: its faults stand in the log"),
        }
        manager::ready();
        reloaded
    }

    fn replace(&self) -> Result<Reloaded, Faults> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = contents(&self.path);
        let now = self.clock.now();
        let mut config = config::load(&self.path, &self.metrics, now).inspect_err(|faults| {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            self.counts.is_outdated.store(true, Ordering::Relaxed);
            for line in faults.lines() {
                tracing::error!("the configuration was not reloaded: {line}");
            }
        })?;
        let mut warnings = std::mem::take(&mut config.warnings);
        for (key, value) in fixed(&config) {
            if self.fixed.get(key).is_some_and(|old| *old != value) {
                warnings.push(format!("{key} has changed; that takes effect at the next start"));
            }
        }
        if let (Some(acme), Some(read)) = (&self.acme, &config.server.certificates) {
            acme.certificates().adopt(read);
            acme.adopt(config.acme.take());
        }
        if let Err(error) = self.level.set(&config.log.level) {
            warnings.push(error.to_string());
        }
        self.edge.log.reopen();
        self.edge.adopt(Terms::of(&mut config));
        let generation = self.counts.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.counts.loaded.store(now.as_secs(), Ordering::Relaxed);
        self.counts.is_outdated.store(false, Ordering::Relaxed);
        tracing::info!(generation, "the configuration was reloaded");
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(Reloaded { generation, warnings })
    }

    /// The files that the configuration is made of and that cannot be read.
    pub fn unreadable(&self) -> Vec<PathBuf> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(_, digest)| digest.is_none()).map(|(file, _)| file.clone()).collect()
    }

    /// Whether a file that the configuration is made of is not what it was.
    fn has_changed(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        contents(&self.path) != *seen
    }

    /// Reloads at SIGHUP, and where `watches_files` at a change of a file, until `shutdown`.
    pub async fn run(self: Arc<Self>, watches_files: bool, shutdown: CancellationToken) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        let (tell, mut told) = mpsc::channel(1);
        let mut watcher = watches_files.then(|| self.watch(&tell)).flatten();
        loop {
            let is_change = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hangup.recv() => false,
                Some(()) = told.recv() => true,
            };
            if is_change {
                tokio::time::sleep(SETTLE).await;
                while told.try_recv().is_ok() {}
            }
            let reloader = self.clone();
            let reload = move || {
                if !is_change || reloader.has_changed() {
                    // The faults are logged where they are found.
                    let _ = reloader.reload();
                }
            };
            let _ = tokio::task::spawn_blocking(reload).await;
            // A new configuration may name other files.
            if watcher.is_some() {
                watcher = self.watch(&tell);
            }
        }
    }

    /// Watches the folders of all files: a file that is replaced by renaming another, or a mounted one whose folder is
    /// swapped, is another file, which only its folder tells.
    fn watch(&self, tell: &mpsc::Sender<()>) -> Option<RecommendedWatcher> {
        let tell = tell.clone();
        let heard = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // One that waits stands for all.
                let _ = tell.try_send(());
            }
        };
        let mut watcher = notify::recommended_watcher(heard)
            .inspect_err(|error| tracing::warn!("files are not watched; send SIGHUP to reload: {error}"))
            .ok()?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let folders: std::collections::BTreeSet<PathBuf> = seen.keys().map(|file| folder(file)).collect();
        for folder in folders {
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                tracing::warn!("{} is not watched; send SIGHUP to reload: {error}", folder.display());
            }
        }
        Some(watcher)
    }
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// The configuration's file and those that it names, each with a digest; `None` for one that cannot be read.
fn contents(path: &Path) -> BTreeMap<PathBuf, Option<[u8; 32]>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let named = config::files_named(&text, &folder(path));
    let digest = |file: &Path| std::fs::read(file).ok().map(|bytes| Sha256::digest(bytes).into());
    std::iter::once(path.to_owned()).chain(named).map(|file| (file.clone(), digest(&file))).collect()
}
