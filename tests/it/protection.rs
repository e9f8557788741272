//! What is asked before a token: HTTPS, addresses, countries and networks.

use std::path::Path;
use std::time::Duration;

use sluicegate::domain::network::{Networks, network};
use tokio::io::AsyncWriteExt;

use super::support::client::read_reply;
use super::support::tls::{TestCertificate, attempt, connect};
use super::support::token::Access;
use super::support::{KEY, START, TestEdge, TestOrigin, mmdb, request, stage};

const SEGMENT: &str = "/v/360p/seg0.m4s";
const MASTER: &str = "/v/master.m3u8";

/// An edge that believes this machine when it tells of viewers; `head` stands before the property, `extra` in it.
async fn edge(origin: &TestOrigin, head: &str, extra: &str) -> TestEdge {
    TestEdge::with_text(&text(origin, head, extra)).await
}

fn text(origin: &TestOrigin, head: &str, extra: &str) -> String {
    format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n{head}\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n{extra}\n",
        origin.address
    )
}

/// Status and reason for a viewer at this address, with a good token.
async fn from(edge: &TestEdge, address: &str) -> (u16, Option<String>) {
    let reply =
        request(edge.address, "GET", &Access::acl("/*").on(SEGMENT), &[("x-forwarded-for", address)]).await;
    (reply.status, reply.reason())
}

fn refused(reason: &str) -> (u16, Option<String>) {
    (403, Some(reason.to_owned()))
}

#[tokio::test]
async fn addresses_are_judged_by_their_lists_before_any_token() {
    let origin = stage::origin().await;
    let ip = "ip = { allow = [\"203.0.113.0/24\", \"2001:db8::/32\"], block = [\"203.0.113.66\"] }";
    let edge = edge(&origin, "", ip).await;
    for address in ["203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1"] {
        assert_eq!(from(&edge, address).await.0, 200, "{address}");
    }
    for address in ["203.0.113.66", "::ffff:203.0.113.66", "198.51.100.1", "2001:db9::1"] {
        assert_eq!(from(&edge, address).await, refused("ip_blocked"), "{address}");
    }
    let bare = request(edge.address, "GET", SEGMENT, &[("x-forwarded-for", "203.0.113.66")]).await;
    assert_eq!(bare.reason().as_deref(), Some("ip_blocked"), "its token is not looked at");
    assert_eq!(edge.denials("ip_blocked").await, 5);
}

#[tokio::test]
async fn a_stranger_cannot_say_where_it_is() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "ip = { allow = [\"203.0.113.0/24\"] }").await;
    assert_eq!(from(&edge, "203.0.113.7").await, refused("ip_blocked"), "nobody is trusted here");
}

#[tokio::test]
async fn a_list_in_a_file_is_read_again_when_it_changes_and_kept_when_the_new_one_is_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("blocked.txt");
    std::fs::write(&path, "203.0.113.7 # one\n").expect("a list");
    let origin = stage::origin().await;
    let ip = format!("ip = {{ block_files = ['{}'] }}", path.display());
    let edge = edge(&origin, "[geo]\ncheck_interval = \"20ms\"", &ip).await;
    assert_eq!(from(&edge, "203.0.113.7").await, refused("ip_blocked"));
    assert_eq!(from(&edge, "203.0.113.8").await.0, 200);
    replace(&path, b"203.0.113.8\n");
    until(async || from(&edge, "203.0.113.8").await.0 == 403).await;
    assert_eq!(from(&edge, "203.0.113.7").await.0, 200);
    replace(&path, b"203.0.113.9\nnonsense\n");
    until(async || file_count(&edge, "failures", &path).await == 1).await;
    assert_eq!(from(&edge, "203.0.113.8").await.0, 403, "the list before stays in use");
    assert_eq!(file_count(&edge, "reloads", &path).await, 1);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_a_fault_with_its_place() {
    let origin = stage::origin().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("list.txt");
    std::fs::write(&path, "203.0.113.7\n10.0.0.0/40\n").expect("a list");
    let lines = faults(&text(&origin, "", &format!("ip = {{ allow_files = ['{}'] }}", path.display())));
    assert!(lines.contains("line 2: \"10.0.0.0/40\" is neither"), "{lines}");
    let lines = faults(&text(&origin, "", "ip = { allow_files = [\"/nonexistent/list\"] }"));
    assert!(lines.contains("cannot read /nonexistent/list"), "{lines}");
}

fn faults(text: &str) -> String {
    let metrics = sluicegate::telemetry::metrics::Metrics::new();
    let parsed = sluicegate::config::parse(text, "t.toml", Path::new("."), &metrics, Duration::ZERO);
    parsed.expect_err("a fault").lines().join("\n")
}

struct Databases {
    folder: tempfile::TempDir,
}

impl Databases {
    fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().expect("a folder") };
        replace(
            &this.country(),
            &mmdb::countries(&[("203.0.113.0/24", "DE"), ("2001:db8::/32", "FR")], START - 3_600),
        );
        replace(&this.asn(), &mmdb::networks(&[("203.0.113.0/25", 64500), ("2001:db8::/32", 64501)], START));
        this
    }

    fn country(&self) -> std::path::PathBuf {
        self.folder.path().join("country.mmdb")
    }

    fn asn(&self) -> std::path::PathBuf {
        self.folder.path().join("asn.mmdb")
    }

    fn section(&self) -> String {
        format!(
            "[geo]\ncountry = '{}'\nasn = '{}'\ncheck_interval = \"20ms\"",
            self.country().display(),
            self.asn().display()
        )
    }
}

#[tokio::test]
async fn countries_are_allowed_and_unknown_addresses_refused_beside_an_allow_list() {
    let (origin, databases) = (stage::origin().await, Databases::new());
    let edge = edge(&origin, &databases.section(), "geo = { allow_countries = [\"de\"] }").await;
    assert_eq!(from(&edge, "203.0.113.200").await.0, 200);
    assert_eq!(from(&edge, "::ffff:203.0.113.200").await.0, 200, "one address, two spellings");
    assert_eq!(from(&edge, "2001:db8::1").await, refused("geo_blocked"));
    assert_eq!(from(&edge, "198.51.100.1").await, refused("geo_blocked"), "not known");
    assert_eq!(edge.denials("geo_blocked").await, 2);
}

#[tokio::test]
async fn countries_and_networks_are_blocked_and_unknown_addresses_pass_unless_told_otherwise() {
    let (origin, databases) = (stage::origin().await, Databases::new());
    let section = databases.section();
    let lenient = edge(&origin, &section, "geo = { block_countries = [\"FR\"], block_asns = [64500] }").await;
    for (address, status) in
        [("2001:db8::1", 403), ("203.0.113.7", 403), ("203.0.113.200", 200), ("198.51.100.1", 200)]
    {
        assert_eq!(from(&lenient, address).await.0, status, "{address}");
    }
    let strict = edge(&origin, &section, "geo = { block_countries = [\"FR\"], unknown = \"block\" }").await;
    assert_eq!(from(&strict, "198.51.100.1").await, refused("geo_blocked"));
    let open = edge(&origin, &section, "geo = { allow_asns = [64500], unknown = \"allow\" }").await;
    assert_eq!((from(&open, "198.51.100.1").await.0, from(&open, "2001:db8::1").await.0), (200, 403));
}

#[tokio::test]
async fn a_database_is_read_again_when_it_changes_and_kept_when_the_new_one_is_broken() {
    let (origin, databases) = (stage::origin().await, Databases::new());
    let edge = edge(&origin, &databases.section(), "geo = { allow_countries = [\"DE\"] }").await;
    let age = "geo_database_age_seconds{database=\"country\"}";
    assert_eq!(edge.count(age).await, 3_600);
    let path = databases.country();
    replace(&path, &mmdb::countries(&[("198.51.100.0/24", "DE")], START - 60));
    until(async || from(&edge, "198.51.100.1").await.0 == 200).await;
    assert_eq!(from(&edge, "203.0.113.7").await, refused("geo_blocked"));
    assert_eq!(edge.count(age).await, 60);
    let whole = mmdb::countries(&[("203.0.113.0/24", "DE")], START);
    for (failures, broken) in [(1, &b"not a database"[..]), (2, &whole[..whole.len() / 3])] {
        replace(&path, broken);
        until(async || file_count(&edge, "failures", &path).await == failures).await;
        assert_eq!(from(&edge, "198.51.100.1").await.0, 200, "the one before stays in use");
    }
    std::fs::remove_file(&path).expect("a file");
    until(async || file_count(&edge, "failures", &path).await == 3).await;
    assert_eq!(from(&edge, "198.51.100.1").await.0, 200);
    replace(&path, &whole);
    until(async || from(&edge, "203.0.113.7").await.0 == 200).await;
}

#[tokio::test]
async fn what_names_countries_needs_a_database_that_can_be_used() {
    let origin = stage::origin().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.mmdb");
    std::fs::write(&path, "nothing").expect("a file");
    for (head, extra, problem) in [
        (String::new(), "geo = { allow_countries = [\"DE\"] }", "[geo] country names no database"),
        (String::new(), "geo = { block_asns = [1] }", "[geo] asn names no database"),
        (
            String::new(),
            "rule = [{ name = \"r\", when = { country = [\"DE\"] }, deny = 403 }]",
            "[geo] country names no database",
        ),
        (format!("[geo]\ncountry = '{}'", path.display()), "", "is no database in MaxMind's format"),
        (format!("[geo]\nfile_max = \"3B\"\nasn = '{}'", path.display()), "", "is over 3 bytes"),
        ("[geo]\ncountry = 'nowhere.mmdb'".to_owned(), "", "cannot read"),
        (String::new(), "geo = { block_countries = [\"Germany\"] }", "\"Germany\" is no country"),
    ] {
        let lines = faults(&text(&origin, &head, extra));
        assert!(lines.contains(problem), "{head} {extra}: {lines}");
    }
}

#[tokio::test]
async fn rules_know_countries_and_networks() {
    let (origin, databases) = (stage::origin().await, Databases::new());
    let rules = "rule = [{ name = \"fr\", when = { country = [\"FR\"] }, redirect = { to = \"/blocked/{country}\" } }, { name = \"lab\", when = { asn = [64500] }, allow = true }, { name = \"nowhere\", when = { country = [\"unknown\"] }, deny = 451 }]";
    let edge = edge(&origin, &databases.section(), rules).await;
    let at = async |address| request(edge.address, "GET", SEGMENT, &[("x-forwarded-for", address)]).await;
    let french = at("2001:db8::1").await;
    assert_eq!((french.status, french.header("location").as_deref()), (302, Some("/blocked/FR")));
    assert_eq!(at("203.0.113.7").await.status, 200);
    assert_eq!(at("198.51.100.1").await.status, 451);
    assert_eq!(at("203.0.113.200").await.reason().as_deref(), Some("no_token"));
}

#[test]
fn a_hundred_thousand_networks_are_one_list() {
    let line = |n: u32| format!("{}.{}.{}.0/24", 1 + (n >> 16), n >> 8 & 255, n & 255);
    let text = (0..100_000).map(line).collect::<Vec<_>>().join("\n");
    let set = Networks::from_list(&text).expect("a list");
    assert_eq!(set.ranges(), 100_000);
    for (address, is_in) in
        [("1.0.0.1", true), ("2.134.159.255", true), ("2.134.160.0", false), ("0.255.255.255", false)]
    {
        assert_eq!(set.contains(address.parse().expect("an address")), is_in, "{address}");
    }
    assert_eq!(Networks::new(network("::ffff:1.0.0.0/120")), Networks::new(network("1.0.0.0/24")));
}

#[tokio::test]
async fn plain_requests_are_refused_or_led_to_https_without_a_token() {
    let origin = stage::origin().await;
    let refusing = edge(&origin, "", "https = { only = \"refuse\" }").await;
    let fields = [("host", "edge.example:8080")];
    let reply = request(refusing.address, "GET", &Access::acl("/*").on(MASTER), &fields).await;
    assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("not_https")));
    let leading = edge(&origin, "", "https = { only = \"redirect\", port = 8443 }").await;
    let reply = request(leading.address, "GET", "/v/./master.m3u8?a=1", &fields).await;
    assert_eq!(reply.status, 308);
    assert_eq!(reply.header("location").as_deref(), Some("https://edge.example:8443/v/master.m3u8?a=1"));
    let standard = edge(&origin, "", "https = { only = \"redirect\" }").await;
    let reply = request(standard.address, "HEAD", MASTER, &fields).await;
    assert_eq!(reply.header("location").as_deref(), Some("https://edge.example/v/master.m3u8"));
    let session = format!("/v/hdntl=exp=1~acl=%2f*~data=hdntl~hmac={}/master.m3u8", "0".repeat(64));
    for target in [Access::acl("/*").on(MASTER), format!("{MASTER}?hdntl=x"), session] {
        let reply = request(leading.address, "GET", &target, &fields).await;
        assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("not_https")), "{target}");
        assert_eq!(reply.header("location"), None, "no token goes into a redirect");
    }
    let proxied = [("host", "edge.example"), ("x-forwarded-proto", "https")];
    let reply = request(leading.address, "GET", &Access::acl("/*").on(MASTER), &proxied).await;
    assert_eq!(reply.status, 200, "a trusted proxy says that it came over TLS");
    assert!(origin.asked().len() <= 2, "only the last was asked for");
}

#[tokio::test]
async fn a_strangers_word_for_https_is_not_believed() {
    let origin = stage::origin().await;
    let edge = TestEdge::start(&origin, "https = { only = \"refuse\", hsts_max_age = \"365d\" }").await;
    let fields = [("x-forwarded-proto", "https"), ("forwarded", "proto=https")];
    let reply = request(edge.address, "GET", &Access::acl("/*").on(MASTER), &fields).await;
    assert_eq!((reply.status, reply.header("strict-transport-security")), (403, None));
}

/// A whole configuration with a TLS listener of this policy.
fn secured(origin: &TestOrigin, certificate: &TestCertificate, policy: &str) -> String {
    format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[tls]\npolicy = \"{policy}\"\n[[tls.certificate]]\ncert = '{}'\nkey = '{}'\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\nhttps = {{ hsts_max_age = \"365d\", hsts_subdomains = true, hsts_preload = true }}\n",
        certificate.certificate().display(),
        certificate.key().display(),
        origin.address
    )
}

#[tokio::test]
async fn a_modern_listener_speaks_tls_1_3_alone() {
    let (origin, certificate) = (stage::origin().await, TestCertificate::new());
    let authority = certificate.authority();
    for (policy, speaks_1_2) in [("modern", false), ("intermediate", true)] {
        let edge = TestEdge::with_text(&secured(&origin, &certificate, policy)).await;
        let secure = edge.secure.expect("a TLS listener");
        let old = attempt(secure, &authority, &["http/1.1"], &[&rustls::version::TLS12]).await;
        assert_eq!(old.is_ok(), speaks_1_2, "{policy}");
        let new = attempt(secure, &authority, &["http/1.1"], &[&rustls::version::TLS13]).await;
        assert!(new.is_ok(), "{policy}");
    }
}

#[tokio::test]
async fn strict_transport_security_is_said_over_tls_only_and_on_every_answer() {
    let (origin, certificate) = (stage::origin().await, TestCertificate::new());
    let edge = TestEdge::with_text(&secured(&origin, &certificate, "modern")).await;
    let secure = edge.secure.expect("a TLS listener");
    for (target, status) in [(SEGMENT.to_owned(), 403), (Access::acl("/*").on(SEGMENT), 200)] {
        let mut stream = connect(secure, &certificate.authority(), &["http/1.1"]).await;
        let head = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("the edge reads");
        let reply = read_reply(&mut stream, false).await;
        let said = reply.header("strict-transport-security");
        assert_eq!(reply.status, status);
        assert_eq!(said.as_deref(), Some("max-age=31536000; includeSubDomains; preload"), "{target}");
    }
    let plain = super::support::get(edge.address, &Access::acl("/*").on(SEGMENT)).await;
    assert_eq!((plain.status, plain.header("strict-transport-security")), (200, None));
}

#[tokio::test]
async fn https_settings_that_mean_nothing_are_pointed_at() {
    let origin = stage::origin().await;
    for (https, problem) in [
        ("hsts_preload = true", "needs hsts_subdomains and an hsts_max_age of at least a year"),
        ("hsts_preload = true, hsts_subdomains = true, hsts_max_age = \"300d\"", "at least a year"),
        ("hsts_subdomains = true", "without hsts_max_age"),
        ("port = 8443", "is where a redirect leads"),
        ("only = \"always\"", "unknown variant `always`"),
    ] {
        let lines = faults(&text(&origin, "", &format!("https = {{ {https} }}")));
        assert!(lines.contains(problem), "{https}: {lines}");
    }
}

/// A new file under an old name, as package managers and editors do it.
fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).expect("a file");
    std::fs::rename(&beside, path).expect("a rename");
}

async fn file_count(edge: &TestEdge, what: &str, path: &Path) -> u64 {
    edge.count(&format!("geo_file_{what}_total{{file=\"{}\"}}", path.display())).await
}

/// Waits for a change that the edge makes by itself.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the edge did not get there");
}
