//! An edge on a free port, with a clock that is moved by hand.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sluicegate::app::App;
use sluicegate::app::reload::Reloader;
use sluicegate::clock::Clock;
use sluicegate::config::fault::Faults;
use sluicegate::config::{self, Config};
use sluicegate::domain::token::edgeauth::Delimiters;
use sluicegate::domain::token::edgeauth::sign::{MintRequest, Target, sign};
use sluicegate::domain::token::key::{Algorithm, Secret};
use sluicegate::fleet::Fleet;
use sluicegate::telemetry::diagnostics::Level;
use sluicegate::telemetry::metrics::Metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{KEY, START, TestOrigin};

/// A running edge. It ends with the test.
pub struct TestEdge {
    pub address: SocketAddr,
    /// The TLS listener, where there is one.
    pub secure: Option<SocketAddr>,
    /// The operators' listener.
    pub admin: SocketAddr,
    pub clock: Clock,
    /// Where the configuration came from a file.
    pub reloader: Option<Arc<Reloader>>,
    /// What it shares with other edges.
    pub fleet: Arc<Fleet>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl TestEdge {
    /// An edge with one property, `test`, for all hosts, in front of `origin`. `extra` goes into the property: keys such as
    /// `session = { carrier = "query" }`, one a line.
    pub async fn start(origin: &TestOrigin, extra: &str) -> Self {
        let key = if extra.lines().any(|line| line.starts_with("access")) {
            String::new()
        } else {
            format!("access = {{ key = {{ hex = \"{KEY}\" }} }}")
        };
        let property = format!(
            "[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\n{key}\n{extra}\n",
            origin.address
        );
        Self::with_config(&property).await
    }

    /// An edge with one property, `test`, that asks for no token. `origin` are the keys of its origin, `urls` among
    /// them; `extra` goes into the property.
    pub async fn open(origin: &str, extra: &str) -> Self {
        Self::with_config(&format!(
            "[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ {origin} }}\naccess = {{ action = \"open\" }}\n{extra}\n"
        ))
        .await
    }

    /// The value of a counter or level of the property `test`; `labels` stand after the property's.
    pub async fn metric(&self, name: &str, labels: &str) -> u64 {
        let start = format!("sluicegate_{name}{{property=\"test\"{labels}}} ");
        let text = super::get(self.admin, "/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{start}\n{text}"))
    }

    /// An edge of this configuration; `[server]`, `[admin]` and `[log]` are added.
    pub async fn with_config(properties: &str) -> Self {
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n{properties}"
        );
        Self::with_text(&text).await
    }

    /// An edge of this whole configuration.
    pub async fn with_text(text: &str) -> Self {
        Self::started(|metrics, now| config::parse(text, "test.toml", Path::new("."), metrics, now)).await
    }

    /// An edge of the configuration in this file, which can be reloaded.
    pub async fn with_file(path: &Path) -> Self {
        Self::started(|metrics, now| config::load(path, metrics, now)).await
    }

    /// Ends it, and waits until all of it has ended.
    pub async fn end(mut self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    /// When all of it has ended.
    pub async fn ended(&mut self) {
        (&mut self.task).await.expect("no panic");
    }

    async fn started(parse: impl FnOnce(&Metrics, Duration) -> Result<Config, Faults>) -> Self {
        let clock = Clock::manual(Duration::from_secs(START));
        let metrics = Metrics::new();
        let config =
            parse(&metrics, clock.now()).unwrap_or_else(|faults| panic!("{}", faults.lines().join("\n")));
        let app = App::build(config, metrics, clock.clone(), Level::of_nothing()).expect("an edge");
        let (plain, secure) = app.addresses().expect("addresses");
        let (address, secure) = (plain[0], secure.first().copied());
        let admin = app.admin_address().expect("an admin listener");
        let reloader = app.reloader();
        let shutdown = CancellationToken::new();
        let fleet = app.edge.fleet.clone();
        let task = tokio::spawn(app.run(shutdown.clone()));
        Self { address, secure, admin, clock, reloader, fleet, shutdown, task }
    }
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The seconds by which the clock of the program, as a process of its own, has to be moved to stand near `START`.
pub fn clock_offset() -> i64 {
    START.cast_signed() - Clock::system(0).now().as_secs().cast_signed()
}

/// `hdnts=…` for an ACL, good for five minutes from `START`.
pub fn access_token(acl: &str) -> String {
    signed(Target::Acl(vec![acl.to_owned()]), START + 300, None, None)
}

/// `hdnts=…` with every field that tests need.
pub fn signed(target: Target, expires: u64, session_id: Option<&str>, payload: Option<&str>) -> String {
    let key = Secret::from_hex(KEY).expect("a key");
    let request = MintRequest {
        key: &key,
        algorithm: Algorithm::Sha256,
        salt: None,
        start: None,
        end: Some(expires),
        window_seconds: None,
        target,
        ip: None,
        session_id,
        payload,
        escape: None,
        delimiters: Delimiters::default(),
        now: Duration::from_secs(START),
    };
    format!("hdnts={}", sign(&request).expect("a token"))
}

impl TestEdge {
    /// What the operators' listener says of this counter, with its labels: `denials_total{property="test",reason="expired"}`.
    pub async fn count(&self, counter: &str) -> u64 {
        let text = super::get(self.admin, "/metrics").await.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("sluicegate_")?.strip_prefix(counter)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {counter} in {text}"))
    }

    /// How often the property `test` refused for this reason.
    pub async fn denials(&self, reason: &str) -> u64 {
        self.count(&format!("denials_total{{property=\"test\",reason=\"{reason}\"}}")).await
    }
}
