//! Following the fleet: connect, read everything, then compare numbers and fetch what came after ours.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::domain::revocation::identifier::{Identifier, Kind};
use crate::domain::revocation::{Change, DEFAULT_LIST, Record, Revocations};
use crate::domain::token::grant::UnixTime;
use crate::domain::uri::hex::hex;
use crate::entropy;

use super::link::{Link, LinkError, message};
use super::scripts::{BATCH, CHANGES, COMPARE, FORGET, MERGE, PURGE, PURGES};
use super::settings::RedisSettings;
use super::{Fleet, Purged};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// For so long a removal is still told after what it removed would have ended, for edges whose clocks differ.
const CLOCKS_DIFFER: Duration = Duration::from_hours(1);
const OWN_PURGES_MAX: usize = 1_024;

/// What a field of the records is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Field {
    List(u32),
    Record(u32, Identifier),
}

/// What Redis says of one field.
#[derive(Clone, Debug)]
enum Meaning {
    Gone,
    List(Arc<str>),
    Ends(u64),
}

/// The numbers of the fleet.
struct Numbers {
    epoch: String,
    version: u64,
    purge: u64,
}

/// One field as it is sent: field, value, end, version.
pub(super) type Sent = (String, String, String, u64);

impl Fleet {
    pub(super) async fn follow(&self, redis: &RedisSettings, shutdown: &CancellationToken) {
        let mut backoff = BACKOFF_MIN;
        let mut is_told = false;
        loop {
            let failed = tokio::select! {
                () = shutdown.cancelled() => return,
                Err(failed) = self.stay(redis, &mut backoff, &mut is_told) => failed,
            };
            let was_connected = self.link.swap(None).is_some();
            self.counters.failed.add(1);
            if was_connected || !is_told {
                tracing::warn!("the fleet is away, and this edge goes on with what it knows: {failed}");
                is_told = true;
            }
            let jitter = backoff
                .mul_f64(f64::from(u32::try_from(entropy::request_number() % 256).unwrap_or(0)) / 1_024.0);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(backoff + jitter) => {}
            }
            backoff = (backoff * 2).min(redis.backoff_max.max(BACKOFF_MIN));
        }
    }

    /// Connects, and follows until something fails.
    async fn stay(
        &self,
        redis: &RedisSettings,
        backoff: &mut Duration,
        is_told: &mut bool,
    ) -> Result<Infallible, LinkError> {
        // Subscribed before everything is read, so that nothing falls between the two.
        let (link, mut messages) = Link::open(redis, &self.channel()).await?;
        self.resync(&link).await?;
        self.counters.connected.add(1);
        self.link.store(Some(Arc::new(link.clone())));
        self.agree();
        self.ledger.tell_all();
        self.send_purges().await;
        tracing::info!(revocations = self.revocations.load().count(), "following the fleet");
        (*backoff, *is_told) = (BACKOFF_MIN, false);
        let mut ticks = tokio::time::interval(redis.compare_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.wake.notified() => {}
                heard = message(&mut messages) => heard?,
            }
            self.catch_up(&link).await?;
        }
    }

    /// Compares numbers, and fetches what came after ours.
    async fn catch_up(&self, link: &Link) -> Result<(), LinkError> {
        let numbers = self.compare(link).await?;
        let place = self.place().clone();
        let is_behind = numbers.version < place.version || numbers.purge < place.purge;
        if numbers.epoch != place.epoch || is_behind {
            return Err(LinkError::Reset);
        }
        let mut after = place.version;
        while after < numbers.version {
            let page = self.page(link, after).await?;
            let Some((_, _, last)) = page.last() else { break };
            after = *last;
            self.counters.changes.add(page.len() as u64);
            self.change(|set| {
                for (field, meaning, version) in &page {
                    apply(set, field, meaning, *version);
                }
            });
            self.place().version = after;
        }
        if place.version < numbers.version {
            self.place().version = after.max(numbers.version);
        }
        if numbers.purge != place.purge {
            self.follow_purges(link, &numbers).await?;
        }
        self.agree();
        Ok(())
    }

    /// Reads everything, and gives back what Redis has lost.
    async fn resync(&self, link: &Link) -> Result<(), LinkError> {
        self.counters.resyncs.add(1);
        let numbers = self.compare(link).await?;
        let mut remote: HashMap<Field, (Meaning, u64)> = HashMap::new();
        let mut after = 0;
        loop {
            let page = self.page(link, after).await?;
            let Some((_, _, last)) = page.last() else { break };
            after = *last;
            remote.extend(page.into_iter().map(|(field, meaning, version)| (field, (meaning, version))));
        }
        let place = self.place().clone();
        let is_same = place.epoch == numbers.epoch;
        let lost = self.change(|set| reconcile(set, &remote, is_same));
        {
            let mut place = self.place();
            place.version = after.max(numbers.version);
            place.epoch.clone_from(&numbers.epoch);
        }
        if !lost.is_empty() {
            tracing::warn!(count = lost.len(), "Redis had lost revocations, which this edge gives back");
            self.merge(link, &lost, if is_same { place.version } else { 0 }).await?;
        }
        if is_same || place.epoch.is_empty() && numbers.purge == 0 {
            self.follow_purges(link, &numbers).await
        } else {
            // These are other data than those that were followed, if any were.
            self.purge_everything(&numbers);
            Ok(())
        }
    }

    async fn compare(&self, link: &Link) -> Result<Numbers, LinkError> {
        let fresh = hex(&entropy::bytes::<16>());
        let (epoch, version, purge): (String, String, String) =
            link.call(&COMPARE, &[&self.key("meta")], &[fresh.as_bytes()]).await?;
        let number = |text: &str| text.parse().map_err(|_| LinkError::Answer);
        Ok(Numbers { epoch, version: number(&version)?, purge: number(&purge)? })
    }

    async fn page(&self, link: &Link, after: u64) -> Result<Vec<(Field, Meaning, u64)>, LinkError> {
        let keys = [self.key("records"), self.key("changes")];
        let (after, count) = (after.to_string(), BATCH.to_string());
        let rows: Vec<Vec<u8>> =
            link.call(&CHANGES, &[&keys[0], &keys[1]], &[after.as_bytes(), count.as_bytes()]).await?;
        let mut page = Vec::with_capacity(rows.len() / 3);
        for row in rows.chunks_exact(3) {
            let text = |at: usize| std::str::from_utf8(&row[at]).map_err(|_| LinkError::Answer);
            let version: u64 = text(2)?.parse().map_err(|_| LinkError::Answer)?;
            let field = read_field(text(0)?).ok_or(LinkError::Answer)?;
            let meaning = read_meaning(&field, text(1)?).ok_or(LinkError::Answer)?;
            page.push((field, meaning, version));
        }
        Ok(page)
    }

    async fn merge(&self, link: &Link, lost: &[Sent], least: u64) -> Result<(), LinkError> {
        let keys = ["meta", "records", "changes", "ends"].map(|name| self.key(name));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (channel, least) = (self.channel(), least.to_string());
        for batch in lost.chunks(BATCH) {
            let versions: Vec<String> = batch.iter().map(|(.., version)| version.to_string()).collect();
            let mut arguments: Vec<&[u8]> = vec![channel.as_bytes(), least.as_bytes()];
            for ((field, value, ends, _), version) in batch.iter().zip(&versions) {
                arguments.extend([field.as_bytes(), value.as_bytes(), ends.as_bytes(), version.as_bytes()]);
            }
            let _: u64 = link.call(&MERGE, &keys, &arguments).await?;
        }
        Ok(())
    }

    /// Carries out the purges that came after the last one that was followed; all, when it is not there any more.
    async fn follow_purges(&self, link: &Link, numbers: &Numbers) -> Result<(), LinkError> {
        let place = self.place().clone();
        let since = place.purge.to_string();
        let rows: Vec<String> = link.call(&PURGES, &[&self.key("purges")], &[since.as_bytes()]).await?;
        let mut purges = rows.iter().filter_map(|row| read_purge(row));
        let is_continuous = if place.purge == 0 {
            numbers.purge == 0 || purges.clone().next().is_some_and(|(number, ..)| number == 1)
        } else {
            purges
                .next()
                .is_some_and(|(number, nonce, _)| number == place.purge && nonce == place.purge_nonce)
        };
        if !is_continuous {
            self.purge_everything(numbers);
            if let Some((number, nonce, _)) = rows.iter().filter_map(|row| read_purge(row)).next_back() {
                let mut place = self.place();
                (place.purge, place.purge_nonce) = (number, nonce.to_owned());
            }
            return Ok(());
        }
        for (number, nonce, text) in purges {
            let is_own = {
                let mut own = self.own_purges.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let at = own.iter().position(|(known, _)| known == nonce);
                at.map(|at| own.remove(at)).is_some()
            };
            if !is_own {
                self.carry_out(Purged::Order(text));
                self.counters.purges.add(1);
            }
            let mut place = self.place();
            (place.purge, place.purge_nonce) = (number, nonce.to_owned());
        }
        self.is_unsaved.store(true, std::sync::atomic::Ordering::Release);
        Ok(())
    }

    fn purge_everything(&self, numbers: &Numbers) {
        self.carry_out(Purged::Everything);
        self.counters.purges_of_all.add(1);
        tracing::warn!("purges of the fleet were missed, so that everything kept is purged");
        let mut place = self.place();
        place.purge = numbers.purge;
        place.purge_nonce.clear();
        self.is_unsaved.store(true, std::sync::atomic::Ordering::Release);
    }

    fn carry_out(&self, purged: Purged<'_>) {
        if let Some(purger) = self.purger.get() {
            purger(purged);
        }
    }

    /// Has a purge that was carried out here carried out everywhere. Answers whether the fleet knows of it already; if not, it
    /// is told when it is back.
    pub async fn pass_on_purge(&self, text: &str) -> bool {
        if self.settings.redis.is_none() {
            return true;
        }
        let nonce = hex(&entropy::bytes::<8>());
        {
            let mut own = self.own_purges.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if own.len() == OWN_PURGES_MAX {
                own.remove(0);
            }
            own.push((nonce.clone(), Some(text.to_owned())));
        }
        self.send_purges().await;
        let own = self.own_purges.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        own.iter().all(|(known, waiting)| *known != nonce || waiting.is_none())
    }

    /// Tells the fleet of the purges that it has not been told of.
    async fn send_purges(&self) {
        let waiting: Vec<(String, String)> = {
            let own = self.own_purges.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            own.iter().filter_map(|(nonce, text)| Some((nonce.clone(), text.clone()?))).collect()
        };
        let (meta, purges) = (self.key("meta"), self.key("purges"));
        let (channel, most) = (self.channel(), self.settings.purges_max.to_string());
        for (nonce, text) in waiting {
            let arguments = [channel.as_bytes(), nonce.as_bytes(), text.as_bytes(), most.as_bytes()];
            let sent: Option<u64> = self.call(&PURGE, &[&meta, &purges], &arguments).await;
            if sent.is_none() {
                return;
            }
            let mut own = self.own_purges.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some((_, waiting)) = own.iter_mut().find(|(known, _)| *known == nonce) {
                *waiting = None;
            }
        }
    }

    /// Has Redis forget what has ended long since.
    pub(super) async fn forget_remote(&self, now: UnixTime) {
        let keys = ["records", "changes", "ends"].map(|name| self.key(name));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (before, count) = (now.saturating_sub(CLOCKS_DIFFER).as_secs().to_string(), BATCH.to_string());
        for _ in 0..100 {
            let forgotten: Option<usize> =
                self.call(&FORGET, &keys, &[before.as_bytes(), count.as_bytes()]).await;
            if forgotten.is_none_or(|forgotten| forgotten < BATCH) {
                return;
            }
        }
    }
}

/// Makes of the set what Redis says, and keeps what Redis does not know or knows under an older number. Answers that.
fn reconcile(set: &mut Revocations, remote: &HashMap<Field, (Meaning, u64)>, is_same: bool) -> Vec<Sent> {
    let mut lost = Vec::new();
    let mut next = Revocations::default();
    for (field, (meaning, version)) in remote.iter().filter(|(field, _)| matches!(field, Field::List(_))) {
        apply(&mut next, field, meaning, *version);
    }
    for (field, (meaning, version)) in remote.iter().filter(|(field, _)| matches!(field, Field::Record(..))) {
        apply(&mut next, field, meaning, *version);
    }
    for (id, list) in set.lists().iter().filter(|(id, _)| **id != DEFAULT_LIST) {
        if !remote.contains_key(&Field::List(*id)) {
            let change = Change::PutList { id: *id, name: list.name.clone() };
            lost.extend(sent(&change));
            next.apply(&change);
        }
    }
    for mut record in set.records() {
        // Numbers of other data say nothing about these.
        let version = if is_same { record.version } else { 0 };
        let known = remote.get(&Field::Record(record.list, record.identifier.clone()));
        let is_without_list = matches!(remote.get(&Field::List(record.list)), Some((Meaning::Gone, _)));
        if known.is_none_or(|(_, known)| *known < version) && !is_without_list {
            record.version = version;
            let change = Change::Put(record);
            lost.extend(sent(&change));
            next.apply(&change);
        }
    }
    *set = next;
    lost
}

fn apply(set: &mut Revocations, field: &Field, meaning: &Meaning, version: u64) {
    let change = match (field, meaning) {
        (Field::List(id), Meaning::List(name)) => Change::PutList { id: *id, name: name.clone() },
        (Field::List(id), Meaning::Gone | Meaning::Ends(_)) => Change::RemoveList { id: *id },
        (Field::Record(list, identifier), Meaning::Ends(ends)) => {
            Change::Put(Record { list: *list, identifier: identifier.clone(), ends: *ends, version })
        }
        (Field::Record(list, identifier), Meaning::Gone | Meaning::List(_)) => {
            Change::Remove { list: *list, identifier: identifier.clone() }
        }
    };
    set.apply(&change);
}

/// A change as Redis is told of it; of a removal, the end until which it is told to others is `later`.
pub(super) fn sent(change: &Change) -> Option<Sent> {
    Some(match change {
        Change::PutList { id, name } => (format!("l\x1f{id}"), format!("+{name}"), "inf".to_owned(), 0),
        Change::RemoveList { id } => (format!("l\x1f{id}"), "-".to_owned(), "inf".to_owned(), 0),
        Change::Put(record) => {
            let ends = record.ends.to_string();
            (field_of(record.list, &record.identifier), ends.clone(), ends, record.version)
        }
        Change::Remove { .. } => return None,
    })
}

/// A removal as Redis is told of it. It is kept until `ends`, when what it removed would have ended.
pub(super) fn sent_removal(list: u32, identifier: &Identifier, ends: u64) -> Sent {
    (field_of(list, identifier), "-".to_owned(), ends.to_string(), 0)
}

fn field_of(list: u32, identifier: &Identifier) -> String {
    format!("r\x1f{list}\x1f{}\x1f{identifier}", identifier.kind().as_str())
}

fn read_field(text: &str) -> Option<Field> {
    let (kind, rest) = text.split_once('\x1f')?;
    match kind {
        "l" => rest.parse().ok().map(Field::List),
        "r" => {
            let mut parts = rest.splitn(3, '\x1f');
            let list = parts.next()?.parse().ok()?;
            let kind = Kind::named(parts.next()?).ok()?;
            Identifier::new(kind, parts.next()?).ok().map(|identifier| Field::Record(list, identifier))
        }
        _ => None,
    }
}

fn read_meaning(field: &Field, text: &str) -> Option<Meaning> {
    match (field, text) {
        (_, "-" | "") => Some(Meaning::Gone),
        (Field::List(_), name) => name.strip_prefix('+').map(|name| Meaning::List(name.into())),
        (Field::Record(..), ends) => ends.parse().ok().map(Meaning::Ends),
    }
}

/// Number, nonce and text.
fn read_purge(row: &str) -> Option<(u64, &str, &str)> {
    let mut parts = row.splitn(3, ' ');
    Some((parts.next()?.parse().ok()?, parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str, ends: u64, version: u64) -> Record {
        let identifier = Identifier::new(Kind::Session, text).expect("an identifier");
        Record { list: 0, identifier, ends, version }
    }

    fn remote(changes: &[(Change, u64)]) -> HashMap<Field, (Meaning, u64)> {
        changes
            .iter()
            .map(|(change, version)| {
                let (field, value, ..) = match change {
                    Change::Remove { list, identifier } => sent_removal(*list, identifier, 9),
                    change => sent(change).expect("it is sent"),
                };
                let field = read_field(&field).expect("a field");
                let meaning = read_meaning(&field, &value).expect("a meaning");
                (field, (meaning, *version))
            })
            .collect()
    }

    fn local(records: &[Record]) -> Revocations {
        let mut set = Revocations::default();
        for record in records {
            set.apply(&Change::Put(record.clone()));
        }
        set
    }

    fn ids(set: &Revocations) -> Vec<String> {
        set.of_list(0).iter().map(|record| record.identifier.to_string()).collect()
    }

    #[test]
    fn what_is_sent_is_read_again() {
        for text in ["a", "a\x1fb", "über", "%zz"] {
            let record = record(text, 5, 1);
            let all = remote(&[(Change::Put(record.clone()), 1)]);
            assert!(all.contains_key(&Field::Record(0, record.identifier)), "{text}");
        }
    }

    #[test]
    fn what_redis_lost_is_kept_and_given_back() {
        let mut set = local(&[record("a", 9, 1), record("b", 9, 7)]);
        let lost = reconcile(&mut set, &remote(&[(Change::Put(record("a", 9, 1)), 1)]), true);
        assert_eq!(ids(&set), ["a", "b"]);
        assert_eq!(lost.len(), 1);
        assert_eq!(reconcile(&mut set, &HashMap::new(), false).len(), 2, "all of it is lost");
    }

    #[test]
    fn a_removal_that_redis_knows_is_followed_unless_it_is_older_than_ours() {
        let removal = |version| {
            let identifier = record("a", 9, 1).identifier;
            remote(&[(Change::Remove { list: 0, identifier }, version)])
        };
        let mut set = local(&[record("a", 9, 5)]);
        assert!(reconcile(&mut set, &removal(6), true).is_empty() && set.is_empty());
        let mut set = local(&[record("a", 9, 5)]);
        assert_eq!(reconcile(&mut set, &removal(4), true).len(), 1);
        assert_eq!(ids(&set), ["a"]);
        let mut set = local(&[record("a", 9, 5)]);
        assert!(reconcile(&mut set, &removal(1), false).is_empty(), "its number is of other data");
    }

    #[test]
    fn a_list_that_was_deleted_does_not_come_back_with_its_revocations() {
        let mut set = Revocations::default();
        set.apply(&Change::PutList { id: 5, name: "x".into() });
        set.apply(&Change::Put(Record { list: 5, ..record("a", 9, 8) }));
        let lost = reconcile(&mut set, &remote(&[(Change::RemoveList { id: 5 }, 3)]), true);
        assert!(lost.is_empty() && set.is_empty() && set.lists().len() == 1);
    }
}
