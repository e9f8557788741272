//! From `[fleet]` and a property's `[property.revocation]` and `[property.limits]` as typed to what the fleet is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use crate::domain::token::key::Secret;
use crate::fleet::settings::{
    Action, By, ClientCertificate, Fail, Limits, ListLimits, RedisSettings, Settings, Terms,
};

use super::fault::Judge;
use super::file;
use super::file::fleet as typed;

/// Judges `[fleet]`.
pub fn fleet(typed: &typed::Fleet, folder: &Path, judge: &mut Judge, warnings: &mut Vec<String>) -> Settings {
    if *typed.purges_max.get_ref() == 0 {
        judge.fault(
            typed.purges_max.span(),
            "[fleet] purges_max = 0: an edge that was away would have to purge everything each time",
            "write a number above 0",
        );
    }
    Settings {
        folder: typed.folder.as_ref().map(|path| folder.join(path.get_ref())),
        redis: typed.redis.as_ref().and_then(|place| redis(typed, place, folder, judge, warnings)),
        lists: ListLimits {
            lists_max: typed.lists_max,
            identifiers_max: typed.identifiers_max,
            identifiers_per_call_max: typed.identifiers_per_call,
            duration_min: typed.duration_min.0,
            duration_max: typed.duration_max.0,
        },
        purges_max: *typed.purges_max.get_ref(),
        viewings_max: typed.viewings_max,
        tokens_max: typed.tokens_max,
    }
}

fn redis(
    typed: &typed::Fleet,
    place: &Spanned<String>,
    folder: &Path,
    judge: &mut Judge,
    warnings: &mut Vec<String>,
) -> Option<RedisSettings> {
    let parsed = place.get_ref().parse();
    if let Err(error) = &parsed {
        judge.fault(
            place.span(),
            format!("[fleet] redis cannot be used: {error}"),
            "write for example \"rediss://redis.example:6379/0\", \"redis-sentinel://a:26379,b:26379/main\" or \"redis-cluster://a,b,c\"; name and password are keys of their own",
        );
    }
    for (span, key) in [(&typed.compare_interval, "compare_interval"), (&typed.timeout, "timeout")] {
        if span.get_ref().0 < Duration::from_millis(10) {
            judge.fault(span.span(), format!("[fleet] {key} is too short"), "write for example \"500ms\"");
        }
    }
    let prefix = typed.prefix.get_ref();
    let is_prefix = !prefix.is_empty()
        && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !is_prefix {
        judge.fault(
            typed.prefix.span(),
            format!("[fleet] prefix = \"{prefix}\" is no prefix"),
            "use letters, digits, -, _ and .",
        );
    }
    let password = typed.password.as_ref().and_then(|source| match source.get_ref().read(folder) {
        Ok(read) => {
            if read.inline {
                warnings.push(
                    "the password of Redis stands in the configuration; keep it in the environment or a file"
                        .to_owned(),
                );
            }
            Secret::from_text(&read.text).ok()
        }
        Err(error) => {
            judge.fault(source.span(), format!("[fleet] password: {error}"), "");
            None
        }
    });
    Some(RedisSettings {
        place: parsed.ok()?,
        username: typed.username.clone(),
        password,
        ca: typed.ca.as_ref().and_then(|path| bytes(path, "ca", folder, judge)),
        client: client(typed, folder, judge),
        prefix: prefix.clone(),
        compare_interval: typed.compare_interval.get_ref().0,
        timeout: typed.timeout.get_ref().0,
        backoff_max: typed.backoff_max.0,
    })
}

fn client(typed: &typed::Fleet, folder: &Path, judge: &mut Judge) -> Option<ClientCertificate> {
    match (&typed.client_cert, &typed.client_key) {
        (Some(certificate), Some(key)) => {
            let certificate = bytes(certificate, "client_cert", folder, judge);
            let key = bytes(key, "client_key", folder, judge);
            Some(ClientCertificate { certificate: certificate?, key: Secret::from_bytes(key?).ok()? })
        }
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => {
            judge.fault(
                alone.span(),
                "[fleet] client_cert and client_key go together, and one is missing",
                "give both",
            );
            None
        }
    }
}

fn bytes(path: &Spanned<PathBuf>, key: &str, folder: &Path, judge: &mut Judge) -> Option<Vec<u8>> {
    let file = folder.join(path.get_ref());
    match std::fs::read(&file) {
        Ok(bytes) if bytes.windows(10).any(|window| window == b"-----BEGIN") => Some(bytes),
        Ok(_) => {
            judge.fault(
                path.span(),
                format!("[fleet] {key}: {} is no PEM file", file.display()),
                "give a PEM file",
            );
            None
        }
        Err(error) => {
            let message = format!("[fleet] {key}: cannot read {}: {error}", file.display());
            judge.fault(path.span(), message, "give a PEM file");
            None
        }
    }
}

/// Judges what a property asks of the fleet.
pub fn terms(name: &str, typed: &file::Property, judge: &mut Judge) -> Terms {
    let limits = &typed.limits;
    let carried = match limits.by.get_ref() {
        typed::By::Id => file::Carry::Id,
        typed::By::Payload => file::Carry::Data,
    };
    let has_limit = limits.sessions > 0 || limits.addresses > 0;
    if has_limit && !typed.session.carry.contains(&carried) {
        judge.fault(
            limits.by.span(),
            format!("the property \"{name}\" counts viewings by what its sessions do not carry"),
            "add \"id\" (or \"data\", for the payload) to carry in [property.session]",
        );
    }
    for (span, key) in [(&limits.active, "active"), (&limits.address_window, "address_window")] {
        if has_limit && span.get_ref().0 < Duration::from_secs(1) {
            judge.fault(
                span.span(),
                format!("[property.limits] {key} is less than a second"),
                "write for example \"60s\"",
            );
        }
    }
    let session = &typed.session;
    Terms {
        property: name.into(),
        lists: typed.revocation.lists.iter().map(|name| name.as_str().into()).collect(),
        fail: match typed.revocation.fail {
            typed::Fail::Open => Fail::Open,
            typed::Fail::Closed => Fail::Closed,
        },
        age_max: typed.revocation.age_max.0,
        limits: has_limit.then(|| {
            Arc::new(Limits {
                by: match limits.by.get_ref() {
                    typed::By::Id => By::SessionId,
                    typed::By::Payload => By::Payload,
                },
                sessions_max: (limits.sessions > 0).then_some(limits.sessions),
                active: limits.active.get_ref().0,
                addresses_max: (limits.addresses > 0).then_some(limits.addresses),
                address_window: limits.address_window.get_ref().0,
                action: match limits.over_limit {
                    typed::OverLimit::DenyNewest => Action::DenyNewest,
                    typed::OverLimit::DenyOldest => Action::DenyOldest,
                    typed::OverLimit::Report => Action::Report,
                },
                life: session.ttl_max.0.max(session.age_max.0) + session.pause_allowance.0,
            })
        }),
        one_time: limits.one_time.then_some(limits.one_time_retry.0),
    }
}
