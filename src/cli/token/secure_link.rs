//! `sluicegate token … --dialect secure_link`: links as Azion and nginx have them.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use super::args::{InspectArgs, MintArgs, SigningArgs};
use super::input::{self, Typed};
use super::inspect::human;
use super::{BadInput, Report, key, mint::ip, time};
use crate::domain::token::dialect;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::key::Secret;
use crate::domain::token::keys::Keys;
use crate::domain::token::presented::{Head, Location};
use crate::domain::token::secure_link::expression::{Expression, Values};
use crate::domain::token::secure_link::{Settings, Verifier};
use crate::domain::uri::query;

/// For one URL: `st=…&e=…`. With a path prefix and an ACL that is a directory: the path, with the link before it.
pub(super) fn mint(args: &MintArgs, now: UnixTime) -> Result<Report, BadInput> {
    let signing = &args.signing;
    let name = input::name(signing.name())?;
    let now = time(signing.now.as_deref(), now)?;
    let secret = key("key", signing, signing.key.as_deref())?;
    let settings = settings(signing, Keys::of([("key", secret)]))?;
    let expires = input::end(args, None, now)?.to_string();
    let (uri, location) = match (&args.url, args.acl.as_slice(), &settings.path_prefix) {
        (Some(url), [], _) => (url.as_str(), Location::Query),
        (None, [directory], Some(_)) => (directory.trim_end_matches('*'), Location::Path),
        (_, _, _) => {
            return Err(BadInput::new(
                "url",
                "give the path that is signed (-u /vod/a.m3u8), or a directory (-a '/vod/film/*') with --path-prefix",
            ));
        }
    };
    if !uri.starts_with('/') || location == Location::Path && !uri.ends_with('/') {
        return Err(BadInput::new(
            "url",
            format_args!("{uri:?} is no path; begin it with a slash, and end a directory with one"),
        ));
    }
    let headers = input::headers(signing)?;
    let headers = super::judge::headers(&headers);
    let client = ip(args)?.map_or(Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)), str::parse);
    let client = client.map_err(|_| BadInput::new("ip", "it is no address"))?;
    let head = Head { method: "GET", scheme: "https", authority: "", target: uri, headers: &headers };
    let values = Values { uri, expires: &expires, client, head };
    let prefix = settings.path_prefix.clone().unwrap_or_default();
    let expires_name = settings.expires_name.clone();
    let hashed = settings.expression.shown(&values);
    let signature = Verifier::new(settings).sign(location, &values, now);
    let out = match (location, expires_name, args.value) {
        (_, _, true) => format!("{signature}\n"),
        (Location::Path, Some(_), false) => format!("{prefix}/{signature}/{expires}{uri}\n"),
        (Location::Path, None, false) => format!("{prefix}/{signature}{uri}\n"),
        (_, Some(end), false) => format!("{name}={signature}&{end}={expires}\n"),
        (_, None, false) => format!("{name}={signature}\n"),
    };
    let mut report = Report { out, ..Report::default() };
    if args.verbose {
        let _ = writeln!(report.err, "string to sign: {hashed}");
    }
    Ok(report)
}

pub(super) fn inspect(args: &InspectArgs, now: UnixTime) -> Result<Report, BadInput> {
    let now = time(args.now.as_deref(), now)?.as_secs();
    let (signature, target) = match input::typed(&args.input, args.name(), &args.session_name, args.dialect)?
    {
        Typed::Token { value, .. } => (value, String::new()),
        Typed::Url(target) => match target.access {
            Some(access) => (access, target.asked.target),
            None => {
                return Err(BadInput::new(
                    "url",
                    format_args!(
                        "{:?} holds no {}; a link in a path is read by explain",
                        args.input,
                        args.name()
                    ),
                ));
            }
        },
    };
    let (_, in_query) = target.split_once('?').unwrap_or_default();
    let end = ["e", "expires"].into_iter().find_map(|name| query::values(in_query, name).next());
    let end = end.and_then(|digits| digits.parse::<u64>().ok());
    let out = if args.json {
        format!("{}\n", json!({ "kind": "secure link", "signature": signature, "expires": end }))
    } else {
        let end = end.map_or_else(|| "no end in the query".to_owned(), |end| human(end, now));
        format!(
            "secure link\n  signature {}\n  expires   {end}\nallows the one path that was signed\n",
            signature.escape_debug()
        )
    };
    Ok(Report { out, ..Report::default() })
}

pub(super) fn verifier(signing: &SigningArgs, keys: Keys<Secret>) -> Result<dialect::Verifier, BadInput> {
    Ok(dialect::Verifier::SecureLink(Verifier::new(settings(signing, keys)?)))
}

fn settings(signing: &SigningArgs, keys: Keys<Secret>) -> Result<Settings, BadInput> {
    let other = &signing.other;
    let expression: Expression = other
        .expression
        .parse()
        .map_err(|error| BadInput::new("expression", format_args!("{:?}: {error}", other.expression)))?;
    let expires_name = Some(other.expires_name.clone()).filter(|name| !name.is_empty());
    if expression.has_expires() != expires_name.is_some() {
        return Err(BadInput::new(
            "expression",
            "it has to hold $expires where --expires-name names the end, and only there",
        ));
    }
    Ok(Settings {
        directory_expression: expression.clone(),
        expires_name,
        path_prefix: other.path_prefix.clone(),
        keys,
        ..Settings::with_expression(expression)
    })
}
