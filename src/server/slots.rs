//! Places for connections: so many in all, so many for one address; and for the streams of all connections of an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::network::customer;

use super::counters::ConnectionCounters;
use super::door::Refusal;
use super::settings::Limits;

#[derive(Debug)]
pub(super) struct Slots {
    total_max: u64,
    per_address_max: u32,
    streams_per_address_max: u32,
    by_address: Mutex<HashMap<IpAddr, Share>>,
    counters: Arc<ConnectionCounters>,
}

/// What an address has.
#[derive(Debug, Default)]
struct Share {
    connections: u32,
    streams: Arc<AtomicU32>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    /// `None` until it is known whose it is.
    address: Option<IpAddr>,
    streams: Arc<AtomicU32>,
}

impl Slots {
    pub(super) fn new(limits: &Limits, counters: Arc<ConnectionCounters>) -> Self {
        Self {
            total_max: limits.connections_max() as u64,
            per_address_max: u32::try_from(limits.connections_per_address_max).unwrap_or(u32::MAX),
            streams_per_address_max: limits.streams_per_address_max,
            by_address: Mutex::default(),
            counters,
        }
    }

    /// A place for a connection from `address`, or `None`, counted by its reason.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let mut slot = self.take_unnamed()?;
        slot.name(address).then_some(slot)
    }

    /// A place for a connection of which it is not known yet whose it is. It counts in the total.
    pub(super) fn take_unnamed(self: &Arc<Self>) -> Option<Slot> {
        // Under the lock, so that two listeners cannot both take the last place.
        let _taking = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if self.counters.open.value() >= self.total_max {
            self.counters.refused_by_total.increment();
            return None;
        }
        self.counters.open.increment();
        Some(Slot { slots: Arc::clone(self), address: None, streams: Arc::default() })
    }
}

impl Slot {
    /// Says whose it is, once; `false`, counted, where `address` has its share already.
    pub(super) fn name(&mut self, address: IpAddr) -> bool {
        let address = customer(address);
        let mut by_address = self.slots.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if by_address.get(&address).map_or(0, |share| share.connections) >= self.slots.per_address_max {
            self.slots.counters.refused_by_address.increment();
            return false;
        }
        let share = by_address.entry(address).or_default();
        share.connections += 1;
        self.streams = Arc::clone(&share.streams);
        self.address = Some(address);
        true
    }

    /// The streams of its address.
    pub(super) fn streams(&self) -> AddressStreams {
        let max = self.slots.streams_per_address_max;
        AddressStreams((max > 0).then(|| (Arc::clone(&self.streams), max)))
    }
}

/// The streams of an address over all its connections, and their limit; the default counts nothing.
#[derive(Debug, Default)]
pub(super) struct AddressStreams(Option<(Arc<AtomicU32>, u32)>);

/// A stream's place; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct StreamPlace(Option<Arc<AtomicU32>>);

impl AddressStreams {
    pub(super) fn take(&self) -> Result<StreamPlace, Refusal> {
        let Some((taken, max)) = &self.0 else { return Ok(StreamPlace(None)) };
        if taken.fetch_add(1, Ordering::Relaxed) >= *max {
            taken.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::TooManyStreams);
        }
        Ok(StreamPlace(Some(Arc::clone(taken))))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        if let Some(taken) = &self.0 {
            taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            let mut by_address = self.slots.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(share) = by_address.get_mut(address) {
                share.connections -= 1;
                if share.connections == 0 {
                    by_address.remove(address);
                }
            }
        }
        self.slots.counters.open.decrement();
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
    fn connections_of_an_address_share_its_streams() {
        let limits = Limits { streams_per_address_max: 2, ..Limits::default() };
        let slots = Arc::new(Slots::new(&limits, Arc::default()));
        let [one, two, other] =
            ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|text| slots.take(address(text)).unwrap());
        let first = one.streams().take().unwrap();
        let _second = two.streams().take().unwrap();
        assert_eq!(one.streams().take().unwrap_err(), Refusal::TooManyStreams);
        other.streams().take().unwrap();
        drop(first);
        two.streams().take().unwrap();
    }

    #[test]
    fn streams_are_not_counted_where_there_is_no_limit() {
        let limits = Limits { streams_per_address_max: 0, ..Limits::default() };
        let slot = Arc::new(Slots::new(&limits, Arc::default())).take(address("192.0.2.1")).unwrap();
        let places: Vec<_> = (0..10_000).map(|_| slot.streams().take().unwrap()).collect();
        assert_eq!(slot.streams.load(Ordering::Relaxed), 0);
        drop(places);
    }

    #[test]
    fn a_connection_counts_in_the_total_before_it_is_known_whose_it_is() {
        let slots = slots(2, 1);
        let mut first = slots.take_unnamed().unwrap();
        let mut second = slots.take_unnamed().unwrap();
        assert!(slots.take_unnamed().is_none());
        assert!(first.name(address("2001:db8::1")));
        assert!(!second.name(address("2001:db8::2")));
        drop(second);
        assert_eq!((slots.counters.open.value(), slots.counters.refused_by_address.value()), (1, 1));
        drop(first);
        assert!(slots.by_address.lock().unwrap().is_empty());
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
