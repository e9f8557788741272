//! What operators see and change over their listener, held to the document that describes it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use sluicegate::admin::routes::ROUTES;

use crate::admin::JSON;
use crate::support::client::{Reply, send};
use crate::support::origin::Answer;
use crate::support::{KEY, TestEdge, TestOrigin, get, request};

/// A configuration with two properties and keys of their own, for an origin.
fn text(origin: &TestOrigin) -> String {
    format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\ntop_sample = 1\n[log]\naccess = \"off\"\n\
         [[property]]\nname = \"films\"\nhosts = [\"films.example\", \"*.films.example:81\"]\norigin = {{ urls = [\"http://{0}\"] }}\n\
         access = {{ key = {{ hex = \"{KEY}\" }}, keys = [{{ name = \"next\", from = {{ hex = \"{KEY}01\" }}, not_before = 2100-01-01T00:00:00Z }}] }}\n\
         [[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{0}\"] }}\naccess = {{ action = \"open\" }}\n",
        origin.address
    )
}

async fn edge(folder: &Path, origin: &TestOrigin) -> TestEdge {
    let file = folder.join("config.toml");
    std::fs::write(&file, text(origin)).expect("a file");
    TestEdge::with_file(&file).await
}

/// A request with a body, or without one.
async fn ask(edge: &TestEdge, method: &str, path: &str, body: Option<&Value>) -> Reply {
    let Some(body) = body else { return request(edge.admin, method, path, &[]).await };
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\n{}: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        edge.admin,
        JSON.0,
        JSON.1,
        body.len()
    );
    send(edge.admin, head.as_bytes(), false).await
}

async fn seen(edge: &TestEdge, path: &str) -> Value {
    let reply = get(edge.admin, path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// That an answer is what the document says of it.
fn assert_described(document: &Value, method: &str, template: &str, reply: &Reply) {
    let pointer = |text: &str| text.replace('~', "~0").replace('/', "~1");
    let operation = format!("/paths/{}/{}", pointer(template), method.to_lowercase());
    let operation = document.pointer(&operation).unwrap_or_else(|| panic!("no {method} {template}"));
    let mut response = &operation["responses"][reply.status.to_string()];
    if let Some(at) = response["$ref"].as_str() {
        response = document.pointer(&at[1..]).expect("a response");
    }
    let kind = reply.header("content-type").unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    let schema = &response["content"][essence]["schema"];
    assert!(schema.is_object(), "{method} {template} gives {} as {essence}: {}", reply.status, reply.text());
    if !essence.ends_with("json") {
        assert_eq!(schema, &json!({ "type": "string" }));
        return;
    }
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let mut faults = Vec::new();
    validate(document, schema, &body, "", &mut faults);
    assert!(faults.is_empty(), "{method} {template}: {faults:?} in {body:#}");
}

/// Validates by JSON Schema, in the words of it that the document uses. Another word fails: nothing is passed over.
fn validate(document: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let number = |value: &Value| value.as_f64().expect("a number");
    for (word, said) in schema.as_object().unwrap_or_else(|| panic!("{at}: no schema")) {
        let holds = match word.as_str() {
            "description" => true,
            "$ref" => {
                let named = said.as_str().and_then(|named| document.pointer(&named[1..]));
                validate(document, named.expect("a schema of that name"), value, at, faults);
                true
            }
            "type" => match said {
                Value::Array(types) => types.iter().any(|one| is_of_type(value, one)),
                one => is_of_type(value, one),
            },
            "const" => value == said,
            "enum" => said.as_array().expect("values").contains(value),
            "minimum" => !value.is_number() || number(value) >= number(said),
            "maximum" => !value.is_number() || number(value) <= number(said),
            "oneOf" => {
                let fits = |schema: &Value| {
                    let mut faults = Vec::new();
                    validate(document, schema, value, at, &mut faults);
                    faults.is_empty()
                };
                said.as_array().expect("schemas").iter().filter(|schema| fits(schema)).count() == 1
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(document, said, item, &format!("{at}/{index}"), faults);
                }
                true
            }
            "required" => {
                let has = |name: &Value| value.get(name.as_str().expect("a name")).is_some();
                !value.is_object() || said.as_array().expect("names").iter().all(has)
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = said.get(name) {
                        validate(document, schema, member, &format!("{at}/{name}"), faults);
                    }
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(*said, Value::Bool(false));
                let known = |name: &String| schema["properties"].get(name).is_some();
                value.as_object().is_none_or(|members| members.keys().all(known))
            }
            other => panic!("{at}: the test knows no \"{other}\""),
        };
        if !holds {
            faults.push(format!("{at}: {word}: {said}"));
        }
    }
}

fn is_of_type(value: &Value, named: &Value) -> bool {
    match named.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => panic!("no type: {named}"),
    }
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let origin = TestOrigin::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let document = seen(&edge(folder.path(), &origin).await, "/openapi.json").await;
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("methods").keys().filter(|name| *name != "parameters") {
            described.insert((path.clone(), method.to_uppercase()));
        }
    }
    let methods = |methods: &'static str| methods.split(", ").filter(|method| *method != "HEAD");
    let routes = ROUTES.iter().flat_map(|route| {
        let path = route.path.replace("{+", "{");
        methods(route.methods).map(move |method| (path.clone(), method.to_owned()))
    });
    assert_eq!(routes.collect::<BTreeSet<_>>(), described);
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let origin = TestOrigin::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = edge(folder.path(), &origin).await;
    let document = seen(&edge, "/openapi.json").await;
    origin.at("/a.bin", Answer::ok("application/octet-stream", "bytes"));
    assert_eq!(get(edge.address, "/a.bin").await.status, 200);
    let nothing = json!({});
    let revoked = json!([{ "id": "viewer", "durationSeconds": 60 }]);
    let identifiers = "/revocation-lists/{list}/identifiers";
    // The last that is asked ends the process.
    let asked: Vec<(&str, &str, String, Option<Value>, u16)> = vec![
        ("GET", "/healthz", "/healthz".into(), None, 200),
        ("GET", "/openapi.json", "/openapi.json".into(), None, 200),
        ("GET", "/metrics", "/metrics".into(), None, 200),
        ("GET", "/status", "/status".into(), None, 200),
        ("GET", "/properties", "/properties".into(), None, 200),
        ("GET", "/cache", "/cache?url=/a.bin&property=test".into(), None, 200),
        ("GET", "/cache", "/cache".into(), None, 400),
        ("GET", "/", "/".into(), None, 200),
        ("GET", "/page.css", "/page.css".into(), None, 200),
        ("GET", "/page.js", "/page.js".into(), None, 200),
        ("GET", "/top", "/top?by=bytes".into(), None, 200),
        ("GET", "/top", "/top?by=age".into(), None, 400),
        ("GET", "/log-level", "/log-level".into(), None, 200),
        ("PUT", "/log-level", "/log-level".into(), Some(json!({ "level": "debug" })), 200),
        ("PUT", "/log-level", "/log-level".into(), Some(json!({ "level": "a=b=c" })), 400),
        ("POST", "/purge", "/purge".into(), Some(json!({ "all": true })), 200),
        ("POST", "/purge", "/purge".into(), Some(nothing.clone()), 400),
        ("POST", "/revocation-lists", "/revocation-lists".into(), Some(json!({ "name": "films" })), 201),
        ("POST", "/revocation-lists", "/revocation-lists".into(), Some(json!({ "name": "films" })), 409),
        ("GET", "/revocation-lists", "/revocation-lists".into(), None, 200),
        ("GET", "/revocation-lists/{list}", "/revocation-lists/0".into(), None, 200),
        ("GET", "/revocation-lists/{list}", "/revocation-lists/77".into(), None, 404),
        ("GET", "/revocation-lists/{list}/meta", "/revocation-lists/0/meta".into(), None, 200),
        ("GET", "/revocation-lists/{list}/properties", "/revocation-lists/0/properties".into(), None, 200),
        (
            "POST",
            "/revocation-lists/{list}/identifiers/add",
            "/revocation-lists/0/identifiers/add".into(),
            Some(revoked),
            200,
        ),
        ("GET", identifiers, "/revocation-lists/0/identifiers".into(), None, 200),
        ("GET", identifiers, "/revocation-lists/0/identifiers?page=0".into(), None, 400),
        (
            "GET",
            "/revocation-lists/{list}/identifiers/{identifier}",
            "/revocation-lists/0/identifiers/viewer".into(),
            None,
            200,
        ),
        (
            "POST",
            "/revocation-lists/{list}/identifiers/remove",
            "/revocation-lists/0/identifiers/remove".into(),
            Some(json!([{ "id": "viewer" }])),
            200,
        ),
        ("DELETE", "/revocation-lists/{list}", "/revocation-lists/77".into(), None, 404),
        ("GET", "/sessions", "/sessions".into(), None, 200),
        ("DELETE", "/sessions/{viewing}", "/sessions/none".into(), None, 404),
        ("DELETE", "/sessions/{viewing}", "/sessions/0123456789abcdef".into(), None, 200),
        ("POST", "/reload", "/reload".into(), Some(nothing.clone()), 200),
        ("POST", "/drain", "/drain".into(), Some(nothing), 202),
    ];
    let mut left: BTreeSet<(String, String)> = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("methods").keys().filter(|name| *name != "parameters");
        left.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    for (method, template, path, body, status) in asked {
        if (method, template) == ("DELETE", "/revocation-lists/{list}") {
            let lists = seen(&edge, "/revocation-lists").await;
            let id = lists
                .as_array()
                .expect("lists")
                .iter()
                .find(|list| list["name"] == "films")
                .expect("it")["id"]
                .clone();
            let reply = ask(&edge, method, &format!("/revocation-lists/{id}"), None).await;
            assert_eq!(reply.status, 200);
            assert_described(&document, method, template, &reply);
        }
        let reply = ask(&edge, method, &path, body.as_ref()).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        assert_described(&document, method, template, &reply);
        left.remove(&(method.to_owned(), template.to_owned()));
    }
    assert!(left.is_empty(), "not asked: {left:?}");
}

#[tokio::test]
async fn properties_are_shown_with_fingerprints_and_no_secret() {
    let origin = TestOrigin::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = edge(folder.path(), &origin).await;
    let reply = get(edge.admin, "/properties").await;
    assert!(!reply.text().contains(KEY), "{}", reply.text());
    let all: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let films = &all[0];
    assert_eq!(films["name"], "films");
    assert_eq!(films["hosts"], json!(["*.films.example:81", "films.example"]));
    assert_eq!(films["access"]["dialect"], "edgeauth");
    let keys = &films["access"]["keys"];
    assert_eq!((&keys[0]["name"], &keys[0]["counts"]), (&json!("key"), &json!(true)));
    assert_eq!((&keys[1]["name"], &keys[1]["counts"]), (&json!("next"), &json!(false)));
    assert_eq!(keys[1]["notBefore"], 4_102_444_800_u64);
    assert_ne!(keys[0]["fingerprint"], keys[1]["fingerprint"]);
    assert_eq!(keys[0]["fingerprint"].as_str().map(str::len), Some(8));
    let server = &all[1]["origins"][0]["servers"][0];
    assert_eq!(
        (&server["name"], &server["state"]),
        (&json!(format!("http://{}", origin.address)), &json!("up"))
    );
}

#[tokio::test]
async fn the_cache_tells_what_it_has_for_a_url() {
    let origin = TestOrigin::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = edge(folder.path(), &origin).await;
    origin.at("/a.ts", Answer::ok("video/mp2t", "0123456789"));
    origin.at(
        "/a.m3u8",
        Answer::ok(
            "application/vnd.apple.mpegurl",
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n",
        ),
    );
    let looked = |path: &str| {
        format!("/cache?url=http%3A%2F%2F{}{path}", edge.address.to_string().replace(':', "%3A"))
    };
    assert_eq!(seen(&edge, &looked("/a.ts")).await["entries"], json!([]));
    for _ in 0..3 {
        assert_eq!(get(edge.address, "/a.ts").await.status, 200);
    }
    assert_eq!(get(edge.address, "/a.m3u8").await.status, 200);
    edge.clock.advance(std::time::Duration::from_secs(2));
    let found = seen(&edge, &looked("/a.ts")).await;
    let entry = &found["entries"][0];
    assert_eq!(
        (
            &entry["tier"],
            &entry["target"],
            &entry["bytes"],
            &entry["hits"],
            &entry["ageSeconds"],
            &entry["isFresh"]
        ),
        (&json!("memory"), &json!("/a.ts"), &json!(10), &json!(2), &json!(2), &json!(true)),
        "{found:#}"
    );
    assert_eq!(seen(&edge, &looked("/a.m3u8")).await["entries"][0]["tier"], "playlists");
    // A look is no hit, and what is purged is not found.
    assert_eq!(seen(&edge, &looked("/a.ts")).await["entries"][0]["hits"], 2);
    assert_eq!(ask(&edge, "POST", "/purge", Some(&json!({ "all": true }))).await.status, 200);
    assert_eq!(seen(&edge, &looked("/a.ts")).await["entries"], json!([]));
    let wrong = get(edge.admin, "/cache?url=nowhere").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("\"field\":\"url\""), "{}", wrong.text());
}

#[tokio::test]
async fn a_reload_gives_the_generation_or_the_faults_with_their_places() {
    let origin = TestOrigin::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = edge(folder.path(), &origin).await;
    let done = ask(&edge, "POST", "/reload", Some(&json!({}))).await;
    assert_eq!((done.status, done.text().contains("\"generation\":2")), (200, true), "{}", done.text());
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text(&origin).replace("hosts = [\"*\"]", "hots = [\"*\"]")).expect("a file");
    let refused = ask(&edge, "POST", "/reload", Some(&json!({}))).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let problem: Value = serde_json::from_slice(&refused.body).expect("JSON");
    let fault = &problem["faults"][0];
    assert_eq!((&fault["line"], &fault["column"]), (&json!(15), &json!(1)), "{problem:#}");
    assert_eq!(fault["cure"], "did you mean `hosts`?");
    let status = seen(&edge, "/status").await;
    assert_eq!(
        (&status["state"], &status["configuration"]["isOutdated"]),
        (&json!("degraded"), &json!(true))
    );
    assert_eq!(status["configuration"]["generation"], 2);
    std::fs::write(&file, text(&origin)).expect("a file");
    assert_eq!(ask(&edge, "POST", "/reload", Some(&json!({}))).await.status, 200);
    assert_eq!(seen(&edge, "/status").await["state"], "serving");
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload() {
    let edge = TestEdge::open("urls = [\"http://127.0.0.1:9\"]", "").await;
    assert_eq!(ask(&edge, "POST", "/reload", Some(&json!({}))).await.status, 409);
}

#[tokio::test]
async fn no_page_in_a_browser_reloads_or_drains() {
    let edge = TestEdge::open("urls = [\"http://127.0.0.1:9\"]", "").await;
    for path in ["/reload", "/drain"] {
        for (fields, status) in [
            (vec![JSON, ("origin", "http://page.example")], 403),
            (vec![JSON, ("host", "rebound.example")], 403),
            (vec![], 415),
        ] {
            let reply = crate::admin::post(edge.admin, path, &fields, "{}").await;
            assert_eq!(reply.status, status, "{path} {fields:?}: {}", reply.text());
        }
    }
    assert_eq!(seen(&edge, "/status").await["state"], "serving");
}

#[tokio::test]
async fn a_drain_closes_the_listeners() {
    let origin = TestOrigin::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut edge = edge(folder.path(), &origin).await;
    assert_eq!(ask(&edge, "POST", "/drain", Some(&json!({}))).await.status, 202);
    edge.ended().await;
    assert!(tokio::net::TcpStream::connect(edge.address).await.is_err());
    assert!(tokio::net::TcpStream::connect(edge.admin).await.is_err());
}

#[tokio::test]
async fn the_top_objects_are_told_by_requests_and_by_bytes() {
    let origin = TestOrigin::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = edge(folder.path(), &origin).await;
    origin.at("/often.ts", Answer::ok("video/mp2t", "1"));
    origin.at("/large.ts", Answer::ok("video/mp2t", vec![7; 10_000]));
    for path in ["/often.ts", "/often.ts?a=1", "/large.ts", "/missing.ts"] {
        get(edge.address, path).await;
    }
    // The body of an answer is written down when it is dropped, which may be after the client has it.
    let full = async |by: &str| loop {
        let top = seen(&edge, &format!("/top?by={by}")).await;
        if top["objects"].as_array().is_some_and(|objects| objects.len() == 2) {
            return top;
        }
    };
    let requests = full("requests").await;
    assert_eq!(requests["sampledOneIn"], 1);
    assert_eq!(
        requests["objects"][0],
        json!({ "property": "test", "path": "/often.ts", "value": 2, "errorMax": 0 }),
        "{requests:#}"
    );
    let bytes = full("bytes").await;
    assert_eq!(
        (&bytes["objects"][0]["path"], &bytes["objects"][0]["value"]),
        (&json!("/large.ts"), &json!(10_000))
    );
}

#[tokio::test]
async fn metrics_can_be_read_by_their_standard() {
    let origin = TestOrigin::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = edge(folder.path(), &origin).await;
    origin.at("/a.ts", Answer::ok("video/mp2t", "1"));
    get(edge.address, "/a.ts").await;
    let text = get(edge.admin, "/metrics").await.text();
    // The standard gives histograms a unit; the parser refuses them one, and is not shown it.
    let is_refused = |line: &&str| {
        line.starts_with("# UNIT ") && line.contains("first_byte_")
            || line.starts_with("# UNIT sluicegate_request_duration_")
    };
    assert_eq!(text.lines().filter(is_refused).count(), 3, "{text}");
    let shown: String = text.lines().filter(|line| !is_refused(line)).flat_map(|line| [line, "\n"]).collect();
    let read = openmetrics_parser::openmetrics::parse_openmetrics(&shown)
        .unwrap_or_else(|fault| panic!("{fault}\n{shown}"));
    for (name, family) in &read.families {
        assert!(name.starts_with("sluicegate_"), "{name}");
        assert!(!family.help.is_empty(), "{name} has no help");
        assert!(
            family.unit.is_empty() || name.ends_with(&format!("_{}", family.unit)),
            "{name} in {}",
            family.unit
        );
    }
    for name in ["first_byte_seconds", "origin_first_byte_seconds"] {
        let name = format!("sluicegate_{name}");
        let family = read.families.get(&name).unwrap_or_else(|| panic!("no {name} in {text}"));
        assert_eq!(format!("{:?}", family.family_type), "Histogram", "{name}");
        assert!(text.contains(&format!("# UNIT {name} seconds\n")), "{text}");
        assert!(text.contains(&format!("{name}_count{{property=\"test\"")), "{text}");
    }
    assert!(text.contains("# TYPE sluicegate_requests counter\n"), "{text}");
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_shows_nothing_without_the_token() {
    let edge = TestEdge::open("urls = [\"http://127.0.0.1:9\"]", "").await;
    let page = get(edge.admin, "/").await;
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"),
        "{policy}"
    );
    for path in ["/", "/page.css", "/page.js"] {
        let file = get(edge.admin, path).await.text();
        let foreign = file.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("://") && !file.contains("innerHTML"), "{path}");
    }
}
