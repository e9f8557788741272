//! Reading what was typed: numbers, delimiters, URLs, tokens.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::BadInput;
use super::args::{Dialect, MintArgs, SigningArgs};
use crate::domain::session::carrier::{sole, split_path};
use crate::domain::token::edgeauth::Delimiters;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::jwt::package;
use crate::domain::token::key::Algorithm;
use crate::domain::uri::{escape, path, query};

pub(super) fn number(field: &str, text: &str) -> Result<u64, BadInput> {
    let is_decimal = !text.is_empty() && text.len() <= 19 && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal).ok_or_else(|| {
        BadInput::new(
            field,
            format_args!("{text:?} is no whole number of seconds; give decimal digits alone"),
        )
    })
}

pub(super) fn algorithm(args: &SigningArgs) -> Result<Algorithm, BadInput> {
    let name = args.algo.as_deref().unwrap_or("sha256");
    name.parse().map_err(|error| BadInput::new("algo", format_args!("{name:?}: {error}")))
}

pub(super) fn delimiters(args: &SigningArgs) -> Result<Delimiters, BadInput> {
    let field = delimiter("field delimiter", &args.field_delimiter)?;
    let acl = delimiter("acl delimiter", &args.acl_delimiter)?;
    if field == acl {
        return Err(BadInput::new(
            "acl delimiter",
            format_args!("{acl:?} is the field delimiter too; choose another"),
        ));
    }
    Ok(Delimiters { field, acl })
}

pub(super) fn delimiter(name: &str, text: &str) -> Result<char, BadInput> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if one.is_ascii_punctuation() && !matches!(one, '=' | '%') => Ok(one),
        _ => Err(BadInput::new(
            name,
            format_args!("{text:?} does not serve; give one punctuation mark other than = and %"),
        )),
    }
}

/// Request headers, as `name=value`.
pub(super) fn headers(args: &SigningArgs) -> Result<Vec<(String, String)>, BadInput> {
    let pair = |text: &String| {
        let split = text.split_once('=').filter(|(name, value)| {
            HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok()
        });
        split.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| {
            BadInput::new("request header", format_args!("{text:?} is no header; write name=value"))
        })
    };
    args.other.request_headers.iter().map(pair).collect()
}

/// The end that is signed: as given, or the window from now.
pub(super) fn end(args: &MintArgs, start: Option<u64>, now: UnixTime) -> Result<u64, BadInput> {
    if let Some(end) = &args.end_time {
        return number("end time", end);
    }
    let window = args.window.as_deref().map(|text| number("window", text)).transpose()?.unwrap_or(0);
    if window == 0 {
        return Err(BadInput::new(
            "end time",
            "neither an end nor a window above 0 is given; give one of them",
        ));
    }
    start
        .unwrap_or(now.as_secs())
        .checked_add(window)
        .ok_or_else(|| BadInput::new("window", format_args!("{window} seconds end beyond the range of time")))
}

/// A name that can stand before `=` in a query, a cookie, or a path.
pub(super) fn name(text: &str) -> Result<&str, BadInput> {
    let is_plain = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if is_plain {
        return Ok(text);
    }
    Err(BadInput::new("token name", format_args!("{text:?} does not serve; use letters, digits, - and _")))
}

/// The tokens of a request, and what else of it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) session: Option<String>,
    pub(super) access: Option<String>,
    pub(super) raw_path: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) asked: Asked,
}

/// The URL as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) scheme: String,
    pub(super) authority: String,
    /// Path and query, tokens and all.
    pub(super) target: String,
}

/// What was typed: a URL that holds a token, or a token alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Url(Target),
    Token { is_session: bool, value: String },
}

pub(super) fn typed(
    input: &str,
    access_name: &str,
    session_name: &str,
    dialect: Dialect,
) -> Result<Typed, BadInput> {
    let input = input.trim();
    let has_scheme = input
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if input.starts_with('/') || has_scheme {
        return target(input, access_name, session_name).map(Typed::Url);
    }
    let named = |name: &str| {
        let rest = input.strip_prefix(name)?;
        rest.strip_prefix('=').or_else(|| rest.strip_prefix(':')).map(str::trim_start)
    };
    if let Some(value) = named(session_name) {
        return Ok(Typed::Token { is_session: true, value: value.to_owned() });
    }
    let value = named(access_name).or_else(|| named(dialect.header_name())).unwrap_or(input);
    let decoded = escape::decode(value).unwrap_or(Cow::Borrowed(value));
    if dialect == Dialect::Edgeauth && !decoded.contains("hmac=") {
        return Err(BadInput::new(
            "input",
            format_args!("{input:?} is neither a URL nor a token; give either"),
        ));
    }
    let is_session = decoded
        .split('~')
        .any(|field| field.strip_prefix("data=").is_some_and(|data| marks(data, session_name)));
    Ok(Typed::Token { is_session, value: value.to_owned() })
}

fn marks(data: &str, session_name: &str) -> bool {
    data.strip_prefix(session_name).is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
}

/// A URL without the package that stands in its path as RFC 9246 has it.
pub(super) fn packaged(mut target: Target, name: &str) -> Result<Target, BadInput> {
    let split = package::split(&target.raw_path, name)
        .map_err(|reason| BadInput::new("url", format_args!("it carries no one token: {reason}")))?;
    let Some(token) = split.token else { return Ok(target) };
    let path = path::normalise(&split.path)
        .map_err(|error| BadInput::new("path", format_args!("{:?}: {error}", split.path)))?;
    (target.path, target.access) = (path.into_owned(), Some(token.to_owned()));
    target.raw_path = split.path.into_owned();
    Ok(target)
}

/// Takes a URL apart without rewriting it.
pub(super) fn target(url: &str, access_name: &str, session_name: &str) -> Result<Target, BadInput> {
    let (scheme, authority, after_host) = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, "/"), |at| rest.split_at(at));
            (scheme, authority, path)
        }
        None => ("https", "", url),
    };
    let (resource, _) = after_host.split_once('#').unwrap_or((after_host, ""));
    let (raw_path, raw_query) = resource.split_once('?').unwrap_or((resource, ""));
    let raw_path = if raw_path.is_empty() { "/" } else { raw_path };
    let refused = |reason| BadInput::new("url", format_args!("{url:?} carries no one token: {reason}"));
    let split = split_path(raw_path, session_name).map_err(refused)?;
    let in_query = sole(query::values(raw_query, session_name)).map_err(refused)?;
    let access = sole(query::values(raw_query, access_name)).map_err(refused)?;
    let normal = path::normalise(&split.path)
        .map_err(|error| BadInput::new("path", format_args!("{:?}: {error}", split.path)))?;
    Ok(Target {
        session: split.value.or(in_query).map(str::to_owned),
        // `?hdnts=$(sluicegate token mint …)` names the token twice.
        access: access.map(|value| {
            let bare = value.strip_prefix(access_name).and_then(|rest| rest.strip_prefix('='));
            bare.unwrap_or(value).to_owned()
        }),
        path: normal.clone().into_owned(),
        raw_path: split.path.into_owned(),
        query: query::without(raw_query, &[access_name, session_name]).into_owned(),
        asked: Asked {
            scheme: scheme.to_ascii_lowercase(),
            authority: authority.to_owned(),
            target: resource.to_owned(),
        },
    })
}
