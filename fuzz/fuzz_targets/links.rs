//! No secure link and no token of Media CDN verifies without its key, and none makes a verifier panic, wherever it stands.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sluicegate::domain::token::key::Secret;
use sluicegate::domain::token::keys::Keys;
use sluicegate::domain::token::media_cdn::{self, Algorithms, Key};
use sluicegate::domain::token::presented::{Head, Location, Presented};
use sluicegate::domain::token::secure_link::{self, expression::Expression};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: Duration = Duration::from_secs(1_700_000_000);

fuzz_target!(|text: &str| {
    let key = Secret::from_bytes(vec![7; 32]).expect("32 bytes are no empty key");

    let link = secure_link::Verifier::new(secure_link::Settings {
        path_prefix: Some("/p".to_owned()),
        ..secure_link::Settings::with_key(key.clone())
    });
    let media = media_cdn::Verifier::new(media_cdn::Settings {
        algorithms: Algorithms { ed25519: true, hmac_sha256: true, hmac_sha1: true },
        ..media_cdn::Settings::with_keys(Keys::of([("key", Key::shared(&key))]))
    });
    let target = format!("/a/b.m3u8?st={text}&e={text}&edge-cache-token={text}");
    let plain = Presented::for_path(text, "/a/b.m3u8", CLIENT);
    let in_query = Presented { head: Head { target: &target, ..plain.head }, ..plain };
    for location in [Location::Query, Location::Cookie, Location::Path] {
        let presented = Presented { location, ..in_query };
        assert!(link.verify(&presented, NOW).is_err() && !link.explain(&presented, NOW).valid);
        assert!(media.verify(&presented, NOW).is_err() && !media.explain(&presented, NOW).valid);
    }
    for path in [text.to_owned(), format!("/p/{text}"), format!("/p/aaaaaaaaaaaaaaaaaaaaaa/1700000300/{text}")] {
        if let Ok(Some(leading)) = link.leading_token(&path) {
            assert!(path[..leading.bytes].contains(leading.value));
            let presented = Presented { value: leading.value, location: Location::Path, raw_path: &path, ..plain };
            assert!(link.verify(&presented, NOW).is_err());
        }
    }

    let limits = media_cdn::Settings::with_keys(Keys::of([("key", Key::shared(&key))])).limits;
    if let Ok(fields) = media_cdn::fields::Fields::parse(text, &limits) {
        let _ = fields.signed_value(text, "/a/b.m3u8", "");
    }
    // An expression of an operator.
    if let Ok(expression) = text.parse::<Expression>() {
        let _ = (expression.has_expires(), expression.has_address(), expression.is_ambiguous());
    }
});
