//! The program under test, with a key of the tests' own, and what its access log says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::tool::run;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate");
/// The key of all access tokens of these tests.
pub const KEY: &str = "00112233445566778899aabbccddeeff";
pub const CARRIERS: [&str; 4] = ["path", "query", "cookie", "auto"];
/// How long the program may take to say where it listens, and to write a line of its log.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether something has come to be.
const POLL: Duration = Duration::from_millis(5);
/// A path that no player asks for.
const MARK: &str = "/the-log-is-complete-up-to-here";

/// The program, running; it ends with the test.
pub struct Edge {
    process: Spoken,
    /// The properties' names and ports; a demonstration has its page on the first.
    ports: Vec<(String, u16)>,
    marks: Mutex<u32>,
    /// Where its configuration is; it looks at the file from time to time.
    _folder: Option<tempfile::TempDir>,
}

/// A process that ends with this value, and what it has printed.
pub struct Spoken {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// A line of the access log.
#[derive(Debug)]
pub struct Line {
    pub path: String,
    pub status: u16,
    pub kind: String,
    pub reason: Option<String>,
    pub carrier: Option<String>,
    pub protocol: String,
}

impl Edge {
    /// `sluicegate demo` with the key of these tests.
    pub fn demo() -> Self {
        let mut said = Vec::new();
        // The ports are chosen before they are bound, so another process can be faster.
        for _ in 0..3 {
            let mut process =
                Spoken::start(Command::new(PROGRAM).args(["demo", "--port", "0", "--key", KEY]));
            // "Session tokens travel in the path on port 1; query on 2, cookie on 3, auto on 4."
            if let Some(greeting) = process.wait_for(|line| line.starts_with("Session tokens")) {
                let numbers = greeting.split(|letter: char| !letter.is_ascii_digit());
                let ports: Vec<u16> = numbers.filter_map(|digits| digits.parse().ok()).collect();
                assert_eq!(ports.len(), CARRIERS.len(), "{greeting}");
                if ports.iter().all(|port| process.answers(*port)) {
                    let ports = CARRIERS.map(str::to_owned).into_iter().zip(ports).collect();
                    return Self { process, ports, marks: Mutex::new(0), _folder: None };
                }
            }
            said = process.lines();
        }
        panic!("the demonstration did not start: {said:#?}");
    }

    /// `sluicegate serve` for an origin on this port, with the session in this carrier.
    pub fn serve(origin: u16, carrier: &str) -> Self {
        Self::serve_with(&format!("http://127.0.0.1:{origin}"), carrier, "")
    }

    /// The same for an origin of this URL, with more keys of the property, one a line.
    pub fn serve_with(origin: &str, carrier: &str, more: &str) -> Self {
        Self::serve_from(&format!("{{ urls = [\"{origin}\"] }}"), carrier, more)
    }

    /// The same for an origin of these keys, as an inline table.
    pub fn serve_from(origin: &str, carrier: &str, more: &str) -> Self {
        Self::serve_text(&[carrier], &|ports| configuration(ports[0], origin, carrier, more))
    }

    /// `sluicegate serve` for a configuration that listens on a port for each of these names; the first has to be a property's.
    pub fn serve_text(names: &[&str], text: &dyn Fn(&[u16]) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.toml");
        for _ in 0..3 {
            let free: Vec<_> =
                names.iter().map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
            let ports: Vec<u16> = free.iter().map(|free| free.local_addr().expect("bound").port()).collect();
            drop(free);
            std::fs::write(&file, text(&ports)).expect("a file");
            let mut process = Spoken::start(Command::new(PROGRAM).arg("serve").arg("--config").arg(&file));
            if ports.iter().all(|port| process.answers(*port)) {
                let ports = names.iter().map(|name| (*name).to_owned()).zip(ports).collect();
                return Self { process, ports, marks: Mutex::new(0), _folder: Some(folder) };
            }
        }
        panic!("the edge did not start");
    }

    /// The address of a property; the page is on the first.
    pub fn base(&self, carrier: &str) -> String {
        let port = self.ports.iter().find(|(name, _)| name == carrier).expect("a property of this name").1;
        format!("http://127.0.0.1:{port}")
    }

    /// A URL without a token.
    pub fn plain(&self, carrier: &str, path: &str) -> String {
        format!("{}{path}", self.base(carrier))
    }

    /// A URL with a new access token for everything.
    pub fn url(&self, carrier: &str, path: &str) -> String {
        format!("{}?{}", self.plain(carrier, path), mint())
    }

    /// What the program said when it started.
    pub fn greeting(&self) -> Vec<String> {
        self.process.lines().into_iter().filter(|line| Line::read(line).is_none()).collect()
    }

    /// The lines of the access log so far, but for the marks.
    pub fn log(&self) -> Vec<Line> {
        let mark = {
            let mut marks = self.marks.lock().expect("marks");
            *marks += 1;
            format!("{MARK}/{marks}", marks = *marks)
        };
        let port = self.ports[0].1;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the program listens");
        let request = format!("GET {mark} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the program reads");
        let _ = stream.read_to_end(&mut Vec::new());
        let end = format!("{mark}\"");
        assert!(self.process.has_said(|line| line.contains(&end)), "the access log does not show {mark}");
        let lines = self.process.lines();
        lines.iter().filter(|line| !line.contains(MARK)).filter_map(|line| Line::read(line)).collect()
    }

    /// That nothing was refused, and all that came after the access token travelled in this carrier. Returns the media requests.
    pub fn assert_all_in(&self, carrier: &str) -> Vec<Line> {
        let log = self.log();
        let refused: Vec<&Line> = log.iter().filter(|line| line.status >= 400).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        let is_below = |line: &Line| line.kind != "multivariant" && line.kind != "preflight";
        let below: Vec<Line> = log.into_iter().filter(is_below).collect();
        for line in &below {
            assert_eq!(line.carrier.as_deref(), Some(carrier), "{line:?}");
        }
        let media: Vec<Line> = below.into_iter().filter(|line| line.kind == "segment").collect();
        assert!(!media.is_empty(), "no segment was asked for");
        media
    }
}

/// An edge for one origin.
fn configuration(port: u16, origin: &str, carrier: &str, more: &str) -> String {
    format!(
        r#"
[server]
http = ["127.0.0.1:{port}"]

[log]
level = "warn"
access = "stdout"

[[property]]
name = "{carrier}"
hosts = ["127.0.0.1"]
origin = {origin}
access = {{ key = {{ hex = "{KEY}" }} }}
session = {{ carrier = "{carrier}" }}
{more}
"#
    )
}

impl Spoken {
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                kept.lock().expect("lines").push(line);
            }
        });
        Self { child, lines }
    }

    /// What it has printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("lines").clone()
    }

    /// The first line like this; `None` when the process ends without it, or is too slow.
    pub fn wait_for(&mut self, is_it: impl Fn(&str) -> bool) -> Option<String> {
        self.wait_within(PATIENCE, is_it)
    }

    /// The same for one that may take longer.
    pub fn wait_within(&mut self, patience: Duration, is_it: impl Fn(&str) -> bool) -> Option<String> {
        let started = Instant::now();
        loop {
            // Asked before the lines are read, so that the last words of a process are heard.
            let has_ended = self.has_ended();
            if let Some(line) = self.lines().into_iter().find(|line| is_it(line)) {
                return Some(line);
            }
            if has_ended || started.elapsed() > patience {
                return None;
            }
            thread::sleep(POLL);
        }
    }

    fn has_said(&self, is_it: impl Fn(&str) -> bool) -> bool {
        let started = Instant::now();
        while !self.lines().iter().any(|line| is_it(line)) {
            if started.elapsed() > PATIENCE {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }

    /// Whether it listens on this port, soon.
    fn answers(&mut self, port: u16) -> bool {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > PATIENCE || self.has_ended() {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Line {
    /// `time client METHOD "url" status kind bytes duration name=value …`; `None` for the greeting.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(" \"http://").or_else(|| text.split_once(" \"https://"))?;
        let (url, rest) = rest.split_once("\" ")?;
        let mut words = rest.split(' ');
        let (status, kind) = (words.next()?.parse().ok()?, words.next()?.to_owned());
        let field = |name: &str| {
            rest.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let path = url.find('/').map_or("", |at| &url[at..]);
        let path = path.split('?').next().unwrap_or_default().to_owned();
        let protocol = field("protocol").unwrap_or_default();
        Some(Self { path, status, kind, reason: field("reason"), carrier: field("carrier"), protocol })
    }
}

/// The program, for what has a command of its own.
pub fn program() -> Command {
    Command::new(PROGRAM)
}

/// A new access token for everything, made by the program: `hdnts=exp=…~acl=/*~hmac=…`.
pub fn mint() -> String {
    mint_with(&[])
}

pub fn mint_with(more: &[&str]) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(["token", "mint", "--key", KEY, "--acl", "/*", "--window", "300"]).args(more);
    let outcome = run(&mut command, PATIENCE);
    assert!(outcome.is_success(), "{outcome:#?}");
    outcome.stdout.trim_end().to_owned()
}

/// The text with one hexadecimal digit of its signature changed: the nth from the end of its first `hmac=…`.
pub fn tampered(text: &str, nth: usize) -> String {
    let at = text.find("hmac=").expect("a signature") + "hmac=".len() + 63 - nth;
    let other = if text[at..].starts_with('0') { "1" } else { "0" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}
