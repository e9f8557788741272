//! The requests of an address, counted where a limit is set.

use std::collections::hash_map::RandomState;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use crate::domain::rate::{Rate, Table};

use super::error::EdgeError;

/// The table is made with the first request that a limit is asked for: a reload can set one.
#[derive(Debug)]
pub struct Rates {
    table: OnceLock<Table>,
    addresses_max: usize,
}

impl Rates {
    pub fn new(addresses_max: usize) -> Self {
        Self { table: OnceLock::new(), addresses_max }
    }

    pub(super) fn judge(&self, client: IpAddr, rate: Option<Rate>, now: Duration) -> Result<(), EdgeError> {
        let Some(rate) = rate else { return Ok(()) };
        let table = self.table.get_or_init(|| Table::new(self.addresses_max, RandomState::new()));
        table.take(client, rate, now).map_err(EdgeError::TooManyRequests)
    }

    /// How often a bucket that was not full made room for another address.
    pub fn forgotten(&self) -> u64 {
        self.table.get().map_or(0, Table::forgotten)
    }
}
