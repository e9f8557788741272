//! One session's text: canonical, and as each carrier writes it.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::domain::token::acl;
use crate::domain::token::edgeauth::fields::Fields;
use crate::domain::uri::escape::{self, Place};

/// What a session says, before it is written.
#[derive(Clone, Debug)]
pub(super) struct Claims<'a> {
    pub(super) ip: Option<String>,
    pub(super) first_mint: Option<u64>,
    pub(super) expires: u64,
    pub(super) acl: &'a str,
    pub(super) id: Option<&'a str>,
    pub(super) name: &'a str,
    /// The number of the viewing, where sessions are counted.
    pub(super) viewing: Option<u64>,
    pub(super) payload: Option<&'a str>,
}

impl Claims<'_> {
    pub(super) fn signed_part(&self) -> String {
        let mut out = String::with_capacity(128);
        if let Some(ip) = &self.ip {
            let _ = write!(out, "ip={ip}~");
        }
        if let Some(first_mint) = self.first_mint {
            let _ = write!(out, "st={first_mint}~");
        }
        let _ = write!(out, "exp={}~acl={}", self.expires, acl::normalise(self.acl));
        if let Some(id) = self.id {
            out.push_str("~id=");
            push_harmless(&mut out, id);
        }
        out.push_str("~data=");
        out.push_str(self.name);
        if let Some(viewing) = self.viewing {
            let _ = write!(out, ".{viewing:016x}");
        }
        if let Some(payload) = self.payload {
            out.push(',');
            push_harmless(&mut out, payload);
        }
        out
    }
}

/// Appends a value that others have chosen; what would end the field, a line, a header or an attribute is escaped.
fn push_harmless(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '!'..='}' if !matches!(character, '"' | '\\') => out.push(character),
            _ => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    escape::push_escape(out, byte);
                }
            }
        }
    }
}

/// What follows the name in a session's `data`: the number of the viewing, and the payload, empty when there is none; `None` when
/// it is not a session's.
pub(super) fn payload<'a>(data: &'a str, name: &str) -> Option<(Option<u64>, &'a str)> {
    let rest = data.strip_prefix(name)?;
    let (viewing, rest) = match rest.strip_prefix('.') {
        Some(numbered) => {
            let (digits, rest) = numbered.split_at_checked(16)?;
            let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            (Some(u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)?), rest)
        }
        None => (None, rest),
    };
    match rest {
        "" => Some((viewing, "")),
        rest => rest.strip_prefix(',').map(|payload| (viewing, payload)),
    }
}

/// A session that was minted or verified here.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    name: String,
    canonical: String,
    key_name: Arc<str>,
    expires: u64,
    first_mint: Option<u64>,
    acl: String,
    ip: Option<String>,
    id: Option<String>,
    viewing: Option<u64>,
    payload: Option<String>,
}

impl Session {
    /// `canonical` with the fields that were parsed from it.
    pub(super) fn read(canonical: &str, fields: &Fields<'_>, name: &str, key_name: &Arc<str>) -> Self {
        let (viewing, payload) = fields.data.and_then(|data| payload(data, name)).unwrap_or_default();
        let payload = Some(payload).filter(|payload| !payload.is_empty());
        Self {
            name: name.to_owned(),
            canonical: canonical.to_owned(),
            key_name: key_name.clone(),
            expires: fields.expires,
            first_mint: fields.start,
            acl: fields.acl.unwrap_or_default().to_owned(),
            ip: fields.ip.map(str::to_owned),
            id: fields.id.map(str::to_owned),
            viewing,
            payload: payload.map(str::to_owned),
        }
    }

    /// The session whose signed part this is.
    pub(super) fn signed(
        signed: &str,
        name: &str,
        key_name: &Arc<str>,
        hmac: impl FnOnce(&str) -> String,
    ) -> Self {
        let canonical = format!("{signed}~hmac={}", hmac(signed));
        let fields = Fields::parse(signed, super::WRITING).expect("a session is written as it is read");
        Self::read(&canonical, &fields, name, key_name)
    }

    /// The signed part with another end.
    pub(super) fn signed_part_until(&self, expires: u64) -> String {
        let signed = self.canonical.rsplit_once("~hmac=").map_or("", |(signed, _)| signed);
        let fields = signed
            .split('~')
            .map(|field| if field.starts_with("exp=") { format!("exp={expires}") } else { field.to_owned() });
        fields.collect::<Vec<_>>().join("~")
    }

    /// The text over which the HMAC is taken, and the HMAC.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Unix time, seconds, at which it ends.
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// Unix time, seconds, of the first mint; only for sessions that may be renewed.
    pub fn first_mint(&self) -> Option<u64> {
        self.first_mint
    }

    pub fn acl(&self) -> &str {
        &self.acl
    }

    pub fn ip(&self) -> Option<&str> {
        self.ip.as_deref()
    }

    /// The session id that the access token brought.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Which viewing it belongs to, where viewings are counted.
    pub fn viewing(&self) -> Option<u64> {
        self.viewing
    }

    /// The payload that the access token brought.
    pub fn payload(&self) -> Option<&str> {
        self.payload.as_deref()
    }

    /// Which of the property's keys signed it: its name in the configuration.
    pub fn key_name(&self) -> &Arc<str> {
        &self.key_name
    }

    /// `hdntl=exp=…~acl=%2f*~data=hdntl~hmac=…`, for a component of a path, without slashes around it.
    pub fn path_component(&self) -> String {
        format!("{}={}", self.name, self.escaped(Place::Path))
    }

    /// `hdntl=exp=…~acl=/*~data=hdntl~hmac=…`, for a query, without `?` or `&` before it.
    pub fn query_pair(&self) -> String {
        format!("{}={}", self.name, self.escaped(Place::Query))
    }

    /// A cookie's value.
    pub fn cookie_value(&self) -> String {
        self.escaped(Place::Cookie)
    }

    /// A header's value; written as in a path.
    pub fn header_value(&self) -> String {
        self.escaped(Place::Path)
    }

    /// Whether it could be shown again: a payload of bytes that are escaped twice over can grow beyond what is looked at.
    pub fn fits(&self) -> bool {
        self.escaped(Place::Path).len() <= super::verify::PRESENTED_BYTES_MAX
    }

    /// The canonical text with its values escaped; the names, their `=` and the delimiters stay.
    fn escaped(&self, place: Place) -> String {
        let mut out = String::with_capacity(self.canonical.len() + 16);
        for (index, field) in self.canonical.split('~').enumerate() {
            if index > 0 {
                out.push('~');
            }
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            out.push_str(name);
            out.push('=');
            escape::encode_into(&mut out, value, place);
        }
        out
    }
}

impl std::fmt::Debug for Session {
    /// A session's text admits whoever holds it, so it is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("expires", &self.expires)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
