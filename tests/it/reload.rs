//! Reload: a new configuration takes the place of the old one while requests run, or nothing changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sluicegate::app::reload::Reloaded;
use sluicegate::config::fault::Faults;

use crate::support::edge::access_token;
use crate::support::player::Player;
use crate::support::stage;
use crate::support::tls::{TestCertificate, connect};
use crate::support::{KEY, TestEdge, TestOrigin, get, request};

const OTHER_KEY: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";

/// A configuration in a folder of its own.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("edge.toml")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a file");
    }

    /// A configuration with one property whose key stands in a file beside it.
    fn configure(&self, origin: &TestOrigin, server: &str, property: &str) {
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"]\n{server}\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ file = \"key.hex\" }} }}\n{property}\n",
            origin.address
        );
        self.write("edge.toml", &text);
    }
}

async fn edge(files: &Files) -> TestEdge {
    TestEdge::with_file(&files.path()).await
}

async fn reload(edge: &TestEdge) -> Result<Reloaded, Faults> {
    let reloader = edge.reloader.clone().expect("the configuration is a file");
    tokio::task::spawn_blocking(move || reloader.reload()).await.expect("no panic")
}

async fn status(edge: &TestEdge) -> u16 {
    get(edge.address, &format!("/v/master.m3u8?{}", access_token("/v/*"))).await.status
}

#[tokio::test]
async fn a_new_key_holds_from_the_reload_on_and_the_old_one_no_more() {
    let (origin, files) = (stage::origin().await, Files::new());
    files.write("key.hex", KEY);
    files.configure(&origin, "", "");
    let edge = edge(&files).await;
    assert_eq!(status(&edge).await, 200);
    files.write("key.hex", OTHER_KEY);
    assert_eq!(reload(&edge).await.expect("it is good").generation, 2);
    assert_eq!(status(&edge).await, 403);
    files.write("key.hex", KEY);
    assert_eq!(reload(&edge).await.expect("it is good").generation, 3);
    assert_eq!(status(&edge).await, 200);
}

#[tokio::test]
async fn a_viewer_goes_on_through_a_change_of_keys_with_a_transition_key() {
    let (origin, files) = (stage::origin().await, Files::new());
    files.write("key.hex", KEY);
    files.configure(&origin, "", "");
    let edge = edge(&files).await;
    let mut player = Player::new(&edge);
    let master = player.get(&format!("/v/master.m3u8?{}", access_token("/v/*"))).await;
    let media = player.resolved("/v/master.m3u8", &master.uris()[0]);
    files.write("key.hex", OTHER_KEY);
    files.configure(&origin, "", "");
    let text = std::fs::read_to_string(files.path()).expect("a file");
    let both = format!("file = \"key.hex\" }}, transition_key = {{ hex = \"{KEY}\" }}");
    files.write("edge.toml", &text.replace("file = \"key.hex\" }", &both));
    reload(&edge).await.expect("it is good");
    assert_eq!(player.get(&media).await.status, 200);
    assert!(edge.count("verifications_total{property=\"test\",key=\"transition_key\"}").await > 0);
}

#[tokio::test]
async fn a_configuration_with_a_fault_changes_nothing_and_is_counted() {
    let (origin, files) = (stage::origin().await, Files::new());
    files.write("key.hex", KEY);
    files.configure(&origin, "", "");
    let edge = edge(&files).await;
    for fault in ["session = { carrier = \"pigeon\" }", "nonsense = 1", "cors = {"] {
        files.configure(&origin, "", fault);
        let faults = reload(&edge).await.expect_err("a fault");
        assert!(faults.lines()[0].contains("edge.toml:"), "{:?}", faults.lines());
        assert_eq!(status(&edge).await, 200);
    }
    std::fs::remove_file(files.path()).expect("it was there");
    reload(&edge).await.expect_err("no file");
    assert_eq!(status(&edge).await, 200);
    assert_eq!(edge.count("config_reload_failures_total").await, 4);
    assert_eq!(edge.count("config_generation").await, 1);
}

#[tokio::test]
async fn properties_come_and_go_and_playlists_follow_the_new_rules() {
    let (origin, files) = (stage::origin().await, Files::new());
    files.write("key.hex", KEY);
    files.configure(&origin, "", "session = { carrier = \"path\" }");
    let edge = edge(&files).await;
    let token = access_token("/v/*");
    let master = get(edge.address, &format!("/v/master.m3u8?{token}")).await;
    assert!(master.uris()[0].contains("/hdntl="), "{}", master.text());
    files.configure(&origin, "", "session = { carrier = \"query\", name = \"long\" }");
    reload(&edge).await.expect("it is good");
    let master = get(edge.address, &format!("/v/master.m3u8?{token}")).await;
    assert!(master.uris()[0].contains("?long="), "{}", master.text());
    files.configure(&origin, "", "");
    let text = std::fs::read_to_string(files.path()).expect("a file");
    files.write("edge.toml", &text.replace("hosts = [\"*\"]", "hosts = [\"other.example\"]"));
    reload(&edge).await.expect("it is good");
    assert_eq!(status(&edge).await, 421);
    let target = format!("/v/master.m3u8?{token}");
    assert_eq!(request(edge.address, "GET", &target, &[("host", "other.example")]).await.status, 200);
}

#[tokio::test]
async fn what_needs_a_new_start_is_named() {
    let (origin, files) = (stage::origin().await, Files::new());
    files.write("key.hex", KEY);
    files.configure(&origin, "", "");
    let edge = edge(&files).await;
    files.configure(&origin, "limits = { uri = \"4KiB\" }\nh2c = false", "");
    let warnings = reload(&edge).await.expect("it is good").warnings;
    for key in ["[server] h2c", "[server.limits]"] {
        assert!(
            warnings.iter().any(|line| line.starts_with(key) && line.contains("next start")),
            "{warnings:?}"
        );
    }
    assert!(!warnings.iter().any(|line| line.starts_with("[cache]")), "{warnings:?}");
}

#[tokio::test]
async fn a_change_of_a_file_that_is_named_reloads_by_itself() {
    let (origin, files) = (stage::origin().await, Files::new());
    files.write("key.hex", KEY);
    files.configure(&origin, "", "");
    let edge = edge(&files).await;
    assert_eq!(status(&edge).await, 200);
    // As a secret is mounted: the new file takes the place of the old one.
    files.write("key.new", OTHER_KEY);
    let (new, old) = (files.folder.path().join("key.new"), files.folder.path().join("key.hex"));
    std::fs::rename(new, old).expect("renamed");
    until(async || edge.count("config_generation").await == 2).await;
    assert_eq!(status(&edge).await, 403);
}

#[tokio::test]
async fn no_request_fails_through_ten_reloads_and_a_new_certificate() {
    let (origin, files) = (stage::origin().await, Files::new());
    files.write("key.hex", KEY);
    let first = TestCertificate::new();
    install(&first, files.folder.path());
    let server = "https = [\"127.0.0.1:0\"]\n[[tls.certificate]]\ncert = \"dev.pem\"\nkey = \"dev.key\"";
    files.configure(&origin, server, "");
    let edge = edge(&files).await;
    let mut player = Player::new(&edge);
    let master = player.get(&format!("/v/master.m3u8?{}", access_token("/v/*"))).await;
    let media = player.resolved("/v/master.m3u8", &master.uris()[0]);
    let segment = media.replace("level.m3u8", "seg0.m4s");

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut viewers = Vec::new();
    for _ in 0..8 {
        let (stop, answered, address) = (stop.clone(), answered.clone(), edge.address);
        let targets = [media.clone(), segment.clone()];
        viewers.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                for target in &targets {
                    let reply = get(address, target).await;
                    assert!(reply.status == 200 && !reply.is_cut, "{}", reply.head);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    let second = TestCertificate::new();
    for round in 0..10 {
        let before = answered.load(Ordering::Relaxed);
        if round == 5 {
            install(&second, files.folder.path());
        }
        files.configure(&origin, server, &format!("session = {{ ttl_max = \"{}h\" }}", 20 + round));
        reload(&edge).await.expect("it is good");
        until(async || answered.load(Ordering::Relaxed) > before + 16).await;
    }
    stop.store(true, Ordering::Relaxed);
    for viewer in viewers {
        viewer.await.expect("no request failed");
    }
    assert!(edge.count("config_generation").await >= 11);
    let secure = edge.secure.expect("an https listener");
    drop(connect(secure, &second.authority(), &["http/1.1"]).await);
}

fn install(certificate: &TestCertificate, folder: &Path) {
    std::fs::copy(certificate.certificate(), folder.join("dev.pem")).expect("copied");
    std::fs::copy(certificate.key(), folder.join("dev.key")).expect("copied");
}

/// Waits until something that comes by itself is there.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(20), "it never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
