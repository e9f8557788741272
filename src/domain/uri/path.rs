//! The normal form of a path: what is checked is what is used.
//!
//! One form serves the ACL, the cache key and the request to the origin. Escapes of unreserved characters are decoded, `.` and
//! `..` segments resolved, bytes that may not stand in a URI escaped; every other byte stays as it came, doubled slashes and
//! the case of hex digits included. Whatever two servers could read in two ways is refused.

use std::borrow::Cow;

use super::escape::{escaped_byte, is_unreserved, push_upper_escape};

/// Why a path is refused. Each is a client's fault (400).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path does not begin with a slash")]
    NoLeadingSlash,
    #[error("the path holds a control byte or white space")]
    Control,
    #[error("the path holds a backslash")]
    Backslash,
    #[error("the path holds an escaped slash")]
    EscapedSlash,
    #[error("the path holds a fragment or a query")]
    Delimiter,
    #[error("the path holds a parameter on a dot segment")]
    DotParameter,
    #[error("the path holds a separator or dot that is escaped twice")]
    EscapedTwice,
    #[error("the path holds a broken escape")]
    BrokenEscape,
    #[error("the path holds an overlong UTF-8 sequence")]
    Overlong,
    #[error("the path climbs above its root")]
    AboveRoot,
}

/// The normal form of `raw_path` (no query). Borrowed when the path is normal already.
pub fn normalise(raw_path: &str) -> Result<Cow<'_, str>, PathError> {
    if !raw_path.starts_with('/') {
        return Err(PathError::NoLeadingSlash);
    }
    if is_plainly_normal(raw_path.as_bytes()) {
        return Ok(Cow::Borrowed(raw_path));
    }
    let decoded = decode_unreserved(raw_path)?;
    let normal = resolve_dots(&decoded)?;
    Ok(if normal == raw_path { Cow::Borrowed(raw_path) } else { Cow::Owned(normal) })
}

/// True when no byte calls for a closer look: no escape, no dot after a slash, nothing outside visible ASCII.
fn is_plainly_normal(path: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in path {
        match byte {
            b'%' | b'\\' | b'#' | b'?' | b'"' | b'<' | b'>' | 0..=b' ' | 127.. => return false,
            b'.' if previous == b'/' => return false,
            _ => previous = byte,
        }
    }
    true
}

fn decode_unreserved(raw_path: &str) -> Result<String, PathError> {
    let bytes = raw_path.as_bytes();
    let mut out = String::with_capacity(bytes.len() + 8);
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        match byte {
            b'%' => {
                let rest = &bytes[index + 1..];
                let escaped = escaped_byte(rest).ok_or(PathError::BrokenEscape)?;
                refuse_escape(escaped, &rest[2..])?;
                if is_unreserved(escaped) {
                    out.push(char::from(escaped));
                } else {
                    out.push_str(&raw_path[index..index + 3]);
                }
                index += 3;
                continue;
            }
            b'\\' => return Err(PathError::Backslash),
            b'#' | b'?' => return Err(PathError::Delimiter),
            0..=b' ' | 127 => return Err(PathError::Control),
            b'"' | b'<' | b'>' | 128.. => push_upper_escape(&mut out, byte),
            _ => out.push(char::from(byte)),
        }
        index += 1;
    }
    Ok(out)
}

/// Refuses an escape that hides a separator, a control byte or an overlong form; `rest` is what follows it.
fn refuse_escape(escaped: u8, rest: &[u8]) -> Result<(), PathError> {
    match escaped {
        0..=31 | 127 => Err(PathError::Control),
        b'/' => Err(PathError::EscapedSlash),
        b'\\' => Err(PathError::Backslash),
        b'%' => refuse_second_escape(rest),
        // RFC 3629, section 3: "the octet values C0, C1 […] never appear"; E0 and F0 are overlong before a small continuation.
        0xC0 | 0xC1 => Err(PathError::Overlong),
        0xE0 if matches!(continuation(rest), Some(0x80..=0x9F)) => Err(PathError::Overlong),
        0xF0 if matches!(continuation(rest), Some(0x80..=0x8F)) => Err(PathError::Overlong),
        _ => Ok(()),
    }
}

/// `%25` followed by the digits of a dot, a slash, a backslash or NUL, however many times the percent sign was escaped.
fn refuse_second_escape(mut rest: &[u8]) -> Result<(), PathError> {
    while let Some(stripped) = rest.strip_prefix(b"25") {
        rest = stripped;
    }
    match escaped_byte(rest) {
        Some(b'.' | b'/' | b'\\' | 0) => Err(PathError::EscapedTwice),
        Some(_) | None => Ok(()),
    }
}

fn continuation(rest: &[u8]) -> Option<u8> {
    escaped_byte(rest.strip_prefix(b"%")?)
}

/// RFC 3986, section 5.2.4, "Remove Dot Segments", save that climbing above the root is refused.
fn resolve_dots(path: &str) -> Result<String, PathError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match Dots::of(segment) {
            Dots::None => kept.push(segment),
            Dots::WithParameter => return Err(PathError::DotParameter),
            Dots::Here if is_last => kept.push(""),
            Dots::Here => {}
            Dots::Up => {
                kept.pop().ok_or(PathError::AboveRoot)?;
                if is_last {
                    kept.push("");
                }
            }
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in kept {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

/// What a segment means to relative resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dots {
    /// An ordinary segment.
    None,
    /// `.`
    Here,
    /// `..`
    Up,
    /// `.;x` or `..;x`: some servers drop the parameter and then climb.
    WithParameter,
}

impl Dots {
    /// Judges a segment that may still carry escapes (`%2e`, `%3b`).
    pub fn of(segment: &str) -> Self {
        let mut rest = segment.as_bytes();
        let mut dots = 0;
        while let Some(after) = strip_either(rest, b'.') {
            dots += 1;
            rest = after;
        }
        let parameter = strip_either(rest, b';').is_some();
        match (dots, rest.is_empty(), parameter) {
            (1, true, _) => Self::Here,
            (2, true, _) => Self::Up,
            (1 | 2, _, true) => Self::WithParameter,
            _ => Self::None,
        }
    }
}

/// Strips `byte` from the front, raw or escaped.
fn strip_either(text: &[u8], byte: u8) -> Option<&[u8]> {
    match text {
        [first, rest @ ..] if *first == byte => Some(rest),
        [b'%', rest @ ..] if escaped_byte(rest) == Some(byte) => Some(&rest[2..]),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
