//! `sluicegate token … --dialect media_cdn`: the tokens of Google's samples.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::args::{InspectArgs, MintArgs, SigningArgs};
use super::input::{self, Typed};
use super::inspect::human;
use super::mint::session_id;
use super::{BadInput, Report, key, time};
use crate::domain::token::base64url;
use crate::domain::token::dialect;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::key::{Algorithm, Secret};
use crate::domain::token::keys::{Keys, Named};
use crate::domain::token::media_cdn::sign::{MintRequest, SigningKey, Target, sign};
use crate::domain::token::media_cdn::{Algorithms, Key, Settings, Verifier};
use crate::domain::uri::escape;

pub(super) fn mint(args: &MintArgs, now: UnixTime) -> Result<Report, BadInput> {
    let signing = &args.signing;
    let name = input::name(signing.name())?;
    let now = time(signing.now.as_deref(), now)?;
    let secret = key("key", signing, signing.key.as_deref())?;
    let key = if signing.other.ed25519 {
        SigningKey::Ed25519(secret)
    } else {
        SigningKey::Hmac(secret, input::algorithm(signing)?)
    };
    let starts = match args.start_time.as_deref() {
        Some(text) if text.eq_ignore_ascii_case("now") => Some(now.as_secs()),
        Some(text) => Some(input::number("start time", text)?),
        None => None,
    };
    let headers = input::headers(signing)?;
    let request = MintRequest {
        key: &key,
        target: target(args)?,
        starts,
        expires: input::end(args, starts, now)?,
        session_id: session_id(args)?,
        data: args.payload.as_deref(),
        headers: &headers,
        ip_ranges: args.ip_ranges.as_deref().or(args.ip.as_deref()),
    };
    let minted = sign(&request).map_err(|error| BadInput(error.to_string()))?;
    let token = minted.token;
    let out = match (args.header, args.value) {
        (true, _) => format!("{name}: {token}\n"),
        (false, true) => format!("{token}\n"),
        (false, false) => format!("{name}={token}\n"),
    };
    let mut report = Report { out, ..Report::default() };
    if args.verbose {
        let _ = writeln!(report.err, "string to sign: {}", minted.signed);
    }
    Ok(report)
}

fn target(args: &MintArgs) -> Result<Target, BadInput> {
    match (&args.url, args.acl.as_slice(), &args.url_prefix) {
        (Some(url), [], None) => Ok(Target::FullPath(url.clone())),
        (None, [_, ..], None) => Ok(Target::PathGlobs(args.acl.join("!"))),
        (None, [], Some(prefix)) if prefix.starts_with("http://") || prefix.starts_with("https://") => {
            Ok(Target::UrlPrefix(prefix.clone()))
        }
        (None, [], Some(prefix)) => Err(BadInput::new(
            "url prefix",
            format_args!("{prefix:?} has no scheme; write https://media.example/vod/"),
        )),
        (_, _, _) => Err(BadInput::new(
            "acl",
            "give one of: -a '/live/*' (PathGlobs), -u /live/a.m3u8 (FullPath), --url-prefix https://host/live/",
        )),
    }
}

pub(super) fn inspect(args: &InspectArgs, now: UnixTime) -> Result<Report, BadInput> {
    let now = time(args.now.as_deref(), now)?.as_secs();
    let value = match input::typed(&args.input, args.name(), &args.session_name, args.dialect)? {
        Typed::Token { value, .. } => value,
        Typed::Url(target) => target.access.ok_or_else(|| {
            BadInput::new("url", format_args!("{:?} holds no {}; look for its name", args.input, args.name()))
        })?,
    };
    let text = escape::decode(&value).map_or_else(|| value.clone(), std::borrow::Cow::into_owned);
    let separator = ['~', ':', '&'].into_iter().find(|separator| text.contains(*separator)).unwrap_or('~');
    let fields: Vec<(&str, &str)> =
        text.split(separator).map(|field| field.split_once('=').unwrap_or((field, ""))).collect();
    let plain = |name: &str, value: &str| match name {
        "URLPrefix" | "IPRanges" => {
            base64url::decode(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
        "Starts" | "Expires" | "st" | "exp" => value.parse().ok().map(|at| human(at, now)),
        _ => None,
    };
    let out = if args.json {
        let shown: Map<String, Value> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        format!("{}\n", json!({ "kind": "media cdn token", "fields": shown }))
    } else {
        let mut out = "media cdn token\n".to_owned();
        for (name, value) in &fields {
            let note = plain(name, value).unwrap_or_default();
            let line = format!("  {name:<9} {}  {}", value.escape_debug(), note.escape_debug());
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out
    };
    Ok(Report { out, ..Report::default() })
}

pub(super) fn verifier(signing: &SigningArgs, keys: &Keys<Secret>) -> Result<dialect::Verifier, BadInput> {
    let mut made = Vec::new();
    for named in keys.iter() {
        let key = if signing.other.ed25519 {
            Key::public(named.key.expose()).ok_or_else(|| {
                BadInput::new("key", "it is no Ed25519 public key; give its 32 bytes in base64")
            })?
        } else {
            Key::shared(&named.key)
        };
        made.push(Named { name: named.name.clone(), window: named.window, key });
    }
    let algorithm = input::algorithm(signing)?;
    let algorithms = Algorithms {
        ed25519: signing.other.ed25519,
        hmac_sha256: algorithm == Algorithm::Sha256,
        hmac_sha1: algorithm == Algorithm::Sha1,
    };
    let settings = Settings { algorithms, ..Settings::with_keys(Keys::new(made)) };
    Ok(dialect::Verifier::MediaCdn(Verifier::new(settings)))
}
