//! Signing: the token that Akamai's Python SDK would make.

use super::Delimiters;
use super::dialect::Dialect;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::key::{Algorithm, Secret, Signer};

/// What a token shall open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Patterns; each may itself be a list with separators in it.
    Acl(Vec<String>),
    /// One URL: a path, with its query if it has one.
    Url(String),
}

/// When a token begins to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    At(u64),
    /// The time of signing, written into the token.
    Now,
}

/// Everything that goes into a token. Empty texts count as absent, and so does a start of 0, as in the SDKs.
#[derive(Clone, Debug)]
pub struct MintRequest<'a> {
    pub key: &'a Secret,
    pub algorithm: Algorithm,
    pub salt: Option<&'a str>,
    pub start: Option<Start>,
    /// Wins over `window_seconds`.
    pub end: Option<u64>,
    /// Counted from the start, or from now when there is none.
    pub window_seconds: Option<u64>,
    pub target: Target,
    pub ip: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub payload: Option<&'a str>,
    /// How inputs are escaped first; `None` leaves them as they are.
    pub escape: Option<Dialect>,
    pub delimiters: Delimiters,
    pub now: UnixTime,
}

/// Why no token was made. Each names its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    #[error("end time: neither an end nor a window above 0 is given; give one of them")]
    NoEnd,
    #[error("end time: {end} is not after the start {start}; let it end later")]
    EndNotAfterStart { start: u64, end: u64 },
    #[error("window: {0} seconds end beyond the range of time; give fewer")]
    WindowTooLong(u64),
    #[error("acl: it is empty; give a path with or without wildcards, such as /live/*")]
    EmptyAcl,
    #[error("url: it is empty; give the path that is asked for, such as /live/master.m3u8")]
    EmptyUrl,
    #[error(
        "{field}: {value:?} holds the field delimiter {delimiter:?}, which would begin another field; escape the inputs or leave it out"
    )]
    DelimiterInValue { field: &'static str, value: String, delimiter: char },
}

/// Makes the token: its fields and its HMAC.
pub fn sign(request: &MintRequest<'_>) -> Result<String, MintError> {
    let prepared = prepare(request)?;
    let signer = Signer::new(request.key, request.algorithm);
    let digest = signer.sign(&[prepared.fields.as_bytes(), prepared.hashed_only.as_bytes()]);
    let mut token = prepared.fields;
    token.push(request.delimiters.field);
    token.push_str("hmac=");
    digest.write_hex(&mut token);
    Ok(token)
}

/// The string that is hashed, with the salt shown as `<salt>`.
pub fn string_to_sign(request: &MintRequest<'_>) -> Result<String, MintError> {
    let shown = MintRequest { salt: request.salt.map(|_| "<salt>"), ..request.clone() };
    let prepared = prepare(&shown)?;
    Ok(prepared.fields + &prepared.hashed_only)
}

struct Prepared {
    fields: String,
    hashed_only: String,
}

fn prepare(request: &MintRequest<'_>) -> Result<Prepared, MintError> {
    let (start, end) = times(request)?;
    let writer = Writer { delimiter: request.delimiters.field, escape: request.escape };
    let mut fields = String::new();
    writer.escaped(&mut fields, "ip", request.ip)?;
    if let Some(start) = start {
        writer.field(&mut fields, "st", &start.to_string());
    }
    writer.field(&mut fields, "exp", &end.to_string());
    let mut hashed_only = String::new();
    match &request.target {
        Target::Acl(patterns) => writer.acl(&mut fields, patterns, request.delimiters.acl)?,
        Target::Url(url) if url.is_empty() => return Err(MintError::EmptyUrl),
        Target::Url(url) => {
            let url = request.escape.map_or_else(|| url.clone(), |dialect| dialect.escaped(url));
            hashed_only = format!("{}url={url}", request.delimiters.field);
        }
    }
    writer.escaped(&mut fields, "id", request.session_id)?;
    writer.escaped(&mut fields, "data", request.payload)?;
    if let Some(salt) = request.salt.filter(|salt| !salt.is_empty()) {
        hashed_only.push(request.delimiters.field);
        hashed_only.push_str("salt=");
        hashed_only.push_str(salt);
    }
    Ok(Prepared { fields, hashed_only })
}

/// The start that is written, and the end.
fn times(request: &MintRequest<'_>) -> Result<(Option<u64>, u64), MintError> {
    let now = request.now.as_secs();
    let start = match request.start {
        Some(Start::Now) => Some(now),
        Some(Start::At(0)) | None => None,
        Some(Start::At(start)) => Some(start),
    };
    let end = match (request.end, request.window_seconds) {
        (Some(end), _) => end,
        (None, Some(0) | None) => return Err(MintError::NoEnd),
        (None, Some(window)) => {
            start.unwrap_or(now).checked_add(window).ok_or(MintError::WindowTooLong(window))?
        }
    };
    match start {
        Some(start) if end <= start => Err(MintError::EndNotAfterStart { start, end }),
        Some(_) | None => Ok((start, end)),
    }
}

struct Writer {
    delimiter: char,
    escape: Option<Dialect>,
}

impl Writer {
    fn field(&self, out: &mut String, name: &str, value: &str) {
        if !out.is_empty() {
            out.push(self.delimiter);
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }

    /// A free text. Escaped ones may keep a raw `~` (Python's do), but no `=` after it, so that no field can begin there.
    fn escaped(&self, out: &mut String, name: &'static str, value: Option<&str>) -> Result<(), MintError> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(()) };
        if let Some(dialect) = self.escape {
            self.field(out, name, &dialect.escaped(value));
        } else {
            self.refuse_delimiter(name, value)?;
            self.field(out, name, value);
        }
        Ok(())
    }

    fn acl(&self, out: &mut String, patterns: &[String], separator: char) -> Result<(), MintError> {
        let acl = patterns.join(separator.encode_utf8(&mut [0; 4]));
        if acl.is_empty() {
            return Err(MintError::EmptyAcl);
        }
        self.refuse_delimiter("acl", &acl)?;
        self.field(out, "acl", &acl);
        Ok(())
    }

    fn refuse_delimiter(&self, field: &'static str, value: &str) -> Result<(), MintError> {
        if !value.contains(self.delimiter) {
            return Ok(());
        }
        Err(MintError::DelimiterInValue { field, value: value.to_owned(), delimiter: self.delimiter })
    }
}
