use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coset::cbor::value::Value as Cbor;
use coset::{CborSerializable, CoseMac0Builder, Header, HeaderBuilder, TaggedCborSerializable, iana};
use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::verify::Verifier;
use super::{Limits, Settings, sign};
use crate::domain::network::Country;
use crate::domain::token::base64url;
use crate::domain::token::grant::{Clients, Grant, Scope, UnixTime};
use crate::domain::token::key::Secret;
use crate::domain::token::keys::Keys;
use crate::domain::token::presented::{Head, Presented};
use crate::domain::token::reason::Reason;
use crate::domain::token::signature::{Algorithm, IssuerKey, VerificationKey};

const NOW: UnixTime = Duration::from_secs(1_700_000_000);

/// The key of RFC 8392, appendix A.2.2, which node-cat's tests use, too.
const RFC_8392_KEY: &str = "403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388";
/// RFC 8392, appendix A.2.3.
const RFC_8392_X: &str = "143329cce7868e416927599cf65a34f3ce2ffda55a7eca69ed8919a394d42f0f";
const RFC_8392_Y: &str = "60f7f1a780d8a783bfb7a2dd6b2796e8128dbbcef9d3d168db9529971a36e7b9";

fn settings() -> Settings {
    Settings {
        audiences: vec!["one".to_owned(), "coap://light.example.com".to_owned()],
        expiry_required: true,
        expiry_skew: Duration::ZERO,
        start_skew: Duration::ZERO,
        expiry_ahead_max: None,
        uses_counted: false,
        claims_ignored: Vec::new(),
        limits: Limits::default(),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    Secret::from_hex(hex).unwrap().expose().to_vec()
}

fn hmac() -> VerificationKey {
    VerificationKey::hmac(Algorithm::Hs256, &Secret::from_hex(RFC_8392_KEY).unwrap()).unwrap()
}

fn with(settings: Settings, id: Option<&str>, key: VerificationKey) -> Verifier {
    let issuers =
        ["coap://as.example.com", "coap://jonas.example.com", "eyevinn"].map(str::to_owned).to_vec();
    let key = IssuerKey { id: id.map(str::to_owned), issuers, key };
    Verifier::new(settings, Keys::of([("test", Arc::new(key))]))
}

fn verifier() -> Verifier {
    with(settings(), Some("k"), hmac())
}

fn ask(
    verifier: &Verifier,
    url: &str,
    headers: &HeaderMap,
    token: &str,
    now: UnixTime,
) -> Result<Grant, Reason> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, target) = rest.split_at(rest.find('/').unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let client: IpAddr = [203, 0, 113, 7].into();
    let head = Head { method: "GET", scheme, authority, target, headers };
    let presented = Presented { query, head, ..Presented::for_path(token, path, client) };
    let verdict = verifier.verify(&presented, now);
    let explained = verifier.explain(&presented, now);
    assert_eq!(explained.reason, verdict.as_ref().err().map(|reason| reason.as_str()), "{explained:?}");
    verdict
}

fn minted(claims: &Value) -> String {
    sign::mint(Algorithm::Hs256, Some("k"), claims.as_object().unwrap(), |data| hmac().mac(data)).unwrap()
}

fn judged(claims: &Value) -> Result<Grant, Reason> {
    ask(&verifier(), "https://cdn.example/v/a.b.m3u8?x=1", &HeaderMap::new(), &minted(claims), NOW)
}

/// A good token's claims, and one more.
fn with_claim(name: &str, value: impl Into<Value>) -> Value {
    json!({ "exp": 1_700_000_100, name: value.into() })
}

/// A token over these claims, whatever they are.
fn over(claims: Vec<u8>, protected: Header, unprotected: Header) -> String {
    let mac = CoseMac0Builder::new()
        .protected(protected)
        .unprotected(unprotected)
        .payload(claims)
        .create_tag(&[], |data| hmac().mac(data).unwrap())
        .build();
    base64url::encode(mac.to_tagged_vec().unwrap())
}

fn hs256() -> Header {
    HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_256).build()
}

fn over_claims(claims: Vec<(Cbor, Cbor)>) -> Result<Grant, Reason> {
    let token = over(Cbor::Map(claims).to_vec().unwrap(), hs256(), Header::default());
    ask(&verifier(), "https://cdn.example/v/a.m3u8", &HeaderMap::new(), &token, NOW)
}

/// RFC 8392, appendix A.3: "Example Signed CWT".
#[test]
fn the_signed_example_of_rfc_8392_is_verified() {
    let token = base64url::encode(bytes(
        "d28443a10126a104524173796d6d657472696345434453413235365850a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b7158405427c1ff28d23fbad1f29c4c7c6a555e601d6fa29f9179bc3d7438bacaca5acd08c8d4d4f96131680c429a01f85951ecee743a52b9b63632c57209120e1c9e30",
    ));
    let key = || VerificationKey::p256(Algorithm::Es256, &bytes(RFC_8392_X), &bytes(RFC_8392_Y)).unwrap();
    let verifier = with(settings(), Some("AsymmetricECDSA256"), key());
    let asked = |now| ask(&verifier, "https://a/v", &HeaderMap::new(), &token, UnixTime::from_secs(now));
    let grant = asked(1_444_000_000).unwrap();
    assert_eq!((grant.expires, grant.session_id.as_deref()), (1_444_064_944, Some("erikw")));
    assert_eq!(grant.scope, Scope::Acl("/*".to_owned()));
    assert_eq!(asked(1_444_064_944), Err(Reason::Expired));
    assert_eq!(asked(1_443_944_943), Err(Reason::NotYetValid));
    let other = with(settings(), Some("other"), key());
    let unknown = ask(&other, "https://a/v", &HeaderMap::new(), &token, UnixTime::from_secs(1_444_000_000));
    assert_eq!(unknown, Err(Reason::BadSignature), "no key has its kid");
}

/// RFC 8392, appendix A.4: the example with a MAC, whose MAC is HS256/64: eight bytes are too few.
#[test]
fn the_example_of_rfc_8392_with_a_truncated_mac_is_refused() {
    let token = base64url::encode(bytes(
        "d83dd18443a10104a1044c53796d6d65747269633235365850a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b7148093101ef6d789200",
    ));
    let verifier = with(settings(), None, hmac());
    let now = UnixTime::from_secs(1_444_000_000);
    assert_eq!(ask(&verifier, "https://a/v", &HeaderMap::new(), &token, now), Err(Reason::BadSignature));
}

/// RFC 9052's working group's examples, mac0-tests/HMac-01: the MAC holds; its content is no map of claims.
#[test]
fn the_mac0_example_of_the_cose_examples_is_verified() {
    let token = base64url::encode(bytes(
        "d18443a10105a054546869732069732074686520636f6e74656e742e5820a1a848d3471f9d61ee49018d244c824772f223ad4f935293f1789fc3a08d8c58",
    ));
    let secret =
        Secret::from_hex("849b57219dae48de646d07dbb533566e976686457c1491be3a76dcea6c427188").unwrap();
    let verifier = with(settings(), None, VerificationKey::hmac(Algorithm::Hs256, &secret).unwrap());
    let explained = verifier.explain(&Presented::for_path(&token, "/v", [192, 0, 2, 1].into()), NOW);
    assert_eq!((explained.checks[0].check, explained.checks[0].outcome), ("signature", "ok"));
    assert_eq!((explained.checks[1].check, explained.checks[1].outcome), ("claims", "malformed"));
    let signed = "84644d41433043a101054054546869732069732074686520636f6e74656e742e";
    assert_eq!(explained.string_to_sign.as_deref(), Some(signed), "the example's ToMac_hex");
}

/// Tokens that Eyevinn's node-cat publishes in its tests (`src/index.test.ts`), with RFC 8392's key.
#[test]
fn the_published_tokens_of_node_cat_are_verified() {
    const WITH_TAG: &str = "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2WCijAXgYY29hcDovL2pvbmFzLmV4YW1wbGUuY29tBhpn1JipBRpn1JipWCCX4nQb8SYQoa0SFLxE2Rh35DdTjoA9TzOSy1IP9O1BGQ";
    const WRONG_ISSUER: &str = "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2VKMBZWpvbmFzBhpn12U-BRpn12U-WCDf1xHvhcnvyXUxd-DP4RAbayc8nC2PLJPPPbF3S00ruw";
    const NOT_EXPIRED: &str = "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2U6MEGnUCOrsGGmfXRKwFGmfXRKxYIOM6yRx830uqAamWFv1amFYRa5vaV2z5lIQTqFEvFh8z";
    const EXPIRED: &str = "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2U6MEGmfXP_YGGmfXQAsFGmfXQAtYINTT_KlOyhaV6NaSxFXkqJWfBagSkPkem10dysoA-C0w";
    const AUDIENCE: &str = "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2V6MDgmNvbmVjdHdvBhpn12R8BRpn12R8WCAdnSbUN4KbIvaHLn-q4f4YRpfq6ERYotByjbIyZ-EkfQ";
    let lenient = with(Settings { expiry_required: false, ..settings() }, Some("akamai_key_hs256"), hmac());
    let asked = |token| {
        let now = UnixTime::from_secs(1_742_200_000);
        ask(&lenient, "https://a/v", &HeaderMap::new(), token, now).map(|grant| grant.expires)
    };
    assert_eq!(asked(WITH_TAG), Ok(u64::MAX));
    assert_eq!(asked(WRONG_ISSUER), Err(Reason::BadSignature));
    assert_eq!(asked(NOT_EXPIRED), Ok(0x7502_3abb));
    assert_eq!(asked(EXPIRED), Err(Reason::Expired));
    assert_eq!(asked(AUDIENCE), Ok(u64::MAX));
    let elsewhere = Settings { audiences: vec!["three".to_owned()], expiry_required: false, ..settings() };
    let elsewhere = with(elsewhere, None, hmac());
    let now = UnixTime::from_secs(1_742_200_000);
    assert_eq!(ask(&elsewhere, "https://a/v", &HeaderMap::new(), AUDIENCE, now), Err(Reason::AclMismatch));
    let strict = with(settings(), None, hmac());
    assert_eq!(
        ask(&strict, "https://a/v", &HeaderMap::new(), WITH_TAG, now),
        Err(Reason::Malformed),
        "no end"
    );
}

/// The token of node-cat's tests without a CWT tag (src/index.test.ts): its content is a text in hex, not claims.
#[test]
fn a_token_whose_content_is_no_bytes_is_refused() {
    let token = "0YRDoQEFoQRMU3ltbWV0cmljMjU2eDZkOTAxMDNhMTAxNzU2MzZmNjE3MDNhMmYyZjYxNzMyZTY1Nzg2MTZkNzA2YzY1MmU2MzZmNmRYIDL8dIteq8pMXXX9oL4eo2NX1kQUaselV6p_JHSEVXWX";
    let verifier = with(settings(), None, hmac());
    assert_eq!(ask(&verifier, "https://a/v", &HeaderMap::new(), token, NOW), Err(Reason::Malformed));
}

#[test]
fn an_algorithm_counts_only_where_it_is_signed_and_with_its_own_key() {
    let claims = || Cbor::Map(vec![(4.into(), 1_700_000_100.into())]).to_vec().unwrap();
    let asked = |token: &str| ask(&verifier(), "https://a/v", &HeaderMap::new(), token, NOW).err();
    assert_eq!(asked(&over(claims(), hs256(), Header::default())), None);
    assert_eq!(asked(&over(claims(), Header::default(), hs256())), Some(Reason::Malformed));
    assert_eq!(asked(&over(claims(), Header::default(), Header::default())), Some(Reason::BadSignature));
    for other in [iana::Algorithm::HMAC_256_64, iana::Algorithm::HMAC_512_512, iana::Algorithm::ES256] {
        let header = HeaderBuilder::new().algorithm(other).build();
        assert_eq!(
            asked(&over(claims(), header, Header::default())),
            Some(Reason::BadSignature),
            "{other:?}"
        );
    }
    let critical = HeaderBuilder::new()
        .algorithm(iana::Algorithm::HMAC_256_256)
        .add_critical(iana::HeaderParameter::Alg);
    assert_eq!(asked(&over(claims(), critical.build(), Header::default())), Some(Reason::Malformed));
    let more = HeaderBuilder::new().iv(vec![1]).build();
    assert_eq!(asked(&over(claims(), hs256(), more)), Some(Reason::Malformed));
    let (x, y) = (bytes(RFC_8392_X), bytes(RFC_8392_Y));
    let public = with(settings(), None, VerificationKey::p256(Algorithm::Es256, &x, &y).unwrap());
    let confused =
        ask(&public, "https://a/v", &HeaderMap::new(), &over(claims(), hs256(), Header::default()), NOW);
    assert_eq!(confused, Err(Reason::BadSignature), "a MAC is no signature");
}

#[test]
fn the_uri_is_judged_by_its_parts() {
    let asked = |component: &str, kind: &str, wanted: &str| {
        judged(&with_claim("catu", json!({ component: { kind: wanted } }))).map(|_| ()).err()
    };
    for (component, kind, yes, no) in [
        ("scheme", "exact-match", "https", "http"),
        ("host", "suffix-match", ".example", ".example.com"),
        ("port", "exact-match", "443", "80"),
        ("path", "prefix-match", "/v/", "/w/"),
        ("path", "regex-match", "/v/[a-z.]*[.]m3u8", "/v/[a-z]*"),
        ("query", "exact-match", "x=1", "x=2"),
        ("parent-path", "exact-match", "/v", "/v/"),
        ("filename", "contains-match", ".b.", ".c."),
        ("stem", "exact-match", "a.b", "a"),
        ("extension", "exact-match", ".m3u8", "m3u8"),
    ] {
        assert_eq!(asked(component, kind, yes), None, "{component} {kind} {yes}");
        assert_eq!(asked(component, kind, no), Some(Reason::AclMismatch), "{component} {kind} {no}");
    }
    let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(asked("path", "sha256-match", sha256), Some(Reason::AclMismatch));
    let both = |prefix: &str| {
        let catu = json!({ "path": { "prefix-match": prefix, "suffix-match": ".m3u8" }, "scheme": { "exact-match": "https" } });
        judged(&with_claim("catu", catu)).map(|_| ()).err()
    };
    assert_eq!((both("/v/"), both("/w/")), (None, Some(Reason::AclMismatch)), "every condition has to hold");
}

#[test]
fn a_session_takes_over_how_paths_begin() {
    let scope = |catu: Value| judged(&with_claim("catu", catu)).unwrap().scope;
    assert_eq!(scope(json!({ "path": { "prefix-match": "/v/" } })), Scope::Acl("/v/*".to_owned()));
    assert_eq!(scope(json!({ "path": { "suffix-match": ".m3u8" } })), Scope::Condition);
    assert_eq!(
        scope(json!({ "path": { "prefix-match": "/v/" }, "scheme": { "exact-match": "https" } })),
        Scope::Condition
    );
}

#[test]
fn methods_headers_and_networks_are_judged() {
    assert!(judged(&with_claim("catm", json!(["HEAD", "GET"]))).is_ok());
    for methods in [json!(["HEAD"]), json!(["get"]), json!([])] {
        assert_eq!(judged(&with_claim("catm", methods)), Err(Reason::Method));
    }
    let networks = |list: Value| judged(&with_claim("catnip", list)).map(|grant| grant.clients);
    let held = Clients::Networks(vec!["203.0.113.0/24".parse().unwrap()]);
    assert_eq!(networks(json!(["203.0.113.0/24"])), Ok(held));
    assert!(networks(json!(["2001:db8::/32", "203.0.113.7"])).is_ok());
    for other in [json!(["203.0.114.0/24"]), json!(["::/0"]), json!([64500]), json!([])] {
        assert_eq!(networks(other.clone()), Err(Reason::IpMismatch), "{other}");
    }
    let mut headers = HeaderMap::new();
    headers.append("user-agent", "Player/1.0".parse().unwrap());
    headers.append("x-plan", "silver".parse().unwrap());
    headers.append("x-plan", "gold".parse().unwrap());
    let asked = |cath: Value| {
        let token = minted(&with_claim("cath", cath));
        ask(&verifier(), "https://a/v", &headers, &token, NOW).map(|_| ()).err()
    };
    assert_eq!(
        asked(json!({ "User-Agent": { "prefix-match": "Player/" }, "x-plan": { "exact-match": "gold" } })),
        None
    );
    assert_eq!(asked(json!({ "x-plan": { "exact-match": "bronze" } })), Some(Reason::AclMismatch));
    assert_eq!(asked(json!({ "x-absent": { "prefix-match": "" } })), Some(Reason::AclMismatch));
    assert_eq!(asked(json!({ "no name": { "prefix-match": "" } })), Some(Reason::Malformed));
}

#[test]
fn what_nobody_can_judge_is_refused() {
    for (name, value) in [
        ("catpor", json!([50])),
        ("catalpn", json!(["h2"])),
        ("catgeocoord", json!([[1, 2, 3]])),
        ("catgeoalt", json!([1, 2])),
        ("geohash", json!("u4pruyd")),
        ("cattpk", json!("ab")),
        ("cattprint", json!({})),
        ("catdpop", json!({})),
        ("cnf", json!({})),
        ("400", json!(1)),
        ("-70000", json!(1)),
        ("plan", json!("gold")),
        ("catv", json!(2)),
        ("catreplay", json!(1)),
        ("catu", json!({})),
        ("catm", json!("GET")),
    ] {
        let verdict = judged(&with_claim(name, value));
        // An empty catu names no part that would have to match.
        let expected = if name == "catu" { None } else { Some(Reason::Malformed) };
        assert_eq!(verdict.err(), expected, "{name}");
    }
    assert_eq!(judged(&with_claim("catgeoiso3166", json!(["DE"]))), Err(Reason::GeoBlocked));
    for harmless in ["catif", "catr", "catifdata"] {
        assert!(judged(&with_claim(harmless, json!({ "0": 1 }))).is_ok(), "{harmless}");
    }
    for replay in [0, 2] {
        assert!(judged(&with_claim("catreplay", replay)).is_ok());
    }
    let ignoring =
        Settings { claims_ignored: vec!["plan".parse().unwrap(), "400".parse().unwrap()], ..settings() };
    let token = minted(&json!({ "exp": 1_700_000_100, "plan": "gold", "400": 1 }));
    assert!(ask(&with(ignoring, None, hmac()), "https://a/v", &HeaderMap::new(), &token, NOW).is_ok());
}

#[test]
fn claims_are_read_strictly() {
    let end = || (Cbor::from(4), Cbor::from(1_700_000_100));
    assert!(over_claims(vec![end()]).is_ok());
    for (what, claims) in [
        ("a doubled label", vec![end(), (4.into(), 9_999_999_999_u64.into())]),
        ("a fraction", vec![(4.into(), 1_700_000_100.5.into())]),
        ("a negative end", vec![(4.into(), (-1).into())]),
        ("a text", vec![(4.into(), "1700000100".into())]),
        ("a tagged time", vec![(4.into(), Cbor::Tag(1, Box::new(1_700_000_100.into())))]),
        ("a label of bytes", vec![end(), (Cbor::Bytes(vec![1]), 1.into())]),
        ("an id that is a text", vec![end(), (7.into(), "ab".into())]),
        (
            "a short address",
            vec![end(), (311.into(), Cbor::Array(vec![Cbor::Tag(52, Box::new(Cbor::Bytes(vec![1])))]))],
        ),
        (
            "an unknown tag",
            vec![end(), (311.into(), Cbor::Array(vec![Cbor::Tag(53, Box::new(Cbor::Bytes(vec![1; 4])))]))],
        ),
    ] {
        assert_eq!(over_claims(claims), Err(Reason::Malformed), "{what}");
    }
    let many = (0..40).map(|label| (Cbor::from(label + 1000), Cbor::from(1))).collect();
    assert_eq!(over_claims(many), Err(Reason::Malformed));
}

#[test]
fn an_id_names_the_session_where_no_subject_does() {
    let id = |claims: Value| judged(&claims).map(|grant| grant.session_id);
    assert_eq!(id(json!({ "exp": 1_700_000_100, "cti": "0b71" })), Ok(Some("0b71".to_owned())));
    assert_eq!(
        id(json!({ "exp": 1_700_000_100, "cti": "0b71", "sub": "jonas" })),
        Ok(Some("jonas".to_owned()))
    );
    assert_eq!(id(json!({ "exp": 1_700_000_100, "sub": "s".repeat(65) })), Err(Reason::Malformed));
    assert_eq!(id(json!({ "exp": 1_700_000_100, "cti": "00".repeat(33) })), Err(Reason::Malformed));
}

#[test]
fn countries_and_systems_are_judged_where_they_are_known() {
    let asked = |claims: &Value, country: Option<&str>, asn: Option<u32>| {
        let token = minted(claims);
        let country = country.and_then(Country::parse);
        let presented =
            Presented { country, asn, ..Presented::for_path(&token, "/v", [203, 0, 113, 7].into()) };
        verifier().verify(&presented, NOW).map(|grant| grant.clients)
    };
    let countries = with_claim("catgeoiso3166", json!(["DE", "AT", "FR-IDF"]));
    assert_eq!(asked(&countries, Some("AT"), None), Ok(Clients::Any));
    for country in [Some("FR"), Some("US"), None] {
        assert_eq!(asked(&countries, country, None), Err(Reason::GeoBlocked), "{country:?}");
    }
    let systems = with_claim("catnip", json!([64500, "198.51.100.0/24"]));
    let bound = Clients::Networks(vec!["203.0.113.7/32".parse().unwrap()]);
    assert_eq!(
        asked(&systems, None, Some(64500)),
        Ok(bound),
        "the session is for the address that showed it"
    );
    for asn in [Some(64501), None] {
        assert_eq!(asked(&systems, None, asn), Err(Reason::IpMismatch), "{asn:?}");
    }
}

#[test]
fn a_token_that_is_good_once_needs_somebody_who_counts() {
    let asked = |claims: &Value, uses_counted| {
        let verifier = with(Settings { uses_counted, ..settings() }, Some("k"), hmac());
        ask(&verifier, "https://a/v", &HeaderMap::new(), &minted(claims), NOW).map(|grant| grant.nonce)
    };
    let once = |id: &str, exp: u64| json!({ "exp": exp, "catreplay": 1, "cti": id });
    assert_eq!(asked(&once("01", 1_700_000_100), false), Err(Reason::Malformed));
    let first = asked(&once("01", 1_700_000_100), true).unwrap();
    assert_eq!(first, asked(&once("01", 1_700_000_101), true).unwrap(), "the id alone tells tokens apart");
    assert_ne!(first, asked(&once("02", 1_700_000_100), true).unwrap());
    let unnumbered = |exp: u64| asked(&json!({ "exp": exp, "catreplay": 1 }), true).unwrap();
    assert_ne!(unnumbered(1_700_000_100), unnumbered(1_700_000_101), "all claims do, where there is no id");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_verify(raw in any::<Vec<u8>>(), text in any::<String>()) {
        let verifier = with(settings(), None, hmac());
        for token in [base64url::encode(&raw), text] {
            let asked = ask(&verifier, "https://a/v", &HeaderMap::new(), &token, NOW);
            prop_assert!(asked.is_err());
        }
    }

    #[test]
    fn arbitrary_claims_never_panic(raw in any::<Vec<u8>>(), label in 300_i64..330, inner in any::<Vec<u8>>()) {
        let verifier = with(settings(), None, hmac());
        let value = Cbor::from_slice(&inner).unwrap_or(Cbor::Bytes(inner));
        let map = Cbor::Map(vec![(4.into(), 1_700_000_100.into()), (label.into(), value)]).to_vec().unwrap();
        for claims in [raw, map] {
            let token = over(claims, hs256(), Header::default());
            let _ = ask(&verifier, "https://a/v", &HeaderMap::new(), &token, NOW);
        }
    }

    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let token = minted(&json!({ "exp": 1_700_000_100, "catu": { "path": { "prefix-match": "/v/" } } }));
        let mut raw = base64url::decode(&token).unwrap();
        let at = at.index(raw.len());
        prop_assume!(raw[at] != with);
        raw[at] = with;
        let asked = ask(&verifier(), "https://a/v/x", &HeaderMap::new(), &base64url::encode(raw), NOW);
        prop_assert!(asked.is_err());
    }

    #[test]
    fn what_is_minted_is_verified(exp in 1_700_000_001_u64..u64::MAX, sub in "[ -~]{1,64}", path in "/[a-z/]{0,40}") {
        let claims = json!({ "exp": exp, "sub": sub, "iss": "eyevinn", "catv": 1, "catu": { "path": { "exact-match": path } } });
        let asked = ask(&verifier(), &format!("https://a{path}"), &HeaderMap::new(), &minted(&claims), NOW);
        let grant = asked.unwrap();
        prop_assert_eq!((grant.expires, grant.session_id), (exp, Some(sub)));
    }
}
