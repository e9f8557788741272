//! A viewer comes with a token of Media CDN and goes on with our session token.

use std::time::Duration;

use sluicegate::domain::token::key::{Algorithm, Secret};
use sluicegate::domain::token::media_cdn::sign::{MintRequest, SigningKey, Target, sign};

use crate::support::player::Player;
use crate::support::{START, TestEdge, get, request, stage};

const MASTER: &str = "/v/master.m3u8";

/// The keys of Google's samples (python-docs-samples, `media_cdn/dualtoken_test.py`).
const SEED: &str = "DJUcnLguVFKmVCFnWGubG1MZg7fWAnxacMjKDhVZMGI=";
const SHARED: &str = "g_SlMILiIWKqsC6Z2L7gy0sReDOqtSrJrE7CXNr5Nl8=";

/// A property with both of them.
pub const ACCESS: &str = "access = { dialect = \"media_cdn\", keys = [{ name = \"ed\", kind = \"ed25519\", from = { text = \"n7nwvhza11C0SuU9ay1uWjDSfzH-CpIBgXxqIz-Yd9Q\" } }, { name = \"shared\", from = { text = \"g_SlMILiIWKqsC6Z2L7gy0sReDOqtSrJrE7CXNr5Nl8=\" } }] }";

fn key(algorithm: &str) -> SigningKey {
    let secret = |text| Secret::from_base64(text).expect("a key");
    match algorithm {
        "ed25519" => SigningKey::Ed25519(secret(SEED)),
        "sha1" => SigningKey::Hmac(secret(SHARED), Algorithm::Sha1),
        _ => SigningKey::Hmac(secret(SHARED), Algorithm::Sha256),
    }
}

fn request_for(key: &SigningKey, target: Target) -> MintRequest<'_> {
    MintRequest {
        key,
        target,
        starts: None,
        expires: START + 10,
        session_id: Some("viewer1"),
        data: None,
        headers: &[],
        ip_ranges: None,
    }
}

/// A token for these path globs.
pub fn token(algorithm: &str, path_globs: &str) -> String {
    token_for(algorithm, globs(path_globs))
}

fn token_for(algorithm: &str, target: Target) -> String {
    sign(&request_for(&key(algorithm), target)).expect("a token").token
}

fn globs(text: &str) -> Target {
    Target::PathGlobs(text.to_owned())
}

#[tokio::test]
async fn a_viewer_with_any_proof_goes_on_with_a_session_in_every_carrier() {
    for carrier in ["path", "query", "cookie", "header"] {
        for algorithm in ["ed25519", "sha256"] {
            let origin = stage::origin().await;
            let session = format!("session = {{ carrier = \"{carrier}\" }}");
            let edge = TestEdge::start(&origin, &format!("{ACCESS}\n{session}")).await;
            let mut player = Player::at(edge.address);
            player.keeps_header = carrier == "header";
            let token = token(algorithm, "/v/*");
            let replies = player.play(&format!("{MASTER}?edge-cache-token={token}")).await;
            assert!(replies.len() > 8, "{carrier}: {}", replies.len());
            for (target, reply) in &replies {
                assert_eq!(reply.status, 200, "{carrier} {algorithm}: {target}");
                assert!(!reply.text().contains("edge-cache-token"), "{carrier}: {target}");
            }
            edge.clock.advance(Duration::from_secs(20));
            let (last, _) = replies.last().expect("a segment");
            assert_eq!(player.get(last).await.status, 200, "{carrier}: the session outlives the token");
            let (_, proof) = token.rsplit_once('=').expect("a proof");
            for asked in origin.asked() {
                assert!(!asked.head.contains(proof), "the token reached the origin:\n{}", asked.head);
            }
            let name = if algorithm == "ed25519" { "ed" } else { "shared" };
            let verified = edge.metric("verifications_total", &format!(",key=\"{name}\"")).await;
            assert!(verified > 0, "{carrier} {algorithm}");
        }
    }
}

#[tokio::test]
async fn every_way_of_naming_what_is_opened_is_judged() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, ACCESS).await;
    let host = edge.address.to_string();
    let prefix = |path: &str| Target::UrlPrefix(format!("http://{host}{path}"));
    for (target, status, reason) in [
        (globs("/v/*"), 200, ""),
        (globs("/live/*,/v/master.*"), 200, ""),
        (globs("/live/*"), 403, "acl_mismatch"),
        (Target::FullPath(MASTER.to_owned()), 200, ""),
        (Target::FullPath("/v/other.m3u8".to_owned()), 403, "url_mismatch"),
        (prefix("/v/"), 200, ""),
        (prefix("/live/"), 403, "url_mismatch"),
        (Target::UrlPrefix("http://other.example/v/".to_owned()), 403, "url_mismatch"),
    ] {
        let shown = format!("{target:?}");
        let token = token_for("sha256", target);
        let reply = get(edge.address, &format!("{MASTER}?edge-cache-token={token}")).await;
        assert_eq!(reply.status, status, "{shown}");
        assert_eq!(reply.reason().unwrap_or_default(), reason, "{shown}");
        let cookie = format!("Edge-Cache-Cookie={token}");
        assert_eq!(
            request(edge.address, "GET", MASTER, &[("cookie", &cookie)]).await.status,
            status,
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_token_may_be_a_component_of_the_path() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, ACCESS).await;
    let token = token("ed25519", "/v/*");
    let component = format!("/v/edge-cache-token={}/master.m3u8", token.replace('/', "%2f"));
    let mut player = Player::new(&edge);
    for (target, reply) in player.play(&component).await {
        assert_eq!(reply.status, 200, "{target}");
    }
    stage::assert_no_token_reached(&origin);
}

#[tokio::test]
async fn signed_headers_addresses_and_times_bind_the_token() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, ACCESS).await;
    let key = key("sha256");
    let headers = [("X-Device".to_owned(), "tv".to_owned())];
    let mint = |request: &MintRequest<'_>| {
        format!("{MASTER}?edge-cache-token={}", sign(request).expect("a token").token)
    };
    let with_header = mint(&MintRequest { headers: &headers, ..request_for(&key, globs("/*")) });
    let ask = |target: String, field: Option<&'static str>| {
        let address = edge.address;
        async move {
            let fields: Vec<_> = field.map(|value| ("x-device", value)).into_iter().collect();
            request(address, "GET", &target, &fields).await.reason().unwrap_or_default()
        }
    };
    assert_eq!(ask(with_header.clone(), Some("tv")).await, "");
    assert_eq!(ask(with_header.clone(), Some("phone")).await, "bad_signature");
    assert_eq!(ask(with_header, None).await, "bad_signature");
    for (ranges, reason) in [("127.0.0.0/8", ""), ("203.0.113.0/24,2001:db8::/32", "ip_mismatch")] {
        let target = mint(&MintRequest { ip_ranges: Some(ranges), ..request_for(&key, globs("/*")) });
        assert_eq!(ask(target, None).await, reason, "{ranges}");
    }
    let early = mint(&MintRequest { starts: Some(START + 6), ..request_for(&key, globs("/*")) });
    assert_eq!(ask(early, None).await, "not_yet_valid");
    let late = mint(&MintRequest { expires: START, ..request_for(&key, globs("/*")) });
    assert_eq!(ask(late, None).await, "expired");
    let sha1 = format!("{MASTER}?edge-cache-token={}", token("sha1", "/*"));
    assert_eq!(ask(sha1, None).await, "malformed", "SHA-1 counts only where it is listed");
}
