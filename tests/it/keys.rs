//! Several keys at once: each verifies in its time, metrics tell them apart, and sessions may have a key of their own.

use std::time::Duration;

use crate::support::token::Access;
use crate::support::{START, TestEdge, get, stage};

const MASTER: &str = "/v/master.m3u8";
const OLD: &str = "00112233445566778899aabbccddeeff";
const NEW: &str = "ffeeddccbbaa99887766554433221100";

/// `START` is 2023-11-14T22:13:20Z.
fn access() -> String {
    format!(
        "access = {{ keys = [{{ name = \"2023-10\", from = {{ hex = \"{OLD}\" }}, not_after = 2023-11-14T22:15:00Z }}, {{ name = \"2023-11\", from = {{ hex = \"{NEW}\" }}, not_before = 2023-11-14T22:13:30Z }}] }}"
    )
}

fn signed_with(key: &str) -> String {
    Access { key, end: START + 1_000, ..Access::acl("/*") }.on(MASTER)
}

#[tokio::test]
async fn keys_overlap_and_each_counts_in_its_time() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, &access()).await;
    let (old, new) = (signed_with(OLD), signed_with(NEW));
    let statuses = async || (get(edge.address, &old).await.status, get(edge.address, &new).await.status);
    assert_eq!(statuses().await, (200, 403), "the new key does not count yet");
    edge.clock.advance(Duration::from_secs(10));
    assert_eq!(statuses().await, (200, 200), "both count");
    edge.clock.advance(Duration::from_secs(90));
    assert_eq!(statuses().await, (403, 200), "the old key counts no longer");
    assert_eq!(edge.metric("verifications_total", ",key=\"2023-10\"").await, 2);
    assert_eq!(edge.metric("verifications_total", ",key=\"2023-11\"").await, 2);
    assert_eq!(edge.metric("key_last_verified_seconds", ",key=\"2023-10\"").await, START + 10);
    assert_eq!(edge.metric("key_last_verified_seconds", ",key=\"2023-11\"").await, START + 100);
}

#[tokio::test]
async fn a_session_is_signed_with_a_key_that_lasts_as_long_as_it_does() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, &access()).await;
    edge.clock.advance(Duration::from_secs(90));
    // The item lasts 12 s, and its session a minute more: longer than the old key, which comes first, still counts.
    let entry = get(edge.address, &signed_with(OLD)).await;
    let child = format!("/v/{}", entry.uris()[0]);
    edge.clock.advance(Duration::from_secs(15));
    assert_eq!(get(edge.address, &child).await.status, 200, "its own key is over, the session is not");
}

#[tokio::test]
async fn sessions_may_have_a_key_of_their_own() {
    let origin = stage::origin().await;
    let key = format!("session = {{ key = {{ hex = \"{NEW}\" }} }}");
    let edge = TestEdge::start(&origin, &key).await;
    let entry = get(edge.address, &Access::acl("/*").on(MASTER)).await;
    let child = format!("/v/{}", entry.uris()[0]);
    assert_eq!(get(edge.address, &child).await.status, 200);
    assert_eq!(edge.metric("verifications_total", ",key=\"key\"").await, 1);
    assert_eq!(edge.metric("verifications_total", ",key=\"session\"").await, 1);
    let other = TestEdge::start(&origin, "").await;
    assert_eq!(get(other.address, &child).await.reason().as_deref(), Some("bad_signature"));
}
