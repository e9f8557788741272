//! A playlist compiled once, and the walk that puts one session's token into it.

use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;

use super::attributes::{Attribute, Attributes};
use super::base::{Base, Hosts};
use super::classify::{Classifier, Kind};
use super::collect::{Collector, Own};
use super::lines::{Lines, trim};
use super::reference::{Climb, PathForm, Separator};
use super::tags::{Carries, PRELOAD_CLASS, carries};
use super::{ManifestError, Options, is_playlist};

/// A source together with the places at which a token goes in.
#[derive(Debug, Clone)]
pub struct Template {
    pub(super) source: Bytes,
    pub(super) points: Vec<Point>,
    /// Where the source's text does not stand as it is, by the index of its point.
    pub(super) specials: Vec<(u32, Special)>,
    pub(super) directory: Box<str>,
    pub(super) last_segment: Box<str>,
    kind: Kind,
    counts: Counts,
    has_absolute: bool,
    depends_on_query: bool,
    first_variant: Option<Box<str>>,
}

/// One reference of ours. 16 bytes, as a long playlist has thousands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) start: u32,
    pub(super) path_at: u32,
    pub(super) query_at: u32,
    pub(super) climb: Climb,
    pub(super) separator: Separator,
    pub(super) path_form: PathForm,
}

#[derive(Debug, Clone)]
pub(super) enum Special {
    Uri(Rewritten),
    Parameter(Parameter),
}

/// A reference that held a stale token, a variable in the way of an insertion, or JSON escapes.
#[derive(Debug, Clone)]
pub(super) struct Rewritten {
    pub(super) end: u32,
    /// The text without its stale token, when it had one.
    pub(super) plain: Option<Box<[u8]>>,
    pub(super) query: Placed,
    pub(super) path: Placed,
}

/// Where a token goes into `text`, or into the plain text when there is none; nowhere when `at` is None.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) text: Option<Box<[u8]>>,
    pub(super) at: Option<u32>,
}

/// A span that becomes `before`, the token's value when `with_value`, and `after`, for the query carrier alone.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub(super) span: Range<usize>,
    pub(super) before: Box<str>,
    pub(super) with_value: bool,
    pub(super) after: Box<str>,
}

/// What was found, for metrics and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// References on our hosts: these get a token.
    pub own: usize,
    pub foreign: usize,
    /// `skd:`, `data:`, `urn:` and the like.
    pub other_schemes: usize,
    /// Attribute lists and references that do not parse.
    pub unparsable: usize,
    /// References whose host hangs on a variable that is defined elsewhere.
    pub unknown_variables: usize,
    /// Steering pathways on other hosts.
    pub foreign_pathways: usize,
}

impl Template {
    /// Finds every insertion point of a playlist whose client sees it at `base`.
    pub fn compile(
        source: &Bytes,
        base: &Base,
        hosts: &Hosts,
        session_name: &str,
        options: &Options,
    ) -> Result<Self, ManifestError> {
        check_size(source, options)?;
        if !is_playlist(source) {
            return Err(ManifestError::NotAPlaylist);
        }
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
        let Scan { collector, classifier, first_variant, .. } = scan;
        let (kind, found) = (classifier.finish(), collector.finish());
        Ok(Self::assemble(source.clone(), base, found, kind, first_variant))
    }

    pub(super) fn assemble(
        source: Bytes,
        base: &Base,
        found: Found,
        kind: Kind,
        first_variant: Option<Box<str>>,
    ) -> Self {
        Self {
            source,
            points: found.points,
            specials: found.specials,
            directory: base.directory().into(),
            last_segment: base.last_segment().into(),
            kind,
            counts: found.counts,
            has_absolute: found.has_absolute,
            depends_on_query: found.depends_on_query,
            first_variant,
        }
    }

    pub fn source(&self) -> &Bytes {
        &self.source
    }

    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether a reference named a scheme or host: then the template holds for this base's host alone.
    pub fn has_absolute(&self) -> bool {
        self.has_absolute
    }

    /// Whether a variable was read from the base's query: then the template holds for this query alone.
    pub fn depends_on_query(&self) -> bool {
        self.depends_on_query
    }

    /// Path and query of a multivariant playlist's first variant on the playlist's own host and port.
    pub fn first_variant(&self) -> Option<&str> {
        self.first_variant.as_deref()
    }

    /// The memory that the template holds besides the source.
    pub fn weight_bytes(&self) -> usize {
        let text = |text: &Option<Box<[u8]>>| text.as_ref().map_or(0, |text| text.len());
        let specials = self.specials.iter().map(|(_, special)| {
            size_of::<(u32, Special)>()
                + match special {
                    Special::Uri(uri) => text(&uri.plain) + text(&uri.query.text) + text(&uri.path.text),
                    Special::Parameter(parameter) => parameter.before.len() + parameter.after.len(),
                }
        });
        size_of::<Self>() + size_of_val(self.points.as_slice()) + specials.sum::<usize>()
    }
}

/// What a collection ends in.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) points: Vec<Point>,
    pub(super) specials: Vec<(u32, Special)>,
    pub(super) counts: Counts,
    pub(super) has_absolute: bool,
    pub(super) depends_on_query: bool,
}

pub(super) fn check_size(source: &[u8], options: &Options) -> Result<(), ManifestError> {
    let bytes_max = options.source_bytes_max.min(u32::MAX as usize);
    if source.len() > bytes_max {
        return Err(ManifestError::TooLarge { bytes: source.len(), bytes_max });
    }
    Ok(())
}

struct Scan<'a> {
    source: &'a [u8],
    options: &'a Options,
    collector: Collector<'a>,
    classifier: Classifier,
    /// `ID`s of `EXT-X-DATERANGE` tags seen with the preload class, which later tags of the same `ID` may omit.
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
