//! A viewer comes with a secure link and goes on with our session token; an expired link is told from a bad one.

use std::time::Duration;

use sluicegate::domain::token::key::Secret;
use sluicegate::domain::token::presented::{Location, Presented};
use sluicegate::domain::token::secure_link::expression::Values;
use sluicegate::domain::token::secure_link::{Settings, Verifier};

use crate::support::player::Player;
use crate::support::{START, TestEdge, get, stage};

pub const SECRET: &str = "mysecret";
const MASTER: &str = "/v/master.m3u8";

fn access(more: &str) -> String {
    format!(
        "access = {{ dialect = \"secure_link\", key = {{ text = \"{SECRET}\" }}, secure_link = {{ path_prefix = \"/p\" }}{more} }}"
    )
}

/// The signature of `uri` until `expires`, in base64url.
pub fn signature(uri: &str, expires: u64) -> String {
    let verifier = Verifier::new(Settings::with_key(Secret::from_text(SECRET).expect("a key")));
    let client = "127.0.0.1".parse().expect("an address");
    let expires = expires.to_string();
    let values = Values { uri, expires: &expires, client, head: Presented::for_path("", uri, client).head };
    verifier.sign(Location::Query, &values, Duration::from_secs(START))
}

fn link(path: &str, expires: u64) -> String {
    format!("{path}?st={}&e={expires}", signature(path, expires))
}

fn directory_link(directory: &str, file: &str, expires: u64) -> String {
    format!("/p/{}/{expires}{directory}{file}", signature(directory, expires))
}

#[tokio::test]
async fn a_viewer_with_a_link_goes_on_with_a_session_in_every_carrier() {
    for carrier in ["path", "query", "cookie", "header"] {
        for entry in [link(MASTER, START + 10), directory_link("/v/", "master.m3u8", START + 10)] {
            let origin = stage::origin().await;
            let session = format!("session = {{ carrier = \"{carrier}\" }}");
            let edge = TestEdge::start(&origin, &format!("{}\n{session}", access(""))).await;
            let mut player = Player::at(edge.address);
            player.keeps_header = carrier == "header";
            let replies = player.play(&entry).await;
            assert!(replies.len() > 8, "{carrier} {entry}: {}", replies.len());
            for (target, reply) in &replies {
                assert_eq!(reply.status, 200, "{carrier}: {target}");
                let text = reply.text();
                assert!(!text.contains("st=") && !text.contains("/p/"), "{carrier}: {target}\n{text}");
            }
            edge.clock.advance(Duration::from_secs(20));
            let (last, _) = replies.last().expect("a segment");
            let again = player.get(last).await;
            assert_eq!(again.status, 200, "{carrier}: the session outlives the link: {last}");
            assert_link_stayed_here(&origin, &entry);
        }
    }
}

fn assert_link_stayed_here(origin: &crate::support::TestOrigin, entry: &str) {
    let secret = entry.split(['/', '=', '&']).find(|part| part.len() == 22).expect("a signature");
    for asked in origin.asked() {
        assert!(!asked.head.contains(secret), "the link reached the origin:\n{}", asked.head);
        assert!(!asked.head.contains("e=1700"), "its end reached the origin:\n{}", asked.head);
    }
}

/// The seed *Azion Secure Token Authentication*: "If the signature is invalid, the system will return a `403` error. If the
/// signature is valid but the expiration time has elapsed, the system will return a `410` error."
#[tokio::test]
async fn a_bad_link_gets_403_and_an_expired_one_410() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, &access("")).await;
    let good = link(MASTER, START + 60);
    for (target, status, reason) in [
        (good.clone(), 200, ""),
        (link(MASTER, START), 200, ""),
        (link(MASTER, START - 1), 410, "expired"),
        (good.replace("e=17", "e=18"), 403, "bad_signature"),
        (link(MASTER, START - 1).replace("st=", "st=A").replace("&e", "A&e"), 403, "malformed"),
        (good.replace(MASTER, "/live/master.m3u8"), 403, "bad_signature"),
        (good.replace("&e=", "&x="), 403, "malformed"),
        (MASTER.to_owned(), 403, "no_token"),
        (directory_link("/v/", "master.m3u8", START), 200, ""),
        (directory_link("/v/", "master.m3u8", START - 1), 410, "expired"),
        (directory_link("/live/", "master.m3u8", START + 60).replace("/live/", "/v/"), 403, "bad_signature"),
    ] {
        let reply = get(edge.address, &target).await;
        assert_eq!(reply.status, status, "{target}: {}", reply.head);
        assert_eq!(reply.header("sluicegate-reason").unwrap_or_default(), reason, "{target}");
    }
    assert_eq!(edge.denials("expired").await, 2);
}

#[tokio::test]
async fn the_status_of_an_expired_link_can_be_chosen() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, &access(", expired_status = 403")).await;
    assert_eq!(get(edge.address, &link(MASTER, START - 1)).await.status, 403);
}

#[tokio::test]
async fn a_link_that_is_disguised_in_a_path_is_refused_and_asks_nobody() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, &access("")).await;
    let good = directory_link("/v/", "master.m3u8", START + 60);
    let signature = &good[3..25];
    let escaped = format!("%{:02x}{}", signature.as_bytes()[0], &signature[1..]);
    for target in [
        good.replace(signature, &escaped),
        good.replacen("/p/", "/%70/", 1),
        good.replacen("/p/", "/./p/", 1),
        good.replacen("/p/", "/x/../p/", 1),
    ] {
        let reply = get(edge.address, &target).await;
        assert!(matches!(reply.status, 400 | 403), "{target}: {}", reply.status);
    }
    assert!(origin.asked().is_empty());
}
