//! The command line: one file for each subcommand.

pub mod admin;
pub mod cert;
pub mod check;
pub mod demo;
pub mod documents;
pub mod lab;
pub mod purge;
pub mod reload;
pub mod revoke;
pub mod serve;
pub mod sessions;
pub mod status;
pub mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::clock::Clock;
use crate::telemetry::build::VERSION;

/// Access control at the edge for HLS video
///
/// Sluicegate stands in front of an HLS origin. It verifies the access token of a viewer's first request, mints a
/// session token, puts it on every URI of the playlists or in a cookie, and verifies it on every request that follows.
#[derive(Debug, Parser)]
#[command(name = "sluicegate", version = VERSION, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: synthetic streams, an edge in front of them, a token endpoint and a player page, in one process
    Demo(demo::DemoArgs),
    /// Run the edge
    Serve(serve::ServeArgs),
    /// Judge a configuration without binding a port
    Check(check::CheckArgs),
    /// Take objects out of a running edge's cache
    Purge(purge::PurgeArgs),
    /// Show how a running edge does; a container's health check
    Status(status::StatusArgs),
    /// Have a running edge read its configuration anew
    Reload(reload::ReloadArgs),
    /// End a running edge when the requests under way are answered
    Drain(reload::DrainArgs),
    /// Refuse viewers by session id, payload or address, or admit them again
    Revoke(revoke::RevokeArgs),
    /// List who watches, where viewings are counted, or end a viewing
    Sessions(sessions::SessionsArgs),
    /// Make, read and judge access tokens
    Token(Box<token::args::TokenArgs>),
    /// Run a part of the lab alone: an origin to try an edge with
    Lab(lab::LabArgs),
    /// Make a certificate for development
    Cert(cert::CertArgs),
    /// Print what a shell needs to complete commands
    Completions(documents::CompletionsArgs),
    /// Write the pages of the manual
    #[command(hide = true)]
    Manual(documents::ManualArgs),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "config.toml", env = "SLUICEGATE_CONFIG")]
    pub config: PathBuf,
}

/// Runs the command of this process.
pub fn run() -> ExitCode {
    // Two providers could be compiled in one day; which one is used should not be found out at the first handshake.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let clock = Clock::system(0);
    match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args, &clock),
        Command::Purge(args) => purge::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Drain(args) => reload::drain(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Sessions(args) => sessions::run(&args),
        Command::Token(args) => {
            token::run(&args, clock.now(), &mut std::io::stdout(), &mut std::io::stderr())
        }
        Command::Lab(args) => lab::run(&args),
        Command::Completions(args) => documents::completions(&args),
        Command::Manual(args) => documents::manual(&args),
        Command::Cert(args) => match cert::run(&args, clock.now(), &mut std::io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
    }
}

/// One line on standard error, and the status of bad input.
fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("sluicegate: {error}");
    ExitCode::from(2)
}
