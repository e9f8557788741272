//! Each line of the access log is what its schema says, whatever was asked; and the schema and its page say no more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use sluicegate::domain::token::reason::Reason;
use sluicegate::telemetry::metrics::Kind;
use tokio::net::TcpStream;

use crate::admin::{JSON, post};
use crate::support::client::send;
use crate::support::logged::LoggedEdge;
use crate::support::token::Access;
use crate::support::{Answer, KEY, START, TestOrigin, request, stage};

const MASTER: &str = "/v/master.m3u8";

fn reference(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    std::fs::read_to_string(file).expect("a file")
}

fn schema() -> Value {
    serde_json::from_str(&reference("access-log.schema.json")).expect("JSON")
}

/// What the second property asks for beside its token: a rule that decides, and a token that is only looked at.
fn properties(origin: &TestOrigin) -> String {
    let origin = format!("origin = {{ urls = [\"http://{}\"] }}", origin.address);
    let access = format!("access = {{ key = {{ hex = \"{KEY}\" }}");
    format!(
        "[[property]]\nname = \"films\"\nhosts = [\"films.example\"]\n{origin}\n{access} }}\n\
         [[property]]\nname = \"posters\"\nhosts = [\"posters.example\"]\n{origin}\n{access}, action = \"verify-only\" }}\n\
         [[property.rule]]\nname = \"no-secrets\"\nwhen = {{ path = [\"/secret/*\"] }}\ndeny = 403\n"
    )
}

/// Requests of all kinds; gives how many of them are to have a line.
async fn asked_for_everything(edge: &LoggedEdge, origin: &TestOrigin) -> usize {
    let at = edge.address;
    let films = ("Host", "films.example");
    let mut lines = 0;
    let mut ask = async |method: &str, target: &str, fields: &[(&str, &str)], status: u16| {
        lines += 1;
        let fields = if fields.iter().any(|(name, _)| *name == "Host") {
            fields.to_vec()
        } else {
            [fields, &[films]].concat()
        };
        let reply = request(at, method, target, &fields).await;
        assert_eq!(reply.status, status, "{method} {target}: {}", reply.text());
        reply
    };
    let access = Access { id: Some("viewer1"), ..Access::acl("/*") };
    let cmcd =
        "CMCD=bl%3D21300%2Cbr%3D3200%2Cbs%2Cnor%3D%22seg1.m4s%3Fhdnts%3Dx%22%2Cot%3Dm%2Cpr%3D1.08%2Cown%3D1";
    let entry =
        ask("GET", &format!("{}&{cmcd}", access.on(MASTER)), &[("user-agent", "a \"player\"")], 200).await;
    let media = format!("/v/{}", entry.uris()[0]);
    let inside = |name: &str| media.replace("level.m3u8", name);
    ask("GET", &media, &[("CMCD-Session", "sid=\"6e2f\",v=1"), ("CMCD-Request", "su, bl=1")], 200).await;
    for _ in 0..2 {
        ask("GET", &inside("seg0.m4s"), &[], 200).await;
    }
    ask("HEAD", &inside("seg0.m4s"), &[], 200).await;
    ask("GET", &inside("seg0.m4s"), &[("Range", "bytes=1-2")], 206).await;
    ask("GET", &inside("seg9.m4s"), &[], 404).await;
    let key = inside("1.key").replace("360p/", "k/");
    ask("GET", &key, &[], 200).await;
    ask("OPTIONS", MASTER, &[("Origin", "http://a"), ("Access-Control-Request-Method", "GET")], 204).await;
    ask("POST", MASTER, &[], 405).await;
    ask("GET", MASTER, &[], 403).await;
    ask("GET", &Access { end: START - 1, ..Access::acl("/*") }.on(MASTER), &[], 403).await;
    ask("GET", &format!("/v/%zz?{}", access.text()), &[], 400).await;
    let posters = ("Host", "posters.example");
    ask("GET", MASTER, &[posters], 200).await;
    ask("GET", "/secret/a.json", &[posters], 403).await;
    ask("GET", "/nobody?hdnts=x&a", &[("Host", "unknown.example")], 421).await;
    ask("GET", &inside("cut.ts"), &[], 200).await;
    let broken = post(edge.admin, "/purge", &[JSON], &json!({ "all": true }).to_string()).await;
    assert_eq!(broken.status, 200, "a purge, which has no line");
    ask("GET", &inside("seg0.m4s"), &[], 200).await;
    let old = format!("GET {} HTTP/1.0\r\nHost: films.example\r\n\r\n", inside("seg0.m4s"));
    assert_eq!(send(at, old.as_bytes(), false).await.status, 200);
    let two_hosts = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    assert_eq!(
        send(at, two_hosts.as_bytes(), false).await.status,
        400,
        "refused at the door, which has no line"
    );

    let io = TokioIo::new(TcpStream::connect(at).await.expect("the edge listens"));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    tokio::spawn(connection);
    let target = format!("http://films.example{}", inside("seg0.m4s"));
    let response =
        sender.send_request(Request::get(target).body(Full::<Bytes>::default()).expect("a request"));
    let body = response.await.expect("an answer").into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes(), "seg0.m4s");
    assert!(origin.asked_for("/v/360p/seg0.m4s").len() >= 2);
    lines + 2
}

#[tokio::test]
async fn every_line_of_the_access_log_is_as_its_schema_says() {
    let origin = stage::origin().await;
    origin.at("/v/360p/cut.ts", Answer::ok("video/mp2t", vec![7; 4000]).cut_after(100));
    let schema = schema();
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("a sound schema");
    let edge = LoggedEdge::with_config("json", &properties(&origin));
    let wanted = asked_for_everything(&edge, &origin).await;
    let log = edge.finish().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), wanted, "{log}");
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in &lines {
        let faults: Vec<String> =
            validator.iter_errors(line).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:?} in {line:#}");
        for (name, value) in line.as_object().expect("an object") {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            seen.entry(name).or_default().insert(text);
        }
    }
    // So that the schema was held to lines that have each of its fields.
    let fields = schema["properties"].as_object().expect("fields").keys().map(String::as_str);
    assert_eq!(seen.keys().copied().collect::<BTreeSet<_>>(), fields.collect::<BTreeSet<_>>());
    let values = |name: &str| seen[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(values("protocol"), ["HTTP/1.0", "HTTP/1.1", "HTTP/2"]);
    assert_eq!(values("property"), ["", "films", "posters"]);
    assert_eq!(values("cache"), ["", "hit", "miss", "pass"]);
    assert_eq!(values("complete"), ["false", "true"]);
    assert_eq!(values("session"), ["viewer1"]);
    assert_eq!(values("reason"), ["expired", "method", "no_token", "rule"]);
    assert!(!log.contains("hmac"), "{log}");

    let of = |path: &str| lines.iter().find(|line| line["path"] == path).expect("a line");
    assert_eq!(
        of(MASTER)["cmcd"],
        json!({ "bl": 21300, "br": 3200, "bs": true, "nor": "seg1.m4s", "ot": "m", "pr": 1.08 })
    );
    assert_eq!(
        (&of(MASTER)["query"], &of(MASTER)["agent"]),
        (&json!("hdnts=[redacted]"), &json!("a \"player\""))
    );
    assert_eq!(of("/v/360p/level.m3u8")["cmcd"], json!({ "su": true, "bl": 1, "sid": "6e2f", "v": 1 }));
    let nobody = lines.iter().find(|line| line["status"] == 421).expect("a line");
    assert_eq!((&nobody["path"], &nobody["query"]), (&json!("/[redacted]"), &json!("hdnts=[redacted]&")));
    let asks_origin = |line: &&Value| line.get("origin_ms").is_some();
    assert!(
        lines.iter().filter(asks_origin).all(|line| line["cache"] == "miss" || line["cache"] == "pass"),
        "{log}"
    );
    let cut = lines.iter().find(|line| line["complete"] == false).expect("a line");
    assert_eq!(cut["path"], "/v/360p/cut.ts");
}

/// Names that stand first in a row of a table of the page, in backticks.
fn named_on_the_page(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    rows.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn schema_and_page_name_the_same_fields_and_all_words() {
    let (schema, page) = (schema(), reference("logs.md"));
    let fields = schema["properties"].as_object().expect("fields").keys().cloned();
    assert_eq!(named_on_the_page(&page), fields.collect::<BTreeSet<_>>());
    let words = |field: &str| -> BTreeSet<String> {
        let words = schema["properties"][field]["enum"].as_array().expect("words");
        words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let reasons: BTreeSet<String> = Reason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    assert_eq!(words("reason"), reasons);
    assert_eq!(words("token_result"), &reasons | &BTreeSet::from(["valid".to_owned()]));
    assert_eq!(words("kind"), Kind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect());
}
