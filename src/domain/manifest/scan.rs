//! One walk over the lines of a playlist: what each tag carries, and what kind of playlist it is.

use std::collections::HashSet;
use std::ops::Range;

use super::attributes::{Attribute, Attributes};
use super::base::{Base, Hosts};
use super::classify::{Classifier, Kind};
use super::collect::{Collector, Own};
use super::lines::{Lines, trim};
use super::tags::{Carries, KEY_ITSELF, PRELOAD_CLASS, carries};
use super::template::Found;
use super::{ManifestError, Options};

/// The insertion points, the kind, and path and query of the first variant on the playlist's own host.
pub(super) fn scan(
    source: &[u8],
    base: &Base,
    hosts: &Hosts,
    session_name: &str,
    options: &Options,
) -> Result<(Found, Kind, Option<Box<str>>), ManifestError> {
    let mut scan = Scan {
        source,
        options,
        collector: Collector::new(source, base, hosts, session_name),
        classifier: Classifier::default(),
        preload_ids: HashSet::new(),
        after_stream_inf: false,
        first_variant: None,
    };
    let mut lines = Lines::new(source);
    while let Some(line) = lines.next() {
        if line.len() > options.line_bytes_max {
            let bytes_max = options.line_bytes_max;
            return Err(ManifestError::LineTooLong { line: lines.number(), bytes_max });
        }
        scan.line(line);
    }
    Ok((scan.collector.finish(), scan.classifier.finish(), scan.first_variant))
}

struct Scan<'a> {
    source: &'a [u8],
    options: &'a Options,
    collector: Collector<'a>,
    classifier: Classifier,
    /// `ID`s of `EXT-X-DATERANGE` tags seen with the preload class, which later tags of the same `ID` may
    /// omit.
    preload_ids: HashSet<&'a [u8]>,
    after_stream_inf: bool,
    first_variant: Option<Box<str>>,
}

impl Scan<'_> {
    fn line(&mut self, line: Range<usize>) {
        let text = &self.source[line.clone()];
        if text[0] != b'#' {
            let own = self.collector.reference(line.clone());
            if std::mem::take(&mut self.after_stream_inf) && self.first_variant.is_none() {
                self.first_variant = own.and_then(|own| self.variant(&own, line));
            }
            return;
        }
        if let Some(value) = text.strip_prefix(b"#EXTINF:") {
            return self.classifier.extinf(value);
        }
        if !text.starts_with(b"#EXT") {
            return;
        }
        let colon = memchr::memchr(b':', text).unwrap_or(text.len());
        let name = text[1..colon].trim_ascii_end();
        let value = (line.start + colon + 1).min(line.end)..line.end;
        self.classifier.tag(name, &self.source[value.clone()]);
        self.after_stream_inf |= name == b"EXT-X-STREAM-INF";
        match carries(name) {
            Carries::Attributes(names) => self.attributes(value, names),
            Carries::Unknown if self.options.unknown_tags => self.attributes(value, &["URI"]),
            Carries::Key => self.key(value),
            Carries::DateRange => self.date_range(value),
            Carries::Line => {
                self.collector.reference(trim(self.source, value));
            }
            Carries::Define => {
                let base = self.collector.base();
                self.collector.variables.define(self.source, value, base);
            }
            Carries::Unknown | Carries::Nothing => {}
        }
    }

    fn attributes(&mut self, list: Range<usize>, names: &[&str]) {
        let mark = self.collector.mark();
        for attribute in Attributes::new(self.source, list) {
            let Ok(attribute) = attribute else { return self.collector.leave(mark) };
            let name = &self.source[attribute.name.clone()];
            if names.iter().any(|wanted| wanted.as_bytes() == name) {
                self.attribute(&attribute);
            }
        }
    }

    /// What a key system makes of its URI (a licence to ask for, a key to look up) is none of ours, on whatever host: a token
    /// in it would go to a licence server, or spoil what the system looks for.
    fn key(&mut self, list: Range<usize>) {
        let source = self.source;
        let of_a_system = Attributes::new(source, list.clone()).flatten().any(|attribute| {
            source[attribute.name].eq_ignore_ascii_case(b"KEYFORMAT")
                && source[attribute.value] != *KEY_ITSELF
        });
        if !of_a_system {
            return self.attributes(list, &["URI"]);
        }
        let uris = Attributes::new(source, list)
            .flatten()
            .filter(|attribute| source[attribute.name.clone()] == *b"URI");
        self.collector.counts.other_schemes += uris.count();
    }

    /// An unquoted URI is against the grammar, and a comma in a token would end it: it is left alone.
    fn attribute(&mut self, attribute: &Attribute) {
        let value = trim(self.source, attribute.value.clone());
        if attribute.quoted {
            self.collector.reference(value);
        } else {
            self.collector.counts.unparsable += 1;
        }
    }

    fn date_range(&mut self, list: Range<usize>) {
        let Ok(attributes) = Attributes::new(self.source, list).collect::<Result<Vec<_>, _>>() else {
            let mark = self.collector.mark();
            return self.collector.leave(mark);
        };
        let source = self.source;
        let find = |name: &[u8]| {
            let found = attributes.iter().find(|a| &source[a.name.clone()] == name);
            found.map(|a| &source[a.value.clone()])
        };
        let id = find(b"ID");
        let preload = match find(b"CLASS") {
            Some(class) => class == PRELOAD_CLASS,
            None => id.is_some_and(|id| self.preload_ids.contains(id)),
        };
        if preload && let Some(id) = id {
            self.preload_ids.insert(id);
        }
        for attribute in &attributes {
            match &source[attribute.name.clone()] {
                b"X-ASSET-URI" | b"X-ASSET-LIST" => self.attribute(attribute),
                b"X-URI" if preload => self.attribute(attribute),
                _ => {}
            }
        }
    }

    fn variant(&self, own: &Own, line: Range<usize>) -> Option<Box<str>> {
        let text = own.resolved.as_deref().unwrap_or(&self.source[line]);
        let base = self.collector.base().url();
        let url = base.join(std::str::from_utf8(text).ok()?).ok()?;
        if url.origin() != base.origin() {
            return None;
        }
        let path = url.path();
        Some(url.query().map_or_else(|| path.into(), |query| format!("{path}?{query}").into()))
    }
}
