//! From `[property.origin]` as typed to an origin that can be asked.

mod auth;
pub mod tls;

use std::path::Path;
use std::sync::Arc;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, StatusCode, Uri};
use toml::Spanned;

use crate::domain::headers::forwarding::Style;
use crate::edge::property::Source;
use crate::lab::origin::Streams;
use crate::origin::Origin;
use crate::origin::settings::{
    Balance, Base, EjectionSettings, HeadLimits, HealthSettings, Http2, RedirectSettings, RetrySettings,
    ServerSettings, Settings,
};

use super::fault::Judge;
use super::file::origin as typed;

const A_URL: &str = "write for example \"http://127.0.0.1:9000\" or \"https://origin.example/live\"";

pub fn source(
    typed: &typed::Origin,
    folder: &Path,
    judge: &mut Judge,
    lab: &Arc<Streams>,
    warnings: &mut Vec<String>,
) -> Option<Source> {
    let urls = typed.urls.get_ref();
    if urls.iter().any(|url| url.get_ref() == "lab:") {
        if urls.len() > 1 || !typed.servers.is_empty() {
            judge.fault(
                typed.urls.span(),
                "\"lab:\" stands beside other origins",
                "leave it alone in urls, or take it out",
            );
        }
        return Some(Source::Lab(lab.clone()));
    }
    if *typed.pass_session.get_ref() && !typed.redirect_hosts.is_empty() {
        judge.fault(
            typed.pass_session.span(),
            "pass_session stands beside redirect_hosts: a redirect would take sessions to other hosts",
            "take one of the two out",
        );
    }
    let settings = settings(typed, folder, judge, warnings);
    if settings.servers.is_empty() || judge.has_faults() {
        return None;
    }
    match Origin::new(settings) {
        Ok(origin) => Some(Source::Origin(Box::new(origin))),
        Err(error) => {
            judge.fault(typed.urls.span(), format!("the origin cannot be used: {error}"), "");
            None
        }
    }
}

/// The servers for people: their URLs.
pub fn summary(typed: &typed::Origin) -> String {
    let servers = typed.servers.iter().map(|server| &server.url);
    let urls: Vec<&str> =
        typed.urls.get_ref().iter().chain(servers).map(|url| url.get_ref().as_str()).collect();
    urls.join(", ")
}

pub const fn forwarded(typed: typed::Forwarded) -> Style {
    match typed {
        typed::Forwarded::XForwarded => Style::XForwarded,
        typed::Forwarded::Forwarded => Style::Forwarded,
        typed::Forwarded::Off => Style::Off,
    }
}

fn settings(typed: &typed::Origin, folder: &Path, judge: &mut Judge, warnings: &mut Vec<String>) -> Settings {
    Settings {
        servers: servers(typed, judge),
        balance: match typed.balance {
            typed::Balance::LeastConnections => Balance::LeastConnections,
            typed::Balance::RoundRobin => Balance::RoundRobin,
        },
        host: host(&typed.host, judge),
        tls: tls::tls(typed, folder, judge),
        http2: match typed.http2 {
            typed::Http2::Off => Http2::Off,
            typed::Http2::Alpn => Http2::Alpn,
            typed::Http2::PriorKnowledge => Http2::PriorKnowledge,
        },
        http2_connections: http2_connections(&typed.http2_connections, judge),
        auth: auth::auth(typed.auth.as_ref(), folder, judge, warnings),
        connect_timeout: typed.connect_timeout.0,
        first_byte_timeout: typed.first_byte_timeout.0,
        between_bytes_timeout: typed.between_bytes_timeout.0,
        fetch_timeout: typed.fetch_timeout.0,
        fetches_max: typed.fetches_max.max(1),
        queue_max: typed.queue_max,
        queue_timeout: typed.queue_timeout.0,
        idle_timeout: typed.idle_timeout.0,
        connection_age_max: typed.connection_age_max.0,
        head: HeadLimits {
            bytes_max: typed.head_max.bytes(),
            fields_max: typed.head_fields_max,
            interim_max: typed.interim_max,
        },
        retry: RetrySettings {
            attempts_max: typed.retries,
            statuses: statuses(&typed.retry_statuses, "retry_statuses", judge),
            percent: percent(&typed.retry_percent, judge),
            per_second: typed.retries_per_second,
        },
        ejection: EjectionSettings {
            failures: typed.ejection_failures,
            time: typed.ejection_time.0,
            time_max: typed.ejection_time_max.0.max(typed.ejection_time.0),
        },
        health: typed.health.as_ref().and_then(|health| self::health(health, judge)),
        redirects: RedirectSettings {
            hops_max: typed.redirects,
            hosts: typed.redirect_hosts.iter().filter_map(|host| redirect_host(host, judge)).collect(),
        },
    }
}

fn servers(typed: &typed::Origin, judge: &mut Judge) -> Vec<ServerSettings> {
    let urls = typed.urls.get_ref();
    if urls.is_empty() && typed.servers.is_empty() {
        judge.fault(
            typed.urls.span(),
            "[property.origin] urls is empty",
            "write for example urls = [\"http://127.0.0.1:9000\"]",
        );
    }
    let mut servers = Vec::new();
    let plain = urls.iter().map(|url| (url, 1, false));
    let weighed = typed.servers.iter().map(|server| (&server.url, *server.weight.get_ref(), server.backup));
    for (url, weight, is_backup) in plain.chain(weighed) {
        match base(url.get_ref()) {
            Ok(base) => servers.push(ServerSettings { base, weight, is_backup }),
            Err(fault) => {
                judge.fault(url.span(), format!("the origin \"{}\" {fault}", shown(url.get_ref())), A_URL);
            }
        }
    }
    for server in &typed.servers {
        let weight = *server.weight.get_ref();
        if weight == 0 || weight > 1_000 {
            judge.fault(
                server.weight.span(),
                format!("weight = {weight} is no share"),
                "write a number from 1 to 1000; take a server out by removing it",
            );
        }
    }
    servers
}

/// A URL for a fault, less what may be secret in it: whatever stands before an `@`, and the query.
fn shown(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    let (scheme, rest) = url.split_once("//").unwrap_or(("", url));
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}//..@{rest}"),
        None => url.to_owned(),
    }
}

fn base(url: &str) -> Result<Base, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no URL")?;
    let scheme = uri.scheme().ok_or("has no scheme")?.clone();
    if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
        return Err("is neither http nor https");
    }
    if uri.query().is_some() {
        return Err("has a query");
    }
    let authority = uri.authority().ok_or("has no host")?.clone();
    if authority.as_str().contains('@') {
        return Err("has a user name in it");
    }
    Ok(Base { scheme, authority, prefix: uri.path().trim_end_matches('/').to_owned() })
}

fn host(typed: &Spanned<String>, judge: &mut Judge) -> Option<HeaderValue> {
    let text = typed.get_ref();
    if text.is_empty() {
        return None;
    }
    let is_authority = text.parse::<Authority>().is_ok_and(|authority| !authority.as_str().contains('@'));
    let value = HeaderValue::from_str(text).ok().filter(|_| is_authority);
    if value.is_none() {
        judge.fault(
            typed.span(),
            format!("[property.origin] host = \"{text}\" is no host"),
            "write a name, with a port where it needs one",
        );
    }
    value
}

fn redirect_host(typed: &Spanned<String>, judge: &mut Judge) -> Option<String> {
    let text = typed.get_ref();
    let url = url::Url::parse(&format!("https://{text}/")).ok();
    let is_host = url.is_some_and(|url| {
        url.host_str().is_some()
            && url.path() == "/"
            && url.username().is_empty()
            && !text.contains(['/', '@', '?', '#'])
    });
    if !is_host {
        judge.fault(
            typed.span(),
            format!("redirect_hosts: \"{text}\" is no host"),
            "write for example \"store.example\" or \"store.example:8443\"",
        );
    }
    is_host.then(|| text.clone())
}

fn http2_connections(typed: &Spanned<usize>, judge: &mut Judge) -> usize {
    let count = *typed.get_ref();
    if count == 0 || count > 64 {
        judge.fault(
            typed.span(),
            format!("http2_connections = {count} is no number of connections"),
            "write a number from 1 to 64; 2 to 4 are enough for most origins",
        );
    }
    count
}

fn percent(typed: &Spanned<u32>, judge: &mut Judge) -> u32 {
    let percent = *typed.get_ref();
    if percent > 100 {
        judge.fault(
            typed.span(),
            format!("retry_percent = {percent} is more than one retry for a request"),
            "write a number from 0 to 100, such as 20",
        );
    }
    percent
}

fn statuses(typed: &[Spanned<u16>], key: &str, judge: &mut Judge) -> Vec<StatusCode> {
    let mut statuses = Vec::new();
    for status in typed {
        match StatusCode::from_u16(*status.get_ref()) {
            Ok(known) if known.as_u16() >= 200 && known.as_u16() <= 599 => statuses.push(known),
            Ok(_) | Err(_) => judge.fault(
                status.span(),
                format!("{key}: {} is no status of an answer", status.get_ref()),
                "write numbers from 200 to 599",
            ),
        }
    }
    statuses
}

fn health(typed: &typed::Health, judge: &mut Judge) -> Option<HealthSettings> {
    let path = typed.path.get_ref();
    let is_path = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
    if !is_path {
        judge.fault(
            typed.path.span(),
            format!("health: \"{path}\" is no path"),
            "write for example \"/healthz\"",
        );
    }
    if typed.interval.0.is_zero() || typed.timeout.0.is_zero() {
        judge.fault(
            typed.path.span(),
            "health: interval and timeout have to be longer than nothing",
            "write for example interval = \"5s\", timeout = \"2s\"",
        );
    }
    if typed.statuses.is_empty() {
        judge.fault(
            typed.path.span(),
            "health: statuses is empty: no server could ever be healthy",
            "write for example statuses = [200]",
        );
    }
    let statuses = statuses(&typed.statuses, "health: statuses", judge);
    is_path.then(|| HealthSettings {
        path: path.clone(),
        interval: typed.interval.0,
        timeout: typed.timeout.0,
        statuses,
        down_after: typed.down_after.max(1),
        up_after: typed.up_after.max(1),
    })
}
