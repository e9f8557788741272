//! The process and those around it: it says when it serves and when it ends, and makes way for its successor on SIGUSR2.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::server::given::Listening;
use crate::supervision::given::Predecessor;
use crate::supervision::manager;
use crate::supervision::successor::{HandoverError, Program};
use crate::telemetry::metrics::Metrics;

/// What a process that serves alone does not have.
#[derive(Debug)]
pub struct Lifecycle {
    predecessor: Option<Predecessor>,
    program: Program,
    asked: Signal,
    timeout: Duration,
    listening: Listening,
    failures: Arc<AtomicU64>,
}

impl Lifecycle {
    /// From now on SIGUSR2 asks for a successor. Needs a runtime around it.
    pub(super) fn new(
        predecessor: Option<Predecessor>,
        program: Program,
        timeout: Duration,
        listening: Listening,
        failures: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let asked = signal(SignalKind::user_defined2())?;
        Ok(Self { predecessor, program, asked, timeout, listening, failures })
    }

    /// Says that the process serves; begins the `drain` when a successor does, and says so when something else has begun it.
    pub(super) async fn run(mut self, drain: CancellationToken) {
        if let Some(predecessor) = self.predecessor.take()
            && let Err(error) = predecessor.tell_ready()
        {
            tracing::error!("nobody waits for this process to take over, it ends: {error}");
            drain.cancel();
            return;
        }
        manager::ready();
        tokio::select! {
            successor = self.succeeded() => {
                tracing::info!(successor, "draining: another process has taken over");
                manager::main_process_is(successor);
                drain.cancel();
            }
            () = drain.cancelled() => manager::stopping(),
        }
    }

    /// Waits until a successor serves; its process id. One that fails changes nothing.
    async fn succeeded(&mut self) -> u32 {
        loop {
            if self.asked.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            tracing::info!("another process is asked to take over");
            let begun = match self.listening.duplicates() {
                Ok(sockets) => self.program.succeed(sockets, self.timeout).await,
                Err(error) => Err(HandoverError::Sockets(error)),
            };
            match begun {
                Ok(successor) => return successor,
                Err(error) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!("no other process took over, this one goes on: {error}");
                }
            }
        }
    }
}

/// What is known of successors, into the metrics.
pub(super) fn export(metrics: &mut Metrics) -> Arc<AtomicU64> {
    let failures = Arc::new(AtomicU64::new(0));
    let counted = failures.clone();
    metrics.export_count(
        "handover_failures",
        "Successors (SIGUSR2) that did not come to serve",
        Box::new(move || counted.load(Ordering::Relaxed)),
    );
    failures
}
