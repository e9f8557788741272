//! Lifetimes, ages and verdicts, by the clock set by hand.

use http::HeaderValue;

use super::super::rules::Negative;
use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT
const NOW: Duration = Duration::from_secs(784_111_777);
const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn answer_of(status: u16, fields: &[(&'static str, &'static str)], rules: &Rules) -> Freshness {
    let response = headers(fields);
    let directives = ResponseDirectives::read(&response);
    let exchange = Exchange {
        method: &Method::GET,
        target: "https://example.com/",
        request: &HeaderMap::new(),
        status: StatusCode::from_u16(status).expect("a status"),
        response: &response,
        directives: &directives,
        requested: NOW,
        received: NOW,
    };
    Freshness::of(&exchange, rules)
}

fn answer(fields: &[(&'static str, &'static str)]) -> Freshness {
    answer_of(200, fields, &Rules::default())
}

fn lifetime_secs(fields: &[(&'static str, &'static str)]) -> u64 {
    answer(fields).lifetime.as_secs()
}

fn asked(line: &'static str) -> RequestDirectives {
    RequestDirectives::read(&headers(&[("cache-control", line)]))
}

fn after(seconds: u64) -> Duration {
    NOW + Duration::from_secs(seconds)
}

fn verdict(control: &'static str, seconds: u64, rules: &Rules) -> Verdict {
    answer_of(200, &[("cache-control", control)], rules).serve(
        after(seconds),
        &RequestDirectives::default(),
        rules,
    )
}

fn until(seconds: u64) -> Verdict {
    Verdict::StaleIfError { until: after(seconds) }
}

#[test]
fn s_maxage_beats_max_age_beats_expires() {
    let expires = ("expires", "Sun, 06 Nov 1994 08:50:37 GMT");
    assert_eq!(lifetime_secs(&[("cache-control", "max-age=10, s-maxage=20"), DATE, expires]), 20);
    assert_eq!(lifetime_secs(&[("cache-control", "max-age=10"), DATE, expires]), 10);
    assert_eq!(lifetime_secs(&[DATE, expires]), 60);
}

#[test]
fn expires_counts_from_the_origins_date_or_from_the_receipt() {
    let expires = ("expires", "Sun, 06 Nov 1994 08:50:37 GMT");
    assert_eq!(lifetime_secs(&[("date", "Sun, 06 Nov 1994 08:50:07 GMT"), expires]), 30);
    assert_eq!(lifetime_secs(&[expires]), 60);
    assert_eq!(lifetime_secs(&[("date", "foo"), expires]), 60);
}

#[test]
fn an_expires_that_is_past_or_no_date_is_over() {
    for value in [
        "0",
        "-1",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:36 GMT",
        "Sun, 06 Nov 2044 08:49:37 UTC",
    ] {
        let answer = answer(&[DATE, ("expires", value), ("last-modified", "Sun, 06 Nov 1988 08:49:37 GMT")]);
        assert_eq!((answer.lifetime, answer.source), (Duration::ZERO, Source::Stated), "{value}");
    }
    let twice = [("expires", "Sun, 06 Nov 1994 08:50:37 GMT"), ("expires", "Sun, 06 Nov 1994 08:51:37 GMT")];
    assert_eq!(lifetime_secs(&twice), 0);
}

#[test]
fn a_targeted_field_has_expires_ignored() {
    let fields = [("cdn-cache-control", "foo"), ("expires", "Sun, 06 Nov 1994 08:50:37 GMT")];
    assert_eq!(answer(&fields).source, Source::None);
}

#[test]
fn a_tenth_of_the_time_since_it_was_modified_is_the_heuristic() {
    let modified = ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT");
    let found = answer(&[DATE, modified]);
    assert_eq!((found.lifetime.as_secs(), found.source), (8_640, Source::Heuristic));
    let rules =
        Rules { unstated: Unstated::Heuristic { lifetime_max: Duration::from_mins(1) }, ..Rules::default() };
    assert_eq!(answer_of(200, &[DATE, modified], &rules).lifetime.as_secs(), 60);
    assert_eq!(answer(&[DATE, ("last-modified", "Mon, 07 Nov 1994 08:49:37 GMT")]).lifetime, Duration::ZERO);
    assert_eq!(answer(&[DATE]).source, Source::None);
}

#[test]
fn a_silent_origin_gets_the_lifetime_of_the_kind() {
    let rules = Rules { unstated: Unstated::Lifetime(Duration::from_secs(7)), ..Rules::default() };
    let modified = ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT");
    assert_eq!(answer_of(200, &[DATE, modified], &rules).lifetime.as_secs(), 7);
    assert_eq!(answer_of(200, &[("cache-control", "max-age=9")], &rules).lifetime.as_secs(), 9);
    assert_eq!(answer_of(404, &[DATE], &rules).lifetime.as_secs(), 0);
    assert_eq!(answer_of(301, &[DATE], &rules).lifetime.as_secs(), 0);
}

#[test]
fn errors_have_a_lifetime_of_their_own() {
    let negative = Negative { lifetime: Duration::from_secs(3), statuses: vec![StatusCode::NOT_FOUND] };
    let rules =
        Rules { negative, unstated: Unstated::Lifetime(Duration::from_hours(24)), ..Rules::default() };
    assert_eq!(answer_of(404, &[], &rules).lifetime.as_secs(), 3);
    assert_eq!(answer_of(404, &[("cache-control", "max-age=60")], &rules).lifetime.as_secs(), 60);
    assert_eq!(answer_of(410, &[], &rules).lifetime.as_secs(), 0);
}

#[test]
fn a_route_may_force_and_cap_lifetimes() {
    let forced = Rules { forced_lifetime: Some(Duration::from_secs(5)), ..Rules::default() };
    let found = answer_of(200, &[("cache-control", "max-age=60")], &forced);
    assert_eq!((found.lifetime.as_secs(), found.source), (5, Source::Forced));
    assert_eq!(answer_of(404, &[("cache-control", "max-age=60")], &forced).lifetime.as_secs(), 60);
    let capped = Rules { lifetime_max: Duration::from_secs(2), ..Rules::default() };
    assert_eq!(answer_of(200, &[("cache-control", "max-age=60")], &capped).lifetime.as_secs(), 2);
}

#[test]
fn age_is_what_was_stated_and_what_it_waited_and_lay() {
    let answer = answer(&[("cache-control", "max-age=3600"), ("age", "1800")]);
    assert_eq!(answer.age(after(10)).as_secs(), 1810);
    assert_eq!(answer.ttl(after(10)), 1790);
    assert!(answer.is_fresh(after(1799)) && !answer.is_fresh(after(1800)));
    assert_eq!(answer.ttl(after(1805)), -5);
}

#[test]
fn the_time_that_a_request_took_is_age() {
    let response = headers(&[("cache-control", "max-age=60")]);
    let directives = ResponseDirectives::read(&response);
    let exchange = Exchange {
        method: &Method::GET,
        target: "",
        request: &HeaderMap::new(),
        status: StatusCode::OK,
        response: &response,
        directives: &directives,
        requested: NOW.saturating_sub(Duration::from_secs(4)),
        received: NOW,
    };
    assert_eq!(Freshness::of(&exchange, &Rules::default()).age(NOW).as_secs(), 4);
}

#[test]
fn a_clock_set_back_makes_nothing_younger_than_it_came() {
    let answer = answer(&[("cache-control", "max-age=60"), ("age", "5")]);
    assert_eq!(answer.age(NOW.saturating_sub(Duration::from_hours(1))).as_secs(), 5);
}

#[test]
fn an_age_that_is_no_number_is_ignored_and_of_several_the_first_counts() {
    for (value, age) in [
        ("abc", 0),
        ("-7200", 0),
        ("7200.0", 0),
        ("7200, 0", 7200),
        ("0, 7200", 0),
        ("7200;foo=bar", 0),
        ("9999999999", 2_147_483_648),
    ] {
        assert_eq!(answer(&[("age", value)]).age(NOW).as_secs(), age, "{value}");
    }
    assert_eq!(answer(&[("age", "7"), ("age", "0")]).age(NOW).as_secs(), 7);
}

#[test]
fn a_slow_date_is_age_only_where_it_counts() {
    let fields = [("date", "Sun, 06 Nov 1994 08:49:27 GMT"), ("cache-control", "max-age=60")];
    assert_eq!(answer(&fields).age(NOW).as_secs(), 0);
    let rules = Rules { counts_apparent_age: true, ..Rules::default() };
    assert_eq!(answer_of(200, &fields, &rules).age(NOW).as_secs(), 10);
    assert_eq!(answer_of(200, &[("date", "Sun, 06 Nov 1994 09:49:27 GMT")], &rules).age(NOW).as_secs(), 0);
}

#[test]
fn what_is_fresh_is_served_and_what_is_stale_is_validated() {
    let rules = Rules::default();
    assert_eq!(verdict("max-age=60", 59, &rules), Verdict::Fresh);
    assert_eq!(verdict("max-age=60", 60, &rules), Verdict::MustRevalidate);
    assert_eq!(verdict("max-age=60, immutable", 60, &rules), Verdict::MustRevalidate);
    assert_eq!(verdict("max-age=60, no-cache", 0, &rules), Verdict::MustRevalidate);
    assert_eq!(verdict("max-age=60, must-revalidate", 59, &rules), Verdict::Fresh);
}

#[test]
fn the_window_for_revalidation_follows_the_lifetime_and_ends() {
    let rules = Rules::default();
    let control = "max-age=1, stale-while-revalidate=4";
    assert_eq!(verdict(control, 0, &rules), Verdict::Fresh);
    assert_eq!(verdict(control, 4, &rules), Verdict::StaleWhileRevalidate);
    assert_eq!(verdict(control, 5, &rules), Verdict::MustRevalidate);
}

#[test]
fn an_error_has_the_stale_answer_served_within_its_window() {
    let rules = Rules::default();
    assert_eq!(verdict("max-age=2, stale-if-error=60", 3, &rules), until(62));
    assert_eq!(verdict("max-age=2, stale-if-error=60", 62, &rules), Verdict::MustRevalidate);
}

#[test]
fn the_propertys_windows_hold_where_the_origin_is_silent() {
    let rules = Rules {
        stale_while_revalidate: Duration::from_secs(3),
        stale_if_error: Duration::from_secs(100),
        ..Rules::default()
    };
    assert_eq!(verdict("max-age=2", 4, &rules), Verdict::StaleWhileRevalidate);
    assert_eq!(verdict("max-age=2", 5, &rules), until(102));
    assert_eq!(
        verdict("max-age=2, stale-while-revalidate=0, stale-if-error=0", 2, &rules),
        Verdict::MustRevalidate
    );
}

#[test]
fn what_the_origin_forbids_is_not_served_stale() {
    let rules = Rules {
        stale_while_revalidate: Duration::from_mins(1),
        stale_if_error: Duration::from_mins(1),
        honour_client_directives: true,
        ..Rules::default()
    };
    for control in [
        "max-age=2, must-revalidate",
        "max-age=2, proxy-revalidate",
        "max-age=2, no-cache",
        "max-age=2, s-maxage=2",
    ] {
        let answer = answer_of(200, &[("cache-control", control)], &rules);
        for line in ["max-stale", "max-stale=100, stale-if-error=100", ""] {
            assert_eq!(
                answer.serve(after(3), &asked(line), &rules),
                Verdict::MustRevalidate,
                "{control} {line}"
            );
        }
    }
    let both = "max-age=2, must-revalidate, stale-while-revalidate=60, stale-if-error=60";
    assert_eq!(verdict(both, 3, &rules), Verdict::MustRevalidate);
}

#[test]
fn s_maxage_gives_way_to_windows_that_the_origin_names_itself() {
    let rules = Rules::default();
    assert_eq!(verdict("s-maxage=2, stale-while-revalidate=60", 3, &rules), Verdict::StaleWhileRevalidate);
    assert_eq!(verdict("s-maxage=2, stale-if-error=60", 3, &rules), until(62));
}

#[test]
fn viewers_directives_count_only_by_rule() {
    let ignored = Rules::default();
    let honoured = Rules { honour_client_directives: true, ..Rules::default() };
    let answer = answer(&[("cache-control", "max-age=60")]);
    for line in ["no-cache", "max-age=0", "max-age=9", "min-fresh=51"] {
        assert_eq!(answer.serve(after(10), &asked(line), &ignored), Verdict::Fresh, "{line}");
        assert_eq!(answer.serve(after(10), &asked(line), &honoured), until(60), "{line}");
    }
    for line in ["max-age=10", "min-fresh=50", "no-store", "max-stale"] {
        assert_eq!(answer.serve(after(10), &asked(line), &honoured), Verdict::Fresh, "{line}");
    }
}

#[test]
fn max_stale_accepts_what_is_stale_by_no_more() {
    let rules = Rules { honour_client_directives: true, ..Rules::default() };
    let answer = answer(&[("cache-control", "max-age=10")]);
    assert_eq!(answer.serve(after(15), &asked("max-stale=5"), &rules), Verdict::StaleAccepted);
    assert_eq!(answer.serve(after(16), &asked("max-stale=5"), &rules), Verdict::MustRevalidate);
    assert_eq!(answer.serve(after(99_999), &asked("max-stale"), &rules), Verdict::StaleAccepted);
    assert_eq!(answer.serve(after(15), &asked("max-stale=5, max-age=12"), &rules), Verdict::MustRevalidate);
}

#[test]
fn a_fresh_immutable_answer_is_validated_only_on_no_cache() {
    let rules = Rules { honour_client_directives: true, ..Rules::default() };
    let answer = answer(&[("cache-control", "max-age=60, immutable")]);
    assert_eq!(answer.serve(after(5), &asked("max-age=0"), &rules), Verdict::Fresh);
    assert_eq!(answer.serve(after(5), &asked("no-cache"), &rules), until(60));
}

#[test]
fn a_purged_answer_is_stale_and_an_invalidated_one_unusable() {
    let rules = Rules { stale_while_revalidate: Duration::from_secs(30), ..Rules::default() };
    let answer = answer_of(200, &[("cache-control", "max-age=60")], &rules);
    let none = RequestDirectives::default();
    assert_eq!(answer.expired(after(5)).serve(after(6), &none, &rules), Verdict::StaleWhileRevalidate);
    assert_eq!(answer.invalidated().serve(after(6), &none, &rules), Verdict::MustRevalidate);
    assert_eq!(answer.useful_until(), after(90));
}

#[test]
fn a_report_tells_whose_wish_it_was_to_go_forward() {
    let answer = answer(&[("cache-control", "max-age=60")]);
    assert_eq!((answer.forward(after(1)), answer.forward(after(60))), (Forward::Request, Forward::Stale));
    assert_eq!(answer.invalidated().forward(after(1)), Forward::Stale);
}

#[test]
fn only_if_cached_counts_only_by_rule() {
    let asked = asked("only-if-cached");
    assert!(!Rules::default().forbids_forwarding(&asked));
    assert!(Rules { honour_client_directives: true, ..Rules::default() }.forbids_forwarding(&asked));
}

mod playlists {
    use super::*;

    const DEFAULT: Duration = Duration::from_secs(7);

    fn seconds_of(fields: &[(&'static str, &'static str)]) -> u64 {
        lifetime(&headers(fields), DEFAULT, NOW).as_secs()
    }

    #[test]
    fn a_silent_origin_gets_the_default() {
        assert_eq!(seconds_of(&[]), 7);
        assert_eq!(seconds_of(&[("cache-control", "public"), ("vary", "Accept-Encoding, Origin")]), 7);
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
    fn the_age_of_the_answer_is_taken_off() {
        assert_eq!(seconds_of(&[("cache-control", "max-age=10"), ("age", "4")]), 6);
        assert_eq!(seconds_of(&[("cache-control", "max-age=10"), ("age", "40")]), 0);
    }
}
