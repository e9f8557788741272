//! Steering manifests and asset lists: JSON in which only the strings that are URIs change.
//!
//! `serde_json` says whether the text is JSON; the spans come from an own lexical walk over what it has
//! accepted, so that every other byte (order, blanks, number formats, unknown members) stays.
//!
//! A pathway clone (RFC 8216bis, section 7.3) makes a player take the URIs it already has, which carry the
//! viewer's token, to another `HOST`. When that host is not ours the token must not go with them. In the
//! query carrier an empty parameter in `PARAMS` replaces it; in the path carrier nothing in the manifest can,
//! so such pathways are counted in `Counts::foreign_pathways`.

use std::ops::Range;

use bytes::Bytes;

use super::base::{Base, Hosts};
use super::classify::Kind;
use super::collect::Collector;
use super::template::{Parameter, Template, check_size};
use super::{ManifestError, Options};

/// Which of the two documents a JSON text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    Steering,
    AssetList,
}

/// Judged by the member that each must have: `PATHWAY-PRIORITY` (RFC 8216bis, section 7.2), `ASSETS` (appendix D).
/// Neither a content type nor a name tells them from other JSON.
pub fn recognise(source: &[u8]) -> Option<Document> {
    // An array would be read into the members by position.
    if source.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let Members { priority, assets } = serde_json::from_slice(source).ok()?;
    let steering = priority.map(|_| Document::Steering);
    steering.or_else(|| assets.map(|_| Document::AssetList))
}

#[derive(serde::Deserialize)]
struct Members {
    #[serde(rename = "PATHWAY-PRIORITY")]
    priority: Option<serde::de::IgnoredAny>,
    #[serde(rename = "ASSETS")]
    assets: Option<serde::de::IgnoredAny>,
}

/// The answer of an `EXT-X-CONTENT-STEERING` server: `RELOAD-URI`, and the URIs of `PATHWAY-CLONES`.
pub fn compile_steering(
    source: &Bytes,
    base: &Base,
    hosts: &Hosts,
    session_name: &str,
    options: &Options,
) -> Result<Template, ManifestError> {
    compile(source, base, hosts, session_name, options, |document, root| {
        for (key, value) in document.members(root) {
            match key.as_str() {
                "RELOAD-URI" => document.reference(value),
                "PATHWAY-CLONES" => document.elements(value).into_iter().for_each(|clone| {
                    for (key, value) in document.members(clone) {
                        if key == "URI-REPLACEMENT" {
                            document.replacement(value, session_name);
                        }
                    }
                }),
                _ => {}
            }
        }
    })
}

/// The list behind an interstitial's `X-ASSET-LIST`: `ASSETS[].URI`.
pub fn compile_asset_list(
    source: &Bytes,
    base: &Base,
    hosts: &Hosts,
    session_name: &str,
    options: &Options,
) -> Result<Template, ManifestError> {
    compile(source, base, hosts, session_name, options, |document, root| {
        for (_, assets) in document.members(root).into_iter().filter(|(key, _)| key == "ASSETS") {
            for asset in document.elements(assets) {
                for (_, uri) in document.members(asset).into_iter().filter(|(key, _)| key == "URI") {
                    document.reference(uri);
                }
            }
        }
    })
}

fn compile(
    source: &Bytes,
    base: &Base,
    hosts: &Hosts,
    session_name: &str,
    options: &Options,
    visit: impl FnOnce(&mut Walk<'_>, Range<usize>),
) -> Result<Template, ManifestError> {
    check_size(source, options)?;
    let text = std::str::from_utf8(source).map_err(|error| ManifestError::NotJson(error.to_string()))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| ManifestError::NotJson(error.to_string()))?;
    let collector = Collector::without_variables(source, base, hosts, session_name);
    let mut document = Walk { text, collector };
    visit(&mut document, 0..text.len());
    let found = document.collector.finish();
    Ok(Template::assemble(source.clone(), base, found, Kind::Json, None))
}

/// A text that is known to be JSON. A value of another type than expected has no members and no elements.
struct Walk<'a> {
    text: &'a str,
    collector: Collector<'a>,
}

impl Walk<'_> {
    fn members(&self, object: Range<usize>) -> Vec<(String, Range<usize>)> {
        let mut members = Vec::new();
        let mut position = self.skip_blanks(object.start);
        if self.byte(position) != Some(b'{') {
            return members;
        }
        position = self.skip_blanks(position + 1);
        while self.byte(position) == Some(b'"') {
            let key = position..self.value_end(position);
            let start = self.skip_blanks(self.skip_blanks(key.end) + 1);
            let value = start..self.value_end(start);
            position = self.after_comma(value.end);
            members.push((self.string(&key).unwrap_or_default(), value));
        }
        members
    }

    fn elements(&self, array: Range<usize>) -> Vec<Range<usize>> {
        let mut elements = Vec::new();
        let mut position = self.skip_blanks(array.start);
        if self.byte(position) != Some(b'[') {
            return elements;
        }
        position = self.skip_blanks(position + 1);
        while !matches!(self.byte(position), None | Some(b']')) {
            let value = position..self.value_end(position);
            position = self.after_comma(value.end);
            elements.push(value);
        }
        elements
    }

    /// A value that should be a URI.
    fn reference(&mut self, value: Range<usize>) {
        let Some(text) = self.string(&value) else { return };
        let inner = value.start + 1..value.end - 1;
        if self.text[inner.clone()] == text {
            self.collector.reference(inner);
        } else {
            self.collector.escaped_reference(inner, text.as_bytes());
        }
    }

    fn replacement(&mut self, object: Range<usize>, session_name: &str) {
        let members = self.members(object.clone());
        let host = members.iter().find(|(key, _)| key == "HOST").and_then(|(_, value)| self.string(value));
        let foreign = host.is_some_and(|host| !self.collector.is_own_host(&host));
        let has_parameters = members.iter().any(|(key, value)| key == "PARAMS" && self.is_object(value));
        if foreign {
            self.collector.counts.foreign_pathways += 1;
        }
        if foreign && !has_parameters && self.is_object(&object) {
            let separator = if members.is_empty() { "" } else { "," };
            let after = format!("\"PARAMS\":{{\"{session_name}\":\"\"}}{separator}");
            self.insert(object.start + 1, after);
        }
        for (key, value) in members {
            match key.as_str() {
                "PARAMS" => self.parameters(&value, session_name, foreign),
                "PER-VARIANT-URIS" | "PER-RENDITION-URIS" => {
                    for (_, uri) in self.members(value) {
                        self.reference(uri);
                    }
                }
                _ => {}
            }
        }
    }

    /// "If a query parameter of that name is present, its value is replaced": a stale token here would stand
    /// in for the viewer's.
    fn parameters(&mut self, object: &Range<usize>, session_name: &str, foreign: bool) {
        let members = self.members(object.clone());
        let count = members.len();
        let own = members.into_iter().find(|(key, _)| key == session_name);
        match own {
            Some((_, value)) if !foreign && self.string(&value).is_some() => {
                self.collector.parameter(Parameter {
                    span: value.start + 1..value.end - 1,
                    before: "".into(),
                    with_value: true,
                    after: "".into(),
                });
            }
            None if foreign && self.is_object(object) => {
                let separator = if count == 0 { "" } else { "," };
                self.insert(object.start + 1, format!("\"{session_name}\":\"\"{separator}"));
            }
            Some(_) | None => {}
        }
    }

    fn insert(&mut self, at: usize, text: String) {
        let (before, after) = ("".into(), text.into());
        self.collector.parameter(Parameter { span: at..at, before, with_value: false, after });
    }

    fn string(&self, value: &Range<usize>) -> Option<String> {
        serde_json::from_str(&self.text[value.clone()]).ok()
    }

    fn is_object(&self, value: &Range<usize>) -> bool {
        self.byte(value.start) == Some(b'{')
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn skip_blanks(&self, from: usize) -> usize {
        let rest = &self.text.as_bytes()[from.min(self.text.len())..];
        from + rest.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(rest.len())
    }

    fn after_comma(&self, from: usize) -> usize {
        let at = self.skip_blanks(from);
        if self.byte(at) == Some(b',') { self.skip_blanks(at + 1) } else { at }
    }

    /// The end of the value that begins at `start`: brackets are counted, strings passed over.
    fn value_end(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        let mut at = start;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => at = string_end(bytes, at),
                b'{' | b'[' => {
                    depth += 1;
                    at += 1;
                }
                b'}' | b']' | b',' if depth == 0 => return at,
                b'}' | b']' => {
                    depth -= 1;
                    at += 1;
                }
                _ => at += 1,
            }
            if depth == 0 && matches!(byte, b'"' | b'}' | b']') {
                return at;
            }
        }
        at
    }
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}
