//! Cache directives meant for this kind of cache: `CDN-Cache-Control` (RFC 9213), then `Surrogate-Control`.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::directives::{Flag, ResponseDirectives, flag, seconds};
use super::list::{self, Member};
use super::structured::{self, Item};

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Edge Architecture Specification 1.0 (W3C note, 2001), §2.2.
pub const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// The directives of the first field that is valid and says anything.
pub fn read(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let mut read = cdn_cache_control(headers).or_else(|| surrogate_control(headers))?;
    read.set(Flag::Targeted, true);
    Some(read)
}

/// RFC 9213 §2.1: "If a targeted field in a given response is empty, or a parsing error is encountered, that
/// field MUST be ignored by the cache"; "Implementations SHOULD NOT consume values that violate these
/// inferred constraints", so that a known directive of the wrong type has the field ignored too.
fn cdn_cache_control(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let mut read = ResponseDirectives::default();
    let mut is_empty = true;
    // RFC 8941 §4.2: several lines are one dictionary; of a key given twice the last value counts.
    for line in headers.get_all(&CDN_CACHE_CONTROL) {
        for member in structured::dictionary(line.as_bytes()) {
            let (key, item) = member?;
            is_empty = false;
            apply(&mut read, key, item)?;
        }
    }
    (!is_empty).then_some(read)
}

fn apply(read: &mut ResponseDirectives, key: &str, item: Item<'_>) -> Option<()> {
    if let Some(flag) = flag(|known| key == known) {
        match item {
            Item::Boolean(is_set) => read.set(flag, is_set),
            Item::String(fields) if matches!(flag, Flag::NoCache | Flag::Private) => {
                read.withhold(flag, Some(fields));
            }
            Item::Integer(_) | Item::String(_) | Item::Other => return None,
        }
        return Some(());
    }
    let slot = match key {
        "max-age" => &mut read.max_age,
        "s-maxage" => &mut read.shared_max_age,
        "stale-while-revalidate" => &mut read.stale_while_revalidate,
        "stale-if-error" => &mut read.stale_if_error,
        _ => return Some(()),
    };
    let Item::Integer(number) = item else { return None };
    // A negative lifetime is an integer and no delta-seconds: invalid freshness information, therefore stale.
    *slot = Some(Duration::from_secs(u64::try_from(number).unwrap_or(0).min(2_147_483_648)));
    Some(())
}

/// `max-age=3600+600, no-store, content="ESI/1.0"`: the number after the plus is for how long the answer may
/// be used beyond its lifetime. A directive with a `;` is addressed to a surrogate by name, and none bears
/// ours.
fn surrogate_control(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let mut read = ResponseDirectives::default();
    let mut is_empty = true;
    for line in headers.get_all(&SURROGATE_CONTROL) {
        for member in list::members(line.as_bytes()) {
            let Member::Parameter { name, value, is_quoted } = member else { return None };
            let is_addressed = |text: &[u8]| text.contains(&b';');
            if is_addressed(name) || (!is_quoted && value.is_some_and(is_addressed)) {
                continue;
            }
            is_empty = false;
            if name.eq_ignore_ascii_case(b"max-age") {
                let (lifetime, beyond) = max_age(value.unwrap_or_default())?;
                read.max_age = Some(lifetime);
                if beyond.is_some() {
                    (read.stale_while_revalidate, read.stale_if_error) = (beyond, beyond);
                }
            } else if name.eq_ignore_ascii_case(b"stale-while-revalidate") {
                read.stale_while_revalidate = Some(value.and_then(seconds)?);
            } else if name.eq_ignore_ascii_case(b"stale-if-error") {
                read.stale_if_error = Some(value.and_then(seconds)?);
            } else if let Some(flag @ (Flag::NoStore | Flag::Private | Flag::NoCache)) =
                flag(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            {
                read.set(flag, true);
            }
        }
    }
    (!is_empty).then_some(read)
}

fn max_age(value: &[u8]) -> Option<(Duration, Option<Duration>)> {
    match value.iter().position(|&byte| byte == b'+') {
        None => Some((seconds(value)?, None)),
        Some(plus) => Some((seconds(&value[..plus])?, Some(seconds(&value[plus + 1..])?))),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn max_age_of(fields: &[(&'static str, &'static str)]) -> Option<u64> {
        ResponseDirectives::read(&headers(fields)).max_age.map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn a_targeted_field_replaces_cache_control() {
        let fields = [("cache-control", "no-store, max-age=1"), ("cdn-cache-control", "max-age=3600")];
        let read = ResponseDirectives::read(&headers(&fields));
        assert_eq!(read.max_age, Some(Duration::from_hours(1)));
        assert!(!read.has(Flag::NoStore) && read.has(Flag::Targeted));
        let read = ResponseDirectives::read(&headers(&[
            ("cache-control", "max-age=9"),
            ("cdn-cache-control", "private"),
        ]));
        assert!(read.has(Flag::Private) && read.max_age.is_none());
    }

    #[test]
    fn a_targeted_field_that_says_nothing_we_know_still_replaces() {
        let read = ResponseDirectives::read(&headers(&[
            ("cache-control", "no-store"),
            ("cdn-cache-control", "none"),
        ]));
        assert!(!read.has(Flag::NoStore));
    }

    #[test]
    fn a_targeted_field_that_is_not_valid_is_not_there() {
        for value in [
            "max-age=10000, &&&&&",
            "max-age=\"10000\"",
            "max-age=10000,",
            "max-age=10.5",
            "max-age",
            "MaX-aGe=3600",
            "max-age =100",
            "max-age= 100",
            "no-store=yes",
            "max-age=1000000000000000",
            "",
        ] {
            let fields = headers(&[("cache-control", "no-store"), ("cdn-cache-control", value)]);
            let read = ResponseDirectives::read(&fields);
            assert!(read.has(Flag::NoStore) && read.max_age.is_none(), "{value}");
        }
    }

    #[test]
    fn extensions_and_parameters_are_ignored() {
        assert_eq!(
            max_age_of(&[("cdn-cache-control", "foobar, x=(1 2);q=\"a\", max-age=3600;y=1, z=:aGk=:")]),
            Some(3600)
        );
        assert_eq!(max_age_of(&[("cdn-cache-control", "max-age=99999999999")]), Some(2_147_483_648));
        assert_eq!(max_age_of(&[("cdn-cache-control", "max-age=-5")]), Some(0));
    }

    #[test]
    fn of_a_key_given_twice_the_last_counts() {
        assert_eq!(max_age_of(&[("cdn-cache-control", "max-age=1, max-age=60")]), Some(60));
        assert_eq!(
            max_age_of(&[("cdn-cache-control", "max-age=60"), ("cdn-cache-control", "max-age=1")]),
            Some(1)
        );
        let read =
            ResponseDirectives::read(&headers(&[("cdn-cache-control", "no-store, max-age=1, no-store=?0")]));
        assert!(!read.has(Flag::NoStore));
    }

    #[test]
    fn surrogate_control_follows_cdn_cache_control() {
        let surrogate = ("surrogate-control", "max-age=3600+600, content=\"ESI/1.0\"");
        let read = ResponseDirectives::read(&headers(&[surrogate, ("cache-control", "max-age=1")]));
        assert_eq!(read.max_age, Some(Duration::from_hours(1)));
        assert_eq!(read.stale_while_revalidate, Some(Duration::from_mins(10)));
        assert_eq!(max_age_of(&[surrogate, ("cdn-cache-control", "max-age=5")]), Some(5));
        assert_eq!(max_age_of(&[surrogate, ("cdn-cache-control", "&")]), Some(3600));
    }

    #[test]
    fn what_is_addressed_to_another_surrogate_is_not_for_us() {
        let fields = [("surrogate-control", "no-store;other"), ("cache-control", "max-age=5")];
        assert_eq!(max_age_of(&fields), Some(5));
        assert_eq!(max_age_of(&[("surrogate-control", "max-age=60;other, max-age=7")]), Some(7));
    }

    #[test]
    fn a_surrogate_lifetime_that_is_no_number_has_the_field_ignored() {
        assert_eq!(
            max_age_of(&[("surrogate-control", "max-age=x"), ("cache-control", "max-age=5")]),
            Some(5)
        );
    }
}
