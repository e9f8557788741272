//! Admitting a segment and looking through rules allocate nothing: both happen on every request.

mod counting;

use std::hint::black_box;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sluicegate::domain::network::{Country, Networks, network};
use sluicegate::domain::protection::judge_address;
use sluicegate::domain::rule::condition::{Condition, HostName, Value};
use sluicegate::domain::rule::token::TokenResult;
use sluicegate::domain::rule::{Facts, Rule, Rules, Verdict, Whereabouts};
use sluicegate::domain::session::{At, Carry, Life, Sessions, Settings};
use sluicegate::domain::token::grant::{Clients, Grant, Scope};
use sluicegate::domain::token::key::Secret;
use sluicegate::domain::token::keys::Keys;
use sluicegate::domain::uri::path::normalise;

#[test]
fn admitting_a_segment_does_not_allocate() {
    let key = Secret::from_text("key").expect("it is not empty");
    let carry = Carry { id: true, data: true, ip: true, acl: true };
    let sessions =
        Sessions::new("example", &Keys::of([("key", key)]), Settings { carry, ..Settings::default() });
    let grant = Grant {
        scope: Scope::Acl("/vod/*!/live/*".to_owned()),
        expires: 0,
        clients: Clients::Address("203.0.113.7".to_owned()),
        session_id: Some("6547d31b".to_owned()),
        payload: Some("plan=gold".to_owned()),
        nonce: None,
        key_name: "key".into(),
    };
    let now = Duration::from_secs(1_700_000_000);
    let session = sessions.mint(&grant, Life::Fixed { media_duration: None }, b"", now);
    let component = session.path_component();
    let query = session.query_pair();
    let at = At { path: "/vod/a/720p/42.m4s", client: "203.0.113.7".parse().expect("an address"), salt: b"" };
    for text in [&component, &query] {
        let value = text.strip_prefix("hdntl=").expect("it begins with its name");
        let before = counting::allocations();
        let admitted = black_box(sessions.admit(value, &at, now));
        let is_normal = black_box(normalise(at.path)).is_ok();
        let after = counting::allocations();
        assert!(admitted.is_ok_and(|admitted| admitted.id() == Some("6547d31b")) && is_normal);
        assert_eq!(after, before, "{text}");
    }
}

/// A condition of each kind with the answer that the request below gives to it.
fn conditions(holds: bool) -> Vec<Condition> {
    let pick = |yes: &str, no: &str| if holds { yes.to_owned() } else { no.to_owned() };
    let networks = Networks::new(network(&pick("203.0.113.0/24", "198.51.100.0/24")));
    let device = HeaderName::from_static("x-device");
    vec![
        Condition::Path(pick("/live/*!/vod/*/720p/*", "/live/*!/posters/*")),
        Condition::Extension(vec!["key".to_owned(), pick("m4s", "m3u8")]),
        Condition::Host(HostName::parse(&pick("*.example", "*.internal")).into_iter().collect()),
        Condition::Method(vec![if holds { Method::GET } else { Method::HEAD }]),
        Condition::Header(device, Value::Matches(pick("tv-*", "phone-*"))),
        Condition::Client(networks, String::new()),
        Condition::Country(vec![Country::parse(&pick("DE", "KP"))]),
        Condition::Asn(vec![Some(if holds { 3320 } else { 64500 })]),
    ]
}

#[test]
fn matching_rules_does_not_allocate() {
    let headers =
        HeaderMap::from_iter([(HeaderName::from_static("x-device"), HeaderValue::from_static("tv-7"))]);
    let facts = Facts {
        path: "/vod/film-4711/720p/segment-00042.m4s",
        host: "EDGE.example",
        method: &Method::GET,
        headers: &headers,
        client: "203.0.113.7".parse().expect("an address"),
        whereabouts: Whereabouts { country: Country::parse("DE"), asn: Some(3320) },
        token: TokenResult::Valid,
    };
    let rule = |when: Vec<Condition>, verdict| Rule { name: "r".into(), when, unless: Vec::new(), verdict };
    let none_holds = conditions(false).into_iter().map(|one| rule(vec![one], Verdict::Allow));
    let each_holds = conditions(true).into_iter().map(|one| rule(vec![one], Verdict::Continue));
    let all_hold = rule(conditions(true), Verdict::Allow);
    let rules = Rules::new(none_holds.chain(each_holds).chain([all_hold]).collect());
    let networks = Networks::new((0..250).filter_map(|n| network(&format!("198.51.{n}.0/24"))));

    let before = counting::allocations();
    let hits = black_box(rules.decide(black_box(&facts)));
    let decider = black_box(rules.decider(&hits));
    let judged = black_box(judge_address(facts.client, None, Some(&networks)));
    let after = counting::allocations();

    assert_eq!(hits.iter().collect::<Vec<_>>(), (8..=16).collect::<Vec<_>>());
    assert!(decider.is_some_and(|rule| rule.verdict == Verdict::Allow));
    assert!(judged.is_ok());
    assert_eq!(after, before);
}
