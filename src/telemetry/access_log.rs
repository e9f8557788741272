//! The access log: one line a request, written by a thread of its own, so that no request waits for a disk.
//!
//! A full queue drops lines and counts them; it never holds a request up. Fields, in both formats: `time` (RFC 3339,
//! UTC), `request`, `client`, `property`, `method`, `scheme`, `host`, `path` (token removed), `query` (redacted),
//! `status`, `kind`, `reason` (of a refusal), `token_result` (`valid`, or why
//! not), `rule` (that decided, or the last that held), `session` (the session id), `carrier`, `cache`, `bytes` (of the body),
//! `complete` (whether the body was sent whole), `first_byte_ms`, `duration_ms`, `agent`.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::redact::quoted;

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Off,
    Stdout,
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

const BUFFER_BYTES: usize = 64 << 10;

/// One request, as it is written down.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub time: Duration,
    pub request: u64,
    pub client: String,
    pub property: Arc<str>,
    pub method: String,
    pub scheme: &'static str,
    pub host: String,
    pub path: String,
    pub query: String,
    pub status: u16,
    pub kind: &'static str,
    pub reason: Option<&'static str>,
    pub token_result: Option<&'static str>,
    pub rule: Option<Arc<str>>,
    pub session: Option<String>,
    pub carrier: Option<&'static str>,
    pub cache: &'static str,
    pub bytes: u64,
    pub complete: bool,
    pub first_byte: Duration,
    pub duration: Duration,
    pub agent: String,
}

enum Message {
    Entry(Box<Entry>),
    Reopen,
    Stop,
}

/// The near end of the log: cheap to clone, never blocks.
#[derive(Clone, Debug)]
pub struct AccessLog {
    queue: Option<SyncSender<Message>>,
    dropped: Arc<AtomicU64>,
}

/// The far end: ends the writer's thread when all is written.
#[derive(Debug)]
pub struct Writer {
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// A log that is not written.
    pub fn off() -> Self {
        Self { queue: None, dropped: Arc::default() }
    }

    /// Starts the writer. `queue_max` lines may wait for it.
    pub fn start(target: &Target, format: Format, queue_max: usize) -> io::Result<(Self, Writer)> {
        if *target == Target::Off {
            return Ok((Self::off(), Writer { queue: None, thread: None }));
        }
        let (out, target) = (open(target)?, target.clone());
        let (queue, entries) = sync_channel(queue_max.max(1));
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&entries, out, &target, format))?;
        let log = Self { queue: Some(queue.clone()), dropped: Arc::default() };
        Ok((log, Writer { queue: Some(queue), thread: Some(thread) }))
    }

    pub fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    pub fn write(&self, entry: Entry) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_)) = queue.try_send(Message::Entry(Box::new(entry))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew, after it was renamed (as log rotation does). Where that fails the old one is written on.
    pub fn reopen(&self) {
        if let Some(queue) = &self.queue {
            // A queue that is full is written soon; the next reload reopens.
            let _ = queue.try_send(Message::Reopen);
        }
    }

    /// Lines that were not written since the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Writes what waits, then ends the thread.
    pub fn finish(mut self) {
        if let Some(queue) = self.queue.take() {
            // The writer drains what was queued before this message.
            let _ = queue.send(Message::Stop);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(target: &Target) -> io::Result<Box<dyn Write + Send>> {
    Ok(match target {
        Target::Off => Box::new(io::sink()),
        Target::Stdout => Box::new(io::stdout()),
        Target::File(path) => Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?),
    })
}

fn write_all(entries: &Receiver<Message>, out: Box<dyn Write + Send>, target: &Target, format: Format) {
    let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, out);
    let mut line = String::with_capacity(512);
    let mut put = |entry: &Entry, out: &mut dyn Write| {
        line.clear();
        match format {
            Format::Text => text(entry, &mut line),
            Format::Json => json(entry, &mut line),
        }
        line.push('\n');
        // A log that cannot be written (a full disk) must not end the edge.
        let _ = out.write_all(line.as_bytes());
    };
    while let Ok(first) = entries.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Entry(entry) => put(&entry, &mut out),
                Message::Reopen => {
                    let _ = out.flush();
                    match open(target) {
                        Ok(anew) => out = io::BufWriter::with_capacity(BUFFER_BYTES, anew),
                        Err(error) => tracing::warn!("the access log cannot be opened anew: {error}"),
                    }
                }
                Message::Stop => {
                    let _ = out.flush();
                    return;
                }
            }
            next = entries.try_recv().ok();
        }
        let _ = out.flush();
    }
}

/// `2026-11-22T04:50:00.123Z 203.0.113.7 GET https://host/path?query 200 …` with `name=value` fields after it.
fn text(entry: &Entry, line: &mut String) {
    timestamp(entry.time, line);
    let _ = write!(line, " {} {} \"{}://", entry.client, entry.method, entry.scheme);
    quoted(&entry.host, line);
    quoted(&entry.path, line);
    if !entry.query.is_empty() {
        line.push('?');
        quoted(&entry.query, line);
    }
    let _ = write!(
        line,
        "\" {} {} {}B {:.1}ms",
        entry.status,
        entry.kind,
        entry.bytes,
        milliseconds(entry.duration)
    );
    let _ = write!(line, " property={}", entry.property);
    if !entry.cache.is_empty() {
        let _ = write!(line, " cache={}", entry.cache);
    }
    if let Some(reason) = entry.reason {
        let _ = write!(line, " reason={reason}");
    }
    if let Some(result) = entry.token_result {
        let _ = write!(line, " token_result={result}");
    }
    if let Some(rule) = &entry.rule {
        line.push_str(" rule=\"");
        quoted(rule, line);
        line.push('"');
    }
    if let Some(carrier) = entry.carrier {
        let _ = write!(line, " carrier={carrier}");
    }
    if let Some(session) = &entry.session {
        line.push_str(" session=\"");
        quoted(session, line);
        line.push('"');
    }
    if !entry.complete {
        line.push_str(" incomplete");
    }
    let _ = write!(line, " request={:016x}", entry.request);
}

fn json(entry: &Entry, line: &mut String) {
    line.push_str("{\"time\":\"");
    timestamp(entry.time, line);
    let _ = write!(line, "\",\"request\":\"{:016x}\"", entry.request);
    let mut field = |name: &str, value: &str| {
        let _ = write!(line, ",\"{name}\":\"");
        quoted(value, line);
        line.push('"');
    };
    field("client", &entry.client);
    field("property", &entry.property);
    field("method", &entry.method);
    field("scheme", entry.scheme);
    field("host", &entry.host);
    field("path", &entry.path);
    field("query", &entry.query);
    field("kind", entry.kind);
    field("cache", entry.cache);
    if let Some(reason) = entry.reason {
        field("reason", reason);
    }
    if let Some(result) = entry.token_result {
        field("token_result", result);
    }
    if let Some(rule) = &entry.rule {
        field("rule", rule);
    }
    if let Some(session) = &entry.session {
        field("session", session);
    }
    if let Some(carrier) = entry.carrier {
        field("carrier", carrier);
    }
    field("agent", &entry.agent);
    let _ = write!(
        line,
        ",\"status\":{},\"bytes\":{},\"complete\":{},\"first_byte_ms\":{:.3},\"duration_ms\":{:.3}}}",
        entry.status,
        entry.bytes,
        entry.complete,
        milliseconds(entry.first_byte),
        milliseconds(entry.duration)
    );
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(unix: Duration, line: &mut String) {
    let time = SystemTime::UNIX_EPOCH.checked_add(unix).unwrap_or(SystemTime::UNIX_EPOCH);
    let _ = write!(line, "{}", humantime::format_rfc3339_millis(time));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            time: Duration::from_millis(1_700_000_000_123),
            property: "demo".into(),
            method: "GET".to_owned(),
            scheme: "https",
            host: "edge.example".to_owned(),
            path: "/a\"\n.ts".to_owned(),
            session: Some("sid\r\n1".to_owned()),
            status: 403,
            reason: Some("expired"),
            complete: true,
            ..Entry::default()
        }
    }

    #[test]
    fn a_json_line_is_json_whatever_the_client_sent() {
        let mut line = String::new();
        json(&entry(), &mut line);
        let value: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
        assert_eq!(value["path"], "/a\"\n.ts");
        assert_eq!(value["session"], "sid\r\n1");
        assert_eq!(value["time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(value["status"], 403);
        assert_eq!(value["reason"], "expired");
    }

    #[test]
    fn a_text_line_is_one_line_whatever_the_client_sent() {
        let mut line = String::new();
        text(&entry(), &mut line);
        assert!(!line.contains(['\n', '\r']), "{line}");
        assert!(line.contains("reason=expired"), "{line}");
    }

    #[test]
    fn what_was_queued_is_written_before_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let (log, writer) = AccessLog::start(&Target::File(path.clone()), Format::Json, 100).expect("a log");
        for _ in 0..50 {
            log.write(entry());
        }
        writer.finish();
        assert_eq!(std::fs::read_to_string(path).expect("a file").lines().count(), 50);
        assert_eq!(log.dropped(), 0);
    }
}
