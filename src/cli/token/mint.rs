//! `sluicegate token mint`: the token that Akamai's SDK would make.

use std::fmt::Write as _;

use super::args::MintArgs;
use super::{BadInput, Report, input, key, time};
use crate::domain::token::address;
use crate::domain::token::edgeauth::dialect::Dialect;
use crate::domain::token::edgeauth::sign::{MintRequest, Start, Target, sign, string_to_sign};
use crate::domain::token::grant::UnixTime;

pub(super) fn mint(args: &MintArgs, now: UnixTime) -> Result<Report, BadInput> {
    let signing = &args.signing;
    let name = input::name(signing.name())?;
    let secret = key("key", signing, signing.key.as_deref())?;
    let request = MintRequest {
        key: &secret,
        algorithm: input::algorithm(signing)?,
        salt: signing.salt.as_deref(),
        start: args.start_time.as_deref().map(start).transpose()?,
        end: args.end_time.as_deref().map(|text| input::number("end time", text)).transpose()?,
        window_seconds: args.window.as_deref().map(|text| input::number("window", text)).transpose()?,
        target: target(args)?,
        ip: ip(args)?,
        session_id: session_id(args)?,
        payload: args.payload.as_deref(),
        escape: signing.escape_early.then_some(Dialect::Python),
        delimiters: input::delimiters(signing)?,
        now: time(signing.now.as_deref(), now)?,
    };
    let token = sign(&request).map_err(|error| BadInput(error.to_string()))?;
    let out = match (args.header, args.value) {
        (true, _) => format!("{name}: {token}\n"),
        (false, true) => format!("{token}\n"),
        (false, false) => format!("{name}={token}\n"),
    };
    let mut report = Report { out, ..Report::default() };
    if args.verbose {
        let hashed = string_to_sign(&request).map_err(|error| BadInput(error.to_string()))?;
        let _ = writeln!(report.err, "string to sign: {hashed}");
        let _ = writeln!(report.err, "algorithm:      {}", request.algorithm.as_str());
        let _ =
            writeln!(report.err, "salt:           {}", if request.salt.is_some() { "given" } else { "none" });
        let _ = writeln!(
            report.err,
            "inputs escaped: {}",
            if request.escape.is_some() { "yes, as Python's SDK does" } else { "no" }
        );
    }
    Ok(report)
}

fn start(text: &str) -> Result<Start, BadInput> {
    if text.eq_ignore_ascii_case("now") {
        return Ok(Start::Now);
    }
    input::number("start time", text).map(Start::At)
}

fn target(args: &MintArgs) -> Result<Target, BadInput> {
    match (&args.url, args.acl.as_slice()) {
        (Some(url), []) => Ok(Target::Url(url.clone())),
        (None, [_, ..]) => Ok(Target::Acl(args.acl.clone())),
        (Some(url), [_, ..]) => Err(BadInput::new(
            "url",
            format_args!("{url:?} stands beside an acl; a token is for one URL or for an ACL"),
        )),
        (None, []) => Err(BadInput::new(
            "acl",
            "neither an acl nor a url is given; use -a '/live/*' or -u /live/a.m3u8",
        )),
    }
}

pub(super) fn ip(args: &MintArgs) -> Result<Option<&str>, BadInput> {
    match args.ip.as_deref().filter(|ip| !ip.is_empty()) {
        Some(ip) if address::parse(ip).is_none() => Err(BadInput::new(
            "ip",
            format_args!("{ip:?} is no address; give one such as 203.0.113.7 or 2001:db8::1"),
        )),
        ip => Ok(ip),
    }
}

pub(super) fn session_id(args: &MintArgs) -> Result<Option<&str>, BadInput> {
    match args.session_id.as_deref() {
        Some(id) if id.len() > 64 || !id.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            Err(BadInput::new(
                "session id",
                format_args!("{id:?} is not printable ASCII of at most 64 bytes; shorten it"),
            ))
        }
        id => Ok(id),
    }
}
