//! Where viewers are: country and network databases, and lists of addresses, re-read when their files change.
//!
//! Files are read whole into memory and never mapped, since a mapped file that is cut short ends the process. A change is
//! seen by the file's time, size and number, which are looked at now and then: this follows files that are replaced by a
//! rename and links that are turned, and needs nothing of the file system. A new file that cannot be used is counted and told
//! of, and what was read before stays in use.

pub mod database;
pub mod file;
pub mod list;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::rule::Whereabouts;

use database::Database;
use list::AddressList;

/// All that is known of addresses.
#[derive(Debug, Default)]
pub struct Geo {
    pub country: Option<Database>,
    pub asn: Option<Database>,
    /// The lists of all properties.
    pub lists: Vec<Arc<AddressList>>,
    /// How often files are looked at.
    pub check_interval: Duration,
}

impl Geo {
    /// What the databases say of an address.
    pub fn look_up(&self, address: IpAddr) -> Whereabouts {
        Whereabouts {
            country: self.country.as_ref().and_then(|database| database.country(address)),
            asn: self.asn.as_ref().and_then(|database| database.asn(address)),
        }
    }

    /// Reads again what has changed. It waits for the disk.
    pub fn refresh(&self) {
        for database in self.databases() {
            database.refresh();
        }
        for list in &self.lists {
            list.refresh();
        }
    }

    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.country.iter().chain(&self.asn)
    }

    /// Whether there is a file that could change.
    pub fn has_files(&self) -> bool {
        self.databases().next().is_some() || self.lists.iter().any(|list| list.has_files())
    }
}
