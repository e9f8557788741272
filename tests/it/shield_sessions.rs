//! An edge behind an edge that asks for tokens, too: sessions pass between the two when told to.

use crate::support::edge::access_token;
use crate::support::stage;
use crate::support::{KEY, TestEdge, TestOrigin, get, request};

/// Two edges of one name and key, both of which verify, and what stands in the front one's `[property.origin]`.
async fn pair(origin: &TestOrigin, keys: &str, carrier: &str) -> (TestEdge, TestEdge) {
    let shield = TestEdge::start(origin, "").await;
    let edge = TestEdge::with_config(&format!(
        "[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"]{keys} }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\nsession = {{ carrier = \"{carrier}\" }}\n",
        shield.address
    ))
    .await;
    (shield, edge)
}

#[tokio::test]
async fn nothing_passes_unless_told_to() {
    let origin = stage::origin().await;
    let (shield, edge) = pair(&origin, "", "query").await;
    assert_eq!(get(edge.address, &format!("/v/master.m3u8?{}", access_token("/*"))).await.status, 403);
    assert_eq!(shield.denials("no_token").await, 1);
    assert_eq!(origin.asked().len(), 0);
}

#[tokio::test]
async fn the_edge_behind_verifies_the_session_and_the_origin_sees_none() {
    for carrier in ["path", "query"] {
        let origin = stage::origin().await;
        let (shield, edge) = pair(&origin, ", pass_session = true", carrier).await;
        let master = get(edge.address, &format!("/v/master.m3u8?{}", access_token("/*"))).await;
        assert_eq!(master.status, 200, "{}", master.head);
        let child = format!("/v/{}", master.uris()[0]);
        let media = get(edge.address, &child).await;
        assert_eq!(media.status, 200, "{}", media.head);
        assert_eq!(media.header("cache-control").as_deref(), Some("private, no-store"));
        let (path, query) = child.split_once('?').unwrap_or((&child, ""));
        let segment = path.replace("level.m3u8", "seg0.m4s");
        let segment = get(edge.address, &format!("{segment}?{query}")).await;
        assert_eq!((segment.status, segment.text().as_str()), (200, "seg0.m4s"));
        // A viewer gets one session, with its text once on each reference.
        assert!(
            media.references().iter().all(|uri| uri.matches("hdntl=exp").count() <= 1),
            "{}",
            media.text()
        );
        assert_eq!(get(shield.address, "/v/360p/seg0.m4s").await.status, 403, "the one behind still asks");
        for asked in origin.asked() {
            let head = asked.head.to_ascii_lowercase();
            assert!(!head.contains("hmac") && !head.contains("sluicegate-edge"), "{head}");
        }
    }
}

#[tokio::test]
async fn playlists_of_the_edge_behind_are_kept_for_all_viewers() {
    let origin = stage::origin().await;
    let (shield, edge) = pair(&origin, ", pass_session = true", "query").await;
    for _ in 0..3 {
        edge.clock.advance(std::time::Duration::from_secs(1));
        let target = format!("/v/master.m3u8?{}", access_token("/*"));
        assert_eq!(get(edge.address, &target).await.status, 200);
    }
    assert_eq!(origin.asked_for("/v/master.m3u8").len(), 1);
    let hits = shield.metric("cache_total", ",result=\"hit\"").await;
    assert_eq!(hits, 0, "the edge in front asked once, and keeps it");
}

#[tokio::test]
async fn a_viewer_who_poses_as_an_edge_gets_no_more_than_its_session_opens() {
    let origin = stage::origin().await;
    let shield = TestEdge::start(&origin, "session = { carrier = \"header\" }").await;
    let posing = ("Sluicegate-Edge", "1");
    assert_eq!(request(shield.address, "GET", "/v/360p/level.m3u8", &[posing]).await.status, 403);
    let entry = get(shield.address, &format!("/v/master.m3u8?{}", access_token("/*"))).await;
    let session = entry.header("hdntl").expect("a session");
    let fields = [posing, ("hdntl", session.as_str())];
    let reply = request(shield.address, "GET", "/v/360p/level.m3u8", &fields).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, stage::MEDIA));
    assert_eq!(reply.header("hdntl"), None);
    assert!(!origin.asked().iter().any(|asked| asked.header("sluicegate-edge").is_some()));
}

#[tokio::test]
async fn sessions_do_not_go_where_redirects_lead() {
    let text = format!(
        "[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://127.0.0.1:9\"], pass_session = true, redirects = 1, redirect_hosts = [\"other.example\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text).expect("a file");
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_sluicegate"))
        .args(["check", "--config"])
        .arg(&file)
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(
        !checked.status.success() && told.contains("pass_session stands beside redirect_hosts"),
        "{told}"
    );
}
