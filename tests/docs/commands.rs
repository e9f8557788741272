//! Runs what the pages tell to type, each page in one shell and a folder of its own, on ports that nobody uses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use tempfile::TempDir;

use crate::page::Page;

/// For one page, and how often its end is looked for.
const DEADLINE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(10);
/// Where the commands look for an edge that is not named.
const ADMIN_PORT: &str = "9090";
/// Programs of others that pages use: a page is not run where one of its programs is knowingly absent.
const PROGRAMS: [&str; 8] =
    ["curl", "openssl", "nginx", "ffmpeg", "ffprobe", "redis-server", "haproxy", "python3"];
const PRELUDE: &str = r#"set -eu
until_listening() {
  for port; do
    tries=0
    until curl --silent --output /dev/null --max-time 2 "http://127.0.0.1:$port/" || [ $? -ne 7 ]; do
      tries=$((tries + 1))
      [ $tries -lt 300 ] || { echo "nothing listens on port $port" >&2; exit 1; }
      sleep 0.05
    done
  done
}
"#;

/// What came of a page's commands.
#[derive(Debug)]
pub struct Run {
    folder: TempDir,
    pub output: String,
    /// The commands whose output stands in the page, and that output.
    expected: Vec<(String, String)>,
    /// The ports that the page names, and those in their place.
    ports: BTreeMap<String, u16>,
}

impl Run {
    /// `None` where a program is knowingly absent, or nothing is to be run. The fault is what the shell said before a command failed.
    pub fn of(page: &Page) -> Result<Option<Self>, String> {
        let is_shell = |language: &str| language == "sh" || language == "console";
        let runs = page.blocks.iter().any(|block| is_shell(&block.language) && block.is_run());
        if !runs || !has_programs(page) {
            return Ok(None);
        }
        let (script, expected) = script(page);
        let folder = tempfile::tempdir().expect("a folder");
        let program = Path::new(env!("CARGO_BIN_EXE_sluicegate")).parent().expect("a folder");
        let script = format!("{PRELUDE}PATH='{}':/usr/sbin:\"$PATH\"\n{script}", program.display());
        // The ports are chosen before they are bound, so another process can be faster.
        for attempt in 0.. {
            let (script, ports) = on_free_ports(&script);
            let (is_success, output) = run(&script, folder.path());
            if is_success {
                return Ok(Some(Self { folder, output, expected, ports }));
            }
            if attempt == 2 || !output.contains("in use") {
                return Err(format!("{}:\n{script}\n--- said\n{output}", page.name));
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Each command of a console block that printed something else than the page shows.
    fn differences(&self, page: &Page) -> Vec<String> {
        let mut found = Vec::new();
        for (number, (command, expected)) in self.expected.iter().enumerate() {
            let printed = fs::read_to_string(self.folder.path().join(format!(".printed.{number}")));
            let printed = printed.expect("what it printed");
            // A line of its own that stands for anything stands for no line, too.
            let pattern = regex::escape(expected.trim_end()).replace("\n…", "…").replace('…', "(?s:.*)");
            let pattern = Regex::new(&format!("^{pattern}$")).expect("a pattern");
            let mut printed = printed.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
            for (named, port) in &self.ports {
                printed = printed.replace(&format!(":{port}"), &format!(":{named}"));
            }
            if !pattern.is_match(printed.trim_end()) {
                found.push(format!("{}: `{command}` prints\n{printed}\nand not\n{expected}", page.name));
            }
        }
        found
    }
}

fn has_programs(page: &Page) -> bool {
    let absent = skipped();
    let text: String =
        page.blocks.iter().filter(|block| block.is_run()).map(|block| block.text.as_str()).collect();
    let words: Vec<&str> =
        text.split(|letter: char| letter.is_whitespace() || "$(|;\"".contains(letter)).collect();
    for program in PROGRAMS.into_iter().filter(|program| words.contains(program)) {
        if absent.split(',').any(|name| name.trim() == program) {
            println!("not run: {}, since {program} is named as absent", page.name);
            return false;
        }
    }
    true
}

#[expect(clippy::disallowed_methods, reason = "the runner of the tests says here what it could not install")]
fn skipped() -> String {
    ["SLUICEGATE_SKIP_PROGRAMS", "SLUICEGATE_SKIP_PLAYERS"]
        .map(|name| std::env::var(name).unwrap_or_default())
        .join(",")
}

/// The page as one script, and what its console blocks say is printed.
fn script(page: &Page) -> (String, Vec<(String, String)>) {
    let (mut script, mut expected) = (String::new(), Vec::new());
    let mut written: BTreeMap<&str, &str> = BTreeMap::new();
    for block in page.blocks.iter().filter(|block| block.is_run()) {
        if let Some(file) = block.file() {
            written.insert(file, &block.text);
            if let Some((folder, _)) = file.rsplit_once('/') {
                let _ = writeln!(script, "mkdir -p '{folder}'");
            }
            let _ = writeln!(script, "cat > '{file}' <<'END OF THE BLOCK'\n{}END OF THE BLOCK", block.text);
        } else if block.language == "sh" {
            for line in block.text.lines() {
                script.push_str(line);
                script.push('\n');
                wait_where_it_listens(&mut script, line, &written);
            }
        } else if block.language == "console" {
            for (command, printed) in commands(&block.text) {
                let _ = writeln!(script, "{{ {command}\n}} > .printed.{} 2>&1 || true", expected.len());
                let _ = writeln!(script, "cat .printed.{}", expected.len());
                expected.push((command, printed));
            }
        }
    }
    (script, expected)
}

/// After a command in the background: it listens where its `--port` says, or the file that it names.
fn wait_where_it_listens(script: &mut String, line: &str, written: &BTreeMap<&str, &str>) {
    let line = line.split(" #").next().unwrap_or_default().trim_end();
    if !line.ends_with('&') || line.ends_with("&&") {
        return;
    }
    let named = Regex::new(r"--port (\d+)").expect("a pattern");
    if let Some(found) = named.captures(line) {
        let _ = writeln!(script, "until_listening 127.0.0.1:{}", &found[1]);
    }
    let port =
        Regex::new(r"(?m)^\s*(?:server \{ )?(?:listen|https?|listen_on)\b[^\n]*?:(\d+)").expect("a pattern");
    for (_, text) in written.iter().filter(|(file, _)| line.contains(**file)) {
        for found in port.captures_iter(text) {
            let _ = writeln!(script, "until_listening 127.0.0.1:{}", &found[1]);
        }
    }
}

/// The commands of a console block, each with what follows it.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push((command.to_owned(), String::new()));
            goes_on = command.ends_with('\\');
        } else if let Some((command, printed)) = found.last_mut() {
            let (part, ending) = if goes_on { (command, "") } else { (printed, "\n") };
            if goes_on {
                part.push('\n');
            }
            part.push_str(line);
            part.push_str(ending);
            goes_on = goes_on && line.ends_with('\\');
        }
    }
    found
}

/// The script with each port of this machine that it names replaced by a free one, all places of a port by the same.
fn on_free_ports(script: &str) -> (String, BTreeMap<String, u16>) {
    let place = Regex::new(r"(127\.0\.0\.1:|localhost:|0\.0\.0\.0:|\[::1?\]:|--port )(\d{2,5})\b")
        .expect("a pattern");
    let mut held = Vec::new();
    let mut ports: BTreeMap<String, u16> = BTreeMap::new();
    let named = place.captures_iter(script).map(|found| found[2].to_owned());
    for port in named.chain([ADMIN_PORT.to_owned()]) {
        ports.entry(port).or_insert_with(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = listener.local_addr().expect("bound").port();
            held.push(listener);
            port
        });
    }
    let script =
        place.replace_all(script, |found: &regex::Captures<'_>| format!("{}{}", &found[1], ports[&found[2]]));
    let script = script.replace("until_listening 127.0.0.1:", "until_listening ");
    let admin = ports[ADMIN_PORT];
    (format!("export SLUICEGATE_ADMIN=http://127.0.0.1:{admin}\n{script}"), ports)
}

/// Whether it ended well, and all that it said; whatever it left running is ended.
fn run(script: &str, folder: &Path) -> (bool, String) {
    let said = folder.join(".said");
    let out = fs::File::create(&said).expect("a file");
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(folder).process_group(0).stdin(Stdio::null());
    shell.stderr(out.try_clone().expect("the same file")).stdout(out);
    for name in ["SLUICEGATE_KEY", "SLUICEGATE_TRANSITION_KEY", "SLUICEGATE_ADMIN_TOKEN", "SLUICEGATE_CONFIG"]
    {
        shell.env_remove(name);
    }
    let mut child = shell.spawn().expect("a shell");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break Some(status);
        }
        if began.elapsed() > DEADLINE {
            break None;
        }
        std::thread::sleep(POLL);
    };
    // The group has the id of its first process.
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", child.id())])
        .stderr(Stdio::null())
        .status();
    let _ = child.wait();
    let output = String::from_utf8_lossy(&fs::read(&said).expect("what it said")).into_owned();
    (status.is_some_and(|status| status.success()), output)
}

#[test]
fn what_the_pages_tell_to_type_works_and_prints_what_they_say() {
    let (mut compared, mut faults) = (0, Vec::new());
    for page in Page::all().iter().filter(|page| page.name != "README.md") {
        match Run::of(page) {
            Ok(Some(run)) => {
                compared += run.expected.len();
                faults.extend(run.differences(page));
            }
            Ok(None) => {}
            Err(fault) => faults.push(fault),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    println!("{compared} outputs are as the pages say");
}

/// The README, or another page whose output is looked at as a whole.
fn said_by(name: &str) -> Option<String> {
    let run = Run::of(&Page::read(name)).unwrap_or_else(|fault| panic!("{fault}"));
    run.map(|run| run.output)
}

/// Typed as it stands there, in front of a real nginx, with a stream that ffmpeg made and ffprobe plays.
#[test]
fn the_readme_leads_a_newcomer_to_a_protected_stream() {
    let Some(said) = said_by("README.md") else { return };
    assert!(said.contains("edge.toml is good."), "{said}");
    assert!(said.contains("HTTP/1.1 403 Forbidden"), "{said}");
    assert!(said.contains("#EXT-X-STREAM-INF:") && said.contains("hdntl=exp="), "{said}");
    assert!(said.contains("Video: h264") && said.contains("Audio: aac"), "{said}");
}

#[test]
fn the_page_on_dialects_says_what_works() {
    let Some(said) = said_by("docs/dialects.md") else { return };
    assert!(said.matches("valid access token, until").count() >= 12, "{said}");
}
