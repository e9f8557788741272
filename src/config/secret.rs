//! Where a secret comes from: the environment, a file, or (for a laptop) the configuration itself.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

/// A secret as typed: exactly one of `env`, `file`, `hex`, `text`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    env: Option<String>,
    file: Option<PathBuf>,
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
    #[error("a secret needs exactly one of env, file, hex, text; {0} are given")]
    Count(usize),
    #[error(
        "the environment variable {0} is not set; export it, for example: export {0}=$(openssl rand -hex 16)"
    )]
    Unset(String),
    #[error("the environment variable {0} is not valid UTF-8")]
    NotUnicode(String),
    #[error("cannot read the secret's file {path}: {error}")]
    File { path: String, error: std::io::Error },
    #[error("the secret from {0} is empty")]
    Empty(String),
}

impl Source {
    /// Reads the secret; relative file names are taken from `folder`, where the configuration lies.
    pub fn read(&self, folder: &Path) -> Result<Read, SecretError> {
        let given = usize::from(self.env.is_some())
            + usize::from(self.file.is_some())
            + usize::from(self.hex.is_some())
            + usize::from(self.text.is_some());
        if given != 1 {
            return Err(SecretError::Count(given));
        }
        let (text, from, inline) = if let Some(name) = &self.env {
            (environment(name)?, format!("the environment variable {name}"), false)
        } else if let Some(path) = &self.file {
            let path = folder.join(path);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| SecretError::File { path: path.display().to_string(), error })?;
            (
                Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()),
                path.display().to_string(),
                false,
            )
        } else {
            let text = self.hex.clone().or_else(|| self.text.clone()).unwrap_or_default();
            (text, "the configuration".to_owned(), true)
        };
        if text.is_empty() {
            return Err(SecretError::Empty(from));
        }
        Ok(Read { text, inline })
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

#[expect(clippy::disallowed_methods, reason = "this module is the one reader of the environment")]
fn environment(name: &str) -> Result<Zeroizing<String>, SecretError> {
    match std::env::var(name) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(std::env::VarError::NotPresent) => Err(SecretError::Unset(name.to_owned())),
        Err(std::env::VarError::NotUnicode(_)) => Err(SecretError::NotUnicode(name.to_owned())),
    }
}
