//! `sluicegate lab`: the parts of the lab alone, for who tries an edge of their own with them.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::lab::origin::Streams;
use crate::server::counters::ConnectionCounters;
use crate::server::listen::bind;
use crate::server::settings::Settings;

use super::fail;
use super::serve::{end_on_signal, runtime};

#[derive(Debug, clap::Args)]
pub struct LabArgs {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Serve the synthetic streams to whoever asks, as an origin does: without tokens, sessions or a cache
    Origin(OriginArgs),
}

#[derive(Debug, clap::Args)]
pub struct OriginArgs {
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
}

pub fn run(args: &LabArgs) -> ExitCode {
    let Part::Origin(args) = &args.part;
    let runtime = match runtime(0) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(origin(args.listen))
}

async fn origin(listen: SocketAddr) -> ExitCode {
    let clock = Clock::system(0);
    let streams = Arc::new(Streams::new(clock.now()));
    let bound = match bind(Settings { http: vec![listen], h2c: true, ..Settings::default() }) {
        Ok(bound) => bound,
        Err(error) => return fail(&error),
    };
    // Said as it is bound: port 0 is any free one.
    let address = match bound.local_addresses() {
        Ok((plain, _)) => plain.first().copied().unwrap_or(listen),
        Err(error) => return fail(&error),
    };
    println!("The streams of the lab, without tokens, as an edge's origin on http://{address}:\n");
    for stream in Streams::streams() {
        println!("  http://{address}{:<24} {}", stream.path, stream.name);
    }
    let shutdown = CancellationToken::new();
    end_on_signal(shutdown.clone());
    let handler = move |request: Request<_>, _| {
        let (method, path) = (request.method(), request.uri().path());
        let answer = streams.respond(method, path, request.headers(), clock.now());
        std::future::ready(answer.map(Full::<Bytes>::new))
    };
    bound.run(handler, Arc::new(ConnectionCounters::default()), shutdown).await;
    ExitCode::SUCCESS
}
