//! `sluicegate token … --dialect jwt|cat`: tokens that are sets of claims.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::args::{ClaimProfile, Dialect, InspectArgs, JudgeArgs, MintArgs, SigningArgs};
use super::input::{self, Typed};
use super::inspect::human;
use super::mint::{ip, session_id};
use super::signer::{self, Signer, Verifying};
use super::{BadInput, Report, time};
use crate::domain::token::address::AddressMatch;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::jwt::jwe;
use crate::domain::token::key::Secret;
use crate::domain::token::keys::Keys;
use crate::domain::token::{cat, dialect, jwt};
use crate::domain::uri::hex::hex;
use crate::entropy;

pub(super) fn mint(args: &MintArgs, now: UnixTime) -> Result<Report, BadInput> {
    let signing = &args.signing;
    let is_cat = signing.other.dialect == Dialect::Cat;
    let name = input::name(if args.header { signing.header_name() } else { signing.name() })?;
    let key = Signer::read(signing)?;
    let claims = claims(args, now)?;
    let id = signing.claims.kid.as_deref().or(key.id.as_deref());
    let (token, signed) = if is_cat {
        let mut signed = Vec::new();
        let token = cat::sign::mint(key.algorithm, id, &claims, |data| {
            signed = data.to_vec();
            key.sign(data)
        });
        let token = token.map_err(|fault| match fault {
            cat::sign::Fault::Algorithm(_) => BadInput::new("algo", fault),
            other => BadInput::new("claims", other),
        })?;
        (token, hex(&signed))
    } else {
        let signed = jwt::sign::signing_input(key.algorithm, id, &claims);
        let signature = key
            .sign(signed.as_bytes())
            .ok_or_else(|| BadInput::new("key", "the signature could not be made with it"))?;
        (jwt::sign::token(&signed, &signature), signed)
    };
    let out = match (args.header, args.value) {
        (true, _) => format!("{name}: {token}\n"),
        (false, true) => format!("{token}\n"),
        (false, false) => format!("{name}={token}\n"),
    };
    let mut report = Report { out, ..Report::default() };
    if args.verbose {
        let _ = writeln!(report.err, "claims:         {}", Value::Object(claims));
        let _ = writeln!(report.err, "string to sign: {signed}");
        let _ = writeln!(report.err, "algorithm:      {}", key.algorithm.as_str());
    }
    Ok(report)
}

/// The claims that are given as JSON, and those that flags mean, which win.
fn claims(args: &MintArgs, now: UnixTime) -> Result<Map<String, Value>, BadInput> {
    let (signing, own) = (&args.signing, &args.claims);
    let mut claims: Map<String, Value> = match own.claims.as_deref() {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| BadInput::new("claims", format_args!("they are no JSON object: {error}")))?,
        None => Map::new(),
    };
    if args.payload.is_some() {
        return Err(BadInput::new(
            "payload",
            "tokens of claims carry none; give a claim of your own with --claims '{\"name\": \"value\"}'",
        ));
    }
    let now = time(signing.now.as_deref(), now)?;
    let start = match args.start_time.as_deref() {
        Some(text) if text.eq_ignore_ascii_case("now") => Some(now.as_secs()),
        Some(text) => Some(input::number("start time", text)?),
        None => None,
    };
    if let Some(start) = start {
        claims.insert("nbf".to_owned(), start.into());
    }
    if !claims.contains_key("exp") || args.end_time.is_some() || args.window.is_some() {
        let end = input::end(args, start, now)?;
        if start.is_some_and(|start| end <= start) {
            return Err(BadInput::new(
                "end time",
                format_args!("{end} is not after the start; let it end later"),
            ));
        }
        claims.insert("exp".to_owned(), end.into());
    }
    match signing.claims.issuer.as_slice() {
        [] => {}
        [issuer] => drop(claims.insert("iss".to_owned(), issuer.as_str().into())),
        [_, ..] => return Err(BadInput::new("issuer", "a token has one; give --issuer once")),
    }
    match signing.claims.audience.as_slice() {
        [] => {}
        [audience] => drop(claims.insert("aud".to_owned(), audience.as_str().into())),
        several => drop(claims.insert("aud".to_owned(), several.to_vec().into())),
    }
    match (signing.other.dialect, signing.claims.profile) {
        (Dialect::Cat, _) => in_cat(args, &mut claims)?,
        (_, ClaimProfile::Plain) => in_plain(args, &mut claims)?,
        (_, ClaimProfile::UriSigning) => in_package(args, &mut claims)?,
    }
    Ok(claims)
}

/// The claims of RFC 9246.
fn in_package(args: &MintArgs, claims: &mut Map<String, Value>) -> Result<(), BadInput> {
    let own = &args.claims;
    only_of_cat(args)?;
    if !args.acl.is_empty() {
        return Err(BadInput::new(
            "acl",
            "RFC 9246 has none; use -u for one URL, --url-prefix or --url-regex, or --profile plain",
        ));
    }
    let container = match (&args.url, &args.url_prefix, &own.url_regex) {
        (None, None, None) => None,
        (Some(url), None, None) => Some(jwt::container::hash_of(whole("url", url)?)),
        (None, Some(prefix), None) => Some(format!("regex:{}.*", literally(whole("url prefix", prefix)?))),
        (None, None, Some(expression)) => Some(format!("regex:{expression}")),
        (_, _, _) => return Err(BadInput::new("url", "give one of -u, --url-prefix and --url-regex")),
    };
    if let Some(container) = container {
        jwt::container::Container::parse(&container, jwt::Limits::default())
            .map_err(|fault| BadInput::new("url regex", format_args!("{container:?}: {fault}")))?;
        claims.insert("cdniuc".to_owned(), container.into());
    }
    if !claims.contains_key("cdniuc") {
        return Err(BadInput::new(
            "url",
            "none is given; use -u https://host/live/a.m3u8, --url-prefix https://host/live/ or --url-regex 'https://host/live/.*'",
        ));
    }
    if let Some(id) = session_id(args)? {
        claims.insert("sub".to_owned(), personal(&args.signing, id)?.into());
    }
    if let Some(client) = client(args)? {
        claims.insert("cdniip".to_owned(), personal(&args.signing, client)?.into());
    }
    jti(args, claims);
    Ok(())
}

/// The claims of a plain JWT, by the names that the configuration has for them.
fn in_plain(args: &MintArgs, claims: &mut Map<String, Value>) -> Result<(), BadInput> {
    let names = &args.signing.claims;
    only_of_cat(args)?;
    if args.claims.url_regex.is_some() || args.url_prefix.is_some() {
        return Err(BadInput::new(
            "url",
            "a plain token has patterns of paths; use -a '/live/*' or -u /live/a.m3u8",
        ));
    }
    let patterns: Vec<&str> = args.url.iter().chain(&args.acl).map(String::as_str).collect();
    if !patterns.is_empty() {
        claims.insert(names.paths_claim.clone(), patterns.into());
    }
    if !claims.contains_key(&names.paths_claim) {
        return Err(BadInput::new(
            "acl",
            "neither an acl nor a url is given; use -a '/live/*' or -u /live/a.m3u8",
        ));
    }
    if let Some(id) = session_id(args)? {
        claims.insert(names.session_id_claim.clone(), id.into());
    }
    if let Some(client) = client(args)? {
        if names.address_claim.is_empty() {
            return Err(BadInput::new(
                "ip",
                "no claim is named for it; add --address-claim, as in the configuration",
            ));
        }
        claims.insert(names.address_claim.clone(), client.into());
    }
    jti(args, claims);
    Ok(())
}

/// The claims of CTA-5007.
fn in_cat(args: &MintArgs, claims: &mut Map<String, Value>) -> Result<(), BadInput> {
    let own = &args.claims;
    if own.jti.is_some() || own.url_regex.is_some() {
        return Err(BadInput::new(
            "jti",
            "a CAT has --cti for jti, and --catu path=regex-match:… for --url-regex",
        ));
    }
    let mut uri = claims.remove("catu").and_then(|uri| uri.as_object().cloned()).unwrap_or_default();
    let mut put = |component: &str, kind: &str, value: &str| {
        let matches = uri.entry(component).or_insert_with(|| json!({}));
        matches[kind] = value.into();
    };
    match (&args.url, args.acl.as_slice(), &args.url_prefix) {
        (None, [], None) => {}
        (Some(url), [], None) => in_parts(url, "exact-match", &mut put),
        (None, [], Some(prefix)) => in_parts(prefix, "prefix-match", &mut put),
        (None, [pattern], None) => {
            let prefix = pattern.strip_suffix('*').unwrap_or(pattern);
            if prefix.contains(['*', '?']) {
                return Err(BadInput::new(
                    "acl",
                    format_args!("{pattern:?} is no prefix; use --catu path=regex-match:…"),
                ));
            }
            put("path", if prefix == pattern { "exact-match" } else { "prefix-match" }, prefix);
        }
        (_, _, _) => {
            return Err(BadInput::new("url", "give one of -u, one -a and --url-prefix, or any --catu"));
        }
    }
    for text in &own.catu {
        let (component, kind, value) = condition("catu", text)?;
        put(component, kind, value);
    }
    if !uri.is_empty() {
        claims.insert("catu".to_owned(), Value::Object(uri));
    }
    let mut fields = Map::new();
    for text in &own.cath {
        let (field, kind, value) = condition("cath", text)?;
        let matches = fields.entry(field).or_insert_with(|| json!({}));
        matches[kind] = value.into();
    }
    if !fields.is_empty() {
        claims.insert("cath".to_owned(), Value::Object(fields));
    }
    if let Some(networks) = args.ip_ranges.as_deref().or(ip(args)?) {
        let one = |text: &str| text.parse::<u32>().map_or_else(|_| Value::from(text), Value::from);
        claims.insert("catnip".to_owned(), networks.split(',').map(|text| one(text.trim())).collect());
    }
    if let Some(methods) = &own.catm {
        claims.insert("catm".to_owned(), methods.split(',').map(str::trim).collect());
    }
    if let Some(countries) = &own.catgeoiso3166 {
        claims.insert("catgeoiso3166".to_owned(), countries.split(',').map(str::trim).collect());
    }
    if let Some(id) = &own.cti {
        claims.insert("cti".to_owned(), id.as_str().into());
    }
    if let Some(replay) = &own.catreplay {
        claims.insert("catreplay".to_owned(), input::number("catreplay", replay)?.into());
    }
    if let Some(id) = session_id(args)? {
        claims.insert("sub".to_owned(), id.into());
    }
    Ok(())
}

fn jti(args: &MintArgs, claims: &mut Map<String, Value>) {
    if let Some(id) = &args.claims.jti {
        claims.insert("jti".to_owned(), id.as_str().into());
    }
}

fn only_of_cat(args: &MintArgs) -> Result<(), BadInput> {
    let own = &args.claims;
    let given = [
        ("catu", !own.catu.is_empty()),
        ("cath", !own.cath.is_empty()),
        ("catm", own.catm.is_some()),
        ("cti", own.cti.is_some()),
        ("catreplay", own.catreplay.is_some()),
        ("catgeoiso3166", own.catgeoiso3166.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(BadInput::new(name, "a JWT has no such claim; use --dialect cat")),
        None => Ok(()),
    }
}

/// The one address or network that a token is for.
fn client(args: &MintArgs) -> Result<Option<&str>, BadInput> {
    match args.ip_ranges.as_deref() {
        Some(ranges) if ranges.contains(',') => {
            Err(BadInput::new("ip ranges", format_args!("{ranges:?}: a JWT is for one network; give one")))
        }
        Some(range) => Ok(Some(range)),
        None => ip(args),
    }
}

fn whole<'a>(field: &str, url: &'a str) -> Result<&'a str, BadInput> {
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(url);
    }
    Err(BadInput::new(
        field,
        format_args!("{url:?} has no scheme; RFC 9246 signs whole URLs: https://media.example/live/a.m3u8"),
    ))
}

/// A text as an expression that matches it alone.
fn literally(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len() + 8), |mut expression, character| {
        if r"\.[]()*+?{}|^$".contains(character) {
            expression.push('\\');
        }
        expression.push(character);
        expression
    })
}

/// RFC 9246 has what tells of a person encrypted: with a key of the JWK set, or not at all where that was agreed on.
fn personal(signing: &SigningArgs, text: &str) -> Result<String, BadInput> {
    if let Some(sealing) = signer::sealing(signing)? {
        let sealed =
            jwe::seal(text, sealing.id.as_deref(), sealing.encryption, &sealing.secret, entropy::bytes());
        return sealed
            .ok_or_else(|| BadInput::new("key file", "its key that encrypts has not the length of its alg"));
    }
    if signing.claims.clear_personal_data {
        return Ok(text.to_owned());
    }
    Err(BadInput::new(
        "session id",
        "RFC 9246 has sub and cdniip encrypted; put an oct key with alg A256GCM in the --key-file, or add --clear-personal-data as in the configuration",
    ))
}

/// `component=kind:value`
fn condition<'a>(field: &str, text: &'a str) -> Result<(&'a str, &'a str, &'a str), BadInput> {
    let split = text
        .split_once('=')
        .and_then(|(part, rest)| rest.split_once(':').map(|(kind, value)| (part, kind, value)));
    split.ok_or_else(|| {
        BadInput::new(field, format_args!("{text:?} is no condition; write it as path=prefix-match:/live/"))
    })
}

/// A URL, or a path, as conditions on its parts.
fn in_parts(url: &str, kind: &str, put: &mut impl FnMut(&str, &str, &str)) {
    let path = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
            let (host, port) = match authority.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => (host, Some(port)),
                Some(_) | None => (authority, None),
            };
            put("scheme", "exact-match", scheme);
            put("host", "exact-match", host);
            if let Some(port) = port {
                put("port", "exact-match", port);
            }
            path
        }
        None => url,
    };
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    put("path", kind, path);
    if let Some(query) = query {
        put("query", "exact-match", query);
    }
}

/// The verifier of these keys; each of them signs for every issuer that is given.
pub(super) fn verifier(args: &JudgeArgs, secrets: &Keys<Secret>) -> Result<dialect::Verifier, BadInput> {
    let own = &args.signing.claims;
    let Verifying { keys, decryption } = Verifying::read(&args.signing, secrets)?;
    let keys = Keys::new(keys);
    if args.signing.other.dialect == Dialect::Cat {
        let ignored = args.ignore_claims.iter().map(|text| {
            let Ok(label) = text.parse();
            label
        });
        let settings = cat::Settings {
            audiences: own.audience.clone(),
            expiry_required: true,
            expiry_skew: UnixTime::ZERO,
            start_skew: UnixTime::ZERO,
            expiry_ahead_max: None,
            uses_counted: args.one_time,
            claims_ignored: ignored.collect(),
            limits: cat::Limits::default(),
        };
        return Ok(dialect::Verifier::Cat(cat::verify::Verifier::new(settings, keys)));
    }
    let settings = jwt::Settings {
        profile: match own.profile {
            ClaimProfile::UriSigning => {
                jwt::Profile::UriSigning { clear_personal_data: own.clear_personal_data }
            }
            ClaimProfile::Plain => jwt::Profile::Plain(jwt::Plain {
                paths_claim: own.paths_claim.clone(),
                session_id_claim: own.session_id_claim.clone(),
                address_claim: own.address_claim.clone(),
                expiry_skew: UnixTime::ZERO,
                start_skew: UnixTime::ZERO,
                address_match: AddressMatch::EXACT,
            }),
        },
        nonce: if args.one_time { jwt::Nonce::Counted } else { jwt::Nonce::Refused },
        audiences: own.audience.clone(),
        expiry_required: true,
        expiry_ahead_max: None,
        limits: jwt::Limits::default(),
    };
    Ok(dialect::Verifier::Jwt(jwt::verify::Verifier::new(settings, keys, decryption)))
}

/// Header and claims as they stand, believed by nobody.
pub(super) fn inspect(args: &InspectArgs, now: UnixTime) -> Result<Report, BadInput> {
    let now = time(args.now.as_deref(), now)?.as_secs();
    let text = match input::typed(&args.input, args.name(), &args.session_name, args.dialect)? {
        Typed::Token { value, .. } => value,
        Typed::Url(target) => input::packaged(target, args.name())?.access.ok_or_else(|| {
            BadInput::new("url", format_args!("{:?} holds no {}; look for its name", args.input, args.name()))
        })?,
    };
    let text =
        crate::domain::uri::escape::decode(&text).map_or_else(|| text.clone(), std::borrow::Cow::into_owned);
    let (kind, shown) = if args.dialect == Dialect::Cat {
        ("common access token", cat::sign::shown(&text))
    } else {
        ("jwt", jwt::sign::shown(&text))
    };
    let mut shown = shown.ok_or_else(|| {
        BadInput::new(
            "input",
            format_args!("it is no {kind} that can be read; give the token alone, or a URL with it"),
        )
    })?;
    if args.json {
        if args.dialect == Dialect::Cat {
            shown["envelope"] = shown["kind"].take();
        }
        shown["kind"] = kind.into();
        return Ok(Report { out: format!("{shown}\n"), ..Report::default() });
    }
    let mut out = format!("{kind}\n");
    for part in ["kind", "header", "protected", "unprotected"] {
        if let Some(value) = shown.get(part) {
            let _ = writeln!(out, "  {part}: {value}");
        }
    }
    for (name, value) in shown["claims"].as_object().into_iter().flatten() {
        let note = match (name.as_str(), value.as_u64()) {
            ("exp" | "nbf" | "iat", Some(at)) => human(at, now),
            (_, _) => String::new(),
        };
        let _ = writeln!(out, "{}", format!("  {name:<9} {value}  {note}").trim_end());
    }
    Ok(Report { out, ..Report::default() })
}

#[cfg(test)]
mod tests;
