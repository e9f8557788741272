//! From what was typed to what the parts accept: everything but the properties.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use toml::Spanned;

use crate::domain::network::Networks;
use crate::domain::rate::Rate;
use crate::domain::token::key::Secret;
use crate::edge::error::Statuses;
use crate::edge::host::HostTable;
use crate::lab::origin::Streams;
use crate::server::proxy_protocol::ProxyProtocol;
use crate::server::settings::{H2Limits, H3Limits, Limits, Settings};
use crate::server::tls::{Certificates, TlsPolicy};
use crate::telemetry::access_log;
use crate::telemetry::metrics::Metrics;

use super::fault::Judge;
use super::{Admin, Cache, Config, Log, Process, Requests, disk, file, fleet, property, protection};

/// A window that is smaller would be full with every piece.
const READER_WINDOW_BYTES_MIN: u64 = 64 << 10;

/// Judges the whole file; faults go to `judge`, and `None` comes back when a part could not be made.
pub fn accept(
    typed: file::File,
    folder: &Path,
    judge: &mut Judge,
    metrics: &Metrics,
    now: Duration,
) -> Option<Config> {
    let mut warnings = Vec::new();
    let lab = Arc::new(Streams::new(now));
    let statuses = Statuses {
        unknown_host: status(&typed.server.unknown_host_status, &[404, 421], "unknown_host_status", judge),
        expired: StatusCode::FORBIDDEN,
    };
    let acme = super::acme::settings(&typed, folder, judge);
    let certificates = certificates(&typed, folder, judge, now, &mut warnings);
    let header = address_header(&typed.server.client_address_header, judge);
    let trusted_proxies = networks(&typed.server.trusted_proxies, judge);
    let admin = typed.admin.as_ref().map(|typed| admin(typed, folder, judge, &mut warnings));
    let log = log(&typed.log, judge);
    let traces = super::traces::traces(&typed.traces, folder, judge);
    let fleet = fleet::fleet(&typed.fleet, folder, judge, &mut warnings);
    let object_bytes_max = typed.cache.object_max.0.min(typed.cache.memory.0);
    let disk = typed.cache.disk.as_ref();
    let disk = disk.and_then(|typed| disk::accept(typed, object_bytes_max, folder, judge));
    judge_presence(&typed, judge);
    let mut geo = protection::geo(&typed.geo, folder, judge);
    let mut properties = HostTable::default();
    let mut summary = Vec::new();
    let mut hosts = HashMap::new();
    let mut names = HashSet::new();
    let typed_geo = typed.geo;
    let has_https = !typed.server.https.is_empty();
    for one in typed.property {
        let shared = property::Shared { folder, metrics, lab: &lab, statuses, geo: &typed_geo, has_https };
        let accepted = property::accept(one, shared, judge, &mut geo, &mut warnings);
        let Some(accepted) = accepted else { continue };
        if !names.insert(accepted.property.name.clone()) {
            let message = format!("two properties have the name \"{}\"", accepted.property.name);
            judge.fault(
                accepted.name_place.clone(),
                message,
                "give each a name of its own: keys are derived from it",
            );
        }
        let property = Arc::new(accepted.property);
        for (pattern, place) in accepted.hosts {
            if let Some(first) = hosts.insert(pattern.to_string(), property.name.clone()) {
                let message = format!(
                    "the host \"{pattern}\" stands in two properties, \"{first}\" and \"{}\"",
                    property.name
                );
                judge.fault(place, message, "leave it in one of them: one host, one property");
                continue;
            }
            properties.insert(&pattern, property.clone());
        }
        summary.push(accepted.summary);
    }
    let process = process(&typed.server, judge);
    Some(Config {
        process,
        server: Settings {
            alt_svc: alt_svc(&typed.server),
            limits: limits(&typed.server),
            proxy_protocol: proxy_protocol(&typed.server, judge),
            http: typed.server.http,
            https: typed.server.https,
            http3: typed.server.http3,
            h2c: typed.server.h2c,
            certificates,
            tls_policy: tls_policy(typed.tls.policy),
            drain_timeout: typed.server.drain_timeout.0,
            drain_idle_timeout: typed.server.drain_idle_timeout.0,
            ..Settings::default()
        },
        acme,
        path: None,
        watches_files: typed.server.reload_on_change,
        workers: typed.server.workers,
        trusted_proxies,
        client_address_header: header?,
        statuses,
        requests: requests(&typed.server.limits, judge),
        admin,
        log,
        traces,
        disk,
        cache: Cache {
            memory_bytes: typed.cache.memory.0,
            object_bytes_max,
            waiters_max: typed.cache.waiters_max,
            wait: typed.cache.wait_timeout.0,
            reader_window_bytes: typed.cache.reader_window.0.max(READER_WINDOW_BYTES_MIN),
            reader_time_max: typed.cache.reader_timeout.0,
            uncollapsed_for: typed.cache.uncollapsed_for.0,
            is_sent_by_the_kernel: typed.cache.sendfile,
        },
        geo,
        fleet,
        properties,
        summary,
        warnings,
    })
}

fn judge_presence(typed: &file::File, judge: &mut Judge) {
    if typed.property.is_empty() {
        judge.fault(
            0..0,
            "there is no property: nothing would be served",
            "add a [[property]] with name, hosts and origin",
        );
    }
}

fn admin(typed: &file::Admin, folder: &Path, judge: &mut Judge, warnings: &mut Vec<String>) -> Admin {
    if typed.token.is_none() && !typed.listen.ip().is_loopback() {
        judge.fault(
            0..0,
            "[admin] listens beyond loopback and has no token",
            "add token = { env = \"SLUICEGATE_ADMIN_TOKEN\" }, or listen on 127.0.0.1",
        );
    }
    if *typed.top_sample.get_ref() == 0 {
        judge.fault(
            typed.top_sample.span(),
            "[admin] top_sample = 0 would look at one request in none",
            "write 1 to look at all, or top_objects = 0 to look at none",
        );
    }
    let token = typed.token.as_ref();
    Admin {
        listen: typed.listen,
        token: token.and_then(|source| operators_token(source, folder, typed, judge, warnings)),
        body_bytes_max: typed.body_max.bytes(),
        body_timeout: typed.body_timeout.0,
        top_objects: typed.top_objects,
        top_sample: *typed.top_sample.get_ref(),
    }
}

fn address_header(typed: &str, judge: &mut Judge) -> Option<HeaderName> {
    let header = HeaderName::from_bytes(typed.as_bytes()).ok();
    if header.is_none() {
        let message = format!("client_address_header = \"{typed}\" is no header name");
        judge.fault(0..0, message, "write for example \"x-forwarded-for\"");
    }
    header
}

fn tls_policy(typed: file::TlsPolicy) -> TlsPolicy {
    match typed {
        file::TlsPolicy::Modern => TlsPolicy::Modern,
        file::TlsPolicy::Intermediate => TlsPolicy::Intermediate,
    }
}

fn operators_token(
    source: &Spanned<super::secret::Source>,
    folder: &Path,
    admin: &file::Admin,
    judge: &mut Judge,
    warnings: &mut Vec<String>,
) -> Option<Secret> {
    match source.get_ref().read(folder) {
        Ok(read) => {
            if read.inline {
                warnings.push(
                    "the admin token stands in the configuration; keep it in the environment or a file"
                        .to_owned(),
                );
            }
            Secret::from_text(&read.text).ok()
        }
        Err(super::secret::SecretError::Unset(name)) if admin.listen.ip().is_loopback() => {
            warnings.push(format!(
                "{name} is not set: whoever reaches {} reads the metrics and purges",
                admin.listen
            ));
            None
        }
        Err(error) => {
            judge.fault(source.span(), format!("[admin] token: {error}"), "set it, or listen on loopback");
            None
        }
    }
}

/// The certificates of the `https` listeners. Without such a listener one that cannot be loaded is only warned of.
fn certificates(
    typed: &file::File,
    folder: &Path,
    judge: &mut Judge,
    now: Duration,
    warnings: &mut Vec<String>,
) -> Option<Arc<Certificates>> {
    let is_used = !(typed.server.https.is_empty() && typed.server.http3.is_empty());
    let is_obtained = typed.tls.acme.is_some();
    if is_used && typed.tls.certificate.is_empty() && !is_obtained {
        judge.fault(
            0..0,
            "[server] https or http3 is given and there is no certificate",
            "add [tls.acme], or [[tls.certificate]] with cert and key, made for development by: sluicegate cert",
        );
    }
    let mut loaded = Vec::new();
    for pair in &typed.tls.certificate {
        let (cert, key) = (folder.join(pair.cert.get_ref()), folder.join(pair.key.get_ref()));
        match crate::server::tls::load_certificate(&cert, &key, now) {
            Ok(certificate) => loaded.push(certificate),
            Err(error) if !is_used => {
                warnings.push(format!("[[tls.certificate]], which no https listener uses yet: {error}"));
            }
            Err(error) => judge.fault(
                pair.cert.span(),
                format!("[[tls.certificate]]: {error}"),
                "for development, make one with: sluicegate cert",
            ),
        }
    }
    if judge.has_faults() || (loaded.is_empty() && !is_obtained) {
        return None;
    }
    if is_obtained {
        return Some(Arc::new(Certificates::with_managed(loaded)));
    }
    match Certificates::new(&loaded) {
        Ok(certificates) => Some(Arc::new(certificates)),
        Err(error) => {
            judge.fault(0..0, format!("[[tls.certificate]]: {error}"), "");
            None
        }
    }
}

/// The listeners behind balancers that announce their clients, and those balancers.
fn proxy_protocol(server: &file::Server, judge: &mut Judge) -> ProxyProtocol {
    for address in &server.proxy_protocol {
        if !server.http.contains(address.get_ref()) && !server.https.contains(address.get_ref()) {
            judge.fault(
                address.span(),
                format!("proxy_protocol: nothing listens on \"{}\"", address.get_ref()),
                "name an address as it stands in http or https",
            );
        }
    }
    if let Some(first) = server.proxy_protocol.first().filter(|_| server.proxy_protocol_from.is_empty()) {
        judge.fault(
            first.span(),
            "proxy_protocol: nobody is trusted to announce clients",
            "add proxy_protocol_from, the addresses or networks of the balancers",
        );
    }
    ProxyProtocol {
        listeners: server.proxy_protocol.iter().map(|address| *address.get_ref()).collect(),
        trusted: Networks::new(networks(&server.proxy_protocol_from, judge)),
        header_timeout: server.limits.proxy_header_timeout.0,
        header_bytes_max: server.limits.proxy_header.bytes(),
    }
}

fn networks(typed: &[Spanned<String>], judge: &mut Judge) -> Vec<ipnet::IpNet> {
    let mut networks = Vec::new();
    for text in typed {
        let parsed = text.get_ref().parse::<ipnet::IpNet>();
        let single = text.get_ref().parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
        match parsed.ok().or(single.ok()) {
            Some(network) => networks.push(network),
            None => judge.fault(
                text.span(),
                format!("\"{}\" is neither an address nor a network", text.get_ref()),
                "write for example \"10.0.0.0/8\" or \"::1\"",
            ),
        }
    }
    networks
}

/// A status that is one of `allowed`; the first of them after a fault.
pub(super) fn status(typed: &Spanned<u16>, allowed: &[u16], key: &str, judge: &mut Judge) -> StatusCode {
    let number = *typed.get_ref();
    if !allowed.contains(&number) {
        let allowed: Vec<String> = allowed.iter().map(u16::to_string).collect();
        judge.fault(
            typed.span(),
            format!("{key} = {number} cannot be chosen"),
            format!("use {}", allowed.join(" or ")),
        );
    }
    StatusCode::from_u16(number).unwrap_or(StatusCode::FORBIDDEN)
}

fn log(typed: &file::Log, judge: &mut Judge) -> Log {
    if let Err(error) = typed.level.get_ref().parse::<tracing_subscriber::EnvFilter>() {
        let message = format!("[log] level = \"{}\" is no filter: {error}", typed.level.get_ref());
        judge.fault(typed.level.span(), message, "write error, warn, info, debug or trace");
    }
    Log {
        level: typed.level.get_ref().clone(),
        format: match typed.format {
            file::Format::Text => access_log::Format::Text,
            file::Format::Json => access_log::Format::Json,
        },
        access: match typed.access.as_str() {
            "off" => access_log::Target::Off,
            "stdout" => access_log::Target::Stdout,
            path => access_log::Target::File(path.into()),
        },
        access_queue: typed.access_queue,
    }
}

/// What clients over TLS are told of HTTP/3: its first port, on the host that they asked for (RFC 7838 §3).
fn alt_svc(server: &file::Server) -> Option<HeaderValue> {
    let (port, seconds) = (server.http3.first()?.port(), whole_seconds(server.http3_advertise.0));
    (seconds > 0).then(|| HeaderValue::try_from(format!("h3=\":{port}\"; ma={seconds}")).ok()).flatten()
}

fn process(typed: &file::Server, judge: &mut Judge) -> Process {
    if let (None, Some(group)) = (&typed.user, &typed.group) {
        judge.fault(
            group.span(),
            format!("[server] group is \"{}\", and no user is named", group.get_ref()),
            "add user = \"..\": the process becomes both or neither",
        );
    }
    Process {
        user: typed.user.clone(),
        group: typed.group.clone().map(Spanned::into_inner),
        handover_timeout: typed.handover_timeout.0,
    }
}

fn requests(typed: &file::Limits, judge: &mut Judge) -> Requests {
    let burst = *typed.requests_per_address_burst.get_ref();
    if burst > 0 && typed.requests_per_address == 0 {
        judge.fault(
            typed.requests_per_address_burst.span(),
            format!("requests_per_address_burst = {burst} limits nothing without requests_per_address"),
            "add requests_per_address, the requests a second that an address may make",
        );
    }
    Requests {
        rate: Rate::new(typed.requests_per_address, burst),
        addresses_max: typed.request_addresses_max,
    }
}

fn limits(server: &file::Server) -> Limits {
    let typed = &server.limits;
    let clamp = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Limits {
        target_bytes_max: typed.uri.bytes(),
        header_section_bytes_max: typed.header_section.bytes(),
        header_line_bytes_max: typed.header_line.bytes(),
        headers_max: typed.headers_max,
        header_read_timeout: typed.header_read_timeout.0,
        tls_handshake_timeout: typed.tls_handshake_timeout.0,
        idle_timeout_h1: typed.idle_timeout.0,
        idle_timeout_h2: typed.idle_timeout_h2.0,
        requests_max_h1: clamp(typed.requests_per_connection),
        requests_max_h2: clamp(typed.streams_per_connection),
        stalled_write_timeout: typed.stalled_write_timeout.0,
        unsent_bytes_max: u32::try_from(typed.unsent.0).unwrap_or(u32::MAX),
        least_rate: typed.least_rate.0,
        least_rate_window: typed.least_rate_window.0,
        h2: H2Limits {
            streams_max: typed.h2_concurrent_streams,
            header_list_bytes_max: clamp(typed.h2_header_list.0),
            stream_window_bytes: clamp(typed.h2_stream_window.0),
            connection_window_bytes: clamp(typed.h2_connection_window.0),
            pending_resets_max: typed.h2_pending_resets,
            local_resets_max: typed.h2_local_resets,
            send_buffer_bytes_max: typed.h2_send_buffer.bytes(),
        },
        h3: H3Limits {
            send_buffer_bytes_max: typed.h3_send_buffer.0,
            unproven_max: typed.h3_unproven_max,
            socket_buffer_bytes: typed.h3_socket_buffer.bytes(),
            migration: server.http3_migration,
        },
        connections_max: (typed.connections_max > 0).then_some(typed.connections_max),
        connections_per_address_max: typed.connections_per_address,
        streams_per_address_max: typed.streams_per_address,
    }
}

/// A duration that a part takes in whole seconds.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs()
}
