//! Whether an answer can be true: its head within limits, one length, and the part that was asked for.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, response};

use super::error::OriginError;
use super::settings::HeadLimits;

/// How long the body has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As long as it is: it ends with its last chunk or with the connection.
    Open,
    Known(u64),
    /// The answer has no body (RFC 9110 §6.4.1: HEAD, 1xx, 204, 304).
    Bodiless,
}

/// Judges the head of an answer; what it says of its body's length is held to while the body is read.
pub fn judge(
    method: &Method,
    asked: &HeaderMap,
    answer: &response::Parts,
    limits: HeadLimits,
) -> Result<Length, OriginError> {
    let fields = &answer.headers;
    // hyper holds HTTP/1 to the number of fields and to about 400 KiB; HTTP/2 to the bytes.
    let bytes: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.bytes_max {
        return Err(OriginError::HeadTooLarge(format!("{} bytes", limits.bytes_max)));
    }
    if fields.len() > limits.fields_max {
        return Err(OriginError::HeadTooLarge(format!("{} fields", limits.fields_max)));
    }
    if answer.status.is_informational() {
        return Err(OriginError::Invalid(format!("{} was not asked for", answer.status)));
    }
    let stated = stated_length(fields)?;
    if *method == Method::HEAD || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Length::Bodiless);
    }
    if answer.status == StatusCode::PARTIAL_CONTENT {
        let part = part(method, asked, fields)?;
        return match (part, stated) {
            (Some(part), Some(stated)) if part != stated => {
                Err(OriginError::WrongPart(format!("{stated} bytes for a part of {part}")))
            }
            (Some(length), _) | (None, Some(length)) => Ok(Length::Known(length)),
            (None, None) => Ok(Length::Open),
        };
    }
    Ok(stated.map_or(Length::Open, Length::Known))
}

/// RFC 9112 §6.3: an answer "with both a Transfer-Encoding and a Content-Length header field" may be an attempt at
/// splitting; and two lengths, even equal ones, are one too many for a body that is stored and shared.
fn stated_length(fields: &HeaderMap) -> Result<Option<u64>, OriginError> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    if lengths.next().is_some() || fields.contains_key(TRANSFER_ENCODING) {
        return Err(OriginError::TwoLengths);
    }
    let text = length.to_str().unwrap_or_default();
    if text.contains(',') {
        return Err(OriginError::TwoLengths);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.map(Some).ok_or_else(|| OriginError::Invalid(format!("Content-Length: {text:?}")))
}

/// The length of the part that came, or `None` where several may have.
fn part(method: &Method, asked: &HeaderMap, fields: &HeaderMap) -> Result<Option<u64>, OriginError> {
    let mut ranges = asked.get_all(RANGE).iter();
    let Some(range) = ranges.next().filter(|_| *method == Method::GET) else {
        return Err(OriginError::UnaskedPart);
    };
    let range = range.to_str().ok().filter(|_| ranges.next().is_none()).and_then(parse_range);
    let Some(stated) = fields.get(CONTENT_RANGE) else {
        let is_multipart = fields
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.to_ascii_lowercase().starts_with("multipart/byteranges"));
        return match range {
            // RFC 9110 §15.3.7.2: "a server MUST NOT generate a multipart response to a request for a single range".
            Some(_) => Err(OriginError::WrongPart("there is no Content-Range".to_owned())),
            None if is_multipart => Ok(None),
            None => Err(OriginError::WrongPart("there are neither parts nor a Content-Range".to_owned())),
        };
    };
    let text = stated.to_str().unwrap_or_default();
    let wrong = || {
        let wanted = asked.get(RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
        OriginError::WrongPart(format!("{text:?} for {wanted:?}"))
    };
    let came = parse_content_range(text).ok_or_else(wrong)?;
    if range.is_some_and(|range| !came.fits(range)) {
        return Err(wrong());
    }
    Ok(Some(came.last - came.first + 1))
}

/// One range of a request: `bytes=0-99`, `bytes=100-` or `bytes=-100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    complete: Option<u64>,
}

impl ContentRange {
    /// Whether this is what was asked for. RFC 9110 §15.3.7: a server may send less than was asked for, but it begins
    /// where it was told to.
    fn fits(self, range: Range) -> bool {
        match range {
            Range::From(first) => self.first == first,
            Range::Between(first, last) => self.first == first && self.last <= last,
            Range::Last(count) => match self.complete {
                Some(complete) => self.first == complete.saturating_sub(count),
                None => self.last - self.first < count,
            },
        }
    }
}

/// `None` for what is no single range of bytes.
fn parse_range(text: &str) -> Option<Range> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(Range::Last),
        (first, "") => number(first).map(Range::From),
        (first, last) => Some(Range::Between(number(first)?, number(last)?)),
    }
}

fn parse_content_range(text: &str) -> Option<ContentRange> {
    let (unit, rest) = text.trim().split_once(' ')?;
    let (range, complete) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let complete = if complete == "*" { None } else { Some(number(complete)?) };
    let range = ContentRange { first: number(first)?, last: number(last)?, complete };
    let is_sound = unit.eq_ignore_ascii_case("bytes")
        && range.first <= range.last
        && range.last < u64::MAX
        && range.complete.is_none_or(|complete| range.last < complete);
    is_sound.then_some(range)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
