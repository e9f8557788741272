//! The heads of HTTP/1: the one that is sent, written into one buffer, and the one that comes, judged as it is read.
//!
//! What an origin may use to make two parties see two different answers is refused: folded lines, bare CR and NUL, two
//! lengths, a length beside a coding, codings other than `chunked`, versions other than 1.0 and 1.1.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, StatusCode, Version};
use httparse::ParserConfig;

use super::framing::Framing;

/// Fields that are read without an allocation.
const FIELDS_ON_STACK: usize = 64;

/// What is read for a status line, beside the fields.
const STATUS_LINE_BYTES_MAX: usize = 1 << 10;

/// The head of an answer, and what it says of its body and its connection.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    pub version: Version,
    /// In memory of their own.
    pub fields: HeaderMap,
    pub framing: Framing,
    /// Whether the connection may be used again after the body.
    pub persists: bool,
}

/// What a head is held to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes_max: usize,
    pub fields_max: usize,
}

/// Why a head is no head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    #[error("{0}")]
    Syntax(#[from] httparse::Error),
    #[error("it is over {0} bytes")]
    Bytes(usize),
    #[error("it has more than {0} fields")]
    Fields(usize),
    #[error("the status is no status")]
    Status,
    #[error("a field is not valid")]
    Field,
    #[error("a connection was switched to another protocol unasked")]
    Switched,
    #[error("Content-Length is no number")]
    Length,
    #[error("the length of the body is stated twice")]
    TwoLengths,
    #[error("the body has a transfer coding other than chunked")]
    Coding,
}

/// Looks for the head of an answer at the beginning of what came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader {
    /// Bytes that were looked at and held no whole head.
    seen: usize,
}

impl Reader {
    /// Takes a head out of `buffer` when it is there whole; interim answers are heads, too. `is_bodiless` when the
    /// request was one whose answer has no body.
    pub fn read(
        &mut self,
        buffer: &mut BytesMut,
        is_bodiless: bool,
        limits: Limits,
    ) -> Result<Option<Head>, HeadFault> {
        if !self.may_be_whole(buffer) {
            return self.wait(buffer, limits);
        }
        let mut few = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
        let few = &mut few[..limits.fields_max.min(FIELDS_ON_STACK)];
        let parsed = match parse(buffer, few, is_bodiless, limits) {
            Err(HeadFault::Fields(max)) if max > FIELDS_ON_STACK => {
                let mut many = vec![MaybeUninit::uninit(); max];
                parse(buffer, &mut many, is_bodiless, limits)
            }
            parsed => parsed,
        };
        let Some((head, length)) = parsed? else { return self.wait(buffer, limits) };
        buffer.advance(length);
        *self = Self::default();
        Ok(Some(head))
    }

    /// A head that comes in many pieces is not parsed from its beginning with each of them, but at the first sight of
    /// it and when its end is there.
    fn may_be_whole(&mut self, buffer: &[u8]) -> bool {
        if self.seen == 0 {
            return !buffer.is_empty();
        }
        let from = self.seen.saturating_sub(3);
        self.seen = buffer.len();
        memchr::memchr_iter(b'\n', &buffer[from..])
            .any(|at| matches!(&buffer[from + at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
    }

    fn wait(&mut self, buffer: &[u8], limits: Limits) -> Result<Option<Head>, HeadFault> {
        self.seen = buffer.len();
        if buffer.len() > limits.bytes_max.saturating_add(STATUS_LINE_BYTES_MAX) {
            return Err(HeadFault::Bytes(limits.bytes_max));
        }
        Ok(None)
    }
}

/// The head at the beginning of `bytes` and its length, when it is whole.
fn parse<'b>(
    bytes: &'b [u8],
    fields: &mut [MaybeUninit<httparse::Header<'b>>],
    is_bodiless: bool,
    limits: Limits,
) -> Result<Option<(Head, usize)>, HeadFault> {
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, fields);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::Fields(limits.fields_max)),
        Err(error) => return Err(HeadFault::Syntax(error)),
    };
    if length > limits.bytes_max.saturating_add(STATUS_LINE_BYTES_MAX) {
        return Err(HeadFault::Bytes(limits.bytes_max));
    }
    Ok(Some((understand(&response, bytes, length, is_bodiless)?, length)))
}

fn understand(
    response: &httparse::Response<'_, '_>,
    bytes: &[u8],
    length: usize,
    is_bodiless: bool,
) -> Result<Head, HeadFault> {
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(HeadFault::Status)?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(HeadFault::Switched);
    }
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    // One copy for all values, so that a kept field keeps no more than its head.
    let whole = Bytes::copy_from_slice(&bytes[..length]);
    let mut fields = HeaderMap::with_capacity(response.headers.len());
    let mut stated = Stated::default();
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HeadFault::Field)?;
        let begins = field.value.as_ptr().addr() - bytes.as_ptr().addr();
        let value = whole.slice(begins..begins + field.value.len());
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| HeadFault::Field)?;
        stated.note(&name, value.as_bytes())?;
        fields.append(name, value);
    }
    let is_bodiless = is_bodiless
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framing = stated.framing(version, is_bodiless)?;
    let persists = match version {
        Version::HTTP_11 => !stated.closes,
        _ => stated.keeps_alive && !stated.closes,
    };
    let persists = persists && framing != Framing::UntilClose;
    Ok(Head { status, version, fields, framing, persists })
}

/// What the fields say of body and connection.
#[derive(Debug, Default)]
struct Stated {
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    keeps_alive: bool,
}

impl Stated {
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), HeadFault> {
        if *name == CONTENT_LENGTH {
            if self.length.is_some() || value.contains(&b',') {
                return Err(HeadFault::TwoLengths);
            }
            self.length = Some(number(value).ok_or(HeadFault::Length)?);
        } else if *name == TRANSFER_ENCODING {
            // RFC 9112 §6.1: "A sender MUST NOT apply the chunked transfer coding more than once"; no other was asked for.
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadFault::Coding);
            }
            self.is_chunked = true;
        } else if *name == CONNECTION {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.closes |= option.eq_ignore_ascii_case(b"close");
                self.keeps_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }

    fn framing(&self, version: Version, is_bodiless: bool) -> Result<Framing, HeadFault> {
        if self.is_chunked && self.length.is_some() {
            return Err(HeadFault::TwoLengths);
        }
        // RFC 9112 §6.1: "A client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat
        // the message as if the framing is faulty".
        if self.is_chunked && version == Version::HTTP_10 {
            return Err(HeadFault::Coding);
        }
        Ok(match (is_bodiless, self.is_chunked, self.length) {
            (true, ..) => Framing::Length(0),
            (false, true, _) => Framing::chunked(),
            (false, false, Some(length)) => Framing::Length(length),
            (false, false, None) => Framing::UntilClose,
        })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// How the body of a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// None, and the method is not one that has one.
    Nothing,
    Length(u64),
    Chunked,
}

/// A path that can stand in a request line: nothing in it ends the line or begins a fragment.
pub fn is_target(path_and_query: &str) -> bool {
    path_and_query.starts_with('/')
        && path_and_query.bytes().all(|byte| byte > b' ' && byte != 0x7f && byte != b'#')
}

/// Writes the head of a request behind what is in `out`. Of the given fields those are left out that speak of the
/// connection, which is ours, and of the body, whose framing is chosen here.
pub fn write(
    out: &mut Vec<u8>,
    method: &Method,
    path_and_query: &str,
    host: &HeaderValue,
    fields: &HeaderMap,
    sending: Sending,
) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(path_and_query.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(host.as_bytes());
    for (name, value) in fields {
        if is_own(name) {
            continue;
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
    }
    match sending {
        Sending::Nothing => {}
        Sending::Length(length) => {
            out.extend_from_slice(b"\r\ncontent-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        }
        Sending::Chunked => out.extend_from_slice(b"\r\ntransfer-encoding: chunked"),
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// The body of a request is sent without waiting for leave, and nothing is switched or chosen for this hop alone.
fn is_own(name: &HeaderName) -> bool {
    [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, TE, UPGRADE, EXPECT].contains(name)
}

#[cfg(test)]
mod tests;
