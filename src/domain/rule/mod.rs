//! The rules of a property: what becomes of a request by its path, host, headers, address, country or token.
//!
//! The rules stand in one order, the file's, and are looked through once. The first whose conditions hold decides: all that it
//! says is done, and no later rule is looked at. A rule that says `continue` adds its headers, origin and cache settings and
//! lets the search go on; where two that hold say different things of one matter, the earlier counts. When no rule decides,
//! the property's token check does.
//!
//! A rule may ask for the result of the token check: the check has then been done before the first rule is looked at. It
//! changes nothing, so that the order is the same whether it was done or not.
//!
//! Looking is pure and allocates nothing. A property without rules has an empty list.

pub mod condition;
pub mod location;
pub mod token;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

use crate::domain::network::Country;

use condition::Condition;
use location::Location;
use token::TokenResult;

/// How many rules that continue may hold for one request, and one that decides.
pub const HITS_MAX: usize = 16;

/// What rules are matched against.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The normal path, without a token component.
    pub path: &'a str,
    /// Without its port.
    pub host: &'a str,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    pub client: IpAddr,
    pub whereabouts: Whereabouts,
    pub token: TokenResult,
}

/// What the databases say of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    pub country: Option<Country>,
    /// The number of the autonomous system that announces it.
    pub asn: Option<u32>,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    pub name: Arc<str>,
    /// All have to hold.
    pub when: Vec<Condition>,
    /// Where there are any, not all of them may hold.
    pub unless: Vec<Condition>,
    pub verdict: Verdict,
}

/// What a rule decides of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is served without a token, and as nobody's: no session is made, none is carried.
    Allow,
    Deny(StatusCode),
    Redirect(StatusCode, Location),
    /// The token check decides, also where the property only verifies.
    RequireToken,
    /// The property's token check decides, as if there were no rules.
    Default,
    /// What else the rule says is done, and the next rules are looked at.
    Continue,
}

/// All rules of one property.
#[derive(Debug, Default)]
pub struct Rules {
    in_order: Vec<Rule>,
    asks_for_token: bool,
    asks_for_whereabouts: bool,
}

/// The rules that hold for a request, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hits {
    indices: [u16; HITS_MAX],
    count: usize,
}

impl Rules {
    /// At most [`u16::MAX`] rules, of which fewer than [`HITS_MAX`] continue.
    pub fn new(mut rules: Vec<Rule>) -> Self {
        for rule in &mut rules {
            rule.when.sort_by_key(Condition::cost);
            rule.unless.sort_by_key(Condition::cost);
        }
        let any = |asks: fn(&Condition) -> bool| {
            rules.iter().flat_map(|rule| rule.when.iter().chain(&rule.unless)).any(asks)
        };
        Self {
            asks_for_token: any(Condition::asks_for_token),
            asks_for_whereabouts: any(Condition::asks_for_whereabouts),
            in_order: rules,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.in_order.iter()
    }

    /// Whether the token has to be verified before [`Rules::decide`].
    pub fn asks_for_token(&self) -> bool {
        self.asks_for_token
    }

    /// Whether the address has to be looked up before [`Rules::decide`].
    pub fn asks_for_whereabouts(&self) -> bool {
        self.asks_for_whereabouts
    }

    /// The rules that hold, up to and with the first that decides.
    pub fn decide(&self, facts: &Facts<'_>) -> Hits {
        let mut hits = Hits::default();
        for (index, rule) in self.in_order.iter().enumerate() {
            if !rule.holds(facts) {
                continue;
            }
            hits.push(index);
            if rule.verdict != Verdict::Continue {
                break;
            }
        }
        hits
    }

    /// The rule that decided, with its verdict; none when all that hold continue.
    pub fn decider(&self, hits: &Hits) -> Option<&Rule> {
        let last = self.in_order.get(hits.iter().last()?)?;
        (last.verdict != Verdict::Continue).then_some(last)
    }
}

impl<'a> IntoIterator for &'a Rules {
    type Item = &'a Rule;
    type IntoIter = std::slice::Iter<'a, Rule>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Rule {
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        let all = |conditions: &[Condition]| conditions.iter().all(|condition| condition.holds(facts));
        all(&self.when) && (self.unless.is_empty() || !all(&self.unless))
    }
}

impl Hits {
    fn push(&mut self, index: usize) {
        if let (Some(place), Ok(index)) = (self.indices.get_mut(self.count), u16::try_from(index)) {
            *place = index;
            self.count += 1;
        }
    }

    /// Places in the list of rules, in its order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.indices[..self.count].iter().map(|index| usize::from(*index))
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("served without a token"),
            Self::Deny(status) => write!(f, "refused with {}", status.as_u16()),
            Self::Redirect(status, location) => {
                write!(f, "redirected with {} to {location}", status.as_u16())
            }
            Self::RequireToken => f.write_str("a valid token is required"),
            Self::Default => f.write_str("the property's token check decides"),
            Self::Continue => f.write_str("the next rules are looked at"),
        }
    }
}

#[cfg(test)]
mod tests;
