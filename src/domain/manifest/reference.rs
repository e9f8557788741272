//! One URI reference of a playlist: whose host it names, and where in its text a token can stand.
//!
//! A reference counts as ours only when the WHATWG reading (browsers) and the RFC 3986 reading (most native
//! players) agree that it is. The spellings on which they differ, or on which a careless reader might differ
//! from both, get nothing: `\\evil\x`, `/\evil`, `///evil/x`, `https:/evil`, control bytes anywhere (a
//! browser deletes a tab inside a scheme), user information, percent-escapes in a host, leading Unicode
//! blanks (which `String.trim` removes), and U+2028 (which ends a line for a regular expression in
//! JavaScript).

use url::Url;

use super::base::{Base, Hosts, split_port};
use super::shape::{Climb, PathForm, Separator, Shape, last_plain_segment, shape};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Own(Shape),
    /// Another host, or a host on which readings differ.
    Foreign,
    /// `skd:`, `data:`, `urn:` …: nothing that is fetched over HTTP.
    OtherScheme,
    Unparsable,
    Empty,
}

/// More hosts than a playlist of many networks names, and few enough to look through.
const KNOWN_AUTHORITIES_MAX: usize = 8;

/// Judges references against one base. Keeps the authorities it judged, since a playlist repeats few.
#[derive(Debug)]
pub struct Judge<'a> {
    base: &'a Base,
    hosts: &'a Hosts,
    known: Vec<(bool, Vec<u8>, bool)>,
    /// The text up to its path of the last reference to a host of ours.
    own_beginning: Vec<u8>,
}

impl<'a> Judge<'a> {
    pub fn new(base: &'a Base, hosts: &'a Hosts) -> Self {
        Self { base, hosts, known: Vec::new(), own_beginning: Vec::new() }
    }

    pub fn base(&self) -> &'a Base {
        self.base
    }

    /// Whether a verdict hung on the base's host.
    pub fn has_judged_hosts(&self) -> bool {
        !self.known.is_empty()
    }

    pub fn judge(&mut self, text: &[u8]) -> Verdict {
        if let Some(shape) = self.plain(text) {
            return Verdict::Own(shape);
        }
        let (Some(&first), Some(&last)) = (text.first(), text.last()) else { return Verdict::Empty };
        // A URL parser trims spaces that a reader of RFC 3986 keeps; a playlist's own are trimmed before.
        let trimmed = first == b' ' || last == b' ';
        if trimmed || text.iter().any(u8::is_ascii_control) || (!text.is_ascii() && misleads(text)) {
            return Verdict::Unparsable;
        }
        match first {
            b'/' if text.get(1) == Some(&b'/') => self.authority(text, self.base.is_secure(), 2),
            b'/' if text.get(1) == Some(&b'\\') => Verdict::Foreign,
            b'/' => Verdict::Own(shape(text, 0, true)),
            b'\\' => Verdict::Foreign,
            _ => match scheme(text) {
                None if resembles_absolute(text) => Verdict::Unparsable,
                None => Verdict::Own(shape(text, 0, false)),
                Some(scheme) => {
                    let secure = scheme.eq_ignore_ascii_case(b"https");
                    if !secure && !scheme.eq_ignore_ascii_case(b"http") {
                        return Verdict::OtherScheme;
                    }
                    let start = scheme.len() + 1;
                    if !text[start..].starts_with(b"//") {
                        return Verdict::Foreign;
                    }
                    self.authority(text, secure, start + 2)
                }
            },
        }
    }

    /// The common cases in one pass: plain names, relative, from the root, or behind an authority known to be
    /// ours.
    fn plain(&self, text: &[u8]) -> Option<Shape> {
        let (start, climb) = if text.first() == Some(&b'/') && text.get(1) != Some(&b'/') {
            (1, Climb::ROOTED)
        } else if !self.own_beginning.is_empty() && text.starts_with(&self.own_beginning) {
            let start = self.own_beginning.len();
            (text[start..].starts_with(b"/").then_some(start + 1)?, Climb::ROOTED)
        } else {
            (0, Climb::NONE)
        };
        let path_at = start + last_plain_segment(&text[start..])?;
        let (separator, path_form) = (Separator::Question, PathForm::Segment);
        Some(Shape { query_at: text.len(), separator, path_at, path_form, climb })
    }

    fn authority(&mut self, text: &[u8], secure: bool, start: usize) -> Verdict {
        let length = text[start..].iter().position(|b| matches!(b, b'/' | b'\\' | b'?' | b'#'));
        let end = length.map_or(text.len(), |length| start + length);
        if text.get(end) == Some(&b'\\') || !self.is_own(&text[start..end], secure) {
            return Verdict::Foreign;
        }
        self.own_beginning.clear();
        self.own_beginning.extend_from_slice(&text[..end]);
        Verdict::Own(shape(text, end, true))
    }

    fn is_own(&mut self, authority: &[u8], secure: bool) -> bool {
        let known = self.known.iter().find(|(scheme, text, _)| *scheme == secure && text == authority);
        if let Some((_, _, own)) = known {
            return *own;
        }
        let own = self.resolve_authority(authority, secure);
        if self.known.len() == KNOWN_AUTHORITIES_MAX {
            self.known.clear();
        }
        self.known.push((secure, authority.to_vec(), own));
        own
    }

    /// Both readings of an authority: split by hand as RFC 3986, section 3.2, and by the `url` crate.
    fn resolve_authority(&self, authority: &[u8], secure: bool) -> bool {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(b);
        if authority.is_empty() || !authority.iter().all(plain) {
            return false;
        }
        let Ok(authority) = std::str::from_utf8(authority) else { return false };
        let scheme = if secure { "https" } else { "http" };
        let Ok(url) = Url::parse(&format!("{scheme}://{authority}/")) else { return false };
        let (host, port) = split_port(authority);
        let port = match port {
            None | Some("") => Some(if secure { 443 } else { 80 }),
            Some(digits) => digits.parse().ok(),
        };
        let (Some(whatwg), Some(port)) = (url.host_str(), port) else { return false };
        whatwg.eq_ignore_ascii_case(host)
            && url.port_or_known_default() == Some(port)
            && self.hosts.own(self.base, secure, whatwg, port)
    }
}

/// Whether the beginning of a reference settles the host, whatever follows it.
pub(super) fn settles_host(beginning: &[u8]) -> bool {
    let after_authority = |start: usize| {
        beginning.get(start..).is_some_and(|rest| rest.iter().any(|b| matches!(b, b'/' | b'?' | b'#')))
    };
    match beginning {
        [] | [b'/'] => false,
        [b'/', b'/', ..] => after_authority(2),
        [b'/', ..] => true,
        _ => {
            let scheme_byte = |b: &u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
            let name = || !beginning.iter().all(scheme_byte);
            scheme(beginning).map_or_else(name, |scheme| after_authority(scheme.len() + 3))
        }
    }
}

/// The scheme of an absolute reference (RFC 3986, section 3.1), without its colon.
fn scheme(text: &[u8]) -> Option<&[u8]> {
    if !text[0].is_ascii_alphabetic() {
        return None;
    }
    let end = text.iter().position(|b| !(b.is_ascii_alphanumeric() || b"+-.".contains(b)))?;
    (text[end] == b':').then(|| &text[..end])
}

/// `1https://host/`: relative by the grammar, as no scheme begins with a digit, but the expression of RFC
/// 3986, appendix B, and the URL reader of hls.js find a scheme and an authority in it. `1080p:x.ts` has none
/// and is a file's name.
fn resembles_absolute(text: &[u8]) -> bool {
    let stop = text.iter().position(|b| matches!(b, b':' | b'/' | b'\\' | b'?' | b'#'));
    stop.is_some_and(|at| text[at] == b':' && matches!(text.get(at + 1), Some(b'/' | b'\\')))
}

/// Whether another reader could take this text for a different reference: it begins with what a trim removes,
/// or holds what ends a line elsewhere.
fn misleads(text: &[u8]) -> bool {
    let line_end = |at: usize| matches!(text.get(at..at + 3), Some(b"\xE2\x80\xA8" | b"\xE2\x80\xA9"));
    if memchr::memchr_iter(0xE2, text).any(line_end) || matches!(text[0], 0x85 | 0xA0) {
        return true;
    }
    let start = String::from_utf8_lossy(&text[..text.len().min(4)]);
    let invisible = |c: char| matches!(c, '\u{feff}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}');
    start.chars().next().is_some_and(|c| c.is_whitespace() || c.is_control() || invisible(c))
}
