//! The cache's rules beside those of another implementation of RFC 9111, over generated exchanges, and what a
//! hit costs.
//!
//! Where the other one is known to differ from the RFCs the cases are left out, each with the reason beside
//! it.

mod counting;

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_cache_semantics::{AfterResponse, BeforeRequest, CacheOptions, CachePolicy};
use proptest::prelude::*;
use sluicegate::domain::cache::directives::{RequestDirectives, ResponseDirectives};
use sluicegate::domain::cache::exchange::Exchange;
use sluicegate::domain::cache::freshness::{Freshness, Verdict};
use sluicegate::domain::cache::precondition::{self, Precondition};
use sluicegate::domain::cache::rules::{Rules, Unstated};
use sluicegate::domain::cache::storable::{Refusal, storable};
use sluicegate::domain::cache::vary::Selector;
use sluicegate::domain::cache::{date, ranges, validation};

/// Sun, 06 Nov 1994 08:49:37 GMT
const NOW: Duration = Duration::from_secs(784_111_777);
const TARGET: &str = "https://example.com/a";

fn headers(fields: &[(&str, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn text(pairs: &[(&str, &str)]) -> HeaderMap {
    headers(&pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>())
}

/// An exchange as both see it.
#[derive(Clone, Debug)]
struct Sample {
    request: HeaderMap,
    status: StatusCode,
    response: HeaderMap,
}

impl Sample {
    fn rules() -> Rules {
        let unstated = Unstated::Heuristic { lifetime_max: Duration::MAX };
        Rules { honour_client_directives: true, unstated, ..Rules::default() }
    }

    fn ours(&self) -> Result<Freshness, Refusal> {
        let directives = ResponseDirectives::read(&self.response);
        storable(&self.exchange(&directives), &Self::rules())
    }

    fn exchange<'a>(&'a self, directives: &'a ResponseDirectives) -> Exchange<'a> {
        Exchange {
            method: &Method::GET,
            target: TARGET,
            request: &self.request,
            status: self.status,
            response: &self.response,
            directives,
            requested: NOW,
            received: NOW,
        }
    }

    fn theirs(&self) -> CachePolicy {
        let request = request(self.request.clone());
        let response = response(self.status, self.response.clone());
        CachePolicy::new_options(&request, &response, SystemTime::UNIX_EPOCH + NOW, CacheOptions::default())
    }
}

fn request(headers: HeaderMap) -> Request<()> {
    let mut request = Request::builder().uri(TARGET).body(()).expect("a request");
    *request.headers_mut() = headers;
    request
}

fn response(status: StatusCode, headers: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn date_at(offset_seconds: i64) -> String {
    let seconds = NOW.as_secs().checked_add_signed(offset_seconds).expect("it is near");
    date::value(Duration::from_secs(seconds)).to_str().expect("a date").to_owned()
}

fn maybe<T: std::fmt::Debug + Clone>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(values)
}

/// Directives in lower case and each once: the other implementation compares names as they are, and takes a
/// second, other value for `must-revalidate` where we take it for no lifetime. Left out: `proxy-revalidate`,
/// by which it has every answer stale at once; `must-understand`, which it does not know; named fields, which
/// it takes for the whole answer.
fn response_control() -> impl Strategy<Value = Option<String>> {
    let flags = proptest::sample::subsequence(
        vec!["no-store", "no-cache", "private", "public", "must-revalidate", "x=\"y\""],
        0..3,
    );
    let number = || prop_oneof![Just(0_u64), 1_u64..200, Just(99_999)];
    (flags, maybe(number()), maybe(number()), any::<bool>()).prop_map(|(flags, max_age, shared, is_there)| {
        let mut parts: Vec<String> = flags.into_iter().map(str::to_owned).collect();
        parts.extend(max_age.map(|number| format!("max-age={number}")));
        parts.extend(shared.map(|number| format!("s-maxage={number}")));
        (is_there && !parts.is_empty()).then(|| parts.join(", "))
    })
}

const UNDERSTOOD: [u16; 14] = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501];

fn sample() -> impl Strategy<Value = Sample> {
    // The statuses that the other one understands; it stores no others, however long they are said to be
    // fresh.
    let status = proptest::sample::select(&UNDERSTOOD[..]);
    let expires =
        prop_oneof![(-200_i64..400).prop_map(date_at), Just("0".to_owned()), Just("junk".to_owned())];
    let modified = (0_i64..4_000).prop_map(|tens| date_at(-10 * tens));
    let age = prop_oneof![(0_u64..200).prop_map(|age| age.to_string()), Just("junk".to_owned())];
    (
        status,
        response_control(),
        maybe(-100_i64..100),
        maybe(expires),
        maybe(modified),
        maybe(age),
        maybe(Just("\"a\"".to_owned())),
        any::<bool>(),
    )
        .prop_map(|(status, control, date, expires, modified, age, tag, is_authorised)| {
            let fields = [
                ("cache-control", control),
                ("date", date.map(date_at)),
                ("expires", expires),
                ("last-modified", modified),
                ("age", age),
                ("etag", tag),
            ];
            let fields: Vec<_> =
                fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let request =
                if is_authorised { text(&[("authorization", "Basic x")]) } else { HeaderMap::new() };
            let status = StatusCode::from_u16(status).expect("a status");
            Sample { request, status, response: headers(&fields) }
        })
}

/// What a viewer may say, without `max-stale`, which the other one lets override what the origin forbids.
fn viewer() -> impl Strategy<Value = HeaderMap> {
    (any::<bool>(), maybe(0_u64..200), maybe(1_u64..200), any::<bool>()).prop_map(
        |(no_cache, max_age, min_fresh, by_pragma)| {
            let mut parts = Vec::new();
            parts.extend(max_age.map(|number| format!("max-age={number}")));
            parts.extend(min_fresh.map(|number| format!("min-fresh={number}")));
            if no_cache && by_pragma && parts.is_empty() {
                return text(&[("pragma", "no-cache")]);
            }
            if no_cache && !by_pragma {
                parts.push("no-cache".to_owned());
            }
            if parts.is_empty() { HeaderMap::new() } else { headers(&[("cache-control", parts.join(", "))]) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// We refuse more: what could never be used.
    #[test]
    fn what_is_stored_is_what_the_other_stores(sample in sample()) {
        let ours = sample.ours();
        let is_stored = ours.is_ok() || ours == Err(Refusal::Useless);
        prop_assert_eq!(is_stored, sample.theirs().is_storable(), "{:?}", ours);
    }

    #[test]
    fn age_and_time_to_live_are_the_others(sample in sample(), seconds in 0_u64..500) {
        if let Ok(ours) = sample.ours() {
            let theirs = sample.theirs();
            let now = NOW + Duration::from_secs(seconds);
            let their_now = SystemTime::UNIX_EPOCH + now;
            prop_assert_eq!(ours.age(now), theirs.age(their_now));
            // The other one has no lifetime for what is to be validated each time; for us that is a matter of
            // use.
            if !ours.is_always_validated() {
                let left = u64::try_from(ours.ttl(now)).unwrap_or(0);
                prop_assert_eq!(left, theirs.time_to_live(their_now).as_secs());
                prop_assert_eq!(ours.is_fresh(now), !theirs.is_stale(their_now));
            }
        }
    }

    #[test]
    fn what_is_served_is_what_the_other_serves(sample in sample(), viewer in viewer(), seconds in 0_u64..500) {
        if let Ok(ours) = sample.ours() {
            let at = Duration::from_secs(seconds) + Duration::from_millis(500);
            let asked = RequestDirectives::read(&viewer);
            let is_served = ours.serve(NOW + at, &asked, &Sample::rules()) == Verdict::Fresh;
            let theirs = sample.theirs().before_request(&request(viewer), SystemTime::UNIX_EPOCH + NOW + at);
            prop_assert_eq!(is_served, theirs.satisfies_without_revalidation());
        }
    }

    /// Where the origin forbids nothing, `max-stale` means the same to both.
    #[test]
    fn max_stale_is_the_others_where_nothing_forbids_it(
        max_age in 0_u64..200, age in 0_u64..200, accepted in maybe(0_u64..200), seconds in 0_u64..500,
    ) {
        let control = format!("max-age={max_age}");
        let mut response = headers(&[("cache-control", control), ("age", age.to_string())]);
        response.insert(ETAG, HeaderValue::from_static("\"a\""));
        let sample = Sample { request: HeaderMap::new(), status: StatusCode::OK, response };
        let line = accepted.map_or("max-stale".to_owned(), |number| format!("max-stale={number}"));
        let viewer = headers(&[("cache-control", line)]);
        let at = Duration::from_secs(seconds) + Duration::from_millis(500);
        let ours = sample.ours().expect("it has a validator");
        let verdict = ours.serve(NOW + at, &RequestDirectives::read(&viewer), &Sample::rules());
        let theirs = sample.theirs().before_request(&request(viewer), SystemTime::UNIX_EPOCH + NOW + at);
        let is_served = matches!(verdict, Verdict::Fresh | Verdict::StaleAccepted);
        prop_assert_eq!(is_served, theirs.satisfies_without_revalidation());
    }

    #[test]
    fn the_question_to_the_origin_is_the_others(sample in sample()) {
        if sample.ours().is_ok() {
            let asked = request(text(&[("pragma", "no-cache")]));
            let theirs = sample.theirs().before_request(&asked, SystemTime::UNIX_EPOCH + NOW);
            let BeforeRequest::Stale { request: theirs, .. } = theirs else {
                panic!("no-cache is never fresh")
            };
            let mut ours = HeaderMap::new();
            let _ = validation::make_conditional(&mut ours, &sample.response);
            for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
                prop_assert_eq!(ours.get(&name), theirs.headers.get(&name));
            }
        }
    }

    /// Left out: a strong tag in a 304 for a weak stored one, which the other takes for the same though RFC
    /// 9111 §4.3.4 asks for the same strong validator; and a 304 without the validators that were asked by,
    /// which it refuses.
    #[test]
    fn a_304_freshens_what_the_other_has_freshened(
        by_tag in any::<bool>(), is_same in any::<bool>(), is_weak in any::<bool>(),
        new_age in maybe(0_u64..99), extra in "[a-z]{0,5}",
    ) {
        let (name, old, other) = match (by_tag, is_weak) {
            (true, false) => (ETAG, "\"a\"", "\"b\""),
            (true, true) => (ETAG, "W/\"a\"", "W/\"b\""),
            (false, _) => (LAST_MODIFIED, "Sun, 06 Nov 1994 08:00:00 GMT", "Sun, 06 Nov 1994 08:00:01 GMT"),
        };
        let mut stored =
            text(&[("cache-control", "max-age=1"), ("content-length", "7"), ("x", "old"), ("y", "kept")]);
        stored.insert(&name, HeaderValue::from_static(old));
        let mut update = headers(&[("content-length", "9".to_owned()), ("x", extra)]);
        if let Some(age) = new_age {
            update.insert(CACHE_CONTROL, HeaderValue::from_str(&format!("max-age={age}")).expect("a value"));
        }
        update.insert(&name, HeaderValue::from_static(if is_same { old } else { other }));

        let sample = Sample { request: HeaderMap::new(), status: StatusCode::OK, response: stored.clone() };
        let not_modified = response(StatusCode::NOT_MODIFIED, update.clone());
        let asked = request(HeaderMap::new());
        let theirs = sample.theirs().after_response(&asked, &not_modified, SystemTime::UNIX_EPOCH + NOW);
        let is_the_same = matches!(theirs, AfterResponse::NotModified(..));
        prop_assert_eq!(validation::identifies(&update, &stored), is_the_same);
        if let AfterResponse::NotModified(_, parts) = theirs {
            let ours = validation::freshened(&stored, &update, Sample::rules().set_cookie);
            for name in ["cache-control", "content-length", "x", "y", "etag", "last-modified"] {
                prop_assert_eq!(ours.get(name), parts.headers.get(name), "{}", name);
            }
        }
    }

    /// The other one looks at the first line of a field alone and at its bytes: what it takes for the same is
    /// the same for us.
    #[test]
    fn what_selects_for_the_other_selects_for_us(
        vary in proptest::sample::subsequence(vec!["foo", "bar", "accept-encoding", "accept-language"], 0..4),
        stored in selecting_fields(), asked in selecting_fields(),
    ) {
        let response = headers(&[("vary", vary.join(", ")), ("cache-control", "max-age=60".to_owned())]);
        let ours = Selector::of(&stored, &response, &[]).expect("no star").selects(&asked);
        let sample = Sample { request: stored, status: StatusCode::OK, response };
        let theirs = match sample.theirs().before_request(&request(asked), SystemTime::UNIX_EPOCH + NOW) {
            BeforeRequest::Fresh(_) => true,
            BeforeRequest::Stale { matches, .. } => matches,
        };
        prop_assert!(ours || !theirs);
    }

    /// No bytes of an origin or a viewer have the rules panic, and time only makes answers older.
    #[test]
    fn any_exchange_is_judged(
        fields in proptest::collection::vec((proptest::sample::select(&FIELDS[..]), value_bytes()), 0..8),
        status in 100_u16..1000, received in any::<u64>(), later in any::<u64>(),
    ) {
        let mut response = HeaderMap::new();
        for (name, value) in &fields {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                response.append(*name, value);
            }
        }
        let directives = ResponseDirectives::read(&response);
        let received = Duration::from_secs(received);
        let exchange = Exchange {
            method: &Method::GET,
            target: TARGET,
            request: &response,
            status: StatusCode::from_u16(status).expect("a status"),
            response: &response,
            directives: &directives,
            requested: received,
            received,
        };
        let _ = storable(&exchange, &Sample::rules());
        let freshness = Freshness::of(&exchange, &Rules { counts_apparent_age: true, ..Sample::rules() });
        let now = received.saturating_add(Duration::from_secs(later));
        prop_assert!(freshness.age(now) >= freshness.age(received));
        prop_assert!(freshness.ttl(now) <= freshness.ttl(received));
        let asked = RequestDirectives::read(&response);
        let _ = (freshness.serve(now, &asked, &Sample::rules()), freshness.useful_until());
        let _ = precondition::evaluate(&Method::GET, &response, StatusCode::OK, &response, received);
        let _ = precondition::range_holds(&response, &response, received);
    }
}

fn selecting_fields() -> impl Strategy<Value = HeaderMap> {
    let name = proptest::sample::select(vec!["foo", "bar", "accept-encoding"]);
    proptest::collection::btree_map(name, "[a-c, ]{0,3}", 0..3)
        .prop_map(|fields| headers(&fields.into_iter().collect::<Vec<_>>()))
}

/// Bytes, and texts that come near to what the rules read.
fn value_bytes() -> impl Strategy<Value = Vec<u8>> {
    let near =
        "(max-age|s-maxage|no-cache|stale-if-error|public)(=\"?[0-9]{0,21}\"?)?(, ?max-age=[0-9]{1,3})?";
    let date = "(Sun|Mon), [0-3][0-9] (Nov|Feb) (19|20|99)[0-9]{2} [0-2][0-9]:[0-5][0-9]:00 GMT";
    prop_oneof![
        proptest::collection::vec(0x20_u8.., 0..24),
        near.prop_map(String::into_bytes),
        date.prop_map(String::into_bytes),
        "[0-9]{0,22}".prop_map(String::into_bytes),
    ]
}

const FIELDS: [&str; 16] = [
    "cache-control",
    "cdn-cache-control",
    "surrogate-control",
    "expires",
    "date",
    "age",
    "last-modified",
    "etag",
    "vary",
    "set-cookie",
    "if-none-match",
    "if-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "pragma",
];

#[test]
fn a_hit_allocates_nothing() {
    let answer = text(&[
        ("cache-control", "public, max-age=3600, stale-while-revalidate=30"),
        ("etag", "\"v1\""),
        ("last-modified", "Sun, 06 Nov 1994 08:00:00 GMT"),
        ("vary", "Accept-Encoding, Origin"),
    ]);
    let brought = text(&[("accept-encoding", "gzip, br"), ("origin", "https://a.example")]);
    let sample = Sample { request: brought, status: StatusCode::OK, response: answer };
    let freshness = sample.ours().expect("it is stored");
    let ignored = [http::header::ORIGIN];
    let selector = Selector::of(&sample.request, &sample.response, &ignored).expect("it may be selected");
    let rules = Sample::rules();
    let mut request = text(&[
        ("accept-encoding", "gzip, br"),
        ("cache-control", "max-age=600, x=\"y, z\""),
        ("if-none-match", "\"v0\", W/\"v9\""),
        ("if-modified-since", "Sun, 06 Nov 1994 07:00:00 GMT"),
        ("if-range", "\"v1\""),
    ]);
    request.insert(RANGE, HeaderValue::from_static("bytes=0-1023"));
    request.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));

    let before = counting::allocations();
    let is_selected = black_box(selector.selects(&request));
    let verdict =
        black_box(freshness.serve(NOW + Duration::from_secs(5), &RequestDirectives::read(&request), &rules));
    let condition =
        black_box(precondition::evaluate(&Method::GET, &request, StatusCode::OK, &sample.response, NOW));
    let holds = black_box(precondition::range_holds(&request, &sample.response, NOW));
    let range = black_box(ranges::read(&Method::GET, &request).map(|asked| asked.resolve(4_096)));
    let after = counting::allocations();

    assert_eq!((is_selected, verdict, condition, holds), (true, Verdict::Fresh, Precondition::Met, true));
    assert_eq!(range, Some(ranges::Resolved::Part(ranges::Part { first: 0, last: 1023 })));
    assert_eq!(after, before);
}
