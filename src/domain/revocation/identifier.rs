//! What a revocation names, in the one form in which it is compared.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::domain::token::address;
use crate::domain::uri::escape;

use super::shard;

/// The longest text that can be revoked: what fits a token.
pub const TEXT_BYTES_MAX: usize = 4096;

/// What a revocation names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// The session id that access tokens bring.
    Session(Box<str>),
    /// The payload that access tokens bring.
    Payload(Box<str>),
    /// The client's address, or a network that it lies in.
    Address(IpNet),
    /// One viewing that an operator ended.
    Ended(u64),
    /// One viewing that gave way to a newer one, under a limit.
    Displaced(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Session,
    Payload,
    Address,
    Ended,
    Displaced,
}

/// Why a text names nothing that could be revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    #[error("an identifier is empty")]
    Empty,
    #[error("an identifier has {0} bytes; {TEXT_BYTES_MAX} is the most")]
    TooLong(usize),
    #[error(
        "\"{0}\" is neither an address nor a network; write for example 203.0.113.7, 203.0.113.0/24 or 2001:db8::/48"
    )]
    Address(String),
    #[error("\"{0}\" is no viewing; write its 16 hex digits, as the list of sessions has them")]
    Viewing(String),
    #[error("\"{0}\" is no kind of identifier; write session, payload, address or viewing")]
    Kind(String),
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Session, Self::Payload, Self::Address, Self::Ended, Self::Displaced];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Payload => "payload",
            Self::Address => "address",
            Self::Ended => "viewing",
            Self::Displaced => "displaced",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Result<Self, IdentifierError> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        known.ok_or_else(|| IdentifierError::Kind(name.to_owned()))
    }
}

impl Identifier {
    /// Reads a text of a kind into its normal form.
    pub fn new(kind: Kind, text: &str) -> Result<Self, IdentifierError> {
        if text.is_empty() {
            return Err(IdentifierError::Empty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(IdentifierError::TooLong(text.len()));
        }
        match kind {
            Kind::Session => Ok(Self::Session(normal(text).into())),
            Kind::Payload => Ok(Self::Payload(normal(text).into())),
            Kind::Address => {
                network(text).map(Self::Address).ok_or_else(|| IdentifierError::Address(text.to_owned()))
            }
            Kind::Ended => viewing(text).map(Self::Ended),
            Kind::Displaced => viewing(text).map(Self::Displaced),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Session(_) => Kind::Session,
            Self::Payload(_) => Kind::Payload,
            Self::Address(_) => Kind::Address,
            Self::Ended(_) => Kind::Ended,
            Self::Displaced(_) => Kind::Displaced,
        }
    }

    pub(super) fn shard(&self) -> usize {
        match self {
            Self::Session(text) | Self::Payload(text) => shard::of_text(text),
            Self::Address(network) => shard::of_network(network),
            Self::Ended(viewing) | Self::Displaced(viewing) => shard::of_number(*viewing),
        }
    }
}

impl fmt::Display for Identifier {
    /// The text without its kind; [`Identifier::new`] reads it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(text) | Self::Payload(text) => f.write_str(text),
            Self::Address(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            Self::Address(network) => network.fmt(f),
            Self::Ended(viewing) | Self::Displaced(viewing) => write!(f, "{viewing:016x}"),
        }
    }
}

/// A viewing by its 16 hex digits.
pub fn viewing(text: &str) -> Result<u64, IdentifierError> {
    let is_number = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = if is_number { u64::from_str_radix(text, 16).ok() } else { None };
    number.ok_or_else(|| IdentifierError::Viewing(text.to_owned()))
}

/// The one form in which texts are compared: every escape decoded, also those that decoding brings about, so that a signer who
/// escaped once or twice, a session that carries an id on, and an operator who types it plainly mean one thing. What is no escape
/// stays, and case counts. Two ids that differ in escapes alone are one, and revoked together.
pub fn normal(text: &str) -> Cow<'_, str> {
    if !text.as_bytes().contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        bytes.push(byte);
        while let [.., b'%', high, low] = bytes[..]
            && let Some(decoded) = escape::escaped_byte(&[high, low])
        {
            bytes.truncate(bytes.len() - 3);
            bytes.push(decoded);
        }
    }
    Cow::Owned(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// An address or a network; IPv4-mapped IPv6 is IPv4.
fn network(text: &str) -> Option<IpNet> {
    if let Some(address) = address::parse(text) {
        return Some(IpNet::from(address));
    }
    let network: IpNet = text.parse().ok()?;
    let network = network.trunc();
    match (network.addr().to_canonical(), network.prefix_len()) {
        (IpAddr::V4(address), length) if network.addr().is_ipv6() && length >= 96 => {
            Ipv4Net::new(address, length - 96).ok().map(IpNet::V4)
        }
        _ => Some(network),
    }
}
