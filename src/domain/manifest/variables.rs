//! `EXT-X-DEFINE`: what `{$name}` stands for, as far as this playlist alone can tell.

use std::collections::HashMap;
use std::ops::Range;

use super::attributes::{Attribute, Attributes};
use super::base::Base;

/// The variables defined so far. A name without a value was imported from a playlist that is not at hand.
#[derive(Debug, Default)]
pub(super) struct Variables {
    values: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Whether a value was taken from the playlist's own query.
    pub(super) reads_query: bool,
}

/// A text with its variables replaced; the unknown ones stand as they were.
#[derive(Debug)]
pub(super) struct Expansion {
    pub(super) text: Vec<u8>,
    replaced: Vec<Replaced>,
    /// Where, in `text`, the first unknown variable stands.
    pub(super) unknown_at: Option<usize>,
}

#[derive(Debug)]
struct Replaced {
    raw: Range<usize>,
    expanded: Range<usize>,
}

impl Variables {
    /// One `EXT-X-DEFINE` line. What does not parse defines nothing.
    pub(super) fn define(&mut self, source: &[u8], list: Range<usize>, base: &Base) {
        let Ok(attributes) = Attributes::new(source, list).collect::<Result<Vec<Attribute>, _>>() else {
            return;
        };
        let find = |name: &[u8]| {
            let found = attributes.iter().find(|a| a.quoted && &source[a.name.clone()] == name);
            found.map(|a| source[a.value.clone()].to_vec())
        };
        if let Some(name) = find(b"NAME") {
            self.values.insert(name, find(b"VALUE"));
        } else if let Some(name) = find(b"QUERYPARAM") {
            self.reads_query = true;
            let value = query_value(base, &name);
            self.values.insert(name, value);
        } else if let Some(name) = find(b"IMPORT") {
            self.values.insert(name, None);
        }
    }

    /// Replaces each `{$name}` once; what comes out is not looked at again (RFC 8216bis, section 4.3). None
    /// when the result would have more bytes than `bytes_max`.
    pub(super) fn expand(&self, raw: &[u8], bytes_max: usize) -> Option<Expansion> {
        let mut expansion = Expansion { text: Vec::new(), replaced: Vec::new(), unknown_at: None };
        let mut position = 0;
        while let Some(found) = memchr::memmem::find(&raw[position..], b"{$") {
            let start = position + found;
            let Some(length) = name_length(&raw[start + 2..]) else {
                expansion.text.extend_from_slice(&raw[position..start + 2]);
                position = start + 2;
                continue;
            };
            let end = start + 2 + length + 1;
            expansion.text.extend_from_slice(&raw[position..start]);
            let expanded_start = expansion.text.len();
            if let Some(Some(value)) = self.values.get(&raw[start + 2..end - 1]) {
                expansion.text.extend_from_slice(value);
                let expanded = expanded_start..expansion.text.len();
                expansion.replaced.push(Replaced { raw: start..end, expanded });
            } else {
                expansion.text.extend_from_slice(&raw[start..end]);
                expansion.unknown_at.get_or_insert(expanded_start);
            }
            if expansion.text.len() > bytes_max {
                return None;
            }
            position = end;
        }
        expansion.text.extend_from_slice(&raw[position..]);
        (expansion.text.len() <= bytes_max).then_some(expansion)
    }
}

impl Expansion {
    pub(super) fn verbatim(raw: &[u8]) -> Self {
        Self { text: raw.to_vec(), replaced: Vec::new(), unknown_at: None }
    }

    /// The offset in the raw text for one in the expanded text; None inside a variable's value.
    pub(super) fn raw_offset(&self, expanded: usize) -> Option<usize> {
        let (mut raw_end, mut expanded_end) = (0, 0);
        for replaced in &self.replaced {
            if expanded <= replaced.expanded.start {
                break;
            }
            if expanded < replaced.expanded.end {
                return None;
            }
            (raw_end, expanded_end) = (replaced.raw.end, replaced.expanded.end);
        }
        Some(raw_end + (expanded - expanded_end))
    }
}

fn name_length(text: &[u8]) -> Option<usize> {
    let length = text.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')))?;
    (length > 0 && text[length] == b'}').then_some(length)
}

fn query_value(base: &Base, name: &[u8]) -> Option<Vec<u8>> {
    let query = base.query()?.as_bytes();
    let mut parameters = query.split(|b| *b == b'&');
    parameters.find_map(|parameter| {
        let equals = memchr::memchr(b'=', parameter)?;
        (percent_decoded(&parameter[..equals]) == name).then(|| percent_decoded(&parameter[equals + 1..]))
    })
}

pub(super) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = match rest {
            [b'%', high, low, ..] => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            decoded.push(high * 16 + low);
            rest = &rest[3..];
        } else {
            decoded.push(byte);
            rest = tail;
        }
    }
    decoded
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
