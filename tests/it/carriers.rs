//! Where a session travels: path, query, cookie, header, and what players make of it on the way.

use std::time::Duration;

use crate::support::player::Player;
use crate::support::stage::{self, MEDIA, MULTIVARIANT, live};
use crate::support::token::{Access, encoded};
use crate::support::{Answer, KEY, Reply, START, TestEdge, TestOrigin, get, request};

const MASTER: &str = "/v/master.m3u8";
const LIVE: &str = "/live/master.m3u8";
const MINUTE: u64 = START - START % 60;

async fn edge_with_carrier(origin: &TestOrigin, carrier: &str) -> TestEdge {
    TestEdge::start(origin, &format!("session = {{ carrier = \"{carrier}\" }}")).await
}

async fn entry(edge: &TestEdge, path: &str) -> Reply {
    let reply = get(edge.address, &Access::acl("/*").on(path)).await;
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply
}

/// The session of a cookie that was set: `hdntl=…`.
fn cookie_of(reply: &Reply) -> String {
    let cookie = reply.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn every_carrier_plays_everything_that_is_named() {
    for carrier in ["path", "query", "cookie", "header", "auto"] {
        let origin = stage::origin().await;
        let edge = edge_with_carrier(&origin, carrier).await;
        let mut player = Player::new(&edge);
        player.keeps_header = true;
        for entry in [MASTER, LIVE] {
            let got = player.play(&Access::acl("/*").on(entry)).await;
            assert!(got.len() >= 4, "{got:#?}");
            for (target, reply) in &got {
                assert_eq!(reply.status, 200, "{carrier}: {target}");
            }
            for (target, _) in &got[1..] {
                assert!(!target.contains("hdnts"), "{carrier}: {target}");
                let carries = target.matches("hdntl=").count();
                let expected = usize::from(
                    matches!(carrier, "path" | "query") || (carrier == "auto" && entry == MASTER),
                );
                assert_eq!(carries, expected, "{carrier}: {target}");
            }
        }
        let reached: Vec<String> = origin.asked().iter().map(|asked| asked.target().to_owned()).collect();
        assert!(reached.contains(&"/v/720p/level.m3u8?q=1".to_owned()), "{reached:#?}");
        assert!(reached.contains(&"/v/360p/seg1.m4s?x=1".to_owned()), "{reached:#?}");
        assert!(reached.contains(&"/v/k/1.key".to_owned()), "{reached:#?}");
        assert!(!reached.iter().any(|target| target.ends_with(['?', '&'])), "{reached:#?}");
        stage::assert_no_token_reached(&origin);
    }
}

#[tokio::test]
async fn a_player_without_cookies_plays_in_auto() {
    let origin = stage::origin().await;
    let edge = edge_with_carrier(&origin, "auto").await;
    let mut player = Player::new(&edge);
    player.keeps_cookies = false;
    for _ in 0..2 {
        for (target, reply) in player.play(&Access::acl("/*").on(MASTER)).await {
            assert_eq!(reply.status, 200, "{target}");
        }
    }
}

#[tokio::test]
async fn auto_leaves_uris_alone_once_a_cookie_came_back() {
    let origin = stage::origin().await;
    let edge = edge_with_carrier(&origin, "auto").await;
    let mut player = Player::new(&edge);
    let first = player.get(&Access::acl("/*").on(MASTER)).await;
    assert!(first.uris()[0].contains("hdntl="), "the client has shown nothing yet");
    let second = player.get(&Access::acl("/*").on(MASTER)).await;
    assert_eq!(second.text(), MULTIVARIANT);
}

#[tokio::test]
async fn relative_references_inherit_the_component_and_others_get_it() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let playlist = entry(&edge, MASTER).await;
    let child = format!("/v/{}", playlist.uris()[0]);
    let component = child.split('/').nth(3).expect("a component");
    assert!(component.starts_with("hdntl=exp="), "{child}");
    let media = get(edge.address, &child).await;
    let expected = MEDIA
        .replace("../k/1.key", &format!("../../k/{component}/1.key"))
        .replace("/v/360p/seg2.m4s", &format!("/v/360p/{component}/seg2.m4s"));
    assert_eq!(media.text(), expected);
}

#[tokio::test]
async fn the_query_carries_the_session_on_every_uri() {
    let origin = stage::origin().await;
    let edge = edge_with_carrier(&origin, "query").await;
    let playlist = entry(&edge, MASTER).await;
    let pair = playlist.uris()[0].split_once('?').expect("a query").1.to_owned();
    assert!(pair.starts_with("hdntl=exp=") && pair.contains("~acl=/*~data=hdntl~hmac="), "{pair}");
    assert_eq!(playlist.uris()[1], format!("/v/720p/level.m3u8?q=1&{pair}"));
    let media = get(edge.address, &format!("/v/360p/level.m3u8?{pair}")).await;
    let mut expected = MEDIA.to_owned();
    for uri in ["../k/1.key", "init.mp4", "seg0.m4s", "/v/360p/seg2.m4s"] {
        expected = expected.replace(uri, &format!("{uri}?{pair}"));
    }
    expected = expected.replace("seg1.m4s?x=1", &format!("seg1.m4s?x=1&{pair}"));
    assert_eq!(media.text(), expected);
}

#[tokio::test]
async fn a_session_keeps_its_text_over_reloads_of_a_live_playlist() {
    for carrier in ["path", "query"] {
        let origin = stage::origin().await;
        let edge = edge_with_carrier(&origin, carrier).await;
        let multivariant = entry(&edge, LIVE).await;
        let child = Player::new(&edge).resolved(LIVE, &multivariant.uris()[0]);
        let mut uris_before = get(edge.address, &child).await.uris();
        for first in 2..6 {
            edge.clock.advance(Duration::from_secs(61));
            origin.at("/live/a/level.m3u8", Answer::playlist(&live(first)));
            let uris = get(edge.address, &child).await.uris();
            assert!(uris[0].contains(&format!("{first}.ts")), "{carrier}: {uris:?}");
            assert_eq!(uris[0], uris_before[1], "{carrier}: one segment, one URI");
            uris_before = uris;
        }
    }
}

#[tokio::test]
async fn a_cookie_has_the_attributes_that_browsers_ask_for() {
    let origin = stage::origin().await;
    for (cookie, attributes) in [
        ("", "; Path=/; Expires=Wed, 15 Nov 2023 22:13:00 GMT; SameSite=None; Secure; HttpOnly"),
        (
            ", cookie = { domain = \"cdn.example\", partitioned = true, http_only = false }",
            "; Domain=cdn.example; Path=/; Expires=Wed, 15 Nov 2023 22:13:00 GMT; SameSite=None; Secure; Partitioned",
        ),
        (
            ", cookie = { secure = false, same_site = \"lax\" }",
            "; Path=/; Expires=Wed, 15 Nov 2023 22:13:00 GMT; SameSite=Lax; HttpOnly",
        ),
    ] {
        let edge = TestEdge::start(&origin, &format!("session = {{ carrier = \"cookie\"{cookie} }}")).await;
        let playlist = entry(&edge, LIVE).await;
        let set = playlist.header("set-cookie").expect("a cookie");
        let (pair, rest) = set.split_at(set.find("; ").expect("attributes"));
        assert_eq!(rest, attributes);
        assert!(
            pair.starts_with("hdntl=st=1699999980~exp=1700086380~")
                && pair.contains("~acl=%2f*~data=hdntl~hmac="),
            "{pair}"
        );
        assert!(
            pair.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b'\\')),
            "{pair}"
        );
        assert!(!playlist.text().contains("hdntl"), "nothing in URIs");
        let again = request(edge.address, "GET", "/live/a/level.m3u8", &[("cookie", pair)]).await;
        assert_eq!((again.status, again.header("set-cookie")), (200, None));
    }
}

#[tokio::test]
async fn a_cookie_is_renewed_in_the_last_half_of_its_life() {
    let origin = stage::origin().await;
    let edge =
        TestEdge::start(&origin, "session = { carrier = \"cookie\", ttl_max = \"2h\", age_max = \"5h\" }")
            .await;
    let mut player = Player::new(&edge);
    let first = player.get(&Access::acl("/*").on(LIVE)).await;
    assert!(cookie_of(&first).contains(&format!("exp={}~", MINUTE + 7_200)));
    edge.clock.advance(Duration::from_secs(3_500));
    assert_eq!(player.get("/live/a/level.m3u8").await.header("set-cookie"), None, "the first half");
    edge.clock.advance(Duration::from_secs(200));
    assert_eq!(player.get("/live/a/1.ts").await.header("set-cookie"), None, "segments renew nothing");
    let renewed = player.get("/live/a/level.m3u8").await;
    assert!(cookie_of(&renewed).starts_with(&format!("hdntl=st={MINUTE}~exp=")), "the first mint is kept");
    assert_eq!(edge.count("sessions_total{property=\"test\",how=\"renewed\"}").await, 1);
    let last_end = MINUTE + 5 * 3_600;
    let mut last = String::new();
    for _ in 0..40 {
        edge.clock.advance(Duration::from_mins(10));
        let reply = player.get("/live/a/level.m3u8").await;
        let ended = edge.clock.now().as_secs() >= last_end;
        assert_eq!(reply.status, if ended { 403 } else { 200 });
        if reply.header("set-cookie").is_some() {
            last = cookie_of(&reply);
        }
    }
    assert!(last.contains(&format!("exp={last_end}~")), "never past age_max: {last}");
}

#[tokio::test]
async fn a_cookie_is_not_renewed_where_told_not_to() {
    let origin = stage::origin().await;
    let edge =
        TestEdge::start(&origin, "session = { carrier = \"cookie\", ttl_max = \"2h\", renew = false }").await;
    let mut player = Player::new(&edge);
    let first = player.get(&Access::acl("/*").on(LIVE)).await;
    assert!(!cookie_of(&first).contains("st="));
    edge.clock.advance(Duration::from_secs(7_000));
    let reply = player.get("/live/a/level.m3u8").await;
    assert_eq!((reply.status, reply.header("set-cookie")), (200, None));
}

#[tokio::test]
async fn a_new_access_token_begins_a_new_session_beside_an_old_cookie() {
    let origin = stage::origin().await;
    for carrier in ["cookie", "auto", "header"] {
        let options = format!("session = {{ carrier = \"{carrier}\", ttl_max = \"2h\", age_max = \"2h\" }}");
        let edge = TestEdge::start(&origin, &options).await;
        let mut player = Player::new(&edge);
        player.keeps_header = true;
        let first = Access { id: Some("first"), ..Access::acl("/*") };
        assert_eq!(player.get(&first.on(LIVE)).await.status, 200);
        edge.clock.advance(Duration::from_mins(110));
        let bad = Access { end: START + 1, ..Access::acl("/*") };
        let reply = player.get(&bad.on(LIVE)).await;
        assert_eq!((reply.status, reply.reason()), (200, None), "{carrier}: the session is enough");
        let second = Access { id: Some("second"), end: START + 2 * 3_600, ..Access::acl("/*") };
        let entry = player.get(&second.on(LIVE)).await;
        assert_eq!(entry.status, 200);
        let handed = entry.header("set-cookie").or(entry.header("hdntl")).expect("a new session");
        assert!(handed.contains("~id=second~"), "{carrier}: {handed}");
        edge.clock.advance(Duration::from_hours(1));
        assert_eq!(player.get("/live/a/level.m3u8").await.status, 200, "{carrier}: it plays on");
    }
}

#[tokio::test]
async fn a_held_request_is_judged_by_its_start() {
    let origin = stage::origin().await;
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let edge = edge_with_carrier(&origin, "query").await;
    let entry = entry(&edge, LIVE).await;
    let child = Player::new(&edge).resolved(LIVE, &entry.uris()[0]);
    edge.clock.advance(Duration::from_secs(86_400 - START % 60 - 1));
    origin.at("/live/a/level.m3u8", Answer::playlist(&live(1)).gated(gate.clone()));
    let target = format!("{child}&_HLS_msn=3");
    let address = edge.address;
    let held = tokio::spawn(async move { get(address, &target).await });
    origin.until(|origin| origin.asked().iter().any(|asked| asked.target().contains("_HLS_msn=3"))).await;
    edge.clock.advance(Duration::from_mins(1));
    gate.notify_one();
    let reply = held.await.expect("an answer");
    assert_eq!((reply.status, reply.uris().len()), (200, 2));
    assert_eq!(get(edge.address, &child).await.status, 403, "the next one comes too late");
}

#[tokio::test]
async fn a_cookie_is_renewed_under_the_new_key() {
    const NEW: &str = "00112233445566778899aabbccddeeff";
    let origin = stage::origin().await;
    let session = "session = { carrier = \"cookie\", age_max = \"48h\" }";
    let before = TestEdge::start(&origin, session).await;
    let cookie = cookie_of(&entry(&before, LIVE).await);
    let keys =
        |transition: &str| format!("access = {{ key = {{ hex = \"{NEW}\" }}{transition} }}\n{session}");
    let during = TestEdge::start(&origin, &keys(&format!(", transition_key = {{ hex = \"{KEY}\" }}"))).await;
    during.clock.advance(Duration::from_hours(13));
    let renewed = request(during.address, "GET", "/live/a/level.m3u8", &[("cookie", &cookie)]).await;
    let renewed = cookie_of(&renewed);
    let after = TestEdge::start(&origin, &keys("")).await;
    for (cookie, status) in [(renewed, 200), (cookie, 403)] {
        let reply = request(after.address, "GET", "/live/a/level.m3u8", &[("cookie", &cookie)]).await;
        assert_eq!(reply.status, status);
    }
}

#[tokio::test]
async fn a_stale_cookie_is_cleared_where_no_cookies_are_used() {
    let origin = stage::origin().await;
    let with_cookies = edge_with_carrier(&origin, "cookie").await;
    let cookie = cookie_of(&entry(&with_cookies, LIVE).await);
    for carrier in ["path", "query", "header"] {
        let edge = edge_with_carrier(&origin, carrier).await;
        edge.clock.advance(Duration::from_hours(25));
        let target = Access { end: START + 26 * 3_600, ..Access::acl("/*") }.on(LIVE);
        let reply = request(edge.address, "GET", &target, &[("cookie", &cookie)]).await;
        let set = reply.header("set-cookie").expect("cleared");
        assert!(
            set.starts_with("hdntl=expired; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            "{carrier}: {set}"
        );
        let foreign = request(edge.address, "GET", &target, &[("cookie", "hdntl=somebody-elses")]).await;
        assert_eq!((foreign.status, foreign.header("set-cookie")), (200, None), "not ours to clear");
    }
}

#[tokio::test]
async fn a_cookie_of_foreign_bytes_does_not_hide_ours() {
    let origin = stage::origin().await;
    let edge = edge_with_carrier(&origin, "cookie").await;
    let cookie = cookie_of(&entry(&edge, LIVE).await);
    let access = Access::acl("/*").text();
    for pair in [cookie, format!("hdnts={access}")] {
        let mut bytes = format!("GET /live/a/level.m3u8 HTTP/1.1\r\nHost: {}\r\nCookie: name=", edge.address)
            .into_bytes();
        bytes.extend_from_slice(b"Ren\xe9\xff; ");
        bytes.extend_from_slice(format!("{pair}\r\nConnection: close\r\n\r\n").as_bytes());
        let reply = crate::support::client::send(edge.address, &bytes, false).await;
        assert_eq!((reply.status, reply.reason()), (200, None), "{pair}");
    }
}

#[tokio::test]
async fn the_header_carries_the_session_both_ways() {
    let origin = stage::origin().await;
    let edge = edge_with_carrier(&origin, "header").await;
    let target = Access::acl("/*").on(MASTER);
    let playlist = request(edge.address, "GET", &target, &[("origin", "https://player.example")]).await;
    let session = playlist.header("hdntl").expect("a session");
    assert!(playlist.header("access-control-expose-headers").is_some_and(|names| names.contains("hdntl")));
    assert_eq!((playlist.text().as_str(), playlist.header("set-cookie")), (MULTIVARIANT, None));
    let media = request(edge.address, "GET", "/v/360p/level.m3u8", &[("hdntl", &session)]).await;
    assert_eq!((media.status, media.text().as_str()), (200, MEDIA));
    assert_eq!(media.header("hdntl"), Some(session));
}

#[tokio::test]
async fn an_answer_that_hands_a_session_out_is_kept_by_no_cache() {
    let origin = stage::origin().await;
    origin.at(
        "/v/public.ts",
        Answer::with(
            "200 OK",
            &[
                ("content-type", "video/mp2t"),
                ("cache-control", "public, max-age=86400"),
                ("surrogate-control", "max-age=86400"),
                ("cdn-cache-control", "max-age=86400"),
                ("expires", "Fri, 01 Jan 2100 00:00:00 GMT"),
            ],
            "ts",
        ),
    );
    for carrier in ["cookie", "header"] {
        let edge = edge_with_carrier(&origin, carrier).await;
        let reply = entry(&edge, "/v/public.ts").await;
        assert!(reply.header("set-cookie").or(reply.header("hdntl")).is_some(), "{carrier}");
        assert_eq!(reply.header("cache-control").as_deref(), Some("private, no-store"), "{carrier}");
        for name in ["surrogate-control", "cdn-cache-control", "expires"] {
            assert_eq!(reply.header(name), None, "{carrier}");
        }
    }
    let edge = edge_with_carrier(&origin, "path").await;
    let reply = entry(&edge, "/v/public.ts").await;
    assert_eq!(
        reply.header("cache-control").as_deref(),
        Some("public, max-age=86400"),
        "nothing is handed out"
    );
}

#[tokio::test]
async fn a_media_playlist_as_the_entry_is_answered_with_its_own_url() {
    for carrier in ["path", "query"] {
        let origin = stage::origin().await;
        let edge = edge_with_carrier(&origin, carrier).await;
        let path = "/live/a/level.m3u8?lang=en";
        let reply = entry(&edge, path).await;
        let uris = reply.uris();
        assert_eq!(
            (uris.len(), reply.text().lines().nth(1)),
            (1, Some("#EXT-X-STREAM-INF:BANDWIDTH=3000000"))
        );
        let child = Player::new(&edge).resolved(path, &uris[0]);
        // The access token has long expired; the playlist goes on under the session.
        edge.clock.advance(Duration::from_hours(1));
        let media = get(edge.address, &child).await;
        assert_eq!((media.status, media.uris().len()), (200, 2), "{carrier}: {child}");
        let segment = Player::new(&edge).resolved(&child, &media.uris()[0]);
        assert_eq!(get(edge.address, &segment).await.status, 200, "{carrier}: {segment}");
        let asked = origin.asked_for("/live/a/level.m3u8");
        assert!(asked.iter().all(|asked| asked.target() == path), "{carrier}: its own query goes on");
        let length = reply.header("content-length");
        let edge = edge_with_carrier(&origin, carrier).await;
        let head = request(edge.address, "HEAD", &Access::acl("/*").on(path), &[]).await;
        assert_eq!((head.status, head.header("content-length")), (200, length), "{carrier}");
    }
    let origin = stage::origin().await;
    for carrier in ["cookie", "header"] {
        let edge = edge_with_carrier(&origin, carrier).await;
        assert_eq!(entry(&edge, "/v/360p/level.m3u8").await.text(), MEDIA, "{carrier}");
    }
}

#[tokio::test]
async fn a_media_entry_lives_as_long_as_its_media() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let reply = entry(&edge, "/v/360p/level.m3u8").await;
    assert!(reply.uris()[0].starts_with(&format!("hdntl=exp={}~", MINUTE + 72)), "{}", reply.text());
}

#[tokio::test]
async fn players_that_escape_the_whole_value_are_understood() {
    let origin = stage::origin().await;
    let edge = edge_with_carrier(&origin, "query").await;
    let token = Access { id: Some("viewer:1"), payload: Some("a=b"), ..Access::acl("/*") };
    let playlist = get(edge.address, &token.on(LIVE)).await;
    let text = playlist.uris()[0].split_once("?hdntl=").expect("a session").1.to_owned();
    let first = get(edge.address, &format!("/live/a/level.m3u8?hdntl={text}")).await;
    for presented in [
        encoded(&text),
        encoded(&text).to_lowercase(),
        // URLSearchParams leaves `*-._` and escapes `~`.
        text.replace('=', "%3D").replace('~', "%7E").replace('/', "%2F").replace(':', "%3A"),
        text.replace('/', "%2f"),
    ] {
        let reply = get(edge.address, &format!("/live/a/level.m3u8?hdntl={presented}&_HLS_msn=3")).await;
        assert_eq!((reply.status, reply.reason()), (200, None), "{presented}");
        assert_eq!(reply.text(), first.text(), "the children's text does not change");
    }
    let twice = encoded(&encoded(&encoded(&text)));
    let reply = get(edge.address, &format!("/live/a/level.m3u8?hdntl={twice}")).await;
    assert_eq!(reply.status, 403, "escaped again and again is no player's work");
}

#[tokio::test]
async fn players_that_change_the_components_escapes_are_understood() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let token = Access { id: Some("viewer:1"), payload: Some("a,b c"), ..Access::acl("/*") };
    let playlist = get(edge.address, &format!("{LIVE}?hdnts={}", encoded(&token.text()))).await;
    let component = playlist.uris()[0].split('/').nth(1).expect("a component").to_owned();
    assert!(component.contains("~acl=%2f*~id=viewer%3a1~data=hdntl,a,b%2520c~hmac="), "{component}");
    let first = get(edge.address, &format!("/live/a/{component}/level.m3u8")).await;
    let value = component.strip_prefix("hdntl=").expect("its name");
    for presented in [
        component.replace("%2f", "%2F").replace("%3a", "%3A"),
        component.replace('~', "%7E").replace('*', "%2A").replace(',', "%2C"),
        component.replace('=', "%3D"),
        component.replace("%3a", ":"),
        format!("hdntl={}", encoded(value)),
        encoded(&component),
    ] {
        let reply = get(edge.address, &format!("/live/a/{presented}/level.m3u8")).await;
        assert_eq!((reply.status, reply.reason()), (200, None), "{presented}");
        assert_eq!(reply.text(), first.text(), "{presented}");
    }
    stage::assert_no_token_reached(&origin);
}

#[tokio::test]
async fn a_plus_is_never_a_space() {
    let origin = stage::origin().await;
    let edge = edge_with_carrier(&origin, "query").await;
    let token = Access { payload: Some("a+b"), ..Access::acl("/*") };
    let playlist = get(edge.address, &token.on(MASTER)).await;
    let pair = playlist.uris()[0].split_once('?').expect("a query").1.to_owned();
    assert!(pair.contains("~data=hdntl,a%2bb~"), "{pair}");
    let status =
        |pair: String| async move { get(edge.address, &format!("/v/360p/level.m3u8?{pair}")).await.status };
    assert_eq!(status(pair.clone()).await, 200);
    let edge = edge_with_carrier(&origin, "query").await;
    let raw = get(edge.address, &format!("/v/360p/level.m3u8?{}", pair.replace("%2b", "+"))).await;
    assert_eq!(raw.status, 200);
    let spaced = get(edge.address, &format!("/v/360p/level.m3u8?{}", pair.replace("%2b", "%20"))).await;
    assert_eq!(spaced.status, 403);
}

#[tokio::test]
async fn delivery_directives_stand_anywhere_beside_the_session() {
    let origin = stage::origin().await;
    let edge = edge_with_carrier(&origin, "query").await;
    let playlist = entry(&edge, LIVE).await;
    let pair = playlist.uris()[0].split_once('?').expect("a query").1.to_owned();
    for (query, left) in [
        (format!("{pair}&_HLS_msn=3&_HLS_part=1"), "_HLS_msn=3&_HLS_part=1"),
        (format!("_HLS_msn=4&{pair}&_HLS_part=1"), "_HLS_msn=4&_HLS_part=1"),
        (format!("_HLS_msn=5&_HLS_part=1&{pair}"), "_HLS_msn=5&_HLS_part=1"),
        (format!("_HLS_skip=YES&{pair}"), "_HLS_skip=YES"),
    ] {
        let before = origin.asked().len();
        assert_eq!(get(edge.address, &format!("/live/a/level.m3u8?{query}")).await.status, 200);
        assert_eq!(origin.asked()[before].target(), format!("/live/a/level.m3u8?{left}"));
    }
}

#[tokio::test]
async fn the_component_may_stand_anywhere_in_the_path() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let playlist = entry(&edge, MASTER).await;
    let component = playlist.uris()[0].split('/').nth(1).expect("a component").to_owned();
    for target in [
        format!("/{component}/v/360p/level.m3u8"),
        format!("/v/{component}/360p/level.m3u8"),
        format!("/v/360p/{component}/level.m3u8"),
        format!("/v/360p/{component}/./level.m3u8"),
        format!("/v/{component}/720p/../360p/level.m3u8"),
        format!("/v/{component}/360p/%6cevel.m3u8"),
    ] {
        let mut player = Player::new(&edge);
        for (target, reply) in player.play(&target).await {
            assert_eq!((reply.status, reply.reason()), (200, None), "{target}");
        }
    }
    for target in [
        format!("/v/360p/{component}/../level.m3u8"),
        format!("/v/{component}/360p/../../v/360p/level.m3u8"),
        format!("/v/{component}/%2e%2e/360p/level.m3u8"),
        format!("/v/{component}/.%2E/360p/level.m3u8"),
    ] {
        let before = origin.asked().len();
        let reply = get(edge.address, &target).await;
        assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("malformed")), "{target}");
        assert_eq!(origin.asked().len(), before);
    }
    let disguised = format!("/v/360p/%68dntl={}/level.m3u8", &component["hdntl=".len()..]);
    assert_eq!(get(edge.address, &disguised).await.status, 403);
    stage::assert_no_token_reached(&origin);
}

#[tokio::test]
async fn names_like_the_components_are_directories_of_the_origin() {
    let origin = stage::origin().await;
    origin.at("/v/xhdntl=1/hdntl2=2/HDNTL=3/hdntl/a.ts", Answer::ok("video/mp2t", "ts"));
    let edge = TestEdge::start(&origin, "").await;
    let reply = entry(&edge, "/v/xhdntl=1/hdntl2=2/HDNTL=3/hdntl/a.ts").await;
    assert_eq!(reply.text(), "ts");
}

#[tokio::test]
async fn head_is_answered_as_get_is() {
    let origin = stage::origin().await;
    for carrier in ["path", "query", "cookie", "header"] {
        let edge = edge_with_carrier(&origin, carrier).await;
        let target = Access::acl("/*").on(MASTER);
        let got = get(edge.address, &target).await;
        let head = request(edge.address, "HEAD", &target, &[]).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-length", "content-type", "etag", "set-cookie", "hdntl", "cache-control"] {
            assert_eq!(head.header(name), got.header(name), "{carrier}: {name}");
        }
    }
    let edge = TestEdge::start(&origin, "").await;
    let refused = request(edge.address, "HEAD", MASTER, &[]).await;
    let get_refused = get(edge.address, MASTER).await;
    assert_eq!((refused.status, refused.reason().as_deref()), (403, Some("no_token")));
    for name in ["content-length", "content-type", "cache-control"] {
        assert_eq!(refused.header(name), get_refused.header(name), "{name}");
    }
}

#[tokio::test]
async fn a_session_in_the_wrong_words_is_refused() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(
        &origin,
        &format!("access = {{ key = {{ hex = \"{KEY}\" }} }}\nsession = {{ name = \"tok\" }}"),
    )
    .await;
    let playlist = entry(&edge, MASTER).await;
    let component = playlist.uris()[0].split('/').nth(1).expect("a component").to_owned();
    assert!(component.starts_with("tok=exp=") && component.contains("~data=tok~"), "{component}");
    assert_eq!(get(edge.address, &format!("/v/360p/{component}/level.m3u8")).await.status, 200);
    let under_another_name = component.replacen("tok=", "hdntl=", 1);
    let reply = get(edge.address, &format!("/v/360p/{under_another_name}/level.m3u8")).await;
    assert_eq!(reply.status, 400, "it is an odd directory with an escaped slash");
    let query = format!("/v/360p/level.m3u8?{}", under_another_name.replace("%2f", "/"));
    let reply = get(edge.address, &query).await;
    assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("no_token")));
}
