//! What the process hands in, so that operators may see and change it: its reloader, its drain, its log level, its numbers.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::telemetry::diagnostics::Level;

/// Replaces the configuration. It reads files, and may take its time.
pub type Reload = Arc<dyn Fn() -> Result<Reloaded, Refused> + Send + Sync>;

/// The process that the operators' listener belongs to.
pub struct Control {
    /// None where the configuration did not come from a file.
    pub reload: Option<Reload>,
    /// Begins the drain when it is cancelled.
    pub drain: CancellationToken,
    pub level: Level,
    pub report: Box<dyn Fn() -> Report + Send + Sync>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("drain", &self.drain).finish_non_exhaustive()
    }
}

/// A reload that was done.
#[derive(Clone, Debug, Serialize)]
pub struct Reloaded {
    pub generation: u64,
    pub warnings: Vec<String>,
}

/// Why a configuration was not taken: all of its faults.
#[derive(Clone, Debug)]
pub struct Refused {
    pub file: String,
    pub faults: Vec<Fault>,
}

/// A fault of a configuration, with its place where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// What the process tells of itself.
#[derive(Clone, Debug)]
pub struct Report {
    pub configuration: Configuration,
    pub listeners: Listeners,
    pub certificates: Vec<Certificate>,
    pub connections: Connections,
}

/// A certificate of the listeners, or one that is to be obtained.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    pub names: Vec<String>,
    /// `file` or `acme`.
    pub source: &'static str,
    /// Unix time; none where there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Unix time at which the next is asked for, where it is obtained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<u64>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// 1 for the configuration of the start.
    pub generation: u64,
    /// Unix time at which the one in force was taken.
    pub loaded_at: u64,
    pub reloads_refused: u64,
    /// Whether the file was refused when it was last read, so that an older one is in force.
    pub is_outdated: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct Listeners {
    pub http: Vec<String>,
    pub https: Vec<String>,
    pub admin: Vec<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Connections {
    pub open: u64,
    pub accepted: u64,
}
