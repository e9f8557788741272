//! `sluicegate sessions`: who watches through a running edge and its fleet; ends a viewing.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use http::Method;

use super::admin::{AdminArgs, AdminError};

#[derive(Debug, clap::Args)]
pub struct SessionsArgs {
    /// Which page of the list
    #[arg(long, default_value_t = 1)]
    page: u64,
    /// Viewings on a page
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    page_size: u64,
    /// End this viewing: the 16 hex digits of the list
    #[arg(long, value_name = "VIEWING")]
    end: Option<String>,
    /// For how long it stays ended: as long as its session would live
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
    duration: Duration,
    #[command(flatten)]
    edge: AdminArgs,
}

/// 0 when it is done, 1 when the edge could not be asked or refused, 2 for bad input.
pub fn run(args: &SessionsArgs) -> ExitCode {
    match sessions(args) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sluicegate: {error}");
            error.exit_code()
        }
    }
}

fn sessions(args: &SessionsArgs) -> Result<String, AdminError> {
    let mut text = String::new();
    if let Some(viewing) = &args.end {
        let seconds = args.duration.as_secs();
        let path = format!("/sessions/{viewing}?durationSeconds={seconds}");
        args.edge.ask(Method::DELETE, &path, None)?;
        let _ = writeln!(text, "ended: {viewing}");
        return Ok(text);
    }
    let path = format!("/sessions?page={}&pageSize={}", args.page, args.page_size);
    let shown = args.edge.ask(Method::GET, &path, None)?;
    let list = shown["sessions"].as_array().ok_or_else(|| AdminError::Strange(args.edge.admin.clone()))?;
    for one in list {
        let word = |name: &str| one[name].as_str().unwrap_or_default();
        let seen = one["seenSecondsAgo"].as_u64().unwrap_or_default();
        let _ = writeln!(
            text,
            "{}  {}  {}={}  {}  seen {seen} s ago",
            word("viewing"),
            word("property"),
            word("by"),
            word("value"),
            word("address")
        );
    }
    let whose = if shown["ofAllEdges"] == true { "" } else { ", at this edge; the fleet is away" };
    let _ = writeln!(text, "{} in all{whose}", shown["count"]);
    Ok(text)
}
