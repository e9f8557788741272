//! Whether a viewing may begin: a one-time token's only use, and a seat under the limits.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::domain::revocation::Record;
use crate::domain::revocation::identifier::{Identifier, normal};
use crate::domain::token::grant::UnixTime;
use crate::domain::uri::hex::hex;

use super::Fleet;
use super::ledger::{GroupKey, Known, Seating, Whose};
use super::once::{TokenKey, Use, Used};
use super::scripts::{SEAT, USE};
use super::settings::{Action, Fail, Limits, Terms};

/// A token without an end is remembered for so long.
const TOKEN_LIFE_MAX: Duration = Duration::from_hours(24 * 30);

/// A request that needs a seat.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub terms: &'a Terms,
    pub limits: &'a Arc<Limits>,
    /// The session id or payload by which viewings are counted.
    pub value: &'a str,
    pub viewing: u64,
    pub client: IpAddr,
    pub now: UnixTime,
}

/// What an access token is to the fleet.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// By what it is recognised.
    pub token: TokenKey,
    /// Unix time, seconds, at which it ends.
    pub expires: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    Taken,
    Refused,
    /// The fleet would have to be asked and is away, and the property fails closed.
    Away,
}

impl Access {
    /// The number of the viewing that it begins at an address: the same for each use by the same viewer.
    pub fn viewing(&self, client: IpAddr) -> u64 {
        let digest = Sha256::new()
            .chain_update(b"sluicegate viewing v1 ")
            .chain_update(self.token)
            .chain_update(unit(client).to_string())
            .finalize();
        u64::from_be_bytes(std::array::from_fn(|at| digest[at]))
    }
}

impl Fleet {
    /// Uses a one-time token.
    pub async fn use_once(
        &self,
        terms: &Terms,
        access: Access,
        client: IpAddr,
        retry: Duration,
        now: UnixTime,
    ) -> Seat {
        let address = unit(client);
        let ends = Duration::from_secs(access.expires).min(now.saturating_add(TOKEN_LIFE_MAX));
        let used = Used { address, first: now, ends };
        let by_this_edge = self.tokens.known(&access.token, address, retry, now);
        let outcome = match by_this_edge {
            Some(known) => known,
            None if self.settings.redis.is_some() => match self.ask_use(access, used, retry).await {
                Some(Use::First) => {
                    self.tokens.note(access.token, used);
                    Use::First
                }
                Some(other) => other,
                None if terms.fail == Fail::Closed => return Seat::Away,
                None => {
                    self.counters.alone.add(1);
                    self.tokens.take(access.token, used, retry)
                }
            },
            None => self.tokens.take(access.token, used, retry),
        };
        match outcome {
            Use::First => {
                self.counters.tokens_used.add(1);
                self.keep_token(&access.token, used);
                Seat::Taken
            }
            Use::Retry => Seat::Taken,
            Use::Replay => {
                self.counters.tokens_replayed.add(1);
                Seat::Refused
            }
            Use::Full => self.without_room(terms),
        }
    }

    /// Gives a viewing its seat, or finds that it has one.
    pub async fn seat(&self, ask: Ask<'_>) -> Seat {
        let address = unit(ask.client);
        let key = group(&ask.terms.property, ask.limits, ask.value);
        match self.ledger.look(&key, ask.limits, ask.viewing, address, ask.now) {
            Known::Seated => return Seat::Taken,
            Known::Refused => return self.refused(),
            Known::No => {}
        }
        self.counters.asked.add(1);
        if self.ledger.make_room(ask.now).is_err() {
            return self.without_room(ask.terms);
        }
        let (key, whose) = whose(&ask.terms.property, ask.limits, ask.value);
        let asked = match self.settings.redis {
            Some(_) => self.ask_seat(&key, ask.limits, ask.viewing, address).await,
            None => None,
        };
        let seating = match asked {
            Some(seating) => {
                if seating.is_over {
                    self.ledger.refuse(key, &whose, ask.viewing, address, ask.now);
                } else {
                    self.ledger.note(key, &whose, ask.viewing, address, ask.now, None);
                }
                seating
            }
            None if self.settings.redis.is_some() && ask.terms.fail == Fail::Closed => return Seat::Away,
            None => {
                if self.settings.redis.is_some() {
                    self.counters.alone.add(1);
                }
                match self.ledger.seat(key, &whose, ask.viewing, address, ask.now) {
                    Ok(seating) => seating,
                    Err(_) => return self.without_room(ask.terms),
                }
            }
        };
        if seating.is_reported {
            self.counters.reported.add(1);
            tracing::info!(property = &*ask.terms.property, by = ask.value, "a viewing is over the limit");
        }
        let is_over = seating.is_over;
        self.displace(&seating, ask.limits, ask.now).await;
        if is_over { self.refused() } else { Seat::Taken }
    }

    /// One step in Redis; `None` when it cannot be asked.
    pub(super) async fn ask_seat(
        &self,
        key: &GroupKey,
        limits: &Limits,
        viewing: u64,
        address: IpAddr,
    ) -> Option<Seating> {
        let prefix = self.settings.redis.as_ref().map_or("", |redis| &redis.prefix);
        let group = hex(key);
        let keys =
            ["seen", "began", "over", "addresses"].map(|name| format!("{{{prefix}:g:{group}}}:{name}"));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let action = match limits.action {
            Action::DenyNewest => "newest",
            Action::DenyOldest => "oldest",
            Action::Report => "report",
        };
        let texts = [
            format!("{viewing:016x}"),
            address.to_string(),
            limits.sessions_max.unwrap_or(0).to_string(),
            limits.active.as_millis().to_string(),
            limits.addresses_max.unwrap_or(0).to_string(),
            limits.address_window.as_millis().to_string(),
            action.to_owned(),
            limits.life.as_millis().to_string(),
        ];
        let arguments: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let answer: Vec<String> = self.call(&SEAT, &keys, &arguments).await?;
        let (verdict, displaced) = answer.split_first()?;
        let mut seating =
            Seating { is_over: verdict == "over", is_reported: verdict == "reported", ..Seating::default() };
        for one in displaced {
            match one.split_at_checked(1) {
                Some(("v", digits)) => seating.displaced.extend(u64::from_str_radix(digits, 16).ok()),
                Some(("a", address)) => seating.displaced_addresses.extend(address.parse::<IpAddr>().ok()),
                Some(_) | None => {}
            }
        }
        Some(seating)
    }

    /// Those who gave way are refused by every edge, as fast as a revocation is.
    pub(super) async fn displace(&self, seating: &Seating, limits: &Limits, now: UnixTime) {
        if seating.displaced.is_empty() {
            return;
        }
        self.counters.displaced.add(seating.displaced.len() as u64);
        let ends = now.saturating_add(limits.life).as_secs();
        let list = crate::domain::revocation::DEFAULT_LIST;
        let records = seating.displaced.iter().map(|viewing| {
            let identifier = Identifier::Displaced(*viewing);
            Record { list, identifier, ends, version: 0 }
        });
        self.add(records.collect()).await;
    }

    async fn ask_use(&self, access: Access, used: Used, retry: Duration) -> Option<Use> {
        let prefix = self.settings.redis.as_ref().map_or("", |redis| &redis.prefix);
        let key = format!("{{{prefix}:t:{}}}", hex(&access.token));
        // A clock that is skewed lets a token live a little longer; it is remembered for longer than that.
        let life = used.ends.saturating_sub(used.first).max(retry) + Duration::from_mins(5);
        let texts = [used.address.to_string(), life.as_millis().to_string(), retry.as_millis().to_string()];
        let arguments: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        match self.call::<u8>(&USE, &[&key], &arguments).await? {
            1 => Some(Use::First),
            2 => Some(Use::Retry),
            _ => Some(Use::Replay),
        }
    }

    fn refused(&self) -> Seat {
        self.counters.refused.add(1);
        Seat::Refused
    }

    fn without_room(&self, terms: &Terms) -> Seat {
        self.counters.full.add(1);
        match terms.fail {
            Fail::Open => Seat::Taken,
            Fail::Closed => Seat::Away,
        }
    }
}

/// What is one address to limits: an IPv4 address, or a network of 64 bits, in which an IPv6 client picks its addresses.
fn unit(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let high = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(high))
        }
    }
}

fn group(property: &str, limits: &Limits, value: &str) -> GroupKey {
    let digest = Sha256::new()
        .chain_update(b"sluicegate group v1 ")
        .chain_update(property)
        .chain_update([0])
        .chain_update(limits.by.as_str())
        .chain_update([0])
        .chain_update(&*normal(value))
        .finalize();
    std::array::from_fn(|at| digest[at])
}

pub(super) fn whose(property: &Arc<str>, limits: &Arc<Limits>, value: &str) -> (GroupKey, Whose) {
    let whose = Whose { property: property.clone(), value: normal(value).into(), limits: limits.clone() };
    (group(property, limits, value), whose)
}
