//! How many requests an address may make: a bucket of tokens for each, in a table whose size is fixed.
//!
//! A bucket is one number, the time at which it is full again (the generic cell rate algorithm). Threats: a flood of
//! addresses must not make the table grow (the bucket of its place that is nearest to full makes room: its address then has a
//! full one), nor slow it down (a place is found by a keyed hash, and holds eight buckets under a lock of their own); a
//! clock that steps back must not lock anybody out (a bucket that would be full later than any can be is a full one).

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::network::customer;

/// So many requests a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In which one token comes.
    interval: u64,
    /// In which a bucket fills, but for one token.
    tolerance: u64,
}

impl Rate {
    /// `None` where nothing is limited: `per_second` is 0. A `burst` of 0 stands for what comes in ten seconds.
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        const NANOS: u64 = 1_000_000_000;
        const BURST_SECONDS: u64 = 10;
        let interval = NANOS.checked_div(u64::from(per_second))?.max(1);
        let burst = if burst == 0 { u64::from(per_second) * BURST_SECONDS } else { u64::from(burst) };
        Some(Self { interval, tolerance: interval.saturating_mul(burst - 1) })
    }
}

/// Buckets that share a lock.
const BUCKETS: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// A keyed hash of the address; 0 where there is none.
    address: u64,
    /// When it is full again, in nanoseconds of Unix time.
    full: u64,
}

/// The buckets of all addresses.
#[derive(Debug)]
pub struct Table {
    /// A power of two.
    places: Box<[Mutex<[Bucket; BUCKETS]>]>,
    hasher: RandomState,
    forgotten: AtomicU64,
}

impl Table {
    /// Room for at least `addresses`, 17 bytes for each.
    pub fn new(addresses: usize, hasher: RandomState) -> Self {
        let places = addresses.div_ceil(BUCKETS).max(1).next_power_of_two();
        let places = (0..places).map(|_| Mutex::default()).collect();
        Self { places, hasher, forgotten: AtomicU64::new(0) }
    }

    /// Takes a token for a request of `address`; where there is none, says how long it takes until there is.
    pub fn take(&self, address: IpAddr, rate: Rate, now: Duration) -> Result<(), Duration> {
        let hash = self.hasher.hash_one(customer(address)) | 1;
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        // The upper half: the lowest bit is always set.
        let place = usize::try_from(hash >> 32).unwrap_or(0) & (self.places.len() - 1);
        let mut buckets = self.places[place].lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = self.find(&mut buckets, hash, now);
        let full = bucket.full.max(now);
        // How much of it is missing; more than all of it only where the clock went back.
        let missing = full - now;
        let missing = if missing > rate.tolerance + rate.interval { 0 } else { missing };
        if missing > rate.tolerance {
            return Err(Duration::from_nanos(missing - rate.tolerance));
        }
        bucket.full = now.saturating_add(missing).saturating_add(rate.interval);
        Ok(())
    }

    /// How often a bucket that was not full made room for another address.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn find<'b>(&self, buckets: &'b mut [Bucket; BUCKETS], hash: u64, now: u64) -> &'b mut Bucket {
        let known = buckets.iter().position(|bucket| bucket.address == hash);
        let chosen = known.unwrap_or_else(|| {
            let fullest = (0..BUCKETS).min_by_key(|&at| buckets[at].full).unwrap_or(0);
            if buckets[fullest].full > now {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            buckets[fullest] = Bucket { address: hash, full: 0 };
            fullest
        });
        &mut buckets[chosen]
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn table(addresses: usize) -> Table {
        Table::new(addresses, RandomState::new())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate::new(per_second, burst).unwrap()
    }

    /// How many requests pass at once.
    fn passing(table: &Table, text: &str, rate: Rate, now: Duration) -> usize {
        (0..1000).take_while(|_| table.take(address(text), rate, now).is_ok()).count()
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let (table, rate) = (table(64), rate(10, 5));
        assert_eq!(passing(&table, "192.0.2.1", rate, NOW), 5);
        let wait = table.take(address("192.0.2.1"), rate, NOW).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(passing(&table, "192.0.2.1", rate, NOW + wait), 1);
        assert_eq!(passing(&table, "192.0.2.1", rate, NOW + Duration::from_millis(350)), 2);
        assert_eq!(passing(&table, "192.0.2.1", rate, NOW + Duration::from_mins(1)), 5);
    }

    #[test]
    fn a_burst_that_is_not_given_is_ten_seconds_worth() {
        assert_eq!(passing(&table(64), "192.0.2.1", rate(3, 0), NOW), 30);
        assert_eq!(Rate::new(0, 7), None);
        assert_eq!(passing(&table(64), "192.0.2.1", rate(u32::MAX, 1), NOW), 1);
    }

    #[test]
    fn ipv6_counts_by_its_64_and_mapped_ipv4_as_ipv4() {
        let (table, rate) = (table(64), rate(1, 1));
        for (first, same, other) in [
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ] {
            table.take(address(first), rate, NOW).unwrap();
            table.take(address(same), rate, NOW).unwrap_err();
            table.take(address(other), rate, NOW).unwrap();
        }
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_table_and_forgets_the_idle_first() {
        let (table, rate) = (table(1024), rate(1, 100));
        let bytes = size_of_val(&*table.places);
        assert!(bytes <= 1024 * 18, "{bytes} bytes");
        // One that is nearly out of tokens, among many that made one request.
        let busy = address("192.0.2.1");
        for _ in 0..100 {
            table.take(busy, rate, NOW).unwrap();
        }
        for number in 0..100_000_u32 {
            table.take(Ipv6Addr::from_bits(u128::from(number) << 64).into(), rate, NOW).unwrap();
        }
        table.take(busy, rate, NOW).unwrap_err();
        assert!(table.forgotten() > 90_000);
        assert_eq!(size_of_val(&*table.places), bytes);
    }

    #[test]
    fn a_clock_that_steps_back_locks_nobody_out() {
        let (table, rate) = (table(64), rate(1, 2));
        assert_eq!(passing(&table, "192.0.2.1", rate, NOW + Duration::from_hours(1)), 2);
        assert_eq!(passing(&table, "192.0.2.1", rate, NOW), 2);
        table.take(address("192.0.2.1"), rate, NOW).unwrap_err();
    }

    #[test]
    fn a_lower_rate_applies_to_buckets_that_there_are() {
        let table = table(64);
        assert_eq!(passing(&table, "192.0.2.1", rate(100, 10), NOW), 10);
        let rate = rate(1, 1);
        assert_eq!(passing(&table, "192.0.2.1", rate, NOW + Duration::from_millis(50)), 0);
        assert_eq!(passing(&table, "192.0.2.1", rate, NOW + Duration::from_millis(100)), 1);
    }
}
