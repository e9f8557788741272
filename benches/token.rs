//! Verifying and minting tokens: what every request pays.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sluicegate::domain::session::{At, Carry, Life, Sessions, Settings as SessionSettings};
use sluicegate::domain::token::acl;
use sluicegate::domain::token::edgeauth::sign::{MintRequest, Target, sign};
use sluicegate::domain::token::edgeauth::verify::Verifier;
use sluicegate::domain::token::edgeauth::{Delimiters, Settings};
use sluicegate::domain::token::key::{Algorithm, Secret};
use sluicegate::domain::token::keys::Keys;
use sluicegate::domain::token::presented::Presented;
use sluicegate::domain::uri::path::normalise;

const NOW: Duration = Duration::from_secs(1_700_000_000);
const PATH: &str = "/vod/film-4711/720p/segment-00042.m4s";

fn tokens(criterion: &mut Criterion) {
    let key = Secret::from_hex("eee7e9157f81b2f6d471bf2c").expect("hex");
    let client = "203.0.113.7".parse().expect("an address");
    let request = MintRequest {
        key: &key,
        algorithm: Algorithm::Sha256,
        salt: None,
        start: None,
        end: Some(1_700_003_600),
        window_seconds: None,
        target: Target::Acl(vec!["/vod/*".to_owned()]),
        ip: None,
        session_id: Some("6547d31b-2f1c-4d52-9d1e-0c1c2a3b4c5d"),
        payload: Some("plan=gold"),
        escape: None,
        delimiters: Delimiters::default(),
        now: NOW,
    };
    let token = sign(&request).expect("a token");
    let verifier = Verifier::new(Settings::with_key(key.clone()));
    let presented = Presented::for_path(&token, PATH, client);
    let grant = verifier.verify(&presented, NOW).expect("a grant");
    criterion.bench_function("access token: verify", |bencher| {
        bencher.iter(|| verifier.verify(black_box(&presented), NOW));
    });
    criterion.bench_function("access token: sign", |bencher| bencher.iter(|| sign(black_box(&request))));

    let carry = Carry { acl: true, ..Carry::default() };
    let settings = SessionSettings { carry, ..SessionSettings::default() };
    let sessions = Sessions::new("example", &Keys::of([("key", key.clone())]), settings);
    let life = Life::Fixed { media_duration: None };
    criterion.bench_function("session: mint", |bencher| {
        bencher.iter(|| sessions.mint(black_box(&grant), life, b"", NOW));
    });
    let session = sessions.mint(&grant, life, b"", NOW);
    let at = At { path: PATH, client, salt: b"" };
    let component = session.path_component();
    let value = &component["hdntl=".len()..];
    assert!(sessions.admit(value, &at, NOW).is_ok());
    criterion.bench_function("session: admit a segment, path", |bencher| {
        bencher.iter(|| sessions.admit(black_box(value), &at, NOW));
    });
    let query = session.query_pair();
    let value = &query["hdntl=".len()..];
    assert!(sessions.admit(value, &at, NOW).is_ok());
    criterion.bench_function("session: admit a segment, query", |bencher| {
        bencher.iter(|| sessions.admit(black_box(value), &at, NOW));
    });
    criterion.bench_function("session: verify with texts", |bencher| {
        bencher.iter(|| sessions.verify(black_box(value), &at, NOW));
    });
    criterion.bench_function("session: refuse a wrong hmac", |bencher| {
        let wrong = format!("{}0", &value[..value.len() - 1]);
        bencher.iter(|| sessions.admit(black_box(&wrong), &at, NOW));
    });
    criterion.bench_function("path: already normal", |bencher| {
        bencher.iter(|| normalise(black_box(PATH)).is_ok());
    });
    criterion.bench_function("acl: one pattern", |bencher| {
        bencher.iter(|| acl::covers(black_box("/vod/*"), PATH));
    });
}

criterion_group!(benches, tokens);
criterion_main!(benches);
