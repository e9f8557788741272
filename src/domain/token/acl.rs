//! Access control lists: the patterns of a token's `acl` field, and whether one covers a path.
//!
//! Patterns stand side by side, separated by `!`. `*` is any run of bytes (it crosses `/`), `?` is exactly one byte; all else
//! is literal, case-sensitive, and has to match from end to end. An empty pattern matches nothing. Both sides are compared in
//! their escaped form, with the hex digits of escapes in one case.

use std::borrow::Cow;

use memchr::memmem;

use crate::domain::uri::escape::{self, push_upper_escape};

/// Patterns in an ACL are separated by this.
pub const SEPARATOR: char = '!';

const TILDE: &str = "%7E";

/// Whether one of the patterns of `acl`, in the form that [`normalise`] gives, covers `path`, in its normal form.
pub fn covers(acl: &str, path: &str) -> bool {
    let path = fold_escapes(path.as_bytes());
    // A tilde stands raw in a normal path, but would end the field in a token.
    let acl = if acl.contains(TILDE) { Cow::Owned(acl.replace(TILDE, "~")) } else { Cow::Borrowed(acl) };
    acl.split(SEPARATOR).any(|pattern| !pattern.is_empty() && matches(pattern.as_bytes(), &path))
}

/// The number of patterns, empty ones included.
pub fn patterns(acl: &str) -> usize {
    acl.bytes().filter(|&byte| byte == b'!').count() + 1
}

/// Brings an ACL to the form in which paths are matched: escapes of unreserved characters decoded, `%2f` as `/`, `%2a` as `*`,
/// other escapes with upper-case digits, bytes that may not stand in a URI or would end the field (`~`) escaped.
///
/// An ACL with an escaped slash and no raw one was escaped as a whole (Java's SDK and the 2.0.x tools do so): it is decoded once first.
pub fn normalise(acl: &str) -> Cow<'_, str> {
    if acl.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'"' | b'<' | b'>' | b'~')) {
        return Cow::Borrowed(acl);
    }
    let whole = if is_escaped_as_a_whole(acl) {
        escape::decode(&acl.replace('+', "%20")).map(Cow::into_owned)
    } else {
        None
    };
    Cow::Owned(normalise_escapes(whole.as_deref().unwrap_or(acl)))
}

fn is_escaped_as_a_whole(acl: &str) -> bool {
    !acl.contains('/') && (acl.contains("%2f") || acl.contains("%2F"))
}

fn normalise_escapes(acl: &str) -> String {
    let bytes = acl.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escaped = if byte == b'%' { escape::escaped_byte(&bytes[index + 1..]) } else { None };
        match escaped {
            Some(decoded @ (b'/' | b'*')) => out.push(char::from(decoded)),
            Some(decoded) if decoded != b'~' && escape::is_unreserved(decoded) => {
                out.push(char::from(decoded));
            }
            Some(kept) => push_upper_escape(&mut out, kept),
            None if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'~' | b'%') => {
                out.push(char::from(byte));
            }
            None => push_upper_escape(&mut out, byte),
        }
        index += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

/// The path with the hex digits of its escapes in upper case; borrowed where they are already.
fn fold_escapes(path: &[u8]) -> Cow<'_, [u8]> {
    let mut folded = Cow::Borrowed(path);
    for at in memchr::memchr_iter(b'%', path) {
        let digits = at + 1..path.len().min(at + 3);
        if path[digits.clone()].iter().any(u8::is_ascii_lowercase) {
            folded.to_mut()[digits].make_ascii_uppercase();
        }
    }
    folded
}

/// Whether one pattern, which holds no `!`, matches a text from end to end. The runs between stars are looked for once each, from the left, so that no pattern takes exponential
/// time; a run without `?` is found in linear time.
pub fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let Some(first_star) = memchr::memchr(b'*', pattern) else {
        return pattern.len() == path.len() && run_matches(pattern, path);
    };
    let (head, rest) = pattern.split_at(first_star);
    let last_star = memchr::memrchr(b'*', rest).unwrap_or_default();
    let (middle, tail) = (&rest[..last_star], &rest[last_star + 1..]);
    if path.len() < head.len() + tail.len() {
        return false;
    }
    let (path, end) = path.split_at(path.len() - tail.len());
    let (start, mut between) = path.split_at(head.len());
    if !run_matches(head, start) || !run_matches(tail, end) {
        return false;
    }
    for run in middle.split(|&byte| byte == b'*') {
        match find_run(run, between) {
            Some(at) => between = &between[at + run.len()..],
            None => return false,
        }
    }
    true
}

/// Whether a run without stars equals `text`, byte for byte save where it says `?`.
fn run_matches(run: &[u8], text: &[u8]) -> bool {
    run.iter().zip(text).all(|(wanted, found)| *wanted == b'?' || wanted == found)
}

fn find_run(run: &[u8], text: &[u8]) -> Option<usize> {
    if run.is_empty() {
        return Some(0);
    }
    if memchr::memchr(b'?', run).is_none() {
        return memmem::find(text, run);
    }
    text.windows(run.len()).position(|window| run_matches(run, window))
}

#[cfg(test)]
mod tests;
