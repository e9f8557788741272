//! Follows the heads of HTTP/1.1 requests in the bytes that go to the parser, and cuts off those beyond limits.
//!
//! Some faults do not survive parsing: hyper drops a `Content-Length` beside `Transfer-Encoding`, strips a fragment, takes
//! a bare line feed for a line's end, and answers a target that never ends with 431. The scanner sees the bytes first. On a
//! fault it ends the head early with a harmless tail, so that the parser yields a request in its right place among
//! pipelined ones, and the fault is answered there; nothing after it is read.
//!
//! The scanner needs no knowledge of bodies, because a request with a body is the last of its connection.

use memchr::memchr;

use super::door::Refusal;
use super::settings::Limits;

/// A method and a version fit into this beside the target.
const REQUEST_LINE_OVERHEAD: usize = 64;
/// Enough of a line to read `Content-Length: 0`.
const PREFIX_BYTES: usize = 24;

#[derive(Debug)]
pub(super) struct Scanner {
    request_line_max: usize,
    header_line_max: usize,
    section_max: usize,
    headers_max: usize,
    place: Place,
    line: Line,
    framing: Framing,
    section_bytes: usize,
    headers: usize,
    /// How many heads are complete.
    heads: u32,
}

/// What came of the line so far, in earlier pieces.
#[derive(Debug, Default)]
struct Line {
    bytes: usize,
    prefix: [u8; PREFIX_BYTES],
    ends_with_cr: bool,
    has_colon: bool,
}

/// What the head so far says of its body.
#[derive(Debug, Default)]
struct Framing {
    has_content_length: bool,
    has_transfer_encoding: bool,
    has_body: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BetweenHeads,
    RequestLine,
    HeaderLines,
    /// A request with a body, or one that was cut: nothing after it is looked at.
    Over,
}

/// What the bytes that were fed show.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Nothing,
    /// The head with this number (from 1) announces a body, so it is the last one.
    LastHead {
        number: u32,
        refusal: Option<Refusal>,
    },
    /// The head with this number is cut: only `keep` of the bytes count, then come those of `tail`.
    Cut {
        number: u32,
        refusal: Refusal,
        keep: usize,
        tail: &'static [u8],
    },
}

impl Scanner {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            request_line_max: limits.target_bytes_max + REQUEST_LINE_OVERHEAD,
            header_line_max: limits.header_line_bytes_max,
            section_max: limits.header_section_bytes_max,
            headers_max: limits.headers_max,
            place: Place::BetweenHeads,
            line: Line::default(),
            framing: Framing::default(),
            section_bytes: 0,
            headers: 0,
            heads: 0,
        }
    }

    /// The most bytes that the parser can see of one head.
    pub(super) fn head_bytes_max(limits: &Limits) -> usize {
        limits.target_bytes_max + REQUEST_LINE_OVERHEAD + limits.header_section_bytes_max + 1024
    }

    /// Whether a head has begun and is not complete.
    pub(super) fn is_within_head(&self) -> bool {
        matches!(self.place, Place::RequestLine | Place::HeaderLines)
    }

    pub(super) fn feed(&mut self, fresh: &[u8]) -> Finding {
        let mut at = 0;
        while at < fresh.len() {
            match self.place {
                Place::Over => return Finding::Nothing,
                Place::BetweenHeads => {
                    // RFC 9112 §2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior to the
                    // request-line".
                    if matches!(fresh[at], b'\r' | b'\n') {
                        at += 1;
                    } else {
                        self.begin_head();
                    }
                }
                Place::RequestLine | Place::HeaderLines => {
                    let rest = &fresh[at..];
                    let line_end = memchr(b'\n', rest);
                    let piece = &rest[..line_end.unwrap_or(rest.len())];
                    if let Some((refusal, kept, tail)) = self.fault_in(piece, line_end.is_some()) {
                        self.place = Place::Over;
                        return Finding::Cut { number: self.heads + 1, refusal, keep: at + kept, tail };
                    }
                    if line_end.is_none() {
                        self.remember(piece);
                        return Finding::Nothing;
                    }
                    at += piece.len() + 1;
                    if let Some(finding) = self.end_line(piece) {
                        return finding;
                    }
                }
            }
        }
        Finding::Nothing
    }

    fn begin_head(&mut self) {
        self.place = Place::RequestLine;
        self.line = Line::default();
        self.framing = Framing::default();
        self.section_bytes = 0;
        self.headers = 0;
    }

    /// A fault that `piece`, the next bytes of the line, shows: how much of the piece to keep and what to put after it.
    fn fault_in(&self, piece: &[u8], is_whole: bool) -> Option<(Refusal, usize, &'static [u8])> {
        let line_bytes = self.line.bytes + piece.len();
        if self.place == Place::RequestLine {
            const TAIL: &[u8] = b" HTTP/1.1\r\n\r\n";
            if let Some(kept) = memchr(b'#', piece) {
                return Some((Refusal::Fragment, kept, TAIL));
            }
            if line_bytes > self.request_line_max {
                return Some((Refusal::TargetTooLong, self.request_line_max - self.line.bytes, TAIL));
            }
        } else {
            let is_first_piece = self.line.bytes == 0;
            if is_first_piece && matches!(piece.first(), Some(b' ' | b'\t')) {
                return Some((Refusal::FoldedLine, 0, b"\r\n"));
            }
            let is_blank = is_first_piece && matches!(piece, b"" | b"\r");
            if is_first_piece && !is_blank && self.headers == self.headers_max {
                return Some((Refusal::TooManyHeaders, 0, b"\r\n"));
            }
            if line_bytes > self.header_line_max {
                let kept = self.header_line_max - self.line.bytes;
                return Some((Refusal::HeaderLineTooLong, kept, self.tail_within_line(&piece[..kept])));
            }
            if self.section_bytes + line_bytes > self.section_max {
                let kept = self.section_max.saturating_sub(self.section_bytes + self.line.bytes);
                return Some((Refusal::HeaderSectionTooLarge, kept, self.tail_within_line(&piece[..kept])));
            }
        }
        let ends_with_cr = piece.last().map_or(self.line.ends_with_cr, |last| *last == b'\r');
        if is_whole && !ends_with_cr {
            let tail: &[u8] = if line_bytes == 0 { b"\r\n" } else { b"\r\n\r\n" };
            return Some((Refusal::BareLineFeed, piece.len(), tail));
        }
        None
    }

    /// What makes a whole head of one that ends within a header line.
    fn tail_within_line(&self, kept: &[u8]) -> &'static [u8] {
        if self.line.bytes + kept.len() == 0 {
            b"\r\n"
        } else if self.line.has_colon || memchr(b':', kept).is_some() {
            b"\r\n\r\n"
        } else {
            b":\r\n\r\n"
        }
    }

    /// Keeps what matters of a line whose end has not come.
    fn remember(&mut self, piece: &[u8]) {
        let Some(last) = piece.last() else { return };
        if let Some(free) = self.line.prefix.get_mut(self.line.bytes..) {
            let taken = free.len().min(piece.len());
            free[..taken].copy_from_slice(&piece[..taken]);
        }
        self.line.has_colon |= memchr(b':', piece).is_some();
        self.line.ends_with_cr = *last == b'\r';
        self.line.bytes += piece.len();
    }

    fn end_line(&mut self, piece: &[u8]) -> Option<Finding> {
        let line_bytes = self.line.bytes + piece.len();
        let was_request_line = self.place == Place::RequestLine;
        if was_request_line {
            self.place = Place::HeaderLines;
        } else if line_bytes <= 1 {
            return self.end_head();
        } else {
            self.headers += 1;
            self.section_bytes += line_bytes + 1;
            if self.line.bytes == 0 {
                self.read_framing(piece);
            } else {
                self.remember(piece);
                let prefix = self.line.prefix;
                self.read_framing(&prefix[..line_bytes.min(PREFIX_BYTES)]);
            }
        }
        self.line = Line::default();
        None
    }

    fn read_framing(&mut self, line: &[u8]) {
        const CONTENT_LENGTH: &[u8] = b"content-length:";
        const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";
        let begins_with =
            |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        match line.first() {
            Some(b'c' | b'C') if begins_with(CONTENT_LENGTH) => {
                self.framing.has_content_length = true;
                self.framing.has_body |= line[CONTENT_LENGTH.len()..].trim_ascii() != b"0";
            }
            Some(b't' | b'T') if begins_with(TRANSFER_ENCODING) => {
                self.framing.has_transfer_encoding = true;
                self.framing.has_body = true;
            }
            _ => {}
        }
    }

    fn end_head(&mut self) -> Option<Finding> {
        self.heads = self.heads.saturating_add(1);
        if !self.framing.has_body {
            self.place = Place::BetweenHeads;
            return None;
        }
        self.place = Place::Over;
        let conflicts = self.framing.has_content_length && self.framing.has_transfer_encoding;
        let refusal = conflicts.then_some(Refusal::LengthConflict);
        Some(Finding::LastHead { number: self.heads, refusal })
    }
}

#[cfg(test)]
mod tests;
