//! An edge that writes its access log to a file, which is read when the edge has ended.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sluicegate::app::App;
use sluicegate::clock::Clock;
use sluicegate::config;
use sluicegate::telemetry::diagnostics::Level;
use sluicegate::telemetry::metrics::Metrics;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{KEY, START, TestOrigin};

/// A running edge with a log.
pub struct LoggedEdge {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    folder: TempDir,
}

impl LoggedEdge {
    /// An edge with the property `test` in front of `origin`. `format` is `text` or `json`; `extra` goes into the property.
    pub fn start(origin: &TestOrigin, format: &str, extra: &str) -> Self {
        let key = if extra.lines().any(|line| line.starts_with("access")) {
            String::new()
        } else {
            format!("access = {{ key = {{ hex = \"{KEY}\" }} }}")
        };
        let property = format!(
            "[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\n{key}\n{extra}\n",
            origin.address
        );
        Self::with_config(format, &property)
    }

    /// An edge with these properties; `[server]`, `[admin]` and `[log]` are added.
    pub fn with_config(format: &str, properties: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = '{}'\nformat = \"{format}\"\n{properties}",
            folder.path().join("access.log").display(),
        );
        let clock = Clock::manual(Duration::from_secs(START));
        let metrics = Metrics::new();
        let parsed = config::parse(&text, "test.toml", Path::new("."), &metrics, clock.now());
        let config = parsed.unwrap_or_else(|faults| panic!("{}", faults.lines().join("\n")));
        let app = App::build(config, metrics, clock, Level::of_nothing()).expect("an edge");
        let address = app.addresses().expect("addresses").0[0];
        let admin = app.admin_address().expect("an admin listener");
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(app.run(shutdown.clone()));
        Self { address, admin, shutdown, running, folder }
    }

    /// Ends the edge and reads what it has written.
    pub async fn finish(self) -> String {
        self.shutdown.cancel();
        self.running.await.expect("the edge ends");
        std::fs::read_to_string(self.folder.path().join("access.log")).expect("a log")
    }
}
