//! From the files and into them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::domain::revocation::identifier::{Identifier, Kind, viewing};
use crate::domain::revocation::{Change, Record};
use crate::domain::uri::hex::hex;

use super::keep::{Keep, Line, UsedLine, ViewingLine};
use super::once::{TokenKey, Used};
use super::{Fleet, FleetError};

impl Fleet {
    pub(super) fn restore(&self, is_strict: bool) -> Result<(), FleetError> {
        let Some(keep) = &self.keep else { return Ok(()) };
        let folder =
            self.settings.folder.as_ref().map(|folder| folder.display().to_string()).unwrap_or_default();
        let fault = |error| FleetError::Folder { folder: folder.clone(), error };
        let now = self.clock.now();
        let read = keep.revocations().map_err(fault)?;
        if read.is_damaged {
            self.counters.files_damaged.add(1);
            if is_strict && self.settings.redis.is_none() {
                return Err(FleetError::Damaged(folder));
            }
            tracing::error!(
                folder,
                "the file of revocations is damaged: {} lines of it are used, and it is set aside as revocations.damaged",
                read.lines.len()
            );
        }
        self.change(|set| {
            for line in read.lines {
                match line {
                    Line::Fleet(place) => *self.place() = place,
                    Line::List { id, name } => set.apply(&Change::PutList { id, name: name.into() }),
                    Line::Revoked { list, kind, identifier, ends, version } => {
                        let kind = Kind::named(&kind);
                        let Ok(identifier) = kind.and_then(|kind| Identifier::new(kind, &identifier)) else {
                            continue;
                        };
                        set.apply(&Change::Put(Record { list, identifier, ends, version }));
                    }
                }
            }
            set.prune(now);
        });
        self.is_unsaved.store(read.is_damaged, Ordering::Release);
        let used = keep.tokens(|line| line.ends > now.as_secs()).map_err(fault)?;
        if used.is_damaged {
            self.counters.files_damaged.add(1);
            tracing::error!(
                folder,
                "the file of used one-time tokens is damaged: what is readable of it is used"
            );
        }
        for line in used.lines {
            let Some(token) = token_of(&line.token) else { continue };
            let first = Duration::from_millis(line.first_ms);
            let used = Used { address: line.address, first, ends: Duration::from_secs(line.ends) };
            self.tokens.note(token, used);
        }
        Ok(())
    }

    /// The viewings that were kept, for the properties whose terms are known.
    pub fn restore_viewings<'a>(&self, terms: impl Iterator<Item = &'a super::Terms>) {
        let Some(keep) = &self.keep else { return };
        let kept = match keep.viewings() {
            Ok(read) => read.lines,
            Err(error) => {
                self.counters.file_errors.add(1);
                tracing::error!("the file of viewings cannot be read: {error}");
                return;
            }
        };
        let terms: Vec<&super::Terms> = terms.collect();
        for line in kept {
            let of_line = terms.iter().find(|terms| *terms.property == *line.property);
            let Some(limits) = of_line.and_then(|terms| terms.limits.clone()) else { continue };
            let Ok(viewing) = viewing(&line.viewing) else { continue };
            let (key, whose) = super::seats::whose(&line.property.into(), &limits, &line.value);
            self.ledger.note(key, &whose, viewing, line.address, Duration::from_millis(line.seen_ms), None);
        }
        self.ledger.forget(self.clock.now());
    }

    /// Writes the revocations when they have changed.
    pub(super) async fn save(&self) {
        if self.keep.is_none() || !self.is_unsaved.load(Ordering::Acquire) {
            return;
        }
        let _saving = self.saving.lock().await;
        if !self.is_unsaved.swap(false, Ordering::AcqRel) {
            return;
        }
        let place = self.place().clone();
        let set = self.revocations.load_full();
        let mut lines = vec![Line::Fleet(place)];
        lines
            .extend(set.lists().iter().map(|(id, list)| Line::List { id: *id, name: list.name.to_string() }));
        lines.extend(set.records().map(|record| Line::Revoked {
            list: record.list,
            kind: record.identifier.kind().as_str().to_owned(),
            identifier: record.identifier.to_string(),
            ends: record.ends,
            version: record.version,
        }));
        if !self.write(move |keep| keep.save_revocations(&lines)) {
            self.is_unsaved.store(true, Ordering::Release);
        }
    }

    /// Whether the revocations of this moment are on disk, as far as there is one.
    pub(super) fn is_saved(&self) -> bool {
        self.keep.is_none() || !self.is_unsaved.load(Ordering::Acquire)
    }

    pub(super) async fn save_viewings(&self) {
        if self.keep.is_none() {
            return;
        }
        let _saving = self.saving.lock().await;
        let lines: Vec<ViewingLine> = self
            .ledger
            .all(self.clock.now())
            .into_iter()
            .map(|due| ViewingLine {
                property: due.whose.property.to_string(),
                value: due.whose.value.to_string(),
                viewing: format!("{:016x}", due.viewing),
                address: due.address,
                seen_ms: u64::try_from(due.seen.as_millis()).unwrap_or(u64::MAX),
            })
            .collect();
        self.write(move |keep| keep.save_viewings(&lines));
    }

    pub(super) fn keep_token(&self, token: &TokenKey, used: Used) {
        let Some(keep) = &self.keep else { return };
        let line = UsedLine {
            token: hex(token),
            address: used.address,
            first_ms: u64::try_from(used.first.as_millis()).unwrap_or(u64::MAX),
            ends: used.ends.as_secs(),
        };
        if let Err(error) = keep.append_token(&line) {
            self.counters.file_errors.add(1);
            tracing::error!("a used one-time token cannot be kept: {error}");
        }
    }

    /// A file is written where the thread may wait for the disk.
    fn write(&self, write: impl FnOnce(&Keep) -> std::io::Result<()>) -> bool {
        let Some(keep) = &self.keep else { return true };
        let can_block = tokio::runtime::Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
        let written = if can_block { tokio::task::block_in_place(|| write(keep)) } else { write(keep) };
        if let Err(error) = &written {
            self.counters.file_errors.add(1);
            tracing::error!("a file of the fleet's cannot be written: {error}");
        }
        written.is_ok()
    }
}

fn token_of(text: &str) -> Option<TokenKey> {
    u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(u128::to_be_bytes)
}
