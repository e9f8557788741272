//! What survives a restart, in files: revocations with their lists, used one-time tokens, viewings.
//!
//! A file is lines of `CRC32 JSON`, under a first line that says what it is, with the count of the lines at the end. It is written
//! beside its place, synchronised, and moved there, so that a crash leaves the old one or the new one. Of a damaged file the lines
//! that are whole are taken; the file is set aside as `NAME.damaged`, and who starts the edge decides whether that is enough.
//! The used tokens are appended line by line, and written anew at a start.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const HEAD: &str = "sluicegate fleet 1";

#[derive(Debug)]
pub(super) struct Keep {
    folder: PathBuf,
    tokens: Mutex<Option<File>>,
}

/// One line of the file of revocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    Fleet(Place),
    List { id: u32, name: String },
    Revoked { list: u32, kind: String, identifier: String, ends: u64, version: u64 },
}

/// How far the fleet was followed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) version: u64,
    pub(super) epoch: String,
    pub(super) purge: u64,
    pub(super) purge_nonce: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UsedLine {
    pub(super) token: String,
    pub(super) address: std::net::IpAddr,
    pub(super) first_ms: u64,
    pub(super) ends: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ViewingLine {
    pub(super) property: String,
    pub(super) value: String,
    pub(super) viewing: String,
    pub(super) address: std::net::IpAddr,
    pub(super) seen_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct End {
    lines: usize,
}

/// What a file held.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) lines: Vec<T>,
    /// Some of it could not be read, or its end is missing.
    pub(super) is_damaged: bool,
}

impl Keep {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // Found out at the start, and not at the first revocation.
        let probe = folder.join(".writable");
        File::create(&probe)?;
        fs::remove_file(&probe)?;
        Ok(Self { folder: folder.to_owned(), tokens: Mutex::new(None) })
    }

    pub(super) fn revocations(&self) -> io::Result<Read<Line>> {
        self.read("revocations", true)
    }

    pub(super) fn save_revocations(&self, lines: &[Line]) -> io::Result<()> {
        self.write("revocations", lines)
    }

    pub(super) fn viewings(&self) -> io::Result<Read<ViewingLine>> {
        self.read("viewings", true)
    }

    pub(super) fn save_viewings(&self, lines: &[ViewingLine]) -> io::Result<()> {
        self.write("viewings", lines)
    }

    /// The used tokens, of which those that `is_wanted` are written anew, to go on from there.
    pub(super) fn tokens(&self, is_wanted: impl Fn(&UsedLine) -> bool) -> io::Result<Read<UsedLine>> {
        let mut read: Read<UsedLine> = self.read("tokens", false)?;
        read.lines.retain(is_wanted);
        self.write_all("tokens", &read.lines, false)?;
        let log = OpenOptions::new().append(true).open(self.folder.join("tokens"))?;
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = Some(log);
        Ok(read)
    }

    /// Notes a used token. It is with the operating system when this returns: it survives the end of the process, though not
    /// of the machine.
    pub(super) fn append_token(&self, line: &UsedLine) -> io::Result<()> {
        let mut text = String::new();
        push_line(&mut text, line);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = tokens.as_mut() else { return Ok(()) };
        log.write_all(text.as_bytes())
    }

    fn read<T: DeserializeOwned>(&self, name: &str, has_end: bool) -> io::Result<Read<T>> {
        let path = self.folder.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Read { lines: Vec::new(), is_damaged: false });
            }
            Err(error) => return Err(error),
        };
        let read = parsed(&bytes, has_end);
        if read.is_damaged {
            fs::copy(&path, self.folder.join(format!("{name}.damaged")))?;
        }
        Ok(read)
    }

    fn write<T: Serialize>(&self, name: &str, lines: &[T]) -> io::Result<()> {
        self.write_all(name, lines, true)
    }

    fn write_all<T: Serialize>(&self, name: &str, lines: &[T], has_end: bool) -> io::Result<()> {
        let mut text = format!("{HEAD}\n");
        for line in lines {
            push_line(&mut text, line);
        }
        if has_end {
            push_line(&mut text, &End { lines: lines.len() });
        }
        let beside = self.folder.join(format!("{name}.new"));
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, self.folder.join(name))?;
        File::open(&self.folder)?.sync_all()
    }
}

fn push_line<T: Serialize>(text: &mut String, line: &T) {
    let json = serde_json::to_string(line).expect("a line has no map with keys that are no text");
    let _ = writeln!(text, "{:08x} {json}", crc32fast::hash(json.as_bytes()));
}

fn parsed<T: DeserializeOwned>(bytes: &[u8], has_end: bool) -> Read<T> {
    let mut lines = Vec::new();
    let mut is_damaged = false;
    let mut ended = None;
    let mut rows = bytes.split(|byte| *byte == b'\n');
    if rows.next() != Some(HEAD.as_bytes()) {
        is_damaged = true;
    }
    for row in rows.filter(|row| !row.is_empty()) {
        let Some(json) = checked(row) else {
            is_damaged = true;
            continue;
        };
        if let Ok(line) = serde_json::from_slice(json) {
            lines.push(line);
        } else if let Ok(End { lines }) = serde_json::from_slice(json) {
            ended = Some(lines);
        } else {
            is_damaged = true;
        }
    }
    if has_end && ended != Some(lines.len()) {
        is_damaged = true;
    }
    Read { lines, is_damaged }
}

fn checked(row: &[u8]) -> Option<&[u8]> {
    let (digits, rest) = row.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let stated = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (crc32fast::hash(json) == stated).then_some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Line {
        let (kind, identifier) = ("session".to_owned(), format!("s{number}"));
        Line::Revoked { list: 0, kind, identifier, ends: number, version: number }
    }

    #[test]
    fn what_was_saved_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::open(folder.path()).unwrap();
        assert!(!keep.revocations().unwrap().is_damaged, "there is none yet");
        let lines = vec![Line::List { id: 1, name: "a".into() }, line(1), Line::Fleet(Place::default())];
        keep.save_revocations(&lines).unwrap();
        let read = keep.revocations().unwrap();
        assert_eq!((read.lines, read.is_damaged), (lines, false));
    }

    #[test]
    fn of_a_damaged_file_the_whole_lines_are_taken_and_it_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::open(folder.path()).unwrap();
        let path = folder.path().join("revocations");
        keep.save_revocations(&[line(1), line(2), line(3)]).unwrap();
        let whole = fs::read(&path).unwrap();
        let middle = whole.iter().position(|byte| *byte == b'2').unwrap();
        for damage in [
            [&whole[..middle], b"\xff", &whole[middle + 1..]].concat(),
            whole[..whole.len() - 10].to_vec(),
            whole[HEAD.len() + 1..].to_vec(),
        ] {
            fs::write(&path, &damage).unwrap();
            let read = keep.revocations().unwrap();
            assert!(read.is_damaged);
            assert!(read.lines.len() >= 2 && read.lines.contains(&line(3)), "{:?}", read.lines);
            assert_eq!(fs::read(folder.path().join("revocations.damaged")).unwrap(), damage);
        }
        fs::write(&path, b"").unwrap();
        assert!(keep.revocations().unwrap().is_damaged, "an emptied file is a damaged one");
    }

    #[test]
    fn used_tokens_are_appended_and_those_that_ended_are_left_out_at_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let used = |token: &str, ends| UsedLine {
            token: token.into(),
            address: [10, 0, 0, 1].into(),
            first_ms: 1,
            ends,
        };
        let keep = Keep::open(folder.path()).unwrap();
        assert!(keep.tokens(|_| true).unwrap().lines.is_empty());
        keep.append_token(&used("a", 5)).unwrap();
        keep.append_token(&used("b", 9)).unwrap();
        let again = Keep::open(folder.path()).unwrap();
        let read = again.tokens(|line| line.ends > 5).unwrap();
        assert_eq!((read.lines, read.is_damaged), (vec![used("b", 9)], false));
        again.append_token(&used("c", 9)).unwrap();
        assert_eq!(keep.tokens(|_| true).unwrap().lines.len(), 2);
    }
}
