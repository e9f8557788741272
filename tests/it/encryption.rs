//! Media encryption: clear segments of the origin leave encrypted, and their key goes to sessions alone.

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use crate::support::edge::access_token;
use crate::support::player::Player;
use crate::support::{Answer, Reply, TestEdge, TestOrigin, get, request};

const SECRET: &str = "secret = { hex = \"00112233445566778899aabbccddeeff\" }";
const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n360p/level.m3u8\n";
const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\nseg9.m4s\n#EXTINF:4,\nseg10.m4s\n#EXT-X-ENDLIST\n";
const NAMES: [&str; 3] = ["init.mp4", "seg9.m4s", "seg10.m4s"];

async fn origin() -> TestOrigin {
    let origin = TestOrigin::start().await;
    origin.at("/v/master.m3u8", Answer::playlist(MULTIVARIANT));
    origin.at("/v/360p/level.m3u8", Answer::playlist(MEDIA));
    for name in NAMES {
        origin.at(&format!("/v/360p/{name}"), Answer::ok("video/mp4", clear(name)));
    }
    origin
}

fn clear(name: &str) -> String {
    format!("the clear bytes of {name}, {}", "more than a block of them ".repeat(40))
}

async fn edge(origin: &TestOrigin, more: &str) -> TestEdge {
    TestEdge::start(origin, &format!("encryption = {{ {SECRET}, require_https = false, {more} }}")).await
}

/// The key and the IV that a playlist announces for a segment, as the URI's target and bytes.
fn announced(player: &Player, at: &str, playlist: &str, name: &str) -> (String, [u8; 16]) {
    let lines: Vec<&str> = playlist.lines().collect();
    let segment = lines.iter().position(|line| line.contains(name)).expect("the segment is listed");
    let tag = lines[..segment]
        .iter()
        .rev()
        .find(|line| line.starts_with("#EXT-X-KEY:METHOD=AES-128,"))
        .expect("a key");
    let uri = tag.split("URI=\"").nth(1).expect("a URI").split('"').next().expect("its end");
    let digits = tag.split("IV=0x").nth(1).expect("an IV");
    let mut iv = [0; 16];
    for (at, byte) in iv.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hex");
    }
    (player.resolved(at, uri), iv)
}

fn decrypted(key: &[u8], iv: [u8; 16], sealed: &[u8]) -> String {
    let key = UnboundCipherKey::new(&AES_128, key).expect("sixteen bytes");
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).expect("a key");
    let mut bytes = sealed.to_vec();
    let clear = key.decrypt(&mut bytes, DecryptionContext::Iv128(FixedLength::from(iv))).expect("ciphertext");
    String::from_utf8(clear.to_vec()).expect("text")
}

/// Plays the item and returns what was got for the media playlist and for each segment, decrypted as announced.
async fn played(player: &mut Player) -> Vec<(String, Reply)> {
    let got = player.play(&format!("/v/master.m3u8?{}", access_token("/v/*"))).await;
    for (target, reply) in &got {
        assert_eq!(reply.status, 200, "{target}: {}", reply.head);
    }
    let (at, playlist) =
        got.iter().find(|(target, _)| target.contains("level.m3u8")).expect("the media playlist");
    for name in NAMES {
        let (key, iv) = announced(player, at, &playlist.text(), name);
        let key = &got.iter().find(|(target, _)| *target == key).expect("the key was fetched").1;
        let sealed = &got.iter().find(|(target, _)| target.contains(&format!("/{name}"))).expect("fetched").1;
        assert_eq!(key.body.len(), 16);
        assert_eq!(key.header("cache-control").as_deref(), Some("private, no-store"));
        assert_eq!(sealed.header("content-length"), Some(sealed.body.len().to_string()));
        assert_eq!(decrypted(&key.body, iv, &sealed.body), clear(name));
    }
    got
}

fn of<'a>(got: &'a [(String, Reply)], name: &str) -> &'a Reply {
    &got.iter().find(|(target, _)| target.contains(name)).expect("it was fetched").1
}

#[tokio::test]
async fn segments_leave_encrypted_and_open_with_the_announced_key_in_every_carrier() {
    for carrier in ["path", "query", "cookie"] {
        let origin = origin().await;
        let extra = format!(
            "encryption = {{ {SECRET}, require_https = false }}\nsession = {{ carrier = \"{carrier}\", cookie = {{ secure = false, same_site = \"lax\" }} }}"
        );
        let edge = TestEdge::start(&origin, &extra).await;
        played(&mut Player::new(&edge)).await;
        assert!(origin.asked_for("/v/360p/sluicegate.key").is_empty(), "the key is the edge's own");
    }
}

#[tokio::test]
async fn an_assets_segments_are_encrypted_once_and_cached_so() {
    let origin = origin().await;
    let edge = edge(&origin, "").await;
    let first = played(&mut Player::new(&edge)).await;
    let second = played(&mut Player::new(&edge)).await;
    for name in NAMES {
        let path = format!("/v/360p/{name}");
        assert_eq!(of(&first, name).body, of(&second, name).body);
        assert_eq!(origin.asked_for(&path).len(), 1, "{path} came from the cache");
    }
}

#[tokio::test]
async fn a_sessions_key_opens_no_other_sessions_segments() {
    let origin = origin().await;
    let edge = edge(&origin, "key_per = \"session\"").await;
    let first = played(&mut Player::new(&edge)).await;
    edge.clock.advance(std::time::Duration::from_mins(2));
    let second = played(&mut Player::new(&edge)).await;
    assert_ne!(of(&first, "sluicegate.key").body, of(&second, "sluicegate.key").body);
    for name in NAMES {
        assert_ne!(of(&first, name).body, of(&second, name).body, "{name}");
        assert_eq!(origin.asked_for(&format!("/v/360p/{name}")).len(), 1, "it is cached clear");
    }
}

#[tokio::test]
async fn keys_change_with_the_period() {
    let origin = origin().await;
    let edge = edge(&origin, "rotate_every = 10").await;
    let got = played(&mut Player::new(&edge)).await;
    let keys: Vec<&Vec<u8>> = got
        .iter()
        .filter(|(target, _)| target.contains("sluicegate.key"))
        .map(|(_, reply)| &reply.body)
        .collect();
    assert_eq!(keys.len(), 2, "one for the ninth segment, one for the tenth");
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn the_key_goes_to_a_session_alone() {
    let origin = origin().await;
    let edge = edge(&origin, "").await;
    let refused = get(edge.address, "/v/360p/sluicegate.key").await;
    assert_eq!((refused.status, refused.reason().as_deref()), (403, Some("no_token")));
    let with_access = get(edge.address, &format!("/v/360p/sluicegate.key?{}", access_token("/v/*"))).await;
    assert_eq!((with_access.status, with_access.reason().as_deref()), (403, Some("no_token")));
    assert_eq!(edge.denials("no_token").await, 2);
}

#[tokio::test]
async fn the_key_goes_over_https_alone_unless_told_otherwise() {
    let origin = origin().await;
    let edge = TestEdge::start(&origin, &format!("encryption = {{ {SECRET} }}")).await;
    let mut player = Player::new(&edge);
    let got = player.play(&format!("/v/master.m3u8?{}", access_token("/v/*"))).await;
    let key = of(&got, "sluicegate.key");
    assert_eq!((key.status, key.reason().as_deref()), (403, Some("not_https")));
    assert_eq!(of(&got, "seg9.m4s").status, 200);
}

#[tokio::test]
async fn a_range_gets_the_whole_ciphertext_and_head_its_length() {
    let origin = origin().await;
    let edge = edge(&origin, "").await;
    let got = played(&mut Player::new(&edge)).await;
    let target = &got.iter().find(|(target, _)| target.contains("seg9.m4s")).expect("fetched").0;
    let part = request(edge.address, "GET", target, &[("range", "bytes=3-8")]).await;
    assert_eq!((part.status, part.body == of(&got, "seg9.m4s").body), (200, true));
    assert_eq!(part.header("accept-ranges").as_deref(), Some("none"));
    for name in ["seg9.m4s", "seg10.m4s"] {
        let head = request(edge.address, "HEAD", &target.replace("seg9.m4s", name), &[]).await;
        assert_eq!(head.header("content-length"), of(&got, name).header("content-length"), "{name}");
    }
    for asked in origin.asked() {
        assert!(asked.header("range").is_none(), "the origin is asked for whole segments: {}", asked.head);
    }
}

#[tokio::test]
async fn a_head_before_anything_is_cached_tells_the_length_of_the_ciphertext() {
    let origin = origin().await;
    let edge = edge(&origin, "").await;
    let mut player = Player::new(&edge);
    let master = player.get(&format!("/v/master.m3u8?{}", access_token("/v/*"))).await;
    let media = player.resolved("/v/master.m3u8", &master.uris()[0]);
    let head = request(edge.address, "HEAD", &media.replace("level.m3u8", "seg9.m4s"), &[]).await;
    let expected = (clear("seg9.m4s").len() / 16 + 1) * 16;
    assert_eq!((head.status, head.header("content-length")), (200, Some(expected.to_string())));
}

#[tokio::test]
async fn an_error_of_the_origin_is_not_encrypted() {
    let origin = origin().await;
    let edge = edge(&origin, "").await;
    let mut player = Player::new(&edge);
    let master = player.get(&format!("/v/master.m3u8?{}", access_token("/v/*"))).await;
    let media = player.resolved("/v/master.m3u8", &master.uris()[0]);
    origin.at("/v/360p/gone.m4s", Answer::with("404 Not Found", &[], "not here"));
    let missing = player.get(&media.replace("level.m3u8", "gone.m4s")).await;
    assert_eq!((missing.status, missing.text().as_str()), (404, "not here"));
}

#[tokio::test]
async fn what_cannot_be_encrypted_does_not_go_out_clear() {
    let origin = origin().await;
    let ranges = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n#EXT-X-BYTERANGE:9@0\nseg9.m4s\n";
    origin.at("/v/360p/level.m3u8", Answer::playlist(ranges));
    origin.at("/v/360p/seg9.m4s", Answer::with("200 OK", &[("Content-Encoding", "gzip")], "coded"));
    let edge = edge(&origin, "").await;
    let mut player = Player::new(&edge);
    let got = player.play(&format!("/v/master.m3u8?{}", access_token("/v/*"))).await;
    assert_eq!(of(&got, "level.m3u8").status, 502);
    let media = &got.iter().find(|(target, _)| target.contains("level.m3u8")).expect("asked").0;
    assert_eq!(player.get(&media.replace("level.m3u8", "seg9.m4s")).await.status, 502, "a coded segment");
    assert!(edge.metric("playlists_refused_total", "").await >= 1);
}

#[tokio::test]
async fn a_session_key_without_a_session_serves_no_segment() {
    let origin = origin().await;
    let edge = edge(&origin, "key_per = \"session\"").await;
    let refused = get(edge.address, &format!("/v/360p/seg9.m4s?{}", access_token("/v/*"))).await;
    assert_eq!((refused.status, refused.reason().as_deref()), (403, Some("no_token")));
}
