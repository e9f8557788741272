//! `sluicegate check`: the configuration as `serve` would take it, without binding a port.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::process::ExitCode;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::clock::Clock;
use crate::config::{self, Config, fault::Faults};
use crate::domain::network::Country;
use crate::domain::rule::token::TokenResult;
use crate::edge::explain::{Question, explain};
use crate::edge::host::split_port;
use crate::telemetry::metrics::Metrics;

use super::{ConfigArgs, fail};

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Tell step by step what becomes of a request for this URL: which rules hold, and why
    #[arg(long, value_name = "URL")]
    explain: Option<Uri>,
    #[command(flatten)]
    request: RequestArgs,
}

/// The request that is explained.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The request to explain")]
struct RequestArgs {
    #[arg(long, default_value = "GET", requires = "explain")]
    method: Method,
    /// A header field, "Name: value"; may be repeated
    #[arg(long = "header", value_name = "FIELD", requires = "explain")]
    headers: Vec<String>,
    /// The viewer's address
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS", requires = "explain")]
    client: IpAddr,
    /// valid, none, or a reason such as expired; without it the token of the URL and the headers is verified
    #[arg(long, value_name = "RESULT", requires = "explain")]
    token_result: Option<String>,
    /// Two letters, in place of what the database says of the address
    #[arg(long, requires = "explain")]
    country: Option<String>,
    /// A number, in place of what the database says of the address
    #[arg(long, requires = "explain")]
    asn: Option<u32>,
}

pub fn run(args: &CheckArgs, clock: &Clock) -> ExitCode {
    match config::load(&args.config.config, &Metrics::new(), clock.now()) {
        Ok(config) => {
            if let Some(uri) = &args.explain {
                return match explanation(&config, uri, &args.request, clock) {
                    Ok(lines) => {
                        println!("{}", lines.join("\n"));
                        ExitCode::SUCCESS
                    }
                    Err(error) => fail(&error),
                };
            }
            println!("{} is good.", args.config.config.display());
            for line in &config.summary {
                println!("  {line}");
            }
            for warning in &config.warnings {
                println!("  warning: {warning}");
            }
            ExitCode::SUCCESS
        }
        Err(faults) => {
            report(faults);
            ExitCode::from(2)
        }
    }
}

/// What becomes of a request, step by step.
fn explanation(
    config: &Config,
    uri: &Uri,
    args: &RequestArgs,
    clock: &Clock,
) -> Result<Vec<String>, ExplainError> {
    let authority = uri.authority().ok_or(ExplainError::Url)?;
    let (host, port) = split_port(authority.as_str()).ok_or(ExplainError::Url)?;
    let property = config.properties.select(host, port).ok_or_else(|| ExplainError::Host(host.to_owned()))?;
    let mut headers = HeaderMap::new();
    for field in &args.headers {
        let wrong = || ExplainError::Header(field.clone());
        let (name, value) = field.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
    }
    let token = match &args.token_result {
        Some(word) => Some(TokenResult::parse(word).ok_or_else(|| ExplainError::Token(word.clone()))?),
        None => None,
    };
    let client = args.client.to_canonical();
    let mut whereabouts = config.geo.look_up(client);
    if let Some(code) = &args.country {
        whereabouts.country = Some(Country::parse(code).ok_or_else(|| ExplainError::Country(code.clone()))?);
    }
    whereabouts.asn = args.asn.or(whereabouts.asn);
    let question = Question { uri, method: &args.method, headers: &headers, client, whereabouts, token };
    Ok(explain(property, &question, clock.now()))
}

#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("--explain takes a whole URL, such as https://www.example.com/vod/master.m3u8")]
    Url,
    #[error("no property answers for the host {0}")]
    Host(String),
    #[error("--header \"{0}\" is no header field; write \"Name: value\"")]
    Header(String),
    #[error("--token-result {0} is no result; write valid, none, or a reason such as expired")]
    Token(String),
    #[error("--country {0} is no country; write two letters, such as DE")]
    Country(String),
}

/// Faults with the lines they stand in on a terminal, one line each elsewhere.
pub fn report(faults: Faults) {
    if std::io::stderr().is_terminal() {
        eprintln!("{:?}", miette::Report::new(faults));
    } else {
        for line in faults.lines() {
            eprintln!("{line}");
        }
    }
}
