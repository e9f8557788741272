//! No text is a valid token without its key, and none makes a verifier panic.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sluicegate::domain::session::{At, Life, Sessions, Settings as SessionSettings};
use sluicegate::domain::token::edgeauth::fields::{Fields, Writing};
use sluicegate::domain::token::edgeauth::verify::Verifier;
use sluicegate::domain::token::edgeauth::Settings;
use sluicegate::domain::token::grant::{Clients, Grant, Scope};
use sluicegate::domain::token::key::Secret;
use sluicegate::domain::token::keys::Keys;
use sluicegate::domain::token::presented::Presented;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fuzz_target!(|text: &str| {
    let key = Secret::from_bytes(vec![7; 32]).expect("32 bytes are no empty key");
    let now = Duration::from_secs(1_700_000_000);
    let settings = Settings { escape_inputs: true, ..Settings::with_key(key.clone()) };
    let presented = Presented { query: "x=1", ..Presented::for_path(text, "/a/b.m3u8", CLIENT) };
    assert!(Verifier::new(settings).verify(&presented, now).is_err());

    let sessions = Sessions::new("fuzz", &Keys::of([("key", key.clone())]), SessionSettings::default());
    let at = At { path: "/a/b.m3u8", client: CLIENT, salt: b"" };
    assert!(sessions.admit(text, &at, now).is_err());

    for delimiter_in_values in [false, true] {
        let _ = Fields::parse(text, Writing { delimiter: '~', delimiter_in_values, fields_max: 16 });
    }

    // What a signer puts into a token comes back out of the session, harmless.
    let grant = Grant {
        scope: Scope::Acl(text.to_owned()),
        expires: 0,
        clients: Clients::Address(text.to_owned()),
        session_id: Some(text.chars().take(16).collect()),
        payload: Some(text.chars().take(64).collect()),
        nonce: None,
        key_name: "key".into(),
    };
    let session = sessions.mint(&grant, Life::Renewable, b"", now);
    let component = session.path_component();
    assert!(component.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'"' | b'\\')));
    let value = component.strip_prefix("hdntl=").expect("a component begins with its name");
    assert_eq!(sessions.verify(value, &at, now).as_ref(), Ok(&session));
});
