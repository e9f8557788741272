use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::jwe::{DecryptionKey, Encryption};
use super::jwk::{self, Key};
use super::verify::Verifier;
use super::{Limits, Nonce, Plain, Profile, Settings, container, jwe, sign};
use crate::domain::token::address::AddressMatch;
use crate::domain::token::base64url;
use crate::domain::token::grant::{Clients, Grant, Scope, UnixTime};
use crate::domain::token::key::Secret;
use crate::domain::token::keys::Keys;
use crate::domain::token::presented::{Head, Presented};
use crate::domain::token::reason::Reason;
use crate::domain::token::signature::{Algorithm, IssuerKey, VerificationKey};

const NOW: UnixTime = Duration::from_secs(1_700_000_000);

/// RFC 9246, appendix A: the JWK set of all its examples.
const RFC_9246_KEYS: &str = r#"{"keys": [
    {"kty": "EC", "kid": "P5UpOv0eMq1wcxLf7WxIg09JdSYGYFDOWkldueaImf0", "use": "sig", "crv": "P-256",
     "x": "be807S4O7dzB6I4hTiCUvmxCI6FuxWba1xYBlLSSsZ8", "y": "rOGC4vI69g-WF9AGEVI37sNNwbjIzBxSjLvIL7f3RBA"},
    {"kty": "oct", "kid": "f-WbjxBC3dPuI3d24kP2hfvos7Qz688UTi6aB0hN998", "use": "enc", "alg": "A128GCM",
     "k": "4uFxxV7fhNmrtiah2d1fFg"}]}"#;

// The examples of RFC 9246, appendix A.1 to A.3, as the generator of its examples prints them for its last drafts.
const RFC_9246_SIMPLE: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6IlA1VXBPdjBlTXExd2N4TGY3V3hJZzA5SmRTWUdZRkRPV2tsZHVlYUltZjAifQ.eyJleHAiOjE2NDEwNzkyMjMsImlzcyI6InVDRE4gSW5jIiwiY2RuaXVjIjoiaGFzaDpzaGEtMjU2OzJ0ZGVyZldQYTg2S3U3WW56VzUxWVVwN2RHVWpCU18zU1czRUx4NGhtV1kifQ.P5It6q0kxNx5NBA76D-bYKIxlourey5JpU4diFLGHaVTk21QkEskjxoeneDoBj_1C5Ty1smBOovQMrGzuPmEHA";
const RFC_9246_COMPLEX: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6IlA1VXBPdjBlTXExd2N4TGY3V3hJZzA5SmRTWUdZRkRPV2tsZHVlYUltZjAifQ.eyJhdWQiOiJkQ0ROIExMQyIsInN1YiI6ImV5SmxibU1pT2lKQk1USTRSME5OSWl3aVlXeG5Jam9pWkdseUlpd2lhMmxrSWpvaVppMVhZbXA0UWtNelpGQjFTVE5rTWpSclVESm9ablp2Y3pkUmVqWTRPRlZVYVRaaFFqQm9Uams1T0NKOS4uTWJUOHRXZXQwMVZWSGp1Uy40S1A3QUplZlU3MGIuUmNfbzN0Q2ZXb1BrSWR5U3NZdGZNdyIsImNkbmlpcCI6ImV5SmxibU1pT2lKQk1USTRSME5OSWl3aVlXeG5Jam9pWkdseUlpd2lhMmxrSWpvaVppMVhZbXA0UWtNelpGQjFTVE5rTWpSclVESm9ablp2Y3pkUmVqWTRPRlZVYVRaaFFqQm9Uams1T0NKOS4uczYxNHpfX2F0SzRDaWppYy5pZVNtN28ybzdySXFDWWJERXhkb3lRLkpVblBMUXpCZjJkUGhCUFJUeEhLd3ciLCJjZG5pdiI6MSwiZXhwIjoxNjQxMDc5MjIzLCJpYXQiOjE2NDA5MDY0MjMsImlzcyI6InVDRE4gSW5jIiwianRpIjoiNURBYWZMaFpBZmhzYmUiLCJuYmYiOjE2NDA5OTI4MjMsImNkbml1YyI6InJlZ2V4Omh0dHA6Ly9jZG5pXFwuZXhhbXBsZS9mb28vYmFyL1swLTldezN9XFwucG5nIn0.MgV1AIvlWf3rjUqWGKlpR1CcCpF8N5FX7xlZ0wGCqfJY3KpqTrVNKaEWVXGoo12oVgQ7J2KoRtcr2ah9dsjqOA";
const RFC_9246_RENEWED: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6IlA1VXBPdjBlTXExd2N4TGY3V3hJZzA5SmRTWUdZRkRPV2tsZHVlYUltZjAifQ.eyJjZG5pZXRzIjozMCwiY2RuaXN0dCI6MSwiY2RuaXN0ZCI6MiwiZXhwIjoxNjQxMDc5MjIzLCJjZG5pdWMiOiJyZWdleDpodHRwOi8vY2RuaVxcLmV4YW1wbGUvZm9vL2Jhci9bMC05XXszfVxcLnRzIn0.qp4l3B36rRmIUBXzPWdK7p0_zlq7tvgt5oJSBSMOUEWtMsIZf3q0nXSnHPxsNdLcsTSNoFOAgq5y0EjQmvNQoA";

fn settings(profile: Profile) -> Settings {
    Settings {
        profile,
        nonce: Nonce::Names,
        audiences: vec!["dCDN LLC".to_owned()],
        expiry_required: true,
        expiry_ahead_max: None,
        limits: Limits::default(),
    }
}

fn uri_signing() -> Settings {
    settings(Profile::UriSigning { clear_personal_data: false })
}

fn plain() -> Settings {
    settings(Profile::Plain(Plain {
        paths_claim: "paths".to_owned(),
        session_id_claim: "sub".to_owned(),
        address_claim: "ip".to_owned(),
        expiry_skew: Duration::ZERO,
        start_skew: Duration::from_secs(5),
        address_match: AddressMatch::EXACT,
    }))
}

/// A verifier with the keys of a set, all of which sign for "uCDN Inc".
fn with_set(settings: Settings, set: &str) -> Verifier {
    let (mut keys, mut decryption) = (Vec::new(), Vec::new());
    for key in jwk::parse_set(set.as_bytes()).unwrap() {
        match key {
            Key::Verifies { id, key } => {
                let name = id.clone().unwrap_or_else(|| "key".to_owned());
                keys.push((name, Arc::new(IssuerKey { id, issuers: vec!["uCDN Inc".to_owned()], key })));
            }
            Key::Decrypts(key) => decryption.push(key),
        }
    }
    Verifier::new(settings, Keys::of(keys), decryption)
}

fn secret() -> Secret {
    Secret::from_bytes((0..32).collect()).unwrap()
}

fn hmac() -> VerificationKey {
    VerificationKey::hmac(Algorithm::Hs256, &secret()).unwrap()
}

fn with_secret(settings: Settings) -> Verifier {
    let key = IssuerKey { id: Some("one".to_owned()), issuers: vec!["uCDN Inc".to_owned()], key: hmac() };
    let sealed = Secret::from_bytes(vec![9; 16]).unwrap();
    let opening = DecryptionKey::new(None, Encryption::A128Gcm, &sealed).unwrap();
    Verifier::new(settings, Keys::of([("one", Arc::new(key))]), vec![opening])
}

fn signed(claims: &Value) -> String {
    signed_as(&json!({ "alg": "HS256", "kid": "one" }).to_string(), &claims.to_string())
}

/// A token of these texts, whatever they are.
fn signed_as(header: &str, claims: &str) -> String {
    let input = format!("{}.{}", base64url::encode(header), base64url::encode(claims));
    sign::token(&input, &hmac().mac(input.as_bytes()).unwrap())
}

/// A request for a URL `scheme://authority/path?query`, from an address, with a token.
fn ask(verifier: &Verifier, url: &str, client: &str, token: &str, now: UnixTime) -> Result<Grant, Reason> {
    presented(url, client, token, |presented| {
        let verdict = verifier.verify(presented, now);
        let explained = verifier.explain(presented, now);
        assert_eq!(explained.valid, verdict.is_ok(), "{explained:?}");
        assert_eq!(explained.reason, verdict.as_ref().err().map(|reason| reason.as_str()), "{explained:?}");
        verdict
    })
}

fn presented<T>(url: &str, client: &str, token: &str, then: impl FnOnce(&Presented<'_>) -> T) -> T {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, target) = rest.split_at(rest.find('/').unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let client: IpAddr = client.parse().unwrap();
    let simple = Presented::for_path(token, path, client);
    let head = Head { scheme, authority, target, ..simple.head };
    then(&Presented { query, head, ..simple })
}

fn judged(verifier: &Verifier, claims: &Value) -> Result<Grant, Reason> {
    ask(verifier, "https://cdn.example/v/a.m3u8", "203.0.113.7", &signed(claims), NOW)
}

fn good() -> Map<String, Value> {
    let claims = json!({ "exp": 1_700_000_100, "cdniuc": "regex:https://cdn\\.example/v/.*" });
    claims.as_object().unwrap().clone()
}

fn good_with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = good();
    claims.insert(name.to_owned(), value.into());
    Value::Object(claims)
}

#[test]
fn the_simple_example_of_rfc_9246_is_verified() {
    let verifier = with_set(uri_signing(), RFC_9246_KEYS);
    let now = UnixTime::from_secs(1_641_079_222);
    let grant = ask(&verifier, "http://cdni.example/foo/bar", "192.0.2.1", RFC_9246_SIMPLE, now).unwrap();
    assert_eq!((grant.scope, grant.expires), (Scope::Url, 1_641_079_223));
    assert_eq!(&*grant.key_name, "P5UpOv0eMq1wcxLf7WxIg09JdSYGYFDOWkldueaImf0");
    let elsewhere = ask(&verifier, "http://cdni.example/foo/ba", "192.0.2.1", RFC_9246_SIMPLE, now);
    assert_eq!(elsewhere, Err(Reason::UrlMismatch));
    let late = ask(
        &verifier,
        "http://cdni.example/foo/bar",
        "192.0.2.1",
        RFC_9246_SIMPLE,
        now + Duration::from_secs(1),
    );
    assert_eq!(late, Err(Reason::Expired), "equal to the time of the request is too late");
}

#[test]
fn the_complex_example_of_rfc_9246_is_verified_and_its_claims_decrypted() {
    let verifier = with_set(uri_signing(), RFC_9246_KEYS);
    let now = UnixTime::from_secs(1_641_000_001);
    let from = |url, client| ask(&verifier, url, client, RFC_9246_COMPLEX, now);
    let grant = from("http://cdni.example/foo/bar/123.png", "2001:db8::7").unwrap();
    assert_eq!(grant.session_id.as_deref(), Some("UserToken"));
    assert_eq!(grant.clients, Clients::Networks(vec!["2001:db8::1/32".parse().unwrap()]));
    assert_eq!(grant.scope, Scope::Condition);
    assert_eq!(from("http://cdni.example/foo/bar/123.png", "2001:db9::7"), Err(Reason::IpMismatch));
    assert_eq!(from("http://cdni.example/foo/bar/1234.png", "2001:db8::7"), Err(Reason::UrlMismatch));
    assert_eq!(from("http://cdni-example/foo/bar/123.png", "2001:db8::7"), Err(Reason::UrlMismatch));
    let early = ask(
        &verifier,
        "http://cdni.example/foo/bar/123.png",
        "2001:db8::7",
        RFC_9246_COMPLEX,
        UnixTime::from_secs(1_640_992_822),
    );
    assert_eq!(early, Err(Reason::NotYetValid));
}

#[test]
fn the_renewal_example_of_rfc_9246_is_verified() {
    let verifier = with_set(uri_signing(), RFC_9246_KEYS);
    let now = UnixTime::from_secs(1_641_000_001);
    let grant = ask(&verifier, "http://cdni.example/foo/bar/001.ts", "192.0.2.1", RFC_9246_RENEWED, now);
    assert_eq!(grant.unwrap().expires, 1_641_079_223);
}

#[test]
fn without_the_key_that_decrypts_the_complex_example_is_refused() {
    let only_signing = RFC_9246_KEYS.split_once(",\n    {\"kty\": \"oct\"").unwrap().0.to_owned() + "]}";
    let verifier = with_set(uri_signing(), &only_signing);
    let now = UnixTime::from_secs(1_641_000_001);
    let url = "http://cdni.example/foo/bar/123.png";
    assert_eq!(ask(&verifier, url, "2001:db8::7", RFC_9246_COMPLEX, now), Err(Reason::Malformed));
}

/// RFC 7515, appendices A.1 to A.4: one text signed with HS256, RS256 and ES256, each with the key that stands there; its
/// claims are `{"iss":"joe", "exp":1300819380, "http://example.com/is_root":true}`.
#[test]
fn the_examples_of_rfc_7515_are_verified() {
    const CLAIMS: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let examples = [
        (
            "HS256",
            r#"{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}"#,
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            "RS256",
            r#"{"keys":[{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#,
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "ES256",
            r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ];
    let now = UnixTime::from_secs(1_300_819_379);
    for (name, set, header, signature) in examples {
        let verifier = with_set(plain(), set);
        let token = format!("{header}.{CLAIMS}.{signature}");
        presented("https://a/v", "192.0.2.1", &token, |presented| {
            let explained = verifier.explain(presented, now);
            assert_eq!(explained.checks[0].outcome, "ok", "{name}: {explained:?}");
            assert_eq!(
                explained.checks[1].detail, "each once: iss, exp, http://example.com/is_root",
                "{name}"
            );
        });
        let other = format!("{header}.{CLAIMS}.{}", signature.replace('B', "C").replace('d', "e"));
        assert_eq!(
            ask(&verifier, "https://a/v", "192.0.2.1", &other, now),
            Err(Reason::BadSignature),
            "{name}"
        );
    }
}

/// RFC 8037, appendix A.4: "Example of Ed25519 signing", over a text that is no claims.
#[test]
fn the_example_of_rfc_8037_is_verified() {
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let Key::Verifies { key, .. } = &jwk::parse_set(set.as_bytes()).unwrap()[0] else {
        panic!("it verifies")
    };
    let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(key.verifies(signed, &base64url::decode(signature).unwrap()));
    assert!(!key.verifies(b"x", &base64url::decode(signature).unwrap()));
}

/// Apache Traffic Server's tests of URI signing sign without a container, which RFC 9246 makes mandatory.
#[test]
fn a_token_without_a_container_is_good_for_nothing() {
    let verifier = with_secret(uri_signing());
    let mut claims = good();
    claims.remove("cdniuc");
    assert_eq!(judged(&verifier, &Value::Object(claims)), Err(Reason::Malformed));
}

#[test]
fn no_token_chooses_its_algorithm() {
    let verifier = with_secret(uri_signing());
    let claims = Value::Object(good()).to_string();
    for algorithm in ["none", "None", "HS512", "ES256", "RS256", "hs256", ""] {
        let token = signed_as(&json!({ "alg": algorithm, "kid": "one" }).to_string(), &claims);
        let asked = ask(&verifier, "https://cdn.example/v/a", "203.0.113.7", &token, NOW);
        assert_eq!(asked, Err(Reason::BadSignature), "{algorithm}");
        let bare = format!("{}.", token.rsplit_once('.').unwrap().0);
        let asked = ask(&verifier, "https://cdn.example/v/a", "203.0.113.7", &bare, NOW);
        assert_eq!(asked, Err(Reason::BadSignature), "{algorithm} without a signature");
    }
    // The public key of an issuer, taken as the secret of an HMAC (RFC 8725 §2.1).
    let set = with_set(uri_signing(), RFC_9246_KEYS);
    let x = base64url::decode("be807S4O7dzB6I4hTiCUvmxCI6FuxWba1xYBlLSSsZ8").unwrap();
    let key = VerificationKey::hmac(Algorithm::Hs256, &Secret::from_bytes(x).unwrap()).unwrap();
    let input = format!("{}.{}", base64url::encode(r#"{"alg":"HS256"}"#), base64url::encode(&claims));
    let token = sign::token(&input, &key.mac(input.as_bytes()).unwrap());
    let asked = ask(&set, "https://cdn.example/v/a", "203.0.113.7", &token, NOW);
    assert_eq!(asked, Err(Reason::BadSignature));
}

#[test]
fn what_a_header_asks_for_is_not_done() {
    let verifier = with_secret(uri_signing());
    let claims = Value::Object(good()).to_string();
    for (header, expected) in [
        (r#"{"alg":"HS256"}"#, None),
        (r#"{"alg":"HS256","kid":"one","typ":"JWT","jku":"https://evil/","jwk":{}}"#, None),
        (r#"{"alg":"HS256","kid":"two"}"#, Some(Reason::BadSignature)),
        (r#"{"alg":"HS256","kid":1}"#, Some(Reason::Malformed)),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, Some(Reason::Malformed)),
        (r#"{"alg":"HS256","alg":"HS256"}"#, Some(Reason::Malformed)),
        (r#"{"kid":"one"}"#, Some(Reason::Malformed)),
        (r#"["HS256"]"#, Some(Reason::Malformed)),
    ] {
        let token = signed_as(header, &claims);
        let asked = ask(&verifier, "https://cdn.example/v/a", "203.0.113.7", &token, NOW);
        assert_eq!(asked.err(), expected, "{header}");
    }
}

#[test]
fn claims_are_read_strictly() {
    let verifier = with_secret(uri_signing());
    for (name, value) in [
        ("exp", json!("1700000100")),
        ("exp", json!(-1)),
        ("exp", json!(1_700_000_100.5)),
        ("exp", json!(1e300)),
        ("exp", Value::Null),
        ("nbf", json!([1])),
        ("iat", json!("now")),
        ("iss", json!(["uCDN Inc"])),
        ("aud", json!({ "a": 1 })),
        ("aud", json!(["dCDN LLC", 1])),
        ("jti", json!(5)),
        ("cdniv", json!(2)),
        ("cdniv", json!("1")),
        ("cdniets", json!("30")),
        ("cdnistd", json!(-1)),
        ("cdnistt", json!(1)),
        ("cdnicrit", json!("")),
        ("cdnicrit", json!("exp")),
        ("cdnicrit", json!("nowhere")),
        ("cdniuc", json!("hash:md5;abc")),
        ("cdniuc", json!(1)),
        ("sub", json!("in the clear")),
        ("cdniip", json!("203.0.113.7")),
    ] {
        assert_eq!(
            judged(&verifier, &good_with(name, value.clone())),
            Err(Reason::Malformed),
            "{name} {value}"
        );
    }
    let doubled = r#"{"exp":1700000100,"cdniuc":"regex:.*","exp":9999999999}"#;
    let token = signed_as(r#"{"alg":"HS256"}"#, doubled);
    let asked = ask(&verifier, "https://cdn.example/v/a", "203.0.113.7", &token, NOW);
    assert_eq!(asked, Err(Reason::Malformed), "a claim stands twice");
}

#[test]
fn an_extension_counts_only_when_it_is_called_critical() {
    let verifier = with_secret(uri_signing());
    assert!(judged(&verifier, &good_with("x-plan", "gold")).is_ok());
    let mut claims = good();
    claims.insert("x-plan".to_owned(), "gold".into());
    claims.insert("cdnicrit".to_owned(), "x-plan".into());
    assert_eq!(judged(&verifier, &Value::Object(claims)), Err(Reason::Malformed));
}

#[test]
fn issuer_and_audience_are_ours_or_absent() {
    let verifier = with_secret(uri_signing());
    assert!(judged(&verifier, &good_with("iss", "uCDN Inc")).is_ok());
    assert_eq!(judged(&verifier, &good_with("iss", "uCDN")), Err(Reason::BadSignature));
    assert!(judged(&verifier, &good_with("aud", json!(["other", "dCDN LLC"]))).is_ok());
    assert_eq!(judged(&verifier, &good_with("aud", "other")), Err(Reason::AclMismatch));
    assert_eq!(judged(&verifier, &good_with("aud", json!([]))), Err(Reason::AclMismatch));
}

#[test]
fn an_end_is_asked_for_unless_the_configuration_says_otherwise() {
    let mut claims = good();
    claims.remove("exp");
    let claims = Value::Object(claims);
    assert_eq!(judged(&with_secret(uri_signing()), &claims), Err(Reason::Malformed));
    let lenient = with_secret(Settings { expiry_required: false, ..uri_signing() });
    assert_eq!(judged(&lenient, &claims).unwrap().expires, u64::MAX);
    let near =
        Settings { expiry_ahead_max: Some(Duration::from_secs(99)), expiry_required: false, ..uri_signing() };
    assert_eq!(judged(&with_secret(near.clone()), &Value::Object(good())), Err(Reason::ExpiryTooFar));
    assert_eq!(judged(&with_secret(near), &claims), Err(Reason::ExpiryTooFar), "no end is the farthest");
}

#[test]
fn personal_claims_are_encrypted_or_allowed_to_be_clear() {
    let sealed = |text: &str| {
        let key = Secret::from_bytes(vec![9; 16]).unwrap();
        jwe::seal(text, None, Encryption::A128Gcm, &key, [3; 12]).unwrap()
    };
    let strict = with_secret(uri_signing());
    let grant = judged(&strict, &good_with("cdniip", sealed("203.0.113.0/24"))).unwrap();
    assert_eq!(grant.clients, Clients::Networks(vec!["203.0.113.0/24".parse().unwrap()]));
    assert_eq!(judged(&strict, &good_with("cdniip", sealed("203.0.114.0/24"))), Err(Reason::IpMismatch));
    assert_eq!(judged(&strict, &good_with("cdniip", sealed("203.0.113.007"))), Err(Reason::Malformed));
    assert_eq!(
        judged(&strict, &good_with("sub", sealed("viewer 7"))).unwrap().session_id.unwrap(),
        "viewer 7"
    );
    let long = "v".repeat(65);
    assert_eq!(judged(&strict, &good_with("sub", sealed(&long))), Err(Reason::Malformed));
    let clear = with_secret(settings(Profile::UriSigning { clear_personal_data: true }));
    assert!(judged(&clear, &good_with("cdniip", "203.0.113.7")).is_ok());
    assert_eq!(judged(&clear, &good_with("cdniip", "203.0.113.8")), Err(Reason::IpMismatch));
    assert_eq!(judged(&clear, &good_with("sub", "viewer 7")).unwrap().session_id.unwrap(), "viewer 7");
    let broken = sealed("viewer 7").replace("..", ".AAAA.");
    assert_eq!(judged(&clear, &good_with("sub", broken)), Err(Reason::Malformed));
}

#[test]
fn a_nonce_that_nobody_counts_is_refused() {
    let claims = good_with("jti", "5DAafLhZAfhsbe");
    let counting_nothing = with_secret(Settings { nonce: Nonce::Refused, ..uri_signing() });
    assert_eq!(judged(&counting_nothing, &claims), Err(Reason::Malformed));
    let grant = judged(&with_secret(uri_signing()), &claims).unwrap();
    assert_eq!(grant.session_id.as_deref(), Some("5DAafLhZAfhsbe"));
}

#[test]
fn the_uri_is_judged_whole_and_normal() {
    let verifier = with_secret(uri_signing());
    let asked = |container: &str, url: &str| {
        let token = signed(&json!({ "exp": 1_700_000_100, "cdniuc": container }));
        ask(&verifier, url, "203.0.113.7", &token, NOW).is_ok()
    };
    let hash = container::hash_of("https://cdn.example/v/a.m3u8?x=%2F~");
    for url in ["https://CDN.example:443/v/a.m3u8?x=%2f%7e", "https://cdn.example/v/a.m3u8?x=%2F~"] {
        assert!(asked(&hash, url), "{url}");
    }
    for url in [
        "http://cdn.example/v/a.m3u8?x=%2F~",
        "https://cdn.example/v/a.m3u8",
        "https://cdn.example:8443/v/a.m3u8?x=%2F~",
        "https://cdn.example/V/a.m3u8?x=%2F~",
    ] {
        assert!(!asked(&hash, url), "{url}");
    }
    let expression = "regex:https://cdn\\.example/v/[^/]*\\.m3u8(\\?.*)?";
    assert!(asked(expression, "https://cdn.example/v/a.m3u8?anything"));
    assert!(
        !asked(expression, "https://evil.example/?https://cdn.example/v/a.m3u8"),
        "anchored at the start"
    );
    assert!(!asked(expression, "https://cdn.example/v/a.m3u8/../../secret"), "and at the end");
}

#[test]
fn a_plain_token_says_in_its_claims_what_may_be_fetched() {
    let verifier = with_secret(plain());
    let claims = |paths: Value| json!({ "exp": 1_700_000_100, "paths": paths, "sub": "viewer", "jti": "x" });
    let grant = judged(&verifier, &claims(json!(["/live/*", "/v/*"]))).unwrap();
    assert_eq!(grant.scope, Scope::Acl("/live/*!/v/*".to_owned()));
    assert_eq!(grant.session_id.as_deref(), Some("viewer"));
    assert!(judged(&verifier, &claims(json!("/v/?.m3u8"))).is_ok());
    assert_eq!(judged(&verifier, &claims(json!("/w/*"))), Err(Reason::AclMismatch));
    for nothing in [json!([]), json!([1]), json!({}), Value::Null] {
        assert_eq!(judged(&verifier, &claims(nothing)), Err(Reason::Malformed));
    }
    assert_eq!(judged(&verifier, &json!({ "exp": 1_700_000_100 })), Err(Reason::Malformed));
    let with_ip = |ip: &str| json!({ "exp": 1_700_000_100, "paths": "/*", "ip": ip });
    assert!(judged(&verifier, &with_ip("203.0.113.7")).is_ok());
    assert!(judged(&verifier, &with_ip("203.0.113.0/24")).is_ok());
    assert_eq!(judged(&verifier, &with_ip("203.0.113.8")), Err(Reason::IpMismatch));
    assert_eq!(judged(&verifier, &with_ip("203.0.114.0/24")), Err(Reason::IpMismatch));
    assert_eq!(judged(&verifier, &with_ip("203.0.113/24")), Err(Reason::Malformed));
    let soon = json!({ "exp": 1_700_000_100, "nbf": 1_700_000_006, "paths": "/*" });
    assert_eq!(judged(&verifier, &soon), Err(Reason::NotYetValid), "five seconds of leeway");
}

#[test]
fn a_set_is_taken_whole_or_not_at_all() {
    use jwk::Fault;
    let fault = |set: &str| jwk::parse_set(set.as_bytes()).err();
    assert_eq!(fault("[]"), Some(Fault::Set));
    assert_eq!(fault(r#"{"keys":[]}"#), Some(Fault::Empty));
    assert_eq!(fault(r#"{"keys":[1]}"#), Some(Fault::Object { at: 0 }));
    assert_eq!(fault(r#"{"keys":[{"kty":"DH"}]}"#), Some(Fault::Type { at: 0, kty: "DH".to_owned() }));
    assert_eq!(
        fault(r#"{"keys":[{"kty":"EC","crv":"P-384"}]}"#),
        Some(Fault::Curve { at: 0, crv: "P-384".to_owned() })
    );
    assert_eq!(
        fault(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"HS256","x":"AA"}]}"#),
        Some(Fault::Algorithm { at: 0, alg: "HS256".to_owned() })
    );
    assert_eq!(fault(r#"{"keys":[{"kty":"oct","k":"AA=="}]}"#), Some(Fault::Member { at: 0, member: "k" }));
    assert!(matches!(fault(r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#), Some(Fault::Key { at: 0, .. })));
    assert_eq!(
        fault(r#"{"keys":[{"kty":"oct","alg":"A256GCM","k":"AAAA"}]}"#),
        Some(Fault::Length { at: 0 })
    );
    assert_eq!(
        fault(r#"{"keys":[{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"}]}"#),
        Some(Fault::Use { at: 0, found: "enc".to_owned() })
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_and_never_verifies(text in any::<String>(), is_plain in any::<bool>()) {
        let verifier = with_secret(if is_plain { plain() } else { uri_signing() });
        let asked = ask(&verifier, "https://cdn.example/v/a.m3u8", "203.0.113.7", &text, NOW);
        prop_assert!(asked.is_err());
    }

    #[test]
    fn arbitrary_claims_never_panic(claims in any::<Vec<u8>>(), text in ".{0,64}") {
        let verifier = with_secret(uri_signing());
        let input = format!("{}.{}", base64url::encode(r#"{"alg":"HS256"}"#), base64url::encode(&claims));
        let token = sign::token(&input, &hmac().mac(input.as_bytes()).unwrap());
        let _ = ask(&verifier, "https://cdn.example/v/a.m3u8", "203.0.113.7", &token, NOW);
        let _ = judged(&verifier, &good_with("cdniuc", format!("regex:{text}")));
        let _ = judged(&verifier, &good_with("cdniip", text.clone()));
        let _ = jwk::parse_set(text.as_bytes());
        let _ = super::package::split(&text, "t");
    }

    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), with in any::<char>()) {
        let verifier = with_secret(uri_signing());
        let token = signed(&Value::Object(good()));
        let mut changed: Vec<char> = token.chars().collect();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != with);
        changed[at] = with;
        let changed: String = changed.into_iter().collect();
        let asked = ask(&verifier, "https://cdn.example/v/a.m3u8", "203.0.113.7", &changed, NOW);
        prop_assert!(asked.is_err());
    }

    #[test]
    fn what_is_minted_is_verified(exp in 1_700_000_001_u64..9_999_999_999, id in "[ -~]{1,64}") {
        let verifier = with_secret(plain());
        let claims = json!({ "exp": exp, "sub": id, "paths": ["/v/*"] });
        let input = sign::signing_input(Algorithm::Hs256, Some("one"), claims.as_object().unwrap());
        let token = sign::token(&input, &hmac().mac(input.as_bytes()).unwrap());
        let grant = ask(&verifier, "https://cdn.example/v/a.m3u8", "203.0.113.7", &token, NOW).unwrap();
        prop_assert_eq!((grant.expires, grant.session_id), (exp, Some(id)));
    }
}
