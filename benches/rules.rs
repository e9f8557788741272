//! What rules and lists of addresses add to a request.

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ipnet::{IpNet, Ipv4Net};
use sluicegate::domain::network::{Country, Networks, network};
use sluicegate::domain::protection::judge_address;
use sluicegate::domain::rule::condition::{Condition, HostName, Value};
use sluicegate::domain::rule::token::TokenResult;
use sluicegate::domain::rule::{Facts, Rule, Rules, Verdict, Whereabouts};

const PATH: &str = "/vod/film-4711/720p/segment-00042.m4s";

fn rule(name: &str, when: Vec<Condition>, verdict: Verdict) -> Rule {
    Rule { name: name.into(), when, unless: Vec::new(), verdict }
}

/// A rule of each kind, none of which holds for the request.
fn one_of_each() -> Vec<Rule> {
    let deny = || Verdict::Deny(StatusCode::FORBIDDEN);
    let networks =
        Networks::new(["198.51.100.0/24", "2001:db8::/32"].iter().filter_map(|text| network(text)));
    let device = Condition::Header(HeaderName::from_static("x-device"), Value::Matches("tv-*".to_owned()));
    vec![
        rule("path", vec![Condition::Path("/live/*!/posters/*".to_owned())], deny()),
        rule("extension", vec![Condition::Extension(vec!["key".to_owned(), "m3u8".to_owned()])], deny()),
        rule(
            "host",
            vec![Condition::Host(HostName::parse("*.internal.example").into_iter().collect())],
            deny(),
        ),
        rule("method", vec![Condition::Method(vec![Method::HEAD])], deny()),
        rule("header", vec![device], deny()),
        rule("client", vec![Condition::Client(networks, String::new())], deny()),
        rule("country", vec![Condition::Country(vec![Country::parse("KP")])], deny()),
        rule("asn", vec![Condition::Asn(vec![Some(64500)])], deny()),
    ]
}

fn rules(criterion: &mut Criterion) {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "edge.example"),
        ("user-agent", "Mozilla/5.0"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let client: IpAddr = "203.0.113.7".parse().expect("an address");
    let facts = Facts {
        path: PATH,
        host: "edge.example",
        method: &Method::GET,
        headers: &headers,
        client,
        whereabouts: Whereabouts { country: Country::parse("DE"), asn: Some(3320) },
        token: TokenResult::Valid,
    };
    let none = Rules::default();
    criterion.bench_function("rules: none", |bencher| bencher.iter(|| none.decide(black_box(&facts))));
    let eight = Rules::new(one_of_each());
    assert!(eight.decide(&facts).is_empty());
    criterion.bench_function("rules: one of each kind, none holds", |bencher| {
        bencher.iter(|| eight.decide(black_box(&facts)));
    });
    for one in one_of_each() {
        let name = format!("rules: {}", one.name);
        let alone = Rules::new(vec![one]);
        criterion.bench_function(&name, |bencher| bencher.iter(|| alone.decide(black_box(&facts))));
    }
    let hundred = |n: usize| rule("r", vec![Condition::Path(format!("/other-{n}/*"))], Verdict::Allow);
    let hundred = Rules::new((0..100).map(hundred).collect());
    criterion.bench_function("rules: a hundred paths, none holds", |bencher| {
        bencher.iter(|| hundred.decide(black_box(&facts)));
    });
    let many = (0_u32..100_000).map(|n| Ipv4Net::new((0x0B00_0000 + (n << 9)).into(), 24).map(IpNet::V4));
    let many = Networks::new(many.filter_map(Result::ok));
    assert_eq!(many.ranges(), 100_000);
    criterion.bench_function("addresses: 100 000 networks", |bencher| {
        bencher.iter(|| judge_address(black_box(client), None, Some(&many)));
    });
}

criterion_group!(benches, rules);
criterion_main!(benches);
