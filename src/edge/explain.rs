//! What the rules of a property make of a request, told step by step: the same steps as [`super::serve`] takes, without a socket.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Uri};

use crate::domain::policy;
use crate::domain::rule::condition::Condition;
use crate::domain::rule::location::Asked;
use crate::domain::rule::token::TokenResult;
use crate::domain::rule::{Facts, Hits, Rule, Verdict, Whereabouts};
use crate::domain::token::presented::Head;
use crate::domain::token::reason::Reason;

use super::error::EdgeError;
use super::guard::Arrival;
use super::host::split_port;
use super::property::Property;
use super::ruling::{Course, Ruling, result};
use super::target::{Target, join, origin_query};

/// A request as it is made up for an explanation.
#[derive(Debug)]
pub struct Question<'a> {
    pub uri: &'a Uri,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    pub client: IpAddr,
    pub whereabouts: Whereabouts,
    /// Takes the place of the token check's result, when given.
    pub token: Option<TokenResult>,
}

/// The steps, each on a line of its own.
pub fn explain(property: &Property, question: &Question<'_>, now: Duration) -> Vec<String> {
    let mut lines = Vec::new();
    let target = match Target::read(question.uri, property) {
        Ok(target) => target,
        Err(error) => return vec![format!("path: {error}"), outcome_of(&error)],
    };
    let host = question.uri.authority().and_then(|authority| split_port(authority.as_str()));
    let (host, _) = host.unwrap_or_default();
    let is_secure = question.uri.scheme_str() == Some("https");
    let unknown = || "unknown".to_owned();
    lines.push(format!("property \"{}\", path {}", property.name, target.path));
    lines.push(format!(
        "client {}, country {}, asn {}",
        question.client,
        question.whereabouts.country.map_or_else(unknown, |country| country.to_string()),
        question.whereabouts.asn.map_or_else(unknown, |asn| asn.to_string()),
    ));
    let arrival = Arrival { client: question.client, host, is_secure };
    if let Err(error) = property.guard.judge(arrival, &target, question.whereabouts) {
        lines.push(format!("before any rule and any token: {}", told(&error)));
        lines.push(outcome_of(&error));
        return lines;
    }
    lines.push("https, addresses and countries: passes".to_owned());

    let head = Head {
        method: question.method.as_str(),
        scheme: question.uri.scheme_str().unwrap_or("https"),
        authority: question.uri.authority().map_or("", http::uri::Authority::as_str),
        target: question.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
        headers: question.headers,
    };
    let request = target.asked(head, question.client, question.whereabouts);
    let checked = match question.token {
        Some(given) => given,
        None => result(&policy::admit(&property.rules, &request, now)),
    };
    lines.push(format!("token: {}", checked.as_str()));
    let facts = Facts {
        path: &target.path,
        host,
        method: question.method,
        headers: question.headers,
        client: question.client,
        whereabouts: question.whereabouts,
        token: checked,
    };
    let hits = property.ruling.rules().decide(&facts);
    rules(property, &facts, &hits, &mut lines);
    let site = format!("{}://{host}", question.uri.scheme_str().unwrap_or("https"));
    let asked = Asked { site: &site, query: &target.plain_query };
    lines.push(outcome(property, &facts, &hits, asked));
    treatment(property, &hits, &target, &mut lines);
    lines
}

/// Each rule: whether it holds, and what of it does not.
fn rules(property: &Property, facts: &Facts<'_>, hits: &Hits, lines: &mut Vec<String>) {
    let decider = property.ruling.rules().decider(hits);
    let mut is_decided = false;
    for (index, rule) in property.ruling.rules().iter().enumerate() {
        if is_decided {
            lines.push(format!("rule \"{}\" is not looked at", rule.name));
            continue;
        }
        let holds = hits.iter().any(|hit| hit == index);
        let verb = if holds { "holds" } else { "does not hold" };
        lines.push(format!("rule \"{}\" {verb}: {}", rule.name, reasons(rule, facts)));
        is_decided = holds && decider.is_some_and(|decider| decider.name == rule.name);
        if holds {
            lines.push(format!("  {}", rule.verdict));
        }
    }
}

fn reasons(rule: &Rule, facts: &Facts<'_>) -> String {
    let told = |conditions: &[Condition], prefix: &str| -> Vec<String> {
        conditions
            .iter()
            .map(|condition| {
                let answer = if condition.holds(facts) { "yes" } else { "no" };
                format!("{prefix}{condition}: {answer}")
            })
            .collect()
    };
    let all = [told(&rule.when, ""), told(&rule.unless, "unless ")].concat();
    if all.is_empty() { "it asks nothing".to_owned() } else { all.join("; ") }
}

fn outcome(property: &Property, facts: &Facts<'_>, hits: &Hits, asked: Asked<'_>) -> String {
    let decider = property.ruling.rules().decider(hits);
    let by = decider.map_or_else(String::new, |rule| format!(" (rule \"{}\")", rule.name));
    let verdict = match decider.map(|rule| &rule.verdict) {
        Some(Verdict::Allow) => "served without a token".to_owned(),
        Some(Verdict::Deny(status)) => outcome_of(&EdgeError::Ruled(*status)),
        Some(Verdict::Redirect(status, location)) => match location.render(facts, asked) {
            Some(location) => outcome_of(&EdgeError::Elsewhere { status: *status, location, reason: None }),
            None => outcome_of(&EdgeError::Location),
        },
        Some(Verdict::RequireToken) => by_token(property, facts.token, true),
        Some(Verdict::Default | Verdict::Continue) | None => by_token(property, facts.token, false),
    };
    format!("outcome: {}{by}", verdict.trim_start_matches("outcome: "))
}

fn by_token(property: &Property, token: TokenResult, is_required: bool) -> String {
    let access = &property.rules.access;
    match token {
        TokenResult::Valid => "served, the token is good".to_owned(),
        TokenResult::Failed(_) if matches!(access, policy::access::Access::Open) => {
            "served, the property asks for no token".to_owned()
        }
        TokenResult::Failed(reason) if access.is_verify_only() && !is_required => {
            format!("served, tokens are only verified: {reason}")
        }
        TokenResult::Failed(reason) => outcome_with(property, &reason.into()),
    }
}

fn outcome_with(property: &Property, error: &EdgeError) -> String {
    format!("refused with {}: {}", error.status(property.statuses).as_u16(), told(error))
}

fn outcome_of(error: &EdgeError) -> String {
    match error {
        EdgeError::Elsewhere { status, location, .. } => {
            format!(
                "outcome: redirected with {} to {}",
                status.as_u16(),
                location.to_str().unwrap_or_default()
            )
        }
        EdgeError::Ruled(status) => format!("outcome: refused with {}", status.as_u16()),
        EdgeError::Denied(reason) => format!("outcome: refused with 403: {reason}"),
        other => format!("outcome: refused: {other}"),
    }
}

fn told(error: &EdgeError) -> String {
    error.reason().map_or_else(|| error.to_string(), |reason: Reason| reason.as_str().to_owned())
}

/// What the rules that hold change beside deciding.
fn treatment(property: &Property, hits: &Hits, target: &Target<'_>, lines: &mut Vec<String>) {
    let course = Course { hits: *hits, ..Course::default() };
    let Some(treatment) = Ruling::treatment_by(property, &course) else { return };
    if let Some(upstream) = treatment.upstream {
        lines.push(format!("origin: {}", property.upstreams[upstream].name));
    }
    let query = origin_query(&target.plain_query, property.query_rule(Some(&treatment)));
    lines.push(format!("asked of the origin: {}", join(&target.path, &query)));
    for (name, _) in &treatment.request.set {
        lines.push(format!("request header set: {name}"));
    }
    for name in &treatment.request.removed {
        lines.push(format!("request header removed: {name}"));
    }
    if let Some(forced) = &treatment.cache.lifetime {
        lines.push(format!("kept for: {}s", forced.lifetime.as_secs()));
    }
    if treatment.cache.is_kept == Some(false) {
        lines.push("kept: not at all".to_owned());
    }
}
