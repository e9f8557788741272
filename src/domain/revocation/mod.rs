//! Who may no longer watch, whatever their token says: an exact set of revocations, each with an end.
//!
//! A revocation names a session id, a payload, an address or network, or one viewing (a session that was begun by one access
//! token at one address). It stands in a list; a property obeys all lists or those that it names, and always the list
//! [`DEFAULT_LIST`].
//!
//! What is answered: an id in another spelling than it was revoked in (both sides are brought to the one normal form of
//! [`identifier::normal`]); an address as IPv4-mapped IPv6 (it is the IPv4 address); a revocation that outlives its purpose
//! (each has an end).
//!
//! The set is cheap to copy and to change: it is cut in shards that copies share until one of them is changed. So a reader
//! holds a snapshot, without a lock, while a writer makes the next one.

pub mod identifier;
mod shard;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::domain::token::grant::UnixTime;
use crate::domain::token::reason::Reason;

use identifier::{Identifier, Kind, normal};
use shard::{Entry, Shard};

/// The list that every property obeys.
pub const DEFAULT_LIST: u32 = 0;

const DEFAULT_LIST_NAME: &str = "default";
const SHARDS: usize = 64;

/// The revocations at one moment.
#[derive(Clone, Debug)]
pub struct Revocations {
    shards: Vec<Arc<Shard>>,
    lists: Arc<BTreeMap<u32, List>>,
    /// How many revocations there are of each kind, so that a kind that is not used is not looked for.
    kinds: [usize; Kind::ALL.len()],
    /// How many networks there are of each length: one look-up for each length that occurs.
    lengths: Arc<BTreeMap<(bool, u8), usize>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    pub name: Arc<str>,
    /// Revocations in it.
    pub count: usize,
}

/// One step from a set to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    PutList {
        id: u32,
        name: Arc<str>,
    },
    /// With all that stands in it.
    RemoveList {
        id: u32,
    },
    Put(Record),
    Remove {
        list: u32,
        identifier: Identifier,
    },
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub list: u32,
    pub identifier: Identifier,
    /// Unix time, seconds, from which on it means nothing.
    pub ends: u64,
    /// The number of the change that made it.
    pub version: u64,
}

/// What a request says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    pub session_id: Option<&'a str>,
    pub payload: Option<&'a str>,
    pub viewing: Option<u64>,
    pub client: IpAddr,
}

impl Default for Revocations {
    fn default() -> Self {
        let default = List { name: DEFAULT_LIST_NAME.into(), count: 0 };
        Self {
            shards: vec![Arc::default(); SHARDS],
            lists: Arc::new(BTreeMap::from([(DEFAULT_LIST, default)])),
            kinds: [0; Kind::ALL.len()],
            lengths: Arc::default(),
        }
    }
}

impl Revocations {
    pub fn is_empty(&self) -> bool {
        self.kinds.iter().all(|count| *count == 0)
    }

    pub fn count(&self) -> usize {
        self.kinds.iter().sum()
    }

    /// Whether a revocation of this kind stands anywhere: what is not looked for need not be read from a token.
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds[kind as usize] > 0
    }

    pub fn lists(&self) -> &BTreeMap<u32, List> {
        &self.lists
    }

    /// What speaks against a request. `lists` names those that are obeyed beside the default one; all, when empty.
    pub fn against(&self, claims: &Claims<'_>, lists: &[Box<str>], now: UnixTime) -> Option<Reason> {
        if self.is_empty() {
            return None;
        }
        let counts = |entries: Option<&Vec<Entry>>| {
            entries.is_some_and(|entries| {
                entries.iter().any(|entry| entry.ends > now.as_secs() && self.obeys(entry.list, lists))
            })
        };
        let texts = [(Kind::Session, claims.session_id), (Kind::Payload, claims.payload)];
        for (kind, text) in texts {
            let Some(text) = text.filter(|_| self.has(kind)) else { continue };
            let text = normal(text);
            if counts(self.shard(shard::of_text(&text)).texts(kind).get(&*text)) {
                return Some(Reason::Revoked);
            }
        }
        for (kind, reason) in [(Kind::Ended, Reason::Revoked), (Kind::Displaced, Reason::SessionLimit)] {
            let Some(viewing) = claims.viewing.filter(|_| self.has(kind)) else { continue };
            if counts(self.shard(shard::of_number(viewing)).numbers(kind).get(&viewing)) {
                return Some(reason);
            }
        }
        if self.has(Kind::Address) {
            let client = claims.client.to_canonical();
            let own = self.lengths.keys().filter(|(is_v4, _)| *is_v4 == client.is_ipv4());
            for (_, length) in own {
                let Ok(network) = IpNet::new(client, *length) else { continue };
                let network = network.trunc();
                if counts(self.shard(shard::of_network(&network)).networks.get(&network)) {
                    return Some(Reason::Revoked);
                }
            }
        }
        None
    }

    /// The seconds that are left of a revocation, where it stands in the list.
    pub fn seconds_left(&self, list: u32, identifier: &Identifier, now: UnixTime) -> Option<u64> {
        let entries = self.shard(identifier.shard()).entries(identifier)?;
        let entry = entries.iter().find(|entry| entry.list == list)?;
        entry.ends.checked_sub(now.as_secs()).filter(|left| *left > 0)
    }

    /// All revocations, in no order.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.shards.iter().flat_map(|shard| shard.records())
    }

    /// The revocations of one list, in the order of their texts.
    pub fn of_list(&self, list: u32) -> Vec<Record> {
        let mut records: Vec<Record> = self.records().filter(|record| record.list == list).collect();
        records.sort_by(|a, b| a.identifier.cmp(&b.identifier));
        records
    }

    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::PutList { id, name } => {
                let lists = Arc::make_mut(&mut self.lists);
                lists
                    .entry(*id)
                    .and_modify(|list| list.name = name.clone())
                    .or_insert(List { name: name.clone(), count: 0 });
            }
            Change::RemoveList { id } if *id == DEFAULT_LIST => {}
            Change::RemoveList { id } => {
                let doomed: Vec<Record> = self.records().filter(|record| record.list == *id).collect();
                for record in doomed {
                    self.remove(*id, &record.identifier);
                }
                Arc::make_mut(&mut self.lists).remove(id);
            }
            Change::Put(record) => self.put(record),
            Change::Remove { list, identifier } => self.remove(*list, identifier),
        }
    }

    /// Forgets what has ended.
    pub fn prune(&mut self, now: UnixTime) -> usize {
        let over: Vec<Record> = self.records().filter(|record| record.ends <= now.as_secs()).collect();
        for record in &over {
            self.remove(record.list, &record.identifier);
        }
        over.len()
    }

    fn put(&mut self, record: &Record) {
        let shard = Arc::make_mut(&mut self.shards[record.identifier.shard() % SHARDS]);
        let entries = shard.entries_mut(&record.identifier);
        let entry = Entry { list: record.list, ends: record.ends, version: record.version };
        if let Some(known) = entries.iter_mut().find(|entry| entry.list == record.list) {
            *known = entry;
        } else {
            entries.push(entry);
            self.count_one(record.list, &record.identifier);
        }
    }

    fn remove(&mut self, list: u32, identifier: &Identifier) {
        let shard = Arc::make_mut(&mut self.shards[identifier.shard() % SHARDS]);
        if !shard.remove(list, identifier) {
            return;
        }
        self.kinds[identifier.kind() as usize] -= 1;
        if let Some(list) = Arc::make_mut(&mut self.lists).get_mut(&list) {
            list.count = list.count.saturating_sub(1);
        }
        if let Identifier::Address(network) = identifier {
            let lengths = Arc::make_mut(&mut self.lengths);
            let length = (network.addr().is_ipv4(), network.prefix_len());
            if let Some(count) = lengths.get_mut(&length) {
                *count -= 1;
                if *count == 0 {
                    lengths.remove(&length);
                }
            }
        }
    }

    fn count_one(&mut self, list: u32, identifier: &Identifier) {
        self.kinds[identifier.kind() as usize] += 1;
        // A list whose name has not come yet is obeyed by those who obey all.
        let lists = Arc::make_mut(&mut self.lists);
        lists.entry(list).or_insert_with(|| List { name: list.to_string().into(), count: 0 }).count += 1;
        if let Identifier::Address(network) = identifier {
            let length = (network.addr().is_ipv4(), network.prefix_len());
            *Arc::make_mut(&mut self.lengths).entry(length).or_default() += 1;
        }
    }

    fn obeys(&self, list: u32, names: &[Box<str>]) -> bool {
        list == DEFAULT_LIST
            || names.is_empty()
            || self.lists.get(&list).is_some_and(|list| names.iter().any(|name| **name == *list.name))
    }

    fn shard(&self, number: usize) -> &Shard {
        &self.shards[number % SHARDS]
    }
}
