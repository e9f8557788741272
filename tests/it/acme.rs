//! Certificates by ACME, from a server that verifies names by connecting to the edge.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::pebble::Pebble;
use crate::support::program::free_port;
use crate::support::{Answer, TestEdge, TestOrigin, get, tls};

const DAY: Duration = Duration::from_hours(24);

/// What the edges of a test have on disk, and where they listen.
struct Stage {
    folder: tempfile::TempDir,
    http: u16,
    https: u16,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, http: free_port(), https: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration of certificates for `names`, with these further keys of `[tls.acme]` and of the property.
    fn configure(&self, directory: &str, authority: &Path, names: &[&str], acme: &str, property: &str) {
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:{}\"]\nhttps = [\"127.0.0.1:{}\"]\n[tls.acme]\nterms_agreed = true\nnames = {names:?}\ndirectory = \"{directory}\"\nca = \"{}\"\ncontact = [\"mailto:operator@example.com\"]\n{acme}\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://127.0.0.1:1\"] }}\naccess = {{ action = \"open\" }}\n{property}\n",
            self.http,
            self.https,
            authority.display(),
        );
        std::fs::write(self.path("edge.toml"), text).expect("a file");
    }

    async fn edge(&self) -> TestEdge {
        TestEdge::with_file(&self.path("edge.toml")).await
    }

    /// The certificate that a client of `name` is shown, if it is by the authority at `root`.
    async fn shown(&self, name: &'static str, root: &Path) -> Option<CertificateDer<'static>> {
        let config = tls::client(&[root.to_owned()], rustls::DEFAULT_VERSIONS).with_no_client_auth();
        let socket =
            TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.https))).await.expect("it listens");
        let name = ServerName::try_from(name).expect("a name");
        let session = TlsConnector::from(Arc::new(config)).connect(name, socket).await.ok()?;
        session.get_ref().1.peer_certificates()?.first().cloned().map(CertificateDer::into_owned)
    }
}

/// Has the edge look at the clock and the configuration.
async fn reload(edge: &TestEdge) {
    let reloader = edge.reloader.clone().expect("a file");
    tokio::task::spawn_blocking(move || reloader.reload()).await.expect("no panic").expect("no fault");
}

/// Waits until attempts for a name have come to a number.
async fn attempts(edge: &TestEdge, name: &str, result: &str, number: u64) {
    let counter = format!("acme_attempts_total{{name=\"{name}\",result=\"{result}\"}}");
    let come = async {
        while edge.count(&counter).await < number {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(30), come).await;
    let status = get(edge.admin, "/status").await.text();
    assert_eq!(edge.count(&counter).await, number, "{counter}: {status}");
}

async fn certificates(edge: &TestEdge) -> Value {
    let status: Value = serde_json::from_str(&get(edge.admin, "/status").await.text()).expect("JSON");
    status["certificates"].clone()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_certificate_is_obtained_by_tls_alpn_used_at_once_and_kept_for_the_next_start() {
    let stage = Stage::new();
    let Some(mut pebble) = Pebble::start(stage.http, stage.https, &[]).await else { return };
    let root = stage.path("root.pem");
    pebble.write_root(&root).await;
    stage.configure(&pebble.directory(), &pebble.certificate.authority(), &["www.acme.test"], "", "");
    let edge = stage.edge().await;
    attempts(&edge, "www.acme.test", "obtained", 1).await;
    let first = stage.shown("www.acme.test", &root).await.expect("a certificate");
    let known = certificates(&edge).await;
    assert_eq!((&known[0]["source"], &known[0]["names"]), (&json!("acme"), &json!(["www.acme.test"])));
    let expires = known[0]["expiresAt"].as_u64().expect("a time");
    let counter = "certificate_expires_seconds{name=\"www.acme.test\",source=\"acme\"}";
    assert_eq!(edge.count(counter).await, expires);
    assert!(known[0]["nextAttemptAt"].as_u64().expect("a time") < expires);
    // What is secret is for the owner alone.
    let files: Vec<PathBuf> = std::fs::read_dir(stage.path("acme"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(files.len(), 2, "an account and a certificate: {files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
    assert_eq!(mode(&stage.path("acme")), 0o700);
    // No challenge is left over, and none is answered when nothing is asked.
    let reply = get(edge.address, "/.well-known/acme-challenge/token").await;
    assert_eq!(reply.status, 502);
    edge.end().await;

    pebble.end();
    let edge = stage.edge().await;
    assert_eq!(stage.shown("www.acme.test", &root).await, Some(first));
    attempts(&edge, "www.acme.test", "failed", 0).await;
}

#[tokio::test]
async fn a_name_is_verified_over_http_for_an_account_that_the_authority_knows() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let stage = Stage::new();
    let Some(pebble) = Pebble::start(stage.http, stage.https, &[("kid-1", KEY)]).await else { return };
    let root = stage.path("root.pem");
    pebble.write_root(&root).await;
    let acme = |key: &str| {
        format!(
            "challenge = \"http-01\"\nexternal_account = {{ id = \"kid-1\", key = {{ text = \"{key}\" }} }}"
        )
    };
    let configure = |key: &str, names: &[&str]| {
        let property = "https = { only = \"redirect\" }";
        stage.configure(&pebble.directory(), &pebble.certificate.authority(), names, &acme(key), property);
    };
    configure("d3Jvbmc", &["a.acme.test"]);
    let edge = stage.edge().await;
    attempts(&edge, "a.acme.test", "failed", 1).await;
    assert!(stage.shown("a.acme.test", &root).await.is_none());
    let known = certificates(&edge).await;
    assert!(known[0]["lastError"].as_str().expect("an error").contains("external account"), "{known}");

    // A name more, and the right key: a reload sees to both, and the back-off has to be over.
    configure(KEY, &["a.acme.test", "b.acme.test"]);
    edge.clock.advance(Duration::from_mins(2));
    reload(&edge).await;
    attempts(&edge, "a.acme.test", "obtained", 1).await;
    attempts(&edge, "b.acme.test", "obtained", 1).await;
    for name in ["a.acme.test", "b.acme.test"] {
        assert!(stage.shown(name, &root).await.is_some(), "{name}");
    }
    assert!(stage.shown("c.acme.test", &root).await.is_none());
    assert_eq!(certificates(&edge).await[0]["lastError"], Value::Null);
}

#[tokio::test]
async fn a_certificate_is_renewed_at_two_thirds_of_its_life_and_no_failure_takes_it_away() {
    let stage = Stage::new();
    let Some(mut pebble) = Pebble::start(stage.http, stage.https, &[]).await else { return };
    let root = stage.path("root.pem");
    pebble.write_root(&root).await;
    stage.configure(&pebble.directory(), &pebble.certificate.authority(), &["www.acme.test"], "", "");
    let edge = stage.edge().await;
    attempts(&edge, "www.acme.test", "obtained", 1).await;
    let first = stage.shown("www.acme.test", &root).await.expect("a certificate");
    let due = certificates(&edge).await[0]["nextAttemptAt"].as_u64().expect("a time");
    let wait = Duration::from_secs(due).checked_sub(edge.clock.now()).expect("later");
    edge.clock.advance(wait.checked_sub(DAY).expect("more than a day"));
    reload(&edge).await;
    attempts(&edge, "www.acme.test", "obtained", 1).await;
    edge.clock.advance(DAY + Duration::from_secs(1));
    reload(&edge).await;
    attempts(&edge, "www.acme.test", "obtained", 2).await;
    let second = stage.shown("www.acme.test", &root).await.expect("a certificate");
    assert_ne!(first, second);

    pebble.end();
    edge.clock.advance(DAY * 3_650);
    reload(&edge).await;
    attempts(&edge, "www.acme.test", "failed", 1).await;
    assert_eq!(stage.shown("www.acme.test", &root).await, Some(second.clone()));
    // It waits before it tries again: 75 seconds at most, then twice as long.
    edge.clock.advance(Duration::from_secs(76));
    reload(&edge).await;
    attempts(&edge, "www.acme.test", "failed", 2).await;
    edge.clock.advance(Duration::from_secs(76));
    reload(&edge).await;
    attempts(&edge, "www.acme.test", "failed", 2).await;
    let status: Value = serde_json::from_str(&get(edge.admin, "/status").await.text()).expect("JSON");
    assert_eq!(status["state"], "degraded");
    assert_eq!(stage.shown("www.acme.test", &root).await, Some(second));
}

#[tokio::test]
async fn the_authority_may_ask_for_a_renewal_at_any_time() {
    let stage = Stage::new();
    let Some(pebble) = Pebble::start(stage.http, stage.https, &[]).await else { return };
    let root = stage.path("root.pem");
    pebble.write_root(&root).await;
    // Pebble tells no times of renewal: a directory of ours does, and leads to pebble for everything else.
    let origin = TestOrigin::start().await;
    let front = tls::in_front_of(origin.address, &pebble.certificate).await;
    let url = |path: &str| format!("https://localhost:{}{path}", front.port());
    let directory = json!({
        "newNonce": pebble.url("/nonce-plz"),
        "newAccount": pebble.url("/sign-me-up"),
        "newOrder": pebble.url("/order-plz"),
        "revokeCert": pebble.url("/revoke-cert"),
        "keyChange": pebble.url("/rollover-account-key"),
        "renewalInfo": url("/renewal"),
    });
    origin.at("/dir", Answer::ok("application/json", directory.to_string()));
    stage.configure(&url("/dir"), &pebble.certificate.authority(), &["www.acme.test"], "", "");
    let edge = stage.edge().await;
    attempts(&edge, "www.acme.test", "obtained", 1).await;
    let first = stage.shown("www.acme.test", &root).await.expect("a certificate");
    let asked = origin.asked();
    let path = asked.iter().map(|asked| asked.target().to_owned()).find(|path| path.starts_with("/renewal/"));
    let path = path.expect("the edge asks when to renew");
    let fields = [("Content-Type", "application/json"), ("Retry-After", "21600")];
    let window =
        json!({ "suggestedWindow": { "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z" } });
    origin.at(&path, Answer::with("200 OK", &fields, window.to_string()));
    // Within six hours it is asked again.
    edge.clock.advance(Duration::from_hours(6));
    reload(&edge).await;
    attempts(&edge, "www.acme.test", "obtained", 2).await;
    assert_ne!(stage.shown("www.acme.test", &root).await.expect("a certificate"), first);
}

#[tokio::test]
async fn an_authority_verifies_a_name_that_asks_clients_for_certificates() {
    let stage = Stage::new();
    let Some(pebble) = Pebble::start(stage.http, stage.https, &[]).await else { return };
    let authority = pebble.certificate.authority();
    let property =
        format!("tls = {{ client_certificates = \"required\", client_ca = [\"{}\"] }}", authority.display());
    stage.configure(&pebble.directory(), &authority, &["www.acme.test"], "", &property);
    let edge = stage.edge().await;
    attempts(&edge, "www.acme.test", "obtained", 1).await;
    assert_eq!(edge.count("client_certificates_refused_total").await, 0);
}
