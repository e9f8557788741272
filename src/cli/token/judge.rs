//! `sluicegate token verify` and `explain`: the edge's own judgement, told on the command line.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::args::{Dialect, JudgeArgs};
use super::input::{self, Target, Typed};
use super::inspect::human;
use super::{BadInput, Report, key, time};
use crate::domain::network::Country;
use crate::domain::session::carrier::split_path;
use crate::domain::session::{At, Sessions, Settings as SessionSettings};
use crate::domain::token::dialect::Verifier;
use crate::domain::token::edgeauth::{self, Settings};
use crate::domain::token::explanation::{Explanation, Outcome};
use crate::domain::token::grant::UnixTime;
use crate::domain::token::key::Secret;
use crate::domain::token::keys::Keys;
use crate::domain::token::presented::{Head, Location, Presented};
use crate::domain::token::reason::Reason;
use crate::domain::uri::{escape, path, query};

pub(super) fn verify(args: &JudgeArgs, now: UnixTime) -> Result<Report, BadInput> {
    let case = Case::read(args, now)?;
    let (kind, verdict) = case.judge()?;
    let code = u8::from(verdict.is_err());
    let out = match (args.json, &verdict) {
        (true, Ok(expires)) => format!("{}\n", json!({ "valid": true, "kind": kind, "expires": expires })),
        (true, Err(reason)) => {
            format!("{}\n", json!({ "valid": false, "kind": kind, "reason": reason.as_str() }))
        }
        (false, Ok(expires)) => format!("valid {kind}, until {}\n", human(*expires, case.now.as_secs())),
        (false, Err(reason)) => format!("refused {kind}: {reason}\n"),
    };
    Ok(Report { out, code, ..Report::default() })
}

pub(super) fn explain(args: &JudgeArgs, now: UnixTime) -> Result<Report, BadInput> {
    let case = Case::read(args, now)?;
    let (kind, explanation) = match (&case.target.session, &case.target.access) {
        (Some(session), _) => ("session token", case.explain_session(session)?),
        (None, Some(access)) => ("access token", case.verifier.explain(&case.presented(access), case.now)),
        (None, None) => return Err(no_token(args)),
    };
    let code = u8::from(!explanation.valid);
    let out = if args.json {
        format!("{}\n", json!({ "kind": kind, "explanation": explanation }))
    } else {
        written(kind, &explanation)
    };
    Ok(Report { out, code, ..Report::default() })
}

/// Everything that a judgement needs.
struct Case<'a> {
    args: &'a JudgeArgs,
    target: Target,
    /// Where the access token stood.
    location: Location,
    headers: HeaderMap,
    verifier: Verifier,
    keys: Keys<Secret>,
    client: IpAddr,
    country: Option<Country>,
    now: UnixTime,
}

impl<'a> Case<'a> {
    fn read(args: &'a JudgeArgs, now: UnixTime) -> Result<Self, BadInput> {
        let signing = &args.signing;
        let access_name = input::name(signing.name())?;
        let session_name = input::name(&args.session_name)?;
        let mut keys = Vec::new();
        // A file is enough, where there may be one.
        if signing.key.is_some() || signing.claims.key_file.is_none() {
            keys.push(("key", key("key", signing, signing.key.as_deref())?));
        }
        if let Some(text) = args.transition_key.as_deref() {
            keys.push(("transition_key", key("transition key", signing, Some(text))?));
        }
        let keys = Keys::of(keys);
        let verifier = match signing.other.dialect {
            Dialect::Edgeauth => edgeauth(args, &keys)?,
            Dialect::SecureLink => super::secure_link::verifier(signing, keys.clone())?,
            Dialect::MediaCdn => super::media_cdn::verifier(signing, &keys)?,
            Dialect::Jwt | Dialect::Cat => super::claims::verifier(args, &keys)?,
        };
        let client = args.client.parse().map_err(|_| {
            BadInput::new(
                "client",
                format_args!("{:?} is no address; give one such as 203.0.113.7", args.client),
            )
        })?;
        let target = match input::typed(&args.input, access_name, session_name, signing.other.dialect)? {
            Typed::Url(target) => target,
            Typed::Token { is_session, value } => {
                let path = args.path.as_deref().ok_or_else(|| {
                    BadInput::new("path", "none is given for this token; add --path with what is asked for")
                })?;
                let target = input::target(path, access_name, session_name)?;
                let (session, access) = if is_session { (Some(value), None) } else { (None, Some(value)) };
                Target { session, access, ..target }
            }
        };
        let country = args.country.as_deref().map(|code| {
            Country::parse(code).ok_or_else(|| {
                BadInput::new("country", format_args!("{code:?} is no country; give two letters such as DE"))
            })
        });
        let country = country.transpose()?;
        let (target, location) = in_path(target, &verifier, access_name)?;
        let headers = headers(&input::headers(signing)?);
        let now = time(signing.now.as_deref(), now)?;
        Ok(Self { args, target, location, headers, verifier, keys, client, country, now })
    }

    /// As the edge does: a session that verifies is enough; otherwise the access token counts, if there is one.
    fn judge(&self) -> Result<(&'static str, Result<u64, Reason>), BadInput> {
        let session =
            self.target.session.as_deref().map(|session| self.judge_session(session)).transpose()?;
        let access =
            self.target.access.as_deref().map(|access| {
                self.verifier.verify(&self.presented(access), self.now).map(|grant| grant.expires)
            });
        match (session, access) {
            (Some(Ok(expires)), _) => Ok(("session token", Ok(expires))),
            (Some(Err(Reason::Expired)) | None, Some(access)) => Ok(("access token", access)),
            (Some(Err(reason)), _) => Ok(("session token", Err(reason))),
            (None, None) => Err(no_token(self.args)),
        }
    }

    fn judge_session(&self, session: &str) -> Result<Result<u64, Reason>, BadInput> {
        let judged = self.sessions()?.verify(session, &self.at(), self.now);
        Ok(judged.map(|session| session.expires()))
    }

    fn sessions(&self) -> Result<Sessions, BadInput> {
        let property = self.args.property.as_deref().ok_or_else(|| {
            BadInput::new(
                "property",
                "none is given, and a session's key is derived from its name; add --property",
            )
        })?;
        if self.keys.is_empty() {
            return Err(BadInput::new(
                "key",
                "none is given, and a session is signed with a secret; add --key",
            ));
        }
        let settings = SessionSettings { name: self.args.session_name.clone(), ..SessionSettings::default() };
        Ok(Sessions::new(property, &self.keys, settings))
    }

    fn at(&self) -> At<'_> {
        At { path: &self.target.path, client: self.client, salt: self.args.session_salt.as_bytes() }
    }

    fn presented<'b>(&'b self, value: &'b str) -> Presented<'b> {
        let asked = &self.target.asked;
        Presented {
            value,
            location: self.location,
            path: &self.target.path,
            raw_path: &self.target.raw_path,
            query: &self.target.query,
            client: self.client,
            country: self.country,
            asn: self.args.asn,
            head: Head {
                method: &self.args.method,
                scheme: &asked.scheme,
                authority: &asked.authority,
                target: &asked.target,
                headers: &self.headers,
            },
        }
    }

    fn explain_session(&self, presented: &str) -> Result<Explanation, BadInput> {
        let judged = self.sessions()?.verify(presented, &self.at(), self.now);
        let decoded = escape::decode(presented).unwrap_or(presented.into());
        let signed = decoded.rsplit_once("~hmac=").map_or(decoded.as_ref(), |(signed, _)| signed);
        let salt = if self.args.session_salt.is_empty() { "" } else { "~salt=<salt>" };
        let (check, outcome, cure) = match &judged {
            Ok(_) => ("session", "ok", None),
            Err(reason) => ("session", reason.as_str(), session_cure(*reason)),
        };
        let detail = format!("for {:?} and {}", self.target.path, self.client);
        Ok(Explanation {
            valid: judged.is_ok(),
            reason: judged.as_ref().err().map(|reason| reason.as_str()),
            form: None,
            key: judged.as_ref().ok().map(|session| session.key_name().to_string()),
            string_to_sign: Some(format!("{signed}{salt}")),
            checks: vec![Outcome { check, outcome, detail }],
            cures: cure.into_iter().map(str::to_owned).collect(),
        })
    }
}

fn edgeauth(args: &JudgeArgs, keys: &Keys<Secret>) -> Result<Verifier, BadInput> {
    let signing = &args.signing;
    let salt = signing.salt.as_deref().filter(|salt| !salt.is_empty());
    let salt = salt.map(|salt| Secret::from_bytes(salt.into()));
    let settings = Settings {
        keys: keys.clone(),
        salts: salt.transpose().map_err(|error| BadInput::new("salt", error))?.into_iter().collect(),
        algorithm: input::algorithm(signing)?,
        escape_inputs: signing.escape_early,
        ignore_query: args.ignore_query,
        delimiters: input::delimiters(signing)?,
        ..Settings::with_key(key("key", signing, signing.key.as_deref())?)
    };
    Ok(Verifier::EdgeAuth(edgeauth::verify::Verifier::new(settings)))
}

/// The target without an access token that stands in its path, and the place where the token was found.
fn in_path(mut target: Target, verifier: &Verifier, name: &str) -> Result<(Target, Location), BadInput> {
    let refused = |reason| BadInput::new("url", format_args!("it carries no one token: {reason}"));
    let parameters = verifier.parameters();
    target.query = query::without(&target.query, &parameters).into_owned();
    let (rest, value) = if verifier.leads_paths() {
        match verifier.leading_token(&target.raw_path).map_err(refused)? {
            Some(leading) => (target.raw_path[leading.bytes..].to_owned(), Some(leading.value.to_owned())),
            None => (target.raw_path.clone(), None),
        }
    } else if verifier.takes_path_parameters() {
        let had = target.access.clone();
        let target = input::packaged(target, name)?;
        let is_in_path = target.access != had;
        return Ok((target, if is_in_path { Location::Path } else { Location::Query }));
    } else {
        let split = split_path(&target.raw_path, name).map_err(refused)?;
        (split.path.into_owned(), split.value.map(str::to_owned))
    };
    let Some(value) = value else { return Ok((target, Location::Query)) };
    let path =
        path::normalise(&rest).map_err(|error| BadInput::new("path", format_args!("{rest:?}: {error}")))?;
    let path = path.into_owned();
    Ok((Target { access: Some(value), path, raw_path: rest, ..target }, Location::Path))
}

pub(super) fn headers(pairs: &[(String, String)]) -> HeaderMap {
    let parsed = pairs.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    });
    parsed.collect()
}

const fn session_cure(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::BadSignature => Some(
            "give the key, the property's name and the salt headers of the edge that minted it; they all enter its key or its hash",
        ),
        Reason::Expired => Some("the viewer has to come again with an access token"),
        Reason::AclMismatch => Some(
            "the access token's acl was carried over and does not cover this path: sign a wider one, or do not carry it",
        ),
        Reason::IpMismatch => {
            Some("the client's address has changed: do not carry ip, or match it by prefix")
        }
        _ => None,
    }
}

fn no_token(args: &JudgeArgs) -> BadInput {
    BadInput::new(
        "url",
        format_args!(
            "it holds neither {} nor {}; add the token, or give it with --path",
            args.signing.name(),
            args.session_name
        ),
    )
}

fn written(kind: &str, explanation: &Explanation) -> String {
    let verdict =
        explanation.reason.map_or_else(|| "valid".to_owned(), |reason| format!("refused: {reason}"));
    let mut out = format!("{kind}: {verdict}\n");
    if let Some(hashed) = &explanation.string_to_sign {
        let _ = writeln!(out, "string to sign: {}", hashed.escape_debug());
    }
    if let Some(form) = &explanation.form {
        let _ = writeln!(out, "read {form}");
    }
    for check in &explanation.checks {
        let _ = writeln!(out, "  {:<13} {:<14} {}", check.check, check.outcome, check.detail);
    }
    for cure in &explanation.cures {
        let _ = writeln!(out, "hint: {cure}");
    }
    out
}
