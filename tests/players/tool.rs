//! The tools that the tests run: whether they are here, and running them with a deadline.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// The variable that names the tools that are knowingly absent, separated by commas.
const SKIP: &str = "SLUICEGATE_SKIP_PLAYERS";
/// How often the end of a process is looked for.
const POLL: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
pub enum Tool {
    Curl,
    Ffmpeg,
    /// Chromium, driven by node with the packages of `package.json`.
    Chromium,
    Gstreamer,
    /// Not a player: the judge of secure links.
    Nginx,
}

impl Tool {
    /// The name in `SLUICEGATE_SKIP_PLAYERS`.
    fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Ffmpeg => "ffmpeg",
            Self::Chromium => "chromium",
            Self::Gstreamer => "gstreamer",
            Self::Nginx => "nginx",
        }
    }

    /// Whether the test is to run. A tool that is missing without having been named as missing fails the test.
    pub fn is_wanted(self) -> bool {
        if skipped().split(',').any(|name| name.trim() == self.name()) {
            println!("not run: {SKIP} names {}", self.name());
            return false;
        }
        let missing = match self {
            Self::Curl => absent(&["curl"]),
            Self::Ffmpeg => absent(&["ffmpeg", "ffprobe"]),
            Self::Gstreamer => absent(&["gst-launch-1.0"]),
            Self::Nginx => absent(&["/usr/sbin/nginx"]),
            Self::Chromium => absent(&["node", "/usr/bin/chromium"]).or_else(|| {
                (!folder().join("node_modules").is_dir()).then(|| "node_modules (run npm ci)".to_owned())
            }),
        };
        assert!(
            missing.is_none(),
            "{} is not installed; {SKIP}={} skips this test",
            missing.unwrap_or_default(),
            self.name()
        );
        true
    }
}

/// Where the scripts, pages and packages of these tests are.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/players"))
}

#[expect(clippy::disallowed_methods, reason = "the runner of the tests says here what it could not install")]
fn skipped() -> String {
    std::env::var(SKIP).unwrap_or_default()
}

/// The first of these programs that is not found.
fn absent(programs: &[&str]) -> Option<String> {
    let is_here = |program: &str| {
        let found =
            Command::new("sh").args(["-c", "command -v \"$0\"", program]).stdout(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    programs.iter().find(|program| !is_here(program)).map(|program| (*program).to_owned())
}

/// What a process did.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Outcome {
    pub fn is_success(&self) -> bool {
        self.status.success()
    }
}

/// Runs a process to its end, with all that it starts. One that is still running at the deadline is killed, and the test fails.
pub fn run(command: &mut Command, deadline: Duration) -> Outcome {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status;
        }
        if started.elapsed() > deadline {
            // The group has the id of its first process.
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
            break child.wait().expect("a child of ours");
        }
        thread::sleep(POLL);
    };
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().expect("a reader that does not panic")).into_owned()
    };
    let outcome = Outcome { status, stdout: text(stdout), stderr: text(stderr), took: started.elapsed() };
    assert!(
        !(outcome.took > deadline && outcome.status.signal().is_some()),
        "still running after {deadline:?}: {command:?}\n{outcome:#?}"
    );
    outcome
}

/// Runs a process that does not end by itself until enough lines of its output satisfy the condition, then ends it. Returns whether
/// that came to be before the deadline.
pub fn run_until(
    command: &mut Command,
    deadline: Duration,
    lines: usize,
    is_counted: impl Fn(&str) -> bool,
) -> bool {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let (sender, receiver) = channel();
    thread::spawn(move || {
        // Ends with the process, or when nobody listens any more.
        out.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
    });
    let mut counted = 0;
    while counted < lines {
        let left = deadline.saturating_sub(started.elapsed());
        let Ok(line) = receiver.recv_timeout(left) else { break };
        counted += usize::from(is_counted(&line));
    }
    let _ = child.kill();
    let _ = child.wait();
    counted >= lines
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is to show.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}
