//! `sluicegate reload` and `sluicegate drain`: what signals do, over the operators' listener, with an answer.

use std::process::ExitCode;

use http::Method;
use serde_json::{Value, json};

use super::admin::{AdminArgs, AdminError};

#[derive(Debug, clap::Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    edge: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub struct DrainArgs {
    #[command(flatten)]
    edge: AdminArgs,
}

/// 0 when the new configuration is in force, 1 when the edge could not be asked, 2 when the configuration has a fault.
pub fn run(args: &ReloadArgs) -> ExitCode {
    match args.edge.ask(Method::POST, "/reload", Some(&json!({}))) {
        Ok(done) => {
            let generation = done.get("generation").and_then(Value::as_u64).unwrap_or_default();
            println!("reloaded: generation {generation}");
            for warning in done.get("warnings").and_then(Value::as_array).into_iter().flatten() {
                println!("warning: {}", warning.as_str().unwrap_or_default());
            }
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

/// 0 when the drain has begun, 1 when the edge could not be asked.
pub fn drain(args: &DrainArgs) -> ExitCode {
    match args.edge.ask(Method::POST, "/drain", Some(&json!({}))) {
        Ok(_) => {
            println!("draining");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &AdminError) -> ExitCode {
    eprintln!("sluicegate: {error}");
    error.exit_code()
}
