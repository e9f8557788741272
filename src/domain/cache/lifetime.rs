//! Lifetime and initial age of an answer (RFC 9111 §4.2.1 to §4.2.3).

use std::time::Duration;

use http::StatusCode;

use super::exchange::Exchange;
use super::rules::{Rules, Unstated};

/// Where a lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Forced,
    Stated,
    /// Of the kind, or of errors.
    Default,
    Heuristic,
    None,
}

/// RFC 9111 §4.2.1 and, where nothing is stated, §4.2.2 and the rules.
pub(super) fn lifetime_of(exchange: &Exchange<'_>, rules: &Rules) -> (Duration, Source) {
    // An error is no content: a lifetime that was meant for segments would keep it for as long.
    let is_content = matches!(exchange.status, StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION);
    if let Some(lifetime) = rules.forced_lifetime.filter(|_| is_content) {
        return (lifetime, Source::Forced);
    }
    if let Some(lifetime) = exchange.stated() {
        return (lifetime, Source::Stated);
    }
    if rules.negative.statuses.contains(&exchange.status) {
        return (rules.negative.lifetime, Source::Default);
    }
    match rules.unstated {
        Unstated::Lifetime(lifetime) if is_content => (lifetime, Source::Default),
        Unstated::NotStored => (Duration::ZERO, Source::None),
        Unstated::Heuristic { lifetime_max } => heuristic(exchange, lifetime_max),
        Unstated::Lifetime(lifetime) => heuristic(exchange, lifetime),
    }
}

/// RFC 9111 §4.2.2: "If the response has a Last-Modified header field, caches are encouraged to use a
/// heuristic expiration value that is no more than some fraction of the interval since that time. A typical
/// setting of this fraction might be 10%."
fn heuristic(exchange: &Exchange<'_>, lifetime_max: Duration) -> (Duration, Source) {
    match exchange.last_modified() {
        Some(modified) => {
            let lifetime = exchange.date().saturating_sub(modified) / 10;
            (lifetime.min(lifetime_max), Source::Heuristic)
        }
        None => (Duration::ZERO, Source::None),
    }
}

/// RFC 9111 §4.2.3: `response_delay = response_time - request_time; corrected_age_value = age_value +
/// response_delay;`. "The `corrected_age_value` MAY be used as the `corrected_initial_age`. In circumstances
/// where very old cache implementations that might not correctly insert Age are present,
/// `corrected_initial_age` can be calculated more conservatively as" `max(apparent_age,
/// corrected_age_value)`.
pub(super) fn age_at_arrival(exchange: &Exchange<'_>, counts_apparent_age: bool) -> Duration {
    let delay = exchange.received.saturating_sub(exchange.requested);
    let corrected = exchange.stated_age().unwrap_or_default().saturating_add(delay);
    if !counts_apparent_age {
        return corrected;
    }
    exchange.received.saturating_sub(exchange.date()).max(corrected)
}
