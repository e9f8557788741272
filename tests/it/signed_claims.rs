//! A viewer comes with a JWT or a Common Access Token and goes on with our session token.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sluicegate::domain::token::key::Secret;
use sluicegate::domain::token::signature::{Algorithm, VerificationKey};
use sluicegate::domain::token::{cat, jwt};

use crate::support::logged::LoggedEdge;
use crate::support::player::Player;
use crate::support::{START, TestEdge, TestOrigin, get, mmdb, request, stage};

pub const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const MASTER: &str = "/v/master.m3u8";

fn access(dialect: &str, more: &str) -> String {
    format!("access = {{ dialect = \"{dialect}\", key = {{ hex = \"{SECRET}\" }}{more} }}")
}

fn mac(data: &[u8]) -> Vec<u8> {
    let secret = Secret::from_hex(SECRET).expect("a key");
    let key = VerificationKey::hmac(Algorithm::Hs256, &secret).expect("a key");
    key.mac(data).expect("a secret signs")
}

fn claims(claims: &Value) -> Map<String, Value> {
    claims.as_object().expect("an object").clone()
}

pub fn jwt(named: &Value) -> String {
    let input = jwt::sign::signing_input(Algorithm::Hs256, None, &claims(named));
    jwt::sign::token(&input, &mac(input.as_bytes()))
}

/// A token of RFC 9246 for whatever lies under `/v/`, at any host.
fn package(expires: u64) -> String {
    jwt(&json!({ "exp": expires, "cdniuc": "regex:http://[^/]*/v/.*" }))
}

fn cat(named: &Value) -> String {
    cat::sign::mint(Algorithm::Hs256, None, &claims(named), |data| Some(mac(data))).expect("a token")
}

fn cat_until(expires: u64) -> String {
    cat(&json!({ "exp": expires, "catu": { "path": { "prefix-match": "/v/" } }, "catm": ["GET", "HEAD"] }))
}

/// How a viewer enters: the target, and a header field.
type Entry = (String, Option<(&'static str, String)>);

fn jwt_entries(expires: u64) -> Vec<Entry> {
    let token = package(expires);
    vec![
        (format!("{MASTER}?URISigningPackage={token}"), None),
        (format!("{MASTER}?a=1&URISigningPackage={token}&b=2"), None),
        (format!("{MASTER};URISigningPackage={token}"), None),
        (format!("/URISigningPackage={token}{MASTER}"), None),
        (MASTER.to_owned(), Some(("cookie", format!("URISigningPackage={token}")))),
    ]
}

fn cat_entries(expires: u64) -> Vec<Entry> {
    let token = cat_until(expires);
    vec![
        (MASTER.to_owned(), Some(("cta-common-access-token", token.clone()))),
        (MASTER.to_owned(), Some(("cookie", format!("CTA-Common-Access-Token={token}")))),
        (format!("{MASTER}?CAT={token}"), None),
    ]
}

#[tokio::test]
async fn a_viewer_with_a_jwt_goes_on_with_a_session_in_every_carrier() {
    enter_in_every_carrier("jwt", jwt_entries).await;
}

#[tokio::test]
async fn a_viewer_with_a_cat_goes_on_with_a_session_in_every_carrier() {
    enter_in_every_carrier("cat", cat_entries).await;
}

async fn enter_in_every_carrier(dialect: &str, entries: fn(u64) -> Vec<Entry>) {
    for carrier in ["path", "query", "cookie"] {
        for (target, field) in entries(START + 10) {
            let origin = stage::origin().await;
            let session = format!("session = {{ carrier = \"{carrier}\" }}");
            let edge = TestEdge::start(&origin, &format!("{}\n{session}", access(dialect, ""))).await;
            let fields: Vec<(&str, &str)> =
                field.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let entry = request(edge.address, "GET", &target, &fields).await;
            assert_eq!(entry.status, 200, "{carrier} {target}: {:?}", entry.reason());
            let mut player = Player::at(edge.address);
            match &field {
                Some(("cookie", pair)) => {
                    let (name, value) = pair.split_once('=').expect("a pair");
                    player.cookies.insert(name.to_owned(), value.to_owned());
                }
                Some((name, value)) => player.fields.push(((*name).to_owned(), value.clone())),
                None => {}
            }
            let replies = player.play(&target).await;
            assert!(replies.len() > 8, "{carrier} {target}: {}", replies.len());
            for (target, reply) in &replies {
                assert_eq!(reply.status, 200, "{carrier}: {target} {:?}", reply.reason());
            }
            edge.clock.advance(Duration::from_secs(20));
            let (last, _) = replies.last().expect("a segment");
            let again = player.get(last).await;
            assert_eq!(again.status, 200, "{carrier}: the session outlives the token: {last}");
            let late = request(edge.address, "GET", &target, &fields).await;
            assert_eq!((late.status, late.reason().as_deref()), (403, Some("expired")), "{carrier}");
            assert_token_stayed_here(&origin);
        }
    }
}

fn assert_token_stayed_here(origin: &TestOrigin) {
    assert!(!origin.asked().is_empty());
    for asked in origin.asked() {
        for part in ["URISigningPackage", "eyJ", "CAT=", "ommon-access-token", "ommon-Access-Token", "hdntl"]
        {
            assert!(!asked.head.contains(part), "{part} reached the origin:\n{}", asked.head);
        }
    }
}

#[tokio::test]
async fn what_reaches_the_origin_and_the_key_is_the_rest_of_the_query() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, &access("jwt", "")).await;
    for (first, second) in [(START + 10, START + 20), (START + 30, START + 40)] {
        for expires in [first, second] {
            let target = format!("/v/360p/seg0.m4s?a=1&URISigningPackage={}&b=2", package(expires));
            assert_eq!(get(edge.address, &target).await.status, 200);
        }
    }
    let asked: Vec<_> = origin.asked().into_iter().map(|asked| asked.target().to_owned()).collect();
    assert_eq!(asked, ["/v/360p/seg0.m4s?a=1&b=2"], "four tokens, one object");
}

#[tokio::test]
async fn a_bad_jwt_is_refused_with_its_reason() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, &access("jwt", "")).await;
    let host = edge.address;
    let for_uri = jwt(
        &json!({ "exp": START + 10, "cdniuc": jwt::container::hash_of(&format!("http://{host}{MASTER}")) }),
    );
    let named = |claims: Value| jwt(&claims);
    let good = package(START + 10);
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let other = format!("{signed}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    for (target, token, status, reason) in [
        (MASTER, for_uri.clone(), 200, None),
        ("/v/360p/level.m3u8", for_uri, 403, Some("url_mismatch")),
        ("/w/master.m3u8", package(START + 10), 403, Some("url_mismatch")),
        (MASTER, package(START), 403, Some("expired")),
        (
            MASTER,
            named(json!({ "exp": START + 10, "nbf": START + 1, "cdniuc": "regex:.*" })),
            403,
            Some("not_yet_valid"),
        ),
        (
            MASTER,
            named(json!({ "exp": START + 10, "iss": "nobody", "cdniuc": "regex:.*" })),
            403,
            Some("bad_signature"),
        ),
        (
            MASTER,
            named(json!({ "exp": START + 10, "jti": "once", "cdniuc": "regex:.*" })),
            403,
            Some("malformed"),
        ),
        (
            MASTER,
            named(json!({ "exp": START + 10, "cdniip": "127.0.0.1", "cdniuc": "regex:.*" })),
            403,
            Some("malformed"),
        ),
        (MASTER, other, 403, Some("bad_signature")),
        (MASTER, "x.y.z".to_owned(), 403, Some("malformed")),
    ] {
        let reply = get(edge.address, &format!("{target}?URISigningPackage={token}")).await;
        assert_eq!((reply.status, reply.reason().as_deref()), (status, reason), "{target} {token}");
    }
    let twice = format!("{MASTER};URISigningPackage={0}?URISigningPackage={0}", package(START + 10));
    assert_eq!(get(edge.address, &twice).await.status, 200, "two places, one value");
    let twice = format!("/URISigningPackage={0}{MASTER};URISigningPackage={0}", package(START + 10));
    let reply = get(edge.address, &twice).await;
    assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("duplicate_token")));
    assert_eq!(edge.denials("url_mismatch").await, 2);
}

#[tokio::test]
async fn a_bad_cat_is_refused_with_its_reason() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, &access("cat", "")).await;
    for (target, token, status, reason) in [
        (MASTER, cat_until(START + 10), 200, None),
        ("/w/master.m3u8", cat_until(START + 10), 403, Some("acl_mismatch")),
        (MASTER, cat_until(START), 403, Some("expired")),
        (MASTER, cat(&json!({ "exp": START + 10, "catm": ["HEAD"] })), 403, Some("method")),
        (MASTER, cat(&json!({ "exp": START + 10, "catnip": ["192.0.2.0/24"] })), 403, Some("ip_mismatch")),
        (MASTER, cat(&json!({ "exp": START + 10, "catnip": ["127.0.0.0/8"] })), 200, None),
        (MASTER, cat(&json!({ "exp": START + 10, "catgeoiso3166": ["DE"] })), 403, Some("geo_blocked")),
        (MASTER, cat(&json!({ "exp": START + 10, "catpor": [50] })), 403, Some("malformed")),
        (MASTER, cat(&json!({ "exp": START + 10, "catreplay": 1 })), 403, Some("malformed")),
        (
            MASTER,
            cat(&json!({ "exp": START + 10, "cath": { "x-plan": { "exact-match": "gold" } } })),
            403,
            Some("acl_mismatch"),
        ),
        (MASTER, "2D3R".to_owned(), 403, Some("malformed")),
    ] {
        let reply = request(edge.address, "GET", target, &[("CTA-Common-Access-Token", &token)]).await;
        assert_eq!((reply.status, reply.reason().as_deref()), (status, reason), "{target} {token}");
    }
}

/// RFC 9246's example keys as a file; sessions then have a key of their own.
#[tokio::test]
async fn public_keys_come_from_a_jwk_set_and_sessions_from_a_key_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let file = folder.path().join("keys.json");
    std::fs::write(&file, set).expect("a file");
    let jwks =
        format!("access = {{ dialect = \"jwt\", jwt = {{ jwks = [{{ file = \"{}\" }}] }} }}", file.display());
    let origin = stage::origin().await;
    let session = format!("session = {{ key = {{ hex = \"{SECRET}\" }} }}");
    let edge = TestEdge::start(&origin, &format!("{jwks}\n{session}")).await;
    let forged = package(START + 10);
    let reply = get(edge.address, &format!("{MASTER}?URISigningPackage={forged}")).await;
    assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("bad_signature")));
    let fault = |access: &str| {
        let text = format!(
            "[[property]]\nname = \"p\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://127.0.0.1:1\"] }}\n{access}\n"
        );
        let metrics = sluicegate::telemetry::metrics::Metrics::new();
        let judged = sluicegate::config::parse(&text, "t.toml", Path::new("."), &metrics, Duration::ZERO);
        judged.expect_err("a fault").lines().join("\n")
    };
    assert!(fault(&jwks).contains("[property.session]"), "{}", fault(&jwks));
    std::fs::write(&file, "{}").expect("a file");
    assert!(fault(&jwks).contains("no JSON object with a list of keys"), "{}", fault(&jwks));
    let short = fault("access = { dialect = \"jwt\", key = { hex = \"abcd\" } }");
    assert!(short.contains("HS256 asks for 32 or more") && !short.contains("abcd"), "{short}");
}

#[tokio::test]
async fn a_token_with_an_id_is_good_once_where_uses_are_counted() {
    let origin = stage::origin().await;
    let limits = "limits = { one_time = true, one_time_retry = \"0s\" }";
    let edge = TestEdge::start(&origin, &format!("{}\n{limits}", access("jwt", ""))).await;
    let once = |id: &str, more: u64| {
        let token = jwt(&json!({ "exp": START + 60 + more, "jti": id, "cdniuc": "regex:http://[^/]*/v/.*" }));
        format!("{MASTER}?URISigningPackage={token}")
    };
    let entry = get(edge.address, &once("a", 0)).await;
    assert_eq!(entry.status, 200, "{:?}", entry.reason());
    edge.clock.advance(Duration::from_secs(1));
    for again in [once("a", 0), once("a", 5)] {
        let reply = get(edge.address, &again).await;
        assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("replayed")), "the id alone counts");
    }
    assert_eq!(get(edge.address, &once("b", 0)).await.status, 200, "another id is another token");
    let child = format!("/v/{}", entry.uris()[0]);
    assert_eq!(get(edge.address, &child).await.status, 200, "the session goes on");

    let edge = TestEdge::start(&origin, &format!("{}\n{limits}", access("cat", ""))).await;
    let ask = async |claims: Value| {
        let token = cat(&claims);
        let reply = request(edge.address, "GET", MASTER, &[("CTA-Common-Access-Token", &token)]).await;
        edge.clock.advance(Duration::from_secs(1));
        (reply.status, reply.reason())
    };
    let replayed = (403, Some("replayed".to_owned()));
    for claims in [
        json!({ "exp": START + 60, "catreplay": 1, "cti": "0b71" }),
        json!({ "exp": START + 60, "catreplay": 1 }),
        json!({ "exp": START + 61, "catreplay": 1 }),
    ] {
        assert_eq!(ask(claims.clone()).await, (200, None), "{claims}");
        assert_eq!(ask(claims.clone()).await, replayed, "{claims}");
    }
    let later = json!({ "exp": START + 70, "catreplay": 1, "cti": "0b71" });
    assert_eq!(ask(later).await, replayed, "the id alone counts");
}

#[tokio::test]
async fn a_cat_for_countries_and_systems_is_judged_by_the_databases() {
    let folder = tempfile::tempdir().expect("a folder");
    let (country, asn) = (folder.path().join("country.mmdb"), folder.path().join("asn.mmdb"));
    std::fs::write(&country, mmdb::countries(&[("127.0.0.0/8", "DE")], START)).expect("written");
    std::fs::write(&asn, mmdb::networks(&[("127.0.0.0/8", 64500)], START)).expect("written");
    let origin = stage::origin().await;
    let databases = format!("[geo]\ncountry = '{}'\nasn = '{}'\n", country.display(), asn.display());
    let property = |geo: &str| {
        format!(
            "{geo}[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\n{}\n",
            origin.address,
            access("cat", "")
        )
    };
    let knows = TestEdge::with_config(&property(&databases)).await;
    let ignorant = TestEdge::with_config(&property("")).await;
    for (claims, status, reason) in [
        (json!({ "exp": START + 10, "catgeoiso3166": ["FR", "DE"] }), 200, "geo_blocked"),
        (json!({ "exp": START + 10, "catgeoiso3166": ["FR"] }), 403, "geo_blocked"),
        (json!({ "exp": START + 10, "catnip": [64500] }), 200, "ip_mismatch"),
        (json!({ "exp": START + 10, "catnip": [64501, "10.0.0.0/8"] }), 403, "ip_mismatch"),
    ] {
        let token = cat(&claims);
        let ask = async |edge: &TestEdge| {
            request(edge.address, "GET", MASTER, &[("CTA-Common-Access-Token", &token)]).await
        };
        let reply = ask(&knows).await;
        let expected = (status, (status != 200).then(|| reason.to_owned()));
        assert_eq!((reply.status, reply.reason()), expected, "{claims}");
        let reply = ask(&ignorant).await;
        assert_eq!(
            (reply.status, reply.reason().as_deref()),
            (403, Some(reason)),
            "unknown is refused: {claims}"
        );
    }
}

/// Good, spoilt, doubled, disguised, escaped, and in places where none is looked for.
#[tokio::test]
async fn no_token_of_claims_reaches_origin_log_metrics_or_answers() {
    for (dialect, format) in [("jwt", "json"), ("jwt", "text"), ("cat", "json"), ("cat", "text")] {
        let (token, name) = match dialect {
            "jwt" => (package(START + 10), "URISigningPackage"),
            _ => (cat_until(START + 10), "CAT"),
        };
        let signature = token[token.len() - 24..].to_owned();
        let (spoilt, escaped) = (token.replacen('.', ".A", 1), token.replace('.', "%2E"));
        let mut targets: Vec<String> = [
            format!("?{name}={token}"),
            format!("?{name}=x{token}"),
            format!("?{name}={spoilt}"),
            format!("?{name}={escaped}&a=1"),
            format!("?{name}={token}&{name}=x"),
            format!("?%{:02x}{}={token}", name.as_bytes()[0], &name[1..]),
            format!("?a={name}%3D{token}"),
            format!("?url=http%3A%2F%2Fx%2F%3F{name}%3D{token}"),
        ]
        .map(|query| format!("{MASTER}{query}"))
        .to_vec();
        if dialect == "jwt" {
            targets.extend([
                format!("{MASTER};{name}={token}"),
                format!("/{name}={token}{MASTER}"),
                format!("/v/{name}={token};x=1/master.m3u8"),
                format!("/v;{name}={token}/;{name}={token}"),
                format!("/{name}={token}/v/%zz"),
                format!("/{name}={token}/v/..;/x"),
                format!("/%55{}={token}{MASTER}", &name[1..]),
            ]);
        }
        let origin = stage::origin().await;
        let edge = LoggedEdge::start(&origin, format, &access(dialect, ""));
        let mut replies = Vec::new();
        for target in &targets {
            replies.push(get(edge.address, target).await);
        }
        let cookie = format!("{name}={token}; CTA-Common-Access-Token={token}");
        for (field, value) in
            [("cookie", cookie.as_str()), ("CTA-Common-Access-Token", &token), ("referer", &targets[0])]
        {
            replies.push(request(edge.address, "GET", MASTER, &[(field, value)]).await);
        }
        let admitted = replies.iter().filter(|reply| reply.status == 200).count();
        assert!(admitted >= 3 && admitted < replies.len(), "some are good, some are not: {admitted}");
        let metrics = get(edge.admin, "/metrics").await.text();
        let log = edge.finish().await;
        assert_eq!(log.lines().count(), replies.len(), "{log}");
        assert!(!log.contains(&signature), "{dialect}, {format}: {signature} in\n{log}");
        assert!(!metrics.contains(&signature), "{metrics}");
        for asked in origin.asked() {
            assert!(!asked.head.contains(&signature), "{}", asked.head);
        }
        for reply in &replies {
            let answer = format!("{} {}", reply.head, reply.text());
            assert!(!answer.contains(&signature), "an answer shows it:\n{answer}");
        }
    }
}
