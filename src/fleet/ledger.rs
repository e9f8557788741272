//! Who watches through this edge, by session id or payload; and, where there is no Redis to ask, who may begin to.
//!
//! A viewing takes its seat once and keeps it by being seen. What this edge has seated needs no further question; what it
//! does not know is asked of the fleet, or judged here as the script of the fleet judges it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use crate::domain::token::grant::UnixTime;

use super::settings::{Action, Limits};

/// Of whom the viewings are counted together: a digest of property, kind and text.
pub type GroupKey = [u8; 16];

/// For how long a refusal is repeated without asking again.
const REFUSAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Ledger {
    groups: DashMap<GroupKey, Group>,
    viewings: AtomicUsize,
    viewings_max: usize,
}

/// Whose viewings a group are, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) property: Arc<str>,
    pub(super) value: Arc<str>,
    pub(super) limits: Arc<Limits>,
}

#[derive(Debug)]
struct Group {
    whose: Whose,
    viewings: HashMap<u64, Viewing>,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Clone, Copy, Debug)]
struct Viewing {
    began: UnixTime,
    seen: UnixTime,
    /// When the fleet was last told of it.
    told: Option<UnixTime>,
    address: IpAddr,
    /// It has no seat, and until then that is repeated.
    refused_until: Option<UnixTime>,
}

#[derive(Clone, Copy, Debug)]
struct Address {
    seen: UnixTime,
    refused_until: Option<UnixTime>,
}

/// What is known of a request without asking anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Seated,
    Refused,
    No,
}

/// The answer to a viewing that asked for a seat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seating {
    pub(super) is_over: bool,
    /// It is over the limit, which is only reported.
    pub(super) is_reported: bool,
    /// Viewings that gave way to it.
    pub(super) displaced: Vec<u64>,
    pub(super) displaced_addresses: Vec<IpAddr>,
}

/// One viewing of which the fleet is to be told.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) key: GroupKey,
    pub(super) whose: Whose,
    pub(super) viewing: u64,
    pub(super) address: IpAddr,
    pub(super) began: UnixTime,
    pub(super) seen: UnixTime,
}

/// There is no room for another viewing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Ledger {
    pub(super) fn new(viewings_max: usize) -> Self {
        Self { groups: DashMap::new(), viewings: AtomicUsize::new(0), viewings_max }
    }

    pub(super) fn count(&self) -> usize {
        self.viewings.load(Ordering::Relaxed)
    }

    /// What is known of a viewing at an address, which is seen by this.
    pub(super) fn look(
        &self,
        key: &GroupKey,
        limits: &Limits,
        viewing: u64,
        address: IpAddr,
        now: UnixTime,
    ) -> Known {
        let Some(mut group) = self.groups.get_mut(key) else { return Known::No };
        let Some(known) = group.viewings.get_mut(&viewing) else { return Known::No };
        if known.refused_until.is_some_and(|until| now < until) {
            return Known::Refused;
        }
        if known.refused_until.is_some() || now.saturating_sub(known.seen) > limits.active {
            return Known::No;
        }
        if limits.addresses_max.is_some() {
            let Some(place) = group.addresses.get_mut(&address) else { return Known::No };
            if place.refused_until.is_some_and(|until| now < until) {
                return Known::Refused;
            }
            if place.refused_until.is_some() || now.saturating_sub(place.seen) > limits.address_window {
                return Known::No;
            }
            place.seen = now;
        }
        if let Some(known) = group.viewings.get_mut(&viewing) {
            known.seen = now;
        }
        Known::Seated
    }

    /// Judges here what the fleet cannot be asked. As the script SEAT does, and by the same steps.
    pub(super) fn seat(
        &self,
        key: GroupKey,
        whose: &Whose,
        viewing: u64,
        address: IpAddr,
        now: UnixTime,
    ) -> Result<Seating, Full> {
        self.make_room(now)?;
        let limits = &whose.limits;
        let mut seating = Seating::default();
        {
            let mut group = self.group(key, whose);
            group.forget(now, &self.viewings);
            let is_refused = |until: Option<UnixTime>| until.is_some_and(|until| now < until);
            let seated = |known: &&Viewing| known.refused_until.is_none();
            if group.addresses.get(&address).is_some_and(|place| is_refused(place.refused_until)) {
                return Ok(Seating { is_over: true, ..Seating::default() });
            }
            let is_new = group.viewings.get(&viewing).is_none_or(|known| known.refused_until.is_some());
            let is_elsewhere =
                group.addresses.get(&address).is_none_or(|place| place.refused_until.is_some());
            let sessions_max = limits.sessions_max.filter(|_| is_new).unwrap_or(usize::MAX);
            let addresses_max = limits.addresses_max.filter(|_| is_elsewhere).unwrap_or(usize::MAX);
            let taken = group.viewings.values().filter(seated).count();
            let held = group.addresses.values().filter(|place| place.refused_until.is_none()).count();
            if taken >= sessions_max || held >= addresses_max {
                match limits.action {
                    Action::DenyNewest => seating.is_over = true,
                    Action::Report => seating.is_reported = true,
                    Action::DenyOldest => {
                        group.make_way(taken, sessions_max, limits.life, now, &mut seating);
                        group.make_way_of_address(
                            held,
                            addresses_max,
                            limits.address_window,
                            now,
                            &mut seating,
                        );
                    }
                }
            }
        }
        if !seating.is_over {
            self.note(key, whose, viewing, address, now, None);
        }
        Ok(seating)
    }

    /// Notes what the fleet answered, at `told`; or, without it, what was judged here.
    pub(super) fn note(
        &self,
        key: GroupKey,
        whose: &Whose,
        viewing: u64,
        address: IpAddr,
        now: UnixTime,
        told: Option<UnixTime>,
    ) {
        let mut group = self.group(key, whose);
        if whose.limits.addresses_max.is_some() {
            group.addresses.insert(address, Address { seen: now, refused_until: None });
        }
        let entry = group.viewings.entry(viewing).or_insert_with(|| {
            self.viewings.fetch_add(1, Ordering::Relaxed);
            Viewing { began: now, seen: now, told: None, address, refused_until: None }
        });
        if entry.refused_until.take().is_some() {
            entry.began = now;
        }
        entry.seen = now;
        entry.told = told.or(entry.told);
    }

    /// Repeats a refusal of the fleet for a moment, so that a viewer who insists costs little.
    pub(super) fn refuse(&self, key: GroupKey, whose: &Whose, viewing: u64, address: IpAddr, now: UnixTime) {
        let mut group = self.group(key, whose);
        let entry = group.viewings.entry(viewing).or_insert_with(|| {
            self.viewings.fetch_add(1, Ordering::Relaxed);
            Viewing { began: now, seen: now, told: None, address, refused_until: None }
        });
        entry.refused_until = Some(now.saturating_add(REFUSAL));
    }

    /// The viewings that were seen since the fleet was told of them, at least a quarter of their activity ago.
    pub(super) fn due(&self, now: UnixTime) -> Vec<Due> {
        let mut due = Vec::new();
        for mut group in self.groups.iter_mut() {
            let (key, whose) = (*group.key(), group.whose.clone());
            let every = whose.limits.active / 4;
            for (viewing, known) in &mut group.viewings {
                let is_due = known.refused_until.is_none()
                    && known.told.is_none_or(|told| known.seen > told && now.saturating_sub(told) >= every);
                if is_due {
                    known.told = Some(now);
                    let (address, began, seen) = (known.address, known.began, known.seen);
                    due.push(Due { key, whose: whose.clone(), viewing: *viewing, address, began, seen });
                }
            }
        }
        due
    }

    /// All have to be told again: the fleet may have forgotten them.
    pub(super) fn tell_all(&self) {
        for mut group in self.groups.iter_mut() {
            for known in group.viewings.values_mut() {
                known.told = None;
            }
        }
    }

    /// Forgets those who have not been seen for long.
    pub(super) fn forget(&self, now: UnixTime) {
        self.groups.retain(|_, group| {
            group.forget(now, &self.viewings);
            !group.viewings.is_empty() || !group.addresses.is_empty()
        });
    }

    /// All who watch.
    pub(super) fn all(&self, now: UnixTime) -> Vec<Due> {
        let mut all = Vec::new();
        for group in &self.groups {
            for (viewing, known) in &group.viewings {
                let is_active = now.saturating_sub(known.seen) <= group.whose.limits.active;
                if known.refused_until.is_none() && is_active {
                    let (address, began, seen) = (known.address, known.began, known.seen);
                    let (key, whose) = (*group.key(), group.whose.clone());
                    all.push(Due { key, whose, viewing: *viewing, address, began, seen });
                }
            }
        }
        all.sort_by_key(|due| (std::cmp::Reverse(due.seen), due.viewing));
        all
    }

    fn group(&self, key: GroupKey, whose: &Whose) -> dashmap::mapref::one::RefMut<'_, GroupKey, Group> {
        let mut group = self.groups.entry(key).or_insert_with(|| Group {
            whose: whose.clone(),
            viewings: HashMap::new(),
            addresses: HashMap::new(),
        });
        // The configuration may have been read again.
        if !Arc::ptr_eq(&group.whose.limits, &whose.limits) {
            group.whose.limits = whose.limits.clone();
        }
        group
    }

    pub(super) fn make_room(&self, now: UnixTime) -> Result<(), Full> {
        if self.count() < self.viewings_max {
            return Ok(());
        }
        self.forget(now);
        if self.count() < self.viewings_max { Ok(()) } else { Err(Full) }
    }
}

impl Group {
    fn forget(&mut self, now: UnixTime, count: &AtomicUsize) {
        let (active, window) = (self.whose.limits.active, self.whose.limits.address_window);
        let before = self.viewings.len();
        self.viewings.retain(|_, known| match known.refused_until {
            Some(until) => now < until,
            None => now.saturating_sub(known.seen) <= active,
        });
        count.fetch_sub(before - self.viewings.len(), Ordering::Relaxed);
        self.addresses.retain(|_, place| match place.refused_until {
            Some(until) => now < until,
            None => now.saturating_sub(place.seen) <= window,
        });
    }

    /// The oldest of those with a seat leave it until one is free.
    fn make_way(&mut self, taken: usize, most: usize, life: Duration, now: UnixTime, seating: &mut Seating) {
        for _ in most..=taken {
            let seated = self.viewings.iter_mut().filter(|(_, known)| known.refused_until.is_none());
            let Some((viewing, oldest)) = seated.min_by_key(|(viewing, known)| (known.began, **viewing))
            else {
                return;
            };
            oldest.refused_until = Some(now.saturating_add(life));
            seating.displaced.push(*viewing);
        }
    }

    fn make_way_of_address(
        &mut self,
        held: usize,
        most: usize,
        window: Duration,
        now: UnixTime,
        seating: &mut Seating,
    ) {
        for _ in most..=held {
            let places = self.addresses.iter_mut().filter(|(_, place)| place.refused_until.is_none());
            let Some((address, oldest)) = places.min_by_key(|(address, place)| (place.seen, **address))
            else {
                return;
            };
            oldest.refused_until = Some(now.saturating_add(window));
            seating.displaced_addresses.push(*address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::settings::By;

    const NOW: UnixTime = Duration::from_secs(1_000);

    fn whose(sessions_max: Option<usize>, addresses_max: Option<usize>, action: Action) -> Whose {
        let limits = Limits {
            by: By::SessionId,
            sessions_max,
            active: Duration::from_mins(1),
            addresses_max,
            address_window: Duration::from_mins(10),
            action,
            life: Duration::from_hours(1),
        };
        Whose { property: "p".into(), value: "u".into(), limits: Arc::new(limits) }
    }

    fn at(number: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, number])
    }

    /// What becomes of a viewing that asks, as a request does.
    fn ask(ledger: &Ledger, whose: &Whose, viewing: u64, address: IpAddr, now: UnixTime) -> bool {
        match ledger.look(&[1; 16], &whose.limits, viewing, address, now) {
            Known::Seated => true,
            Known::Refused => false,
            Known::No => !ledger.seat([1; 16], whose, viewing, address, now).expect("room").is_over,
        }
    }

    #[test]
    fn the_newest_is_refused_until_a_seat_is_free() {
        let (ledger, whose) = (Ledger::new(10), whose(Some(2), None, Action::DenyNewest));
        assert!(ask(&ledger, &whose, 1, at(1), NOW) && ask(&ledger, &whose, 2, at(2), NOW));
        assert!(!ask(&ledger, &whose, 3, at(3), NOW));
        let later = NOW + Duration::from_secs(50);
        assert!(ask(&ledger, &whose, 1, at(1), later));
        assert!(!ask(&ledger, &whose, 3, at(3), later));
        // Since then nobody has seen the second.
        assert!(ask(&ledger, &whose, 3, at(3), NOW + Duration::from_secs(61)));
        assert!(!ask(&ledger, &whose, 2, at(2), NOW + Duration::from_secs(61)));
    }

    #[test]
    fn the_oldest_gives_way_and_stays_out() {
        let (ledger, whose) = (Ledger::new(10), whose(Some(2), None, Action::DenyOldest));
        for viewing in [1, 2] {
            assert!(ask(&ledger, &whose, viewing, at(1), NOW + Duration::from_secs(viewing)));
        }
        let now = NOW + Duration::from_secs(5);
        let seating = ledger.seat([1; 16], &whose, 3, at(1), now).expect("room");
        assert_eq!(seating.displaced, [1]);
        assert_eq!(ledger.look(&[1; 16], &whose.limits, 1, at(1), now), Known::Refused);
        assert_eq!(ledger.look(&[1; 16], &whose.limits, 2, at(1), now), Known::Seated);
        assert_eq!(ledger.look(&[1; 16], &whose.limits, 3, at(1), now), Known::Seated);
    }

    #[test]
    fn a_limit_that_is_only_reported_refuses_nobody() {
        let (ledger, whose) = (Ledger::new(10), whose(Some(1), None, Action::Report));
        assert!(ask(&ledger, &whose, 1, at(1), NOW));
        let seating = ledger.seat([1; 16], &whose, 2, at(1), NOW).expect("room");
        assert!(seating.is_reported && !seating.is_over);
        assert_eq!(ledger.count(), 2);
    }

    #[test]
    fn distinct_addresses_are_counted_over_their_window() {
        let (ledger, whose) = (Ledger::new(10), whose(None, Some(2), Action::DenyNewest));
        assert!(ask(&ledger, &whose, 1, at(1), NOW) && ask(&ledger, &whose, 1, at(2), NOW));
        assert!(!ask(&ledger, &whose, 1, at(3), NOW), "a third address of one viewing");
        assert!(ask(&ledger, &whose, 2, at(1), NOW), "another viewing at a known address");
        let later = NOW + Duration::from_secs(601);
        assert!(ask(&ledger, &whose, 1, at(3), later));
    }

    #[test]
    fn the_least_recent_address_gives_way() {
        let (ledger, whose) = (Ledger::new(10), whose(None, Some(1), Action::DenyOldest));
        assert!(ask(&ledger, &whose, 1, at(1), NOW));
        let seating = ledger.seat([1; 16], &whose, 1, at(2), NOW).expect("room");
        assert_eq!(seating.displaced_addresses, [at(1)]);
        assert!(!ask(&ledger, &whose, 1, at(1), NOW) && ask(&ledger, &whose, 1, at(2), NOW));
    }

    #[test]
    fn no_more_viewings_are_kept_than_there_is_room_for() {
        let (ledger, whose) = (Ledger::new(2), whose(Some(9), None, Action::DenyNewest));
        for viewing in [1, 2] {
            assert!(ask(&ledger, &whose, viewing, at(1), NOW));
        }
        assert_eq!(ledger.seat([1; 16], &whose, 3, at(1), NOW), Err(Full));
        assert!(ledger.seat([1; 16], &whose, 3, at(1), NOW + Duration::from_secs(61)).is_ok());
        assert_eq!(ledger.count(), 1);
    }

    #[test]
    fn the_fleet_is_told_of_those_who_were_seen() {
        let (ledger, whose) = (Ledger::new(10), whose(Some(9), None, Action::DenyNewest));
        assert!(ask(&ledger, &whose, 1, at(1), NOW));
        assert_eq!(ledger.due(NOW).len(), 1);
        assert_eq!(ledger.due(NOW + Duration::from_secs(20)).len(), 0, "it was not seen since");
        assert!(ask(&ledger, &whose, 1, at(1), NOW + Duration::from_secs(10)));
        assert_eq!(ledger.due(NOW + Duration::from_secs(10)).len(), 0, "a moment ago");
        assert_eq!(ledger.due(NOW + Duration::from_secs(15)).len(), 1);
        ledger.tell_all();
        assert_eq!(ledger.due(NOW + Duration::from_secs(15)).len(), 1);
        assert_eq!(ledger.all(NOW).len(), 1);
    }
}
