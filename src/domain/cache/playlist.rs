//! How long a playlist, which is kept whole and personalised after the store, may be used without asking the origin again.

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, ORIGIN};
use http::{HeaderMap, Method, StatusCode};

use super::directives::{Flag, RequestDirectives, ResponseDirectives};
use super::exchange::Exchange;
use super::freshness::Verdict;
use super::rules::{Rules, Unstated};
use super::storable::storable;
use super::vary::Selection;

/// For how long a playlist may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Without asking the origin; zero when it may not be kept.
    pub fresh_for: Duration,
    /// After that, while the origin fails.
    pub stale_for: Duration,
}

/// How long this playlist may be used from `now` on. `default` is the lifetime of its kind,
/// where the origin states none; `forced` replaces whatever it states; `stale_if_error` is for an origin that says nothing of failing. It is decoded and answered with CORS here, so that a `Vary` on those two selects nothing;
/// one that varies by anything else is not kept.
pub fn lifetime(
    headers: &HeaderMap,
    default: Duration,
    forced: Option<Duration>,
    stale_if_error: Duration,
    now: Duration,
) -> Use {
    let rules = Rules {
        unstated: Unstated::Lifetime(default),
        forced_lifetime: forced,
        stale_if_error,
        vary_ignored: vec![ORIGIN, ACCEPT_ENCODING],
        ..Rules::default()
    };
    let (request, directives) = (HeaderMap::new(), ResponseDirectives::read(headers));
    // A field that is for one viewer alone would have to be taken out for the others: not worth it for a playlist.
    if varies(headers) || !directives.withheld.is_empty() {
        return Use::default();
    }
    let exchange = Exchange {
        method: &Method::GET,
        target: "",
        request: &request,
        status: StatusCode::OK,
        response: headers,
        directives: &directives,
        requested: now,
        received: now,
    };
    match storable(&exchange, &rules) {
        Ok(freshness) if freshness.serve(now, &RequestDirectives::default(), &rules) == Verdict::Fresh => {
            let fresh_for = freshness.lifetime.saturating_sub(freshness.age(now));
            Use { fresh_for, stale_for: freshness.stale_if_error }
        }
        Ok(_) | Err(_) => Use::default(),
    }
}

/// Whether this answer was made for the one who asked: it says `private` (RFC 9111 §5.2.2.7), or it varies by more than
/// the edge answers for itself. Others who wait for the same object have to ask on their own.
pub fn is_for_one(headers: &HeaderMap) -> bool {
    ResponseDirectives::read(headers).has(Flag::Private) || varies(headers)
}

fn varies(headers: &HeaderMap) -> bool {
    Selection::read(headers, &[ORIGIN, ACCEPT_ENCODING]) != Selection::Always
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);
    const DEFAULT: Duration = Duration::from_secs(7);

    fn seconds_of(fields: &[(&'static str, &'static str)]) -> u64 {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        lifetime(&headers, DEFAULT, None, Duration::ZERO, NOW).fresh_for.as_secs()
    }

    #[test]
    fn an_origin_that_forbids_stale_answers_is_obeyed() {
        let stale = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(http::header::CACHE_CONTROL, HeaderValue::from_static(value))]);
            lifetime(&headers, DEFAULT, None, Duration::from_mins(1), NOW).stale_for.as_secs()
        };
        assert_eq!([stale("public"), stale("max-age=9, stale-if-error=5")], [60, 5]);
        assert_eq!([stale("max-age=9, must-revalidate"), stale("s-maxage=9"), stale("no-store")], [0, 0, 0]);
    }

    #[test]
    fn a_forced_lifetime_replaces_a_stated_one_and_no_prohibition() {
        let forced = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(http::header::CACHE_CONTROL, HeaderValue::from_static(value))]);
            lifetime(&headers, DEFAULT, Some(Duration::from_secs(3)), Duration::ZERO, NOW).fresh_for.as_secs()
        };
        assert_eq!([forced("public"), forced("max-age=60"), forced("s-maxage=1")], [3, 3, 3]);
        assert_eq!([forced("no-store"), forced("private")], [0, 0]);
    }

    #[test]
    fn a_silent_origin_gets_the_default_of_the_kind() {
        assert_eq!(seconds_of(&[]), 7);
        assert_eq!(seconds_of(&[("cache-control", "public")]), 7);
    }

    #[test]
    fn s_maxage_beats_max_age_beats_expires() {
        assert_eq!(seconds_of(&[("cache-control", "max-age=10, s-maxage=20")]), 20);
        let dates = [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("expires", "Sun, 06 Nov 1994 08:50:37 GMT")];
        assert_eq!(seconds_of(&dates), 60);
        assert_eq!(seconds_of(&[dates[0], dates[1], ("cache-control", "max-age=5")]), 5);
    }

    #[test]
    fn what_may_not_be_kept_is_not_kept() {
        for value in ["no-store", "private", "no-cache", "max-age=9, NO-STORE", "private=\"x\", max-age=9"] {
            assert_eq!(seconds_of(&[("cache-control", value)]), 0, "{value}");
        }
        assert_eq!(seconds_of(&[("set-cookie", "a=b")]), 0);
        assert_eq!(seconds_of(&[("vary", "user-agent")]), 0);
        assert_eq!(seconds_of(&[("vary", "*")]), 0);
        assert_eq!(seconds_of(&[("expires", "0")]), 0);
    }

    #[test]
    fn an_answer_that_is_private_or_varies_is_for_one() {
        let is_for_one = |name: &'static str, value: &'static str| {
            super::is_for_one(&HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]))
        };
        assert!(is_for_one("cache-control", "max-age=1, Private"));
        assert!(is_for_one("vary", "user-agent"));
        assert!(!is_for_one("cache-control", "no-store, no-cache"), "a herd may share what nobody keeps");
        assert!(!is_for_one("vary", "accept-encoding"));
    }

    #[test]
    fn the_age_of_the_answer_is_taken_off() {
        assert_eq!(seconds_of(&[("cache-control", "max-age=10"), ("age", "4")]), 6);
        assert_eq!(seconds_of(&[("cache-control", "max-age=10"), ("age", "40")]), 0);
    }

    #[test]
    fn a_lifetime_that_is_no_number_is_no_lifetime() {
        assert_eq!(seconds_of(&[("cache-control", "max-age=-1")]), 0);
        assert_eq!(seconds_of(&[("cache-control", "max-age=1e9")]), 0);
        assert_eq!(seconds_of(&[("cache-control", "max-age=99999999999999999999")]), 2_147_483_648);
    }
}
