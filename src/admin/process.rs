//! `POST /reload`, `POST /drain`, `GET|PUT /log-level`: what operators change of the process itself.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::control::Control;
use super::problem::Problem;
use super::{Answer, json};

/// A level, as asked for and as it is.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLevel {
    level: String,
}

/// An empty object: with a body in JSON, which no form sends, nothing is asked for by mistake.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Reads the configuration anew. What has a fault changes nothing.
pub(super) async fn reload(control: &Control) -> Result<Answer, Problem> {
    let reload = control.reload.clone().ok_or_else(Problem::no_file)?;
    let done = tokio::task::spawn_blocking(move || reload()).await.map_err(|_| Problem::broken())?;
    Ok(json(StatusCode::OK, &done.map_err(Problem::refused_configuration)?))
}

/// Begins the drain, as SIGTERM does. This listener closes with the others.
pub(super) fn drain(control: &Control) -> Answer {
    tracing::info!("draining, as an operator asks");
    control.drain.cancel();
    json(StatusCode::ACCEPTED, &serde_json::json!({ "state": "draining" }))
}

pub(super) fn level(control: &Control) -> Answer {
    json(StatusCode::OK, &LogLevel { level: control.level.filter().to_string() })
}

/// Sets the level until the next reload or start.
pub(super) fn set_level(control: &Control, asked: &LogLevel) -> Result<Answer, Problem> {
    control.level.set(&asked.level).map_err(|error| Problem::field("level", error))?;
    tracing::warn!(level = asked.level, "an operator has set the log level");
    Ok(level(control))
}
