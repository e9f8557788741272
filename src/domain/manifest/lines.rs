//! The lines of a playlist: LF, CRLF and a lone CR end one, and what ends it is left where it stands.

use std::ops::Range;

pub const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The content of each line as a range of the source, blanks at both ends left out. Empty lines are passed
/// over.
///
/// A lone CR is no line end by RFC 8216bis, section 4, but hls.js reads it as one; a reader that did not
/// would take two lines for one URI.
#[derive(Debug)]
pub struct Lines<'a> {
    source: &'a [u8],
    position: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    pub fn new(source: &'a [u8]) -> Self {
        let position = if source.starts_with(BOM) { BOM.len() } else { 0 };
        Self { source, position, number: 0 }
    }

    /// How many line ends were passed, and so, from zero, the number of the line after them.
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Iterator for Lines<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while self.position < self.source.len() {
            let start = self.position;
            let rest = &self.source[start..];
            let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            self.position = start + length + 1;
            self.number += 1;
            let line = trim(self.source, start..start + length);
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    }
}

/// The range without the spaces and tabs at its ends.
pub fn trim(source: &[u8], range: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = range;
    while start < end && is_blank(source[start]) {
        start += 1;
    }
    while start < end && is_blank(source[end - 1]) {
        end -= 1;
    }
    start..end
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
