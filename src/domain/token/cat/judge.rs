//! The policy over the claims of a token whose signature holds: one function for each check.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::claims::{Claims, Component, Source};
use super::matching::Match;
use super::verify::Verifier;
use crate::domain::network::Country;
use crate::domain::token::address;
use crate::domain::token::grant::{Clients, Scope, UnixTime};
use crate::domain::token::judged_uri::JudgedUri;
use crate::domain::token::keys::Named;
use crate::domain::token::presented::Presented;
use crate::domain::token::reason::Reason;
use crate::domain::token::signature::IssuerKey;

/// A token's claims, and what they are judged against.
pub(super) struct Judged<'a> {
    pub(super) verifier: &'a Verifier,
    pub(super) claims: &'a Claims,
    pub(super) key: &'a Named<Arc<IssuerKey>>,
    pub(super) presented: &'a Presented<'a>,
    pub(super) now: UnixTime,
}

/// One step of the policy: its name, and the step.
pub(super) type Check = (&'static str, fn(&Judged<'_>) -> Result<(), Reason>);

impl Judged<'_> {
    /// The policy, in the order in which it is judged once the signature holds.
    pub(super) const CHECKS: [Check; 13] = [
        ("version", |this| ok_or(this.claims.version.is_none_or(|version| version == 1), Reason::Malformed)),
        ("issuer", |this| {
            let knows = |issuer: &String| this.key.key.issuers.contains(issuer);
            ok_or(this.claims.issuer.as_ref().is_none_or(knows), Reason::BadSignature)
        }),
        ("audience", |this| {
            let ours = &this.verifier.settings.audiences;
            let names_us = |named: &Vec<String>| named.iter().any(|name| ours.contains(name));
            ok_or(this.claims.audiences.as_ref().is_none_or(names_us), Reason::AclMismatch)
        }),
        ("not before", |this| {
            let earliest = this.now.saturating_add(this.verifier.settings.start_skew);
            let has_begun = this.claims.not_before.is_none_or(|start| Duration::from_secs(start) <= earliest);
            ok_or(has_begun, Reason::NotYetValid)
        }),
        ("expiry", |this| {
            let settings = &this.verifier.settings;
            let Some(expires) = this.claims.expires else {
                return ok_or(!settings.expiry_required, Reason::Malformed);
            };
            let end = Duration::from_secs(expires).saturating_add(settings.expiry_skew);
            ok_or(this.now < end, Reason::Expired)
        }),
        ("expiry ahead", |this| {
            let Some(ahead) = this.verifier.settings.expiry_ahead_max else { return Ok(()) };
            let bound = this.now.saturating_add(ahead);
            let is_near = this.claims.expires.is_some_and(|expires| Duration::from_secs(expires) <= bound);
            ok_or(is_near, Reason::ExpiryTooFar)
        }),
        ("replay", |this| {
            // 0: permitted; 2: to be detected, which is what the limits of sessions are for; 1: prohibited.
            let is_met = match this.claims.replay {
                None | Some(0 | 2) => true,
                Some(1) => this.verifier.settings.uses_counted,
                Some(_) => false,
            };
            ok_or(is_met, Reason::Malformed)
        }),
        ("session id", |this| this.verifier.session_id(this.claims).map(|_| ())),
        ("method", |this| {
            let method = this.presented.head.method;
            let names = |methods: &Vec<String>| methods.iter().any(|named| named == method);
            ok_or(this.claims.methods.as_ref().is_none_or(names), Reason::Method)
        }),
        ("network", |this| {
            let Some(sources) = &this.claims.sources else { return Ok(()) };
            ok_or(sources.iter().any(|source| this.is_from(source)), Reason::IpMismatch)
        }),
        ("country", |this| {
            let Some(countries) = &this.claims.countries else { return Ok(()) };
            // A part of a country is not known here, and no country's code.
            let is_there = |code: &String| {
                this.presented.country.is_some_and(|country| Country::parse(code) == Some(country))
            };
            ok_or(countries.iter().any(is_there), Reason::GeoBlocked)
        }),
        ("headers", |this| {
            let Some(headers) = &this.claims.headers else { return Ok(()) };
            let is_met = |(name, matches): &(http::HeaderName, Vec<Match>)| {
                let values = this.presented.head.headers.get_all(name).iter();
                values.filter_map(|value| value.to_str().ok()).any(|value| all_hold(matches, value))
            };
            ok_or(headers.iter().all(is_met), Reason::AclMismatch)
        }),
        ("uri", |this| {
            let Some(components) = &this.claims.uri else { return Ok(()) };
            let is_met = |(component, matches): &(Component, Vec<Match>)| {
                all_hold(matches, &this.component(*component))
            };
            ok_or(components.iter().all(is_met), Reason::AclMismatch)
        }),
    ];

    fn is_from(&self, source: &Source) -> bool {
        match source {
            Source::Network(network) => address::holds(network, self.presented.client),
            Source::System(number) => self.presented.asn == Some(*number),
        }
    }

    /// A part of the URI, in its normal form.
    pub(super) fn component(&self, component: Component) -> String {
        let uri = JudgedUri::of(self.presented);
        let path = uri.normal_path();
        let (parent, filename) = path.rsplit_once('/').unwrap_or_default();
        // A dot that begins a name begins no extension.
        let dot = filename.rfind('.').filter(|at| *at > 0).unwrap_or(filename.len());
        match component {
            Component::Scheme => uri.scheme.to_ascii_lowercase(),
            Component::Host => uri.host.to_ascii_lowercase(),
            Component::Port => uri.effective_port().to_string(),
            Component::Query => uri.normal_query(),
            Component::ParentPath => parent.to_owned(),
            Component::Filename => filename.to_owned(),
            Component::Stem => filename[..dot].to_owned(),
            Component::Extension => filename[dot..].to_owned(),
            Component::Path => path,
        }
    }

    /// What a session may take over of where the token is good: an ACL where the token says no more than how paths begin.
    pub(super) fn scope(&self) -> Scope {
        let Some(components) = &self.claims.uri else { return Scope::Acl("/*".to_owned()) };
        match components.as_slice() {
            [(Component::Path, matches)] => match matches.as_slice() {
                [Match::Prefix(prefix)] if !prefix.contains(['*', '?', '!', '~', '%']) => {
                    Scope::Acl(format!("{prefix}*"))
                }
                _ => Scope::Condition,
            },
            _ => Scope::Condition,
        }
    }

    pub(super) fn clients(&self) -> Clients {
        let Some(sources) = &self.claims.sources else { return Clients::Any };
        let networks = sources.iter().filter_map(|source| match source {
            Source::Network(network) => Some(*network),
            Source::System(_) => None,
        });
        let networks: Vec<IpNet> = networks.collect();
        let client = self.presented.client;
        // Who is let in by the number of a system goes on by the address that showed it: a session knows no numbers.
        let is_listed = networks.iter().any(|network| address::holds(network, client));
        Clients::Networks(if is_listed { networks } else { vec![IpNet::from(client.to_canonical())] })
    }

    /// What a check was about, in a line.
    pub(super) fn detail(&self, check: &str) -> String {
        let claims = self.claims;
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
        match check {
            "version" => or_none(claims.version.map(|version| version.to_string())),
            "issuer" => {
                format!("{:?}; with this key sign {:?}", or_none(claims.issuer.clone()), self.key.key.issuers)
            }
            "audience" => format!(
                "{:?}; ours are {:?}",
                claims.audiences.as_deref().unwrap_or_default(),
                self.verifier.settings.audiences
            ),
            "not before" => or_none(claims.not_before.map(|start| start.to_string())),
            "expiry" | "expiry ahead" => or_none(claims.expires.map(|end| end.to_string())),
            "replay" => or_none(claims.replay.map(|replay| replay.to_string())),
            "session id" => {
                format!("at most {} bytes, printable", self.verifier.settings.limits.session_id_bytes_max)
            }
            "method" => format!(
                "{:?}; the request is a {}",
                claims.methods.as_deref().unwrap_or_default(),
                self.presented.head.method
            ),
            "network" => format!(
                "{:?}; the client is {}, of the system {}",
                claims.sources.as_deref().unwrap_or_default(),
                self.presented.client,
                self.presented.asn.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
            ),
            "country" => format!(
                "{:?}; the client is in {}",
                claims.countries.as_deref().unwrap_or_default(),
                self.presented.country.map_or_else(|| "unknown".to_owned(), |country| country.to_string())
            ),
            "headers" => format!(
                "{:?}",
                claims.headers.iter().flatten().map(|(name, _)| name.as_str()).collect::<Vec<_>>()
            ),
            "uri" => {
                let components = claims.uri.iter().flatten().map(|(component, matches)| {
                    let value = self.component(*component);
                    let verdict = if all_hold(matches, &value) { "matches" } else { "does not match" };
                    format!("{component:?} {value:?} {verdict}")
                });
                components.collect::<Vec<_>>().join("; ")
            }
            _ => String::new(),
        }
    }

    pub(super) fn cure(&self, check: &str) -> Option<&'static str> {
        match check {
            "issuer" => Some("list the issuer under this key, or sign with a key of this issuer"),
            "audience" => Some("list one of the token's audiences in audiences"),
            "expiry" if self.claims.expires.is_none() => {
                Some("a token without exp never ends: sign one, or set expiry_required = false")
            }
            "replay" => Some(
                "catreplay 1 asks to be good once, which nobody counts here: set one_time in [property.limits], or sign 0",
            ),
            "country" if self.presented.country.is_none() => {
                Some("the client's country is not known: name a database in [geo] country")
            }
            "method" => Some("players also ask with HEAD: sign GET and HEAD"),
            "uri" => Some(
                "the entry's own URI is judged, without the token: sign for the playlist that viewers enter by",
            ),
            _ => None,
        }
    }
}

fn all_hold(matches: &[Match], text: &str) -> bool {
    matches.iter().all(|condition| condition.holds(text))
}

fn ok_or(holds: bool, reason: Reason) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(reason) }
}
