//! Redirects of the origin that stay on this site, for viewers with each carrier.

use crate::support::player::Player;
use crate::support::stage::{self, assert_no_token_reached};
use crate::support::token::Access;
use crate::support::{Answer, Reply, TestEdge, TestOrigin, get, request};

const MASTER: &str = "/v/master.m3u8";
const MOVED: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"../k.key\"\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\ns0.m4s\n#EXTINF:4,\nsub/s1.m4s?x=1\n#EXTINF:4,\n/w/deep/s2.m4s\n#EXT-X-ENDLIST\n";

fn redirect(location: &str) -> Answer {
    Answer::with("302 Found", &[("location", location)], "moved\n")
}

/// The stage, with the first rendition's playlist moved to another directory.
async fn moved_stage() -> TestOrigin {
    let origin = stage::origin().await;
    let location = format!("http://{}/w/deep/list.m3u8?v=2", origin.address);
    origin.at("/v/360p/level.m3u8", redirect(&location));
    origin.at("/w/deep/list.m3u8", Answer::playlist(MOVED));
    origin.at("/w/k.key", Answer::ok("application/octet-stream", "0123456789abcdef"));
    for name in ["init.mp4", "s0.m4s", "sub/s1.m4s", "s2.m4s"] {
        origin.at(&format!("/w/deep/{name}"), Answer::ok("video/mp4", name));
    }
    origin
}

async fn edge(origin: &TestOrigin, session: &str) -> TestEdge {
    TestEdge::start(origin, &format!("session = {{ {session} }}")).await
}

/// The URL of the first rendition, with a session in it.
async fn child(edge: &TestEdge) -> String {
    let entry = get(edge.address, &Access::acl("/*").on(MASTER)).await;
    Player::new(edge).resolved(MASTER, &entry.uris()[0])
}

fn at(child: &str, name: &str) -> String {
    child.replace("level.m3u8", name)
}

fn assert_here(reply: &Reply, body: &str) {
    assert_eq!((reply.status, reply.text().as_str()), (200, body), "{}", reply.head);
    assert_eq!(reply.header("location"), None);
}

#[tokio::test]
async fn a_playlist_that_moved_is_served_where_it_was_asked_for_and_plays_on() {
    for carrier in ["path", "query"] {
        let origin = moved_stage().await;
        let edge = edge(&origin, &format!("carrier = \"{carrier}\"")).await;
        let child = child(&edge).await;
        let mut player = Player::new(&edge);
        let got = player.play(&child).await;
        let asked: Vec<u16> = got.iter().map(|(_, reply)| reply.status).collect();
        assert_eq!(asked, [200; 6], "{got:#?}");
        assert!(got[0].1.references().iter().all(|uri| uri.starts_with("/w/") && uri.contains("hdntl=")));
        let bodies: Vec<String> = got[1..].iter().map(|(_, reply)| reply.text()).collect();
        assert_eq!(bodies, ["0123456789abcdef", "init.mp4", "s0.m4s", "sub/s1.m4s", "s2.m4s"]);
        let lists = origin.asked_for("/w/deep/list.m3u8");
        assert_eq!(lists[0].target(), "/w/deep/list.m3u8?v=2");
        assert_no_token_reached(&origin);
        // Asked for by its own name it is as the origin wrote it, but for the session.
        let own = child.replace("/v/", "/w/").replace("360p/", "deep/").replace("level.m3u8", "list.m3u8");
        let own = if own.contains('?') { format!("{own}&v=2") } else { format!("{own}?v=2") };
        let own = get(edge.address, &own).await;
        assert!(own.status == 200 && !own.text().contains("/w/deep/s0.m4s"), "{}", own.text());
    }
}

#[tokio::test]
async fn cookie_and_header_viewers_get_the_redirect_and_can_follow_it() {
    for carrier in ["cookie", "header"] {
        let origin = moved_stage().await;
        let edge = edge(&origin, &format!("carrier = \"{carrier}\"")).await;
        let mut player = Player::new(&edge);
        player.keeps_header = carrier == "header";
        assert_eq!(player.get(&Access::acl("/*").on(MASTER)).await.status, 200);
        let told = player.get("/v/360p/level.m3u8").await;
        let location = told.header("location");
        assert_eq!((told.status, location.as_deref()), (302, Some("/w/deep/list.m3u8?v=2")), "{carrier}");
        let arrived = player.get("/w/deep/list.m3u8?v=2").await;
        assert_eq!((arrived.status, arrived.text().as_str()), (200, MOVED), "{carrier}");
    }
}

#[tokio::test]
async fn an_entry_that_moved_is_entered_with_the_access_token() {
    for carrier in ["path", "query", "cookie", "header"] {
        let origin = moved_stage().await;
        origin.at("/old.m3u8", redirect("v/master.m3u8"));
        let edge = edge(&origin, &format!("carrier = \"{carrier}\"")).await;
        let mut player = Player::new(&edge);
        player.keeps_header = carrier == "header";
        let entry = player.get(&Access::acl("/*").on("/old.m3u8")).await;
        assert_eq!(entry.status, 200, "{}", entry.head);
        assert!(entry.uris()[0].starts_with("/v/360p/"), "{}", entry.text());
        let second = player.resolved("/old.m3u8", &entry.uris()[1]);
        assert_eq!(player.get(&second).await.status, 200, "{carrier}: {second}");
    }
}

#[tokio::test]
async fn the_token_has_to_open_the_place_that_a_redirect_leads_to() {
    let origin = moved_stage().await;
    for carrier in ["path", "query"] {
        let edge = edge(&origin, &format!("carrier = \"{carrier}\", carry = [\"acl\"]")).await;
        let entry = get(edge.address, &Access::acl("/v/*").on(MASTER)).await;
        let child = Player::new(&edge).resolved(MASTER, &entry.uris()[0]);
        let refused = get(edge.address, &child).await;
        assert_eq!((refused.status, refused.reason().as_deref()), (403, Some("acl_mismatch")), "{carrier}");
    }
    origin.at("/v/old.m3u8", redirect("/w/deep/list.m3u8"));
    let edge = edge(&origin, "carrier = \"query\"").await;
    assert_eq!(get(edge.address, &Access::acl("/v/*").on("/v/old.m3u8")).await.status, 403);
    assert_eq!(get(edge.address, &Access::url("/v/old.m3u8").on("/v/old.m3u8")).await.status, 403);
    assert_eq!(get(edge.address, &Access::acl("/v/*!/w/*").on("/v/old.m3u8")).await.status, 200);
    assert!(origin.asked_for("/w/deep/list.m3u8").len() == 1, "who may not have it makes no request for it");
}

#[tokio::test]
async fn segments_follow_too_with_range_and_head() {
    let origin = moved_stage().await;
    let file = Answer::file(&[("content-type", "video/mp4"), ("etag", "\"1\"")], "0123456789");
    origin.at("/w/file.mp4", file);
    origin.at("/v/360p/a.mp4", Answer::with("307 Temporary Redirect", &[("location", "../b.mp4")], ""));
    origin.at("/v/b.mp4", redirect("/w/file.mp4?hdntl=of-the-origin#t=1"));
    for carrier in ["path", "query"] {
        let edge = edge(&origin, &format!("carrier = \"{carrier}\"")).await;
        let target = at(&child(&edge).await, "a.mp4");
        assert_here(&get(edge.address, &target).await, "0123456789");
        let part = request(edge.address, "GET", &target, &[("Range", "bytes=2-4")]).await;
        assert_eq!((part.status, part.text().as_str()), (206, "234"));
        let head = request(edge.address, "HEAD", &target, &[]).await;
        assert_eq!((head.status, head.header("content-length").as_deref()), (200, Some("10")));
    }
    assert_no_token_reached(&origin);
}

#[tokio::test]
async fn a_loop_ends_and_so_does_a_chain_that_is_too_long() {
    let origin = moved_stage().await;
    origin.at("/v/360p/loop.m3u8", redirect("loop.m3u8"));
    for hop in 0..5 {
        origin.at(&format!("/v/360p/{hop}.ts"), redirect(&format!("{}.ts", hop + 1)));
    }
    origin.at("/v/360p/5.ts", Answer::ok("video/mp2t", "five"));
    let edge = edge(&origin, "carrier = \"query\"").await;
    let child = child(&edge).await;
    let looped = get(edge.address, &at(&child, "loop.m3u8")).await;
    assert_eq!(looped.status, 502, "{}", looped.head);
    assert_eq!(origin.asked_for("/v/360p/loop.m3u8").len(), 4, "once, and three times more");
    assert_eq!(get(edge.address, &at(&child, "1.ts")).await.status, 502);
    assert_here(&get(edge.address, &at(&child, "2.ts")).await, "five");
    assert_eq!(edge.metric("origin_errors_total", ",cause=\"invalid\"").await, 2);
}

#[tokio::test]
async fn what_leads_off_the_site_or_is_not_to_be_followed_is_passed_on() {
    let origin = moved_stage().await;
    for (name, location) in [
        ("a.ts", "https://other.example/a.ts"),
        ("b.ts", "//other.example/b.ts"),
        ("c.ts", "https://u:p@other.example/"),
    ] {
        origin.at(&format!("/v/360p/{name}"), redirect(location));
        let edge = edge(&origin, "carrier = \"query\"").await;
        let reply = get(edge.address, &at(&child(&edge).await, name)).await;
        assert_eq!((reply.status, reply.header("location").as_deref()), (302, Some(location)));
    }
    let unfollowed = TestEdge::with_config(&format!(
        "[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"], site_redirects = 0 }}\naccess = {{ key = {{ hex = \"{}\" }} }}\n",
        origin.address,
        crate::support::KEY
    ))
    .await;
    let reply = get(unfollowed.address, &child(&unfollowed).await).await;
    assert_eq!((reply.status, reply.header("location").as_deref()), (302, Some("/w/deep/list.m3u8?v=2")));
}
