//! Session tokens: minted after an access token verified, propagated through playlists, verified on every request.
//!
//! ```text
//! canonical  = [ip=…~][st=N~]exp=N~acl=A!B…[~id=…]~data=NAME[.V][,payload]~hmac=<64 hex>
//! hash input = everything before ~hmac= [+ "~salt=" + the salt headers' values]
//! key        = HMAC-SHA256(the property's key, "sluicegate session v1 " + the property's name)
//! ```
//!
//! `NAME` is the session token's name (`hdntl`). `st`, ours, is the time of the first mint; only sessions that may be renewed
//! carry it. `V`, ours, is the number of the viewing in 16 hex digits; only properties that count viewings write it. Escaping is transport: the HMAC is over the canonical text whatever carries it.
//!
//! What is answered: an access token shown as a session or the reverse, and a session of another property (the derived key);
//! text injected through a signed id or payload (escaped when minted); renewal without end (`st`); two sessions for one viewer
//! (minting is deterministic within a minute).
//!
//! # Life
//! Times are counted from the minute in which a session is minted, so that one access token gives one text within a minute. A minute
//! is added to the media's duration, so that the rounding never takes from it, and then the whole is capped:
//! `exp = minute + min(duration + 60 s, ttl_max) + pause_allowance`. So a session never outlives
//! `ttl_max + pause_allowance`, and never ends before the media does, unless the media comes within a minute of `ttl_max`: there the cap wins.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::domain::token::address::AddressMatch;
use crate::domain::token::edgeauth::fields::Writing;
use crate::domain::token::key::{Algorithm, Secret, Signer};
use crate::domain::token::keys::Keys;

pub mod carrier;
mod mint;
pub mod text;
pub mod verify;

const WRITING: Writing = Writing { delimiter: '~', delimiter_in_values: false, fields_max: 7 };

/// Which parts of the access token the session takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four switches of the configuration, each independent")]
pub struct Carry {
    pub id: bool,
    pub data: bool,
    pub ip: bool,
    pub acl: bool,
}

impl Default for Carry {
    fn default() -> Self {
        Self { id: true, data: true, ip: false, acl: false }
    }
}

/// How one property's sessions are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The token's name, and the first word of its payload: letters, digits, `-` and `_`.
    pub name: String,
    pub carry: Carry,
    /// The cap of a session's life, and its length when the media's duration is not known.
    pub ttl_max: Duration,
    /// Added to every life, so that a viewer who pauses is not cut off.
    pub pause_allowance: Duration,
    /// Whether sessions in cookies are renewed.
    pub renew: bool,
    /// How long after its first mint a session may be renewed to.
    pub age_max: Duration,
    pub address_match: AddressMatch,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "hdntl".to_owned(),
            carry: Carry::default(),
            ttl_max: Duration::from_hours(24),
            pause_allowance: Duration::ZERO,
            renew: true,
            age_max: Duration::from_hours(24),
            address_match: AddressMatch::EXACT,
        }
    }
}

/// What a session is minted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// For URIs: long enough from the start, for media of this duration or of none that is known.
    Fixed { media_duration: Option<Duration> },
    /// For a cookie: `ttl_max`, with the time of the first mint, so that it can be renewed.
    Renewable,
}

/// The request for which a session is judged.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The path in its normal form.
    pub path: &'a str,
    pub client: IpAddr,
    /// The values of the salt headers; empty when none is configured.
    pub salt: &'a [u8],
}

/// Mints and verifies the sessions of one property.
#[derive(Clone)]
pub struct Sessions {
    settings: Settings,
    /// Derived from the property's name.
    label: String,
    keys: Arc<ArcSwap<Keys<Signer>>>,
}

impl Sessions {
    /// One key is derived from each of the property's; the first mints.
    ///
    /// # Panics
    /// Without a key: the configuration has to refuse that before.
    pub fn new(property: &str, keys: &Keys<Secret>, settings: Settings) -> Self {
        assert!(!keys.is_empty(), "a property that mints sessions has a key");
        let label = format!("sluicegate session v1 {property}");
        let derived = derived(keys, &label);
        Self { settings, label, keys: Arc::new(ArcSwap::from_pointee(derived)) }
    }

    /// Puts other keys in the place of these, for all requests from here on.
    ///
    /// # Panics
    /// Without a key.
    pub fn replace_keys(&self, keys: &Keys<Secret>) {
        assert!(!keys.is_empty(), "a property that mints sessions has a key");
        self.keys.store(Arc::new(derived(keys, &self.label)));
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }
}

fn derived(keys: &Keys<Secret>, label: &str) -> Keys<Signer> {
    keys.map(|key| Signer::new(&key.derived(label), Algorithm::Sha256))
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
