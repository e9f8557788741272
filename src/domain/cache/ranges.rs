//! Byte ranges (RFC 9110 §14): what a viewer asks for, what an origin says that it sent, and slices in
//! between.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method};

/// One range as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `first-last`, both inclusive, or `first-`.
    From { first: u64, last: Option<u64> },
    /// `-length`: the last so many bytes.
    Suffix(u64),
}

/// Bytes from `first` to `last`, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub first: u64,
    pub last: u64,
}

/// What a range comes to in a representation of known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    Part(Part),
    /// There are no bytes to take a suffix of: the whole, which is empty.
    Whole,
    /// 416, with [`unsatisfied`].
    Unsatisfiable,
}

/// The one range that a request asks for; `None` where the whole is to be sent.
///
/// RFC 9110 §14.2: "A server MAY ignore the Range header field"; "For this specification, GET is the only
/// method for which range handling is defined." Ignored therefore: other methods, other units, malformed
/// sets, and sets of several ranges, which a viewer of media has no use for and an attacker has.
pub fn read(method: &Method, headers: &HeaderMap) -> Option<Asked> {
    if *method != Method::GET {
        return None;
    }
    let mut lines = headers.get_all(RANGE).iter();
    let line = lines.next()?.as_bytes();
    if lines.next().is_some() {
        return None;
    }
    let equals = line.iter().position(|&byte| byte == b'=')?;
    let (unit, set) = (&line[..equals], &line[equals + 1..]);
    unit.eq_ignore_ascii_case(b"bytes").then_some(())?;
    let mut specs = set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty());
    let spec = specs.next().filter(|_| specs.next().is_none())?;
    Asked::parse(spec)
}

impl Asked {
    /// RFC 9110 §14.1.1: "An int-range is invalid if the last-pos value is present and less than the
    /// first-pos"; §14.1.2: a recipient "MUST anticipate potentially large decimal numerals and prevent
    /// parsing errors due to integer conversion overflows". RFC 8673 §2.1 uses such: a `last-pos` of 2^53-1
    /// asks for all that there will be.
    fn parse(spec: &[u8]) -> Option<Self> {
        let dash = spec.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Suffix(number(last)?)),
            (false, true) => Some(Self::From { first: number(first)?, last: None }),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From { first, last: Some(last) })
            }
        }
    }

    /// What this comes to of `length` bytes.
    ///
    /// RFC 9110 §14.1.2: "If the last-pos value is absent, or if the value is greater than or equal to the
    /// current length of the representation data, the byte range is interpreted as the remainder of the
    /// representation"; "If the selected representation is shorter than the specified suffix-length, the
    /// entire representation is used."; satisfiable is "an int-range with a first-pos that is less than the
    /// current length of the selected representation or … a suffix-range with a non-zero suffix-length".
    pub fn resolve(self, length: u64) -> Resolved {
        let end = length.saturating_sub(1);
        match self {
            Self::From { first, .. } if first >= length => Resolved::Unsatisfiable,
            Self::From { first, last } => {
                Resolved::Part(Part { first, last: last.map_or(end, |last| last.min(end)) })
            }
            Self::Suffix(0) => Resolved::Unsatisfiable,
            Self::Suffix(_) if length == 0 => Resolved::Whole,
            Self::Suffix(suffix) => Resolved::Part(Part { first: length.saturating_sub(suffix), last: end }),
        }
    }
}

impl Part {
    /// Never zero: the least part is one byte.
    pub const fn bytes(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// The `Content-Range` of a 206.
    pub fn content_range(self, length: u64) -> HeaderValue {
        ascii(&format!("bytes {}-{}/{length}", self.first, self.last))
    }

    /// The `Range` that asks for just this.
    pub fn range(self) -> HeaderValue {
        ascii(&format!("bytes={}-{}", self.first, self.last))
    }

    /// The slices that cover this part, each beginning at a multiple of `slice_bytes`, so that all viewers'
    /// ranges share them. The last slice may end behind the object; its answer tells the object's length.
    pub fn slices(self, slice_bytes: std::num::NonZeroU64) -> impl Iterator<Item = Part> {
        let size = slice_bytes.get();
        let start = self.first - self.first % size;
        let last = self.last;
        std::iter::successors(Some(start), move |first| first.checked_add(size))
            .take_while(move |first| *first <= last)
            .map(move |first| Part { first, last: first.saturating_add(size - 1) })
    }
}

/// The `Content-Range` of a 416.
pub fn unsatisfied(length: u64) -> HeaderValue {
    ascii(&format!("bytes */{length}"))
}

/// What an origin says that it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub part: Part,
    /// `None` where it does not know yet how long the whole will be.
    pub length: Option<u64>,
}

/// Why a 206 is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the 206 has no Content-Range, or several, or one that is none")]
    ContentRange,
    #[error("the 206 carries other bytes than were asked for")]
    OtherBytes,
    #[error("the 206 has a Content-Length that is not that of its range")]
    Length,
}

/// Judges the head of a 206 against what was asked for: its bytes must be those, cut where the object ends.
///
/// RFC 9110 §15.3.7: "A client MUST inspect a 206 response's Content-Type and Content-Range field(s) to
/// determine what parts are enclosed".
pub fn judge(asked: Asked, response: &HeaderMap) -> Result<Sent, Fault> {
    let mut lines = response.get_all(CONTENT_RANGE).iter();
    let line = lines.next().filter(|_| lines.next().is_none()).ok_or(Fault::ContentRange)?;
    let sent = parse_content_range(line.as_bytes()).ok_or(Fault::ContentRange)?;
    let is_asked = match (sent.length, asked) {
        (Some(length), _) => asked.resolve(length) == Resolved::Part(sent.part),
        (None, Asked::From { first, last }) => {
            sent.part.first == first && last.is_none_or(|last| sent.part.last <= last)
        }
        (None, Asked::Suffix(suffix)) => sent.part.bytes() <= suffix,
    };
    if !is_asked {
        return Err(Fault::OtherBytes);
    }
    let is_announced = response
        .get_all(CONTENT_LENGTH)
        .iter()
        .all(|line| number(line.as_bytes().trim_ascii()) == Some(sent.part.bytes()));
    if is_announced { Ok(sent) } else { Err(Fault::Length) }
}

/// RFC 9110 §14.4: "A Content-Range field value is invalid if it contains a range-resp that has a last-pos
/// value less than its first-pos value, or a complete-length value less than or equal to its last-pos value.
/// The recipient of an invalid Content-Range MUST NOT attempt to recombine the received content with a stored
/// representation."
fn parse_content_range(line: &[u8]) -> Option<Sent> {
    let (unit, rest) = line.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes ").then_some(())?;
    let slash = rest.iter().position(|&byte| byte == b'/')?;
    let (range, length) = (&rest[..slash], &rest[slash + 1..]);
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let part = Part { first: number(&range[..dash])?, last: number(&range[dash + 1..])? };
    let length = if length == b"*" { None } else { Some(number(length)?) };
    let is_valid = part.first <= part.last && length.is_none_or(|length| part.last < length);
    is_valid.then_some(Sent { part, length })
}

/// Digits alone; a number too great is the greatest.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |sum: u64, byte: &u8| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    Some(text.iter().fold(0, digit))
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and signs are visible ASCII")
}

#[cfg(test)]
mod tests;
