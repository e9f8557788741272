//! How long a playlist may be used without asking the origin again: a short form of the rules, for what is kept whole.

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, SET_COOKIE, VARY};

/// How long a shared cache may use this answer, from now on; zero when it may not be kept.
///
/// RFC 9111 §4.2.1, in its order: `s-maxage`, `max-age`, `Expires` less `Date`; where the origin says nothing,
/// `default`, which depends on the kind of the answer. The answer's `Age` is taken off (§4.2.3). Not kept at all
/// (§3): `no-store`, `private`, `no-cache` without validation, `Set-Cookie`, and a `Vary` on anything but
/// `Accept-Encoding` and `Origin`, which this edge answers itself.
pub fn lifetime(headers: &HeaderMap, default: Duration) -> Duration {
    if headers.contains_key(SET_COOKIE) || varies_beyond_the_edge(headers) {
        return Duration::ZERO;
    }
    let control = Directives::read(headers);
    if control.forbids {
        return Duration::ZERO;
    }
    let stated = control.shared_max_age.or(control.max_age).or_else(|| expires_after(headers));
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(|age| seconds(age.trim()));
    match stated {
        Some(lifetime) => lifetime.saturating_sub(age.unwrap_or_default()),
        None => default,
    }
}

/// Whether this answer was made for the one who asked: it says `private` (RFC 9111 §5.2.2.7), or it varies by more than
/// the edge answers for itself. Others who wait for the same object have to ask on their own.
pub fn is_for_one(headers: &HeaderMap) -> bool {
    Directives::read(headers).is_private || varies_beyond_the_edge(headers)
}

#[derive(Default)]
struct Directives {
    forbids: bool,
    is_private: bool,
    max_age: Option<Duration>,
    shared_max_age: Option<Duration>,
}

impl Directives {
    fn read(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            // A directive list that is not text cannot be understood: towards the origin.
            let Ok(value) = value.to_str() else {
                read.forbids = true;
                continue;
            };
            for directive in value.split(',') {
                read.take(directive.trim());
            }
        }
        read
    }

    fn take(&mut self, directive: &str) {
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        // RFC 9111 §5.2: a recipient ought to accept both the token and the quoted-string form.
        let argument = argument.trim().trim_matches('"');
        let name = name.trim();
        self.is_private |= name.eq_ignore_ascii_case("private");
        if ["no-store", "private", "no-cache"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
            self.forbids = true;
        } else if name.eq_ignore_ascii_case("max-age") {
            self.max_age =
                Some(self.max_age.unwrap_or(Duration::MAX).min(seconds(argument).unwrap_or_default()));
        } else if name.eq_ignore_ascii_case("s-maxage") {
            let stated = seconds(argument).unwrap_or_default();
            self.shared_max_age = Some(self.shared_max_age.unwrap_or(Duration::MAX).min(stated));
        }
    }
}

/// RFC 9111 §1.2.2: a number too great to represent is 2147483648 or more.
fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse::<u64>().unwrap_or(u64::MAX).min(2_147_483_648)))
}

fn expires_after(headers: &HeaderMap) -> Option<Duration> {
    let expires = headers.get(EXPIRES)?;
    // RFC 9111 §5.3: "a cache MUST treat invalid date formats, especially including the value "0", as … in the past".
    let read =
        |value: &http::HeaderValue| value.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok());
    let (Some(expires), Some(date)) = (read(expires), headers.get(DATE).and_then(read)) else {
        return Some(Duration::ZERO);
    };
    Some(expires.duration_since(date).unwrap_or_default())
}

fn varies_beyond_the_edge(headers: &HeaderMap) -> bool {
    headers.get_all(VARY).iter().any(|value| {
        value.to_str().map_or(true, |value| {
            value.split(',').map(str::trim).any(|name| {
                !name.is_empty()
                    && !name.eq_ignore_ascii_case("accept-encoding")
                    && !name.eq_ignore_ascii_case("origin")
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const DEFAULT: Duration = Duration::from_secs(7);

    fn seconds_of(fields: &[(&'static str, &'static str)]) -> u64 {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        lifetime(&headers, DEFAULT).as_secs()
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
