//! What operators do to the lists, in the shape of Akamai's Access Revocation API.

use std::time::Duration;

use crate::domain::revocation::identifier::{Identifier, IdentifierError};
use crate::domain::revocation::{Change, DEFAULT_LIST, Record};
use crate::entropy;

use super::Fleet;
use super::follow::{Sent, sent, sent_removal};
use super::scripts::{BATCH, CHANGE};

const NAME_BYTES_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("there is no revocation list {0}")]
    NoList(u32),
    #[error("the identifier is not in the list")]
    NoIdentifier,
    #[error("the default list stays")]
    Default,
    #[error("a name of a list has 1 to {NAME_BYTES_MAX} letters, digits, spaces, - . and _")]
    Name,
    #[error("a list has the name \"{0}\" already")]
    Taken(String),
    #[error("there are {0} lists, the most there may be ([fleet] lists_max)")]
    Lists(usize),
    #[error("the list would have more than {0} identifiers ([fleet] identifiers_max)")]
    Identifiers(usize),
    #[error("{0} identifiers came at once; {1} is the most ([fleet] identifiers_per_call)")]
    Call(usize, usize),
    #[error("{0}")]
    Identifier(#[from] IdentifierError),
    #[error("the fleet is away: only additions are taken, which it is told of when it is back")]
    Away,
    #[error("the change is in force, and could not be written to disk: it does not survive a restart")]
    Unsaved,
}

/// One list for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListMeta {
    pub id: u32,
    pub name: String,
    pub count: usize,
    pub limit: usize,
}

/// What came of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    pub count: usize,
    /// False: it is in force here, and the fleet is told when it is back.
    pub has_reached_fleet: bool,
}

impl Fleet {
    pub fn lists(&self) -> Vec<ListMeta> {
        let limit = self.settings.lists.identifiers_max;
        let set = self.revocations.load();
        let lists = set.lists().iter();
        lists
            .map(|(id, list)| ListMeta { id: *id, name: list.name.to_string(), count: list.count, limit })
            .collect()
    }

    pub fn list(&self, id: u32) -> Result<ListMeta, ListError> {
        self.lists().into_iter().find(|list| list.id == id).ok_or(ListError::NoList(id))
    }

    pub async fn create_list(&self, name: &str) -> Result<ListMeta, ListError> {
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'.' | b'_'));
        if !is_name {
            return Err(ListError::Name);
        }
        let _operating = self.operating.lock().await;
        let lists = self.lists();
        if lists.iter().any(|list| list.name == name) {
            return Err(ListError::Taken(name.to_owned()));
        }
        // The default list is not one of Akamai's ten.
        if lists.len() > self.settings.lists.lists_max {
            return Err(ListError::Lists(self.settings.lists.lists_max));
        }
        let id = loop {
            let id = u32::try_from(entropy::number() >> 34).unwrap_or(1);
            if id != DEFAULT_LIST && lists.iter().all(|list| list.id != id) {
                break id;
            }
        };
        self.decide(vec![Change::PutList { id, name: name.into() }]).await?;
        self.list(id)
    }

    pub async fn delete_list(&self, id: u32) -> Result<(), ListError> {
        let _operating = self.operating.lock().await;
        self.list(id)?;
        if id == DEFAULT_LIST {
            return Err(ListError::Default);
        }
        let records = self.revocations.load().of_list(id);
        let mut changes = vec![Change::RemoveList { id }];
        changes.extend(
            records.into_iter().map(|record| Change::Remove { list: id, identifier: record.identifier }),
        );
        self.decide(changes).await
    }

    /// Revokes each for its duration, which is brought between the bounds.
    pub async fn revoke(
        &self,
        list: u32,
        identifiers: Vec<(Identifier, Duration)>,
    ) -> Result<Added, ListError> {
        let limits = self.settings.lists;
        if identifiers.len() > limits.identifiers_per_call_max {
            return Err(ListError::Call(identifiers.len(), limits.identifiers_per_call_max));
        }
        let _operating = self.operating.lock().await;
        let meta = self.list(list)?;
        let now = self.clock.now();
        let set = self.revocations.load_full();
        let mut fresh: Vec<&Identifier> = identifiers
            .iter()
            .map(|(identifier, _)| identifier)
            .filter(|identifier| set.seconds_left(list, identifier, now).is_none())
            .collect();
        fresh.sort();
        fresh.dedup();
        if meta.count + fresh.len() > limits.identifiers_max {
            return Err(ListError::Identifiers(limits.identifiers_max));
        }
        let count = identifiers.len();
        let records = identifiers.into_iter().map(|(identifier, duration)| {
            let duration = duration.clamp(limits.duration_min, limits.duration_max.max(limits.duration_min));
            Record { list, identifier, ends: now.saturating_add(duration).as_secs(), version: 0 }
        });
        let has_reached_fleet = self.add(records.collect()).await;
        self.save().await;
        if self.is_saved() { Ok(Added { count, has_reached_fleet }) } else { Err(ListError::Unsaved) }
    }

    /// Takes revocations back.
    pub async fn restore_access(&self, list: u32, identifiers: Vec<Identifier>) -> Result<usize, ListError> {
        let limits = self.settings.lists;
        if identifiers.len() > limits.identifiers_per_call_max {
            return Err(ListError::Call(identifiers.len(), limits.identifiers_per_call_max));
        }
        let _operating = self.operating.lock().await;
        self.list(list)?;
        let now = self.clock.now();
        let set = self.revocations.load_full();
        let standing: Vec<Change> = identifiers
            .into_iter()
            .filter(|identifier| set.seconds_left(list, identifier, now).is_some())
            .map(|identifier| Change::Remove { list, identifier })
            .collect();
        let count = standing.len();
        self.decide(standing).await?;
        Ok(count)
    }

    /// The revocations of a list from place `from` on, and how many there are: identifier and seconds left.
    pub fn identifiers(
        &self,
        list: u32,
        from: usize,
        most: usize,
    ) -> Result<(Vec<(Identifier, u64)>, usize), ListError> {
        self.list(list)?;
        let now = self.clock.now().as_secs();
        let mut records = self.revocations.load().of_list(list);
        records.retain(|record| record.ends > now);
        let count = records.len();
        let page = records.into_iter().skip(from).take(most);
        Ok((page.map(|record| (record.identifier, record.ends - now)).collect(), count))
    }

    /// The seconds that are left of one revocation.
    pub fn seconds_left(&self, list: u32, identifier: &Identifier) -> Result<u64, ListError> {
        self.list(list)?;
        let left = self.revocations.load().seconds_left(list, identifier, self.clock.now());
        left.ok_or(ListError::NoIdentifier)
    }

    /// Puts revocations in force here at once, and in the fleet as soon as it can be told. Whether it was told.
    pub(super) async fn add(&self, mut records: Vec<Record>) -> bool {
        let mut has_reached_fleet = true;
        let changes: Vec<Sent> =
            records.iter().filter_map(|record| sent(&Change::Put(record.clone()))).collect();
        if self.settings.redis.is_some() {
            for (batch, records) in changes.chunks(BATCH).zip(records.chunks_mut(BATCH)) {
                match self.send(batch).await {
                    // Each field has a number of its own, and the last has this.
                    Some(last) => {
                        for (back, record) in records.iter_mut().rev().enumerate() {
                            record.version = last.saturating_sub(back as u64);
                        }
                    }
                    None => has_reached_fleet = false,
                }
            }
        }
        let after_known = self.version() + 1;
        self.change(|set| {
            for mut record in records {
                if record.version == 0 {
                    record.version = after_known;
                }
                set.apply(&Change::Put(record));
            }
        });
        if self.settings.redis.is_none() {
            self.place().version += 1;
        }
        has_reached_fleet
    }

    /// Makes changes that only the fleet as a whole can make.
    async fn decide(&self, changes: Vec<Change>) -> Result<(), ListError> {
        if self.settings.redis.is_some() {
            let set = self.revocations.load_full();
            let later = self.clock.now().as_secs() + 3_600;
            let all: Vec<Sent> = changes
                .iter()
                .filter_map(|change| match change {
                    Change::Remove { list, identifier } => {
                        let left = set.seconds_left(*list, identifier, self.clock.now()).unwrap_or(0);
                        Some(sent_removal(*list, identifier, later + left))
                    }
                    change => sent(change),
                })
                .collect();
            for batch in all.chunks(BATCH) {
                self.send(batch).await.ok_or(ListError::Away)?;
            }
        } else {
            self.place().version += 1;
        }
        self.change(|set| changes.iter().for_each(|change| set.apply(change)));
        self.save().await;
        if self.is_saved() { Ok(()) } else { Err(ListError::Unsaved) }
    }

    async fn send(&self, batch: &[Sent]) -> Option<u64> {
        let keys = ["meta", "records", "changes", "ends"].map(|name| self.key(name));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let channel = self.channel();
        let mut arguments: Vec<&[u8]> = vec![channel.as_bytes()];
        for (field, value, ends, _) in batch {
            arguments.extend([field.as_bytes(), value.as_bytes(), ends.as_bytes()]);
        }
        self.call(&CHANGE, &keys, &arguments).await
    }
}
