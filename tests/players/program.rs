//! The program under test: `sluicegate demo` with a key of the test's own, and what its access log says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
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
/// A path that no player asks for.
const MARK: &str = "/the-log-is-complete-up-to-here";

/// A running demonstration; it ends with the test.
pub struct Demo {
    child: Child,
    ports: Vec<u16>,
    lines: Arc<Mutex<Vec<String>>>,
    marks: Mutex<u32>,
}

/// A line of the access log.
#[derive(Debug)]
pub struct Line {
    pub path: String,
    pub status: u16,
    pub kind: String,
    pub reason: Option<String>,
    pub carrier: Option<String>,
}

impl Demo {
    pub fn start() -> Self {
        let mut demo = Self::spawn();
        // The ports are chosen before they are bound, so another process can be faster.
        for _ in 0..3 {
            if demo.find_ports() {
                return demo;
            }
            demo = Self::spawn();
        }
        panic!("the demonstration did not start: {:#?}", demo.lines.lock().expect("lines"));
    }

    fn spawn() -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["demo", "--port", "0", "--key", KEY])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let kept = lines.clone();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                kept.lock().expect("lines").push(line);
            }
        });
        Self { child, ports: Vec::new(), lines, marks: Mutex::new(0) }
    }

    /// Reads the ports from the greeting: "Session tokens travel in the path on port 1; query on 2, cookie on 3, auto on 4."
    fn find_ports(&mut self) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let greeting = self
                .lines
                .lock()
                .expect("lines")
                .iter()
                .find(|line| line.starts_with("Session tokens"))
                .cloned();
            if let Some(greeting) = greeting {
                let numbers = greeting.split(|letter: char| !letter.is_ascii_digit());
                self.ports = numbers.filter_map(|digits| digits.parse().ok()).collect();
                assert_eq!(self.ports.len(), CARRIERS.len(), "{greeting}");
                // Every port answers before a player is sent there.
                return self.ports.clone().into_iter().all(|port| self.answers(port, started));
            }
            if self.child.try_wait().expect("a child of ours").is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn answers(&mut self, port: u16, started: Instant) -> bool {
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > PATIENCE || self.child.try_wait().expect("a child of ours").is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// The address of a property; the page is on the first.
    pub fn base(&self, carrier: &str) -> String {
        let place =
            CARRIERS.iter().position(|name| *name == carrier).expect("a carrier of the demonstration");
        format!("http://127.0.0.1:{}", self.ports[place])
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
        let lines = self.lines.lock().expect("lines");
        lines.iter().filter(|line| Line::read(line).is_none()).cloned().collect()
    }

    /// The lines of the access log so far, but for the marks.
    pub fn log(&self) -> Vec<Line> {
        let mark = {
            let mut marks = self.marks.lock().expect("marks");
            *marks += 1;
            format!("{MARK}/{marks}", marks = *marks)
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[0])).expect("the program listens");
        let request =
            format!("GET {mark} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", self.ports[0]);
        stream.write_all(request.as_bytes()).expect("the program reads");
        let _ = stream.read_to_end(&mut Vec::new());
        let started = Instant::now();
        loop {
            let lines = self.lines.lock().expect("lines").clone();
            if lines.iter().any(|line| line.contains(&format!("{mark}\""))) {
                return lines
                    .iter()
                    .filter(|line| !line.contains(MARK))
                    .filter_map(|line| Line::read(line))
                    .collect();
            }
            assert!(started.elapsed() < PATIENCE, "the access log does not show {mark}: {lines:#?}");
            thread::sleep(Duration::from_millis(5));
        }
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

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Line {
    /// `time client METHOD "url" status kind bytes duration name=value …`; `None` for the greeting.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(" \"http://")?;
        let (url, rest) = rest.split_once("\" ")?;
        let mut words = rest.split(' ');
        let (status, kind) = (words.next()?.parse().ok()?, words.next()?.to_owned());
        let field = |name: &str| {
            rest.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let path = url.find('/').map_or("", |at| &url[at..]);
        let path = path.split('?').next().unwrap_or_default().to_owned();
        Some(Self { path, status, kind, reason: field("reason"), carrier: field("carrier") })
    }
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
