//! Restart: sockets that were open before the process, a successor that takes them over, and what a service manager hears.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::admin::{JSON, post};
use crate::support::edge::{access_token, clock_offset};
use crate::support::player::Player;
use crate::support::program::{Running, is_wanted};
use crate::support::tls::{self, TestCertificate};
use crate::support::{KEY, get, stage};

type Pooled<C> = Client<C, Empty<bytes::Bytes>>;

/// What stands around the process: its folder, the listeners that it is given, and the ear of a service manager.
struct Stage {
    folder: tempfile::TempDir,
    http: TcpListener,
    https: TcpListener,
    admin: TcpListener,
    heard: UnixDatagram,
}

impl Stage {
    fn new(origin: SocketAddr, certificate: &TestCertificate) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let heard = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        // Whoever the process becomes, it may speak to the manager.
        let open: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        for path in [folder.path().to_owned(), folder.path().join("notify")] {
            std::fs::set_permissions(path, open.clone()).expect("its owner");
        }
        heard.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        let stage = Self { folder, http: listener(), https: listener(), admin: listener(), heard };
        std::fs::write(stage.path("key.hex"), KEY).expect("written");
        stage.install(certificate);
        stage.configure(origin, "");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn install(&self, certificate: &TestCertificate) {
        std::fs::copy(certificate.key(), self.path("dev.key")).expect("copied");
        std::fs::copy(certificate.certificate(), self.path("dev.pem")).expect("copied");
    }

    fn configure(&self, origin: SocketAddr, more: &str) {
        let (http, https, admin) = (address(&self.http), address(&self.https), address(&self.admin));
        let text = format!(
            "[server]\nhttp = [\"{http}\"]\nhttps = [\"{https}\"]\nreload_on_change = false\n\
             [[tls.certificate]]\ncert = \"dev.pem\"\nkey = \"dev.key\"\n\
             [admin]\nlisten = \"{admin}\"\n[log]\naccess = \"off\"\n\
             [[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{origin}\"] }}\n\
             access = {{ key = {{ file = \"key.hex\" }} }}\n{more}\n"
        );
        std::fs::write(self.path("edge.toml"), text).expect("written");
    }

    /// Starts the program as systemd does.
    fn start(&self) -> Running {
        let given = [&self.http, &self.https, &self.admin];
        let given = given.map(|listener| listener.try_clone().expect("a descriptor").into());
        let mappings = given.into_iter().zip(3..);
        let mappings =
            mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect::<Vec<_>>();
        let mut command = command(&self.path("edge.toml"));
        command
            .env("LISTEN_FDS", "3")
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", "100000")
            .fd_mappings(mappings)
            .expect("each once");
        Running(command.spawn().expect("it starts"))
    }

    /// Waits for a message; those before it are passed over.
    fn hears(&self, wanted: &str) -> String {
        let mut message = [0; 1024];
        loop {
            let read = self.heard.recv(&mut message).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            let text = String::from_utf8_lossy(&message[..read]).into_owned();
            if text.contains(wanted) {
                return text;
            }
        }
    }

    /// The process that a process said has taken its place.
    fn hears_of_successor(&self) -> Successor {
        let told = self.hears("MAINPID=");
        let number = told.split("MAINPID=").nth(1).and_then(|rest| rest.lines().next());
        Successor(number.and_then(|number| number.parse().ok()).expect("a number"))
    }
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("an address")
}

/// The program, its clock at the tests' time.
fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command
        .args(["serve", "--config"])
        .arg(config)
        .arg(format!("--clock-offset={}", clock_offset()))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    command
}

/// Waits for the end of a process, which was asked for.
async fn ended(mut process: Running) {
    let status = tokio::task::spawn_blocking(move || process.0.wait()).await.expect("no panic");
    assert!(status.expect("a status").success());
}

/// A process that another one started.
struct Successor(u32);

impl Successor {
    /// Waits for its end. It is nobody's child here: what is left may wait for init.
    async fn ended(self) {
        let asked = Instant::now();
        loop {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
            if status.is_empty() || status.contains("State:\tZ") {
                return;
            }
            assert!(asked.elapsed() < Duration::from_secs(40), "it does not end: {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        signal(self.0, "KILL");
    }
}

fn signal(process: u32, name: &str) {
    let _ = Command::new("kill").args(["-s", name, &process.to_string()]).status();
}

/// 500 requests a second with valid sessions: over fresh connections, over kept ones, and over HTTP/2 and TLS.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    running: tokio::task::JoinHandle<()>,
}

impl Load {
    const PAUSE: Duration = Duration::from_millis(2);

    async fn start(stage: &Stage, authorities: &[&TestCertificate]) -> Self {
        let (http, https) = (address(&stage.http), address(&stage.https));
        let mut player = Player::at(http);
        let master = player.get(&format!("/v/master.m3u8?{}", access_token("/v/*"))).await;
        let media = player.resolved("/v/master.m3u8", &master.uris()[0]);
        let targets = [media.clone(), media.replace("level.m3u8", "seg0.m4s")];
        let kept: Pooled<HttpConnector> =
            Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        // What has not left it when the connection ends, it sends over another.
        let secure: Pooled<_> =
            Client::builder(TokioExecutor::new()).retry_canceled_requests(true).build(trusting(authorities));
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let failures = Arc::new(Mutex::new(Vec::new()));
        let (stopping, counting, failing) = (stop.clone(), asked.clone(), failures.clone());
        let running = tokio::spawn(async move {
            let mut turns = tokio::time::interval(Self::PAUSE);
            let mut requests = tokio::task::JoinSet::new();
            for number in 0.. {
                turns.tick().await;
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                let target = targets[number % 2].clone();
                let (kept, secure) = (kept.clone(), secure.clone());
                let (counting, failing) = (counting.clone(), failing.clone());
                requests.spawn(async move {
                    let told = match number % 3 {
                        0 => fresh(http, &target).await,
                        1 => pooled(&kept, &format!("http://{http}{target}")).await,
                        _ => pooled(&secure, &format!("https://localhost:{}{target}", https.port())).await,
                    };
                    counting.fetch_add(1, Ordering::Relaxed);
                    if let Err(failure) = told {
                        let mut failing = failing.lock().expect("no panic");
                        failing.push(format!("{number}: {failure}"));
                    }
                });
            }
            while requests.join_next().await.is_some() {}
        });
        Self { stop, asked, failures, running }
    }

    /// Waits until so many more were answered.
    async fn goes_on(&self, count: u64) {
        let wanted = self.asked.load(Ordering::Relaxed) + count;
        let started = Instant::now();
        while self.asked.load(Ordering::Relaxed) < wanted {
            assert!(started.elapsed() < Duration::from_mins(1), "nothing is answered");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it: how many were answered, and what failed.
    async fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.expect("no panic");
        let failures = std::mem::take(&mut *self.failures.lock().expect("no panic"));
        (self.asked.load(Ordering::Relaxed), failures)
    }
}

async fn fresh(http: SocketAddr, target: &str) -> Result<(), String> {
    let reply = get(http, target).await;
    if reply.status == 200 && !reply.is_cut { Ok(()) } else { Err(format!("fresh: {}", reply.head)) }
}

async fn pooled<C>(client: &Pooled<C>, url: &str) -> Result<(), String>
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    let kind = url.split(':').next().unwrap_or_default().to_owned();
    let told = |error: &dyn std::error::Error| format!("{kind}: {error}: {:?}", error.source());
    let url: http::Uri = url.parse().expect("a URL");
    let reply = match client.get(url.clone()).await {
        Err(error) if is_unprocessed(&error) => client.get(url).await,
        reply => reply,
    };
    let reply = reply.map_err(|error| told(&error))?;
    let status = reply.status();
    reply.into_body().collect().await.map_err(|error| told(&error))?;
    if status == 200 { Ok(()) } else { Err(format!("{kind}: {status}")) }
}

/// RFC 9113 §8.7: what a GOAWAY leaves out was not processed, and is asked for again over another connection. hyper does
/// not by itself, though it has not sent it yet.
fn is_unprocessed(error: &hyper_util::client::legacy::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(one) = source {
        if let Some(error) = one.downcast_ref::<h2::Error>() {
            return error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
        }
        source = one.source();
    }
    false
}

fn trusting(authorities: &[&TestCertificate]) -> hyper_rustls::HttpsConnector<HttpConnector> {
    let authorities: Vec<PathBuf> = authorities.iter().map(|one| one.authority()).collect();
    let config = tls::client(&authorities, rustls::DEFAULT_VERSIONS).with_no_client_auth();
    hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http2().build()
}

async fn count(stage: &Stage, metric: &str) -> u64 {
    let metrics = get(address(&stage.admin), "/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("sluicegate_{metric} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {metric}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_through_ten_reloads_a_certificate_a_restart_a_successor_and_a_drain() {
    let (origin, first, second) = (stage::origin().await, TestCertificate::new(), TestCertificate::new());
    let stage = Stage::new(origin.address, &first);
    let edge = stage.start();
    stage.hears("READY=1");
    let load = Load::start(&stage, &[&first, &second]).await;
    for round in 0..10 {
        if round == 5 {
            stage.install(&second);
        }
        stage.configure(origin.address, &format!("session = {{ ttl_max = \"{}h\" }}", 10 + round));
        load.goes_on(50).await;
        signal(edge.0.id(), "HUP");
        stage.hears("RELOADING=1");
        stage.hears("READY=1");
    }
    assert_eq!(count(&stage, "config_generation").await, 11);
    load.goes_on(100).await;

    // A restart behind sockets that stay open: who comes meanwhile waits.
    signal(edge.0.id(), "TERM");
    stage.hears("STOPPING=1");
    ended(edge).await;
    let edge = stage.start();
    stage.hears("READY=1");
    assert_eq!(count(&stage, "config_generation").await, 1);
    load.goes_on(100).await;

    // A successor, which serves before this one ends.
    signal(edge.0.id(), "USR2");
    let successor = stage.hears_of_successor();
    ended(edge).await;
    load.goes_on(100).await;

    // A drain that an operator asks for, while another process serves the same sockets.
    let admin = address(&stage.admin);
    let last = stage.start();
    stage.hears("READY=1");
    signal(successor.0, "TERM");
    successor.ended().await;
    load.goes_on(100).await;
    let (asked, failures) = load.end().await;
    assert!(
        failures.is_empty(),
        "{} of {asked} failed, the first: {:#?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    assert_eq!(post(admin, "/drain", &[JSON], "{}").await.status, 202);
    ended(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_does_not_come_to_serve_changes_nothing() {
    let (origin, certificate) = (stage::origin().await, TestCertificate::new());
    let stage = Stage::new(origin.address, &certificate);
    let edge = stage.start();
    stage.hears("READY=1");
    stage.configure(origin.address, "nonsense = true");
    signal(edge.0.id(), "USR2");
    let failed = Instant::now();
    while count(&stage, "handover_failures_total").await == 0 {
        assert!(failed.elapsed() < Duration::from_secs(20), "it was not noticed");
    }
    let target = format!("/v/master.m3u8?{}", access_token("/v/*"));
    assert_eq!(get(address(&stage.http), &target).await.status, 200);
    stage.hears("WATCHDOG=1");
    // And the next one may succeed.
    stage.configure(origin.address, "");
    signal(edge.0.id(), "USR2");
    let successor = stage.hears_of_successor();
    ended(edge).await;
    assert_eq!(get(address(&stage.http), &target).await.status, 200);
    // The watchdog hears the new process.
    stage.hears("WATCHDOG=1");
    drop(successor);
}

#[tokio::test]
async fn a_given_socket_that_is_none_of_ours_is_refused_by_name() {
    let (origin, certificate) = (stage::origin().await, TestCertificate::new());
    let stage = Stage::new(origin.address, &certificate);
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut command = command(&stage.path("edge.toml"));
    let mapping = FdMapping { parent_fd: datagrams.into(), child_fd: 3 };
    command.env("LISTEN_FDS", "1").stderr(Stdio::piped()).fd_mappings(vec![mapping]).expect("once");
    let output = command.output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("socket 1") && told.contains("ListenStream="),
        "{told}"
    );
}

/// What only root may do is done first; after it nothing of root is left.
#[tokio::test]
async fn once_its_ports_are_open_the_process_is_another_user() {
    let owner = std::fs::metadata("/proc/self").expect("itself");
    if std::os::unix::fs::MetadataExt::uid(&owner) != 0 {
        println!("not run: only root can become another user");
        return;
    }
    let (origin, certificate) = (stage::origin().await, TestCertificate::new());
    let stage = Stage::new(origin.address, &certificate);
    let text = std::fs::read_to_string(stage.path("edge.toml")).expect("a file");
    std::fs::write(stage.path("edge.toml"), text.replace("[server]", "[server]\nuser = \"nobody\""))
        .expect("written");
    let edge = stage.start();
    stage.hears("READY=1");
    let status = std::fs::read_to_string(format!("/proc/{}/status", edge.0.id())).expect("a process");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), ["65534"; 4]);
    assert_eq!(field("Gid:"), ["65534"; 4]);
    assert_eq!(field("Groups:"), ["65534"]);
    assert_eq!(field("CapEff:"), ["0000000000000000"]);
    assert_eq!(field("CapPrm:"), ["0000000000000000"]);
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    let target = format!("/v/master.m3u8?{}", access_token("/v/*"));
    assert_eq!(get(address(&stage.http), &target).await.status, 200);
}

/// As systemd judges them: every key is known, and the process is left as few rights as it says.
#[test]
fn the_units_of_systemd_are_good_and_leave_the_process_few_rights() {
    if !is_wanted("systemd-analyze", &["systemd-analyze", "--version"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
    let files = ["sluicegate.service", "sluicegate.socket"].map(|name| {
        let text = std::fs::read_to_string(units.join(name)).expect("a unit");
        // The program is not installed here.
        let text = text.replace("/usr/bin/sluicegate", env!("CARGO_BIN_EXE_sluicegate"));
        std::fs::write(folder.path().join(name), text).expect("written");
        folder.path().join(name)
    });
    let judged = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&files).output();
    let judged = judged.expect("it runs");
    let told = String::from_utf8_lossy(&judged.stderr).into_owned();
    assert!(judged.status.success() && told.is_empty(), "{told}");
    // 0 to 100: 25 is "OK", and what is not said to be taken away is there.
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=25", "--no-pager"])
        .arg(&files[0])
        .output()
        .expect("it runs");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}
