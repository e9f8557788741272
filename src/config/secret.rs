//! Where a secret comes from: the environment, a file, or (for a laptop) the configuration itself.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::units::Span;

/// How long a command may take to give its secret, where nothing is said.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest secret that is read from a command.
const COMMAND_BYTES_MAX: u64 = 64 << 10;

/// A secret as typed: exactly one of `env`, `file`, `command`, `hex`, `text`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    env: Option<String>,
    file: Option<PathBuf>,
    /// A program with its arguments that writes the secret.
    command: Option<Vec<String>>,
    /// How long it may take; 10 s where nothing is said.
    timeout: Option<Span>,
    hex: Option<Zeroizing<String>>,
    text: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source(..)")
    }
}

/// A secret that was read.
pub struct Read {
    /// Wiped when it is dropped.
    pub text: Zeroizing<String>,
    /// It stands in the configuration file itself, which is fit for a laptop only.
    pub inline: bool,
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("inline", &self.inline).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("a secret needs exactly one of env, file, command, hex, text; {0} are given")]
    Count(usize),
    #[error(
        "the environment variable {0} is not set; export it, for example: export {0}=$(openssl rand -hex 16)"
    )]
    Unset(String),
    #[error("the environment variable {0} is not valid UTF-8")]
    NotUnicode(String),
    #[error("cannot read the secret's file {path}: {error}")]
    File { path: String, error: std::io::Error },
    #[error("the command {program} for a secret {problem}")]
    Command { program: String, problem: String },
    #[error("the secret from {0} is empty")]
    Empty(String),
}

impl Source {
    /// Reads the secret; relative file names are taken from `folder`, where the configuration lies.
    pub fn read(&self, folder: &Path) -> Result<Read, SecretError> {
        let given = usize::from(self.env.is_some())
            + usize::from(self.file.is_some())
            + usize::from(self.command.is_some())
            + usize::from(self.hex.is_some())
            + usize::from(self.text.is_some());
        if given != 1 {
            return Err(SecretError::Count(given));
        }
        let (text, from, inline) = if let Some(name) = &self.env {
            (environment(name)?, format!("the environment variable {name}"), false)
        } else if let Some(path) = &self.file {
            let path = folder.join(path);
            (in_file(&path)?, path.display().to_string(), false)
        } else if let Some(words) = &self.command {
            let timeout = self.timeout.map_or(COMMAND_TIMEOUT, |timeout| timeout.0);
            let program = words.first().cloned().unwrap_or_default();
            let text = output(words, folder, timeout)
                .map_err(|problem| SecretError::Command { program: program.clone(), problem })?;
            (text, format!("the command {program}"), false)
        } else {
            let text = self.hex.clone().or_else(|| self.text.clone()).unwrap_or_default();
            (text, "the configuration".to_owned(), true)
        };
        if text.is_empty() {
            return Err(SecretError::Empty(from));
        }
        Ok(Read { text, inline })
    }

    /// Whether it stands in the configuration as hex digits, whatever else would be expected of it.
    pub fn is_hex(&self) -> bool {
        self.hex.is_some()
    }

    /// The name of the environment variable, when that is where the secret comes from.
    pub fn variable(&self) -> Option<&str> {
        self.env.as_deref()
    }
}

/// The secret in this environment variable; none where it is not set.
pub fn from_environment(name: &str) -> Result<Option<Zeroizing<String>>, SecretError> {
    match environment(name) {
        Ok(text) if text.is_empty() => Err(SecretError::Empty(format!("the environment variable {name}"))),
        Ok(text) => Ok(Some(text)),
        Err(SecretError::Unset(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The secret in this file, less the line's end.
pub fn from_file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let text = in_file(path)?;
    if text.is_empty() {
        return Err(SecretError::Empty(path.display().to_string()));
    }
    Ok(text)
}

fn in_file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| SecretError::File { path: path.display().to_string(), error })?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[expect(clippy::disallowed_methods, reason = "this module is the one reader of the environment")]
fn environment(name: &str) -> Result<Zeroizing<String>, SecretError> {
    match std::env::var(name) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(std::env::VarError::NotPresent) => Err(SecretError::Unset(name.to_owned())),
        Err(std::env::VarError::NotUnicode(_)) => Err(SecretError::NotUnicode(name.to_owned())),
    }
}

/// What a command writes to its output, less the line's end. It runs in the folder of the configuration, without input.
fn output(words: &[String], folder: &Path, timeout: Duration) -> Result<Zeroizing<String>, String> {
    let [program, arguments @ ..] = words else {
        return Err("has no words; write command = [\"program\", \"argument\"]".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    if !folder.as_os_str().is_empty() {
        command.current_dir(folder);
    }
    let mut child = command.spawn().map_err(|error| format!("cannot run: {error}"))?;
    let written = child.stdout.take().ok_or("has no output")?;
    let (sender, receiver) = mpsc::channel();
    let reading = std::thread::Builder::new().name("secret".to_owned()).spawn(move || {
        let mut text = Zeroizing::new(String::new());
        let read = written.take(COMMAND_BYTES_MAX + 1).read_to_string(&mut text);
        // Nobody waits any more for one that came too late.
        let _ = sender.send(read.map(|_| text));
    });
    reading.map_err(|error| format!("cannot be read: {error}"))?;
    let Ok(read) = receiver.recv_timeout(timeout) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("took longer than {timeout:?}; set timeout, or make it faster"));
    };
    let text = read.map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > COMMAND_BYTES_MAX {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("writes more than {COMMAND_BYTES_MAX} bytes"));
    }
    let status = child.wait().map_err(|error| format!("cannot be waited for: {error}"))?;
    if !status.success() {
        return Err(format!("failed: {status}"));
    }
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
