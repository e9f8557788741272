//! `sluicegate serve`: the edge, until it is told to end.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::Clock;
use crate::config;
use crate::server;
use crate::supervision::given::Given;
use crate::supervision::successor::Program;
use crate::telemetry::diagnostics::log_to_stderr;
use crate::telemetry::metrics::Metrics;

use super::{ConfigArgs, check, fail};

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Seconds by which the edge's clock is ahead of the system's (negative: behind), to test expiry
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    clock_offset: i64,
}

pub fn run(args: &ServeArgs) -> ExitCode {
    let given = match Given::from_environment() {
        Ok(given) => given,
        Err(error) => return fail(&error),
    };
    let metrics = Metrics::new();
    let clock = Clock::system(args.clock_offset);
    let mut config = match config::load(&args.config.config, &metrics, clock.now()) {
        Ok(config) => config,
        Err(faults) => {
            check::report(faults);
            return ExitCode::from(2);
        }
    };
    let level = log_to_stderr(&config.log.level, config.log.format);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    config.server.given = server::given::Given::new(given.listeners);
    config.server.waits_for_udp = given.predecessor.is_some();
    if config.process.user.is_some() {
        // Inherited by the threads that come: no program that they start gets more rights than they have.
        if let Err(error) = rustix::thread::set_no_new_privs(true) {
            return fail(&std::io::Error::from(error));
        }
    }
    let program = match Program::of_this_process() {
        Ok(program) => program,
        Err(error) => return fail(&error),
    };
    let runtime = match runtime(config.workers) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(async {
        let summary = config.summary.clone();
        let app = match App::build(config, metrics, clock, level) {
            Ok(app) => app,
            Err(error) => return fail(&error),
        };
        for line in summary {
            tracing::info!("{line}");
        }
        announce(&app);
        let app = match app.supervised(given.predecessor, program) {
            Ok(app) => app,
            Err(error) => return fail(&error),
        };
        let shutdown = CancellationToken::new();
        end_on_signal(shutdown.clone());
        Box::pin(app.run(shutdown)).await;
        ExitCode::SUCCESS
    })
}

fn announce(app: &App) {
    if let Ok((plain, secure)) = app.addresses() {
        for address in plain {
            tracing::info!("listening on http://{address}");
        }
        for address in secure {
            tracing::info!("listening on https://{address}");
        }
    }
    if let Some(address) = app.admin_address() {
        tracing::info!("operators' listener on http://{address}");
    }
}

/// A runtime with so many threads; 0 for one per CPU.
pub fn runtime(workers: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let workers = if workers > 0 { workers } else { std::thread::available_parallelism()?.get() };
    // One thread has nobody to share its tasks with, and is spared what sharing costs.
    let mut builder = if workers == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.max_blocking_threads(64).enable_all().build()
}

/// SIGTERM and SIGINT begin the drain; a second one ends the process at once.
pub fn end_on_signal(shutdown: CancellationToken) {
    tokio::spawn(async move {
        signal().await;
        tracing::info!("draining; a second signal ends at once");
        shutdown.cancel();
        signal().await;
        std::process::exit(130);
    });
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
