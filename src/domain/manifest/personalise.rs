//! The walk over a template's points that puts one session's token in.

use std::cell::OnceCell;

use super::placement::{Placement, guarded};
use super::shape::{Climb, PathForm, Separator};
use super::template::{Parameter, Point, Special, Template};
use super::variables::percent_decoded;

impl Template {
    /// The playlist for one session: one buffer of exactly its size, nothing allocated per URI.
    pub fn personalise(&self, placement: &Placement<'_>) -> Vec<u8> {
        let insertion = Insertion::new(self, placement);
        let mut output = Vec::with_capacity(self.length(&insertion));
        self.walk(&insertion, |piece| output.extend_from_slice(piece));
        output
    }

    /// The size of what [`Template::personalise`] makes, without making it.
    pub fn personalised_len(&self, placement: &Placement<'_>) -> usize {
        self.length(&Insertion::new(self, placement))
    }

    fn length(&self, insertion: &Insertion) -> usize {
        if self.specials.is_empty() {
            // All of the source stands, and so only what is added has to be counted: half the work of a long playlist.
            return self.source.len()
                + self.points.iter().map(|point| insertion.added_bytes(point)).sum::<usize>();
        }
        let mut length = 0;
        self.walk(insertion, |piece| length += piece.len());
        length
    }

    fn walk<'a>(&'a self, insertion: &'a Insertion, mut emit: impl FnMut(&'a [u8])) {
        let source = &self.source[..];
        let mut position = 0;
        let mut specials = self.specials.iter().peekable();
        for (index, point) in self.points.iter().enumerate() {
            if let Some((_, special)) = specials.next_if(|(special, _)| *special as usize == index) {
                emit(&source[position..point.start as usize]);
                position = self.special(point, special, insertion, &mut emit);
                continue;
            }
            match insertion {
                Insertion::None => {}
                Insertion::Query(pair) => {
                    emit(&source[position..point.query_at as usize]);
                    emit(pair.for_separator(point.separator));
                    position = point.query_at as usize;
                }
                Insertion::Path(component) => {
                    if component.is_inherited(point.climb) {
                        continue;
                    }
                    let (start, at) = (point.start as usize, point.path_at as usize);
                    emit(&source[position..start]);
                    emit(component.lead(point.climb));
                    emit(&source[start..at]);
                    emit(component.for_form(point.path_form));
                    position = at;
                }
            }
        }
        emit(&source[position..]);
    }

    /// Emits what stands for a special span, and gives back where the source goes on.
    fn special<'a>(
        &'a self,
        point: &Point,
        special: &'a Special,
        insertion: &'a Insertion,
        emit: &mut impl FnMut(&'a [u8]),
    ) -> usize {
        let uri = match special {
            Special::Parameter(parameter) => return self.parameter(parameter, insertion, emit),
            Special::Uri(uri) => uri,
        };
        let end = uri.end as usize;
        let plain = uri.plain.as_deref().unwrap_or(&self.source[point.start as usize..end]);
        let (placed, lead, token) = match insertion {
            Insertion::None => {
                emit(plain);
                return end;
            }
            Insertion::Query(pair) => (&uri.query, &b""[..], pair.for_separator(point.separator)),
            Insertion::Path(component) if component.is_inherited(point.climb) => {
                emit(plain);
                return end;
            }
            Insertion::Path(component) => {
                (&uri.path, component.lead(point.climb), component.for_form(point.path_form))
            }
        };
        let text = placed.text.as_deref().unwrap_or(plain);
        match placed.at {
            None => emit(plain),
            Some(at) => {
                emit(lead);
                emit(&text[..at as usize]);
                emit(token);
                emit(&text[at as usize..]);
            }
        }
        end
    }

    fn parameter<'a>(
        &'a self,
        parameter: &'a Parameter,
        insertion: &'a Insertion,
        emit: &mut impl FnMut(&'a [u8]),
    ) -> usize {
        match insertion {
            Insertion::Query(pair) => {
                emit(parameter.before.as_bytes());
                if parameter.with_value {
                    emit(pair.value());
                }
                emit(parameter.after.as_bytes());
            }
            Insertion::None | Insertion::Path(_) => emit(&self.source[parameter.span.clone()]),
        }
        parameter.span.end
    }
}

/// A placement with every text that a point can ask for made ready.
enum Insertion {
    None,
    Query(Pair),
    Path(Component),
}

impl Insertion {
    fn new(template: &Template, placement: &Placement<'_>) -> Self {
        match *placement {
            Placement::Untouched => Self::None,
            Placement::Query { pair } => Self::Query(Pair::new(&guarded(pair, false))),
            Placement::Path { component, inherited } => {
                Self::Path(Component::new(template, &guarded(component, true), inherited))
            }
            Placement::PathAnew { component, depth } => {
                let placed = Component::new(template, &guarded(component, true), Some(depth));
                Self::Path(Component { inherited_levels: None, ..placed })
            }
        }
    }

    /// What a point adds where the source's text stands as it is.
    fn added_bytes(&self, point: &Point) -> usize {
        match self {
            Self::None => 0,
            Self::Query(pair) => pair.for_separator(point.separator).len(),
            Self::Path(component) if component.is_inherited(point.climb) => 0,
            Self::Path(component) => {
                component.lead(point.climb).len() + component.for_form(point.path_form).len()
            }
        }
    }
}

struct Pair {
    with_question: Vec<u8>,
    with_ampersand: Vec<u8>,
    /// Few playlists ask for it.
    value: OnceCell<Vec<u8>>,
}

impl Pair {
    fn new(pair: &str) -> Self {
        Self {
            with_question: ["?", pair].concat().into_bytes(),
            with_ampersand: ["&", pair].concat().into_bytes(),
            value: OnceCell::new(),
        }
    }

    /// The value alone, as a JSON string that a player will escape for a query itself.
    fn value(&self) -> &[u8] {
        self.value.get_or_init(|| {
            let pair = &self.with_question[1..];
            let escaped = memchr::memchr(b'=', pair).map_or(pair, |at| &pair[at + 1..]);
            let unescaped = percent_decoded(escaped);
            let plain = unescaped.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
            if plain { unescaped } else { escaped.to_vec() }
        })
    }

    fn for_separator(&self, separator: Separator) -> &[u8] {
        match separator {
            Separator::Question => &self.with_question,
            Separator::Ampersand => &self.with_ampersand,
            Separator::Nothing => &self.with_question[1..],
        }
    }
}

struct Component {
    /// `/component/` and the last segment of the base: every form is a part of it.
    text: Vec<u8>,
    slash_end: usize,
    inherited_levels: Option<usize>,
    /// From the playlist's own directory over the component and down again beside it.
    lead: Vec<u8>,
}

impl Component {
    fn new(template: &Template, component: &str, inherited: Option<usize>) -> Self {
        let mut text = Vec::with_capacity(component.len() + 2 + template.last_segment.len());
        for piece in ["/", component, "/", &template.last_segment] {
            text.extend_from_slice(piece.as_bytes());
        }
        let lead = inherited.map(|levels| lead_over(&template.directory, levels));
        let inherited_levels = lead.as_ref().map(|(levels, _)| *levels);
        let lead = lead.map_or_else(Vec::new, |(_, text)| text.into_bytes());
        Self { text, slash_end: component.len() + 2, inherited_levels, lead }
    }

    /// Whether a reference stays below the component that the playlist's own URL carries.
    fn is_inherited(&self, climb: Climb) -> bool {
        climb.levels().zip(self.inherited_levels).is_some_and(|(climb, levels)| climb <= levels)
    }

    fn lead(&self, climb: Climb) -> &[u8] {
        if climb == Climb::ROOTED { b"" } else { &self.lead }
    }

    fn for_form(&self, form: PathForm) -> &[u8] {
        match form {
            PathForm::Segment => &self.text[1..self.slash_end],
            PathForm::Directory => &self.text[..self.slash_end],
            PathForm::SameDocument => &self.text[1..],
        }
    }
}

/// What leads from a document's directory over a component `levels` directories up, and down again beside it: how many
/// of these directories there are, and the text.
pub(super) fn lead_over(directory: &str, levels: usize) -> (usize, String) {
    let (found, text) = last_directories(directory, levels);
    (found, "../".repeat(found + 1) + text)
}

/// The last `levels` directories of a path that begins and ends with a slash, and how many there were.
fn last_directories(directory: &str, levels: usize) -> (usize, &str) {
    let mut start = directory.len();
    let mut found = 0;
    while found < levels {
        let Some(slash) = directory[..start.saturating_sub(1)].rfind('/') else { break };
        start = slash + 1;
        found += 1;
    }
    (found, &directory[start..])
}
