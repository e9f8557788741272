//! Session tokens: minted after an access token verified, propagated through playlists, verified on every request.
//!
//! ```text
//! canonical  = [ip=…~][st=N~]exp=N~acl=A!B…[~id=…]~data=NAME[,payload]~hmac=<64 hex>
//! hash input = everything before ~hmac= [+ "~salt=" + the salt headers' values]
//! key        = HMAC-SHA256(the property's key, "sluicegate session v1 " + the property's name)
//! ```
//!
//! `NAME` is the session token's name (`hdntl`). `st`, ours, is the time of the first mint; only sessions that may be renewed
//! carry it. Escaping is transport: the HMAC is over the canonical text whatever carries it.
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
use std::time::Duration;

use crate::domain::token::acl;
use crate::domain::token::address::{self, AddressMatch};
use crate::domain::token::edgeauth::fields::{Fields, Writing, split_hmac};
use crate::domain::token::grant::{Grant, UnixTime};
use crate::domain::token::key::{Algorithm, Secret, Signer};
use crate::domain::token::reason::Reason;
use crate::domain::uri::escape;

pub mod carrier;
pub mod text;

use text::Session;

/// The longest presented session that is looked at, escapes included.
pub const PRESENTED_BYTES_MAX: usize = 4096;

/// Most sessions are shorter than this; they are decoded in a smaller buffer.
const PRESENTED_BYTES_USUAL: usize = 512;

/// The longest id in a session: the 64 bytes that Akamai allows, each of them escaped.
const ID_BYTES_MAX: usize = 3 * 64;

const MINUTE_SECONDS: u64 = 60;

const DELIMITER: char = '~';

const WRITING: Writing = Writing { delimiter: DELIMITER, delimiter_in_values: false, fields_max: 7 };

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

/// What an ordinary request needs to know of its session. Small, and made without allocating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub expires: u64,
    pub first_mint: Option<u64>,
    pub key_name: &'static str,
    id: Option<Id>,
}

impl Admitted {
    /// The session id that the access token brought.
    pub fn id(&self) -> Option<&str> {
        self.id.as_ref().map(Id::as_str)
    }
}

/// A session id, at most [`ID_BYTES_MAX`] bytes of ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Id {
    bytes: [u8; ID_BYTES_MAX],
    length: u8,
}

impl Id {
    fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; ID_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: u8::try_from(text.len()).ok()? })
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("it was copied from a string")
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Mints and verifies the sessions of one property.
#[derive(Clone)]
pub struct Sessions {
    settings: Settings,
    keys: Vec<(&'static str, Signer)>,
}

impl Sessions {
    /// One key is derived from each of the property's; the first mints.
    ///
    /// # Panics
    /// Without a key: the configuration has to refuse that before.
    pub fn new(property: &str, keys: &[(&'static str, &Secret)], settings: Settings) -> Self {
        assert!(!keys.is_empty(), "a property that mints sessions has a key");
        let label = format!("sluicegate session v1 {property}");
        let derived = keys
            .iter()
            .map(|(name, key)| (*name, Signer::new(&key.derived(&label), Algorithm::Sha256)))
            .collect();
        Self { settings, keys: derived }
    }

    /// The session for an access token that has just verified. The same grant gives the same text within one minute.
    pub fn mint(&self, grant: &Grant, life: Life, salt: &[u8], now: UnixTime) -> Session {
        let carry = self.settings.carry;
        let minute = minute_of(now);
        let ttl_max = ceiling_seconds(self.settings.ttl_max);
        let (life_seconds, first_mint) = match life {
            Life::Fixed { media_duration: Some(duration) } => {
                (ceiling_seconds(duration).saturating_add(MINUTE_SECONDS).min(ttl_max), None)
            }
            Life::Fixed { media_duration: None } => (ttl_max, None),
            Life::Renewable => (ttl_max, Some(minute)),
        };
        let pause = ceiling_seconds(self.settings.pause_allowance);
        let claims = text::Claims {
            ip: grant.ip.as_deref().filter(|_| carry.ip).and_then(address::parse),
            first_mint,
            expires: bounded(minute.saturating_add(life_seconds).saturating_add(pause)),
            acl: match grant.acl.as_deref().filter(|_| carry.acl) {
                None => "/*",
                // A field may not be empty. Like an empty ACL, a lone separator matches nothing.
                Some("") => "!",
                Some(acl) => acl,
            },
            id: grant.session_id.as_deref().filter(|id| carry.id && !id.is_empty()),
            name: &self.settings.name,
            payload: grant.payload.as_deref().filter(|payload| carry.data && !payload.is_empty()),
        };
        let (key_name, signer) = &self.keys[0];
        Session::signed(&claims.signed_part(), &self.settings.name, key_name, |signed| {
            sign(signer, signed, salt)
        })
    }

    /// Whether a presented session is good for a request, without allocating. `presented` stands as it came, escapes and all.
    pub fn admit(&self, presented: &str, at: &At<'_>, now: UnixTime) -> Result<Admitted, Reason> {
        self.judged(presented, at, now, |_, fields, key_name| {
            let id = fields.id.map(|id| Id::new(id).ok_or(Reason::Malformed)).transpose()?;
            Ok(Admitted { expires: fields.expires, first_mint: fields.start, key_name, id })
        })?
    }

    /// As [`Sessions::admit`], with the texts that personalise a playlist.
    pub fn verify(&self, presented: &str, at: &At<'_>, now: UnixTime) -> Result<Session, Reason> {
        self.judged(presented, at, now, |canonical, fields, key_name| {
            Session::read(canonical, fields, &self.settings.name, key_name)
        })
    }

    /// A successor for a session in a cookie: in the last half of its life, and never past `age_max` since the first mint.
    pub fn renewed(&self, session: &Session, salt: &[u8], now: UnixTime) -> Option<Session> {
        if !self.settings.renew {
            return None;
        }
        let first_mint = session.first_mint()?;
        let life = ceiling_seconds(self.settings.ttl_max)
            .saturating_add(ceiling_seconds(self.settings.pause_allowance));
        let left = session.expires().checked_sub(now.as_secs())?;
        if left > life / 2 {
            return None;
        }
        let oldest = first_mint.saturating_add(self.settings.age_max.as_secs());
        let expires = bounded(minute_of(now).saturating_add(life).min(oldest));
        if expires <= session.expires() {
            return None;
        }
        let (key_name, signer) = &self.keys[0];
        let successor = session.signed_part_until(expires);
        Some(Session::signed(&successor, &self.settings.name, key_name, |signed| sign(signer, signed, salt)))
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Finds the canonical text behind what was presented, and judges it.
    ///
    /// The carriers escape once; some players escape the whole value once more. A text with the delimiters themselves
    /// escaped twice is no work of theirs.
    fn judged<T>(
        &self,
        presented: &str,
        at: &At<'_>,
        now: UnixTime,
        then: impl FnOnce(&str, &Fields<'_>, &'static str) -> T,
    ) -> Result<T, Reason> {
        if presented.len() > PRESENTED_BYTES_MAX {
            return Err(Reason::Malformed);
        }
        if presented.len() <= PRESENTED_BYTES_USUAL {
            self.judged_in(&mut [0; PRESENTED_BYTES_USUAL], presented, at, now, then)
        } else {
            self.judged_in(&mut [0; PRESENTED_BYTES_MAX], presented, at, now, then)
        }
    }

    fn judged_in<T>(
        &self,
        buffer: &mut [u8],
        presented: &str,
        at: &At<'_>,
        now: UnixTime,
        then: impl FnOnce(&str, &Fields<'_>, &'static str) -> T,
    ) -> Result<T, Reason> {
        let mut refusal = Reason::Malformed;
        for form in [Form::Decoded, Form::AsPresented, Form::DecodedTwice] {
            let Some(canonical) = form.of(presented, buffer) else { continue };
            let Some((signed, digest)) = split_hmac(canonical, DELIMITER, Algorithm::Sha256) else {
                continue;
            };
            refusal = Reason::BadSignature;
            let mut keys = self.keys.iter();
            let salted: &[u8] = if at.salt.is_empty() { b"" } else { b"~salt=" };
            let parts = [signed.as_bytes(), salted, at.salt];
            if let Some((key_name, _)) = keys.find(|(_, signer)| signer.verifies(&parts, &digest)) {
                let fields = Fields::parse(signed, WRITING).map_err(|_| Reason::Malformed)?;
                self.check(&fields, at, now)?;
                return Ok(then(canonical, &fields, key_name));
            }
        }
        Err(refusal)
    }

    fn check(&self, fields: &Fields<'_>, at: &At<'_>, now: UnixTime) -> Result<(), Reason> {
        let data = fields.data.ok_or(Reason::Malformed)?;
        let acl = fields.acl.ok_or(Reason::Malformed)?;
        text::payload(data, &self.settings.name).ok_or(Reason::Malformed)?;
        if now >= Duration::from_secs(fields.expires) {
            return Err(Reason::Expired);
        }
        if fields.ip.is_some_and(|ip| !self.settings.address_match.agrees(ip, at.client)) {
            return Err(Reason::IpMismatch);
        }
        if acl::covers(acl, at.path) { Ok(()) } else { Err(Reason::AclMismatch) }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A reading of what was presented.
#[derive(Clone, Copy, Debug)]
enum Form {
    Decoded,
    AsPresented,
    DecodedTwice,
}

impl Form {
    fn of<'b>(self, presented: &'b str, buffer: &'b mut [u8]) -> Option<&'b str> {
        if !presented.contains('%') {
            return matches!(self, Self::Decoded).then_some(presented);
        }
        let once = match self {
            Self::AsPresented => return Some(presented),
            Self::Decoded | Self::DecodedTwice => escape::decode_into(presented.as_bytes(), buffer)?,
        };
        if matches!(self, Self::DecodedTwice) {
            let decoded = &buffer[..once];
            if !decoded.contains(&b'%') || memchr::memmem::find(decoded, b"~hmac=").is_none() {
                return None;
            }
            let twice = decode_in_place(&mut buffer[..once])?;
            return std::str::from_utf8(&buffer[..twice]).ok();
        }
        std::str::from_utf8(&buffer[..once]).ok()
    }
}

/// Decodes escapes where they stand: what is written never overtakes what is read.
fn decode_in_place(text: &mut [u8]) -> Option<usize> {
    let (mut read, mut written) = (0, 0);
    while let Some(&byte) = text.get(read) {
        if byte == b'%' {
            text[written] = escape::escaped_byte(text.get(read + 1..)?)?;
            read += 3;
        } else {
            text[written] = byte;
            read += 1;
        }
        written += 1;
    }
    Some(written)
}

fn sign(signer: &Signer, text: &str, salt: &[u8]) -> String {
    let salted: &[u8] = if salt.is_empty() { b"" } else { b"~salt=" };
    let mut hex = String::with_capacity(Algorithm::Sha256.hex_digits());
    signer.sign(&[text.as_bytes(), salted, salt]).write_hex(&mut hex);
    hex
}

fn minute_of(now: UnixTime) -> u64 {
    let now = bounded(now.as_secs());
    now - now % MINUTE_SECONDS
}

fn ceiling_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// A time that is still written with at most 19 digits.
fn bounded(seconds: u64) -> u64 {
    seconds.min(9_999_999_999_999_999_999)
}

#[cfg(test)]
mod tests;
