//! Verifying a session as it was presented, on the way of every request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::text::{self, Session};
use super::{At, Sessions, WRITING};
use crate::domain::token::acl;
use crate::domain::token::address;
use crate::domain::token::edgeauth::fields::{Fields, split_hmac};
use crate::domain::token::grant::UnixTime;
use crate::domain::token::key::Algorithm;
use crate::domain::token::reason::Reason;
use crate::domain::uri::escape;
use crate::domain::uri::parts::has;

/// The longest presented session that is looked at, escapes included.
pub const PRESENTED_BYTES_MAX: usize = 4096;

/// Most sessions are shorter than this; they are decoded in a smaller buffer.
const PRESENTED_BYTES_USUAL: usize = 512;

/// The longest session id that a session carries on: what Akamai allows.
pub const SESSION_ID_BYTES_MAX: usize = 64;

/// The longest id in a session: each of its bytes escaped.
const ID_BYTES_MAX: usize = 3 * SESSION_ID_BYTES_MAX;

/// What an ordinary request needs to know of its session. Small, and made without allocating.
#[derive(Clone, PartialEq, Eq)]
pub struct Admitted<'a> {
    pub expires: u64,
    pub first_mint: Option<u64>,
    pub key_name: Arc<str>,
    /// Which viewing it belongs to, where viewings are counted.
    pub viewing: Option<u64>,
    id: Option<Id>,
    presented: &'a str,
    /// The reading of what was presented that verified.
    form: Form,
}

impl Admitted<'_> {
    /// The session's HMAC in hex: the end of its text in every spelling.
    pub fn hmac(&self) -> &str {
        let start = self.presented.len().saturating_sub(Algorithm::Sha256.hex_digits());
        self.presented.get(start..).unwrap_or_default()
    }

    /// The session id that the access token brought.
    pub fn id(&self) -> Option<&str> {
        self.id.as_ref().map(Id::as_str)
    }
}

impl fmt::Debug for Admitted<'_> {
    /// What was presented admits whoever holds it, so it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("expires", &self.expires)
            .field("key_name", &self.key_name)
            .field("id", &self.id)
            .finish_non_exhaustive()
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

impl Sessions {
    /// Whether a presented session is good for a request, without allocating. `presented` stands as it came, escapes and all.
    ///
    /// The carriers escape once; some players escape the whole value once more. A text with the delimiters themselves
    /// escaped twice is no work of theirs.
    pub fn admit<'a>(&self, presented: &'a str, at: &At<'_>, now: UnixTime) -> Result<Admitted<'a>, Reason> {
        if presented.len() > PRESENTED_BYTES_MAX {
            return Err(Reason::Malformed);
        }
        if presented.len() <= PRESENTED_BYTES_USUAL {
            self.admit_in(&mut [0; PRESENTED_BYTES_USUAL], presented, at, now)
        } else {
            self.admit_in(&mut [0; PRESENTED_BYTES_MAX], presented, at, now)
        }
    }

    /// As [`Sessions::admit`], with the texts that personalise a playlist.
    pub fn verify(&self, presented: &str, at: &At<'_>, now: UnixTime) -> Result<Session, Reason> {
        self.admit(presented, at, now).map(|admitted| self.session(&admitted))
    }

    /// The texts of a session that was admitted: they are read again, and not judged again.
    pub fn session(&self, admitted: &Admitted<'_>) -> Session {
        const VERIFIED: &str = "this reading of this text was admitted";
        let mut buffer = vec![0; admitted.presented.len()];
        let canonical = admitted.form.of(admitted.presented, &mut buffer).expect(VERIFIED);
        let (signed, _) = canonical.rsplit_once("~hmac=").expect(VERIFIED);
        let fields = Fields::parse(signed, WRITING).expect(VERIFIED);
        Session::read(canonical, &fields, &self.settings.name, &admitted.key_name)
    }

    /// Looks at the payload of a session that was admitted, without allocating for a text of usual length.
    pub fn with_payload<R>(&self, admitted: &Admitted<'_>, look: impl FnOnce(Option<&str>) -> R) -> R {
        if admitted.presented.len() <= PRESENTED_BYTES_USUAL {
            self.payload_in(&mut [0; PRESENTED_BYTES_USUAL], admitted, look)
        } else {
            self.payload_in(&mut [0; PRESENTED_BYTES_MAX], admitted, look)
        }
    }

    fn payload_in<R>(
        &self,
        buffer: &mut [u8],
        admitted: &Admitted<'_>,
        look: impl FnOnce(Option<&str>) -> R,
    ) -> R {
        let canonical = admitted.form.of(admitted.presented, buffer);
        let signed = canonical.and_then(|canonical| canonical.rsplit_once("~hmac="));
        let fields = signed.and_then(|(signed, _)| Fields::parse(signed, WRITING).ok());
        let payload = fields.and_then(|fields| text::payload(fields.data?, &self.settings.name));
        look(payload.map(|(_, payload)| payload).filter(|payload| !payload.is_empty()))
    }

    fn admit_in<'a>(
        &self,
        buffer: &mut [u8],
        presented: &'a str,
        at: &At<'_>,
        now: UnixTime,
    ) -> Result<Admitted<'a>, Reason> {
        let mut refusal = Reason::Malformed;
        for form in [Form::Decoded, Form::AsPresented, Form::DecodedTwice] {
            let Some(canonical) = form.of(presented, buffer) else { continue };
            let Some((signed, digest)) = split_hmac(canonical, WRITING.delimiter, Algorithm::Sha256) else {
                continue;
            };
            refusal = Reason::BadSignature;
            let keys = self.keys.load();
            let salted: &[u8] = if at.salt.is_empty() { b"" } else { b"~salt=" };
            let parts = [signed.as_bytes(), salted, at.salt];
            let verifying = keys.at(now).find(|named| named.key.verifies(&parts, &digest));
            if let Some(named) = verifying {
                let fields = Fields::parse(signed, WRITING).map_err(|_| Reason::Malformed)?;
                let viewing = self.check(&fields, at, now)?;
                let id = fields.id.map(|id| Id::new(id).ok_or(Reason::Malformed)).transpose()?;
                let (expires, first_mint) = (fields.expires, fields.start);
                let key_name = named.name.clone();
                return Ok(Admitted { expires, first_mint, key_name, viewing, id, presented, form });
            }
        }
        Err(refusal)
    }

    /// The policy; the number of the viewing comes of reading the payload.
    fn check(&self, fields: &Fields<'_>, at: &At<'_>, now: UnixTime) -> Result<Option<u64>, Reason> {
        let data = fields.data.ok_or(Reason::Malformed)?;
        let acl = fields.acl.ok_or(Reason::Malformed)?;
        let (viewing, _) = text::payload(data, &self.settings.name).ok_or(Reason::Malformed)?;
        if now >= Duration::from_secs(fields.expires) {
            return Err(Reason::Expired);
        }
        let admits = |ip: &str| {
            let is_one = !ip.contains(['/', ',']);
            if is_one {
                self.settings.address_match.agrees(ip, at.client)
            } else {
                address::in_networks(ip, at.client)
            }
        };
        if fields.ip.is_some_and(|ip| !admits(ip)) {
            return Err(Reason::IpMismatch);
        }
        if acl::covers(acl, at.path) { Ok(viewing) } else { Err(Reason::AclMismatch) }
    }
}

/// A reading of what was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Decoded,
    AsPresented,
    DecodedTwice,
}

impl Form {
    fn of<'b>(self, presented: &'b str, buffer: &'b mut [u8]) -> Option<&'b str> {
        if !has(presented, b'%') {
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
