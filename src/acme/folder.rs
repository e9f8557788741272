//! What is kept on disk: an account for each authority, and for each name its key and certificates in one file. All of it
//! for the owner's eyes, and each file replaced whole: a crash leaves the old or the new one.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use instant_acme::AccountCredentials;
use sha2::{Digest, Sha256};

use crate::server::tls::{Certificate, load_certificate};

use super::client::AcmeError;
use super::settings::Settings;

#[derive(Debug)]
pub(super) struct Folder<'a>(&'a Settings);

impl<'a> Folder<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self(settings)
    }

    /// The certificate that is kept for a name; one that cannot be used is as none, with a warning.
    pub(super) fn certificate(&self, name: &str, now: Duration) -> Option<Certificate> {
        let path = self.path_of(name);
        if !path.exists() {
            return None;
        }
        judged(&path, name, now)
            .inspect_err(|error| tracing::warn!(name, "the kept certificate is not used: {error}"))
            .ok()
    }

    /// Keeps a key with its chain, once it was judged.
    pub(super) fn keep(&self, name: &str, pem: &str, now: Duration) -> Result<Certificate, AcmeError> {
        let path = self.path_of(name);
        let beside = path.with_extension("new");
        self.write(&beside, pem.as_bytes())?;
        let certificate = judged(&beside, name, now)?;
        fs::rename(&beside, &path).map_err(|error| AcmeError::disk(&path, error))?;
        Ok(certificate)
    }

    /// The account that is kept for the authority.
    pub(super) fn account(&self) -> Result<Option<AccountCredentials>, AcmeError> {
        let path = self.account_path();
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| AcmeError::disk(&path, error))?,
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| AcmeError::disk(&path, error.into()))
    }

    pub(super) fn keep_account(&self, account: &AccountCredentials) -> Result<(), AcmeError> {
        let path = self.account_path();
        let beside = path.with_extension("new");
        let text = serde_json::to_vec(account).map_err(|error| AcmeError::disk(&path, error.into()))?;
        self.write(&beside, &text)?;
        fs::rename(&beside, &path).map_err(|error| AcmeError::disk(&path, error))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
        let written = (|| {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.0.folder)?;
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(bytes)?;
            file.sync_all()
        })();
        written.map_err(|error| AcmeError::disk(path, error))
    }

    /// Accounts are told apart by their authority's address, since one means nothing to another.
    fn account_path(&self) -> PathBuf {
        use std::fmt::Write as _;
        let digest = Sha256::digest(self.0.directory.as_bytes());
        let mark = digest.iter().take(6).fold(String::new(), |mut mark, byte| {
            let _ = write!(mark, "{byte:02x}");
            mark
        });
        self.0.folder.join(format!("account-{mark}.json"))
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.0.folder.join(format!("{name}.pem"))
    }
}

/// A certificate that is for this name, and good at `now`.
fn judged(path: &Path, name: &str, now: Duration) -> Result<Certificate, AcmeError> {
    let certificate = load_certificate(path, path, now)?;
    if !certificate.names().iter().any(|of| of == name) {
        return Err(AcmeError::OtherName);
    }
    Ok(certificate)
}
