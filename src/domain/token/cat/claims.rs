//! The claims of a token: each of the type that its standard gives it, and none that nobody here can judge.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use coset::CborSerializable;
use coset::cbor::value::Value;
use http::HeaderName;
use ipnet::IpNet;

use super::matching::Match;
use super::{Limits, cbor};
use crate::domain::token::grant::Nonce;
use crate::domain::token::identity;

/// The label of a claim: a number, or a text for what is not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    Number(i64),
    Text(String),
}

/// The registered claims that have to do with access (IANA, "CBOR Web Token (CWT) Claims").
pub const NAMES: [(&str, i64); 26] = [
    ("iss", 1),
    ("sub", 2),
    ("aud", 3),
    ("exp", 4),
    ("nbf", 5),
    ("iat", 6),
    ("cti", 7),
    ("cnf", 8),
    ("geohash", 282),
    ("catreplay", 308),
    ("catpor", 309),
    ("catv", 310),
    ("catnip", 311),
    ("catu", 312),
    ("catm", 313),
    ("catalpn", 314),
    ("cath", 315),
    ("catgeoiso3166", 316),
    ("catgeocoord", 317),
    ("catgeoalt", 318),
    ("cattpk", 319),
    ("catifdata", 320),
    ("catdpop", 321),
    ("catif", 322),
    ("catr", 323),
    ("cattprint", 324),
];

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => match NAMES.iter().find(|(_, known)| known == number) {
                Some((name, _)) => f.write_str(name),
                None => number.fmt(f),
            },
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl FromStr for Label {
    type Err = std::convert::Infallible;

    /// A name, a number, or else a label that is a text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
        let number = named.or_else(|| text.parse().ok());
        Ok(number.map_or_else(|| Self::Text(text.to_owned()), Self::Number))
    }
}

/// The parts of a URI that `catu` judges (CTA-5007, "URI components").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    Scheme,
    Host,
    Port,
    Path,
    Query,
    /// The path before the slash of its last segment.
    ParentPath,
    /// The last segment.
    Filename,
    /// The last segment before its last dot.
    Stem,
    /// The last segment from its last dot on.
    Extension,
}

impl Component {
    /// In the order of their labels, from 0 on.
    pub const ALL: [(&str, Self); 9] = [
        ("scheme", Self::Scheme),
        ("host", Self::Host),
        ("port", Self::Port),
        ("path", Self::Path),
        ("query", Self::Query),
        ("parent-path", Self::ParentPath),
        ("filename", Self::Filename),
        ("stem", Self::Stem),
        ("extension", Self::Extension),
    ];
}

/// From where a token may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Network(IpNet),
    /// The number of an autonomous system.
    System(u32),
}

/// What a verified token says.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    pub(super) issuer: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) audiences: Option<Vec<String>>,
    pub(super) expires: Option<u64>,
    pub(super) not_before: Option<u64>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) version: Option<u64>,
    pub(super) replay: Option<u64>,
    pub(super) sources: Option<Vec<Source>>,
    pub(super) uri: Option<Vec<(Component, Vec<Match>)>>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) headers: Option<Vec<(HeaderName, Vec<Match>)>>,
    pub(super) countries: Option<Vec<String>>,
    pub(super) labels: Vec<Label>,
    digest: Nonce,
}

/// Why a token's claims are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("they are no map whose labels are numbers or texts and stand once each, within the limit")]
    Map,
    #[error("{0} has not the form that its standard gives it, or is longer than the limit")]
    Form(Label),
    #[error("{0} is a claim that nobody here can judge")]
    NotJudged(Label),
}

impl Claims {
    pub(super) fn parse(text: &[u8], ignored: &[Label], limits: Limits) -> Result<Self, Fault> {
        let value = Value::from_slice(text).map_err(|_| Fault::Map)?;
        let mut claims = Self { digest: identity::nonce(b"claims", text), ..Self::default() };
        for (key, value) in cbor::map(&value, limits.claims_max).ok_or(Fault::Map)? {
            let label = match key {
                Value::Text(text) => Label::Text(text.clone()),
                other => Label::Number(cbor::integer(other).ok_or(Fault::Map)?),
            };
            if !ignored.contains(&label) {
                claims.take(&label, value, limits)?;
            }
            claims.labels.push(label);
        }
        Ok(claims)
    }

    /// What tells the token from others: its `cti`, or all that it says.
    pub(super) fn own_nonce(&self) -> Nonce {
        self.id.as_ref().map_or(self.digest, |id| identity::nonce(b"cti", id))
    }

    fn take(&mut self, label: &Label, value: &Value, limits: Limits) -> Result<(), Fault> {
        let form = || Fault::Form(label.clone());
        let Label::Number(number) = label else { return Err(Fault::NotJudged(label.clone())) };
        let text = || cbor::text(value).map(str::to_owned).ok_or_else(form);
        let time = || cbor::unsigned(value).ok_or_else(form);
        match number {
            1 => self.issuer = Some(text()?),
            2 => self.subject = Some(text()?),
            3 => self.audiences = Some(one_or_more(value, limits).ok_or_else(form)?),
            4 => self.expires = Some(time()?),
            5 => self.not_before = Some(time()?),
            6 => {
                time()?;
            }
            7 => self.id = Some(cbor::bytes(value).map(<[u8]>::to_vec).ok_or_else(form)?),
            308 => self.replay = Some(time()?),
            310 => self.version = Some(time()?),
            311 => self.sources = Some(sources(value, limits).ok_or_else(form)?),
            312 => self.uri = Some(components(value, limits).ok_or_else(form)?),
            313 => self.methods = Some(texts(value, limits).ok_or_else(form)?),
            315 => self.headers = Some(headers(value, limits).ok_or_else(form)?),
            316 => self.countries = Some(texts(value, limits).ok_or_else(form)?),
            // What to answer on a refusal, and how to renew: they never admit anybody.
            320 | 322 | 323 => {}
            _ => return Err(Fault::NotJudged(label.clone())),
        }
        Ok(())
    }
}

fn texts(value: &Value, limits: Limits) -> Option<Vec<String>> {
    cbor::array(value, limits.items_max)?.iter().map(|item| cbor::text(item).map(str::to_owned)).collect()
}

fn one_or_more(value: &Value, limits: Limits) -> Option<Vec<String>> {
    match value {
        Value::Text(text) => Some(vec![text.clone()]),
        other => texts(other, limits),
    }
}

fn components(value: &Value, limits: Limits) -> Option<Vec<(Component, Vec<Match>)>> {
    let component = |label: &Value| {
        let at = usize::try_from(cbor::integer(label)?).ok()?;
        Component::ALL.get(at).map(|(_, component)| *component)
    };
    let pairs = cbor::map(value, limits.items_max)?.iter();
    pairs.map(|(label, matches)| Some((component(label)?, Match::all(matches, limits)?))).collect()
}

fn headers(value: &Value, limits: Limits) -> Option<Vec<(HeaderName, Vec<Match>)>> {
    let pairs = cbor::map(value, limits.items_max)?.iter();
    let name = |label: &Value| HeaderName::from_bytes(cbor::text(label)?.as_bytes()).ok();
    pairs.map(|(label, matches)| Some((name(label)?, Match::all(matches, limits)?))).collect()
}

fn sources(value: &Value, limits: Limits) -> Option<Vec<Source>> {
    let source = |item: &Value| match item {
        Value::Integer(number) => u32::try_from(*number).ok().map(Source::System),
        // RFC 9164 §3: "IPv4 addresses" have tag 52, IPv6 addresses tag 54.
        Value::Tag(52, inner) => {
            network(inner, |bytes| Some(IpAddr::from(Ipv4Addr::from(padded::<4>(bytes)?))))
        }
        Value::Tag(54, inner) => {
            network(inner, |bytes| Some(IpAddr::from(Ipv6Addr::from(padded::<16>(bytes)?))))
        }
        _ => None,
    };
    cbor::array(value, limits.items_max)?.iter().map(source).collect()
}

/// An address, a prefix (`[length, bytes without zeros at the end]`), or an address with the length of its prefix
/// (`[bytes, length]`), which names the address alone.
fn network(value: &Value, address: impl Fn(&[u8]) -> Option<IpAddr>) -> Option<Source> {
    let whole =
        |bytes: &[u8]| address(bytes).filter(|found| bytes.len() == bits(*found) / 8).map(IpNet::from);
    let network = match value {
        Value::Bytes(bytes) => whole(bytes)?,
        Value::Array(parts) => match parts.as_slice() {
            [Value::Integer(length), Value::Bytes(bytes)] => {
                IpNet::new(address(bytes)?, u8::try_from(*length).ok()?).ok()?
            }
            [Value::Bytes(bytes), Value::Integer(_)] => whole(bytes)?,
            _ => return None,
        },
        _ => return None,
    };
    Some(Source::Network(network))
}

fn bits(address: IpAddr) -> usize {
    if address.is_ipv4() { 32 } else { 128 }
}

fn padded<const BYTES: usize>(bytes: &[u8]) -> Option<[u8; BYTES]> {
    let mut padded = [0; BYTES];
    padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(padded)
}
