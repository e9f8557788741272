//! A list of addresses and networks: what the configuration names, and what stands in files.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::network::{ListError, Networks};

use super::file::{FileError, Watched};

/// A list in use.
#[derive(Debug)]
pub struct AddressList {
    inline: Networks,
    files: Vec<Watched>,
    networks: ArcSwap<Networks>,
}

#[derive(Debug, thiserror::Error)]
pub enum AddressListError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is no text", .0.display())]
    NoText(PathBuf),
    #[error("{}, {source}", path.display())]
    Malformed { path: PathBuf, source: ListError },
}

impl AddressList {
    pub fn open(inline: Networks, files: Vec<PathBuf>, bytes_max: u64) -> Result<Self, AddressListError> {
        let files: Vec<Watched> = files.into_iter().map(|path| Watched::new(path, bytes_max)).collect();
        let networks = ArcSwap::from_pointee(read(&inline, &files)?);
        Ok(Self { inline, files, networks })
    }

    /// The list as it is at this moment.
    pub fn networks(&self) -> Arc<Networks> {
        self.networks.load_full()
    }

    pub fn files(&self) -> &[Watched] {
        &self.files
    }

    pub fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Reads its files again when one has changed. The list in use stays in use when a new file is no good.
    pub fn refresh(&self) {
        let changed: Vec<&Watched> = self.files.iter().filter(|file| file.has_changed()).collect();
        if changed.is_empty() {
            return;
        }
        match read(&self.inline, &self.files) {
            Ok(networks) => {
                tracing::info!(ranges = networks.ranges(), "a list of addresses was read again");
                self.networks.store(networks.into());
                for file in changed {
                    file.reloaded();
                }
            }
            Err(error) => {
                for file in changed {
                    file.failed();
                }
                tracing::error!("the list of addresses in use stays in use: {error}");
            }
        }
    }
}

fn read(inline: &Networks, files: &[Watched]) -> Result<Networks, AddressListError> {
    let mut networks = inline.clone();
    for file in files {
        let path = || file.path().to_owned();
        let text = String::from_utf8(file.read()?).map_err(|_| AddressListError::NoText(path()))?;
        let listed = Networks::from_list(&text)
            .map_err(|source| AddressListError::Malformed { path: path(), source })?;
        networks = networks.union(&listed);
    }
    Ok(networks)
}
