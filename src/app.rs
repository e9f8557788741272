//! Builds every part from the configuration and joins them.

mod certificates;
mod control;
mod disk;
mod fleet_metrics;
mod lifecycle;
pub mod reload;
mod traces;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;

use crate::acme::{self, Acme};
use crate::admin::control::Control;
use crate::admin::{self, Admin};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::edge::body::Body;
use crate::edge::objects::Objects;
use crate::edge::property::Property;
use crate::edge::rate::Rates;
use crate::edge::resting;
use crate::edge::{Edge, Terms};
use crate::fleet::settings::Fail;
use crate::fleet::{Fleet, FleetError};
use crate::geo::database::Database;
use crate::geo::file::Watched;
use crate::memory_file::MemoryFile;
use crate::origin::{Report, State};
use crate::server::challenges::Challenges;
use crate::server::counters::ConnectionCounters;
use crate::server::door::Refusal;
use crate::server::incoming::RequestBody;
use crate::server::listen::{Bound, ServerError, bind};
use crate::server::peer::Peer;
use crate::server::proxy_protocol;
use crate::server::settings::Settings;
use crate::server::tls::Certificates;
use crate::server::tls::mutual::Demands;
use crate::store;
use crate::store::fills::{self, Fills};
use crate::store::flights::Flights;
use crate::store::playlists::Playlists;
use crate::store::recent::Recent;
use crate::store::tiers::Tiers;
use crate::supervision::given::Predecessor;
use crate::supervision::manager;
use crate::supervision::privileges::{Identity, PrivilegesError};
use crate::supervision::successor::Program;
use crate::telemetry::access_log::{AccessLog, Writer};
use crate::telemetry::diagnostics::Level;
use crate::telemetry::metrics::{Labels, Metrics};
use crate::telemetry::traces::export::Exporter;

use lifecycle::Lifecycle;
use reload::{Counts, Reloader};

/// How long the first requests wait for what the fleet knows.
const FLEET_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that runs in one process, bound and ready.
#[derive(Debug)]
pub struct App {
    pub edge: Arc<Edge>,
    public: Bound,
    operators: Option<(Bound, Arc<Admin>)>,
    counters: Arc<ConnectionCounters>,
    acme: Option<Arc<Acme>>,
    writer: Writer,
    /// Where traces are sent.
    exporter: Option<Box<Exporter>>,
    /// Where the configuration came from a file, and whether its files are watched.
    reloader: Option<(Arc<Reloader>, bool)>,
    /// Begins the drain, whoever asks for it.
    drain: CancellationToken,
    lifecycle: Option<Lifecycle>,
    handover: Handover,
}

/// How the process makes way for another.
#[derive(Debug)]
struct Handover {
    timeout: Duration,
    failures: Arc<AtomicU64>,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Privileges(#[from] PrivilegesError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the access log cannot be opened: {0}")]
    AccessLog(io::Error),
    #[error("the TLS to the collector of traces cannot be set up: {0}")]
    Traces(rustls::Error),
    #[error(transparent)]
    Fleet(#[from] FleetError),
}

impl App {
    /// Binds all sockets and starts the access log. Nothing is accepted before [`App::run`]; it needs a runtime of
    /// tokio around it.
    pub fn build(
        mut config: Config,
        mut metrics: Metrics,
        clock: Clock,
        level: Level,
    ) -> Result<Self, AppError> {
        let (fixed, certificates) = (reload::fixed(&config), config.server.certificates.clone());
        let terms = Terms::of(&mut config);
        let memory_file = config.cache.is_sent_by_the_kernel.then(|| memory_file(&config.cache)).flatten();
        config.server.memory_file.clone_from(&memory_file);
        let (mut public, operators) = bind_all(config.server, config.admin.as_ref())?;
        become_another(&config.process)?;
        let (acme, challenges) = obtaining(config.acme, certificates, &clock, &mut metrics);
        let (log, writer) = AccessLog::start(&config.log.access, config.log.format, config.log.access_queue)
            .map_err(AppError::AccessLog)?;
        let counters = Arc::new(ConnectionCounters::default());
        let for_playlists = config.cache.memory_bytes / 8;
        let playlist_max = config.cache.object_bytes_max.min(for_playlists);
        let playlists = Arc::new(Playlists::new(for_playlists, playlist_max));
        let for_objects = config.cache.memory_bytes - for_playlists;
        let objects = objects(&config.cache, config.disk, for_objects, memory_file.clone());
        if let Some(file) = &memory_file {
            export_memory_file(&mut metrics, file);
        }
        export(&mut metrics, &counters, &playlists, &log);
        export_cache(&mut metrics, &objects);
        let exporter = traces::start(&mut metrics, config.traces, &clock)?;
        let nobody = Arc::new(metrics.property(""));
        let asked = || terms.properties.values().map(|property| &property.terms);
        let is_strict = asked().any(|terms| terms.fail == Fail::Closed);
        let fleet = Fleet::open(config.fleet, clock.clone(), is_strict)?;
        fleet.restore_viewings(asked());
        fleet_metrics::export(&mut metrics, &fleet);
        let edge = Arc::new(Edge {
            terms: ArcSwap::from_pointee(terms),
            clock: clock.clone(),
            fleet,
            playlists,
            objects,
            flights: Flights::new(config.cache.waiters_max),
            ways: Recent::new(fills::Limits::default().private_for),
            rates: Rates::new(config.requests.addresses_max),
            wait: config.cache.wait,
            challenges,
            log,
            nobody,
        });
        public = public.demanding(demands(&edge));
        export_servers(&mut metrics, &edge);
        let counting = edge.clone();
        metrics.export_count(
            "request_rates_forgotten",
            "Addresses whose rate of requests made room for another's before it had calmed down",
            Box::new(move || counting.rates.forgotten()),
        );
        export_geo(&mut metrics, &edge);
        let (started, drain) = (clock.now(), CancellationToken::new());
        let counts = export_reloads(&mut metrics, started);
        let failures = lifecycle::export(&mut metrics);
        let purging = Arc::downgrade(&edge);
        edge.fleet.carry_out_purges(Box::new(move |purged| {
            if let Some(edge) = purging.upgrade() {
                edge.carry_out(purged);
            }
        }));
        let metrics = Arc::new(metrics);
        let reloader = config.path.map(|path| {
            let (edge, metrics) = (edge.clone(), metrics.clone());
            let reloader =
                Reloader::new(path, edge, metrics, clock, acme.clone(), level.clone(), counts.clone(), fixed);
            (Arc::new(reloader), config.watches_files)
        });
        if let Some((reloader, _)) = reloader.as_ref().filter(|_| config.process.user.is_some()) {
            for file in reloader.unreadable() {
                let file = file.display();
                tracing::warn!("{file} cannot be read by the user of [server] user: a reload will fail");
            }
        }
        let operators = match (config.admin, operators) {
            (Some(admin), Some(bound)) => {
                let config::Admin { token, body_bytes_max, body_timeout, top_objects, top_sample, .. } =
                    admin;
                metrics.top().limit(top_objects, top_sample);
                let limits = admin::Limits { body_bytes_max, body_timeout };
                let reload = reloader.as_ref().map(|(reloader, _)| control::reload(reloader));
                let report = control::report(&public, &bound, &counters, &counts, acme.clone());
                let control = Control { reload, drain: drain.clone(), level, report };
                let admin = Admin { token, limits, metrics, edge: edge.clone(), control, started };
                Some((bound, Arc::new(admin)))
            }
            _ => None,
        };
        let handover = Handover { timeout: config.process.handover_timeout, failures };
        Ok(Self {
            edge,
            public,
            operators,
            counters,
            acme,
            writer,
            exporter,
            reloader,
            drain,
            lifecycle: None,
            handover,
        })
    }

    /// Has it say when it serves and when it ends, and make way for another process that SIGUSR2 asks for. Needs a
    /// runtime around it.
    pub fn supervised(mut self, predecessor: Option<Predecessor>, program: Program) -> io::Result<Self> {
        let mut listening = self.public.listening();
        if let Some((operators, _)) = &self.operators {
            listening = listening.and(operators.listening());
        }
        let Handover { timeout, failures } = &self.handover;
        self.lifecycle = Some(Lifecycle::new(predecessor, program, *timeout, listening, failures.clone())?);
        Ok(self)
    }

    /// The addresses of the plain and of the TLS listeners.
    pub fn addresses(&self) -> io::Result<(Vec<SocketAddr>, Vec<SocketAddr>)> {
        self.public.local_addresses()
    }

    /// The UDP addresses of HTTP/3.
    pub fn http3_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.public.http3_addresses()
    }

    /// The address of the operators' listener.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        let (bound, _) = self.operators.as_ref()?;
        bound.local_addresses().ok()?.0.first().copied()
    }

    /// What replaces the configuration, where it came from a file.
    pub fn reloader(&self) -> Option<Arc<Reloader>> {
        self.reloader.as_ref().map(|(reloader, _)| reloader.clone())
    }

    /// Serves until `shutdown`, then drains.
    pub async fn run(self, shutdown: CancellationToken) {
        let edge = self.edge.clone();
        self.run_with(shutdown, move |request, peer| edge.clone().serve(request, peer)).await;
    }

    /// As [`App::run`], with a handler in front of the edge's.
    pub async fn run_with<H, F>(self, shutdown: CancellationToken, handler: H)
    where
        H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let ending = shutdown.clone();
        let shutdown = self.drain.clone();
        let told = async {
            tokio::select! {
                () = ending.cancelled() => shutdown.cancel(),
                () = shutdown.cancelled() => {}
            }
        };
        let operators = async {
            if let Some((bound, admin)) = self.operators {
                let handler = move |request: Request<RequestBody>, _: Arc<Peer>| {
                    let admin = admin.clone();
                    async move { admin.answer(request).await }
                };
                bound.run(handler, Arc::new(ConnectionCounters::default()), shutdown.clone()).await;
            }
        };
        let refreshing = keep_fresh(self.edge.clone(), shutdown.clone());
        let reloads = async {
            if let Some((reloader, watches_files)) = self.reloader {
                reloader.run(watches_files, shutdown.clone()).await;
            }
        };
        let obtaining = async {
            if let Some(acme) = self.acme {
                acme.run(shutdown.clone()).await;
            }
        };
        let public = Box::pin(self.public.run(handler, self.counters, shutdown.clone()));
        let fleet = self.edge.fleet.clone();
        let has_ended = CancellationToken::new();
        let lifecycle = self.lifecycle;
        let is_watched = lifecycle.is_some();
        let supervised = Box::pin(async {
            if let Some(lifecycle) = lifecycle {
                lifecycle.run(shutdown.clone()).await;
            }
        });
        let serving = async {
            // So that an edge that starts does not admit whom it is about to hear of.
            fleet.read_once(FLEET_PATIENCE).await;
            tokio::join!(public, operators, refreshing, reloads, Box::pin(obtaining), told, supervised);
            has_ended.cancel();
        };
        let watchdog = async {
            if is_watched {
                has_ended.run_until_cancelled(manager::feed_watchdog()).await;
            }
        };
        let exporter = self.exporter;
        let tracing = Box::pin(async {
            if let Some(exporter) = exporter {
                exporter.run(has_ended.clone()).await;
            }
        });
        tokio::join!(serving, fleet.clone().run(has_ended.clone()), watchdog, tracing);
        // The edge holds the near end of the log; what is queued is written before the process ends.
        let writer = self.writer;
        let _ = tokio::task::spawn_blocking(move || writer.finish()).await;
    }
}

/// Which certificate a handshake asks the client for: what the property of its server name does.
fn demands(edge: &Arc<Edge>) -> Demands {
    let edge = Arc::downgrade(edge);
    Demands::new(move |name, port| {
        let terms = edge.upgrade()?.terms.load_full();
        terms.properties.select(name, Some(port))?.guard.clients.clone()
    })
}

/// Opens all sockets, or none; those that were given are taken first.
fn bind_all(server: Settings, admin: Option<&config::Admin>) -> Result<(Bound, Option<Bound>), ServerError> {
    let given = server.given.clone();
    let public = bind(server)?;
    let operators = admin
        .map(|admin| bind(Settings { http: vec![admin.listen], given: given.clone(), ..Settings::default() }))
        .transpose()?;
    for address in given.close_rest() {
        tracing::warn!(%address, "a socket was given for an address that no listener of the configuration has");
    }
    Ok((public, operators))
}

/// Objects in all tiers, and their fetches.
fn objects(
    cache: &config::Cache,
    disk: Option<config::disk::Disk>,
    for_objects: u64,
    memory_file: Option<Arc<MemoryFile>>,
) -> Arc<Objects> {
    let tiers = Tiers::new(for_objects, cache.object_bytes_max);
    let tiers = Arc::new(match disk {
        Some(config::disk::Disk { settings, admission }) => {
            tiers.with_disk(settings, resting::codec(), admission)
        }
        None => tiers,
    });
    Fills::with_memory_file(
        tiers,
        fills::Limits {
            waiters_max: cache.waiters_max,
            object_bytes_max: cache.object_bytes_max,
            flying_bytes_max: for_objects,
            window_bytes: cache.reader_window_bytes,
            laggard_time_max: cache.reader_time_max,
            private_for: cache.uncollapsed_for,
        },
        memory_file,
    )
}

/// What obtains certificates for the listeners, and what authorities ask for meanwhile.
fn obtaining(
    settings: Option<Arc<acme::settings::Settings>>,
    certificates: Option<Arc<Certificates>>,
    clock: &Clock,
    metrics: &mut Metrics,
) -> (Option<Arc<Acme>>, Arc<Challenges>) {
    let challenges = certificates.as_ref().map(|all| all.challenges().clone()).unwrap_or_default();
    let acme = certificates.map(|all| Arc::new(Acme::start(settings, all, clock.clone())));
    certificates::export(metrics, acme.as_ref());
    (acme, challenges)
}

/// Gives up root's rights, where the configuration says for whom.
fn become_another(process: &config::Process) -> Result<(), PrivilegesError> {
    let Some(user) = &process.user else { return Ok(()) };
    Identity::named(user, process.group.as_deref())?.take()
}

/// The file for large bodies; none, with a warning, where the system gives none.
fn memory_file(cache: &config::Cache) -> Option<Arc<MemoryFile>> {
    let made = MemoryFile::create(cache.memory_bytes);
    made.inspect_err(|error| {
        tracing::warn!("no memory file for the cache, bodies are copied to sockets: {error}");
    })
    .ok()
}

/// Has changed databases and lists of addresses read again, until `shutdown`.
async fn keep_fresh(edge: Arc<Edge>, shutdown: CancellationToken) {
    loop {
        let geo = edge.terms.load().geo.clone();
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(geo.check_interval) => {
                let _ = tokio::task::spawn_blocking(move || geo.refresh()).await;
            }
        }
    }
}

/// The databases and lists of addresses, into the metrics.
fn export_geo(metrics: &mut Metrics, edge: &Arc<Edge>) {
    type Pick = fn(&Watched) -> u64;
    let counts: [(&str, &str, Pick); 2] = [
        ("geo_file_reloads", "Changed databases and lists of addresses taken into use", Watched::reloads),
        (
            "geo_file_failures",
            "Changed databases and lists of addresses that cannot be used",
            Watched::failures,
        ),
    ];
    for (name, help, pick) in counts {
        let edge = edge.clone();
        let readings = move || {
            let geo = edge.terms.load().geo.clone();
            let databases = geo.databases().map(Database::file);
            let files = databases.chain(geo.lists.iter().flat_map(|list| list.files()));
            files.map(|file| (vec![("file", file.path().display().to_string())], pick(file))).collect()
        };
        metrics.export_labelled(name, help, false, Box::new(readings));
    }
    let edge = edge.clone();
    let ages = move || {
        let geo = edge.terms.load().geo.clone();
        let age = |database: &Database| edge.clock.now().saturating_sub(database.built()).as_secs();
        let labels = |database: &Database| vec![("database", database.name().to_owned())];
        geo.databases().map(|database| (labels(database), age(database))).collect()
    };
    metrics.export_labelled(
        "geo_database_age_seconds",
        "Time since a database was made",
        true,
        Box::new(ages),
    );
}

/// What other parts count, into the metrics.
fn export(
    metrics: &mut Metrics,
    counters: &Arc<ConnectionCounters>,
    playlists: &Arc<Playlists>,
    log: &AccessLog,
) {
    type Pick = fn(&ConnectionCounters) -> u64;
    let counts: [(&str, &str, Pick); 22] = [
        ("proxy_protocol_headers", "Headers of the PROXY protocol that were taken", |of| {
            of.proxy_headers.value()
        }),
        ("http3_connections_accepted", "Connections accepted over HTTP/3, also among all", |of| {
            of.h3_accepted.value()
        }),
        ("http3_handshakes_done", "Handshakes of HTTP/3 that succeeded, also among those of TLS", |of| {
            of.h3_handshakes.value()
        }),
        ("http3_retries", "Clients of HTTP/3 asked to prove their address first", |of| of.h3_retries.value()),
        ("http3_requests", "Requests over HTTP/3, also among all", |of| of.h3_requests.value()),
        ("connections_accepted", "Connections accepted", |of| of.accepted.value()),
        ("connections_refused_overall", "Connections refused: too many in all", |of| {
            of.refused_by_total.value()
        }),
        ("connections_refused_by_address", "Connections refused: too many of one address", |of| {
            of.refused_by_address.value()
        }),
        ("accept_errors", "Failures to accept (file limit and the like)", |of| of.accept_errors.value()),
        ("tls_handshakes_done", "TLS handshakes that succeeded", |of| of.tls_handshakes_done.value()),
        ("tls_handshakes_failed", "TLS handshakes that failed", |of| of.tls_handshakes_failed.value()),
        ("tls_handshakes_resumed", "TLS handshakes that went on from an earlier one", |of| {
            of.tls_handshakes_resumed.value()
        }),
        (
            "client_certificates_accepted",
            "TLS handshakes in which the client showed a good certificate",
            |of| of.client_certificates_accepted.value(),
        ),
        (
            "client_certificates_refused",
            "TLS handshakes that failed for want of a good certificate of the client",
            |of| of.client_certificates_refused.value(),
        ),
        ("tls_handshakes_timed_out", "TLS handshakes over their time", |of| {
            of.tls_handshakes_timed_out.value()
        }),
        ("requests_refused_by_protocol", "Heads that could not be read as HTTP", |of| {
            of.refused_by_protocol.value()
        }),
        ("header_timeouts", "Connections closed: a head did not come in time", |of| {
            of.header_timeouts.value()
        }),
        ("idle_timeouts", "Connections closed: idle", |of| of.idle_timeouts.value()),
        ("stalled_writes", "Connections closed: the client took no byte", |of| of.stalled_writes.value()),
        ("too_slow_readers", "Connections closed: the client read below the least rate", |of| {
            of.too_slow_readers.value()
        }),
        ("connections_cut_by_drain", "Connections cut at the end of the drain", |of| of.cut_by_drain.value()),
        ("connection_bytes_written", "Bytes written to connections", |of| of.bytes_written.value()),
    ];
    for (name, help, pick) in counts {
        let counters = counters.clone();
        metrics.export_count(name, help, Box::new(move || pick(&counters)));
    }
    for refusal in Refusal::ALL {
        let counters = counters.clone();
        let name = format!("door_refusals_{}", refusal.name());
        metrics.export_count(
            &name,
            "Requests refused at the door",
            Box::new(move || counters.refused(refusal)),
        );
    }
    for refusal in proxy_protocol::Refusal::ALL {
        let counters = counters.clone();
        metrics.export_count(
            &format!("proxy_protocol_refusals_{}", refusal.name()),
            "Connections closed for want of a good header of the PROXY protocol",
            Box::new(move || counters.proxy_refused(refusal)),
        );
    }
    let open = counters.clone();
    metrics.export_level("connections_open", "Connections open", Box::new(move || open.open.value()));
    let kept = playlists.clone();
    metrics.export_level("playlists_kept", "Playlists in memory", Box::new(move || kept.count() as u64));
    let kept = playlists.clone();
    metrics.export_level(
        "playlists_kept_bytes",
        "Bytes of playlists in memory",
        Box::new(move || kept.bytes()),
    );
    let lines = log.clone();
    metrics.export_count(
        "access_log_dropped",
        "Access log lines dropped, the queue being full",
        Box::new(move || lines.dropped()),
    );
}

/// What the cache counts, into the metrics.
fn export_cache(metrics: &mut Metrics, objects: &Arc<Objects>) {
    type Pick = fn(&store::counters::Counters) -> u64;
    disk::export(metrics, objects);
    let counts: [(&str, &str, Pick); 15] = [
        ("cache_memory_hits", "Objects found in memory, fresh or not", |of| of.memory_hits.total()),
        ("cache_memory_misses", "Objects not found in memory", |of| of.memory_misses.total()),
        ("cache_memory_evictions", "Objects that made room for others", |of| of.memory_evictions.total()),
        ("cache_memory_refused", "Objects too heavy to be kept", |of| of.memory_refused.total()),
        ("cache_fills", "Fetches of objects begun", |of| of.fills.total()),
        ("cache_fills_failed", "Fetches of objects that broke off", |of| of.fills_failed.total()),
        ("cache_fills_abandoned", "Fetches ended for want of readers", |of| of.fills_abandoned.total()),
        ("cache_fills_passed", "Objects streamed without being kept, for their size", |of| {
            of.fills_passed.total()
        }),
        ("cache_collapsed", "Requests that joined a fetch of another", |of| of.collapsed.total()),
        ("cache_crowded", "Requests refused: too many wait for the object", |of| of.crowded.total()),
        ("cache_readers_cut", "Readers cut off, holding up others", |of| of.readers_cut.total()),
        ("purges", "Purges done", |of| of.purges.total()),
        ("purged_memory", "Objects that purges took out of memory, or marked in it", |of| of.purged.total()),
        ("purged_disk", "Objects that purges took off the disk", |of| of.purged_on_disk.total()),
        ("purged_playlists", "Playlists that purges took out", |of| of.purged_playlists.total()),
    ];
    for (name, help, pick) in counts {
        let objects = objects.clone();
        metrics.export_count(name, help, Box::new(move || pick(objects.tiers().counters())));
    }
    let held = objects.clone();
    metrics.export_level(
        "cache_memory_bytes",
        "Bytes of objects in memory",
        Box::new(move || held.tiers().memory().bytes()),
    );
    let flying = objects.clone();
    metrics.export_level(
        "cache_arriving_bytes",
        "Bytes of objects that are arriving",
        Box::new(move || flying.bytes()),
    );
}

/// What the memory file counts, into the metrics.
fn export_memory_file(metrics: &mut Metrics, file: &Arc<MemoryFile>) {
    let held = file.clone();
    metrics.export_level(
        "memory_file_bytes",
        "Bytes that the memory file takes, of objects that are kept, arrive or are being sent",
        Box::new(move || held.held_bytes()),
    );
    let missed = file.clone();
    metrics.export_count(
        "memory_file_missed",
        "Slabs that had to come from the heap, for want of a place in the memory file or of memory for it",
        Box::new(move || missed.missed()),
    );
    let sent = file.clone();
    metrics.export_count(
        "memory_file_sent_bytes",
        "Bytes that the kernel sent to plain sockets from the memory file",
        Box::new(move || sent.sent_bytes()),
    );
}

/// What is known of reloads, into the metrics.
fn export_reloads(metrics: &mut Metrics, now: Duration) -> Arc<Counts> {
    type Pick = fn(&Counts) -> &AtomicU64;
    let counts = Arc::new(Counts::default());
    counts.generation.store(1, Ordering::Relaxed);
    counts.loaded.store(now.as_secs(), Ordering::Relaxed);
    let levels: [(&str, &str, Pick); 2] = [
        ("config_generation", "Configurations taken since the start, the first included", |of| {
            &of.generation
        }),
        ("config_loaded_seconds", "Unix time at which the configuration in force was taken", |of| &of.loaded),
    ];
    for (name, help, pick) in levels {
        let counts = counts.clone();
        metrics.export_level(name, help, Box::new(move || pick(&counts).load(Ordering::Relaxed)));
    }
    let failed = counts.clone();
    metrics.export_count(
        "config_reload_failures",
        "Reloads that were refused for a fault in the configuration",
        Box::new(move || failed.failures.load(Ordering::Relaxed)),
    );
    counts
}

/// What each property's origin servers count, into the metrics.
fn export_servers(metrics: &mut Metrics, edge: &Arc<Edge>) {
    type Pick = fn(&Report) -> u64;
    let numbers: [(&str, &str, bool, Pick); 5] = [
        ("origin_server_requests", "Requests to a server of an origin", false, |of| of.requests),
        ("origin_server_failures", "Failures of a server of an origin", false, |of| of.failures),
        ("origin_server_ejections", "How often a server of an origin was put out", false, |of| of.ejections),
        ("origin_server_under_way", "Requests to a server that are under way", true, |of| {
            of.under_way as u64
        }),
        ("origin_server_up", "Whether a server of an origin is asked: 1 or 0", true, |of| {
            u64::from(of.state == State::Up)
        }),
    ];
    for (name, help, is_level, pick) in numbers {
        let edge = edge.clone();
        let readings = move || {
            let properties = edge.terms.load().by_name();
            properties.values().flat_map(|property| server_readings(property, pick)).collect()
        };
        metrics.export_labelled(name, help, is_level, Box::new(readings));
    }
}

/// What the servers of one property's origins count; those of a named origin with its name.
fn server_readings(property: &Property, pick: fn(&Report) -> u64) -> Vec<(Labels, u64)> {
    let mut readings = Vec::new();
    for upstream in &property.upstreams {
        for report in upstream.source.servers() {
            let value = pick(&report);
            let mut labels = vec![("property", property.name.to_string()), ("server", report.name)];
            if !upstream.name.is_empty() {
                labels.push(("origin", upstream.name.to_string()));
            }
            readings.push((labels, value));
        }
    }
    readings
}
