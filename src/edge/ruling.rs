//! The rules of a property applied to one request: what they decide, and how they have it treated.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::domain::headers::change::Change;
use crate::domain::policy::{self, Admission};
use crate::domain::rule::location::Asked;
use crate::domain::rule::token::TokenResult;
use crate::domain::rule::{Facts, Hits, Rules, Verdict};
use crate::domain::token::reason::Reason;
use crate::telemetry::metrics::RuleMetrics;

use super::error::EdgeError;
use super::property::{Caching, Property, QueryRule};

/// The rules of a property with what each does beside deciding.
#[derive(Debug, Default)]
pub struct Ruling {
    rules: Rules,
    effects: Vec<Effects>,
}

/// What one rule does to a request that it holds for.
#[derive(Debug)]
pub struct Effects {
    /// What changes what the origin is asked, and how its answer is kept; `None` where nothing does.
    pub treatment: Option<Arc<Treatment>>,
    pub answer: Change,
    pub metrics: RuleMetrics,
}

/// How an object is got and kept, where rules say so.
#[derive(Clone, Debug, Default)]
pub struct Treatment {
    /// What tells the origin's answers apart in the store: the names of the rules by which it was asked differently.
    pub variant: String,
    /// The place of the origin in the property's list.
    pub upstream: Option<usize>,
    pub request: Change,
    pub cache: CacheTreatment,
}

/// How an answer is kept, where rules say so.
#[derive(Clone, Debug, Default)]
pub struct CacheTreatment {
    /// A lifetime in place of the origin's; what the origin forbids to keep stays forbidden.
    pub lifetime: Option<Forced>,
    /// Whether anything is kept or shared at all.
    pub is_kept: Option<bool>,
    pub query: Option<QueryRule>,
}

/// A lifetime that is forced, with the caching rules made from it.
#[derive(Clone, Debug)]
pub struct Forced {
    pub lifetime: Duration,
    pub caching: Caching,
}

/// What the rules made of a request.
#[derive(Debug)]
pub struct Ruled<'a> {
    pub admission: Admission<'a>,
    pub token: TokenResult,
    pub treatment: Option<Arc<Treatment>>,
}

/// What is known of a request while its answer is on the way, whatever that will be.
#[derive(Debug)]
pub struct Course {
    pub hits: Hits,
    /// What the token check came to, where it was done.
    pub token: Option<TokenResult>,
    /// Whether the answer is for one viewer: as long as nothing else is known, yes.
    pub is_for_one: bool,
}

impl Default for Course {
    fn default() -> Self {
        Self { hits: Hits::default(), token: None, is_for_one: true }
    }
}

impl Course {
    fn token_result(&self) -> TokenResult {
        self.token.unwrap_or(TokenResult::Failed(Reason::NoToken))
    }
}

impl Ruling {
    /// As many effects as rules.
    pub fn new(rules: Rules, effects: Vec<Effects>) -> Self {
        Self { rules, effects }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What rules say of queries.
    pub fn query_rules(&self) -> impl Iterator<Item = &QueryRule> {
        self.effects.iter().filter_map(|effects| effects.treatment.as_ref()?.cache.query.as_ref())
    }

    /// Asks the token check and the rules, in the order of [`crate::domain::rule`]. A property that only verifies has its
    /// tokens verified in any case, since the origin is told the result.
    pub fn judge<'a>(
        property: &Property,
        request: &policy::Request<'a>,
        facts: &Facts<'_>,
        asked: Asked<'_>,
        course: &mut Course,
        now: Duration,
    ) -> Result<Ruled<'a>, EdgeError> {
        let this = &property.ruling;
        let admit = |course: &mut Course| {
            let checked = policy::admit(&property.rules, request, now);
            course.token = Some(result(&checked));
            checked
        };
        if this.rules.is_empty() {
            let admission = admit(course)?;
            return Ok(Ruled { token: course.token_result(), admission, treatment: None });
        }
        let verifies_first = this.rules.asks_for_token() || property.rules.access.is_verify_only();
        let checked = verifies_first.then(|| admit(course));
        let facts = Facts { token: course.token_result(), ..*facts };
        course.hits = this.rules.decide(&facts);
        let decider = this.rules.decider(&course.hits);
        for index in course.hits.iter() {
            this.effects[index].metrics.held.inc();
        }
        let admission = match decider.map(|rule| &rule.verdict) {
            Some(Verdict::Allow) => Admission::Open,
            Some(Verdict::Deny(status)) => return Err(EdgeError::Ruled(*status)),
            Some(Verdict::Redirect(status, location)) => {
                let location = location.render(&facts, asked).ok_or(EdgeError::Location)?;
                return Err(EdgeError::Elsewhere { status: *status, location, reason: None });
            }
            Some(Verdict::RequireToken) => match checked.unwrap_or_else(|| admit(course))? {
                Admission::Unverified(reason) => return Err(reason.into()),
                admission => admission,
            },
            Some(Verdict::Default | Verdict::Continue) | None => checked.unwrap_or_else(|| admit(course))?,
        };
        Ok(Ruled { admission, token: course.token_result(), treatment: this.treatment(&course.hits) })
    }

    /// How another document of the same viewer is treated: one that the edge asks for by itself.
    pub fn treatment_of(&self, facts: &Facts<'_>) -> Option<Arc<Treatment>> {
        if self.rules.is_empty() { None } else { self.treatment(&self.rules.decide(facts)) }
    }

    /// How the rules that hold have a request treated.
    pub fn treatment_by(property: &Property, course: &Course) -> Option<Arc<Treatment>> {
        property.ruling.treatment(&course.hits)
    }

    /// The name of the rule that decided, or of the last that held.
    pub fn name(&self, hits: &Hits) -> Option<&Arc<str>> {
        self.rules.iter().nth(hits.iter().last()?).map(|rule| &rule.name)
    }

    /// Changes an answer as the rules say; of two that speak of one field the earlier counts.
    pub fn change_answer(&self, course: &Course, headers: &mut HeaderMap) {
        for index in course.hits.iter().rev() {
            self.effects[index].answer.apply_to_answer(headers, course.is_for_one);
        }
    }

    /// What the rules that hold say together. One rule's treatment is shared, and only several are put together anew.
    fn treatment(&self, hits: &Hits) -> Option<Arc<Treatment>> {
        let mut treatments = hits.iter().filter_map(|index| self.effects[index].treatment.as_ref());
        let first = treatments.next()?;
        let Some(second) = treatments.next() else { return Some(first.clone()) };
        let mut whole = (**first).clone();
        for later in std::iter::once(second).chain(treatments) {
            whole.take_from(later);
        }
        Some(Arc::new(whole))
    }
}

impl Treatment {
    /// Takes over what a later rule says of matters that the earlier ones left open.
    fn take_from(&mut self, later: &Self) {
        if !later.variant.is_empty() {
            if !self.variant.is_empty() {
                self.variant.push(' ');
            }
            self.variant.push_str(&later.variant);
        }
        self.upstream = self.upstream.or(later.upstream);
        self.request.take_from(&later.request);
        let (cache, later) = (&mut self.cache, &later.cache);
        cache.is_kept = cache.is_kept.or(later.is_kept);
        if cache.lifetime.is_none() {
            cache.lifetime.clone_from(&later.lifetime);
        }
        if cache.query.is_none() {
            cache.query.clone_from(&later.query);
        }
    }
}

/// The result of the token check in a word.
pub fn result(checked: &Result<Admission<'_>, Reason>) -> TokenResult {
    match checked {
        Ok(Admission::Session { .. } | Admission::Access { .. }) => TokenResult::Valid,
        Ok(Admission::Open) => TokenResult::Failed(Reason::NoToken),
        Ok(Admission::Unverified(reason)) | Err(reason) => TokenResult::Failed(*reason),
    }
}
