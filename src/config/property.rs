//! From a property as typed to one that can serve.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;
use toml::Spanned;

use crate::domain::headers::change::{Side, is_ours};
use crate::domain::headers::cors::Cors;
use crate::domain::manifest::base::Hosts;
use crate::domain::manifest::{self, encoding};
use crate::domain::policy::Rules;
use crate::domain::policy::access::Access;
use crate::domain::policy::salt::Salt;
use crate::domain::session::carrier::{CookieSettings, SameSite};
use crate::domain::session::{self, Sessions};
use crate::domain::token::key::Secret;
use crate::domain::token::keys::Keys;
use crate::edge::error::Statuses;
use crate::edge::host::HostPattern;
use crate::edge::property::{Carrier, Property, Upstream};
use crate::edge::ruling::Ruling;
use crate::geo::Geo;
use crate::lab::origin::Streams;
use crate::telemetry::metrics::Metrics;

use super::accept::whole_seconds;
use super::fault::Judge;
use super::file::access::Encoding;
use super::keys::Reader;
use super::{access, cache, clients, encryption, file, fleet, origin, protection, rules};

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
    pub has_https: bool,
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
    let mut guard = protection::guard(&typed.https, &typed.ip, &typed.geo, typed_geo, folder, geo, judge);
    let shared_name: Arc<str> = name.as_str().into();
    guard.clients = clients::demand(&typed.tls, &shared_name, shared.has_https, folder, judge);
    let Some(access) = &typed.access else {
        judge.fault(
            place,
            format!("the property \"{name}\" has no [property.access]"),
            "add it with a key; to serve without any token say so: action = \"open\"",
        );
        return None;
    };
    let mut reader = Reader { property: &name, folder, judge, warnings };
    let accepted = access::accept(access, typed.limits.one_time, &mut reader);
    let session_key = typed.session.key.as_ref();
    let session_key = session_key.and_then(|key| reader.secret(key, "session key", Encoding::Hex));
    let session_name = access::token_name(&typed.session.name, "[property.session] name", &mut reader);
    let Some(accepted) = accepted else {
        // What else is wrong is told as well.
        let _ = (cors(&typed, &[], judge), cookie(&typed.session.cookie, judge));
        return None;
    };
    check_names(&typed, &accepted.names, &session_name, judge);
    let expired = accepted.expired;
    let token_names: Vec<String> = accepted.names.iter().cloned().chain([session_name]).collect();
    let cors = cors(&typed, &token_names, judge);
    let (fingerprints, key_names) = (accepted.fingerprints.clone(), accepted.key_names());
    let policy = policy(&name, &typed, access, accepted, session_key, judge);
    let summary = format!(
        "{name}: {} -> {}; {}; sessions by {}",
        hosts.iter().map(|(pattern, _)| pattern.to_string()).collect::<Vec<_>>().join(", "),
        origin::summary(&typed.origin),
        if fingerprints.is_empty() {
            "open".to_owned()
        } else {
            fingerprints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        },
        carrier_name(typed.session.carrier),
    );
    let (policy, property_metrics) = (policy?, Arc::new(metrics.property(&name)));
    property_metrics.register_keys(key_names);
    let is_open = access.get_ref().action == file::access::Action::Open;
    let encryption = typed.encryption.as_ref().and_then(|encryption| {
        encryption::accept(encryption, &shared_name, &typed.session, is_open, folder, judge)
    });
    let caching = cache::caching(&typed.cache);
    let result_header = result_header(access.get_ref(), &token_names, judge);
    let has_keys = !is_open;
    let ruling = ruling(&typed, has_keys, &token_names, shared, &caching, result_header.as_ref(), judge);
    let property = Property {
        encryption,
        metrics: property_metrics,
        keys: fingerprints,
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
        methods: cache::methods(&typed, judge),
        bodies: cache::bodies(&typed),
        lifetimes: cache::lifetimes(&typed.cache),
        caching,
        slicing: cache::slicing(&typed.cache, judge),
        prefetch: cache::prefetch(&typed.cache, judge),
        hosts: token_hosts?,
        manifest: manifest_options(&typed.manifest),
        encoding: encoding_limits(&typed.manifest),
        compress_min: typed.manifest.compress_min.bytes(),
        statuses: Statuses { expired, ..statuses },
        terms: fleet::terms(typed.name.get_ref(), &typed, judge),
        debug_reasons: typed.debug_reasons,
    };
    Some(Accepted { property, hosts, name_place: typed.name.span(), summary })
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

/// The property's rules, and what they may refer to.
fn ruling(
    typed: &file::Property,
    has_keys: bool,
    token_names: &[String],
    shared: Shared<'_>,
    caching: &crate::edge::property::Caching,
    result_header: Option<&HeaderName>,
    judge: &mut Judge,
) -> Ruling {
    let origins: Vec<Arc<str>> =
        std::iter::once("".into()).chain(typed.origins.keys().map(|name| name.as_str().into())).collect();
    let told = result_header.map_or("", HeaderName::as_str);
    let tokens: Vec<&str> = token_names.iter().map(String::as_str).chain([told]).collect();
    let around = rules::Around {
        property: typed.name.get_ref(),
        origins: &origins,
        tokens: &tokens,
        has_keys,
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
        upstreams.push(origin::source(origin, shared.folder, judge, shared.lab, warnings).map(|source| {
            Upstream {
                name: name.into(),
                source,
                forwarded: origin::forwarded(origin.forwarded),
                cookies_forwarded: origin.cookies.clone(),
                blocking_timeout: origin.blocking_timeout.0,
                site_redirects: origin.site_redirects,
                pass_session: *origin.pass_session.get_ref(),
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

/// A token has one name, and is nobody else's.
fn check_names(typed: &file::Property, names: &[String], session_name: &str, judge: &mut Judge) {
    for token in names.iter().map(String::as_str).chain([session_name]) {
        for origin in std::iter::once(&typed.origin).chain(typed.origins.values()) {
            if origin.cookies.iter().any(|cookie| cookie == token) {
                judge.fault(
                    origin.urls.span(),
                    format!("[property.origin] cookies lists \"{token}\", which is a token"),
                    "take it out: a token never goes to the origin",
                );
            }
        }
    }
    if names.iter().any(|name| name == session_name) {
        judge.fault(
            typed.session.name.span(),
            "the session token has the access token's name",
            "give them two names, such as hdnts and hdntl",
        );
    }
}

fn policy(
    name: &str,
    typed: &file::Property,
    access: &Spanned<file::access::Access>,
    accepted: access::Accepted,
    session_key: Option<Secret>,
    judge: &mut Judge,
) -> Option<Rules> {
    let session = &typed.session;
    let session_name = session.name.get_ref().clone();
    let mut token_names = accepted.names;
    token_names.push(session_name.clone());
    let salt_of_session = match accepted.salt {
        Some(fixed) => Salt::Fixed(fixed),
        None if session.salt_headers.is_empty() => Salt::None,
        None => Salt::Headers(
            session.salt_headers.iter().filter_map(|name| header_name(name, "User-Agent", judge)).collect(),
        ),
    };
    let session_keys = match (session_key, &accepted.access) {
        (Some(key), _) => Keys::of([(access::SESSION_KEY, key)]),
        // An open property mints nothing; its sessions have a key of no use to anybody.
        (None, Access::Open) => {
            Keys::of([("key", Secret::from_bytes(crate::entropy::bytes::<32>().to_vec()).ok()?)])
        }
        (None, Access::Checked(_)) => accepted.keys,
    };
    if session_keys.is_empty() {
        judge.fault(
            access.span(),
            format!("the property \"{name}\" has no secret key: sessions cannot be signed with a public one"),
            "add key = { env = \"SLUICEGATE_SESSION_KEY\" } to [property.session]",
        );
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
        address_match: accepted.address_match,
    };
    Some(Rules {
        access: accepted.access,
        sessions: Sessions::new(name, &session_keys, settings),
        session_name,
        token_names,
        salt: salt_of_session,
        playlists: session.playlists.clone(),
    })
}

/// The header in which the origin of a property that only verifies is told the result; `None` where it is not told.
fn result_header(
    access: &file::access::Access,
    token_names: &[String],
    judge: &mut Judge,
) -> Option<HeaderName> {
    if access.result_header.get_ref().is_empty() {
        return None;
    }
    let name = header_name(&access.result_header, "User-Agent", judge)?;
    let text = name.as_str();
    let is_token = token_names.iter().any(|token| token.eq_ignore_ascii_case(text));
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

/// A header's name as typed; `example` is one for the cure.
pub fn header_name(typed: &Spanned<String>, example: &str, judge: &mut Judge) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(typed.get_ref().as_bytes()).ok();
    if name.is_none() {
        judge.fault(
            typed.span(),
            format!("\"{}\" is no header name", typed.get_ref()),
            format!("write for example \"{example}\""),
        );
    }
    name
}

fn cors(typed: &file::Property, token_names: &[String], judge: &mut Judge) -> Cors {
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
    Cors::new(&origins, typed.cors.credentials, whole_seconds(typed.cors.max_age.0), token_names)
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
