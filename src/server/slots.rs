//! Places for connections: so many in all, so many for one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::counters::ConnectionCounters;
use super::settings::Limits;

#[derive(Debug)]
pub(super) struct Slots {
    total_max: u64,
    per_address_max: u32,
    by_address: Mutex<HashMap<IpAddr, u32>>,
    counters: Arc<ConnectionCounters>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Slots {
    pub(super) fn new(limits: &Limits, counters: Arc<ConnectionCounters>) -> Self {
        Self {
            total_max: limits.connections_max() as u64,
            per_address_max: u32::try_from(limits.connections_per_address_max).unwrap_or(u32::MAX),
            by_address: Mutex::default(),
            counters,
        }
    }

    /// A place for a connection from `address`, or `None`, counted by its reason.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let address = group(address);
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that two listeners cannot both take the last place.
        if self.counters.open.value() >= self.total_max {
            self.counters.refused_by_total.increment();
            return None;
        }
        let taken = by_address.entry(address).or_insert(0);
        if *taken >= self.per_address_max {
            self.counters.refused_by_address.increment();
            return None;
        }
        *taken += 1;
        self.counters.open.increment();
        Some(Slot { slots: Arc::clone(self), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut by_address = self.slots.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = by_address.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                by_address.remove(&self.address);
            }
        }
        self.slots.counters.open.decrement();
    }
}

/// Whom an address counts as: itself for IPv4 (also when mapped into IPv6), its /64 for IPv6, which is the least that
/// one customer is given.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(total: usize, per_address: usize) -> Arc<Slots> {
        let limits = Limits {
            connections_max: Some(total),
            connections_per_address_max: per_address,
            ..Limits::default()
        };
        Arc::new(Slots::new(&limits, Arc::default()))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let slots = slots(10, 2);
        let first = slots.take(address("192.0.2.1")).unwrap();
        let _second = slots.take(address("::ffff:192.0.2.1")).unwrap();
        assert!(slots.take(address("192.0.2.1")).is_none());
        assert!(slots.take(address("192.0.2.2")).is_some());
        drop(first);
        assert!(slots.take(address("192.0.2.1")).is_some());
        assert_eq!(slots.counters.refused_by_address.value(), 1);
    }

    #[test]
    fn ipv6_counts_by_its_64() {
        let slots = slots(10, 1);
        let _first = slots.take(address("2001:db8:0:1::1")).unwrap();
        assert!(slots.take(address("2001:db8:0:1:ffff::2")).is_none());
        assert!(slots.take(address("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn all_addresses_share_the_total() {
        let slots = slots(2, 2);
        let first = slots.take(address("192.0.2.1")).unwrap();
        let second = slots.take(address("192.0.2.2")).unwrap();
        assert!(slots.take(address("192.0.2.3")).is_none());
        assert_eq!(slots.counters.refused_by_total.value(), 1);
        drop((first, second));
        assert_eq!(slots.counters.open.value(), 0);
        assert!(slots.by_address.lock().unwrap().is_empty());
    }
}
