//! From `[[property.rule]]` as typed to rules that can be asked.

use std::collections::HashSet;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use toml::Spanned;

use crate::domain::headers::change::{Change, Side, is_ours};
use crate::domain::network::Networks;
use crate::domain::rule::condition::{Condition, HostName, Value};
use crate::domain::rule::location::Location;
use crate::domain::rule::token::TokenResults;
use crate::domain::rule::{HITS_MAX, Rule, Rules, Verdict};
use crate::domain::token::acl;
use crate::edge::property::{Caching, QueryRule};
use crate::edge::ruling::{CacheTreatment, Effects, Forced, Ruling, Treatment};
use crate::telemetry::metrics::Metrics;

use super::fault::Judge;
use super::file::rules as typed;
use super::property::header_name;
use super::protection::{needs_database, one_country, one_network};
use super::units;

/// What rules may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub property: &'a str,
    /// The names of the origins, the first one's being empty.
    pub origins: &'a [Arc<str>],
    /// Names of tokens and of the header that tells their result: no rule touches them.
    pub tokens: &'a [&'a str],
    /// Whether the property has keys, so that a token can be required.
    pub has_keys: bool,
    pub has_country: bool,
    pub has_asn: bool,
    pub caching: &'a Caching,
    pub metrics: &'a Metrics,
}

pub fn ruling(rules: &[Spanned<typed::Rule>], around: Around<'_>, judge: &mut Judge) -> Ruling {
    let mut names = HashSet::new();
    let (mut judged, mut effects) = (Vec::new(), Vec::new());
    for rule in rules {
        let (place, rule) = (rule.span(), rule.get_ref());
        let name = rule.name.get_ref();
        let is_name = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_name {
            judge.fault(
                rule.name.span(),
                format!("\"{name}\" is no name for a rule"),
                "use 1 to 64 letters, digits, - _ and .: it stands in logs and metrics",
            );
        }
        if !names.insert(name.clone()) {
            judge.fault(
                rule.name.span(),
                format!("two rules have the name \"{name}\""),
                "give each a name of its own",
            );
        }
        let verdict = verdict(rule, &place, around, judge);
        effects.push(self::effects(rule, &verdict, around, judge));
        judged.push(Rule {
            name: name.as_str().into(),
            when: conditions(&rule.when, around, judge),
            unless: unless(rule, around, judge),
            verdict,
        });
    }
    let continuing = judged.iter().filter(|rule| rule.verdict == Verdict::Continue).count();
    if continuing >= HITS_MAX || judged.len() > usize::from(u16::MAX) {
        judge.fault(
            rules.last().map(Spanned::span).unwrap_or_default(),
            format!("{continuing} rules of one property continue"),
            format!("let at most {} do so", HITS_MAX - 1),
        );
    }
    Ruling::new(Rules::new(judged), effects)
}

fn unless(rule: &typed::Rule, around: Around<'_>, judge: &mut Judge) -> Vec<Condition> {
    let Some(unless) = &rule.unless else { return Vec::new() };
    let conditions = conditions(unless.get_ref(), around, judge);
    if conditions.is_empty() {
        judge.fault(unless.span(), "unless names no condition", "add one, or take it out");
    }
    conditions
}

/// What the rule decides: at most one thing.
fn verdict(
    rule: &typed::Rule,
    place: &std::ops::Range<usize>,
    around: Around<'_>,
    judge: &mut Judge,
) -> Verdict {
    let mut verdicts = Vec::new();
    if let Some(allow) = &rule.allow {
        must_be_true(allow, "allow", judge);
        verdicts.push((allow.span(), Verdict::Allow));
    }
    if let Some(deny) = &rule.deny {
        verdicts.push((deny.span(), Verdict::Deny(deny_status(deny, judge))));
    }
    if let Some(redirect) = &rule.redirect {
        let verdict = self::redirect(redirect.get_ref(), judge).unwrap_or(Verdict::Default);
        verdicts.push((redirect.span(), verdict));
    }
    if let Some(require) = &rule.require {
        let typed::Require::Token = require.get_ref();
        if !around.has_keys {
            judge.fault(
                require.span(),
                "require = \"token\" in a property whose access is open: there is no key to verify with",
                "set [property.access] action = \"verify-only\" with a key",
            );
        }
        verdicts.push((require.span(), Verdict::RequireToken));
    }
    if let Some(continues) = &rule.continues {
        must_be_true(continues, "continue", judge);
        verdicts.push((continues.span(), Verdict::Continue));
    }
    if let Some((second, _)) = verdicts.get(1) {
        judge.fault(
            second.clone(),
            "a rule decides one thing",
            "leave one of allow, deny, redirect, require and continue",
        );
    }
    let does_more =
        rule.origin.is_some() || rule.request.is_some() || rule.response.is_some() || rule.cache.is_some();
    match verdicts.into_iter().next() {
        Some((_, verdict)) => verdict,
        None if does_more => Verdict::Default,
        None => {
            judge.fault(
                place.clone(),
                format!("the rule \"{}\" does nothing", rule.name.get_ref()),
                "add allow = true, deny, redirect, require = \"token\", origin, request, response or cache",
            );
            Verdict::Default
        }
    }
}

fn must_be_true(typed: &Spanned<bool>, key: &str, judge: &mut Judge) {
    if !typed.get_ref() {
        judge.fault(
            typed.span(),
            format!("{key} = false says nothing"),
            format!("take it out, or write {key} = true"),
        );
    }
}

fn deny_status(typed: &Spanned<u16>, judge: &mut Judge) -> StatusCode {
    let number = *typed.get_ref();
    // 401 and 407 ask for credentials that no viewer has; 405, 413 and the like mean other things to a player.
    let may = matches!(number, 400 | 401 | 402 | 403 | 404 | 410 | 418 | 421 | 425 | 429 | 451 | 503);
    if !may {
        judge.fault(
            typed.span(),
            format!("deny = {number} is no status of a refusal"),
            "use 400, 401, 402, 403, 404, 410, 418, 421, 425, 429, 451 or 503",
        );
    }
    StatusCode::from_u16(number).ok().filter(|_| may).unwrap_or(StatusCode::FORBIDDEN)
}

fn redirect(typed: &typed::Redirect, judge: &mut Judge) -> Option<Verdict> {
    let status = typed.status.as_ref().map_or(302, |status| *status.get_ref());
    if let Some(typed) = &typed.status
        && !matches!(status, 301 | 302 | 303 | 307 | 308)
    {
        judge.fault(typed.span(), format!("{status} is no redirect"), "use 301, 302, 303, 307 or 308");
    }
    match Location::parse(typed.to.get_ref()) {
        Ok(location) => Some(Verdict::Redirect(StatusCode::from_u16(status).ok()?, location)),
        Err(error) => {
            judge.fault(
                typed.to.span(),
                format!("redirect to = \"{}\": {error}", typed.to.get_ref()),
                "write for example \"https://other.example{path}{query}\"; the pieces are {path}, {query}, {host}, {url}, {country} and {token}",
            );
            None
        }
    }
}

fn conditions(when: &typed::When, around: Around<'_>, judge: &mut Judge) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if let Some(words) = some(when.token.as_ref(), "token", judge) {
        let mut results = TokenResults::default();
        for word in words {
            if !results.add(word.get_ref()) {
                judge.fault(
                    word.span(),
                    format!("\"{}\" is no result of a token check", word.get_ref()),
                    "write \"valid\", \"none\", \"invalid\" (any failure of a token that was shown), or a reason such as \"expired\"",
                );
            }
        }
        conditions.push(Condition::Token(results));
    }
    if let Some(methods) = some(when.method.as_ref(), "method", judge) {
        let methods = methods.iter().filter_map(|method| one_method(method, judge));
        conditions.push(Condition::Method(methods.collect()));
    }
    if let Some(countries) = some(when.country.as_ref(), "country", judge) {
        needs_database(countries.first().map(Spanned::span), around.has_country, "country", judge);
        let one = |code: &Spanned<String>| {
            if code.get_ref() == "unknown" { Some(None) } else { one_country(code, judge).map(Some) }
        };
        conditions.push(Condition::Country(countries.iter().filter_map(one).collect()));
    }
    if let Some(asns) = some(when.asn.as_ref(), "asn", judge) {
        needs_database(asns.first().map(Spanned::span), around.has_asn, "asn", judge);
        let mut numbers = Vec::new();
        for asn in asns {
            add_asn(asn, &mut numbers, judge);
        }
        conditions.push(Condition::Asn(numbers));
    }
    if let Some(extensions) = some(when.extension.as_ref(), "extension", judge) {
        let extensions = extensions.iter().filter_map(|extension| one_extension(extension, judge));
        conditions.push(Condition::Extension(extensions.collect()));
    }
    if let Some(hosts) = some(when.host.as_ref(), "host", judge) {
        conditions.push(Condition::Host(hosts.iter().filter_map(|host| one_host(host, judge)).collect()));
    }
    if let Some(paths) = some(when.path.as_ref(), "path", judge) {
        let patterns: Vec<String> = paths.iter().filter_map(|path| one_path(path, judge)).collect();
        conditions.push(Condition::Path(patterns.join("!")));
    }
    if let Some(clients) = some(when.client.as_ref(), "client", judge) {
        let text: Vec<&str> = clients.iter().map(|client| client.get_ref().as_str()).collect();
        let networks = Networks::new(clients.iter().filter_map(|client| one_network(client, judge)));
        conditions.push(Condition::Client(networks, text.join(" | ")));
    }
    conditions.extend(when.header.iter().filter_map(|header| one_header(header, around, judge)));
    conditions
}

/// A list of values, of which there has to be one: an empty list would never hold.
fn some<'a, T>(list: Option<&'a Vec<T>>, key: &str, judge: &mut Judge) -> Option<&'a Vec<T>> {
    let list = list?;
    if list.is_empty() {
        judge.fault(0..0, format!("a rule's {key} = [] never holds"), "name a value, or take it out");
    }
    Some(list)
}

fn one_method(typed: &Spanned<String>, judge: &mut Judge) -> Option<Method> {
    // RFC 9110 §9.1: "The method token is case-sensitive"; a method in small letters would never hold.
    let text = typed.get_ref();
    let method = Method::from_bytes(text.as_bytes()).ok();
    let method = method.filter(|method| method.as_str().bytes().all(|byte| byte.is_ascii_uppercase()));
    if method.is_none() {
        judge.fault(typed.span(), format!("\"{text}\" is no method"), "write for example \"HEAD\"");
    }
    method
}

/// Adds what is meant: a number, or none for addresses that no database knows.
fn add_asn(typed: &Spanned<typed::Asn>, asns: &mut Vec<Option<u32>>, judge: &mut Judge) {
    match typed.get_ref() {
        typed::Asn::Number(number) => asns.push(Some(*number)),
        typed::Asn::Word(word) if word == "unknown" => asns.push(None),
        typed::Asn::Word(word) => judge.fault(
            typed.span(),
            format!("\"{word}\" is no autonomous system"),
            "write a number such as 64500, or \"unknown\"",
        ),
    }
}

fn one_extension(typed: &Spanned<String>, judge: &mut Judge) -> Option<String> {
    let text = typed.get_ref();
    let is_extension = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_extension {
        judge.fault(
            typed.span(),
            format!("\"{text}\" is no extension"),
            "write it without its dot, such as \"m4s\"",
        );
    }
    is_extension.then(|| text.to_ascii_lowercase())
}

fn one_host(typed: &Spanned<String>, judge: &mut Judge) -> Option<HostName> {
    let host = HostName::parse(typed.get_ref());
    if host.is_none() {
        judge.fault(
            typed.span(),
            format!("\"{}\" is no host", typed.get_ref()),
            "write for example \"www.example.com\" or \"*.example.com\", without a port",
        );
    }
    host
}

fn one_path(typed: &Spanned<String>, judge: &mut Judge) -> Option<String> {
    let text = typed.get_ref();
    if !text.starts_with(['/', '*']) || text.contains(acl::SEPARATOR) {
        judge.fault(
            typed.span(),
            format!("\"{text}\" is no pattern for a path: no path could match it"),
            "begin it with / or *, such as \"/vod/*\"; * is any run of bytes, ? one byte; write several as a list",
        );
        return None;
    }
    Some(acl::normalise(text).into_owned())
}

fn one_header(typed: &Spanned<typed::Header>, around: Around<'_>, judge: &mut Judge) -> Option<Condition> {
    let (place, typed) = (typed.span(), typed.get_ref());
    let name = header_name(&typed.name, "X-Device", judge)?;
    if around.tokens.iter().any(|token| name.as_str().eq_ignore_ascii_case(token)) {
        judge.fault(
            typed.name.span(),
            format!("the header {name} carries a token, which a rule could only look at unverified"),
            "ask for the result of the token check: token = [\"valid\"]",
        );
    }
    let value = match (typed.present, &typed.equals, &typed.matches) {
        (Some(true), None, None) => Value::Present,
        (Some(false), None, None) => Value::Absent,
        (None, Some(equals), None) => Value::Equals(header_value(equals, judge)?),
        (None, None, Some(matches)) => Value::Matches(matches.get_ref().clone()),
        _ => {
            judge.fault(
                place,
                format!("header {name}: one question is asked of it"),
                "write one of present = true, equals = \"..\" and matches = \"..*\"",
            );
            return None;
        }
    };
    Some(Condition::Header(name, value))
}

/// A value as RFC 9110 §5.5 lets a sender make it: no control byte, so that it ends nothing.
fn header_value(typed: &Spanned<String>, judge: &mut Judge) -> Option<HeaderValue> {
    let text = typed.get_ref();
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text;
    let value = HeaderValue::from_str(text).ok().filter(|_| is_plain);
    if value.is_none() {
        judge.fault(
            typed.span(),
            "a header field cannot have this value",
            "use visible ASCII and spaces between, without line ends",
        );
    }
    value
}

/// What a rule does beside deciding. One that serves nothing has nothing to ask of an origin.
fn effects(rule: &typed::Rule, verdict: &Verdict, around: Around<'_>, judge: &mut Judge) -> Effects {
    let serves_nothing = matches!(verdict, Verdict::Deny(_) | Verdict::Redirect(..));
    let asks = [
        ("origin", rule.origin.as_ref().map(Spanned::span)),
        ("request", rule.request.as_ref().map(Spanned::span)),
        ("cache", rule.cache.as_ref().map(Spanned::span)),
    ];
    for (key, place) in asks {
        if let Some(place) = place.filter(|_| serves_nothing) {
            judge.fault(
                place,
                format!("{key} beside deny or redirect: no origin is asked"),
                "take it out, or put it in a rule of its own",
            );
        }
    }
    let upstream = rule.origin.as_ref().and_then(|origin| upstream(origin, around, judge));
    let request = change(rule.request.as_ref(), Side::Request, around, judge);
    let cache = rule.cache.as_ref().map(|cache| self::cache(cache.get_ref(), around)).unwrap_or_default();
    let asks_differently = upstream.is_some() || !request.is_empty();
    let is_treated = asks_differently || rule.cache.is_some();
    let treatment = is_treated.then(|| {
        let variant = if asks_differently { rule.name.get_ref().clone() } else { String::new() };
        Arc::new(Treatment { variant, upstream, request, cache })
    });
    Effects {
        treatment,
        answer: change(rule.response.as_ref(), Side::Response, around, judge),
        metrics: around.metrics.rule(around.property, rule.name.get_ref()),
    }
}

fn upstream(typed: &Spanned<String>, around: Around<'_>, judge: &mut Judge) -> Option<usize> {
    let name = typed.get_ref();
    let index = around.origins.iter().position(|origin| **origin == **name && !name.is_empty());
    if index.is_none() {
        let known: Vec<&str> =
            around.origins.iter().map(|origin| &**origin).filter(|name| !name.is_empty()).collect();
        let cure = if known.is_empty() {
            format!("add [property.origins.{name}] with urls")
        } else {
            format!("use {}, or add [property.origins.{name}]", known.join(" or "))
        };
        judge.fault(typed.span(), format!("no origin has the name \"{name}\""), cure);
    }
    index
}

fn cache(typed: &typed::Cache, around: Around<'_>) -> CacheTreatment {
    CacheTreatment {
        lifetime: typed.ttl.map(|ttl| Forced { lifetime: ttl.0, caching: around.caching.forced(ttl.0) }),
        is_kept: typed.store,
        query: typed.query.as_ref().map(query_rule),
    }
}

pub fn query_rule(typed: &units::QueryRule) -> QueryRule {
    match typed {
        units::QueryRule::Keep => QueryRule::Keep,
        units::QueryRule::Drop => QueryRule::Drop,
        units::QueryRule::Only(names) => QueryRule::Only(names.clone()),
    }
}

fn change(
    typed: Option<&Spanned<typed::Headers>>,
    side: Side,
    around: Around<'_>,
    judge: &mut Judge,
) -> Change {
    let Some(typed) = typed.map(Spanned::get_ref) else { return Change::default() };
    let mut change = Change::default();
    for (name, value) in &typed.set {
        let name = Spanned::new(value.span(), name.clone());
        let name = free_name(&name, side, around, judge);
        if let (Some(name), Some(value)) = (name, header_value(value, judge)) {
            change.set.push((name, value));
        }
    }
    change.removed = typed.remove.iter().filter_map(|name| free_name(name, side, around, judge)).collect();
    change
}

/// The name of a field that rules may change.
fn free_name(
    typed: &Spanned<String>,
    side: Side,
    around: Around<'_>,
    judge: &mut Judge,
) -> Option<HeaderName> {
    let name = header_name(typed, "X-Device", judge)?;
    let is_token = around.tokens.iter().any(|token| name.as_str().eq_ignore_ascii_case(token));
    if is_ours(&name, side) || is_token {
        let where_else = match name.as_str() {
            "strict-transport-security" => "it is set by [property.https] hsts_max_age",
            "authorization" | "cookie" | "host" => "see auth, cookies and host in [property.origin]",
            cors if cors.starts_with("access-control-") => "it is written by [property.cors]",
            _ => "take it out",
        };
        judge.fault(
            typed.span(),
            format!("a rule may not change the header {name}, which the edge answers for"),
            where_else,
        );
        return None;
    }
    Some(name)
}
