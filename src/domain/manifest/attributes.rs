//! Attribute lists, read lexically: exact names, quoted strings with commas, every occurrence.

use std::ops::Range;

use super::lines::trim;

/// One attribute, as ranges of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: Range<usize>,
    /// Without the quotes.
    pub value: Range<usize>,
    pub quoted: bool,
}

/// Walks the attribute list in a range. Ends with an error at the first thing that no attribute list holds: a
/// string without its closing quote, or text beside a quoted string.
#[derive(Debug)]
pub struct Attributes<'a> {
    source: &'a [u8],
    position: usize,
    end: usize,
}

/// The list does not parse; the line it stands in is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unparsable;

impl<'a> Attributes<'a> {
    pub fn new(source: &'a [u8], list: Range<usize>) -> Self {
        Self { source, position: list.start, end: list.end }
    }

    fn fail(&mut self) -> Result<Attribute, Unparsable> {
        self.position = self.end;
        Err(Unparsable)
    }
}

impl Iterator for Attributes<'_> {
    type Item = Result<Attribute, Unparsable>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.position < self.end {
            let list = &self.source[self.position..self.end];
            let stop = memchr::memchr3(b'=', b',', b'"', list).unwrap_or(list.len());
            let name = trim(self.source, self.position..self.position + stop);
            match list.get(stop) {
                Some(b'=') => {}
                Some(b'"') => return Some(self.fail()),
                // An empty item or a bare word: nothing in it can be a URI.
                _ => {
                    self.position += stop + 1;
                    continue;
                }
            }
            let after = trim(self.source, self.position + stop + 1..self.end);
            return Some(if self.source[after.clone()].first() == Some(&b'"') {
                self.quoted(name, after.start + 1)
            } else {
                self.unquoted(name, after.start)
            });
        }
        None
    }
}

impl Attributes<'_> {
    /// RFC 8216bis, section 4.2: a quoted string knows no escapes, so the next quote ends it.
    fn quoted(&mut self, name: Range<usize>, start: usize) -> Result<Attribute, Unparsable> {
        let Some(length) = memchr::memchr(b'"', &self.source[start..self.end]) else { return self.fail() };
        let end = start + length;
        let after = trim(self.source, end + 1..self.end);
        match self.source[after.clone()].first() {
            None => self.position = self.end,
            Some(b',') => self.position = after.start + 1,
            Some(_) => return self.fail(),
        }
        Ok(Attribute { name, value: start..end, quoted: true })
    }

    fn unquoted(&mut self, name: Range<usize>, start: usize) -> Result<Attribute, Unparsable> {
        let rest = &self.source[start..self.end];
        let length = memchr::memchr(b',', rest).unwrap_or(rest.len());
        if memchr::memchr(b'"', &rest[..length]).is_some() {
            return self.fail();
        }
        self.position = (start + length + 1).min(self.end);
        Ok(Attribute { name, value: trim(self.source, start..start + length), quoted: false })
    }
}
