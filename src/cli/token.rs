//! `sluicegate token`: mint, inspect, verify and explain tokens, without a running edge.

use std::io::Write;
use std::process::ExitCode;

use crate::domain::token::grant::UnixTime;
use crate::domain::token::key::{KeyError, Secret};
use args::{Command, Dialect, KeyEncoding, SigningArgs, TokenArgs};

pub mod args;
mod claims;
mod input;
mod inspect;
mod judge;
mod media_cdn;
mod mint;
mod secure_link;
mod signer;

/// Bad input: one line that names the field, the value unless it is secret, and the cure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(String);

impl BadInput {
    fn new(field: &str, problem: impl std::fmt::Display) -> Self {
        Self(format!("{field}: {problem}").replace(['\n', '\r'], " "))
    }
}

/// What a subcommand has to say, and its exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub out: String,
    pub err: String,
    pub code: u8,
}

/// Runs the subcommand: 0 for success or a valid token, 1 for a refused one, 2 for bad input.
pub fn run(args: &TokenArgs, now: UnixTime, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let report = report(args, now).unwrap_or_else(|error| Report {
        err: format!("{error}\n"),
        code: 2,
        ..Report::default()
    });
    let written = err.write_all(report.err.as_bytes()).and_then(|()| out.write_all(report.out.as_bytes()));
    // Whoever has closed the pipe has no use for the rest.
    ExitCode::from(if written.is_ok() { report.code } else { 1 })
}

/// As [`run`], without writing anything.
pub fn report(args: &TokenArgs, now: UnixTime) -> Result<Report, BadInput> {
    match &args.command {
        Command::Mint(args) => match args.signing.other.dialect {
            Dialect::Edgeauth => mint::mint(args, now),
            Dialect::SecureLink => secure_link::mint(args, now),
            Dialect::MediaCdn => media_cdn::mint(args, now),
            Dialect::Jwt | Dialect::Cat => claims::mint(args, now),
        },
        Command::Inspect(args) => match args.dialect {
            Dialect::Edgeauth => inspect::inspect(args, now),
            Dialect::SecureLink => secure_link::inspect(args, now),
            Dialect::MediaCdn => media_cdn::inspect(args, now),
            Dialect::Jwt | Dialect::Cat => claims::inspect(args, now),
        },
        Command::Verify(args) => judge::verify(args, now),
        Command::Explain(args) => judge::explain(args, now),
    }
}

/// The key that was given, from the writing that it has or that its dialect's keys usually have.
fn key(field: &str, signing: &SigningArgs, given: Option<&str>) -> Result<Secret, BadInput> {
    let text = given.ok_or_else(|| {
        BadInput::new(field, "none is given; use --key or the environment variable SLUICEGATE_KEY")
    })?;
    let usual = match signing.other.dialect {
        Dialect::Edgeauth | Dialect::Jwt | Dialect::Cat => KeyEncoding::Hex,
        Dialect::SecureLink => KeyEncoding::Text,
        Dialect::MediaCdn => KeyEncoding::Base64,
    };
    match signing.other.key_encoding.unwrap_or(usual) {
        KeyEncoding::Hex => Secret::from_hex(text).map_err(|error: KeyError| BadInput::new(field, error)),
        KeyEncoding::Text => Secret::from_text(text).map_err(|error| BadInput::new(field, error)),
        KeyEncoding::Base64 => Secret::from_base64(text).ok_or_else(|| {
            BadInput::new(field, "it is no base64; say with --key-encoding how it is written")
        }),
    }
}

/// The time to judge by: as given, or now.
fn time(given: Option<&str>, now: UnixTime) -> Result<UnixTime, BadInput> {
    given.map_or(Ok(now), |text| input::number("now", text).map(UnixTime::from_secs))
}

#[cfg(test)]
mod tests;
