//! The access token: where it may stand, which ones pass, and what each option of the configuration changes.

use std::time::Duration;

use sluicegate::domain::token::edgeauth::dialect::Dialect;
use sluicegate::domain::token::key::{Algorithm, Secret};

use crate::support::stage;
use crate::support::token::{Access, encoded, signed_as_it_is, with_a_changed_byte};
use crate::support::{KEY, Reply, START, TestEdge, TestOrigin, get, request};

const MASTER: &str = "/v/master.m3u8";

/// An edge whose `access` table has these keys beside the tests' key.
async fn edge_with(origin: &TestOrigin, access: &str) -> TestEdge {
    TestEdge::start(origin, &format!("access = {{ key = {{ hex = \"{KEY}\" }}, {access} }}")).await
}

fn outcome(reply: &Reply) -> (u16, Option<String>) {
    (reply.status, reply.reason())
}

fn refused(reason: &str) -> (u16, Option<String>) {
    (403, Some(reason.to_owned()))
}

fn passed() -> (u16, Option<String>) {
    (200, None)
}

#[tokio::test]
async fn a_token_counts_in_query_cookie_and_header() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let token = Access::acl("/*").text();
    let cookie = format!("a=1; hdnts={token}; b=2");
    let escaped_cookie = format!("hdnts={}", encoded(&token));
    let quoted_cookie = format!("hdnts=\"{token}\"");
    for fields in [
        [("cookie", cookie.as_str())],
        [("cookie", escaped_cookie.as_str())],
        [("cookie", quoted_cookie.as_str())],
        [("hdnts", token.as_str())],
        [("HdNtS", token.as_str())],
    ] {
        let reply = request(edge.address, "GET", MASTER, &fields).await;
        assert_eq!(outcome(&reply), passed(), "{fields:?}");
    }
    assert_eq!(get(edge.address, &Access::acl("/*").on(MASTER)).await.status, 200);
    let body = format!(
        "GET {MASTER} HTTP/1.1\r\nHost: a\r\nX-Hdnts: {token}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let elsewhere = crate::support::client::send(edge.address, body.as_bytes(), false).await;
    assert_eq!(outcome(&elsewhere), refused("no_token"), "places that are not configured do not count");
    stage::assert_no_token_reached_but(&origin, &["x-hdnts", "authorization"]);
}

#[tokio::test]
async fn a_place_that_is_not_configured_is_not_looked_at() {
    let origin = stage::origin().await;
    let edge = edge_with(&origin, "locations = [\"cookie\"]").await;
    let token = Access::acl("/*").text();
    assert_eq!(outcome(&get(edge.address, &Access::acl("/*").on(MASTER)).await), refused("no_token"));
    let header = request(edge.address, "GET", MASTER, &[("hdnts", &token)]).await;
    assert_eq!(outcome(&header), refused("no_token"));
    let cookie = request(edge.address, "GET", MASTER, &[("cookie", &format!("hdnts={token}"))]).await;
    assert_eq!(outcome(&cookie), passed());
    stage::assert_no_token_reached(&origin);
}

#[tokio::test]
async fn a_bad_token_in_one_place_does_not_hide_a_good_one_in_the_next() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let good = Access::acl("/*").text();
    let old = Access { end: START - 1, ..Access::acl("/*") };
    let reply = request(edge.address, "GET", &old.on(MASTER), &[("cookie", &format!("hdnts={good}"))]).await;
    assert_eq!(outcome(&reply), passed());
    let reply = request(edge.address, "GET", &old.on(MASTER), &[("cookie", "hdnts=nonsense")]).await;
    assert_eq!(outcome(&reply), refused("expired"), "the first place's reason is told");
    let empty = request(edge.address, "GET", &format!("{MASTER}?hdnts="), &[("hdnts", &good)]).await;
    assert_eq!(outcome(&empty), passed(), "an empty value is no token");
}

#[tokio::test]
async fn two_different_values_in_one_place_are_refused() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let one = Access::acl("/*").text();
    let other = Access::acl("/v/*").text();
    let twice = |pair: &str| format!("{MASTER}?hdnts={one}&a=1&{pair}");
    assert_eq!(
        outcome(&get(edge.address, &twice(&format!("hdnts={other}"))).await),
        refused("duplicate_token")
    );
    assert_eq!(outcome(&get(edge.address, &twice("hdnts=")).await), refused("duplicate_token"));
    assert_eq!(outcome(&get(edge.address, &twice(&format!("hdnts={one}"))).await), passed());
    for (first, second) in [
        (("cookie", format!("hdnts={one}")), ("cookie", format!("hdnts={other}"))),
        (("hdnts", one.clone()), ("hdnts", other.clone())),
        (("cookie", format!("hdnts={one}; hdnts={other}")), ("x", String::new())),
    ] {
        let fields = [(first.0, first.1.as_str()), (second.0, second.1.as_str())];
        let reply = request(edge.address, "GET", MASTER, &fields).await;
        assert_eq!(outcome(&reply), refused("duplicate_token"), "{fields:?}");
    }
    assert_eq!(edge.denials("duplicate_token").await, 5);
}

#[tokio::test]
async fn look_alike_names_are_no_token_and_go_to_the_origin_as_they_came() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let query = "Hdnts=1&hdnts2=2&xhdnts=3&%68dnts=4&hdnts[]=5&a;hdnts=6&a=%26hdnts=7&b=+%2f%2F&&c";
    assert_eq!(outcome(&get(edge.address, &format!("{MASTER}?{query}")).await), refused("no_token"));
    let target = Access::acl("/*").on(&format!("{MASTER}?{query}"));
    assert_eq!(get(edge.address, &target).await.status, 200);
    let asked = origin.asked_for(MASTER);
    assert_eq!(asked[0].target(), format!("{MASTER}?{query}"));
}

#[tokio::test]
async fn a_query_loses_its_tokens_and_nothing_else() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let token = Access::acl("/*").text();
    for (asked, left) in [
        (format!("?hdnts={token}"), String::new()),
        (format!("?hdnts={token}&n=1"), "?n=1".to_owned()),
        (format!("?n=2&hdnts={token}"), "?n=2".to_owned()),
        (format!("?n=3&hdnts={token}&b=%2f+;&c"), "?n=3&b=%2f+;&c".to_owned()),
        (format!("?hdnts={token}&hdnts={token}&hdntl=&n=4"), "?n=4".to_owned()),
    ] {
        let before = origin.asked().len();
        assert_eq!(get(edge.address, &format!("{MASTER}{asked}")).await.status, 200, "{asked}");
        assert_eq!(origin.asked()[before].target(), format!("{MASTER}{left}"), "{asked}");
    }
}

#[tokio::test]
async fn any_changed_byte_of_a_token_is_refused() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let token = Access { id: Some("viewer1"), ip: Some("127.0.0.1"), ..Access::acl("/v/*") }.text();
    for at in 0..token.len() {
        let changed = with_a_changed_byte(&token, at);
        let reply = get(edge.address, &format!("{MASTER}?hdnts={changed}")).await;
        assert_eq!(reply.status, 403, "byte {at} of {changed}");
    }
    for cut in [0, 1, token.len() / 2, token.len() - 1] {
        assert_eq!(get(edge.address, &format!("{MASTER}?hdnts={}", &token[..cut])).await.status, 403);
    }
    for longer in [format!("{token}0"), format!("{token}~"), format!("0{token}"), format!("{token}~acl=/*")] {
        assert_eq!(get(edge.address, &format!("{MASTER}?hdnts={longer}")).await.status, 403, "{longer}");
    }
    let (fields, hmac) = token.rsplit_once("~hmac=").expect("an HMAC");
    let upper = format!("{MASTER}?hdnts={fields}~hmac={}", hmac.to_uppercase());
    assert_eq!(outcome(&get(edge.address, &upper).await), refused("malformed"), "upper-case hex");
    assert!(origin.asked().is_empty(), "nothing was sent to the origin");
}

#[tokio::test]
async fn a_token_escaped_once_passes_and_twice_does_not() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let token = Access::acl("/*").text();
    let once = encoded(&token);
    assert!(once.contains("acl%3D%2F*%7Ehmac%3D"), "{once}");
    assert_eq!(outcome(&get(edge.address, &format!("{MASTER}?hdnts={once}")).await), passed());
    let lower = once.replace("%3D", "%3d").replace("%7E", "%7e").replace("%2F", "%2f");
    assert_eq!(outcome(&get(edge.address, &format!("{MASTER}?hdnts={lower}")).await), passed());
    let twice = format!("{MASTER}?hdnts={}", encoded(&once));
    assert_eq!(outcome(&get(edge.address, &twice).await), refused("malformed"));
    let spaced = Access { payload: Some("a+b"), ..Access::acl("/*") };
    assert_eq!(outcome(&get(edge.address, &spaced.on(MASTER)).await), passed(), "a plus is a plus");
    let with_space = spaced.on(MASTER).replace('+', "%20");
    assert_eq!(outcome(&get(edge.address, &with_space).await), refused("bad_signature"));
}

#[tokio::test]
async fn an_escaped_acl_survives_players_that_change_its_escapes() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    // Customers' signers escape the ACL with lower-case hex, and it is hashed so.
    let token = Access::acl("%2fv%2f*").text();
    for presented in [token.clone(), token.replace("%2f", "%2F"), token.replace("%2f", "/"), encoded(&token)]
    {
        let reply = get(edge.address, &format!("{MASTER}?hdnts={presented}")).await;
        assert_eq!(outcome(&reply), passed(), "{presented}");
    }
    let elsewhere = get(edge.address, &format!("/live/master.m3u8?hdnts={token}")).await;
    assert_eq!(outcome(&elsewhere), refused("acl_mismatch"));
}

#[tokio::test]
async fn fields_that_a_signer_was_tricked_into_are_refused() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    for signed in [
        "exp=1~acl=/*~data=a~exp=9999999999",
        "exp=1700000300~acl=/v/*~acl=/*",
        "exp=1700000300~acl=/*~url=/v/master.m3u8",
        "exp=1700000300~acl=/*~salt=x",
        "exp=1700000300~acl=/*~alg=none",
        "acl=/*~exp=1700000300",
        "exp=1700000300~acl=/*~id=~data=x",
        "ip=~exp=1700000300~acl=/*",
        "exp=1700000300~acl=",
        "exp=~acl=/*",
        "acl=/*",
        "exp=-1~acl=/*",
        "exp=+1700000300~acl=/*",
        "exp=1.7e9~acl=/*",
        "exp=0x6553f2cc~acl=/*",
        "exp=1700000300.5~acl=/*",
        "exp=18446744073709551617~acl=/*",
        "exp=99999999999999999999999999~acl=/*",
        "st=1700000300~exp=1700000300~acl=/*",
        "st=1700000301~exp=1700000300~acl=/*",
        "exp=1700000300~acl=/*~",
        "~exp=1700000300~acl=/*",
        "exp=1700000300~acl=/*~data=a~hmac=00",
    ] {
        let reply = get(edge.address, &format!("{MASTER}?hdnts={}", signed_as_it_is(signed))).await;
        assert_eq!(reply.status, 403, "{signed}");
        assert_eq!(reply.reason().as_deref(), Some("malformed"), "{signed}");
    }
    for (signed, reason) in [("exp=0~acl=/*", "expired"), ("exp=1700000300", "url_mismatch")] {
        let reply = get(edge.address, &format!("{MASTER}?hdnts={}", signed_as_it_is(signed))).await;
        assert_eq!(outcome(&reply), refused(reason), "{signed}");
    }
    let greatest = signed_as_it_is("exp=9999999999999999999~acl=/*");
    assert_eq!(get(edge.address, &format!("{MASTER}?hdnts={greatest}")).await.status, 200, "no overflow");
}

#[tokio::test]
async fn oversized_tokens_are_refused_by_their_limits() {
    let origin = stage::origin().await;
    let edge =
        edge_with(&origin, "limits = { token = \"1KiB\", fields = 8, acl_alternatives = 3, acl = \"200B\" }")
            .await;
    let long = Access { payload: Some(&"x".repeat(1_100)), ..Access::acl("/*") };
    assert_eq!(outcome(&get(edge.address, &long.on(MASTER)).await), refused("malformed"));
    let id = Access { id: Some(&"i".repeat(65)), ..Access::acl("/*") };
    assert_eq!(outcome(&get(edge.address, &id.on(MASTER)).await), refused("malformed"));
    let id = Access { id: Some(&"i".repeat(64)), ..Access::acl("/*") };
    assert_eq!(get(edge.address, &id.on(MASTER)).await.status, 200);
    assert_eq!(get(edge.address, &Access::acl("/a!/b!/v/*").on(MASTER)).await.status, 200);
    let alternatives = get(edge.address, &Access::acl("/a!/b!/c!/v/*").on(MASTER)).await;
    assert_eq!(outcome(&alternatives), refused("malformed"));
    let acl = get(edge.address, &Access::acl(&format!("/v/*!/{}", "a".repeat(200))).on(MASTER)).await;
    assert_eq!(outcome(&acl), refused("malformed"));
    let fields = signed_as_it_is(&format!("exp=1700000300~acl=/*{}", "~a".repeat(100)));
    assert_eq!(get(edge.address, &format!("{MASTER}?hdnts={fields}")).await.status, 403);
}

#[tokio::test]
async fn the_transition_key_verifies_and_is_counted_apart() {
    const OLD: &str = "00112233445566778899aabbccddeeff";
    let origin = stage::origin().await;
    let edge = edge_with(&origin, &format!("transition_key = {{ hex = \"{OLD}\" }}")).await;
    let old = Access { key: OLD, ..Access::acl("/*") };
    let entry = get(edge.address, &old.on(MASTER)).await;
    assert_eq!(entry.status, 200);
    assert_eq!(get(edge.address, &Access::acl("/*").on(MASTER)).await.status, 200);
    let unknown = Access { key: "ff112233445566778899aabbccddeeff", ..Access::acl("/*") };
    assert_eq!(outcome(&get(edge.address, &unknown.on(MASTER)).await), refused("bad_signature"));
    assert_eq!(edge.count("verifications_total{property=\"test\",key=\"transition_key\"}").await, 1);
    assert_eq!(edge.count("verifications_total{property=\"test\",key=\"key\"}").await, 1);
}

#[tokio::test]
async fn the_key_is_read_as_hex_and_never_as_text() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let as_text = Secret::from_text(KEY).expect("a key").to_hex();
    let token = Access { key: &as_text, ..Access::acl("/*") };
    assert_eq!(outcome(&get(edge.address, &token.on(MASTER)).await), refused("bad_signature"));
}

#[tokio::test]
async fn a_salted_property_refuses_unsalted_tokens() {
    let origin = stage::origin().await;
    let edge = edge_with(&origin, "salt = { text = \"pepper\" }").await;
    let salted = Access { salt: Some("pepper"), ..Access::acl("/*") };
    let entry = get(edge.address, &salted.on(MASTER)).await;
    assert_eq!(entry.status, 200);
    let child = get(edge.address, &format!("/v/{}", entry.uris()[0])).await;
    assert_eq!(child.status, 200, "the session takes the salt over");
    for salt in [None, Some("Pepper"), Some("pepperpepper"), Some("pepper~salt=pepper")] {
        let token = Access { salt, ..Access::acl("/*") };
        assert_eq!(
            outcome(&get(edge.address, &token.on(MASTER)).await),
            refused("bad_signature"),
            "{salt:?}"
        );
    }
}

#[tokio::test]
async fn the_algorithm_is_the_configured_one() {
    for (name, configured) in
        [("sha256", Algorithm::Sha256), ("sha1", Algorithm::Sha1), ("md5", Algorithm::Md5)]
    {
        let origin = stage::origin().await;
        let edge = edge_with(&origin, &format!("algorithm = \"{name}\"")).await;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha1, Algorithm::Md5] {
            let token = Access { algorithm, ..Access::acl("/*") };
            let reply = get(edge.address, &token.on(MASTER)).await;
            assert_eq!(reply.status, if algorithm == configured { 200 } else { 403 }, "{name} {algorithm:?}");
        }
        let entry =
            get(edge.address, &Access { algorithm: configured, ..Access::acl("/*") }.on(MASTER)).await;
        let hmac = entry.uris()[0].split("~hmac=").nth(1).expect("a session").len();
        assert_eq!(hmac, 64 + "/level.m3u8".len(), "sessions are SHA-256 always");
    }
}

#[tokio::test]
async fn every_escape_dialect_of_signers_verifies() {
    let origin = stage::origin().await;
    let edge = edge_with(&origin, "escape_inputs = true").await;
    for dialect in Dialect::ALL {
        let acl = Access {
            id: Some("a b!(c)*/é"),
            payload: Some("k=v&w,x"),
            ip: Some("127.0.0.1"),
            escape: Some(dialect),
            ..Access::acl("/*")
        };
        assert_eq!(outcome(&get(edge.address, &acl.on(MASTER)).await), passed(), "{dialect:?}");
        let path = format!("{MASTER}?a=(1)*!");
        let url = Access { escape: Some(dialect), ..Access::url(&path) };
        assert_eq!(outcome(&get(edge.address, &url.on(&path)).await), passed(), "{dialect:?}");
        let other = get(edge.address, &url.on(&format!("{MASTER}?a=(2)*!"))).await;
        assert_eq!(outcome(&other), refused("url_mismatch"), "{dialect:?}");
    }
}

#[tokio::test]
async fn a_url_token_opens_its_url_with_its_query() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let bare = Access::url(MASTER);
    assert_eq!(outcome(&get(edge.address, &bare.on(MASTER)).await), passed());
    let more = get(edge.address, &bare.on(&format!("{MASTER}?a=1"))).await;
    assert_eq!(outcome(&more), refused("url_mismatch"));
    assert_eq!(outcome(&get(edge.address, &bare.on("/live/master.m3u8")).await), refused("url_mismatch"));
    let with_query = Access::url(&format!("{MASTER}?a=1&b=2"));
    let between = format!("{MASTER}?a=1&hdnts={}&b=2", with_query.text());
    assert_eq!(outcome(&get(edge.address, &between).await), passed(), "our own parameter is not in the URL");
    let reordered = get(edge.address, &with_query.on(&format!("{MASTER}?b=2&a=1"))).await;
    assert_eq!(outcome(&reordered), refused("url_mismatch"));
    assert_eq!(outcome(&get(edge.address, &with_query.on(MASTER)).await), refused("url_mismatch"));
}

#[tokio::test]
async fn a_url_token_ignores_the_query_where_told_to() {
    let origin = stage::origin().await;
    let edge = edge_with(&origin, "ignore_query = true").await;
    let token = Access::url(MASTER);
    for path in [MASTER.to_owned(), format!("{MASTER}?a=1"), format!("{MASTER}?b=%2f")] {
        assert_eq!(outcome(&get(edge.address, &token.on(&path)).await), passed(), "{path}");
    }
    let other = get(edge.address, &token.on("/live/master.m3u8")).await;
    assert_eq!(outcome(&other), refused("url_mismatch"));
    let child = get(edge.address, &token.on("/v/360p/level.m3u8")).await;
    assert_eq!(outcome(&child), refused("url_mismatch"));
}

#[tokio::test]
async fn a_url_tokens_session_opens_the_children() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let entry = get(edge.address, &Access::url(MASTER).on(MASTER)).await;
    let child = get(edge.address, &format!("/v/{}", entry.uris()[0])).await;
    assert_eq!(child.status, 200);
}

#[tokio::test]
async fn the_address_of_a_token_is_the_sockets() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    for ip in ["127.0.0.1", "::ffff:127.0.0.1"] {
        let token = Access { ip: Some(ip), ..Access::acl("/*") };
        assert_eq!(outcome(&get(edge.address, &token.on(MASTER)).await), passed(), "{ip}");
    }
    for ip in ["127.0.0.2", "127.000.000.001", "0x7f000001", "127.1", "localhost", "127.0.0.1/8", "*"] {
        let token = Access { ip: Some(ip), ..Access::acl("/*") };
        let claims = [("x-forwarded-for", ip), ("x-real-ip", ip), ("forwarded", "for=127.0.0.2")];
        let reply = request(edge.address, "GET", &token.on(MASTER), &claims).await;
        assert_eq!(outcome(&reply), refused("ip_mismatch"), "{ip}");
    }
}

#[tokio::test]
async fn an_address_agrees_by_prefix_where_configured() {
    let origin = stage::origin().await;
    let property = format!(
        "[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }}, ipv4_prefix = 24, ipv6_prefix = 64 }}\nsession = {{ carry = [\"ip\"] }}\n",
        origin.address
    );
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n{property}"
    );
    let edge = TestEdge::with_text(&text).await;
    for (named, client, status) in [
        ("203.0.113.7", "203.0.113.7", 200),
        ("203.0.113.7", "203.0.113.200", 200),
        ("203.0.113.7", "203.0.114.7", 403),
        ("203.0.113.7", "6.6.6.6, 203.0.113.7", 200),
        ("203.0.113.7", "203.0.113.7, 6.6.6.6", 403),
        ("2001:db8::1", "2001:db8::ffff", 200),
        ("2001:db8::1", "2001:db8:0:1::1", 403),
    ] {
        let token = Access { ip: Some(named), ..Access::acl("/*") };
        let fields = [("x-forwarded-for", client)];
        let reply = request(edge.address, "GET", &token.on(MASTER), &fields).await;
        assert_eq!(reply.status, status, "{named} {client}");
        if status == 200 {
            let child = format!("/v/{}", reply.uris()[0]);
            assert_eq!(request(edge.address, "GET", &child, &fields).await.status, 200, "{client}");
            let moved = request(edge.address, "GET", &child, &[("x-forwarded-for", "198.51.100.1")]).await;
            assert_eq!(outcome(&moved), refused("ip_mismatch"), "the session carries the address");
        }
    }
}

#[tokio::test]
async fn a_token_ends_with_its_last_second() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let target = Access::acl("/*").on(MASTER);
    edge.clock.advance(Duration::from_secs(299));
    assert_eq!(outcome(&get(edge.address, &target).await), passed());
    edge.clock.advance(Duration::from_secs(1));
    assert_eq!(outcome(&get(edge.address, &target).await), refused("expired"));
    assert_eq!(edge.denials("expired").await, 1);
}

#[tokio::test]
async fn the_clocks_skew_is_allowed_where_configured() {
    let origin = stage::origin().await;
    let edge = edge_with(&origin, "clock_skew = \"10s\", start_skew = \"20s\"").await;
    let target = Access::acl("/*").on(MASTER);
    edge.clock.advance(Duration::from_secs(309));
    assert_eq!(outcome(&get(edge.address, &target).await), passed());
    edge.clock.advance(Duration::from_secs(1));
    assert_eq!(outcome(&get(edge.address, &target).await), refused("expired"));
    let now = START + 310;
    for (start, expected) in [(now, passed()), (now + 20, passed()), (now + 21, refused("not_yet_valid"))] {
        let token = Access { start: Some(start), end: now + 300, ..Access::acl("/*") };
        assert_eq!(outcome(&get(edge.address, &token.on(MASTER)).await), expected, "{start}");
    }
}

#[tokio::test]
async fn a_start_may_lie_five_seconds_ahead() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    let token = Access { start: Some(START + 6), ..Access::acl("/*") };
    assert_eq!(outcome(&get(edge.address, &token.on(MASTER)).await), refused("not_yet_valid"));
    edge.clock.advance(Duration::from_secs(1));
    assert_eq!(outcome(&get(edge.address, &token.on(MASTER)).await), passed());
}

#[tokio::test]
async fn an_expiry_too_far_ahead_is_refused_where_configured() {
    let origin = stage::origin().await;
    let edge = edge_with(&origin, "expiry_ahead_max = \"10m\"").await;
    let near = Access { end: START + 600, ..Access::acl("/*") };
    assert_eq!(outcome(&get(edge.address, &near.on(MASTER)).await), passed());
    let far = Access { end: START + 601, ..Access::acl("/*") };
    assert_eq!(outcome(&get(edge.address, &far.on(MASTER)).await), refused("expiry_too_far"));
}

#[tokio::test]
async fn an_acl_opens_what_it_names_and_no_sibling() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "").await;
    for (acl, status) in [
        ("/*", 200),
        ("/v/*", 200),
        ("/v/master.m3u8", 200),
        ("/v/??????.m3u8", 200),
        ("/a!/v/*!/b", 200),
        ("/v", 403),
        ("/v/", 403),
        ("/V/*", 403),
        ("/v/master.m3u", 403),
        ("/v/master.m3u8?", 403),
        ("/v/?????.m3u8", 403),
        ("/v/[lm]aster.m3u8", 403),
        ("/v/.*", 403),
        ("/v/(master|x).m3u8", 403),
        ("!", 403),
        ("/a!", 403),
        ("/v/master.m3u8/*", 403),
        ("v/*", 403),
    ] {
        let reply = get(edge.address, &Access::acl(acl).on(MASTER)).await;
        assert_eq!(reply.status, status, "{acl}");
        if status == 403 {
            assert_eq!(reply.reason().as_deref(), Some("acl_mismatch"), "{acl}");
        }
    }
    let sibling = get(edge.address, &Access::acl("/v*").on("/v2/x.ts")).await;
    assert_eq!(sibling.status, 404, "a star without its slash is what the signer wrote");
    let sibling = get(edge.address, &Access::acl("/v/*").on("/v2/x.ts")).await;
    assert_eq!(outcome(&sibling), refused("acl_mismatch"));
}

#[tokio::test]
async fn an_expired_token_answers_410_where_configured() {
    let origin = stage::origin().await;
    let edge = edge_with(&origin, "expired_status = 410").await;
    let entry = get(edge.address, &Access::acl("/*").on("/live/master.m3u8")).await;
    let child = format!("/live/{}", entry.uris()[0]);
    edge.clock.advance(Duration::from_mins(5));
    let expired = get(edge.address, &Access::acl("/*").on(MASTER)).await;
    assert_eq!((expired.status, expired.text().as_str()), (410, "Gone\n"));
    let forged = get(edge.address, &format!("{MASTER}?hdnts=exp=1~acl=/*~hmac={}", "0".repeat(64))).await;
    assert_eq!(outcome(&forged), refused("bad_signature"), "an expiry is believed only when it is signed");
    assert_eq!(get(edge.address, MASTER).await.status, 403);
    assert_eq!(get(edge.address, &child).await.status, 200, "the session goes on");
    edge.clock.advance(Duration::from_hours(24));
    assert_eq!(get(edge.address, &child).await.status, 410);
}

#[tokio::test]
async fn only_listed_playlists_are_entries() {
    let origin = stage::origin().await;
    origin.at("/v/disguised", crate::support::Answer::playlist(stage::MULTIVARIANT));
    let edge = TestEdge::start(&origin, "session = { playlists = [\"master.m3u8\", \"index*.m3u8\"] }").await;
    let entry = get(edge.address, &Access::acl("/*").on(MASTER)).await;
    assert_eq!(entry.status, 200);
    let child = format!("/v/{}", entry.uris()[0]);
    assert_eq!(get(edge.address, &child).await.status, 200, "a session opens every playlist");
    for other in ["/v/360p/level.m3u8", "/v/disguised", "/v/MASTER.M3U8", "/v/other.m3u8"] {
        let reply = get(edge.address, &Access::acl("/*").on(other)).await;
        assert_eq!(outcome(&reply), refused("playlist_not_listed"), "{other}");
    }
    let segment = get(edge.address, &Access::acl("/*").on("/v/360p/seg0.m4s")).await;
    assert_eq!(segment.status, 200, "only playlists are listed");
}

#[tokio::test]
async fn a_renamed_token_is_the_only_one() {
    let origin = stage::origin().await;
    let edge = edge_with(&origin, "name = \"__token__\"").await;
    let token = Access::acl("/*").text();
    assert_eq!(get(edge.address, &format!("{MASTER}?__token__={token}")).await.status, 200);
    let header = request(edge.address, "GET", MASTER, &[("__token__", &token)]).await;
    assert_eq!(header.status, 200);
    assert_eq!(outcome(&get(edge.address, &Access::acl("/*").on(MASTER)).await), refused("no_token"));
}
