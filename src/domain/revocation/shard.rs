//! A part of the set: the revocations whose identifiers fall into it, by kind.

use std::collections::HashMap;

use ipnet::IpNet;

use super::Record;
use super::identifier::{Identifier, Kind};

/// One identifier may stand in several lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) list: u32,
    pub(super) ends: u64,
    pub(super) version: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Shard {
    sessions: HashMap<Box<str>, Vec<Entry>>,
    payloads: HashMap<Box<str>, Vec<Entry>>,
    pub(super) networks: HashMap<IpNet, Vec<Entry>>,
    ended: HashMap<u64, Vec<Entry>>,
    displaced: HashMap<u64, Vec<Entry>>,
}

impl Shard {
    pub(super) fn texts(&self, kind: Kind) -> &HashMap<Box<str>, Vec<Entry>> {
        if kind == Kind::Payload { &self.payloads } else { &self.sessions }
    }

    pub(super) fn numbers(&self, kind: Kind) -> &HashMap<u64, Vec<Entry>> {
        if kind == Kind::Displaced { &self.displaced } else { &self.ended }
    }

    pub(super) fn entries(&self, identifier: &Identifier) -> Option<&Vec<Entry>> {
        match identifier {
            Identifier::Session(text) => self.sessions.get(text),
            Identifier::Payload(text) => self.payloads.get(text),
            Identifier::Address(network) => self.networks.get(network),
            Identifier::Ended(viewing) => self.ended.get(viewing),
            Identifier::Displaced(viewing) => self.displaced.get(viewing),
        }
    }

    pub(super) fn entries_mut(&mut self, identifier: &Identifier) -> &mut Vec<Entry> {
        match identifier {
            Identifier::Session(text) => self.sessions.entry(text.clone()).or_default(),
            Identifier::Payload(text) => self.payloads.entry(text.clone()).or_default(),
            Identifier::Address(network) => self.networks.entry(*network).or_default(),
            Identifier::Ended(viewing) => self.ended.entry(*viewing).or_default(),
            Identifier::Displaced(viewing) => self.displaced.entry(*viewing).or_default(),
        }
    }

    /// Whether it stood there.
    pub(super) fn remove(&mut self, list: u32, identifier: &Identifier) -> bool {
        if self.entries(identifier).is_none() {
            return false;
        }
        let entries = self.entries_mut(identifier);
        let before = entries.len();
        entries.retain(|entry| entry.list != list);
        let (was_there, is_empty) = (entries.len() < before, entries.is_empty());
        if is_empty {
            match identifier {
                Identifier::Session(text) => drop(self.sessions.remove(text)),
                Identifier::Payload(text) => drop(self.payloads.remove(text)),
                Identifier::Address(network) => drop(self.networks.remove(network)),
                Identifier::Ended(viewing) => drop(self.ended.remove(viewing)),
                Identifier::Displaced(viewing) => drop(self.displaced.remove(viewing)),
            }
        }
        was_there
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let sessions =
            self.sessions.iter().map(|(text, entries)| (Identifier::Session(text.clone()), entries));
        let payloads =
            self.payloads.iter().map(|(text, entries)| (Identifier::Payload(text.clone()), entries));
        let networks =
            self.networks.iter().map(|(network, entries)| (Identifier::Address(*network), entries));
        let ended = self.ended.iter().map(|(viewing, entries)| (Identifier::Ended(*viewing), entries));
        let displaced =
            self.displaced.iter().map(|(viewing, entries)| (Identifier::Displaced(*viewing), entries));
        sessions.chain(payloads).chain(networks).chain(ended).chain(displaced).flat_map(
            |(identifier, entries)| {
                entries.iter().map(move |entry| Record {
                    list: entry.list,
                    identifier: identifier.clone(),
                    ends: entry.ends,
                    version: entry.version,
                })
            },
        )
    }
}

/// FNV-1a: spreads texts over shards. Who chooses ids could crowd one shard, which makes changes a little slower and
/// look-ups no slower at all.
pub(super) fn of_text(text: &str) -> usize {
    of_bytes(text.bytes())
}

pub(super) fn of_number(number: u64) -> usize {
    of_bytes(number.to_be_bytes().into_iter())
}

pub(super) fn of_network(network: &IpNet) -> usize {
    match network {
        IpNet::V4(network) => of_bytes(network.addr().octets().into_iter()),
        IpNet::V6(network) => of_bytes(network.addr().octets().into_iter()),
    }
}

fn of_bytes(bytes: impl Iterator<Item = u8>) -> usize {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash >> 32).unwrap_or_default()
}
