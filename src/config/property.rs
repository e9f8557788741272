//! From a property as typed to one that can serve.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderName;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::domain::headers::change::{Side, is_ours};
use crate::domain::headers::cors::Cors;
use crate::domain::manifest::base::Hosts;
use crate::domain::manifest::{self, encoding};
use crate::domain::policy::Rules;
use crate::domain::policy::access::{self, Access, Checked, Place};
use crate::domain::policy::salt::Salt;
use crate::domain::session::carrier::{CookieSettings, SameSite};
use crate::domain::session::verify::SESSION_ID_BYTES_MAX;
use crate::domain::session::{self, Sessions};
use crate::domain::token::address::AddressMatch;
use crate::domain::token::dialect::Verifier;
use crate::domain::token::edgeauth::{self, Delimiters};
use crate::domain::token::key::Secret;
use crate::domain::token::keys::Keys;
use crate::domain::token::presented::Location;
use crate::edge::error::Statuses;
use crate::edge::host::HostPattern;
use crate::edge::property::{Caching, Carrier, Lifetimes, ObjectLifetimes, Property, Upstream};
use crate::edge::ruling::Ruling;
use crate::geo::Geo;
use crate::lab::origin::Streams;
use crate::telemetry::metrics::Metrics;

use super::accept::{status, whole_seconds};
use super::fault::Judge;
use super::units::AutoSpan;
use super::{encryption, file, origin, protection, rules, secret};

/// A property with what the whole file has to know of it.
pub struct Accepted {
    pub property: Property,
    pub hosts: Vec<(HostPattern, Range<usize>)>,
    pub name_place: Range<usize>,
    pub summary: String,
}

/// What all properties are judged with.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    pub folder: &'a Path,
    pub metrics: &'a Metrics,
    pub lab: &'a Arc<Streams>,
    pub statuses: Statuses,
    pub geo: &'a file::protection::Geo,
}

pub fn accept(
    typed: Spanned<file::Property>,
    shared: Shared<'_>,
    judge: &mut Judge,
    geo: &mut Geo,
    warnings: &mut Vec<String>,
) -> Option<Accepted> {
    let Shared { folder, metrics, statuses, geo: typed_geo, .. } = shared;
    let place = typed.span();
    let typed = typed.into_inner();
    let name = typed.name.get_ref().clone();
    if name.is_empty() {
        judge.fault(
            typed.name.span(),
            "a property has no name",
            "give it one: session keys are derived from it",
        );
    }
    let hosts = hosts(&typed, &place, judge);
    let token_hosts = token_hosts(&typed, &hosts, judge);
    let upstreams = upstreams(&typed, shared, judge, warnings);
    let guard = protection::guard(&typed.https, &typed.ip, &typed.geo, typed_geo, folder, geo, judge);
    let Some(access) = &typed.access else {
        judge.fault(
            place,
            format!("the property \"{name}\" has no [property.access]"),
            "add it with a key; to serve without any token say so: action = \"open\"",
        );
        return None;
    };
    let keys = keys(&name, access, folder, judge, warnings);
    let salt = read_secret(access.get_ref().salt.as_ref(), "salt", folder, judge, |text, _| {
        Secret::from_text(text).ok()
    });
    let expired = status(&access.get_ref().expired_status, &[403, 410], "expired_status", judge);
    let policy = policy(&name, &typed, access, &keys, salt.flatten(), judge);
    let cors = cors(&typed, access.get_ref(), judge);
    let fingerprints =
        keys.iter().map(|named| format!("{} {}", named.name, fingerprint(&named.key))).collect::<Vec<_>>();
    let summary = format!(
        "{name}: {} -> {}; {}; sessions by {}",
        hosts.iter().map(|(pattern, _)| pattern.to_string()).collect::<Vec<_>>().join(", "),
        origin::summary(&typed.origin),
        if fingerprints.is_empty() { "open".to_owned() } else { fingerprints.join(", ") },
        carrier_name(typed.session.carrier),
    );
    let (policy, property_metrics) = (policy?, Arc::new(metrics.property(&name)));
    property_metrics.register_keys(keys.names());
    let shared_name: Arc<str> = name.as_str().into();
    let is_open = access.get_ref().action == file::Action::Open;
    let encryption = typed.encryption.as_ref().and_then(|encryption| {
        encryption::accept(encryption, &shared_name, &typed.session, is_open, folder, judge)
    });
    let (caching, result_header) = (caching(&typed.cache), result_header(access.get_ref(), &typed, judge));
    let ruling = ruling(&typed, access.get_ref(), shared, &caching, result_header.as_ref(), judge);
    let property = Property {
        encryption,
        metrics: property_metrics,
        name: shared_name,
        rules: policy,
        carrier: carrier(typed.session.carrier),
        cookie: cookie(&typed.session.cookie, judge),
        renew: typed.session.renew,
        cors,
        upstreams: upstreams?,
        guard,
        ruling,
        result_header,
        query: rules::query_rule(&typed.cache.query),
        lifetimes: lifetimes(&typed.cache),
        caching,
        hosts: token_hosts?,
        manifest: manifest_options(&typed.manifest),
        encoding: encoding_limits(&typed.manifest),
        compress_min: typed.manifest.compress_min.bytes(),
        statuses: Statuses { expired, ..statuses },
        debug_reasons: typed.debug_reasons,
    };
    Some(Accepted { property, hosts, name_place: typed.name.span(), summary })
}

fn lifetimes(typed: &file::PropertyCache) -> Lifetimes {
    Lifetimes {
        live_playlist: match typed.live_playlist_ttl {
            AutoSpan::Auto => None,
            AutoSpan::Fixed(ttl) => Some(ttl),
        },
        playlist: typed.playlist_ttl.0,
    }
}

fn manifest_options(typed: &file::Manifest) -> manifest::Options {
    manifest::Options {
        unknown_tags: typed.unknown_tags,
        line_bytes_max: typed.line_max.bytes(),
        source_bytes_max: typed.decoded_max.bytes(),
    }
}

fn encoding_limits(typed: &file::Manifest) -> encoding::Limits {
    encoding::Limits {
        coded_bytes_max: typed.compressed_max.bytes(),
        decoded_bytes_max: typed.decoded_max.bytes(),
        ratio_max: typed.ratio_max,
        ..encoding::Limits::default()
    }
}

fn caching(typed: &file::PropertyCache) -> Caching {
    let lifetimes = ObjectLifetimes {
        segment: typed.segment_ttl.0,
        negative: typed.negative_ttl.0,
        stale_while_revalidate: typed.stale_while_revalidate.0,
        stale_if_error: typed.stale_if_error.0,
    };
    Caching::new(typed.objects, lifetimes)
}

/// The property's rules, and what they may refer to.
fn ruling(
    typed: &file::Property,
    access: &file::Access,
    shared: Shared<'_>,
    caching: &Caching,
    result_header: Option<&HeaderName>,
    judge: &mut Judge,
) -> Ruling {
    let origins: Vec<Arc<str>> =
        std::iter::once("".into()).chain(typed.origins.keys().map(|name| name.as_str().into())).collect();
    let told = result_header.map_or("", HeaderName::as_str);
    let tokens = [access.name.get_ref().as_str(), typed.session.name.get_ref().as_str(), told];
    let around = rules::Around {
        property: typed.name.get_ref(),
        origins: &origins,
        tokens: &tokens,
        has_keys: access.action != file::Action::Open,
        has_country: shared.geo.country.is_some(),
        has_asn: shared.geo.asn.is_some(),
        caching,
        metrics: shared.metrics,
    };
    rules::ruling(&typed.rule, around, judge)
}

/// The property's origins, the first under no name. All or none: rules count on their order.
fn upstreams(
    typed: &file::Property,
    shared: Shared<'_>,
    judge: &mut Judge,
    warnings: &mut Vec<String>,
) -> Option<Vec<Upstream>> {
    let named = typed.origins.iter().map(|(name, origin)| (name.as_str(), origin));
    let mut upstreams = Vec::new();
    for (name, origin) in std::iter::once(("", &typed.origin)).chain(named) {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_name {
            judge.fault(
                origin.urls.span(),
                format!("[property.origins] \"{name}\" is no name"),
                "use letters, digits, - and _",
            );
        }
        for token in typed
            .access
            .iter()
            .map(|access| access.get_ref().name.get_ref())
            .chain([typed.session.name.get_ref()])
        {
            if origin.cookies.contains(token) {
                judge.fault(
                    origin.urls.span(),
                    format!("[property.origin] cookies lists \"{token}\", which is a token"),
                    "take it out: a token never goes to the origin",
                );
            }
        }
        upstreams.push(origin::source(origin, shared.folder, judge, shared.lab, warnings).map(|source| {
            Upstream {
                name: name.into(),
                source,
                forwarded: origin::forwarded(origin.forwarded),
                cookies_forwarded: origin.cookies.clone(),
                blocking_timeout: origin.blocking_timeout.0,
            }
        }));
    }
    upstreams.into_iter().collect()
}

fn hosts(
    typed: &file::Property,
    place: &Range<usize>,
    judge: &mut Judge,
) -> Vec<(HostPattern, Range<usize>)> {
    if typed.hosts.is_empty() {
        judge.fault(
            place.clone(),
            format!("the property \"{}\" has no hosts", typed.name.get_ref()),
            "add hosts = [\"www.example.com\"]",
        );
    }
    let mut hosts = Vec::new();
    for host in &typed.hosts {
        match host.get_ref().parse::<HostPattern>() {
            Ok(pattern) => hosts.push((pattern, host.span())),
            Err(error) => judge.fault(host.span(), error.to_string(), ""),
        }
    }
    hosts
}

fn token_hosts(
    typed: &file::Property,
    hosts: &[(HostPattern, Range<usize>)],
    judge: &mut Judge,
) -> Option<Hosts> {
    let own: Vec<String> = hosts.iter().filter_map(|(pattern, _)| pattern.name()).collect();
    for host in &typed.token_hosts {
        if let Err(error) = Hosts::new::<&str, _>(&[], &[host.get_ref()]) {
            judge.fault(
                host.span(),
                format!("token_hosts: {error}"),
                "write for example \"cdn.example.com\" or \"cdn.example.com:8443\"",
            );
        }
    }
    let token_hosts: Vec<&str> = typed.token_hosts.iter().map(|host| host.get_ref().as_str()).collect();
    Hosts::new(&own, &token_hosts).ok()
}

/// The property's keys by name, the primary first.
fn keys(
    property: &str,
    access: &Spanned<file::Access>,
    folder: &Path,
    judge: &mut Judge,
    warnings: &mut Vec<String>,
) -> Keys<Secret> {
    let typed = access.get_ref();
    if typed.action == file::Action::Open {
        return Keys::new(Vec::new());
    }
    if typed.key.is_none() {
        judge.fault(
            access.span(),
            format!("the property \"{property}\" has no key"),
            "add key = { env = \"SLUICEGATE_KEY\" }; make one with: openssl rand -hex 16",
        );
    }
    let mut keys = Vec::new();
    for (name, source) in [("key", typed.key.as_ref()), ("transition_key", typed.transition_key.as_ref())] {
        let key = read_secret(source, name, folder, judge, |text, inline| {
            if inline {
                warnings.push(format!("the {name} of the property \"{property}\" stands in the configuration; keep it in the environment or a file"));
            }
            Secret::from_hex(text).map_err(|error| error.to_string())
        });
        match key {
            Some(Ok(key)) => keys.push((name, key)),
            Some(Err(error)) => {
                let place = source.map(Spanned::span).unwrap_or_default();
                judge.fault(
                    place,
                    format!("[property.access] {name}: {error}"),
                    "a key is an even number of hex digits; make one with: openssl rand -hex 16",
                );
            }
            None => {}
        }
    }
    Keys::of(keys)
}

fn read_secret<T>(
    source: Option<&Spanned<secret::Source>>,
    name: &str,
    folder: &Path,
    judge: &mut Judge,
    accept: impl FnOnce(&str, bool) -> T,
) -> Option<T> {
    let source = source?;
    match source.get_ref().read(folder) {
        Ok(read) => Some(accept(&read.text, read.inline)),
        Err(error) => {
            judge.fault(source.span(), format!("[property.access] {name}: {error}"), "");
            None
        }
    }
}

/// Eight digits by which a key is told from another without being shown.
fn fingerprint(key: &Secret) -> String {
    let digest = Sha256::digest([b"sluicegate fingerprint ".as_slice(), key.expose()].concat());
    digest.iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn policy(
    name: &str,
    typed: &file::Property,
    access: &Spanned<file::Access>,
    keys: &Keys<Secret>,
    salt_of_access: Option<Secret>,
    judge: &mut Judge,
) -> Option<Rules> {
    let session = &typed.session;
    let session_name = token_name(&session.name, "[property.session] name", judge);
    let access_name = token_name(&access.get_ref().name, "[property.access] name", judge);
    if session_name == access_name {
        judge.fault(
            session.name.span(),
            "the session token has the access token's name",
            "give them two names, such as hdnts and hdntl",
        );
    }
    let salt_of_session = match &salt_of_access {
        Some(fixed) => Salt::Fixed(fixed.clone()),
        None if session.salt_headers.is_empty() => Salt::None,
        None => {
            Salt::Headers(session.salt_headers.iter().filter_map(|name| header_name(name, judge)).collect())
        }
    };
    let match_bits = address_match(access.get_ref(), judge);
    let is_open = access.get_ref().action == file::Action::Open;
    let mut token_names = vec![session_name.clone()];
    if !is_open {
        token_names.insert(0, access_name.clone());
    }
    let checked = access_rules(access.get_ref(), &access_name, keys, salt_of_access, match_bits, judge);
    // An open property mints nothing; its sessions have a key of no use to anybody.
    let unused = Secret::from_bytes(crate::entropy::bytes::<32>().to_vec()).ok()?;
    let session_keys = if is_open { Keys::of([("key", unused)]) } else { keys.clone() };
    if session_keys.is_empty() {
        return None;
    }
    let has = |part| session.carry.contains(&part);
    let settings = session::Settings {
        name: session_name.clone(),
        carry: session::Carry {
            id: has(file::Carry::Id),
            data: has(file::Carry::Data),
            ip: has(file::Carry::Ip),
            acl: has(file::Carry::Acl),
        },
        ttl_max: session.ttl_max.0,
        pause_allowance: session.pause_allowance.0,
        renew: session.renew,
        age_max: session.age_max.0,
        address_match: match_bits,
    };
    Some(Rules {
        access: if is_open { Access::Open } else { Access::Checked(Box::new(checked?)) },
        sessions: Sessions::new(name, &session_keys, settings),
        session_name,
        token_names,
        salt: salt_of_session,
        playlists: session.playlists.clone(),
    })
}

fn access_rules(
    typed: &file::Access,
    name: &str,
    keys: &Keys<Secret>,
    salt: Option<Secret>,
    address_match: AddressMatch,
    judge: &mut Judge,
) -> Option<Checked> {
    let algorithm = typed.algorithm.get_ref().parse();
    if algorithm.is_err() {
        judge.fault(
            typed.algorithm.span(),
            format!("algorithm = \"{}\" is not known", typed.algorithm.get_ref()),
            "use sha256, sha1 or md5",
        );
    }
    if !(1..=SESSION_ID_BYTES_MAX).contains(&typed.session_id_max) {
        judge.fault(
            0..0,
            format!("[property.access] session_id_max = {} cannot be kept", typed.session_id_max),
            "write a number from 1 to 64, the longest session id that a session carries on",
        );
    }
    if typed.locations.is_empty() {
        judge.fault(
            0..0,
            "[property.access] locations is empty: no token could ever be shown",
            "list query, cookie or header",
        );
    }
    if keys.is_empty() {
        return None;
    }
    let settings = edgeauth::Settings {
        keys: keys.clone(),
        salts: salt.into_iter().collect(),
        algorithm: algorithm.ok()?,
        escape_inputs: typed.escape_inputs,
        ignore_query: typed.ignore_query,
        expiry_skew: typed.clock_skew.0,
        start_skew: typed.start_skew.0,
        expiry_ahead_max: typed.expiry_ahead_max.map(|span| span.0),
        address_match,
        delimiters: Delimiters::default(),
        limits: edgeauth::Limits {
            token_bytes_max: typed.limits.token.bytes(),
            fields_max: typed.limits.fields,
            acl_patterns_max: typed.limits.acl_alternatives,
            acl_bytes_max: typed.limits.acl.bytes(),
            session_id_bytes_max: typed.session_id_max,
        },
    };
    let place = |location: &file::Location| Place {
        location: match location {
            file::Location::Query => Location::Query,
            file::Location::Cookie => Location::Cookie,
            file::Location::Header => Location::Header,
            file::Location::Path => Location::Path,
        },
        name: name.to_owned(),
    };
    let places = typed.locations.iter().map(place).collect();
    let action = match typed.action {
        file::Action::VerifyOnly => access::Action::VerifyOnly,
        file::Action::Deny | file::Action::Open => access::Action::Deny,
    };
    let verifier = Verifier::EdgeAuth(edgeauth::verify::Verifier::new(settings));
    Some(Checked { verifier: ArcSwap::from_pointee(verifier), places, action })
}

fn address_match(typed: &file::Access, judge: &mut Judge) -> AddressMatch {
    for (prefix, most, key) in
        [(&typed.ipv4_prefix, 32, "ipv4_prefix"), (&typed.ipv6_prefix, 128, "ipv6_prefix")]
    {
        let bits = *prefix.get_ref();
        if bits == 0 || bits > most {
            judge.fault(
                prefix.span(),
                format!("{key} = {bits} is no prefix length"),
                format!("write a number from 1 to {most}; {most} compares the whole address"),
            );
        }
    }
    AddressMatch { v4_bits: *typed.ipv4_prefix.get_ref(), v6_bits: *typed.ipv6_prefix.get_ref() }
}

/// A token's name: a parameter, a cookie, a header and a path component at once.
fn token_name(typed: &Spanned<String>, key: &str, judge: &mut Judge) -> String {
    let name = typed.get_ref();
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_name {
        judge.fault(
            typed.span(),
            format!("{key} = \"{name}\" is no name"),
            "use 1 to 64 letters, digits, - and _, such as hdnts",
        );
    }
    name.clone()
}

/// The header in which the origin of a property that only verifies is told the result; `None` where it is not told.
fn result_header(access: &file::Access, typed: &file::Property, judge: &mut Judge) -> Option<HeaderName> {
    if access.result_header.get_ref().is_empty() {
        return None;
    }
    let name = header_name(&access.result_header, judge)?;
    let text = name.as_str();
    let tokens = [access.name.get_ref(), typed.session.name.get_ref()];
    let is_token = tokens.iter().any(|token| token.eq_ignore_ascii_case(text));
    let is_ours = is_ours(&name, Side::Request) && !text.starts_with("sluicegate-");
    if is_token || is_ours || text == "sluicegate-debug" {
        judge.fault(
            access.result_header.span(),
            format!("result_header = \"{text}\" is a field with another meaning"),
            "use a name of your own, such as \"Sluicegate-Token\", or \"\" to tell the origin nothing",
        );
    }
    Some(name)
}

fn header_name(typed: &Spanned<String>, judge: &mut Judge) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(typed.get_ref().as_bytes()).ok();
    if name.is_none() {
        judge.fault(
            typed.span(),
            format!("\"{}\" is no header name", typed.get_ref()),
            "write for example \"User-Agent\"",
        );
    }
    name
}

fn cors(typed: &file::Property, access: &file::Access, judge: &mut Judge) -> Cors {
    let mut origins = Vec::new();
    for origin in &typed.cors.origins {
        let text = origin.get_ref();
        let is_origin =
            text == "*" || url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == *text);
        if !is_origin {
            judge.fault(
                origin.span(),
                format!("\"{text}\" is no web origin"),
                "write scheme, host and port, without a path: \"https://player.example\"",
            );
        }
        origins.push(text.clone());
    }
    let names = [access.name.get_ref().clone(), typed.session.name.get_ref().clone()];
    Cors::new(&origins, typed.cors.credentials, whole_seconds(typed.cors.max_age.0), &names)
}

fn cookie(typed: &file::Cookie, judge: &mut Judge) -> CookieSettings {
    let domain = typed.domain.get_ref();
    if !domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        judge.fault(
            typed.domain.span(),
            format!("[property.session.cookie] domain = \"{domain}\" is no domain"),
            "write for example \"example.com\", or \"\" for this host only",
        );
    }
    if typed.same_site == file::SameSite::None && !typed.secure {
        judge.fault(typed.domain.span(), "[property.session.cookie] same_site = \"none\" needs secure = true: browsers drop the cookie otherwise", "set secure = true, or same_site = \"lax\"");
    }
    CookieSettings {
        domain: domain.clone(),
        same_site: match typed.same_site {
            file::SameSite::None => SameSite::None,
            file::SameSite::Lax => SameSite::Lax,
            file::SameSite::Strict => SameSite::Strict,
        },
        secure: typed.secure,
        http_only: typed.http_only,
        partitioned: typed.partitioned,
        ..CookieSettings::default()
    }
}

fn carrier_name(typed: file::Carrier) -> &'static str {
    match typed {
        file::Carrier::Path => "path",
        file::Carrier::Query => "query",
        file::Carrier::Cookie => "cookie",
        file::Carrier::Header => "header",
        file::Carrier::Auto => "auto",
    }
}

fn carrier(typed: file::Carrier) -> Carrier {
    match typed {
        file::Carrier::Path => Carrier::Path,
        file::Carrier::Query => Carrier::Query,
        file::Carrier::Cookie => Carrier::Cookie,
        file::Carrier::Header => Carrier::Header,
        file::Carrier::Auto => Carrier::Auto,
    }
}
