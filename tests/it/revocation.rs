//! One edge alone: revocations over the operators' listener and the commands, limits, one-time tokens, and what survives a restart.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sluicegate::app::App;
use sluicegate::clock::Clock;
use sluicegate::config;
use sluicegate::telemetry::diagnostics::Level;
use sluicegate::telemetry::metrics::Metrics;

use crate::admin::{JSON, post};
use crate::support::client::Reply;
use crate::support::edge::clock_offset;
use crate::support::token::Access;
use crate::support::{KEY, START, TestEdge, TestOrigin, get, request, stage};

/// An edge that believes the addresses that this machine's requests name; `fleet` are keys, `extra` goes into the property.
fn config_text(origin: &TestOrigin, fleet: &str, extra: &str) -> String {
    format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.1\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[fleet]\n{fleet}\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n{extra}\n",
        origin.address
    )
}

async fn edge(origin: &TestOrigin, fleet: &str, extra: &str) -> TestEdge {
    TestEdge::with_text(&config_text(origin, fleet, extra)).await
}

/// Where an access token of this id and payload leads to; tokens of different `number`s are different ones.
fn entry(id: &str, payload: &str, number: u64) -> String {
    let token =
        Access { id: Some(id), payload: Some(payload), end: START + 300 + number, ..Access::acl("/*") }
            .text();
    format!("/v/master.m3u8?hdnts={token}")
}

async fn from(edge: &TestEdge, client: &str, target: &str) -> Reply {
    request(edge.address, "GET", target, &[("X-Forwarded-For", client)]).await
}

async fn session(edge: &TestEdge, client: &str, entry: &str) -> String {
    let reply = from(edge, client, entry).await;
    assert_eq!(reply.status, 200, "{}", reply.head);
    format!("/v/{}", reply.uris()[0])
}

async fn add(edge: &TestEdge, list: u64, identifiers: Value) -> Value {
    let path = format!("/revocation-lists/{list}/identifiers/add");
    good(&post(edge.admin, &path, &[JSON], &identifiers.to_string()).await)
}

fn good(reply: &Reply) -> Value {
    assert!((200..300).contains(&reply.status), "{} {}", reply.status, reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

async fn read(edge: &TestEdge, path: &str) -> Value {
    good(&get(edge.admin, path).await)
}

fn refused(reply: &Reply, status: u16) -> String {
    let problem: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!((reply.status, problem["status"].as_u64()), (status, Some(u64::from(status))));
    assert_eq!(reply.header("content-type").as_deref(), Some("application/problem+json"));
    problem["detail"].as_str().expect("a detail").to_owned()
}

#[tokio::test]
async fn lists_are_kept_as_akamais_access_revocation_api_keeps_them() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "lists_max = 1", "revocation = { lists = [\"sports\"] }").await;
    let made = post(edge.admin, "/revocation-lists", &[JSON], "{\"name\":\"sports\"}").await;
    assert_eq!(made.status, 201);
    let id = good(&made)["id"].as_u64().expect("an id");
    let identifiers = json!([
        { "id": "a", "durationSeconds": 60 },
        { "id": "user%3a1", "durationSeconds": 7_200 },
        { "id": "2001:DB8::/32", "durationSeconds": 7_200, "kind": "address" },
    ]);
    assert_eq!(add(&edge, id, identifiers).await, json!({ "added": 3, "reachedFleet": true }));
    let at = format!("/revocation-lists/{id}");
    assert_eq!(read(&edge, &format!("{at}/meta")).await, json!({ "count": 3, "limit": 50_000 }));
    assert_eq!(read(&edge, &format!("{at}/properties")).await, json!(["test"]));
    let one = read(&edge, &format!("{at}/identifiers/user:1")).await;
    assert_eq!(one, json!({ "id": "user:1", "kind": "session", "ttl": 7_200 }));
    assert_eq!(read(&edge, &format!("{at}/identifiers/a")).await["ttl"], 1_800, "raised to half an hour");
    let network = read(&edge, &format!("{at}/identifiers/2001:db8::%2F32?kind=address")).await;
    assert_eq!(network["id"], "2001:db8::/32");
    let page = read(&edge, &format!("{at}/identifiers?page=2&pageSize=2")).await;
    assert_eq!((page["count"].as_u64(), page["identifiers"].as_array().map(Vec::len)), (Some(3), Some(1)));
    let remove = json!([{ "id": "a" }, { "id": "unknown" }]).to_string();
    let removed = post(edge.admin, &format!("{at}/identifiers/remove"), &[JSON], &remove).await;
    assert_eq!(good(&removed), json!({ "removed": 1 }));
    refused(&get(edge.admin, &format!("{at}/identifiers/a")).await, 404);
    assert_eq!(get(edge.address, &entry("user:1", "p", 0)).await.reason().as_deref(), Some("revoked"));
    let lists = read(&edge, "/revocation-lists").await;
    assert_eq!(lists.as_array().map(Vec::len), Some(2), "it and the default one");
    let deleted = request(edge.admin, "DELETE", &at, &[]).await;
    assert_eq!(good(&deleted), json!({ "deleted": id }));
    assert_eq!(get(edge.address, &entry("user:1", "p", 0)).await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_with_a_list_is_said_as_a_problem() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "lists_max = 1\nidentifiers_max = 2\nidentifiers_per_call = 3", "").await;
    let lists = "/revocation-lists";
    assert!(refused(&post(edge.admin, lists, &[JSON], "{\"name\":\"a\\nb\"}").await, 400).contains("a name"));
    good(&post(edge.admin, lists, &[JSON], "{\"name\":\"a\"}").await);
    assert!(refused(&post(edge.admin, lists, &[JSON], "{\"name\":\"a\"}").await, 409).contains("already"));
    assert!(refused(&post(edge.admin, lists, &[JSON], "{\"name\":\"b\"}").await, 409).contains("lists_max"));
    let to_default = "/revocation-lists/0/identifiers/add";
    let one = |id: &str, kind: &str| json!({ "id": id, "durationSeconds": 1, "kind": kind });
    for (body, status, said) in [
        (json!([one("x", "address")]), 400, "neither an address nor a network"),
        (json!([one("x", "name")]), 400, "no kind of identifier"),
        (json!([one("", "session")]), 400, "empty"),
        (json!([{ "id": "x" }]), 400, "durationSeconds"),
        (json!([one("a", "session"), one("b", "session"), one("c", "session")]), 409, "identifiers_max"),
        (
            json!([one("a", "session"), one("b", "session"), one("c", "session"), one("d", "session")]),
            409,
            "at once",
        ),
    ] {
        let detail = refused(&post(edge.admin, to_default, &[JSON], &body.to_string()).await, status);
        assert!(detail.contains(said), "{detail}");
    }
    refused(&request(edge.admin, "DELETE", "/revocation-lists/0", &[]).await, 409);
    refused(&get(edge.admin, "/revocation-lists/7").await, 404);
    refused(&get(edge.admin, "/revocation-lists/x").await, 404);
    refused(&get(edge.admin, "/revocation-lists/0/identifiers?page=0").await, 400);
    refused(&request(edge.admin, "DELETE", "/sessions/xyz", &[]).await, 404);
    assert_eq!(request(edge.admin, "PUT", lists, &[]).await.status, 405);
    assert_eq!(get(edge.address, "/revocation-lists").await.status, 403, "nothing of it is public");
}

#[tokio::test]
async fn a_viewer_is_refused_by_session_id_payload_and_address_with_any_token() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "session = { pause_allowance = \"2h\" }").await;
    let mut sessions = Vec::new();
    for (id, payload, client) in [
        ("s-1", "p", "192.0.2.1"),
        ("s-2", "gold;x", "192.0.2.1"),
        ("s-3", "p", "198.51.100.9"),
        ("s-4", "p", "192.0.2.1"),
    ] {
        sessions.push((client, session(&edge, client, &entry(id, payload, 0)).await));
    }
    add(
        &edge,
        0,
        json!([
            { "id": "s-1", "durationSeconds": 3_600 },
            { "id": "gold%3bx", "durationSeconds": 3_600, "kind": "payload" },
            { "id": "198.51.100.0/24", "durationSeconds": 3_600, "kind": "address" },
        ]),
    )
    .await;
    for (client, session) in &sessions[..3] {
        let reply = from(&edge, client, session).await;
        assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("revoked")));
        assert_eq!(reply.header("cache-control").as_deref(), Some("no-store"));
    }
    assert_eq!(from(&edge, sessions[3].0, &sessions[3].1).await.status, 200, "others are not concerned");
    assert_eq!(
        from(&edge, "192.0.2.1", &entry("s-9", "gold;x", 7)).await.reason().as_deref(),
        Some("revoked")
    );
    assert_eq!(edge.denials("revoked").await, 4);
    edge.clock.advance(Duration::from_secs(3_601));
    assert_eq!(from(&edge, "192.0.2.1", &sessions[0].1).await.status, 200, "it has ended");
}

#[tokio::test]
async fn where_tokens_are_only_verified_a_revoked_viewer_passes_and_the_origin_is_told() {
    let origin = stage::origin().await;
    let access = format!("access = {{ key = {{ hex = \"{KEY}\" }}, action = \"verify-only\" }}");
    let text =
        config_text(&origin, "", "").replace(&format!("access = {{ key = {{ hex = \"{KEY}\" }} }}"), &access);
    let edge = TestEdge::with_text(&text).await;
    add(&edge, 0, json!([{ "id": "s-1", "durationSeconds": 3_600 }])).await;
    let reply = get(edge.address, &entry("s-1", "p", 0)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(origin.asked_for("/v/master.m3u8")[0].header("sluicegate-token").as_deref(), Some("revoked"));
}

#[tokio::test]
async fn viewings_are_counted_by_payload_and_free_their_seat_when_they_end() {
    let origin = stage::origin().await;
    let edge = edge(
        &origin,
        "",
        "limits = { sessions = 1, by = \"payload\" }\nsession = { pause_allowance = \"2h\" }",
    )
    .await;
    let first = session(&edge, "192.0.2.1", &entry("a", "account", 0)).await;
    let second = from(&edge, "192.0.2.2", &entry("b", "account", 1)).await;
    assert_eq!((second.status, second.reason().as_deref()), (403, Some("session_limit")));
    edge.clock.advance(Duration::from_secs(50));
    assert_eq!(from(&edge, "192.0.2.1", &first).await.status, 200);
    edge.clock.advance(Duration::from_secs(50));
    assert_eq!(from(&edge, "192.0.2.2", &entry("b", "account", 1)).await.status, 403, "it is seen still");
    edge.clock.advance(Duration::from_secs(61));
    assert_eq!(from(&edge, "192.0.2.2", &entry("b", "account", 1)).await.status, 200);
    assert_eq!(from(&edge, "192.0.2.1", &first).await.status, 403, "and now there is no seat for the first");
    assert_eq!(edge.denials("session_limit").await, 3);
}

#[tokio::test]
async fn one_token_at_two_addresses_is_two_viewings() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "limits = { sessions = 2 }").await;
    let mut texts = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.1"] {
        texts.push(session(&edge, client, &entry("a", "p", 0)).await);
    }
    assert_eq!(texts[0], texts[2], "the same token at the same address is the same session text");
    assert_ne!(texts[0], texts[1]);
    assert_eq!(
        from(&edge, "192.0.2.3", &entry("a", "p", 0)).await.reason().as_deref(),
        Some("session_limit")
    );
    assert_eq!(from(&edge, "192.0.2.3", &texts[0]).await.status, 200, "a session may roam");
}

#[tokio::test]
async fn distinct_addresses_are_limited_over_a_window() {
    let origin = stage::origin().await;
    let edge = edge(
        &origin,
        "",
        "limits = { addresses = 2, address_window = \"10m\" }\nsession = { pause_allowance = \"2h\" }",
    )
    .await;
    let path = session(&edge, "192.0.2.1", &entry("a", "p", 0)).await;
    assert_eq!(from(&edge, "2001:db8::1", &path).await.status, 200);
    assert_eq!(from(&edge, "2001:db8::ffff", &path).await.status, 200, "of the same /64");
    assert_eq!(from(&edge, "192.0.2.3", &path).await.reason().as_deref(), Some("session_limit"));
    assert_eq!(from(&edge, "192.0.2.1", &path).await.status, 200, "those that were there go on");
    edge.clock.advance(Duration::from_secs(601));
    assert_eq!(from(&edge, "192.0.2.3", &path).await.status, 200);
}

#[tokio::test]
async fn a_limit_that_is_reported_refuses_nobody() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "limits = { sessions = 1, over_limit = \"report\" }").await;
    for number in 0..3 {
        assert_eq!(from(&edge, "192.0.2.1", &entry("a", "p", number)).await.status, 200);
    }
    assert_eq!(edge.count("fleet_seats_reported_total").await, 2);
}

#[tokio::test]
async fn who_watches_is_listed_and_can_be_ended() {
    let origin = stage::origin().await;
    let edge = edge(&origin, "", "limits = { sessions = 5 }").await;
    let first = session(&edge, "192.0.2.1", &entry("a", "p", 0)).await;
    edge.clock.advance(Duration::from_secs(1));
    let second = session(&edge, "192.0.2.2", &entry("b", "p", 0)).await;
    let listed = read(&edge, "/sessions?pageSize=1&page=2").await;
    assert_eq!((listed["count"].as_u64(), listed["ofAllEdges"].as_bool()), (Some(2), Some(true)));
    let one = &listed["sessions"][0];
    assert_eq!(
        (one["value"].as_str(), one["address"].as_str(), one["seenSecondsAgo"].as_u64()),
        (Some("a"), Some("192.0.2.1"), Some(1))
    );
    let viewing = one["viewing"].as_str().expect("a number");
    assert!(first.contains(viewing));
    good(&request(edge.admin, "DELETE", &format!("/sessions/{viewing}"), &[]).await);
    assert_eq!(from(&edge, "192.0.2.1", &first).await.reason().as_deref(), Some("revoked"));
    assert_eq!(from(&edge, "192.0.2.2", &second).await.status, 200);
}

#[tokio::test]
async fn a_one_time_token_begins_one_viewing() {
    let origin = stage::origin().await;
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = format!("folder = '{}'", folder.path().display());
    let edge = edge(&origin, &fleet, "limits = { one_time = true }").await;
    let path = session(&edge, "192.0.2.1", &entry("a", "p", 0)).await;
    edge.clock.advance(Duration::from_secs(10));
    assert_eq!(session(&edge, "192.0.2.1", &entry("a", "p", 0)).await, path, "a retry gets the same text");
    let other = from(&edge, "192.0.2.2", &entry("a", "p", 0)).await;
    assert_eq!((other.status, other.reason().as_deref()), (403, Some("replayed")));
    // The same token in other escapes is the same token.
    let escaped = entry("a", "p", 0).replace('~', "%7E").replace("acl=/*", "acl=%2F%2A");
    assert_eq!(from(&edge, "192.0.2.2", &escaped).await.reason().as_deref(), Some("replayed"));
    edge.clock.advance(Duration::from_secs(1));
    assert_eq!(from(&edge, "192.0.2.1", &entry("a", "p", 0)).await.reason().as_deref(), Some("replayed"));
    assert_eq!(from(&edge, "192.0.2.1", &path).await.status, 200, "the session goes on");
    let again = self::edge(&origin, &fleet, "limits = { one_time = true }").await;
    assert_eq!(from(&again, "192.0.2.2", &entry("a", "p", 0)).await.reason().as_deref(), Some("replayed"));
    assert_eq!(from(&again, "192.0.2.2", &entry("b", "p", 0)).await.status, 200);
}

#[tokio::test]
async fn a_player_may_reload_the_url_of_a_used_token_with_its_session_cookie() {
    let origin = stage::origin().await;
    let extra = "limits = { one_time = true }\nsession = { carrier = \"cookie\" }";
    let edge = edge(&origin, "", extra).await;
    let entered = from(&edge, "192.0.2.1", &entry("a", "p", 0)).await;
    let cookie = entered.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair");
    edge.clock.advance(Duration::from_mins(1));
    let target = entry("a", "p", 0);
    let fields = [("X-Forwarded-For", "192.0.2.1"), ("Cookie", cookie)];
    assert_eq!(request(edge.address, "GET", &target, &fields).await.status, 200);
    assert_eq!(from(&edge, "192.0.2.1", &target).await.reason().as_deref(), Some("replayed"));
}

/// The program, serving.
struct Program {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Program {
    fn serve(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluicegate"))
            .args(["serve", "-c", "edge.toml", "--clock-offset", &clock_offset().to_string()])
            .current_dir(folder)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (mut address, mut admin) = (None, None);
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        for line in lines.map_while(Result::ok) {
            let end = line.rsplit_once("http://").and_then(|(_, end)| end.parse().ok());
            if line.contains("listening on http://") {
                address = end;
            } else if line.contains("operators' listener on http://") {
                admin = end;
                break;
            }
        }
        Self { child, address: address.expect("an address"), admin: admin.expect("an address") }
    }

    fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
    }
}

fn sluicegate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluicegate")).args(arguments).env_clear().output().expect("it starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_by_the_command_survives_a_kill() {
    let origin = stage::origin().await;
    let folder = tempfile::tempdir().expect("a folder");
    let text = config_text(&origin, "folder = \"state\"", "limits = { sessions = 1 }");
    std::fs::write(folder.path().join("edge.toml"), text).expect("written");
    let program = Program::serve(folder.path());
    let admin = format!("http://{}", program.admin);
    let said = |arguments: &[&str]| {
        let output = sluicegate(&[arguments, &["--admin", &admin]].concat());
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), text)
    };
    assert_eq!(get(program.address, &entry("b", "p", 0)).await.status, 200);
    let (code, text) =
        said(&["revoke", "--session-id", "a", "--address", "192.0.2.0/24", "--duration", "2h"]);
    assert_eq!((code, text.as_str()), (Some(0), "revoked: 2\n"));
    assert_eq!(get(program.address, &entry("a", "p", 0)).await.reason().as_deref(), Some("revoked"));
    let (code, text) = said(&["revoke", "--show"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("session   a  ends in 1h 59m") || text.contains("session   a  ends in 2h"),
        "{text}"
    );
    assert!(text.contains("address   192.0.2.0/24") && text.ends_with("2 in all\n"), "{text}");
    let (code, text) = said(&["sessions"]);
    assert!(code == Some(0) && text.contains("id=b") && text.ends_with("1 in all\n"), "{text}");
    let (code, text) = said(&["revoke", "--address", "nowhere"]);
    assert!(code == Some(2) && text.contains("neither an address nor a network"), "{text}");
    program.kill();
    let program = Program::serve(folder.path());
    assert_eq!(get(program.address, &entry("a", "p", 0)).await.reason().as_deref(), Some("revoked"));
    let admin = format!("http://{}", program.admin);
    let undone = sluicegate(&["revoke", "--session-id", "a", "--undo", "--admin", &admin]);
    assert_eq!(String::from_utf8_lossy(&undone.stdout), "taken back: 1\n");
    assert_eq!(get(program.address, &entry("a", "p", 0)).await.status, 200);
    program.kill();
    let (code, _) = said(&["sessions"]);
    assert_eq!(code, Some(1), "nobody answers");
}

#[tokio::test]
async fn a_damaged_file_is_used_as_far_as_it_goes_or_is_no_start() {
    let origin = stage::origin().await;
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = format!("folder = '{}'", folder.path().display());
    let first = edge(&origin, &fleet, "").await;
    add(&first, 0, json!([{ "id": "a", "durationSeconds": 3_600 }, { "id": "b", "durationSeconds": 3_600 }]))
        .await;
    let path = folder.path().join("revocations");
    let whole = std::fs::read(&path).expect("a file");
    std::fs::write(&path, &whole[..whole.len() - 5]).expect("written");
    let closed = config_text(&origin, &fleet, "revocation = { fail = \"closed\" }");
    let (metrics, clock) = (Metrics::new(), Clock::manual(Duration::from_secs(START)));
    let parsed =
        config::parse(&closed, "test.toml", Path::new("."), &metrics, clock.now()).expect("it is good");
    let error = App::build(parsed, metrics, clock, Level::of_nothing()).expect_err("no start").to_string();
    assert!(error.contains("is damaged") && error.contains("restore it, or remove it"), "{error}");
    let open = edge(&origin, &fleet, "").await;
    for id in ["a", "b"] {
        assert_eq!(get(open.address, &entry(id, "p", 0)).await.reason().as_deref(), Some("revoked"));
    }
    assert_eq!(open.count("fleet_files_damaged_total").await, 1);
    assert!(folder.path().join("revocations.damaged").exists());
}
