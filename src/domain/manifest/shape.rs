//! The form of one reference: where a token can stand in its text, and how far it climbs.

/// Where a token goes in, as offsets into the reference's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The end of the query, or of the path when there is none: before a fragment.
    pub query_at: usize,
    pub separator: Separator,
    /// Before the last segment of the path.
    pub path_at: usize,
    pub path_form: PathForm,
    pub climb: Climb,
}

/// What a query parameter appended to the reference needs before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    Question,
    Ampersand,
    Nothing,
}

/// What a path component put into the reference needs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathForm {
    /// `component/`
    Segment,
    /// `/component/`: the path is missing, or ends in a dot segment.
    Directory,
    /// `component/` and the last segment of the base: the reference has no path of its own.
    SameDocument,
}

/// How far above the base's directory a relative reference goes on its way. In two bytes, as each point has
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Climb(u16);

impl Climb {
    /// The reference has a path from the root; it takes no directory over from the base.
    pub const ROOTED: Self = Self(u16::MAX);
    /// The reference stays in the base's directory or below.
    pub const NONE: Self = Self(0);

    /// None for a rooted reference. More levels than any path has directories count as one number.
    pub fn levels(self) -> Option<usize> {
        (self != Self::ROOTED).then_some(usize::from(self.0))
    }

    fn relative(levels: u32) -> Self {
        Self(u16::try_from(levels).unwrap_or(u16::MAX).min(u16::MAX - 1))
    }
}

/// Walks the path from `start` and the query behind it.
pub(super) fn shape(text: &[u8], start: usize, rooted: bool) -> Shape {
    let path_end =
        text[start..].iter().position(|b| matches!(b, b'?' | b'#')).map_or(text.len(), |n| start + n);
    let query_at = memchr::memchr(b'#', &text[path_end..]).map_or(text.len(), |n| path_end + n);
    let separator = match text[path_end..query_at] {
        [] => Separator::Question,
        [b'?'] | [_, .., b'&'] => Separator::Nothing,
        _ => Separator::Ampersand,
    };
    let walk = Walk::of(&text[start..path_end]);
    let (path_at, path_form) = if start == path_end {
        (path_end, if rooted { PathForm::Directory } else { PathForm::SameDocument })
    } else if walk.ends_in_dots {
        (path_end, PathForm::Directory)
    } else {
        (start + walk.last_segment, PathForm::Segment)
    };
    let climb = if rooted { Climb::ROOTED } else { Climb::relative(walk.climb) };
    Shape { query_at, separator, path_at, path_form, climb }
}

struct Walk {
    last_segment: usize,
    ends_in_dots: bool,
    climb: u32,
}

impl Walk {
    fn of(path: &[u8]) -> Self {
        let mut depth: i32 = 0;
        let mut lowest: i32 = 0;
        let mut segment_start = 0;
        // A browser reads a backslash as a slash; who does not sends it on, and it is refused at the door.
        for separator in memchr::memchr2_iter(b'/', b'\\', path) {
            depth += step(&path[segment_start..separator]).unwrap_or(1);
            lowest = lowest.min(depth);
            segment_start = separator + 1;
        }
        let last = step(&path[segment_start..]);
        lowest = lowest.min(depth + last.unwrap_or(0));
        Self { last_segment: segment_start, ends_in_dots: last.is_some(), climb: lowest.unsigned_abs() }
    }
}

/// What a dot segment does to the depth: `.` nothing, `..` one up, each also written `%2e`. None for a name.
fn step(segment: &[u8]) -> Option<i32> {
    let mut rest = segment;
    let mut dots = 0;
    while !rest.is_empty() {
        rest = match rest {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return None,
        };
        dots += 1;
    }
    match dots {
        1 => Some(0),
        2 => Some(-1),
        _ => None,
    }
}

/// Where the last segment of a path begins that has names and slashes alone: no dot segment, nothing that
/// could be a scheme, a query or a host.
pub(super) fn last_plain_segment(path: &[u8]) -> Option<usize> {
    let mut last_segment = 0;
    let mut at_segment_start = true;
    for (index, &byte) in path.iter().enumerate() {
        if byte == b'/' && index > 0 {
            last_segment = index + 1;
            at_segment_start = true;
        } else if PLAIN[usize::from(byte)] && !(at_segment_start && byte == b'.') {
            at_segment_start = false;
        } else {
            return None;
        }
    }
    (!path.is_empty()).then_some(last_segment)
}

/// What stands in the names of segments and means nothing else.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        plain[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'=');
        byte += 1;
    }
    plain
};
