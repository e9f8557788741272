//! No JWT and no Common Access Token verifies without its key, and none makes a verifier panic, signed or not.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sluicegate::domain::token::key::Secret;
use sluicegate::domain::token::keys::Keys;
use sluicegate::domain::token::presented::Presented;
use sluicegate::domain::token::signature::{Algorithm, IssuerKey, VerificationKey};
use sluicegate::domain::token::{base64url, cat, jwt};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: Duration = Duration::from_secs(1_700_000_000);

fuzz_target!(|data: &[u8]| {
    let jwt = jwt_verifier();
    let cat = cat_verifier();
    let text = String::from_utf8_lossy(data);
    for token in [text.as_ref(), &base64url::encode(data)] {
        let presented = Presented::for_path(token, "/a/b.m3u8", CLIENT);
        assert!(jwt.verify(&presented, NOW).is_err());
        assert!(cat.verify(&presented, NOW).is_err());
        assert!(!jwt.explain(&presented, NOW).valid && !cat.explain(&presented, NOW).valid);
    }

    // Claims that a signer may write.
    let input = format!("{}.{}", base64url::encode(r#"{"alg":"HS256"}"#), base64url::encode(data));
    let token = jwt::sign::token(&input, &key().mac(input.as_bytes()).expect("a secret signs"));
    let _ = jwt.verify(&Presented::for_path(&token, "/a/b.m3u8", CLIENT), NOW);
    // The bytes of [protected, unprotected, claims, tag] with these claims, MACed by hand.
    if let Ok(length) = u16::try_from(data.len()) {
        let claims = [&[0x59][..], &length.to_be_bytes(), data].concat();
        let signed = [&[0x84, 0x64][..], b"MAC0", &[0x43, 0xa1, 0x01, 0x05, 0x40], &claims].concat();
        let tag = key().mac(&signed).expect("a secret signs");
        let token = [&[0xd1, 0x84, 0x43, 0xa1, 0x01, 0x05, 0xa0][..], &claims, &[0x58, 32], &tag].concat();
        let token = base64url::encode(token);
        let _ = cat.explain(&Presented::for_path(&token, "/a/b.m3u8", CLIENT), NOW);
    }

    let _ = jwt::jwk::parse_set(data);
    let _ = jwt::container::Container::parse(&text, jwt::Limits::default());
    let _ = jwt::sign::shown(&text);
    let _ = cat::sign::shown(&base64url::encode(data));
    if let Ok(split) = jwt::package::split(&text, "t") {
        assert!(split.token.is_some() || split.path == text);
    }
});

fn key() -> VerificationKey {
    let secret = Secret::from_bytes(vec![7; 32]).expect("32 bytes are no empty key");
    VerificationKey::hmac(Algorithm::Hs256, &secret).expect("32 bytes are enough")
}

fn keys() -> Keys<Arc<IssuerKey>> {
    Keys::of([("key", Arc::new(IssuerKey { id: None, issuers: Vec::new(), key: key() }))])
}

fn jwt_verifier() -> jwt::verify::Verifier {
    let settings = jwt::Settings {
        profile: jwt::Profile::UriSigning { clear_personal_data: true },
        nonce: jwt::Nonce::Names,
        audiences: Vec::new(),
        expiry_required: true,
        expiry_ahead_max: None,
        limits: jwt::Limits::default(),
    };
    jwt::verify::Verifier::new(settings, keys(), Vec::new())
}

fn cat_verifier() -> cat::verify::Verifier {
    let settings = cat::Settings {
        audiences: Vec::new(),
        expiry_required: true,
        expiry_skew: Duration::ZERO,
        start_skew: Duration::ZERO,
        expiry_ahead_max: None,
        uses_counted: false,
        claims_ignored: Vec::new(),
        limits: cat::Limits::default(),
    };
    cat::verify::Verifier::new(settings, keys())
}
