//! Sessions: what is minted, how long it lasts, what it opens, and to whom.

use std::time::Duration;

use crate::support::player::Player;
use crate::support::stage;
use crate::support::token::{Access, encoded, with_a_changed_byte};
use crate::support::{Answer, KEY, Reply, START, TestEdge, TestOrigin, get, request};

const MASTER: &str = "/v/master.m3u8";
const LIVE: &str = "/live/master.m3u8";

/// The start of the minute in which the tests begin: lives are counted from it.
const MINUTE: u64 = START - START % 60;

fn refused(reason: &str) -> (u16, Option<String>) {
    (403, Some(reason.to_owned()))
}

fn outcome(reply: &Reply) -> (u16, Option<String>) {
    (reply.status, reply.reason())
}

/// The text of the session in a path: `exp=…~hmac=…`.
fn session_in(path: &str) -> &str {
    path.split('/').find_map(|segment| segment.strip_prefix("hdntl=")).expect("a session")
}

fn expiry(session: &str) -> u64 {
    let digits = session.split("exp=").nth(1).and_then(|rest| rest.split(['~', '%', ';']).next());
    digits.and_then(|digits| digits.parse().ok()).expect("an expiry")
}

async fn entry(edge: &TestEdge, path: &str) -> Reply {
    let reply = get(edge.address, &Access::acl("/*").on(path)).await;
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply
}

/// The first child that an entry names, as a player asks for it.
fn child(edge: &TestEdge, path: &str, entry: &Reply) -> String {
    Player::new(edge).resolved(path, &entry.uris()[0])
}

#[tokio::test]
async fn a_session_lives_for_the_media_a_minute_and_the_pause() {
    let origin = stage::origin().await;
    for (pause, expected) in [("0s", MINUTE + 72), ("4h", MINUTE + 72 + 14_400)] {
        let edge = TestEdge::start(&origin, &format!("session = {{ pause_allowance = \"{pause}\" }}")).await;
        let playlist = entry(&edge, MASTER).await;
        assert_eq!(expiry(&playlist.uris()[0]), expected, "{pause}");
    }
    assert_eq!(
        origin.asked_for("/v/360p/level.m3u8").len(),
        2,
        "the first variant was read once by each edge"
    );
    assert!(origin.asked_for("/v/720p/level.m3u8").is_empty());
}

#[tokio::test]
async fn a_live_session_lives_a_day() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    assert_eq!(expiry(&entry(&edge, LIVE).await.uris()[0]), MINUTE + 86_400);
    let edge = TestEdge::start(&origin, "session = { ttl_max = \"2h\" }").await;
    assert_eq!(expiry(&entry(&edge, LIVE).await.uris()[0]), MINUTE + 7_200);
}

#[tokio::test]
async fn an_item_that_cannot_be_measured_gets_a_day() {
    let origin = stage::origin().await;
    for first_variant in [
        Answer::with("503 Service Unavailable", &[], "busy"),
        Answer::with("302 Found", &[("location", "/v/720p/level.m3u8")], ""),
        Answer::ok("text/html", "<p>no playlist"),
        Answer::playlist(stage::MULTIVARIANT),
        Answer::raw("nonsense"),
    ] {
        origin.at("/v/360p/level.m3u8", first_variant);
        let edge = TestEdge::start(&origin, "").await;
        assert_eq!(expiry(&entry(&edge, MASTER).await.uris()[0]), MINUTE + 86_400);
    }
    let elsewhere = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttps://other.example/a.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n";
    origin.at("/v/elsewhere.m3u8", Answer::playlist(elsewhere));
    let edge = TestEdge::start(&origin, "").await;
    let uris = entry(&edge, "/v/elsewhere.m3u8").await.uris();
    assert_eq!(uris[0], "https://other.example/a.m3u8");
    assert_eq!(expiry(&uris[1]), MINUTE + 86_400);
}

#[tokio::test]
async fn a_session_outlives_its_access_token_and_ends_with_its_last_second() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let playlist = entry(&edge, LIVE).await;
    let child = child(&edge, LIVE, &playlist);
    let ends = expiry(&child);
    edge.clock.advance(Duration::from_secs(ends - START - 1));
    assert_eq!(get(edge.address, &child).await.status, 200);
    edge.clock.advance(Duration::from_secs(1));
    assert_eq!(outcome(&get(edge.address, &child).await), refused("expired"));
}

#[tokio::test]
async fn one_access_token_gives_one_text_within_a_minute() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let first = entry(&edge, LIVE).await.text();
    edge.clock.advance(Duration::from_secs(59 - START % 60));
    assert_eq!(entry(&edge, LIVE).await.text(), first, "the same minute");
    edge.clock.advance(Duration::from_secs(1));
    assert_ne!(entry(&edge, LIVE).await.text(), first, "the next minute");
}

#[tokio::test]
async fn different_viewers_have_different_sessions() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let one = Access { id: Some("one"), ..Access::acl("/*") };
    let two = Access { id: Some("two"), ..Access::acl("/*") };
    let first = get(edge.address, &one.on(MASTER)).await;
    let second = get(edge.address, &two.on(MASTER)).await;
    assert_ne!(session_in(&first.uris()[0]), session_in(&second.uris()[0]));
    assert!(session_in(&first.uris()[0]).contains("~id=one~"));
    assert!(session_in(&second.uris()[0]).contains("~id=two~"));
    assert_eq!(origin.asked_for(MASTER).len(), 1, "the kept playlist has nothing of either");
}

#[tokio::test]
async fn any_changed_byte_of_a_session_is_refused() {
    let origin = stage::origin().await;
    for carrier in ["path", "query", "cookie"] {
        let edge = TestEdge::start(&origin, &format!("session = {{ carrier = \"{carrier}\" }}")).await;
        let playlist = entry(&edge, LIVE).await;
        let child = child(&edge, LIVE, &playlist);
        let cookie = playlist.header("set-cookie").unwrap_or_default();
        let cookie = cookie.split(';').next().unwrap_or_default();
        let before = origin.asked().len();
        let whole = if carrier == "cookie" { cookie } else { &child };
        let begin = whole.find("hdntl=").expect("a session") + "hdntl=".len();
        let end = begin + whole[begin..].find("~hmac=").expect("an HMAC") + "~hmac=".len() + 64;
        for at in begin..end {
            // An escape in a path with a changed digit is another byte, or none.
            let changed = with_a_changed_byte(whole, at);
            let reply = match carrier {
                "cookie" => request(edge.address, "GET", "/live/a/level.m3u8", &[("cookie", &changed)]).await,
                _ => get(edge.address, &changed).await,
            };
            assert_eq!(reply.status, 403, "{carrier}, byte {at}: {changed}");
        }
        assert_eq!(origin.asked().len(), before, "nothing was sent to the origin");
    }
}

#[tokio::test]
async fn an_access_token_is_no_session_and_a_session_is_no_access_token() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let access = Access { payload: Some("hdntl"), ..Access::acl("/*") }.text();
    let escaped = access.replace('/', "%2f");
    for target in
        [format!("/v/hdntl={escaped}/360p/level.m3u8"), format!("/v/360p/level.m3u8?hdntl={access}")]
    {
        assert_eq!(outcome(&get(edge.address, &target).await), refused("bad_signature"), "{target}");
    }
    for (name, value) in [("cookie", format!("hdntl={escaped}")), ("hdntl", access.clone())] {
        let reply = request(edge.address, "GET", "/v/360p/level.m3u8", &[(name, &value)]).await;
        assert_eq!(outcome(&reply), refused("bad_signature"), "{name}");
    }
    let playlist = entry(&edge, MASTER).await;
    let session = session_in(&playlist.uris()[0]).to_owned();
    for presented in [session.clone(), session.replace("%2f", "/")] {
        let reply = get(edge.address, &format!("{MASTER}?hdnts={presented}")).await;
        assert_eq!(outcome(&reply), refused("bad_signature"));
        let reply = request(edge.address, "GET", MASTER, &[("hdnts", &presented)]).await;
        assert_eq!(outcome(&reply), refused("bad_signature"));
    }
}

#[tokio::test]
async fn a_session_of_another_property_is_refused() {
    let origin = stage::origin().await;
    let property = |name: &str| {
        format!(
            "[[property]]\nname = \"{name}\"\nhosts = [\"{name}.example\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n",
            origin.address
        )
    };
    let edge = TestEdge::with_config(&(property("one") + &property("two"))).await;
    let at_one = [("host", "one.example")];
    let at_two = [("host", "two.example")];
    let playlist = request(edge.address, "GET", &Access::acl("/*").on(MASTER), &at_one).await;
    let child = format!("/v/{}", playlist.uris()[0]);
    assert_eq!(request(edge.address, "GET", &child, &at_one).await.status, 200);
    assert_eq!(outcome(&request(edge.address, "GET", &child, &at_two).await), refused("bad_signature"));
    let access = request(edge.address, "GET", &Access::acl("/*").on(MASTER), &at_two).await;
    assert_eq!(access.status, 200, "access tokens are the key's, whose properties may share it");
}

#[tokio::test]
async fn a_carried_acl_limits_the_session() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "session = { carry = [\"acl\"] }").await;
    let token = Access { id: Some("viewer"), payload: Some("gold"), ..Access::acl("/v/*!/w/*") };
    let playlist = get(edge.address, &token.on(MASTER)).await;
    let session = session_in(&playlist.uris()[0]).to_owned();
    assert!(session.contains("~acl=%2fv%2f*!%2fw%2f*~data=hdntl~hmac="), "{session}");
    for (path, status) in
        [("/v/360p/", 200), ("/live/a/", 403), ("/w/", 404), ("/v2/", 403), ("/V/360p/", 403)]
    {
        let reply = get(edge.address, &format!("{path}hdntl={session}/level.m3u8")).await;
        assert_eq!(reply.status, status, "{path}");
        if status == 403 {
            assert_eq!(reply.reason().as_deref(), Some("acl_mismatch"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_session_without_a_carried_acl_opens_the_property() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let playlist = get(edge.address, &Access::acl("/v/*").on(MASTER)).await;
    let session = session_in(&playlist.uris()[0]).to_owned();
    assert!(session.contains("~acl=%2f*~"), "{session}");
    assert_eq!(get(edge.address, &format!("/live/hdntl={session}/a/level.m3u8")).await.status, 200);
}

#[tokio::test]
async fn id_payload_and_address_are_carried_when_asked() {
    let origin = stage::origin().await;
    let token =
        Access { id: Some("viewer-1"), payload: Some("gold"), ip: Some("127.0.0.1"), ..Access::acl("/*") };
    for (carry, expected) in [
        ("[]", "~acl=%2f*~data=hdntl~hmac="),
        ("[\"id\"]", "~acl=%2f*~id=viewer-1~data=hdntl~hmac="),
        ("[\"data\"]", "~acl=%2f*~data=hdntl,gold~hmac="),
        ("[\"id\", \"data\", \"ip\", \"acl\"]", "~acl=%2f*~id=viewer-1~data=hdntl,gold~hmac="),
    ] {
        let edge = TestEdge::start(&origin, &format!("session = {{ carry = {carry} }}")).await;
        let playlist = get(edge.address, &token.on(MASTER)).await;
        let session = session_in(&playlist.uris()[0]).to_owned();
        assert!(session.contains(expected), "{carry}: {session}");
        assert_eq!(session.starts_with("ip=127.0.0.1~exp="), carry.contains("ip"), "{session}");
        assert_eq!(get(edge.address, &format!("/v/{}", playlist.uris()[0])).await.status, 200);
    }
}

#[tokio::test]
async fn salt_headers_bind_a_session_to_the_player() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "session = { salt_headers = [\"User-Agent\", \"X-Device\"] }").await;
    let player = [("user-agent", "tv/1"), ("x-device", "7")];
    let target = Access::acl("/*").on(MASTER);
    let playlist = request(edge.address, "GET", &target, &player).await;
    assert_eq!(playlist.status, 200);
    let child = format!("/v/{}", playlist.uris()[0]);
    assert_eq!(request(edge.address, "GET", &child, &player).await.status, 200);
    for other in [
        vec![("user-agent", "tv/2"), ("x-device", "7")],
        vec![("user-agent", "tv/17"), ("x-device", "")],
        vec![("user-agent", "7"), ("x-device", "tv/1")],
    ] {
        assert_eq!(outcome(&request(edge.address, "GET", &child, &other).await), refused("bad_signature"));
    }
    for absent in [vec![("user-agent", "tv/1")], vec![]] {
        let session = request(edge.address, "GET", &child, &absent).await;
        assert_eq!(outcome(&session), refused("malformed"), "{absent:?}");
        let before = origin.asked().len();
        let other = Access::acl("/*").on("/v/never-asked.m3u8");
        let access = request(edge.address, "GET", &other, &absent).await;
        assert_eq!(outcome(&access), refused("malformed"), "{absent:?}");
        assert_eq!(origin.asked().len(), before, "nothing is asked for somebody who is refused");
    }
}

#[tokio::test]
async fn a_fixed_salt_wins_over_salt_headers() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(
        &origin,
        &format!(
            "access = {{ key = {{ hex = \"{KEY}\" }}, salt = {{ text = \"pepper\" }} }}\nsession = {{ salt_headers = [\"User-Agent\"] }}"
        ),
    )
    .await;
    let token = Access { salt: Some("pepper"), ..Access::acl("/*") };
    let playlist = request(edge.address, "GET", &token.on(MASTER), &[("user-agent", "a")]).await;
    let child = format!("/v/{}", playlist.uris()[0]);
    assert_eq!(request(edge.address, "GET", &child, &[("user-agent", "b")]).await.status, 200);
}

#[tokio::test]
async fn an_expired_session_beside_a_good_access_token_mints_anew() {
    let origin = stage::origin().await;
    for carrier in ["path", "query", "cookie", "header", "auto"] {
        let edge = TestEdge::start(&origin, &format!("session = {{ carrier = \"{carrier}\" }}")).await;
        let mut player = Player::new(&edge);
        player.keeps_header = true;
        let old = player.play(&Access::acl("/*").on(MASTER)).await;
        assert!(old.iter().all(|(_, reply)| reply.status == 200), "{carrier}");
        edge.clock.advance(Duration::from_hours(25));
        let (level, _) = old.iter().find(|(target, _)| target.contains("360p/")).expect("a child");
        assert_eq!(outcome(&player.get(level).await), refused("expired"), "{carrier}");
        let fresh = Access { end: START + 25 * 3600 + 300, ..Access::acl("/*") };
        // The component may stand anywhere; here a directory follows it.
        let component = level.split('/').find(|segment| segment.starts_with("hdntl="));
        let farther = component.map_or(level.clone(), |component| format!("/v/{component}/360p/level.m3u8"));
        for (entry, what) in
            [(MASTER, "the entry"), (level, "a child"), (&farther, "a child below the component")]
        {
            for (target, reply) in player.play(&fresh.on(entry)).await {
                assert_eq!(outcome(&reply), (200, None), "{carrier}, {what}: {target}");
            }
        }
        stage::assert_no_token_reached(&origin);
    }
}

#[tokio::test]
async fn a_wrong_session_in_a_url_is_refused_even_beside_a_good_access_token() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let forged = format!("exp=1700009999~acl=%2f*~data=hdntl~hmac={}", "0".repeat(64));
    for target in [format!("/v/hdntl={forged}/master.m3u8"), format!("{MASTER}?hdntl={forged}")] {
        let reply = get(edge.address, &Access::acl("/*").on(&target)).await;
        assert_eq!(outcome(&reply), refused("bad_signature"), "{target}");
    }
    let cookie = format!("hdntl={forged}");
    let target = Access::acl("/*").on(MASTER);
    let left_over = request(edge.address, "GET", &target, &[("cookie", &cookie)]).await;
    assert_eq!(left_over.status, 200, "a cookie may be left over from another day");
}

#[tokio::test]
async fn two_different_sessions_in_one_place_are_refused() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let one = entry(&edge, MASTER).await;
    let one = session_in(&one.uris()[0]).to_owned();
    let two = entry(&edge, LIVE).await;
    let two = session_in(&two.uris()[0]).to_owned();
    for target in [
        format!("/v/hdntl={one}/360p/hdntl={two}/level.m3u8"),
        format!("/v/hdntl={one}/360p/hdntl={one}/level.m3u8"),
        format!("/hdntl={one}/hdntl={one}/v/360p/level.m3u8"),
        format!("/v/360p/level.m3u8?hdntl={one}&hdntl={two}"),
    ] {
        assert_eq!(outcome(&get(edge.address, &target).await), refused("duplicate_token"), "{target}");
    }
    let same = get(edge.address, &format!("/v/360p/level.m3u8?hdntl={one}&a=1&hdntl={one}")).await;
    assert_eq!(same.status, 200);
    let cookies = format!("hdntl={one}; hdntl={two}");
    let reply = request(edge.address, "GET", "/v/360p/level.m3u8", &[("cookie", &cookies)]).await;
    assert_eq!(outcome(&reply), refused("duplicate_token"));
    let headers = [("hdntl", one.as_str()), ("hdntl", two.as_str())];
    let reply = request(edge.address, "GET", "/v/360p/level.m3u8", &headers).await;
    assert_eq!(outcome(&reply), refused("duplicate_token"));
}

#[tokio::test]
async fn any_edge_with_the_same_configuration_verifies_a_session() {
    let origin = stage::origin().await;
    let first = TestEdge::start(&origin, "").await;
    let second = TestEdge::start(&origin, "").await;
    let playlist = entry(&first, MASTER).await;
    assert_eq!(get(second.address, &format!("/v/{}", playlist.uris()[0])).await.status, 200);
}

#[tokio::test]
async fn a_rotated_key_keeps_running_sessions() {
    const NEW: &str = "00112233445566778899aabbccddeeff";
    let origin = stage::origin().await;
    let before = TestEdge::start(&origin, "").await;
    let playlist = entry(&before, MASTER).await;
    let child = format!("/v/{}", playlist.uris()[0]);
    let keys = format!("access = {{ key = {{ hex = \"{NEW}\" }}, transition_key = {{ hex = \"{KEY}\" }} }}");
    let during = TestEdge::start(&origin, &keys).await;
    assert_eq!(get(during.address, &child).await.status, 200);
    assert_eq!(during.count("verifications_total{property=\"test\",key=\"transition_key\"}").await, 1);
    let after = TestEdge::start(&origin, &format!("access = {{ key = {{ hex = \"{NEW}\" }} }}")).await;
    assert_eq!(outcome(&get(after.address, &child).await), refused("bad_signature"));
}

#[tokio::test]
async fn an_edge_at_the_end_of_time_answers() {
    let origin: TestOrigin = stage::origin().await;
    let edge = TestEdge::start(&origin, "session = { pause_allowance = \"4h\" }").await;
    edge.clock.advance(Duration::from_secs(9_999_999_999_999_999));
    let reply = get(edge.address, &Access { end: u64::MAX / 2, ..Access::acl("/*") }.on(MASTER)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(get(edge.address, &format!("/v/{}", reply.uris()[0])).await.status, 200);
}

#[tokio::test]
async fn the_longest_ids_and_payloads_play() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let (id, payload) = ("\"".repeat(64), "x".repeat(2_000));
    let token = Access { id: Some(&id), payload: Some(&payload), ..Access::acl("/*") };
    let mut player = Player::new(&edge);
    for (target, reply) in player.play(&format!("{MASTER}?hdnts={}", encoded(&token.text()))).await {
        assert_eq!((reply.status, reply.reason()), (200, None), "{target}");
    }
}

#[tokio::test]
async fn a_payload_that_no_session_could_carry_is_refused_at_the_entry() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let payload = "\"".repeat(1_000);
    let token = Access { payload: Some(&payload), ..Access::acl("/*") };
    let reply = get(edge.address, &format!("{MASTER}?hdnts={}", encoded(&token.text()))).await;
    assert_eq!(outcome(&reply), refused("malformed"));
}
