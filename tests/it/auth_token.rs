//! Akamai's *Auth Token 2.0 Verification*: each option of its table, under its defaults.

use sluicegate::domain::token::edgeauth::dialect::Dialect;
use sluicegate::domain::token::key::Algorithm;

use super::support::logged::LoggedEdge;
use super::support::token::Access;
use super::support::{KEY, Reply, START, TestEdge, TestOrigin, request, stage};

const SEGMENT: &str = "/v/360p/seg0.m4s";
const OTHER_KEY: &str = "aabbccddeeff00112233445566778899";

/// An edge with the preset and these further keys of its access table.
async fn edge(origin: &TestOrigin, keys: &str) -> TestEdge {
    TestEdge::start(origin, &access(keys)).await
}

fn access(keys: &str) -> String {
    let separator = if keys.is_empty() { "" } else { ", " };
    format!("access = {{ preset = \"auth-token-2.0\", key = {{ hex = \"{KEY}\" }}{separator}{keys} }}")
}

async fn with_cookie(edge: &TestEdge, target: &str, token: &str) -> Reply {
    request(edge.address, "GET", target, &[("cookie", &format!("a=b; __token__={token}"))]).await
}

fn escaped(access: Access<'_>) -> Access<'_> {
    Access { escape: Some(Dialect::Python), ..access }
}

#[tokio::test]
async fn token_location_and_name_default_to_the_cookie_of_the_behavior() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "").await;
    let token = Access::acl("/*").text();
    assert_eq!(with_cookie(&edge, SEGMENT, &token).await.status, 200);
    for (target, fields) in [
        (format!("{SEGMENT}?__token__={token}"), vec![]),
        (SEGMENT.to_owned(), vec![("__token__", token.as_str())]),
        (SEGMENT.to_owned(), vec![("cookie", "hdnts=x")]),
    ] {
        let reply = request(edge.address, "GET", &target, &fields).await;
        assert_eq!(reply.reason().as_deref(), Some("no_token"), "{target} {fields:?}");
    }
    stage::assert_no_token_reached_but(&origin, &[]);
}

#[tokio::test]
async fn token_location_and_name_can_be_chosen() {
    let origin = stage::origin().await;
    let token = Access::acl("/*").text();
    let in_query = edge(&origin, "locations = [\"query\"], name = \"tok\"").await;
    let reply = request(in_query.address, "GET", &format!("{SEGMENT}?tok={token}"), &[]).await;
    assert_eq!(reply.status, 200);
    let in_header = edge(&origin, "locations = [\"header\"], name = \"X-Token\"").await;
    assert_eq!(request(in_header.address, "GET", SEGMENT, &[("x-token", &token)]).await.status, 200);
    assert_eq!(with_cookie(&in_header, SEGMENT, &token).await.status, 403);
}

#[tokio::test]
async fn inputs_are_escaped_unless_told_otherwise() {
    let origin = stage::origin().await;
    let path = format!("{SEGMENT}?a=(1)");
    let (escaping, plain) = (edge(&origin, "").await, edge(&origin, "escape_inputs = false").await);
    let (with, without) = (escaped(Access::url(&path)).text(), Access::url(&path).text());
    assert_eq!(with_cookie(&escaping, &path, &with).await.status, 200);
    assert_eq!(with_cookie(&escaping, &path, &without).await.status, 403);
    assert_eq!(with_cookie(&plain, &path, &without).await.status, 200);
    assert_eq!(with_cookie(&plain, &path, &with).await.status, 403);
}

#[tokio::test]
async fn the_query_is_part_of_the_url_unless_it_is_ignored() {
    let origin = stage::origin().await;
    let (strict, lenient) = (edge(&origin, "").await, edge(&origin, "ignore_query = true").await);
    let bare = escaped(Access::url(SEGMENT)).text();
    let target = format!("{SEGMENT}?a=1");
    assert_eq!(with_cookie(&strict, SEGMENT, &bare).await.status, 200);
    assert_eq!(with_cookie(&strict, &target, &bare).await.reason().as_deref(), Some("url_mismatch"));
    assert_eq!(with_cookie(&lenient, &target, &bare).await.status, 200);
}

#[tokio::test]
async fn the_transition_key_the_salt_and_the_algorithm_are_those_that_are_configured() {
    let origin = stage::origin().await;
    let salt = "0123456789abcdef";
    let edge = edge(
        &origin,
        &format!(
            "transition_key = {{ hex = \"{OTHER_KEY}\" }}, salt = {{ text = \"{salt}\" }}, algorithm = \"sha1\""
        ),
    )
    .await;
    let good = Access { salt: Some(salt), algorithm: Algorithm::Sha1, ..Access::acl("/*") };
    for (token, status) in [
        (good.clone(), 200),
        (Access { key: OTHER_KEY, ..good.clone() }, 200),
        (Access { key: "00ff", ..good.clone() }, 403),
        (Access { salt: None, ..good.clone() }, 403),
        (Access { algorithm: Algorithm::Sha256, ..good.clone() }, 403),
        (Access { end: START - 1, ..good }, 403),
    ] {
        assert_eq!(with_cookie(&edge, SEGMENT, &token.text()).await.status, status, "{token:?}");
    }
}

#[tokio::test]
async fn a_session_id_has_36_bytes_at_most() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "").await;
    for (bytes, status) in [(36, 200), (37, 403)] {
        let id = "x".repeat(bytes);
        let token = Access { id: Some(&id), ..Access::acl("/*") }.text();
        assert_eq!(with_cookie(&edge, SEGMENT, &token).await.status, status, "{bytes} bytes");
    }
}

#[tokio::test]
async fn just_verify_tells_the_origin_the_log_and_the_rules_what_no_client_can_forge() {
    let origin = stage::origin().await;
    let access = access("action = \"verify-only\", result_header = \"X-Token-Result\"");
    let rule = "rule = [{ name = \"bad\", when = { token = [\"bad_signature\"] }, deny = 429 }]";
    let edge = TestEdge::start(&origin, &format!("{access}\n{rule}")).await;
    let told = || origin.asked().last().cloned().expect("it was asked");
    let forged = [
        ("X-Token-Result", "valid"),
        ("x_token_result", "valid"),
        ("X-Token_Result", "valid"),
        ("x.token.result", "valid"),
    ];
    let reply = request(edge.address, "GET", SEGMENT, &forged).await;
    assert_eq!(reply.status, 200);
    assert_eq!(told().header("x-token-result").as_deref(), Some("no_token"));
    for name in ["x_token_result", "x-token_result", "x.token.result"] {
        assert_eq!(told().header(name), None, "{}", told().head);
    }
    let reply = with_cookie(&edge, SEGMENT, &Access::acl("/*").text()).await;
    assert_eq!((reply.status, told().header("x-token-result").as_deref()), (200, Some("valid")));
    let wrong = Access { key: OTHER_KEY, ..Access::acl("/*") }.text();
    assert_eq!(with_cookie(&edge, SEGMENT, &wrong).await.status, 429, "a rule sees the result");
    assert_eq!(edge.metric("unverified_total", ",reason=\"no_token\"").await, 1);
}

#[tokio::test]
async fn just_verify_without_a_header_shares_what_it_keeps() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "action = \"verify-only\", result_header = \"\"").await;
    assert_eq!(request(edge.address, "GET", SEGMENT, &[]).await.status, 200);
    assert_eq!(with_cookie(&edge, SEGMENT, &Access::acl("/*").text()).await.status, 200);
    assert_eq!(origin.asked_for(SEGMENT).len(), 1, "nothing that reaches the origin tells viewers apart");
    assert!(origin.asked().iter().all(|asked| !asked.head.to_ascii_lowercase().contains("token")));
}

#[tokio::test]
async fn the_result_stands_in_the_log() {
    let origin = stage::origin().await;
    let edge = LoggedEdge::start(&origin, "json", "");
    request(edge.address, "GET", SEGMENT, &[]).await;
    let log = edge.finish().await;
    assert!(
        log.contains("\"token_result\":\"no_token\"") && log.contains("\"reason\":\"no_token\""),
        "{log}"
    );
}
