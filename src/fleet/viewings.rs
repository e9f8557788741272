//! Who watches, over all edges: told in batches, listed, and ended.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};

use crate::domain::revocation::DEFAULT_LIST;
use crate::domain::revocation::identifier::Identifier;
use crate::domain::token::grant::UnixTime;

use super::Fleet;
use super::ledger::Due;
use super::lists::{Added, ListError};
use super::scripts::{BATCH, TELL, VIEWINGS};

/// Questions that are under way at once when the fleet is told who watches.
const AT_ONCE: usize = 64;

/// One viewing for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its number in 16 hex digits.
    pub viewing: String,
    pub property: String,
    /// `id` or `payload`, by which it is counted, and the text.
    pub by: String,
    pub value: String,
    /// Where it began.
    pub address: String,
    pub began: u64,
    pub seen_seconds_ago: u64,
}

#[derive(Serialize, Deserialize)]
struct Text {
    property: String,
    by: String,
    value: String,
    address: String,
    began: u64,
}

impl Fleet {
    /// Tells the fleet who was seen, so that they keep their seats.
    pub(super) async fn tell(&self) {
        if self.link.load().is_none() {
            return;
        }
        let now = self.clock.now();
        let due = self.ledger.due(now);
        if due.is_empty() {
            return;
        }
        for batch in due.chunks(AT_ONCE) {
            let mut asking = FuturesUnordered::new();
            for due in batch {
                asking.push(self.tell_of(due, now));
            }
            while asking.next().await.is_some() {}
        }
        self.publish(&due).await;
    }

    async fn tell_of(&self, due: &Due, now: UnixTime) {
        let asked = self.ask_seat(&due.key, &due.whose.limits, due.viewing, due.address).await;
        let Some(seating) = asked else { return };
        if seating.is_over && self.ledger.make_room(now).is_ok() {
            self.ledger.refuse(due.key, &due.whose, due.viewing, due.address, now);
        }
        self.displace(&seating, &due.whose.limits, now).await;
    }

    async fn publish(&self, due: &[Due]) {
        let shown = due.iter().map(|due| due.whose.limits.active).max().unwrap_or_default();
        let shown = shown.as_millis().to_string();
        let (viewings, sessions) = (self.key("viewings"), self.key("sessions"));
        for batch in due.chunks(BATCH) {
            let texts: Vec<(String, String)> = batch.iter().map(|due| (number(due), text(due))).collect();
            let mut arguments: Vec<&[u8]> = vec![shown.as_bytes()];
            for (viewing, text) in &texts {
                arguments.extend([viewing.as_bytes(), text.as_bytes()]);
            }
            let _: Option<u8> = self.call(&TELL, &[&viewings, &sessions], &arguments).await;
        }
    }

    /// Those who watch, the latest seen first, from place `from` on; how many there are; whether that is all edges' or, the fleet
    /// being away, this one's.
    pub async fn watched(&self, from: usize, most: usize) -> (Vec<Watched>, usize, bool) {
        if let Some(remote) = self.watched_anywhere(from, most).await {
            return (remote.0, remote.1, true);
        }
        let now = self.clock.now();
        let all = self.ledger.all(now);
        let count = all.len();
        let page = all.into_iter().skip(from).take(most).map(|due| Watched {
            viewing: number(&due),
            property: due.whose.property.to_string(),
            by: due.whose.limits.by.as_str().to_owned(),
            value: due.whose.value.to_string(),
            address: due.address.to_string(),
            began: due.began.as_secs(),
            seen_seconds_ago: now.saturating_sub(due.seen).as_secs(),
        });
        (page.collect(), count, self.settings.redis.is_none())
    }

    async fn watched_anywhere(&self, from: usize, most: usize) -> Option<(Vec<Watched>, usize)> {
        let (viewings, sessions) = (self.key("viewings"), self.key("sessions"));
        let (first, last) = (from.to_string(), (from + most.max(1) - 1).to_string());
        let rows: Vec<String> =
            self.call(&VIEWINGS, &[&viewings, &sessions], &[first.as_bytes(), last.as_bytes()]).await?;
        let [count, now, rows @ ..] = rows.as_slice() else { return None };
        let now: u64 = now.parse().ok()?;
        let watched = rows.chunks_exact(3).filter_map(|row| {
            let text: Text = serde_json::from_str(&row[1]).ok()?;
            let seen: f64 = row[2].parse().ok()?;
            let seen = Duration::try_from_secs_f64(seen / 1_000.0).ok()?;
            Some(Watched {
                viewing: row[0].clone(),
                property: text.property,
                by: text.by,
                value: text.value,
                address: text.address,
                began: text.began,
                seen_seconds_ago: Duration::from_millis(now).saturating_sub(seen).as_secs(),
            })
        });
        Some((watched.collect(), count.parse().ok()?))
    }

    /// Ends a viewing: every edge refuses it for `duration`.
    pub async fn end(&self, viewing: u64, duration: Duration) -> Result<Added, ListError> {
        self.revoke(DEFAULT_LIST, vec![(Identifier::Ended(viewing), duration)]).await
    }
}

fn number(due: &Due) -> String {
    format!("{:016x}", due.viewing)
}

fn text(due: &Due) -> String {
    let text = Text {
        property: due.whose.property.to_string(),
        by: due.whose.limits.by.as_str().to_owned(),
        value: due.whose.value.to_string(),
        address: due.address.to_string(),
        began: due.began.as_secs(),
    };
    serde_json::to_string(&text).unwrap_or_default()
}
