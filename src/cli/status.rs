//! `sluicegate status`: how a running edge does, for people and as a container's health check.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::admin::{AdminArgs, AdminError};

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Print the answer of GET /status as it is
    #[arg(long)]
    json: bool,
    /// Fail also where it serves and something is amiss, such as an origin that is down: what no restart mends
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    edge: AdminArgs,
}

/// 0 when the edge serves; 1 when it drains, cannot be asked or, with `--strict`, is degraded; 2 for bad input.
pub fn run(args: &StatusArgs) -> ExitCode {
    let status = match args.edge.ask(Method::GET, "/status", None) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("sluicegate: {error}");
            return error.exit_code();
        }
    };
    let Some(state) = status.get("state").and_then(Value::as_str) else {
        let error = AdminError::Strange(args.edge.admin.clone());
        eprintln!("sluicegate: {error}");
        return error.exit_code();
    };
    if args.json {
        println!("{status:#}");
    } else {
        print!("{}", for_people(state, &status));
    }
    if state == "serving" || (state == "degraded" && !args.strict) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

fn for_people(state: &str, status: &Value) -> String {
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let size = |pointer: &str| bytesize::ByteSize(number(pointer)).to_string();
    let commit = status.get("commit").and_then(Value::as_str).map(|commit| format!(" ({commit})"));
    let uptime = humantime::format_duration(Duration::from_secs(number("/uptimeSeconds")));
    let mut lines = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{name:<14} {value}");
    };
    line("state", state.to_owned());
    for problem in status.get("problems").and_then(Value::as_array).into_iter().flatten() {
        line("problem", problem.as_str().unwrap_or("?").to_owned());
    }
    line("version", format!("{}{}", text("/version"), commit.unwrap_or_default()));
    line("up for", uptime.to_string());
    line("configuration", format!("generation {}", number("/configuration/generation")));
    for kind in ["http", "https", "admin"] {
        let addresses = status.pointer(&format!("/listeners/{kind}")).and_then(Value::as_array);
        let addresses: Vec<&str> = addresses.into_iter().flatten().filter_map(Value::as_str).collect();
        if !addresses.is_empty() {
            line(kind, addresses.join(", "));
        }
    }
    line("connections", format!("{} open", number("/connections/open")));
    let memory = "/cache/memory";
    line(
        "cache",
        format!(
            "{} objects, {} in memory; {} playlists, {}",
            number(&format!("{memory}/objects")),
            size(&format!("{memory}/bytes")),
            number(&format!("{memory}/playlists")),
            size(&format!("{memory}/playlistBytes")),
        ),
    );
    if status.pointer("/cache/disk").is_some_and(Value::is_object) {
        line("disk", format!("{} objects, {}", number("/cache/disk/objects"), size("/cache/disk/bytes")));
    }
    let fleet = match status.pointer("/fleet/isConnected").and_then(Value::as_bool) {
        None => "alone".to_owned(),
        Some(true) => format!("connected, {} s behind", number("/fleet/ageSeconds")),
        Some(false) => "away".to_owned(),
    };
    line("fleet", fleet);
    lines
}
