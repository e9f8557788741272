//! Several edges and one Redis: what one refuses all refuse, whatever becomes of Redis.

use std::net::SocketAddr;
use std::time::Duration;

use sluicegate::domain::revocation::DEFAULT_LIST;
use sluicegate::domain::revocation::identifier::{Identifier, Kind};

use super::support::redis::{Redis, Wire};
use super::support::token::Access;
use super::support::{KEY, START};
use super::support::{TestEdge, TestOrigin, get, stage};

const HOUR: Duration = Duration::from_hours(1);

/// An edge of a fleet; `extra` goes into the property.
async fn edge(origin: &TestOrigin, redis: SocketAddr, extra: &str) -> TestEdge {
    edge_with(origin, &format!("redis = \"redis://{redis}\""), extra).await
}

async fn edge_with(origin: &TestOrigin, fleet: &str, extra: &str) -> TestEdge {
    TestEdge::with_config(&format!(
        "[server.limits]\nconnections_per_address = 4000\nconnections_max = 4000\n[fleet]\n{fleet}\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n{extra}\n",
        origin.address
    ))
    .await
}

async fn three(origin: &TestOrigin, redis: &Redis, extra: &str) -> [TestEdge; 3] {
    let mut edges = Vec::new();
    for _ in 0..3 {
        let edge = edge(origin, redis.address, extra).await;
        connected(&edge).await;
        edges.push(edge);
    }
    <[TestEdge; 3]>::try_from(edges).ok().expect("three")
}

async fn connected(edge: &TestEdge) {
    eventually("the edge follows the fleet", async || edge.fleet.is_connected() == Some(true)).await;
}

/// Waits for what has to come; the time it may take is generous, and measured elsewhere.
async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_| panic!("{what}: it does not"));
}

/// `/v/master.m3u8` with an access token of this id; tokens of different `number`s are different tokens.
fn entry(id: &str, number: u64) -> String {
    let token = Access { id: Some(id), end: START + 300 + number, ..Access::acl("/*") }.text();
    format!("/v/master.m3u8?hdnts={token}")
}

/// The first rendition's playlist in the session that an entry at this edge began.
async fn enter(edge: &TestEdge, id: &str, number: u64) -> String {
    let reply = get(edge.address, &entry(id, number)).await;
    assert_eq!(reply.status, 200, "{}", reply.head);
    format!("/v/{}", reply.uris()[0])
}

async fn status(edge: &TestEdge, target: &str) -> u16 {
    get(edge.address, target).await.status
}

async fn revoke(edge: &TestEdge, kind: Kind, text: &str) -> bool {
    let identifier = Identifier::new(kind, text).expect("an identifier");
    edge.fleet.revoke(DEFAULT_LIST, vec![(identifier, HOUR)]).await.expect("it is taken").has_reached_fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_at_one_edge_refuses_at_all() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let edges = three(&origin, &redis, "").await;
    let session = enter(&edges[0], "viewer-1", 0).await;
    let other = enter(&edges[0], "viewer-2", 0).await;
    for edge in &edges {
        assert_eq!(status(edge, &session).await, 200, "a session is good at every edge");
    }
    assert!(revoke(&edges[0], Kind::Session, "viewer%2d1").await);
    assert_eq!(get(edges[0].address, &session).await.reason().as_deref(), Some("revoked"), "at once");
    for edge in &edges {
        eventually("it is refused", async || status(edge, &session).await == 403).await;
        assert_eq!(get(edge.address, &entry("viewer-1", 1)).await.reason().as_deref(), Some("revoked"));
        assert_eq!(status(edge, &other).await, 200, "and nobody else is");
    }
    let identifier = Identifier::new(Kind::Session, "viewer-1").expect("an identifier");
    assert_eq!(edges[2].fleet.restore_access(DEFAULT_LIST, vec![identifier]).await, Ok(1));
    for edge in &edges {
        eventually("it is admitted again", async || status(edge, &session).await == 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_starts_knows_what_was_revoked_before_its_first_answer() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let first = edge(&origin, redis.address, "").await;
    connected(&first).await;
    let many = (0..1_200)
        .map(|number| (Identifier::new(Kind::Session, &format!("s{number}")).expect("an identifier"), HOUR));
    first.fleet.revoke(DEFAULT_LIST, many.collect()).await.expect("they are taken");
    let second = edge(&origin, redis.address, "").await;
    for number in [0, 600, 1_199] {
        let reply = get(second.address, &entry(&format!("s{number}"), 0)).await;
        assert_eq!(reply.reason().as_deref(), Some("revoked"), "{}", reply.head);
    }
    assert_eq!(second.fleet.revocations().count(), 1_200);
    assert_eq!(second.fleet.version(), first.fleet.version());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_message_is_lost_arrives_all_the_same() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let edges = three(&origin, &redis, "").await;
    // What a script of ours does, without its message.
    let script = "local version = redis.call('HINCRBY', '{sluicegate}:meta', 'version', 1)\n\
        redis.call('HSET', '{sluicegate}:records', ARGV[1], ARGV[2])\n\
        return redis.call('ZADD', '{sluicegate}:changes', version, ARGV[1])";
    let ends = (START + 3_600).to_string();
    redis.command(&["EVAL", script, "0", "r\x1f0\x1fsession\x1flost", &ends]).await.expect("an answer");
    for edge in &edges {
        eventually("it is refused", async || status(edge, &entry("lost", 0)).await == 403).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_open_properties_admit_and_closed_ones_refuse() {
    let Some(mut redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let open = edge(&origin, redis.address, "").await;
    let closed = edge(&origin, redis.address, "revocation = { fail = \"closed\", age_max = \"1s\" }").await;
    for edge in [&open, &closed] {
        connected(edge).await;
    }
    let session = enter(&open, "viewer", 0).await;
    assert_eq!(status(&closed, &session).await, 200);
    revoke(&open, Kind::Session, "bad").await;
    redis.save().await;
    redis.kill();
    eventually("it is refused", async || status(&closed, &session).await == 503).await;
    let refused = get(closed.address, &session).await;
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    assert_eq!(status(&closed, &entry("new", 0)).await, 503);
    assert_eq!(status(&open, &session).await, 200, "it goes on with what it knows");
    assert_eq!(status(&open, &entry("new", 0)).await, 200);
    assert_eq!(status(&open, &entry("bad", 0)).await, 403);
    eventually("it says so", async || open.count("fleet_connected").await == 0).await;
    assert!(open.count("fleet_age_milliseconds").await > 0);
    assert!(closed.count("fleet_refusals_total{property=\"test\"}").await >= 2);
    redis.run().await;
    eventually("it is admitted again", async || status(&closed, &session).await == 200).await;
    assert_eq!(status(&closed, &entry("bad", 0)).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_never_reached_the_fleet_refuses_where_it_fails_closed() {
    let Some(mut redis) = Redis::start().await else { return };
    redis.kill();
    let origin = stage::origin().await;
    let closed = edge(&origin, redis.address, "revocation = { fail = \"closed\" }").await;
    let open = edge(&origin, redis.address, "").await;
    assert_eq!(status(&closed, &entry("a", 0)).await, 503);
    assert_eq!(status(&open, &entry("a", 0)).await, 200);
    redis.run().await;
    eventually("it is admitted", async || status(&closed, &entry("a", 0)).await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_is_away_and_catches_up() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let edges = three(&origin, &redis, "").await;
    let session = enter(&edges[0], "viewer", 0).await;
    redis.pause();
    eventually("it is noticed", async || edges[0].fleet.is_connected() == Some(false)).await;
    assert!(!revoke(&edges[0], Kind::Session, "viewer").await, "the fleet is not told yet");
    assert_eq!(status(&edges[0], &session).await, 403, "here it is in force");
    assert_eq!(status(&edges[1], &session).await, 200);
    redis.resume();
    for edge in &edges {
        eventually("it is refused", async || status(edge, &session).await == 403).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_was_cut_off_catches_up_and_tells_what_it_did() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let wire = Wire::to(redis.address).await;
    let far = edge(&origin, wire.address, "").await;
    let near = edge(&origin, redis.address, "").await;
    for edge in [&far, &near] {
        connected(edge).await;
    }
    wire.cut();
    eventually("it is noticed", async || far.fleet.is_connected() == Some(false)).await;
    assert!(revoke(&near, Kind::Session, "a").await);
    assert!(!revoke(&far, Kind::Session, "b").await);
    assert!(far.fleet.create_list("sports").await.is_err(), "only additions are taken");
    assert_eq!(status(&far, &entry("a", 0)).await, 200, "it cannot know");
    wire.mend();
    for edge in [&far, &near] {
        for id in ["a", "b"] {
            eventually("it is refused", async || status(edge, &entry(id, 0)).await == 403).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_without_its_data_is_given_them_again() {
    let Some(mut redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let edges = three(&origin, &redis, "").await;
    let list = edges[0].fleet.create_list("sports").await.expect("a list");
    let identifier = Identifier::new(Kind::Session, "a").expect("an identifier");
    edges[0].fleet.revoke(list.id, vec![(identifier, HOUR)]).await.expect("it is taken");
    revoke(&edges[1], Kind::Address, "203.0.113.0/24").await;
    for edge in &edges {
        eventually("they are known", async || edge.fleet.revocations().count() == 2).await;
    }
    redis.kill();
    redis.run().await;
    let new = edge(&origin, redis.address, "").await;
    for edge in edges.iter().chain([&new]) {
        eventually("they are known", async || {
            edge.fleet.is_connected() == Some(true) && edge.fleet.revocations().count() == 2
        })
        .await;
        eventually("and the list", async || edge.fleet.lists().iter().any(|list| list.name == "sports"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_with_older_data_loses_nothing() {
    let Some(mut redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let edges = three(&origin, &redis, "").await;
    revoke(&edges[0], Kind::Session, "before").await;
    revoke(&edges[0], Kind::Session, "freed").await;
    redis.save().await;
    let freed = Identifier::new(Kind::Session, "freed").expect("an identifier");
    edges[0].fleet.restore_access(DEFAULT_LIST, vec![freed]).await.expect("it is taken");
    revoke(&edges[0], Kind::Session, "after").await;
    for edge in &edges {
        eventually("it is known", async || status(edge, &entry("after", 0)).await == 403).await;
    }
    redis.kill();
    redis.run().await;
    let new = edge(&origin, redis.address, "").await;
    for edge in edges.iter().chain([&new]) {
        for id in ["before", "after"] {
            eventually("it is refused", async || status(edge, &entry(id, 0)).await == 403).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_two_holds_under_a_thousand_starts_at_three_edges() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    // With questions that may take as long as a busy machine makes them: an edge that has no answer in time goes by what it
    // knows alone, and three such edges would admit two each.
    let patient = format!("redis = \"redis://{}\"\ntimeout = \"20s\"", redis.address);
    let mut edges = Vec::new();
    for _ in 0..3 {
        let edge = edge_with(&origin, &patient, "limits = { sessions = 2 }").await;
        connected(&edge).await;
        edges.push(edge);
    }
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..1_000_u64 {
        let address = edges[usize::try_from(number % 3).expect("small")].address;
        starts.spawn(async move {
            let reply = get(address, &entry("account", number)).await;
            (reply.status, reply.reason())
        });
    }
    let replies = starts.join_all().await;
    let admitted = replies.iter().filter(|(status, _)| *status == 200).count();
    let refused = replies.iter().filter(|(_, reason)| reason.as_deref() == Some("session_limit")).count();
    assert_eq!((admitted, refused), (2, 998));
    assert_eq!(status(&edges[0], &entry("another", 0)).await, 200, "another account is not concerned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_counts_once_however_often_and_wherever_it_is_used() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let edges = three(&origin, &redis, "limits = { sessions = 1 }").await;
    let session = enter(&edges[0], "account", 0).await;
    for edge in &edges {
        assert_eq!(status(edge, &session).await, 200);
        assert_eq!(status(edge, &entry("account", 0)).await, 200, "the same token again");
        assert_eq!(get(edge.address, &entry("account", 1)).await.reason().as_deref(), Some("session_limit"));
    }
    let (watched, count, is_of_all) = edges[2].fleet.watched(0, 10).await;
    assert!(is_of_all);
    if count > 0 {
        assert_eq!((watched[0].value.as_str(), watched[0].property.as_str()), ("account", "test"));
    }
    eventually("it is listed at every edge", async || {
        let mut counts = Vec::new();
        for edge in &edges {
            counts.push(edge.fleet.watched(0, 10).await.1);
        }
        counts == [1, 1, 1]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_gives_way_at_every_edge() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let edges = three(&origin, &redis, "limits = { sessions = 1, over_limit = \"deny-oldest\" }").await;
    let old = enter(&edges[0], "account", 0).await;
    assert_eq!(status(&edges[1], &old).await, 200);
    let new = enter(&edges[2], "account", 1).await;
    for edge in &edges {
        eventually("the old one ends", async || {
            get(edge.address, &old).await.reason().as_deref() == Some("session_limit")
        })
        .await;
        assert_eq!(status(edge, &new).await, 200);
    }
    assert_eq!(get(edges[0].address, &entry("account", 0)).await.reason().as_deref(), Some("session_limit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewing_that_is_ended_is_refused_at_every_edge() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let edges = three(&origin, &redis, "limits = { sessions = 9 }").await;
    let (doomed, other) = (enter(&edges[0], "account", 0).await, enter(&edges[0], "account", 1).await);
    let viewing = doomed.split("data=hdntl.").nth(1).and_then(|rest| rest.get(..16)).expect("a number");
    let viewing = u64::from_str_radix(viewing, 16).expect("hex");
    edges[1].fleet.end(viewing, HOUR).await.expect("it ends");
    for edge in &edges {
        eventually("it is refused", async || {
            get(edge.address, &doomed).await.reason().as_deref() == Some("revoked")
        })
        .await;
        assert_eq!(status(edge, &other).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_token_is_good_at_one_edge_once() {
    let Some(mut redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    // The viewers' addresses are told by a header, so that there are several.
    let extra = "limits = { one_time = true }";
    let edges = three(&origin, &redis, extra).await;
    let session = enter(&edges[0], "a", 0).await;
    assert_eq!(status(&edges[1], &entry("a", 0)).await, 200, "a retry of the same viewer, at another edge");
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..30_usize {
        let address = edges[number % 3].address;
        starts.spawn(async move { get(address, &entry("b", 0)).await.status });
    }
    assert!(starts.join_all().await.iter().all(|status| *status == 200), "retries, all of them");
    for edge in &edges {
        edge.clock.advance(Duration::from_secs(11));
    }
    // The server's clock is not ours to move: what was used long since is made to be so.
    let first = redis.command(&["KEYS", "{sluicegate:t:*"]).await.expect("an answer");
    let redis::Value::Array(keys) = first else { panic!("{first:?}") };
    for key in keys {
        let key: String = redis::from_redis_value(key).expect("a key");
        redis.command(&["SET", &key, "127.0.0.1 1000"]).await.expect("an answer");
    }
    for edge in &edges {
        assert_eq!(get(edge.address, &entry("a", 0)).await.reason().as_deref(), Some("replayed"));
        assert_eq!(status(edge, &session).await, 200, "the session goes on");
    }
    redis.kill();
    eventually("it is noticed", async || edges[0].fleet.is_connected() == Some(false)).await;
    assert_eq!(status(&edges[0], &entry("c", 0)).await, 200, "judged alone");
    assert_eq!(get(edges[0].address, &entry("a", 0)).await.reason().as_deref(), Some("replayed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_reaches_all_and_one_that_is_missed_is_caught_up() {
    let Some(redis) = Redis::start().await else { return };
    let origin = stage::origin().await;
    let wire = Wire::to(redis.address).await;
    let fleet = |address: SocketAddr| format!("redis = \"redis://{address}\"\npurges_max = 2");
    let near = edge_with(&origin, &fleet(redis.address), "").await;
    let far = edge_with(&origin, &fleet(wire.address), "").await;
    for edge in [&near, &far] {
        connected(edge).await;
    }
    assert!(near.fleet.pass_on_purge("{\"tag\":\"a\"}").await);
    eventually("it is carried out", async || far.fleet.counters().purges.value() == 1).await;
    assert_eq!(near.fleet.counters().purges.value(), 0, "its own is not carried out twice");
    wire.cut();
    eventually("it is noticed", async || far.fleet.is_connected() == Some(false)).await;
    assert!(near.fleet.pass_on_purge("{\"tag\":\"b\"}").await);
    assert!(!far.fleet.pass_on_purge("{\"tag\":\"c\"}").await, "it waits");
    wire.mend();
    eventually("both caught up", async || {
        far.fleet.counters().purges.value() == 2 && near.fleet.counters().purges.value() == 1
    })
    .await;
    assert_eq!(far.fleet.counters().purges_of_all.value(), 0);
    wire.cut();
    eventually("it is noticed", async || far.fleet.is_connected() == Some(false)).await;
    for tag in ["d", "e", "f", "g"] {
        assert!(near.fleet.pass_on_purge(&format!("{{\"tag\":\"{tag}\"}}")).await);
    }
    wire.mend();
    eventually("it purges everything", async || far.fleet.counters().purges_of_all.value() == 1).await;
}
