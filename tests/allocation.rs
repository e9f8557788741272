//! Admitting a segment allocates nothing: it happens on every request.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use sluicegate::domain::session::{At, Carry, Life, Sessions, Settings};
use sluicegate::domain::token::grant::Grant;
use sluicegate::domain::token::key::Secret;
use sluicegate::domain::uri::path::normalise;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator that counts can only be written so")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn admitting_a_segment_does_not_allocate() {
    let key = Secret::from_text("key").expect("it is not empty");
    let carry = Carry { id: true, data: true, ip: true, acl: true };
    let sessions = Sessions::new("example", &[("key", &key)], Settings { carry, ..Settings::default() });
    let grant = Grant {
        acl: Some("/vod/*!/live/*".to_owned()),
        expires: 0,
        ip: Some("203.0.113.7".to_owned()),
        session_id: Some("6547d31b".to_owned()),
        payload: Some("plan=gold".to_owned()),
        key_name: "key",
    };
    let now = Duration::from_secs(1_700_000_000);
    let session = sessions.mint(&grant, Life::Fixed { media_duration: None }, b"", now);
    let component = session.path_component();
    let query = session.query_pair();
    let at = At { path: "/vod/a/720p/42.m4s", client: "203.0.113.7".parse().expect("an address"), salt: b"" };
    for text in [&component, &query] {
        let value = text.strip_prefix("hdntl=").expect("it begins with its name");
        let before = ALLOCATIONS.with(Cell::get);
        let admitted = black_box(sessions.admit(value, &at, now));
        let is_normal = black_box(normalise(at.path)).is_ok();
        let after = ALLOCATIONS.with(Cell::get);
        assert!(admitted.is_ok_and(|admitted| admitted.id() == Some("6547d31b")) && is_normal);
        assert_eq!(after, before, "{text}");
    }
}
