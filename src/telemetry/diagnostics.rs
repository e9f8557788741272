//! Diagnostics on standard error, with a level that can be changed while the process runs.

use std::io::IsTerminal;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, reload};

use super::access_log::Format;

/// The level of the diagnostics; cheap to clone.
#[derive(Clone)]
pub struct Level {
    put: Arc<dyn Fn(EnvFilter) -> bool + Send + Sync>,
    /// As it was last set.
    text: Arc<ArcSwap<String>>,
}

/// The text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no log level; write error, warn, info, debug or trace, or a filter such as \"sluicegate=debug,warn\""
)]
pub struct NoLevel(String);

impl std::fmt::Debug for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Level(..)")
    }
}

impl Level {
    /// Where nothing is logged, as in tests: a level can be set, and does nothing.
    pub fn of_nothing() -> Self {
        Self { put: Arc::new(|_| true), text: Arc::new(ArcSwap::from_pointee("off".to_owned())) }
    }

    /// `filter`: `info`, or `sluicegate=debug,warn`.
    pub fn set(&self, filter: &str) -> Result<(), NoLevel> {
        let parsed = parsed(filter).ok_or_else(|| NoLevel(filter.to_owned()))?;
        if !(self.put)(parsed) {
            return Err(NoLevel(filter.to_owned()));
        }
        self.text.store(Arc::new(filter.to_owned()));
        Ok(())
    }

    /// The filter in force.
    pub fn filter(&self) -> Arc<String> {
        self.text.load_full()
    }
}

/// Diagnostics go to standard error, so that the access log may have standard output for itself. Called once in a process.
pub fn log_to_stderr(filter: &str, format: Format) -> Level {
    let text = Arc::new(ArcSwap::from_pointee(filter.to_owned()));
    let (filter, handle) = reload::Layer::new(parsed(filter).unwrap_or_else(|| EnvFilter::new(filter)));
    let lines = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_target(false).boxed(),
        Format::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Level { put: Arc::new(move |filter| handle.reload(filter).is_ok()), text }
}

/// The filter, and silence for what a client's frames can have a library say as often as it likes (h2 warns of each PING
/// that acknowledges none), unless the filter has a word on that.
fn parsed(filter: &str) -> Option<EnvFilter> {
    let names_h2 = filter.split(',').any(|directive| directive.trim().starts_with("h2"));
    let whole = if names_h2 { filter.to_owned() } else { format!("{filter},h2=error") };
    EnvFilter::try_new(whole).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_cannot_fill_the_log_through_http2() {
        let text = |filter: &str| parsed(filter).map(|filter| filter.to_string());
        assert!(text("info").is_some_and(|filter| filter.contains("h2=error") && filter.contains("info")));
        assert!(text("debug,h2=trace").is_some_and(|filter| !filter.contains("h2=error")));
        assert_eq!(text("sluicegate=loud"), None);
    }
}
