//! `sluicegate demo`: the whole thing in one process, without a network or a file.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::Clock;
use crate::config;
use crate::domain::token::edgeauth::Delimiters;
use crate::domain::token::edgeauth::sign::{MintRequest, Target, sign};
use crate::domain::token::key::{Algorithm, Secret};
use crate::domain::uri::hex::hex;
use crate::edge::body::Body;
use crate::entropy;
use crate::lab::page::{self, CONFIG_PATH, PREFIX, page_asset};
use crate::lab::token_endpoint;
use crate::telemetry::diagnostics::log_to_stderr;
use crate::telemetry::metrics::Metrics;

use super::serve::{end_on_signal, runtime};
use super::{check, fail};

/// The carriers of the demo; each has a property and a port of its own, since a host has one property.
const CARRIERS: [&str; 4] = ["path", "query", "cookie", "auto"];

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// The address to listen on; 0.0.0.0 to open the page on a phone in the same network
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// The port of the page; the next free one is taken when it is in use, any free one for 0
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The key of access tokens in hex; made at random when it is not given
    #[arg(long, env = "SLUICEGATE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Seconds by which the edge's clock is ahead of the token endpoint's (negative: behind), to test expiry
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    clock_offset: i64,
    /// Write no access log
    #[arg(long)]
    quiet: bool,
}

/// What the page, the token endpoint and the edge share.
#[derive(Debug)]
struct Demo {
    key: Secret,
    page: page::Settings,
    endpoint: token_endpoint::Settings,
    clock: Clock,
}

pub fn run(args: &DemoArgs) -> ExitCode {
    let hex = args.key.clone().unwrap_or_else(random_key);
    let key = match Secret::from_hex(&hex) {
        Ok(key) => key,
        Err(error) => return fail(&format!("--key: {error}")),
    };
    let ports = match free_ports(args.bind, args.port) {
        Ok(ports) => ports,
        Err(error) => return fail(&format!("no free port on {} from {} on: {error}", args.bind, args.port)),
    };
    let metrics = Metrics::new();
    let clock = Clock::system(args.clock_offset);
    let text = configuration(args.bind, &ports, &hex, args.quiet);
    let parsed = config::parse(&text, "the demo's configuration", Path::new("."), &metrics, clock.now());
    let config = match parsed {
        Ok(config) => config,
        Err(faults) => {
            check::report(faults);
            return ExitCode::from(2);
        }
    };
    let level = log_to_stderr(&config.log.level, config.log.format);
    let demo = Arc::new(Demo {
        key,
        page: page_settings(&ports),
        endpoint: token_endpoint::Settings::default(),
        clock: Clock::system(0),
    });
    let runtime = match runtime(0) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(async {
        let app = match App::build(config, metrics, clock, level) {
            Ok(app) => app,
            Err(error) => return fail(&error),
        };
        greet(SocketAddr::new(args.bind, ports[0]), &ports, &hex);
        let shutdown = CancellationToken::new();
        end_on_signal(shutdown.clone());
        let edge = app.edge.clone();
        app.run_with(shutdown, move |request, peer| {
            let (demo, edge) = (demo.clone(), edge.clone());
            async move {
                match demo.answer(&request) {
                    Some(answer) => answer.map(Body::whole),
                    None => edge.serve(request, peer).await,
                }
            }
        })
        .await;
        ExitCode::SUCCESS
    })
}

impl Demo {
    /// The lab's own pages; everything else is the edge's.
    fn answer<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        let path = request.uri().path();
        if path == token_endpoint::PATH {
            let query = request.uri().query().unwrap_or_default();
            let now = self.clock.now();
            let sign = |acl: &str, expires: u64| self.sign(acl, expires, now);
            return Some(token_endpoint::respond(
                &self.endpoint,
                request.method(),
                query,
                request.headers(),
                now,
                &sign,
            ));
        }
        if path == CONFIG_PATH {
            return Some(page::config_json(&self.page));
        }
        if path == "/" || path.starts_with(PREFIX) {
            return page_asset(path);
        }
        None
    }

    fn sign(&self, acl: &str, expires: u64, now: Duration) -> Result<String, String> {
        let request = MintRequest {
            key: &self.key,
            algorithm: Algorithm::Sha256,
            salt: None,
            start: None,
            end: Some(expires),
            window_seconds: None,
            target: Target::Acl(vec![acl.to_owned()]),
            ip: None,
            session_id: None,
            payload: None,
            escape: None,
            delimiters: Delimiters::default(),
            now,
        };
        sign(&request).map_err(|error| error.to_string())
    }
}

fn random_key() -> String {
    hex(&entropy::bytes::<16>())
}

/// A port for each carrier, the page's first.
fn free_ports(bind: IpAddr, first: u16) -> io::Result<Vec<u16>> {
    // The listeners are held until all ports are known, so that none is given twice.
    let mut held: Vec<TcpListener> = Vec::new();
    let mut next = first;
    for _ in CARRIERS {
        loop {
            match TcpListener::bind((bind, next)) {
                Ok(listener) => {
                    held.push(listener);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && next < u16::MAX => next += 1,
                Err(error) => return Err(error),
            }
        }
        if first != 0 {
            next = next.saturating_add(1);
        }
    }
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// The demo is an ordinary configuration; this is its text.
fn configuration(bind: IpAddr, ports: &[u16], key: &str, quiet: bool) -> String {
    let listen: Vec<String> =
        ports.iter().map(|port| format!("\"{}\"", SocketAddr::new(bind, *port))).collect();
    let access = if quiet { "off" } else { "stdout" };
    let mut text = format!(
        "[server]\nhttp = [{}]\n\n[log]\nlevel = \"warn\"\naccess = \"{access}\"\n",
        listen.join(", ")
    );
    for (carrier, port) in CARRIERS.iter().zip(ports) {
        let _ = write!(
            text,
            r#"
[[property]]
name = "{carrier}"
hosts = ["*:{port}"]
debug_reasons = true
origin = {{ urls = ["lab:"] }}
access = {{ key = {{ hex = "{key}" }} }}
session = {{ carrier = "{carrier}", pause_allowance = "10m", cookie = {{ secure = false, same_site = "lax" }} }}
"#
        );
    }
    text
}

fn page_settings(ports: &[u16]) -> page::Settings {
    let carriers = CARRIERS.iter().zip(ports).map(|(carrier, port)| page::Carrier {
        id: (*carrier).to_owned(),
        base: format!("http://{{host}}:{port}"),
    });
    let endpoint = token_endpoint::Settings::default();
    page::Settings {
        carriers: carriers.collect(),
        token_url: token_endpoint::PATH.to_owned(),
        token_name: endpoint.token_name,
        session_name: "hdntl".to_owned(),
        acl: "/*".to_owned(),
        window: endpoint.window,
    }
}

/// What a newcomer needs: the page, a curl line that works, and how to make a token.
fn greet(page: SocketAddr, ports: &[u16], key: &str) {
    let base = format!("http://{page}");
    println!("Sluicegate is running. Open the player:\n\n  {base}/\n");
    println!("Or ask without a player (the first answer is 403, the second a playlist):\n");
    println!("  curl -i '{base}/vod/ts/master.m3u8'");
    println!("  curl \"{base}/vod/ts/master.m3u8?$(curl -s '{base}/getToken?acl=/*' | tr -d '\\\"')\"\n");
    println!("Session tokens travel in the path on port {}; {}.", ports[0], others(ports));
    println!("A token of your own: sluicegate token mint --key {key} --acl '/*' --window 300\n");
}

fn others(ports: &[u16]) -> String {
    let named = CARRIERS.iter().zip(ports).skip(1).map(|(carrier, port)| format!("{carrier} on {port}"));
    named.collect::<Vec<_>>().join(", ")
}
