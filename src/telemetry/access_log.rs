//! The access log: one line a request, written by a thread of its own, so that no request waits for a disk.
//!
//! A full queue drops lines and counts them; it never holds a request up. What the fields mean stands in docs/reference/logs.md, their
//! schema beside it.

mod line;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::domain::cmcd::Cmcd;

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
    pub protocol: &'static str,
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
    /// How long it waited for the origin, where it did.
    pub origin: Option<Duration>,
    pub duration: Duration,
    pub agent: String,
    /// What the player said of itself.
    pub cmcd: Cmcd,
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
    let mut text = String::with_capacity(512);
    let mut put = |entry: &Entry, out: &mut dyn Write| {
        text.clear();
        match format {
            Format::Text => line::text(entry, &mut text),
            Format::Json => line::json(entry, &mut text),
        }
        text.push('\n');
        // A log that cannot be written (a full disk) must not end the edge.
        let _ = out.write_all(text.as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_queued_is_written_before_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let (log, writer) = AccessLog::start(&Target::File(path.clone()), Format::Json, 100).expect("a log");
        for _ in 0..50 {
            log.write(Entry::default());
        }
        writer.finish();
        assert_eq!(std::fs::read_to_string(path).expect("a file").lines().count(), 50);
        assert_eq!(log.dropped(), 0);
    }
}
