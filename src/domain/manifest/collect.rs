//! Turns each reference found in a source into an insertion point, and counts what is left alone.

use std::ops::Range;

use super::base::{Base, Hosts};
use super::reference::{Judge, Verdict, settles_host};
use super::shape::{Climb, PathForm, Separator, Shape};
use super::template::{Counts, Found, Parameter, Placed, Point, Rewritten, Special};
use super::variables::{Expansion, Variables};

#[derive(Debug)]
pub(super) struct Collector<'a> {
    source: &'a [u8],
    session_name: &'a [u8],
    judge: Judge<'a>,
    pub(super) variables: Variables,
    has_variables: bool,
    has_session_name: bool,
    /// How many bytes of expanded and cleaned text may still be made: a value is short to use and long to
    /// write out.
    expansion_bytes_left: usize,
    pub(super) points: Vec<Point>,
    pub(super) specials: Vec<(u32, Special)>,
    pub(super) counts: Counts,
}

/// How far a collection had got before a line that may turn out not to parse.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    points: usize,
    specials: usize,
    counts: Counts,
}

/// A reference that is ours: the text a player resolves, without a stale token and with its variables
/// replaced.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) resolved: Option<Vec<u8>>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(source: &'a [u8], base: &'a Base, hosts: &'a Hosts, session_name: &'a str) -> Self {
        let session_name = session_name.as_bytes();
        Self {
            source,
            session_name,
            judge: Judge::new(base, hosts),
            variables: Variables::default(),
            has_variables: memchr::memmem::find(source, b"{$").is_some(),
            has_session_name: !session_name.is_empty()
                && memchr::memmem::find(source, session_name).is_some(),
            expansion_bytes_left: source.len().saturating_mul(4).saturating_add(64 * 1024),
            points: Vec::new(),
            specials: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// For a document in which `{$name}` is plain text.
    pub(super) fn without_variables(
        source: &'a [u8],
        base: &'a Base,
        hosts: &'a Hosts,
        session_name: &'a str,
    ) -> Self {
        Self { has_variables: false, ..Self::new(source, base, hosts, session_name) }
    }

    /// Whether a host, with or without a port, is ours when reached by the base's scheme.
    pub(super) fn is_own_host(&mut self, host: &str) -> bool {
        matches!(self.judge.judge(format!("//{host}/").as_bytes()), Verdict::Own(_))
    }

    pub(super) fn base(&self) -> &'a Base {
        self.judge.base()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { points: self.points.len(), specials: self.specials.len(), counts: self.counts }
    }

    /// Leaves a line as it is after all.
    pub(super) fn leave(&mut self, mark: Mark) {
        self.points.truncate(mark.points);
        self.specials.truncate(mark.specials);
        self.counts = mark.counts;
        self.counts.unparsable += 1;
    }

    pub(super) fn finish(mut self) -> Found {
        self.points.shrink_to_fit();
        Found {
            points: self.points,
            specials: self.specials,
            counts: self.counts,
            has_absolute: self.judge.has_judged_hosts(),
            depends_on_query: self.variables.reads_query,
        }
    }

    /// A reference that stands in the source as it is read.
    pub(super) fn reference(&mut self, span: Range<usize>) -> Option<Own> {
        let source = self.source;
        let text = &source[span.clone()];
        let variable = self.has_variables && memchr::memmem::find(text, b"{$").is_some();
        if variable || (self.has_session_name && memchr::memmem::find(text, self.session_name).is_some()) {
            return self.respelt(span, text, false);
        }
        let shape = self.own_shape(text)?;
        self.points.push(point(span.start, span.start, &shape));
        Some(Own { resolved: None })
    }

    /// A JSON string with escapes: its text is not the bytes that stand for it in the source.
    pub(super) fn escaped_reference(&mut self, span: Range<usize>, text: &[u8]) -> Option<Own> {
        self.respelt(span, text, true)
    }

    /// A value that is the token's alone: what a steering manifest puts into the query of another pathway.
    pub(super) fn parameter(&mut self, parameter: Parameter) {
        let at = offset(parameter.span.start);
        let index = offset(self.points.len());
        self.points.push(Point {
            start: at,
            path_at: at,
            query_at: at,
            climb: Climb::ROOTED,
            separator: Separator::Nothing,
            path_form: PathForm::Segment,
        });
        self.specials.push((index, Special::Parameter(parameter)));
    }

    fn own_shape(&mut self, text: &[u8]) -> Option<Shape> {
        match self.judge.judge(text) {
            Verdict::Own(shape) => {
                self.counts.own += 1;
                return Some(shape);
            }
            Verdict::Foreign => self.counts.foreign += 1,
            Verdict::OtherScheme => self.counts.other_schemes += 1,
            Verdict::Unparsable => self.counts.unparsable += 1,
            Verdict::Empty => {}
        }
        None
    }

    fn unparsable(&mut self) -> Option<Own> {
        self.counts.unparsable += 1;
        None
    }

    /// The slow way: stale tokens out, variables replaced, the result judged, and its offsets taken back to
    /// the text.
    fn respelt(&mut self, span: Range<usize>, text: &[u8], escaped: bool) -> Option<Own> {
        let stale_free = without_stale(text, self.session_name);
        let raw = stale_free.as_deref().unwrap_or(text);
        if stale_free.is_some() && self.rooted(raw) != self.rooted(text) {
            return self.unparsable();
        }
        let bytes_max = self.expansion_bytes_left.min(EXPANDED_BYTES_MAX);
        let Some(expansion) = self.expand(raw, bytes_max) else { return self.unparsable() };
        self.expansion_bytes_left = self.expansion_bytes_left.saturating_sub(expansion.text.len());
        if expansion.unknown_at.is_some_and(|at| !settles_host(&expansion.text[..at])) {
            self.counts.unknown_variables += 1;
            return None;
        }
        if without_stale(&expansion.text, self.session_name).is_some() {
            // A variable brings a token of its own, which cannot be taken out of a value that other lines
            // use.
            return self.unparsable();
        }
        let shape = self.own_shape(&expansion.text)?;
        if escaped && !writable(raw, true) {
            return self.unparsable();
        }
        let place = |at: usize| match expansion.raw_offset(at) {
            Some(at) => Placed { text: escaped.then(|| raw.into()), at: Some(offset(at)) },
            None if writable(&expansion.text, escaped) => {
                Placed { text: Some(expansion.text.as_slice().into()), at: Some(offset(at)) }
            }
            None => Placed { text: None, at: None },
        };
        let (query, path) = (place(shape.query_at), place(shape.path_at));
        let index = offset(self.points.len());
        self.points.push(point(span.start, span.start, &shape));
        let plain = stale_free.map(Vec::into_boxed_slice);
        self.specials.push((index, Special::Uri(Rewritten { end: offset(span.end), plain, query, path })));
        Some(Own { resolved: Some(expansion.text) })
    }

    fn expand(&self, raw: &[u8], bytes_max: usize) -> Option<Expansion> {
        if self.has_variables {
            self.variables.expand(raw, bytes_max)
        } else {
            Some(Expansion::verbatim(raw))
        }
    }

    fn rooted(&mut self, text: &[u8]) -> Option<bool> {
        match self.judge.judge(text) {
            Verdict::Own(shape) => Some(shape.climb == Climb::ROOTED),
            Verdict::Foreign | Verdict::OtherScheme | Verdict::Unparsable | Verdict::Empty => None,
        }
    }
}

/// As long as the longest URL that servers commonly take.
const EXPANDED_BYTES_MAX: usize = 16 * 1024;

fn point(start: usize, text_start: usize, shape: &Shape) -> Point {
    Point {
        start: offset(start),
        path_at: offset(text_start + shape.path_at),
        query_at: offset(text_start + shape.query_at),
        climb: shape.climb,
        separator: shape.separator,
        path_form: shape.path_form,
    }
}

fn offset(offset: usize) -> u32 {
    u32::try_from(offset).expect("the source's size was checked against u32::MAX")
}

/// Whether an expanded text can stand where a reference stood: nothing in it would be read as a variable
/// again, end a quoted string, or be taken for a tag.
fn writable(text: &[u8], in_json: bool) -> bool {
    let breaks = |b: &u8| *b == b'"' || (in_json && (*b == b'\\' || b.is_ascii_control()));
    !text.starts_with(b"#")
        && !text.iter().any(breaks)
        && (in_json || memchr::memmem::find(text, b"{$").is_none())
}

/// The text without path components and query parameters of the session's name; None when there are none.
/// Look-alikes (`xhdntl=`, `hdntl2=`) stay, and so does everything else byte for byte.
fn without_stale(text: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let stale = |piece: &[u8], bare: bool| match piece.strip_prefix(name) {
        Some([]) => bare,
        Some([first, ..]) => *first == b'=',
        None => false,
    };
    let path_end = text.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(text.len());
    let query_end = memchr::memchr(b'#', &text[path_end..]).map_or(text.len(), |n| path_end + n);
    let path_start = memchr::memmem::find(&text[..path_end], b"//").map_or(0, |slashes| {
        if slashes == 0 || text[slashes - 1] == b':' {
            let rest = &text[slashes + 2..path_end];
            memchr::memchr(b'/', rest).map_or(path_end, |n| slashes + 2 + n)
        } else {
            0
        }
    });
    let mut kept = text[..path_start].to_vec();
    for segment in text[path_start..path_end].split_inclusive(|b| *b == b'/') {
        if !stale(segment, false) {
            kept.extend_from_slice(segment);
        }
    }
    if let Some(query) = text[path_end..query_end].strip_prefix(b"?") {
        let mut separator = b'?';
        for parameter in query.split(|b| *b == b'&').filter(|parameter| !stale(parameter, true)) {
            kept.push(separator);
            kept.extend_from_slice(parameter);
            separator = b'&';
        }
    }
    kept.extend_from_slice(&text[query_end..]);
    (kept.len() != text.len()).then_some(kept)
}
