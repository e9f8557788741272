//! `sluicegate purge`: takes objects out of a running edge's cache.

use std::process::ExitCode;

use http::Method;
use serde_json::{Value, json};

use super::admin::{AdminArgs, AdminError};

#[derive(Debug, clap::Args)]
pub struct PurgeArgs {
    #[command(flatten)]
    what: What,
    /// Leave objects in memory, marked stale: the origin is asked before they are served again, and they are served when
    /// it fails. Playlists and what lies on disk go in any case
    #[arg(long)]
    soft: bool,
    /// Of this property only
    #[arg(long, value_name = "NAME")]
    property: Option<String>,
    #[command(flatten)]
    edge: AdminArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// One URL as viewers ask for it, with all its variants; or a path, with --property
    #[arg(long)]
    url: Option<String>,
    /// All URLs that begin so
    #[arg(long, value_name = "URL")]
    prefix: Option<String>,
    /// All objects with this surrogate key (a word of the origin's Surrogate-Key header)
    #[arg(long, value_name = "KEY")]
    tag: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
}

/// 0 when it is done, 1 when the edge could not be asked or refused, 2 for bad input.
pub fn run(args: &PurgeArgs) -> ExitCode {
    match purge(args) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sluicegate: {error}");
            error.exit_code()
        }
    }
}

fn purge(args: &PurgeArgs) -> Result<String, AdminError> {
    let What { url, prefix, tag, all } = &args.what;
    let mut body = json!({});
    let members = [
        ("url", url.clone().map(Value::from)),
        ("prefix", prefix.clone().map(Value::from)),
        ("tag", tag.clone().map(Value::from)),
        ("all", all.then(|| Value::from(true))),
        ("soft", args.soft.then(|| Value::from(true))),
        ("property", args.property.clone().map(Value::from)),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    let done = args.edge.ask(Method::POST, "/purge", Some(&body))?;
    let count = |name: &str| {
        let count = done.get(name).and_then(Value::as_u64);
        count.ok_or_else(|| AdminError::Strange(args.edge.admin.clone()))
    };
    let word = if args.soft { "marked stale in memory" } else { "in memory" };
    Ok(format!(
        "purged: {} objects {word}, {} on disk, {} playlists",
        count("memory")?,
        count("disk")?,
        count("playlists")?
    ))
}
