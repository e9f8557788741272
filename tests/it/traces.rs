//! Spans as a collector of OpenTelemetry gets them, over real HTTP; and what becomes of viewers when it is not there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use sluicegate::domain::uri::hex::hex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::token::Access;
use crate::support::{Answer, KEY, START, TestEdge, TestOrigin, field, get, request, stage};

const MASTER: &str = "/v/master.m3u8";
const SECRET: &str = "collectors-secret-41";
const OUTER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The heads and the messages that came.
type Got = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector that keeps what it is sent.
struct Collector {
    address: SocketAddr,
    got: Got,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let got = Got::default();
        let kept = got.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut data = Vec::new();
                let end = loop {
                    if let Some(end) = data.windows(4).position(|window| window == b"\r\n\r\n") {
                        break end + 4;
                    }
                    assert!(stream.read_buf(&mut data).await.expect("readable") > 0, "a whole head");
                };
                let head = String::from_utf8(data[..end].to_vec()).expect("text");
                let length: usize =
                    field(&head, "content-length").and_then(|text| text.parse().ok()).expect("a length");
                while data.len() < end + length {
                    assert!(stream.read_buf(&mut data).await.expect("readable") > 0, "a whole body");
                }
                kept.lock().expect("sound").push((head, data[end..].to_vec()));
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.expect("sent");
            }
        });
        Self { address, got }
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (_, message) in self.got.lock().expect("sound").iter() {
            let message = ExportTraceServiceRequest::decode(&message[..]).expect("protobuf");
            for resource in message.resource_spans {
                let named = texts(&resource.resource.expect("a resource").attributes);
                assert_eq!(named["service.name"], "edge-7");
                for scope in resource.scope_spans {
                    assert_eq!(scope.scope.expect("a scope").name, "sluicegate");
                    spans.extend(scope.spans);
                }
            }
        }
        spans
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref().and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|one| (one.key.clone(), text(one))).collect()
}

/// An edge that traces to this endpoint; loopback is a trusted proxy where `trusts` says so.
async fn edge(origin: &TestOrigin, endpoint: &str, traces: &str, trusts: bool) -> TestEdge {
    let trusted = if trusts { "trusted_proxies = [\"127.0.0.0/8\"]\n" } else { "" };
    TestEdge::with_text(&format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n{trusted}[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n\
         [traces]\nendpoint = \"{endpoint}\"\nservice_name = \"edge-7\"\n{traces}\n\
         [[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n",
        origin.address
    ))
    .await
}

#[tokio::test]
async fn a_collector_gets_a_span_of_each_request_and_of_each_question_to_an_origin() {
    let origin = stage::origin().await;
    origin.at("/v/gone.ts", Answer::with("503 Service Unavailable", &[], ""));
    let collector = Collector::start().await;
    let endpoint = format!("http://{}/v1/traces", collector.address);
    let traces = format!(
        "interval = \"1h\"\nheaders = [{{ name = \"authorization\", value = {{ text = \"{SECRET}\" }} }}]"
    );
    let edge = edge(&origin, &endpoint, &traces, true).await;
    let access = Access { id: Some("viewer1"), ..Access::acl("/*") };
    let fields = [("traceparent", OUTER), ("tracestate", "a=1"), ("user-agent", "player")];
    let entry = request(edge.address, "GET", &format!("{}&q=1", access.on(MASTER)), &fields).await;
    assert_eq!(entry.status, 200);
    let inside = format!("/v/{}", entry.uris()[0]);
    let segment = inside.replace("level.m3u8", "seg0.m4s");
    for _ in 0..2 {
        assert_eq!(get(edge.address, &segment).await.status, 200);
    }
    assert_eq!(get(edge.address, MASTER).await.status, 403);
    assert_eq!(
        get(edge.address, &inside.replace("360p/", "").replace("level.m3u8", "gone.ts")).await.status,
        503
    );
    let asked = origin.asked();
    let metrics_before = get(edge.admin, "/metrics").await.text();
    edge.end().await;

    let spans = collector.spans();
    let requests: Vec<&Span> = spans.iter().filter(|span| span.kind == SpanKind::Server as i32).collect();
    let questions: Vec<&Span> = spans.iter().filter(|span| span.kind == SpanKind::Client as i32).collect();
    assert_eq!(requests.len(), 5, "{spans:#?}");
    assert_eq!(questions.len(), asked.len(), "{spans:#?}");

    let first = requests[0];
    assert_eq!(hex(&first.trace_id), &OUTER[3..35]);
    assert_eq!(hex(&first.parent_span_id), &OUTER[36..52], "a trusted peer's");
    assert_eq!(first.name, "GET multivariant");
    let told = texts(&first.attributes);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("url.path", MASTER),
        ("url.query", "hdnts=[redacted]&q=1"),
        ("server.address", "127.0.0.1"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
        ("user_agent.original", "player"),
        ("sluicegate.property", "test"),
        ("sluicegate.cache", "miss"),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{name} in {told:#?}");
    }
    assert!(first.status.is_none());
    let began = Duration::from_nanos(first.start_time_unix_nano);
    assert!(
        began.as_secs() >= START
            && began.as_secs() < START + 60
            && first.end_time_unix_nano > first.start_time_unix_nano
    );

    // What the origin was asked for the first request stands under it, and the origin was told so.
    let under: Vec<&&Span> = questions.iter().filter(|span| span.trace_id == first.trace_id).collect();
    assert!(!under.is_empty());
    assert!(under.iter().all(|span| span.parent_span_id == first.span_id), "{under:#?}");
    let told = texts(&under[0].attributes);
    assert_eq!(told["url.full"], format!("http://{}{MASTER}?q=1", origin.address));
    assert_eq!(
        (told["server.port"].clone(), told["http.response.status_code"].as_str()),
        (origin.address.port().to_string(), "200")
    );
    for asked in &asked {
        let parent = asked.header("traceparent").expect("the origin is told");
        let span = questions.iter().find(|span| hex(&span.span_id) == parent[36..52]).expect("a span of it");
        assert_eq!(parent[3..35], hex(&span.trace_id));
        assert!(texts(&span.attributes)["url.full"].ends_with(asked.target()), "{}", asked.target());
    }
    assert_eq!(asked[0].header("tracestate").as_deref(), Some("a=1"));

    // A hit asks nobody; a request without a parent begins a trace.
    let hit = requests
        .iter()
        .find(|span| texts(&span.attributes).get("sluicegate.cache").is_some_and(|had| had == "hit"));
    let hit = hit.expect("a hit");
    assert!(hit.parent_span_id.is_empty() && questions.iter().all(|span| span.trace_id != hit.trace_id));
    let denied = requests
        .iter()
        .find(|span| texts(&span.attributes)["http.response.status_code"] == "403")
        .expect("one");
    assert_eq!(texts(&denied.attributes)["sluicegate.reason"], "no_token");
    assert!(denied.status.is_none(), "a client's fault is no error of the server's");
    let failed: Vec<&Span> = spans.iter().filter(|span| span.status.is_some()).collect();
    assert_eq!(failed.len(), 2, "{failed:#?}");
    assert!(failed.iter().all(|span| texts(&span.attributes)["error.type"] == "503"));

    let got = collector.got.lock().expect("sound");
    let [(head, message)] = &got[..] else { panic!("all in one, at the end") };
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(head, "content-type").as_deref(), Some("application/x-protobuf"));
    assert_eq!(field(head, "authorization").as_deref(), Some(SECRET));
    let text = String::from_utf8_lossy(message);
    for secret in ["hmac", "exp=", KEY, SECRET] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(metrics_before.contains("sluicegate_spans_exported_total 0"), "{metrics_before}");
}

#[tokio::test]
async fn nobody_but_a_trusted_peer_has_its_trace_gone_on_with() {
    let origin = stage::origin().await;
    let collector = Collector::start().await;
    let endpoint = format!("http://{}/v1/traces", collector.address);
    let edge = edge(&origin, &endpoint, "sample_ratio = 0.0", false).await;
    let target = Access::acl("/*").on(MASTER);
    let fields = [("traceparent", OUTER), ("tracestate", "a=1")];
    assert_eq!(request(edge.address, "GET", &target, &fields).await.status, 200);
    for asked in origin.asked() {
        let parent = asked.header("traceparent").expect("one of ours");
        assert!(!OUTER.contains(&parent[3..35]) && parent.ends_with("-00"), "{parent}");
        assert_eq!(asked.header("tracestate"), None);
    }
    edge.end().await;
    assert_eq!(collector.spans(), [], "none is sampled");
}

#[tokio::test]
async fn a_collector_that_is_not_there_or_never_answers_hurts_no_viewer() {
    let origin = stage::origin().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}/v1/traces", silent.local_addr().expect("an address"));
    for (endpoint, traces, cause) in [
        ("http://127.0.0.1:1/v1/traces", "interval = \"10ms\"\nbatch = 1", "collector"),
        (&endpoint, "interval = \"10ms\"\nbatch = 1\nqueue = 1\ntimeout = \"1s\"", "queue"),
    ] {
        let edge = edge(&origin, endpoint, traces, false).await;
        let target = Access::acl("/*").on(MASTER);
        for _ in 0..10 {
            assert_eq!(get(edge.address, &target).await.status, 200);
        }
        while edge.count(&format!("spans_dropped_total{{cause=\"{cause}\"}}")).await == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(edge.count("spans_exported_total").await, 0);
        edge.end().await;
    }
}

#[tokio::test]
async fn without_a_collector_what_a_client_says_of_its_trace_passes_as_it_is() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let target = Access::acl("/*").on(MASTER);
    assert_eq!(request(edge.address, "GET", &target, &[("traceparent", OUTER)]).await.status, 200);
    assert_eq!(origin.asked()[0].header("traceparent").as_deref(), Some(OUTER));
    assert!(!get(edge.admin, "/metrics").await.text().contains("sluicegate_spans"));
}
