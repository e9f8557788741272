//! The published vectors of Media CDN's samples, and the rules of verification.

use std::net::IpAddr;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::sign::{MintRequest, SigningKey, Target, sign};
use super::*;
use crate::domain::token::base64url;
use crate::domain::token::presented::Head;

/// `expiresTime` of the samples is 1663070400, `startTime` 1663027200.
const NOW: UnixTime = Duration::from_secs(1_663_050_001);
const SEED: &str = "DJUcnLguVFKmVCFnWGubG1MZg7fWAnxacMjKDhVZMGI=";
const SHARED: &str = "g_SlMILiIWKqsC6Z2L7gy0sReDOqtSrJrE7CXNr5Nl8=";
/// `/tmp/example.pub` of the samples.
const PUBLIC: &str = "9fb9f0be1cdad750b44ae53d6b2d6e5a30d27f31fe0a9201817c6a233f9877d4";

fn bytes(base64: &str) -> Vec<u8> {
    base64url::decode_either(base64).unwrap()
}

fn secret(base64: &str) -> Secret {
    Secret::from_bytes(bytes(base64)).unwrap()
}

fn ed25519() -> SigningKey {
    SigningKey::Ed25519(secret(SEED))
}

fn hmac(algorithm: Algorithm) -> SigningKey {
    SigningKey::Hmac(secret(SHARED), algorithm)
}

fn settings() -> Settings {
    let public = Key::public(Secret::from_hex(PUBLIC).unwrap().expose()).unwrap();
    let keys = Keys::of([("ed", public), ("shared", Key::shared(&secret(SHARED)))]);
    let algorithms = Algorithms { ed25519: true, hmac_sha256: true, hmac_sha1: true };
    Settings { algorithms, ..Settings::with_keys(keys) }
}

fn request(key: &SigningKey, target: Target) -> MintRequest<'_> {
    MintRequest {
        key,
        target,
        starts: None,
        expires: 1_663_070_400,
        session_id: None,
        data: None,
        headers: &[],
        ip_ranges: None,
    }
}

fn globs(globs: &str) -> Target {
    Target::PathGlobs(globs.to_owned())
}

fn client() -> IpAddr {
    "203.0.113.7".parse().unwrap()
}

fn presented<'a>(value: &'a str, path: &'a str) -> Presented<'a> {
    let base = Presented::for_path(value, path, client());
    Presented { head: Head { scheme: "http", authority: "10.20.30.40", ..base.head }, ..base }
}

fn verify(value: &str, path: &str) -> Result<Grant, Reason> {
    Verifier::new(settings()).verify(&presented(value, path), NOW)
}

fn sample_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("foo"), HeaderValue::from_static("bar"));
    headers.insert(HeaderName::from_static("baz"), HeaderValue::from_static("quux"));
    headers
}

/// python-docs-samples, `media_cdn/dualtoken_test.py`: its keys, its inputs, its expected tokens.
mod vectors {
    use super::*;

    const RANGES: &str = "203.0.113.0/24,2001:db8:4a7f:a732/64";

    const SIMPLE: [(&str, &str, &str); 9] = [
        (
            "ed25519",
            "URLPrefix",
            "URLPrefix=aHR0cDovLzEwLjIwLjMwLjQwLw~Expires=1663070400~Signature=OQLXEjnApFGJaGZ_jvp2R7VY5q3ic-HT3igFpi9iPsJRXtQuvPF4cxZUT-rtCqzteXx3vSRhk09FxgDQauO_DA",
        ),
        (
            "ed25519",
            "PathGlobs",
            "PathGlobs=/*~Expires=1663070400~Signature=9pBdD_6O6LB-4V67HZ_SOc2G_jIkSZ_tMsKnVqElmPlwKB_xDiW7DKAnv8L8CmweeZquaLFlnLogbMcIV8bNCQ",
        ),
        (
            "ed25519",
            "FullPath",
            "FullPath~Expires=1663070400~Signature=X74OTNjtseIUmsab-YiOTZ8jyX_KG7v4YQWwcFpfFmjhzaX8NdweMc9Wglj8wxEsEW85g3_MBG3T9jzLZFQDCw",
        ),
        (
            "sha1",
            "URLPrefix",
            "URLPrefix=aHR0cDovLzEwLjIwLjMwLjQwLw~Expires=1663070400~hmac=6f5b4bb82536810d5ee111cba3e534d49c6ac3cb",
        ),
        (
            "sha1",
            "PathGlobs",
            "PathGlobs=/*~Expires=1663070400~hmac=c1c446eea24faa31392519f975fea7eefb945625",
        ),
        ("sha1", "FullPath", "FullPath~Expires=1663070400~hmac=7af78177d6bc001d5626eefe387b1774a4a99ca2"),
        (
            "sha256",
            "URLPrefix",
            "URLPrefix=aHR0cDovLzEwLjIwLjMwLjQwLw~Expires=1663070400~hmac=409722313cf6d987da44bb360e60dccc3d79764520fc5e3b57654e1d4d2c862e",
        ),
        (
            "sha256",
            "PathGlobs",
            "PathGlobs=/*~Expires=1663070400~hmac=9439ecdd5c4919f76f915dea72afa85a045579794e63d8cda664f5a1140c8d93",
        ),
        (
            "sha256",
            "FullPath",
            "FullPath~Expires=1663070400~hmac=365b41fd77297371d890fc9a56e4e3d3baa4c7afbd230a0e9a81c8e1bcab9420",
        ),
    ];

    const ALL_PARAMS: [(&str, &str); 3] = [
        (
            "ed25519",
            "PathGlobs=/*~Starts=1663027200~Expires=1663070400~SessionID=test-id~Data=test-data~Headers=Foo,BAZ~IPRanges=MjAzLjAuMTEzLjAvMjQsMjAwMTpkYjg6NGE3ZjphNzMyLzY0~Signature=A7u67hveGxGvP8KBWZlUuH0IsqhS4a2lcsXwy3uc4X3zaVuw7LY-2FQT1ZF8UxkSFAsDS3_0LYnXwXB2XdepDg",
        ),
        (
            "sha1",
            "PathGlobs=/*~Starts=1663027200~Expires=1663070400~SessionID=test-id~Data=test-data~Headers=Foo,BAZ~IPRanges=MjAzLjAuMTEzLjAvMjQsMjAwMTpkYjg6NGE3ZjphNzMyLzY0~hmac=b8242e8b76cbfbbd61b3540ed0eb60a2ec2fdbdb",
        ),
        (
            "sha256",
            "PathGlobs=/*~Starts=1663027200~Expires=1663070400~SessionID=test-id~Data=test-data~Headers=Foo,BAZ~IPRanges=MjAzLjAuMTEzLjAvMjQsMjAwMTpkYjg6NGE3ZjphNzMyLzY0~hmac=dda9c3d6f3b2e867a09fbb76209ea138dd81f8512210f970d1e92f90927bef4b",
        ),
    ];

    fn key(algorithm: &str) -> SigningKey {
        match algorithm {
            "ed25519" => ed25519(),
            name => hmac(name.parse().unwrap()),
        }
    }

    #[test]
    fn the_samples_keys_belong_together() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&bytes(SEED)).unwrap();
        assert_eq!(pair.public_key().as_ref(), Secret::from_hex(PUBLIC).unwrap().expose());
    }

    #[test]
    fn every_simple_token_of_the_samples_is_made_and_verified() {
        for (algorithm, field, token) in SIMPLE {
            let target = match field {
                "URLPrefix" => Target::UrlPrefix("http://10.20.30.40/".to_owned()),
                "PathGlobs" => globs("/*"),
                _ => Target::FullPath("/example.m3u8".to_owned()),
            };
            let minted = sign(&request(&key(algorithm), target)).map(|minted| minted.token);
            assert_eq!(minted.as_deref(), Ok(token));
            let grant = verify(token, "/example.m3u8").expect(token);
            assert_eq!(&*grant.key_name, if algorithm == "ed25519" { "ed" } else { "shared" });
            assert_eq!(grant.expires, 1_663_070_400);
            let scope = if field == "FullPath" { Scope::Url } else { Scope::Acl("/*".to_owned()) };
            assert_eq!(grant.scope, scope, "{token}");
        }
    }

    #[test]
    fn the_samples_with_every_field_are_made_and_verified() {
        let headers = [("Foo".to_owned(), "bar".to_owned()), ("BAZ".to_owned(), "quux".to_owned())];
        let sent = sample_headers();
        for (algorithm, token) in ALL_PARAMS {
            let key = key(algorithm);
            let minted = sign(&MintRequest {
                starts: Some(1_663_027_200),
                session_id: Some("test-id"),
                data: Some("test-data"),
                headers: &headers,
                ip_ranges: Some(RANGES),
                ..request(&key, globs("/*"))
            });
            assert_eq!(minted.map(|minted| minted.token).as_deref(), Ok(token));
            let base = presented(token, "/a/b.m3u8");
            let with_headers = Presented { head: Head { headers: &sent, ..base.head }, ..base };
            let verifier = Verifier::new(settings());
            let grant = verifier.verify(&with_headers, NOW).expect(token);
            assert_eq!(grant.session_id.as_deref(), Some("test-id"));
            assert_eq!(grant.payload.as_deref(), Some("test-data"));
            // The second range of the samples is no network in any notation, so that only the first holds anybody.
            assert_eq!(grant.clients, Clients::Networks(vec!["203.0.113.0/24".parse().unwrap()]));
            let elsewhere = Presented { client: "198.51.100.1".parse().unwrap(), ..with_headers };
            assert_eq!(verifier.verify(&elsewhere, NOW), Err(Reason::IpMismatch));
            assert_eq!(verifier.verify(&base, NOW), Err(Reason::BadSignature), "the headers were not sent");
        }
    }

    /// `test_sign_path_component`: the older signature, whose key is the samples' shared secret taken as an Ed25519 seed.
    #[test]
    fn the_samples_path_component_opens_what_lies_under_it() {
        let token = "Expires=1663070400&KeyName=test-key&Signature=2hvmMKXW_e0bY3ViJNDSgoXDGvNj2L-UYTseTgtj96Va0S4FYxehka1k4hzWo2_87B9zqr_Ne4MMEdRfHUMUBw==";
        let pair = Ed25519KeyPair::from_seed_unchecked(&bytes(SHARED)).unwrap();
        let public = Key::public(pair.public_key().as_ref()).unwrap();
        let verifier = |name: &str| Verifier::new(Settings::with_keys(Keys::of([(name, public.clone())])));
        let judge = |name: &str, before: &str, host: &str| {
            let target = format!("{before}edge-cache-token={token}/test-filename");
            let path = format!("{before}test-filename");
            let base = Presented::for_path(token, &path, client());
            let head = Head { authority: host, target: &target, ..base.head };
            verifier(name).verify(&Presented { location: Location::Path, head, ..base }, NOW)
        };
        let grant = judge("test-key", "/", "example.com").expect("a grant");
        assert_eq!(grant.scope, Scope::Acl("/*".to_owned()));
        assert_eq!(judge("test-key", "/other/", "example.com"), Err(Reason::UrlMismatch));
        assert_eq!(judge("test-key", "/", "example.org"), Err(Reason::UrlMismatch));
        assert_eq!(
            judge("another-key", "/", "example.com"),
            Err(Reason::UrlMismatch),
            "KeyName names its key"
        );
    }
}

#[test]
fn globs_are_separated_by_commas_or_exclamation_marks() {
    for text in ["/tv/*,/film/*", "/tv/*!/film/*"] {
        let token = sign(&request(&ed25519(), globs(text))).unwrap().token;
        let grant = verify(&token, "/film/a/b.ts").expect(text);
        assert_eq!(grant.scope, Scope::Acl("/tv/*!/film/*".to_owned()));
        assert_eq!(verify(&token, "/other/b.ts"), Err(Reason::AclMismatch));
    }
    let both = sign(&request(&ed25519(), globs("/a/*,/b/*!/c/*"))).unwrap().token;
    assert_eq!(verify(&both, "/a/x"), Err(Reason::Malformed));
}

/// A token over any signed part, well-formed or not.
fn forged(signed: &str) -> String {
    let mut token = format!("{signed}~hmac=");
    Signer::new(&secret(SHARED), Algorithm::Sha256).sign(&[signed.as_bytes()]).write_hex(&mut token);
    token
}

#[test]
fn other_spellings_are_read_and_count_as_the_same_field() {
    for signed in [
        "acl=/*~exp=1663070400~id=s~data=p",
        "paths=/*~st=1663027200~Expires=1663070400~SessionID=s~payload=p",
        "Expires=1663070400~PathGlobs=/*~Data=p~SessionID=s",
    ] {
        let grant = verify(&forged(signed), "/a").expect(signed);
        let found = (grant.session_id.as_deref(), grant.payload.as_deref(), grant.expires);
        assert_eq!(found, (Some("s"), Some("p"), 1_663_070_400), "{signed}");
    }
}

#[test]
fn what_is_doubled_unknown_empty_or_missing_is_refused() {
    for signed in [
        "PathGlobs=/*~Expires=1~Expires=1663070400",
        "PathGlobs=/*~acl=/*~Expires=1663070400",
        "PathGlobs=/*~Expires=1663070400~Data=a~payload=b",
        "PathGlobs=/*~Expires=1663070400~exp=1663070400",
        "PathGlobs=/*~Expires=1663070400~Data=a~Expires=9999999999",
        "PathGlobs=/*~FullPath~Expires=1663070400",
        "PathGlobs=/*~Expires=1663070400~KeyName=shared",
        "PathGlobs=/*~Expires=1663070400~alg=none",
        "PathGlobs=/*~Expires=1663070400~pathglobs=/*",
        "PathGlobs=/*~Expires=1663070400~",
        "PathGlobs=~Expires=1663070400",
        "FullPath=/a~Expires=1663070400",
        "PathGlobs=/*~Expires=-1",
        "PathGlobs=/*~Expires=1e9",
        "PathGlobs=/*~Starts=1663070400~Expires=1663070400",
        "PathGlobs=/*",
        "Expires=1663070400",
        "URLPrefix=/a~Expires=1663070400",
        "URLPrefix=L2E~Expires=1663070400",
        "PathGlobs=/*~Expires=1663070400~IPRanges=*",
        "PathGlobs=/*~Expires=1663070400~Headers=a b",
        "",
    ] {
        assert_eq!(verify(&forged(signed), "/a"), Err(Reason::Malformed), "{signed}");
    }
    let ids = format!("PathGlobs=/*~Expires=1663070400~SessionID={}", "i".repeat(65));
    assert_eq!(verify(&forged(&ids), "/a"), Err(Reason::Malformed));
}

#[test]
fn a_prefix_has_scheme_and_host_and_covers_what_it_begins() {
    for (prefix, outcome) in [
        ("http://10.20.30.40/a/", Ok(())),
        ("http://10.20.30.40/a/b.m3", Ok(())),
        ("HTTP://10.20.30.40", Err(Reason::Malformed)),
        ("http://10.20.30.40", Ok(())),
        ("http://10.20.30.4", Err(Reason::UrlMismatch)),
        ("https://10.20.30.40/a/", Err(Reason::UrlMismatch)),
        ("http://10.20.30.40/b/", Err(Reason::UrlMismatch)),
    ] {
        let token = sign(&request(&ed25519(), Target::UrlPrefix(prefix.to_owned()))).unwrap().token;
        assert_eq!(verify(&token, "/a/b.m3u8").map(|_| ()), outcome, "{prefix}");
    }
}

#[test]
fn times_are_judged_after_the_signature() {
    let judge = |signed: &str, now: u64| {
        let token = forged(signed);
        Verifier::new(settings()).verify(&presented(&token, "/a"), Duration::from_secs(now)).map(|_| ())
    };
    let signed = "PathGlobs=/*~Starts=1663027200~Expires=1663070400";
    assert_eq!(judge(signed, 1_663_027_195), Ok(()));
    assert_eq!(judge(signed, 1_663_027_194), Err(Reason::NotYetValid));
    assert_eq!(judge(signed, 1_663_070_399), Ok(()));
    assert_eq!(judge(signed, 1_663_070_400), Err(Reason::Expired));
    let ahead = Settings { expiry_ahead_max: Some(Duration::from_mins(1)), ..settings() };
    let token = forged(signed);
    let far = Verifier::new(ahead).verify(&presented(&token, "/a"), NOW);
    assert_eq!(far, Err(Reason::ExpiryTooFar));
}

#[test]
fn only_the_configured_algorithms_count_and_a_public_key_is_no_secret() {
    let token = sign(&request(&hmac(Algorithm::Sha1), globs("/*"))).unwrap().token;
    let strict = Settings::with_keys(settings().keys);
    assert_eq!(Verifier::new(strict.clone()).verify(&presented(&token, "/a"), NOW), Err(Reason::Malformed));
    let story = Verifier::new(strict).explain(&presented(&token, "/a"), NOW);
    assert!(story.cures.iter().any(|cure| cure.contains("hmac-sha1")), "{story:?}");
    // The classic confusion: the public key, which everybody knows, used as an HMAC's secret.
    let confused = SigningKey::Hmac(Secret::from_hex(PUBLIC).unwrap(), Algorithm::Sha256);
    let token = sign(&request(&confused, globs("/*"))).unwrap().token;
    assert_eq!(verify(&token, "/a"), Err(Reason::BadSignature));
}

#[test]
fn a_cookies_separator_and_its_key_name_are_read() {
    let prefix = base64url::encode("http://10.20.30.40/a/");
    let signed = format!("URLPrefix={prefix}:Expires=1663070400:KeyName=ed");
    let pair = Ed25519KeyPair::from_seed_unchecked(&bytes(SEED)).unwrap();
    let cookie = format!("{signed}:Signature={}", base64url::encode(pair.sign(signed.as_bytes())));
    assert!(verify(&cookie, "/a/b.ts").is_ok());
    assert_eq!(verify(&cookie.replace("KeyName=ed", "KeyName=shared"), "/a/b.ts"), Err(Reason::BadSignature));
}

#[test]
fn a_token_that_was_escaped_on_its_way_is_read() {
    let token = sign(&request(&ed25519(), globs("/a b/*"))).unwrap().token;
    let escaped = token.replace('~', "%7E").replace('=', "%3D").replace('/', "%2F").replace(' ', "%20");
    assert!(verify(&escaped, "/a%20b/c").is_ok());
}

#[test]
fn an_openssl_public_key_is_read_with_its_wrapping() {
    let raw = Secret::from_hex(PUBLIC).unwrap();
    let wrapped = Secret::from_hex(&format!("302a300506032b6570032100{PUBLIC}")).unwrap();
    assert!(Key::public(raw.expose()).is_some() && Key::public(wrapped.expose()).is_some());
    assert!(Key::public(&raw.expose()[1..]).is_none());
    assert_eq!(format!("{:?}", Key::public(raw.expose())), "Some(Key(..))");
}

proptest! {
    #[test]
    fn a_changed_bit_is_refused(index in any::<prop::sample::Index>(), bit in 0_u32..7, is_ed in any::<bool>()) {
        let key = if is_ed { ed25519() } else { hmac(Algorithm::Sha256) };
        let token = sign(&MintRequest { session_id: Some("id"), ..request(&key, globs("/*")) }).unwrap().token;
        let mut bytes = token.clone().into_bytes();
        let at = index.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(verify(&changed, "/a").is_err(), "{}", changed);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "(PathGlobs=|URLPrefix=|FullPath|Expires=|Headers=|IPRanges=|[a-e0-9=~:&%é,!]|~hmac=[0-9a-f]{64}|~Signature=[A-Za-z0-9_-]{86}){0,20}", path in "/[a-z%]{0,8}") {
        let verifier = Verifier::new(settings());
        let presented = presented(&text, &path);
        prop_assert!(verifier.verify(&presented, NOW).is_err());
        prop_assert!(!verifier.explain(&presented, NOW).valid);
        let in_path = Presented { location: Location::Path, ..presented };
        prop_assert!(verifier.verify(&in_path, NOW).is_err());
    }
}
