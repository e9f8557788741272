//! The compose file's topology as processes: the lab's origin, two edges with their very configuration, Redis.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::program::{Running, free_port, is_wanted};
use crate::support::{read, secret, secrets, sluicegate, told};

/// How long is waited for what comes by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the program, and gives what comes after each of the marks in its lines, in this order.
pub(crate) fn start(command: &mut Command, from_errors: bool, marks: &[&str]) -> (Running, Vec<String>) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let lines: Box<dyn std::io::Read + Send> = if from_errors {
        Box::new(child.stderr.take().expect("a pipe"))
    } else {
        Box::new(child.stdout.take().expect("a pipe"))
    };
    let running = Running(child);
    let mut lines = BufReader::new(lines).lines();
    let mut seen = String::new();
    let found = marks.iter().map(|mark| {
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("no {mark}: {seen}")).expect("a line");
            if let Some((_, rest)) = line.split_once(mark) {
                return rest
                    .split(['"', ' ', '/'])
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(':')
                    .to_owned();
            }
            seen += &line;
        }
    });
    let found = found.collect();
    // What it goes on to say is read, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    (running, found)
}

/// The head and the body of an answer.
pub(crate) fn get(address: SocketAddr, target: &str, headers: &str) -> (String, Vec<u8>) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    let request = format!("GET {target} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).expect("written");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("an answer");
    let at = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    (String::from_utf8_lossy(&answer[..at]).into_owned(), answer[at + 4..].to_vec())
}

pub(crate) fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// The first URI of a playlist.
fn first_uri(body: &[u8]) -> String {
    let text = String::from_utf8(body.to_vec()).expect("text");
    text.lines().find(|line| !line.is_empty() && !line.starts_with('#')).expect("a URI").to_owned()
}

/// Plays from the entry to a segment; gives the first target with a session in it.
pub(crate) fn play(edge: SocketAddr, token: &str) -> String {
    let (head, body) = get(edge, &format!("/vod/ts/master.m3u8?{token}"), "");
    assert_eq!(status(&head), "200", "{head}");
    let media = format!("/vod/ts/{}", first_uri(&body));
    assert!(media.contains("hdntl="), "{media}");
    let (head, body) = get(edge, &media, "");
    assert_eq!(status(&head), "200", "{head}");
    let segment = format!("{}/{}", media.rsplit_once('/').expect("a folder").0, first_uri(&body));
    let (head, body) = get(edge, &segment, "");
    assert_eq!((status(&head), body.first()), ("200", Some(&0x47)), "{head}");
    media
}

pub(crate) struct Stage {
    pub(crate) secrets: tempfile::TempDir,
    pub(crate) edges: Vec<SocketAddr>,
    pub(crate) admins: Vec<SocketAddr>,
    _running: Vec<Running>,
    _data: tempfile::TempDir,
}

/// What stands in `docker/` with other addresses; none where Redis is knowingly absent.
pub(crate) fn stage() -> Option<Stage> {
    if !is_wanted("redis-server", &["redis-server", "--version"]) {
        return None;
    }
    let (secrets, data) = (secrets(), tempfile::tempdir().expect("a folder"));
    let mut running = Vec::new();
    let (origin, found) =
        start(&mut sluicegate(&["lab", "origin", "--listen", "127.0.0.1:0"]), false, &["http://"]);
    running.push(origin);
    let (redis, port) = redis(secrets.path(), data.path());
    running.push(redis);
    let text = replaced(
        &read("docker/edge.toml"),
        &[
            ("0.0.0.0:8080", "127.0.0.1:0"),
            ("0.0.0.0:9090", "127.0.0.1:0"),
            ("http://origin:8080", &format!("http://{}", found[0])),
            ("redis://redis:6379", &format!("redis://127.0.0.1:{port}")),
            ("/run/secrets/", ""),
        ],
    );
    let file = secrets.path().join("edge.toml");
    fs::write(&file, text).expect("written");
    let (mut edges, mut admins) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let mut command = sluicegate(&["serve", "--config"]);
        let marks = ["listening on http://", "operators' listener on http://"];
        let (edge, found) = start(command.arg(&file), true, &marks);
        running.push(edge);
        edges.push(found[0].parse().expect("an address"));
        admins.push(found[1].parse().expect("an address"));
    }
    Some(Stage { secrets, edges, admins, _running: running, _data: data })
}

/// Each has to be there, so that what is run is what is shipped.
pub(crate) fn replaced(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}: {text}");
        text.replace(from, to)
    })
}

fn redis(secrets: &Path, data: &Path) -> (Running, u16) {
    let port = free_port();
    let text = replaced(
        &read("docker/redis.conf"),
        &[
            ("bind 0.0.0.0", "bind 127.0.0.1"),
            ("port 6379", &format!("port {port}")),
            ("dir /data", &format!("dir {}", data.display())),
        ],
    );
    let file = data.join("redis.conf");
    fs::write(&file, format!("{text}requirepass {}\n", secret(secrets, "redis_password"))).expect("written");
    let (running, _) =
        start(Command::new("redis-server").arg(&file), false, &["Ready to accept connections"]);
    (running, port)
}

#[test]
fn a_stream_plays_through_both_edges_and_a_revocation_at_one_holds_at_the_other() {
    let Some(stage) = stage() else { return };
    let key = secret(stage.secrets.path(), "key");
    let mint =
        ["token", "mint", "--acl", "/*", "--window", "300", "--session-id", "viewer-42", "--key", &key];
    let token = told(&mut sluicegate(&mint));
    let token = token.trim();
    let sessions: Vec<String> = stage.edges.iter().map(|edge| play(*edge, token)).collect();
    // Edges of one name and key take each other's sessions.
    assert_eq!(status(&get(stage.edges[1], &sessions[0], "").0), "200");
    assert_eq!(status(&get(stage.edges[0], "/vod/ts/master.m3u8", "").0), "403");

    let file = stage.secrets.path().join("admin_token");
    let ask = |arguments: &[&str], admin: SocketAddr| {
        let mut command = sluicegate(arguments);
        told(command.args(["--admin", &format!("http://{admin}")]).env("SLUICEGATE_ADMIN_TOKEN_FILE", &file))
    };
    // As the image's health check asks.
    let status_said = ask(&["status"], stage.admins[0]);
    assert!(status_said.contains("serving") && status_said.contains("connected"), "{status_said}");
    ask(&["revoke", "--session-id", "viewer-42"], stage.admins[0]);
    let began = Instant::now();
    while status(&get(stage.edges[1], &sessions[1], "").0) != "403" {
        assert!(began.elapsed() < PATIENCE, "the revocation does not cross");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_probe_needs_the_operators_token_and_the_metrics_do_too() {
    let Some(stage) = stage() else { return };
    let admin = stage.admins[0];
    assert_eq!(status(&get(admin, "/healthz", "").0), "200", "what Kubernetes asks");
    assert_eq!(status(&get(admin, "/metrics", "").0), "401");
    let token = secret(stage.secrets.path(), "admin_token");
    let (head, body) = get(admin, "/metrics", &format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(status(&head), "200");
    assert!(String::from_utf8_lossy(&body).contains("# TYPE sluicegate_requests counter"));
    let output = sluicegate(&["status", "--admin", &format!("http://{admin}")]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "a health check without the token does not pass");
}
