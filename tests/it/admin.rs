//! The operators' listener: who is let in, what a body may be, and how a refusal reads.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::client::{Reply, send};
use crate::support::{TestEdge, TestOrigin, get, request};

const TOKEN: &str = "operators-only";

/// An edge whose `[admin]` has these further keys.
async fn edge(origin: &TestOrigin, keys: &str) -> TestEdge {
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n{keys}\n[log]\naccess = \"off\"\n\
         [[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ action = \"open\" }}\n",
        origin.address
    );
    TestEdge::with_text(&text).await
}

/// A POST with this body and these further header fields.
pub async fn post(admin: SocketAddr, path: &str, fields: &[(&str, &str)], body: &str) -> Reply {
    let mut head = format!("POST {path} HTTP/1.1\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    if !fields.iter().any(|(name, _)| *name == "host") {
        head.push_str(&format!("host: {admin}\r\n"));
    }
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    send(admin, format!("{head}\r\n{body}").as_bytes(), false).await
}

pub const JSON: (&str, &str) = ("content-type", "application/json");

fn problem(reply: &Reply) -> Value {
    assert_eq!(reply.header("content-type").as_deref(), Some("application/problem+json"), "{}", reply.head);
    let problem: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(problem["status"], u64::from(reply.status));
    problem
}

#[tokio::test]
async fn what_changes_something_needs_the_token() {
    let origin = TestOrigin::start().await;
    let edge = edge(&origin, &format!("token = {{ text = \"{TOKEN}\" }}")).await;
    let all = "{\"all\":true}";
    for fields in [vec![JSON], vec![JSON, ("authorization", "Bearer wrong")]] {
        let refused = post(edge.admin, "/purge", &fields, all).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("www-authenticate").as_deref(), Some("Bearer"));
        assert!(!refused.text().contains(TOKEN));
        problem(&refused);
    }
    let bearer = format!("Bearer {TOKEN}");
    let shown = [JSON, ("authorization", bearer.as_str()), ("origin", "https://console.example")];
    assert_eq!(post(edge.admin, "/purge", &shown, all).await.status, 200);
    assert_eq!(edge_count(&edge, &bearer, "admin_requests_total{area=\"purge\",result=\"4xx\"}").await, 2);
}

async fn edge_count(edge: &TestEdge, bearer: &str, counter: &str) -> u64 {
    let text = request(edge.admin, "GET", "/metrics", &[("authorization", bearer)]).await.text();
    let start = format!("sluicegate_{counter} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&start));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {counter} in {text}"))
}

#[tokio::test]
async fn without_a_token_no_page_in_a_browser_changes_anything() {
    let origin = TestOrigin::start().await;
    let edge = edge(&origin, "").await;
    let all = "{\"all\":true}";
    for (fields, status) in [
        (vec![JSON], 200),
        (vec![JSON, ("host", "localhost:9090")], 200),
        (vec![JSON, ("host", "[::1]:9090")], 200),
        (vec![JSON, ("host", "rebound.example")], 403),
        (vec![JSON, ("host", "127.0.0.1.rebound.example")], 403),
        (vec![JSON, ("origin", "http://page.example")], 403),
        (vec![JSON, ("origin", "null")], 403),
        (vec![("content-type", "text/plain")], 415),
        (vec![], 415),
    ] {
        let reply = post(edge.admin, "/purge", &fields, all).await;
        assert_eq!(reply.status, status, "{fields:?}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_body_is_read_within_its_limits() {
    let origin = TestOrigin::start().await;
    let edge = edge(&origin, "body_max = \"1KiB\"\nbody_timeout = \"50ms\"").await;
    let long = format!("{{\"url\":\"{}\"}}", "x".repeat(2_000));
    let refused = post(edge.admin, "/purge", &[JSON], &long).await;
    assert_eq!(refused.status, 413);
    assert!(problem(&refused)["detail"].as_str().unwrap().contains("body_max"));
    let head = format!(
        "POST /purge HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n{{",
        edge.admin
    );
    let late = send(edge.admin, head.as_bytes(), false).await;
    assert_eq!(late.status, 408, "{}", late.text());
}

#[tokio::test]
async fn a_problem_names_the_field_and_the_cure() {
    let origin = TestOrigin::start().await;
    let edge = edge(&origin, "").await;
    for (body, field, told) in [
        ("{}", "url", "one of url, prefix, tag, all"),
        ("{\"url\":\"http://h/a\",\"all\":true}", "url", "no more"),
        ("{\"url\":\"nowhere\"}", "url", "https://host/path"),
        ("{\"url\":\"ftp://h/a\"}", "url", "https://host/path"),
        ("{\"url\":\"http://h/a%2fb\"}", "url", "escaped slash"),
        ("{\"url\":\"/a\"}", "property", "a path alone needs it"),
        ("{\"prefix\":\"http://h/a?b\"}", "prefix", "no query"),
        ("{\"tag\":\"two words\"}", "tag", "one word"),
        ("{\"all\":true,\"property\":\"other\"}", "property", "there is no property \"other\""),
    ] {
        let reply = post(edge.admin, "/purge", &[JSON], body).await;
        let problem = problem(&reply);
        assert_eq!((reply.status, problem["field"].as_str()), (400, Some(field)), "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{body}: {problem}");
    }
    for (body, told) in [("{\"al\":true}", "unknown field `al`"), ("{", "EOF"), ("{\"all\":1}", "boolean")] {
        let reply = post(edge.admin, "/purge", &[JSON], body).await;
        assert_eq!(reply.status, 400);
        assert!(problem(&reply)["detail"].as_str().unwrap().contains(told), "{body}: {}", reply.text());
    }
    assert_eq!(get(edge.admin, "/purge").await.header("allow").as_deref(), Some("POST"));
    assert_eq!(problem(&get(edge.admin, "/nothing").await)["status"], 404);
}
