//! A playlist compiled once, and the walk that puts one session's token into it.

use std::ops::Range;

use bytes::Bytes;

use super::base::{Base, Hosts};
use super::classify::Kind;
use super::scan::scan;
use super::shape::{Climb, PathForm, Separator};
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

/// A span that becomes `before`, the token's value when `with_value`, and `after`, for the query carrier
/// alone.
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
    /// `skd:`, `data:`, `urn:` and the like, and what a key system reads.
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
        let (found, kind, first_variant) = scan(source, base, hosts, session_name, options)?;
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
