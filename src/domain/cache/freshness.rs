//! How long an answer may be used without asking the origin again, and what may be done when that is over.

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, ORIGIN};
use http::{HeaderMap, Method, StatusCode};

use super::cache_status::Forward;
use super::directives::{Flag, RequestDirectives, ResponseDirectives};
use super::exchange::Exchange;
use super::lifetime::{Source, age_at_arrival, lifetime_of};
use super::rules::{Rules, Unstated};
use super::storable::storable;
use super::vary::Selection;

/// The numbers that decide on every hit, computed once when an answer comes or is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    pub lifetime: Duration,
    pub source: Source,
    /// Unix time at which the answer came in.
    pub received: Duration,
    /// How old it was by then.
    pub age_at_arrival: Duration,
    /// How long after its lifetime it may be used while it is asked for anew, or when that fails.
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
    reuse: Reuse,
    is_immutable: bool,
}

/// What the origin has said of using its answer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    /// While it is fresh, and when stale as far as the windows go, or as the viewer accepts.
    Free,
    /// While it is fresh, and when stale only in windows that the origin itself has named.
    NotStaleUnlessStated,
    /// While it is fresh.
    NotStale,
    /// Only when the origin has confirmed it.
    Validated,
}

/// What is to be done with a stored answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serve it.
    Fresh,
    /// It is stale; the viewer has said that it takes it so (`max-stale`).
    StaleAccepted,
    /// Serve it, and ask the origin meanwhile.
    StaleWhileRevalidate,
    /// Ask the origin first. If it cannot be reached or answers 500, 502, 503 or 504 before `until` (Unix
    /// time), serve it.
    StaleIfError { until: Duration },
    /// Ask the origin first, and serve nothing that it has not confirmed.
    MustRevalidate,
}

impl Freshness {
    /// Of an answer just received. Whether it may be stored at all is [`storable`]'s decision.
    pub fn of(exchange: &Exchange<'_>, rules: &Rules) -> Self {
        let said = exchange.directives;
        let (lifetime, source) = lifetime_of(exchange, rules);
        let reuse = Reuse::of(said);
        let window = |stated: Option<Duration>, default: Duration| match reuse {
            Reuse::Free => stated.unwrap_or(default),
            Reuse::NotStaleUnlessStated => stated.unwrap_or_default(),
            Reuse::NotStale | Reuse::Validated => Duration::ZERO,
        };
        Self {
            lifetime: lifetime.min(rules.lifetime_max),
            source,
            received: exchange.received,
            age_at_arrival: age_at_arrival(exchange, rules.counts_apparent_age),
            stale_while_revalidate: window(said.stale_while_revalidate, rules.stale_while_revalidate),
            stale_if_error: window(said.stale_if_error, rules.stale_if_error),
            reuse,
            is_immutable: said.has(Flag::Immutable),
        }
    }

    /// RFC 9111 §4.2.3: `resident_time = now - response_time; current_age = corrected_initial_age +
    /// resident_time;`. A clock that was set back makes nothing younger than it came.
    pub fn age(&self, now: Duration) -> Duration {
        self.age_at_arrival.saturating_add(now.saturating_sub(self.received))
    }

    /// RFC 9111 §4.2: `response_is_fresh = (freshness_lifetime > current_age)`.
    pub fn is_fresh(&self, now: Duration) -> bool {
        self.lifetime > self.age(now)
    }

    /// Whole seconds of freshness that remain; below zero, for how long it has been stale (RFC 9211 §2.5).
    pub fn ttl(&self, now: Duration) -> i64 {
        let signed = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        match self.lifetime.checked_sub(self.age(now)) {
            Some(left) => signed(left),
            None => -signed(self.staleness(self.age(now))),
        }
    }

    /// Why a request for it went forward, for `Cache-Status`.
    pub fn forward(&self, now: Duration) -> Forward {
        if self.is_fresh(now) && self.reuse != Reuse::Validated { Forward::Request } else { Forward::Stale }
    }

    /// What is to be done with the answer for a viewer who says `asked`.
    pub fn serve(&self, now: Duration, asked: &RequestDirectives, rules: &Rules) -> Verdict {
        let asked = if rules.honour_client_directives { *asked } else { RequestDirectives::default() };
        let age = self.age(now);
        if self.reuse == Reuse::Validated || asked.no_cache() {
            return self.revalidation(age, now, &asked);
        }
        if self.lifetime > age {
            return if self.is_young_enough(age, &asked) {
                Verdict::Fresh
            } else {
                self.revalidation(age, now, &asked)
            };
        }
        if self.is_stale_accepted(age, &asked) {
            return Verdict::StaleAccepted;
        }
        // RFC 5861 §3: "caches MAY serve the response it appears in after it becomes stale, up to the
        // indicated number of seconds." A viewer that names limits of its own has not agreed to that.
        let is_limited = asked.max_age.is_some() || asked.min_fresh.is_some();
        if !is_limited && self.staleness(age) < self.stale_while_revalidate {
            return Verdict::StaleWhileRevalidate;
        }
        self.revalidation(age, now, &asked)
    }

    /// RFC 9111 §5.2.1.1: "the client prefers a response whose age is less than or equal to the specified
    /// number of seconds"; §5.2.1.3: "the client prefers a response whose freshness lifetime is no less than
    /// its current age plus the specified time in seconds". RFC 8246 §2: proxies "SHOULD skip conditionally
    /// revalidating fresh responses containing the immutable extension unless there is a signal from the
    /// client that a validation is necessary (e.g., a no-cache Cache-Control request directive)".
    fn is_young_enough(&self, age: Duration, asked: &RequestDirectives) -> bool {
        let is_within = self.is_immutable || asked.max_age.is_none_or(|age_max| age <= age_max);
        is_within && asked.min_fresh.is_none_or(|left| self.lifetime >= age.saturating_add(left))
    }

    /// For how long it has been stale.
    fn staleness(&self, age: Duration) -> Duration {
        age.saturating_sub(self.lifetime)
    }

    /// RFC 9111 §5.2.1.2: "the client is willing to accept a response that has exceeded its freshness
    /// lifetime by no more than the specified number of seconds". What the origin forbids (§4.2.4) no client
    /// can allow.
    fn is_stale_accepted(&self, age: Duration, asked: &RequestDirectives) -> bool {
        self.reuse == Reuse::Free
            && asked.max_stale.is_some_and(|beyond| self.staleness(age) <= beyond)
            && asked.max_age.is_none_or(|age_max| age <= age_max)
            && asked.min_fresh.is_none()
    }

    /// Asking the origin, with or without the stored answer to fall back on.
    ///
    /// RFC 9111 §4.2.4: "A cache MUST NOT generate a stale response if it is prohibited by an explicit
    /// in-protocol directive". RFC 5861 §4: "when an error is encountered, a cached stale response MAY be
    /// used to satisfy the request, regardless of other freshness information."
    fn revalidation(&self, age: Duration, now: Duration, asked: &RequestDirectives) -> Verdict {
        if self.reuse == Reuse::Validated {
            return Verdict::MustRevalidate;
        }
        let window = match self.reuse {
            Reuse::Free => self.stale_if_error.max(asked.stale_if_error.unwrap_or_default()),
            Reuse::NotStaleUnlessStated | Reuse::NotStale | Reuse::Validated => self.stale_if_error,
        };
        let left = self.lifetime.saturating_add(window).saturating_sub(age);
        if left.is_zero() {
            Verdict::MustRevalidate
        } else {
            Verdict::StaleIfError { until: now.saturating_add(left) }
        }
    }

    /// Whether it cannot be served without the origin's confirmation, now or at any later time.
    pub(super) fn is_never_usable(&self) -> bool {
        let window = self.stale_while_revalidate.max(self.stale_if_error);
        self.reuse == Reuse::Validated || self.lifetime.saturating_add(window) <= self.age_at_arrival
    }

    /// Until when (Unix time) it is worth keeping: as long as it may be served fresh or stale. With a
    /// validator it may be kept longer, to be confirmed.
    pub fn useful_until(&self) -> Duration {
        let window = self.stale_while_revalidate.max(self.stale_if_error);
        let left = self.lifetime.saturating_add(window).saturating_sub(self.age_at_arrival);
        self.received.saturating_add(left)
    }

    /// What an invalidation leaves of the answer (RFC 9111 §4.4: it is "in need of a mandatory validation
    /// before they can be sent in response to a subsequent request").
    #[must_use]
    pub fn invalidated(self) -> Self {
        Self { reuse: Reuse::Validated, ..self }
    }

    /// What a soft purge leaves of the answer: it is stale as of `now`, and its windows begin there.
    #[must_use]
    pub fn expired(self, now: Duration) -> Self {
        Self { lifetime: self.lifetime.min(self.age(now)), ..self }
    }

    /// Whether the origin's confirmation is needed each time, however fresh it is.
    pub fn is_always_validated(&self) -> bool {
        self.reuse == Reuse::Validated
    }
}

impl Reuse {
    /// RFC 9111 §5.2.2.2: once stale, "a cache MUST NOT reuse that response to satisfy another request until
    /// it has been successfully validated by the origin"; §5.2.2.8 the same for shared caches; §5.2.2.10:
    /// "The s-maxage directive incorporates the semantics of the proxy-revalidate response directive for a
    /// shared cache" - but an origin that adds `stale-while-revalidate` to `s-maxage` says itself how far
    /// that goes.
    fn of(said: &ResponseDirectives) -> Self {
        if said.has(Flag::NoCache) {
            Self::Validated
        } else if said.has(Flag::MustRevalidate) || said.has(Flag::ProxyRevalidate) {
            Self::NotStale
        } else if said.shared_max_age.is_some() {
            Self::NotStaleUnlessStated
        } else {
            Self::Free
        }
    }
}

/// How long the edge may use a playlist without asking again; zero when it may not be kept.
///
/// The lifetime that is stated, or else `default`, less the age at which it came. The edge keeps one variant:
/// a `Vary` on anything that it does not answer itself (`Accept-Encoding`, `Origin`) means none is kept, and
/// so do fields that are withheld, since playlists are kept with all of theirs.
pub fn lifetime(response: &HeaderMap, default: Duration, now: Duration) -> Duration {
    let directives = ResponseDirectives::read(response);
    let exchange = Exchange {
        method: &Method::GET,
        target: "",
        request: &HeaderMap::new(),
        status: StatusCode::OK,
        response,
        directives: &directives,
        requested: now,
        received: now,
    };
    let rules = Rules { unstated: Unstated::Lifetime(default), ..Rules::default() };
    let answered_here = [ACCEPT_ENCODING, ORIGIN];
    if Selection::read(response, &answered_here) != Selection::Always || !directives.withheld.is_empty() {
        return Duration::ZERO;
    }
    match storable(&exchange, &rules) {
        Ok(freshness) if !freshness.is_always_validated() => {
            freshness.lifetime.saturating_sub(freshness.age(now))
        }
        Ok(_) | Err(_) => Duration::ZERO,
    }
}

mod written;

#[cfg(test)]
mod tests;
