//! The disk behind the memory, over real sockets: what survives, and what a broken disk does to viewers (nothing).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::admin::{JSON, post};
use crate::support::{self, Answer, Reply, TestEdge, TestOrigin};

const WAIT: Duration = Duration::from_secs(20);

/// The edge's own address changes with a restart, and would change the site.
const HOST: &str = "h.example";

/// Keys of `[cache.disk]` that most tests have.
const ALWAYS: &str = "max = \"1GiB\"\nadmission = \"always\"\npause = \"20ms\"";

fn text(origin: &TestOrigin, folder: &Path, disk: &str, cache: &str) -> String {
    format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n\
         [cache]\n{cache}\n[cache.disk]\nfolder = \"{}\"\n{disk}\n\
         [[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ action = \"open\" }}\n",
        folder.display(),
        origin.address
    )
}

/// An edge that has read its folder.
async fn started(origin: &TestOrigin, folder: &Path) -> TestEdge {
    let edge = TestEdge::with_text(&text(origin, folder, ALWAYS, "")).await;
    until(async || edge.count("cache_disk_ready").await == 1).await;
    edge
}

async fn until(holds: impl AsyncFn() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT, waited).await.expect("it never held");
}

/// An edge with these objects on its disk, that has ended.
async fn written(origin: &TestOrigin, folder: &Path, paths: &[&str]) {
    let edge = started(origin, folder).await;
    for path in paths {
        assert_eq!(get(edge.address, path).await.status, 200);
    }
    until(async || edge.count("cache_disk_objects").await == paths.len() as u64).await;
}

async fn request(edge: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
    support::request(edge, method, path, &[&[("Host", HOST)], fields].concat()).await
}

async fn get(edge: SocketAddr, path: &str) -> Reply {
    request(edge, "GET", path, &[]).await
}

fn segment(fields: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    Answer::with("200 OK", &[&[("content-type", "video/mp2t")], fields].concat(), body)
}

/// The body that belongs to a number, and to no other.
fn body_of(number: u32, bytes: u32) -> Vec<u8> {
    (0..bytes / 4).flat_map(|at| (at ^ number.rotate_left(20)).to_le_bytes()).collect()
}

/// The objects' files, and what was not written to its end.
fn files(folder: &Path) -> (Vec<PathBuf>, usize) {
    let (mut whole, mut torn, mut folders) = (Vec::new(), 0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "tmp") {
                torn += 1;
            } else if path.file_name().is_some_and(|name| name != "lock") {
                whole.push(path);
            }
        }
    }
    (whole, torn)
}

fn is_hit(reply: &Reply) -> bool {
    reply.header("cache-status").is_some_and(|status| status.starts_with("sluicegate; hit"))
}

#[tokio::test]
async fn objects_survive_a_restart_with_all_that_is_known_of_them() {
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    let body = body_of(1, 700_000);
    origin.at(
        "/a.ts",
        segment(&[("etag", "\"1\""), ("cache-control", "max-age=100"), ("x-of", "a")], body.clone()),
    );
    origin.at("/v.ts", segment(&[("vary", "accept-encoding")], "varies"));
    let first = started(&origin, folder.path()).await;
    get(first.address, "/a.ts").await;
    request(first.address, "GET", "/v.ts", &[("Accept-Encoding", "gzip")]).await;
    request(first.address, "GET", "/v.ts", &[("Accept-Encoding", "br")]).await;
    until(async || first.count("cache_disk_objects").await == 3).await;
    drop(first);

    let edge = started(&origin, folder.path()).await;
    edge.clock.advance(Duration::from_secs(7));
    let part = request(edge.address, "GET", "/a.ts", &[("Range", "bytes=300000-300009")]).await;
    assert_eq!((part.status, &part.body[..]), (206, &body[300_000..300_010]));
    let head = request(edge.address, "HEAD", "/a.ts", &[]).await;
    assert_eq!((head.status, head.header("content-length").as_deref()), (200, Some("700000")));
    let again = get(edge.address, "/a.ts").await;
    assert!(again.body == body && is_hit(&again), "{}", again.head);
    assert_eq!((again.header("age").as_deref(), again.header("x-of").as_deref()), (Some("7"), Some("a")));
    for coding in ["gzip", "br"] {
        let varied = request(edge.address, "GET", "/v.ts", &[("Accept-Encoding", coding)]).await;
        assert!(varied.text() == "varies" && is_hit(&varied), "{coding}: {}", varied.head);
    }
    assert_eq!(origin.asked().len(), 3, "nothing was asked for again");
    assert_eq!(edge.count("cache_disk_hits_total").await, 3);

    edge.clock.advance(Duration::from_secs(100));
    origin.at("/a.ts", Answer::with("304 Not Modified", &[("etag", "\"1\"")], ""));
    assert!(get(edge.address, "/a.ts").await.body == body);
    assert_eq!(origin.asked()[3].header("if-none-match").as_deref(), Some("\"1\""));
}

#[tokio::test]
async fn what_is_stale_on_disk_is_served_while_the_origin_fails() {
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    origin.at("/a.ts", segment(&[("cache-control", "max-age=10, stale-if-error=60")], "kept"));
    written(&origin, folder.path(), &["/a.ts"]).await;
    origin.at("/a.ts", Answer::with("503 Service Unavailable", &[], "down"));
    let edge = started(&origin, folder.path()).await;
    edge.clock.advance(Duration::from_secs(30));
    assert_eq!(get(edge.address, "/a.ts").await.text(), "kept");
    edge.clock.advance(Duration::from_mins(1));
    assert_eq!(get(edge.address, "/a.ts").await.status, 503);
}

#[tokio::test]
async fn a_damaged_file_is_a_miss_and_is_replaced() {
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    let body = body_of(3, 900_000);
    origin.at("/a.ts", segment(&[], body.clone()));
    for at in [10, 400_000, 899_990] {
        written(&origin, folder.path(), &["/a.ts"]).await;
        let asked = origin.asked().len();
        let (whole, _) = files(folder.path());
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&whole[0]).expect("the file");
        let end = file.metadata().expect("its size").len() - 20;
        // The table of checksums is at the end; this is in the body, wherever that begins.
        file.write_all_at(b"DAMAGED!", end - 900_000 + at).expect("written");
        let edge = started(&origin, folder.path()).await;
        let answer = get(edge.address, "/a.ts").await;
        assert!(answer.body == body && !answer.is_cut, "damaged at {at}");
        assert_eq!(edge.count("cache_disk_corrupt_total").await, 1, "damaged at {at}");
        assert_eq!(origin.asked().len(), asked + 1);
        until(async || edge.count("cache_disk_writes_total").await == 1).await;
    }
}

#[tokio::test]
async fn a_folder_that_is_removed_is_no_error_for_viewers() {
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    for path in ["/a.ts", "/b.ts"] {
        origin.at(path, segment(&[], path));
    }
    written(&origin, folder.path(), &["/a.ts"]).await;
    let edge = started(&origin, folder.path()).await;
    std::fs::remove_dir_all(folder.path()).expect("removed");
    for path in ["/a.ts", "/b.ts", "/a.ts", "/b.ts"] {
        let reply = get(edge.address, path).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, path));
    }
    assert_eq!(origin.asked().len(), 3, "memory keeps what the disk cannot");
    until(async || edge.count("cache_disk_errors_total").await > 0).await;
    assert!(edge.count("cache_disk_offs_total").await > 0);
}

/// A small file system of its own, or nothing where this user may not make one.
struct Mount(PathBuf);

impl Mount {
    fn make(at: &Path, options: &str) -> Option<Self> {
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).output();
        made.is_ok_and(|made| made.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_no_error_for_viewers() {
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    origin.at("/a.ts", segment(&[], "body"));
    // A file where the folder should be is refused to every user; a file system that takes no writes where one can be made.
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let mounted = folder.path().join("mounted");
    std::fs::create_dir(&mounted).expect("made");
    let mount = Mount::make(&mounted, "ro,size=1m");
    for folder in [Some(&file), mount.is_some().then_some(&mounted)].into_iter().flatten() {
        let asked = origin.asked().len();
        let edge = TestEdge::with_text(&text(&origin, folder, ALWAYS, "")).await;
        for _ in 0..3 {
            assert_eq!(get(edge.address, "/a.ts").await.text(), "body");
        }
        assert_eq!(origin.asked().len(), asked + 1, "memory works as ever");
        until(async || edge.count("cache_disk_errors_total").await > 0).await;
        assert_eq!((edge.count("cache_disk_ready").await, edge.count("cache_disk_objects").await), (0, 0));
    }
}

#[tokio::test]
async fn a_full_disk_is_no_error_for_viewers() {
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    let paths: Vec<String> = (0..12).map(|number| format!("/{number}.ts")).collect();
    for (number, path) in (0..).zip(&paths) {
        origin.at(path, segment(&[], body_of(number, 300_000)));
    }
    let mount = Mount::make(folder.path(), "size=1m");
    // Without a small file system the limit of bytes is what fills up.
    let keys = if mount.is_some() { ALWAYS.to_owned() } else { ALWAYS.replace("1GiB", "1MiB") };
    let edge = TestEdge::with_text(&text(&origin, folder.path(), &keys, "")).await;
    until(async || edge.count("cache_disk_ready").await == 1).await;
    for _ in 0..2 {
        for (number, path) in (0..).zip(&paths) {
            assert!(get(edge.address, path).await.body == body_of(number, 300_000), "{path}");
        }
    }
    assert_eq!(origin.asked().len(), paths.len());
    let sign = if mount.is_some() { "cache_disk_errors_total" } else { "cache_disk_evictions_total" };
    until(async || edge.count(sign).await > 0).await;
    assert!(edge.count("cache_disk_bytes").await <= 1 << 20);
    until(async || files(folder.path()).1 == 0).await;
    let bytes = |path: &PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
    assert!(files(folder.path()).0.iter().map(bytes).sum::<u64>() <= 1 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_answer_is_left_for_the_origin() {
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    origin.at("/a.ts", segment(&[], "body"));
    written(&origin, folder.path(), &["/a.ts"]).await;
    let keys = format!("{ALWAYS}\nread_timeout = \"50ms\"").replace("20ms", "1h");
    let edge = TestEdge::with_text(&text(&origin, folder.path(), &keys, "")).await;
    until(async || edge.count("cache_disk_ready").await == 1).await;
    // Who opens a pipe waits until somebody writes to it: a device that does not answer.
    let file = files(folder.path()).0.remove(0);
    let pipe = folder.path().join("pipe");
    std::fs::remove_file(&file).expect("removed");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    std::fs::hard_link(&pipe, &file).expect("linked");
    let _release = Release(pipe);
    assert_eq!(get(edge.address, "/a.ts").await.text(), "body");
    assert_eq!(origin.asked().len(), 2);
    assert_eq!(edge.count("cache_disk_late_total").await, 1);
    assert_eq!(edge.count("cache_disk_off").await, 1);
}

/// Lets the thread go that waits at this pipe.
struct Release(PathBuf);

impl Drop for Release {
    fn drop(&mut self) {
        let _ = std::fs::OpenOptions::new().read(true).write(true).open(&self.0);
    }
}

#[tokio::test]
async fn memory_and_disk_keep_their_bounds_under_a_scan_of_ten_times_their_size() {
    const OBJECT: u32 = 128 << 10;
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    let count = 10 * (8 << 20) / OBJECT;
    for number in 0..count {
        origin.at(&format!("/{number}.ts"), segment(&[], body_of(number, OBJECT)));
    }
    origin.at("/hot.ts", segment(&[], "hot"));
    let keys = "max = \"8MiB\"\nadmission = \"always\"";
    let cache = "memory = \"8MiB\"\nobject_max = \"256KiB\"";
    let edge = TestEdge::with_text(&text(&origin, folder.path(), keys, cache)).await;
    until(async || edge.count("cache_disk_ready").await == 1).await;
    for number in 0..count {
        assert!(get(edge.address, &format!("/{number}.ts")).await.body == body_of(number, OBJECT));
        if number % 8 == 0 {
            assert_eq!(get(edge.address, "/hot.ts").await.text(), "hot");
            assert!(edge.count("cache_memory_bytes").await <= 7 << 20, "at {number}");
            assert!(edge.count("cache_disk_bytes").await <= 8 << 20, "at {number}");
        }
    }
    assert_eq!(origin.asked_for("/hot.ts").len(), 1, "what is asked for again is not washed away");
    assert!(edge.count("cache_disk_evictions_total").await > 0);
}

#[tokio::test]
async fn a_purge_reaches_the_disk_and_outlives_a_restart() {
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    for path in ["/one/a.ts", "/one/b.ts", "/two/a.ts", "/two/b.ts"] {
        origin.at(path, segment(&[("surrogate-key", &path[1..4])], "old"));
    }
    let paths = ["/one/a.ts", "/one/b.ts", "/two/a.ts", "/two/b.ts"];
    written(&origin, folder.path(), &paths).await;
    let edge = started(&origin, folder.path()).await;
    for (body, gone) in [
        ("{\"url\":\"/one/a.ts\",\"property\":\"test\"}", 1),
        ("{\"prefix\":\"/one/\",\"property\":\"test\",\"soft\":true}", 1),
        ("{\"tag\":\"two\"}", 2),
        ("{\"all\":true}", 0),
    ] {
        let reply = post(edge.admin, "/purge", &[JSON], body).await;
        let done: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!((done["disk"].as_u64(), done["memory"].as_u64()), (Some(gone), Some(0)), "{body}");
    }
    assert_eq!(edge.count("purged_disk_total").await, 4);
    until(async || files(folder.path()).0.is_empty()).await;
    drop(edge);
    let edge = started(&origin, folder.path()).await;
    for path in paths {
        origin.at(path, segment(&[], "new"));
        assert_eq!(get(edge.address, path).await.text(), "new");
    }
}

/// `sluicegate serve` as a process of its own, killed when dropped.
struct Served {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Served {
    fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluicegate"))
            .args(["serve", "--config"])
            .arg(config)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut told = BufReader::new(child.stderr.take().expect("its diagnostics"));
        let mut next = |start: &str| loop {
            let mut line = String::new();
            assert!(told.read_line(&mut line).expect("text") > 0, "it ended");
            if let Some((_, address)) = line.trim().split_once(start) {
                break address.parse().expect("an address");
            }
        };
        let address = next("INFO listening on http://");
        let admin = next("operators' listener on http://");
        // Nobody may wait for a reader of what it says further.
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        Self { child, address, admin }
    }

    /// Whether its folder was read.
    async fn is_ready(&self) -> bool {
        support::get(self.admin, "/metrics").await.text().contains("sluicegate_cache_disk_ready 1")
    }

    /// SIGKILL: it has no time for anything.
    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("it is gone");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Rounds of: serve under load, kill, serve again. What had its place on disk is served from there; what was being written
/// is asked for again; no byte is ever wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_only_what_it_was_writing() {
    const COUNT: u32 = 60;
    let (origin, folder) = (TestOrigin::start().await, TempDir::new().expect("a folder"));
    let bytes = |number: u32| 50_000 + number * 4_000;
    let path = |number: u32| format!("/{number}.ts");
    for number in 0..COUNT {
        origin.at(&path(number), segment(&[], body_of(number, bytes(number))));
    }
    let config = folder.path().join("config.toml");
    let objects = folder.path().join("objects");
    std::fs::write(&config, text(&origin, &objects, ALWAYS, "")).expect("written");
    let mut kept_in_all = 0;
    for round in 0..4_u32 {
        let _ = std::fs::remove_dir_all(&objects);
        let served = Served::start(&config);
        let address = served.address;
        until(async || served.is_ready().await).await;
        let load = tokio::spawn(async move {
            for number in 0..COUNT {
                let reply = get_or_nothing(address, &path(number)).await;
                assert!(reply.is_none_or(|body| body == body_of(number, bytes(number))), "{number}");
            }
        });
        let enough = 5 + 12 * round as usize;
        until(async || files(&objects).0.len() > enough).await;
        served.kill();
        load.await.expect("no wrong byte under load");

        let kept = files(&objects).0.len();
        kept_in_all += kept;
        let before = origin.asked().len();
        let again = Served::start(&config);
        // What is not found yet while the folder is being read would be asked for again.
        until(async || again.is_ready().await).await;
        assert_eq!(files(&objects).1, 0, "what was not written to its end is gone");
        for number in 0..COUNT {
            let reply = get(again.address, &path(number)).await;
            assert!(reply.body == body_of(number, bytes(number)) && !reply.is_cut, "round {round}, {number}");
        }
        let asked = origin.asked().len() - before;
        assert_eq!(asked, COUNT as usize - kept, "round {round}: {kept} had their place on disk");
    }
    assert!(kept_in_all > 0);
}

/// As [`get`], from an edge that may be killed meanwhile: the body, when it came whole.
async fn get_or_nothing(address: SocketAddr, path: &str) -> Option<Vec<u8>> {
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    let reply = crate::support::client::read_reply(&mut stream, false).await;
    (reply.status == 200 && !reply.is_cut).then_some(reply.body)
}
