//! Parsing a token's fields, strictly: each known, each once whatever its spelling, the proof last.

use ipnet::IpNet;

use super::{Limits, digest_of};
use crate::domain::token::base64url;
use crate::domain::token::key::{Algorithm, Digest};

/// The fields of a token, each as it stands in it.
#[derive(Debug)]
pub struct Fields<'a> {
    pub opens: Opens,
    pub starts: Option<u64>,
    pub expires: u64,
    pub session_id: Option<&'a str>,
    pub data: Option<&'a str>,
    pub headers: Option<Vec<&'a str>>,
    /// Those of `IPRanges` that are networks; what is none holds nobody.
    pub networks: Option<Vec<IpNet>>,
    pub key_name: Option<&'a str>,
    pub proof: Proof,
    /// Between fields.
    pub separator: char,
    /// Bytes of the text before the proof and its separator.
    signed_bytes: usize,
}

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opens {
    /// Patterns, separated by `!`.
    Globs(String),
    /// The beginning of a URL.
    Prefix(String),
    /// The path that was signed.
    FullPath,
    /// What lies under the URL in which the token is a component.
    Component,
}

/// What proves that the signer made it.
#[derive(Clone, Debug)]
pub enum Proof {
    Signature(Vec<u8>),
    Hmac(Algorithm, Digest),
}

/// Why a text is no token. Each names its field, and no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("it does not end in ~Signature= with 86 base64url digits or ~hmac= with 64 or 40 hex digits")]
    NoProof,
    #[error("{0} is there more than once, perhaps in two spellings")]
    Duplicate(&'static str),
    #[error("a field has no name that is known")]
    Unknown,
    #[error("{0} has no value, or a value that it cannot have")]
    Value(&'static str),
    #[error("{0} is no whole number of seconds")]
    Number(&'static str),
    #[error("there is no Expires")]
    NoExpires,
    #[error("there is none of PathGlobs, URLPrefix and FullPath, or more than one")]
    Opens,
    #[error("PathGlobs is separated by , and by !; use one of them")]
    Separators,
    #[error("there are too many fields, or too many in a list")]
    TooMany,
}

const PATH_GLOBS: usize = 0;
const URL_PREFIX: usize = 1;
const FULL_PATH: usize = 2;
const STARTS: usize = 3;
const EXPIRES: usize = 4;
const SESSION_ID: usize = 5;
const DATA: usize = 6;
const HEADERS: usize = 7;
const IP_RANGES: usize = 8;
const KEY_NAME: usize = 9;

/// Canonical names, by the numbers above.
const NAMES: [&str; 10] = [
    "PathGlobs",
    "URLPrefix",
    "FullPath",
    "Starts",
    "Expires",
    "SessionID",
    "Data",
    "Headers",
    "IPRanges",
    "KeyName",
];

/// Other spellings, with the number of the field that they mean.
const ALIASES: [(&str, usize); 7] = [
    ("paths", PATH_GLOBS),
    ("acl", PATH_GLOBS),
    ("st", STARTS),
    ("exp", EXPIRES),
    ("id", SESSION_ID),
    ("data", DATA),
    ("payload", DATA),
];

impl<'a> Fields<'a> {
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, FieldError> {
        let (separator, signed, proof) = split_proof(text).ok_or(FieldError::NoProof)?;
        let mut values: [Option<&'a str>; NAMES.len()] = [None; NAMES.len()];
        for (count, field) in signed.split(separator).enumerate() {
            if count == limits.fields_max {
                return Err(FieldError::TooMany);
            }
            let (name, value) = match field.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (field, None),
            };
            let index = index_of(name).ok_or(FieldError::Unknown)?;
            if values[index].is_some() {
                return Err(FieldError::Duplicate(NAMES[index]));
            }
            let is_fit = match value {
                Some(value) => index != FULL_PATH && !value.is_empty(),
                None => index == FULL_PATH,
            };
            if !is_fit {
                return Err(FieldError::Value(NAMES[index]));
            }
            values[index] = Some(value.unwrap_or_default());
        }
        let is_signature_format = separator != '~';
        if values[KEY_NAME].is_some() && !is_signature_format {
            return Err(FieldError::Unknown);
        }
        Ok(Self {
            opens: opens(&values, separator, limits)?,
            starts: values[STARTS].map(|digits| number(STARTS, digits)).transpose()?,
            expires: number(EXPIRES, values[EXPIRES].ok_or(FieldError::NoExpires)?)?,
            session_id: values[SESSION_ID],
            data: values[DATA],
            headers: values[HEADERS].map(|names| headers(names, limits)).transpose()?,
            networks: values[IP_RANGES].map(|ranges| networks(ranges, limits)).transpose()?,
            key_name: values[KEY_NAME],
            proof,
            separator,
            signed_bytes: signed.len(),
        })
    }

    /// The signed value of the token's `text`: `full_path` and `headers` are put where they stand in it.
    pub fn signed_value(&self, text: &str, full_path: &str, headers: &str) -> String {
        let signed = text.get(..self.signed_bytes).unwrap_or_default();
        let mut out = String::with_capacity(signed.len() + full_path.len() + headers.len());
        for (index, field) in signed.split(self.separator).enumerate() {
            if index > 0 {
                out.push(self.separator);
            }
            if field == NAMES[FULL_PATH] {
                out.push_str("FullPath=");
                out.push_str(full_path);
            } else if field.starts_with("Headers=") {
                out.push_str("Headers=");
                out.push_str(headers);
            } else {
                out.push_str(field);
            }
        }
        out
    }
}

/// The separator, what was signed, and the proof, which stands last.
fn split_proof(text: &str) -> Option<(char, &str, Proof)> {
    for separator in ['~', ':', '&'] {
        let Some((signed, last)) = text.rsplit_once(separator) else { continue };
        let proof = if let Some(signature) = last.strip_prefix("Signature=") {
            let bare = signature.strip_suffix("==").unwrap_or(signature);
            let bytes = base64url::decode(bare).filter(|bytes| bytes.len() == 64)?;
            Proof::Signature(bytes)
        } else if let Some(hex) = last.strip_prefix("hmac=") {
            let (algorithm, digest) = digest_of(hex)?;
            Proof::Hmac(algorithm, digest)
        } else {
            continue;
        };
        return Some((separator, signed, proof));
    }
    None
}

fn index_of(name: &str) -> Option<usize> {
    let canonical = NAMES.iter().position(|known| *known == name);
    canonical.or_else(|| ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, index)| *index))
}

fn opens(
    values: &[Option<&str>; NAMES.len()],
    separator: char,
    limits: &Limits,
) -> Result<Opens, FieldError> {
    match (values[PATH_GLOBS], values[URL_PREFIX], values[FULL_PATH]) {
        (Some(globs), None, None) => {
            if globs.contains(',') && globs.contains('!') {
                return Err(FieldError::Separators);
            }
            if globs.split([',', '!']).count() > limits.list_max {
                return Err(FieldError::TooMany);
            }
            Ok(Opens::Globs(globs.replace(',', "!")))
        }
        (None, Some(prefix), None) => {
            let prefix = base64url::decode(prefix).and_then(|bytes| String::from_utf8(bytes).ok());
            let prefix =
                prefix.filter(|prefix| prefix.starts_with("http://") || prefix.starts_with("https://"));
            prefix.map(Opens::Prefix).ok_or(FieldError::Value(NAMES[URL_PREFIX]))
        }
        (None, None, Some(_)) => Ok(Opens::FullPath),
        (None, None, None) if separator == '&' => Ok(Opens::Component),
        (_, _, _) => Err(FieldError::Opens),
    }
}

fn headers<'a>(names: &'a str, limits: &Limits) -> Result<Vec<&'a str>, FieldError> {
    let names: Vec<&str> = names.split(',').collect();
    if names.len() > limits.list_max {
        return Err(FieldError::TooMany);
    }
    let is_name = |name: &&str| http::HeaderName::from_bytes(name.as_bytes()).is_ok();
    if names.iter().all(is_name) { Ok(names) } else { Err(FieldError::Value(NAMES[HEADERS])) }
}

fn networks(ranges: &str, limits: &Limits) -> Result<Vec<IpNet>, FieldError> {
    let text = base64url::decode(ranges).and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or(FieldError::Value(NAMES[IP_RANGES]))?;
    if text.split(',').count() > limits.list_max {
        return Err(FieldError::TooMany);
    }
    let network = |range: &str| {
        let network = range.parse::<IpNet>().ok();
        network.or_else(|| range.parse::<std::net::IpAddr>().ok().map(IpNet::from))
    };
    Ok(text.split(',').filter_map(network).collect())
}

/// A decimal number without sign, space or exponent. 19 digits always fit 64 bits.
fn number(index: usize, digits: &str) -> Result<u64, FieldError> {
    let is_plain = (1..=19).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain).ok_or(FieldError::Number(NAMES[index]))
}
