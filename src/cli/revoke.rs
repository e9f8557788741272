//! `sluicegate revoke`: refuses viewers at a running edge and its fleet, or admits them again; and keeps the lists.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::admin::{AdminArgs, AdminError};

#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    whom: Whom,
    /// For how long
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Take the revocation back
    #[arg(long, conflicts_with_all = ["duration", "show", "lists", "create_list", "delete_list"])]
    undo: bool,
    /// In this list, by its id; 0 is the default list, which every property obeys
    #[arg(long, value_name = "ID", default_value_t = 0)]
    list: u32,
    #[command(flatten)]
    edge: AdminArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Whom {
    /// The session id of access tokens; may be given again
    #[arg(long, value_name = "ID")]
    session_id: Vec<String>,
    /// The payload of access tokens; may be given again
    #[arg(long, value_name = "TEXT")]
    payload: Vec<String>,
    /// A client's address or a network; may be given again
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<String>,
    /// Show the identifiers of the list, 1000 on a page
    #[arg(long, value_name = "PAGE", num_args = 0..=1, default_missing_value = "1")]
    show: Option<u64>,
    /// Show all lists
    #[arg(long)]
    lists: bool,
    /// Make a list of this name
    #[arg(long, value_name = "NAME")]
    create_list: Option<String>,
    /// Delete the list of this id, with all in it
    #[arg(long, value_name = "ID")]
    delete_list: Option<u32>,
}

/// 0 when it is done, 1 when the edge could not be asked or refused, 2 for bad input.
pub fn run(args: &RevokeArgs) -> ExitCode {
    match revoke(args) {
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

fn revoke(args: &RevokeArgs) -> Result<String, AdminError> {
    let (whom, list) = (&args.whom, args.list);
    let strange = || AdminError::Strange(args.edge.admin.clone());
    let mut text = String::new();
    if whom.lists {
        let lists = args.edge.ask(Method::GET, "/revocation-lists", None)?;
        for list in lists.as_array().ok_or_else(strange)? {
            let name = list["name"].as_str().unwrap_or_default();
            let _ = writeln!(text, "{:>10}  {:>6} of {}  {name}", list["id"], list["count"], list["limit"]);
        }
    }
    if let Some(name) = &whom.create_list {
        let made = args.edge.ask(Method::POST, "/revocation-lists", Some(&json!({ "name": name })))?;
        let _ = writeln!(text, "list {} made: {name}", made["id"]);
    }
    if let Some(id) = whom.delete_list {
        args.edge.ask(Method::DELETE, &format!("/revocation-lists/{id}"), None)?;
        let _ = writeln!(text, "list {id} deleted");
    }
    if let Some(page) = whom.show {
        let path = format!("/revocation-lists/{list}/identifiers?page={page}&pageSize=1000");
        let shown = args.edge.ask(Method::GET, &path, None)?;
        for one in shown["identifiers"].as_array().ok_or_else(strange)? {
            let left = Duration::from_secs(one["ttl"].as_u64().unwrap_or_default());
            let (kind, id) =
                (one["kind"].as_str().unwrap_or_default(), one["id"].as_str().unwrap_or_default());
            let _ = writeln!(text, "{kind:<9} {id}  ends in {}", humantime::format_duration(left));
        }
        let _ = writeln!(text, "{} in all", shown["count"]);
    }
    let kinds = [("session", &whom.session_id), ("payload", &whom.payload), ("address", &whom.address)];
    let identifiers: Vec<Value> = kinds
        .into_iter()
        .flat_map(|(kind, ids)| ids.iter().map(move |id| json!({ "kind": kind, "id": id })))
        .collect();
    if identifiers.is_empty() {
        return Ok(text);
    }
    if args.undo {
        let path = format!("/revocation-lists/{list}/identifiers/remove");
        let done = args.edge.ask(Method::POST, &path, Some(&Value::from(identifiers)))?;
        let _ = writeln!(text, "taken back: {}", done["removed"]);
    } else {
        let seconds = args.duration.as_secs();
        let timed = identifiers.into_iter().map(|mut one| {
            one["durationSeconds"] = seconds.into();
            one
        });
        let path = format!("/revocation-lists/{list}/identifiers/add");
        let done = args.edge.ask(Method::POST, &path, Some(&timed.collect::<Value>()))?;
        let _ = write!(text, "revoked: {}", done["added"]);
        text.push_str(if done["reachedFleet"] == true {
            "\n"
        } else {
            ", at this edge; the fleet is away, and is told when it is back\n"
        });
    }
    Ok(text)
}
