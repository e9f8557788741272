//! Admitting a segment allocates nothing: it happens on every request.

mod counting;

use std::hint::black_box;
use std::time::Duration;

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
