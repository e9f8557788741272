//! One database in `MaxMind`'s format: countries or networks by address.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arc_swap::ArcSwap;
use maxminddb::{PathElement, Reader};

use crate::domain::network::Country;

use super::file::{FileError, Watched};

/// A database in use, with the file that it came from.
#[derive(Debug)]
pub struct Database {
    name: &'static str,
    file: Watched,
    reader: ArcSwap<Reader<Vec<u8>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is no database in MaxMind's format: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
}

impl Database {
    /// `name` is what metrics and log lines call it.
    pub fn open(name: &'static str, path: &Path, bytes_max: u64) -> Result<Self, DatabaseError> {
        let file = Watched::new(path.to_owned(), bytes_max);
        let reader = ArcSwap::from_pointee(read(&file)?);
        Ok(Self { name, file, reader })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn file(&self) -> &Watched {
        &self.file
    }

    /// When it was made, since the Unix epoch.
    pub fn built(&self) -> Duration {
        Duration::from_secs(self.reader.load().metadata().build_epoch)
    }

    /// The country of an address: `country.iso_code`, as `MaxMind` and DB-IP have it, or `country_code`.
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        const NESTED: [PathElement<'_>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];
        const FLAT: [PathElement<'_>; 1] = [PathElement::Key("country_code")];
        let reader = self.reader.load();
        let found = reader.lookup(address).ok()?;
        let text = |path: &[PathElement<'_>]| found.decode_path::<&str>(path).ok().flatten();
        Country::parse(text(&NESTED).or_else(|| text(&FLAT))?)
    }

    /// The autonomous system of an address: `autonomous_system_number`, or `asn` as in `AS64500`.
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        const NUMBER: [PathElement<'_>; 1] = [PathElement::Key("autonomous_system_number")];
        const TEXT: [PathElement<'_>; 1] = [PathElement::Key("asn")];
        let reader = self.reader.load();
        let found = reader.lookup(address).ok()?;
        let number = found.decode_path::<u32>(&NUMBER).ok().flatten();
        number.or_else(|| found.decode_path::<&str>(&TEXT).ok()??.strip_prefix("AS")?.parse().ok())
    }

    /// Reads the file again when it has changed. What is in use stays in use when the new file is no good.
    pub fn refresh(&self) {
        if !self.file.has_changed() {
            return;
        }
        match read(&self.file) {
            Ok(reader) => {
                self.reader.store(reader.into());
                self.file.reloaded();
                tracing::info!(database = self.name, "read again");
            }
            Err(error) => {
                self.file.failed();
                tracing::error!(database = self.name, "the one in use stays in use: {error}");
            }
        }
    }
}

fn read(file: &Watched) -> Result<Reader<Vec<u8>>, DatabaseError> {
    let malformed = |reason: String| DatabaseError::Malformed { path: file.path().to_owned(), reason };
    let reader = Reader::from_source(file.read()?).map_err(|error| malformed(error.to_string()))?;
    // A file that was cut short still opens: every record is looked at once.
    reader.verify().map_err(|error| malformed(error.to_string()))?;
    Ok(reader)
}
