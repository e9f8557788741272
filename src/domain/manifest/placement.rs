//! Where a session's token stands in what the viewer gets, and the last guard over its text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The carrier of one session, with the text that goes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement<'a> {
    /// Cookie or header: no URI carries anything, and a stale token of the origin's is taken out.
    Untouched,
    /// `hdntl=…`, escaped for a query.
    Query { pair: &'a str },
    /// `hdntl=…`, escaped for a path. `inherited`: how many directories stand between the component and the
    /// last segment in the playlist's own URL; None when that URL carries none.
    Path { component: &'a str, inherited: Option<usize> },
    /// As `Path`, in a playlist whose own URL carries a component that has expired, `depth` directories before its last
    /// segment: every reference that would inherit the old one climbs over it.
    PathAnew { component: &'a str, depth: usize },
}

/// The text with whatever could end a line, a quoted string or its own place in a URL escaped.
///
/// The text arrives escaped, and then this borrows. It stands here because signed ids and payloads are chosen
/// by others, and a playlist line is where an unescaped one would do harm.
pub(super) fn guarded(text: &str, in_path: bool) -> Cow<'_, str> {
    let harmful = |byte: u8| {
        byte <= b' '
            || byte >= 0x7f
            || matches!(byte, b'"' | b'#' | b'\\' | b'{' | b'}' | b'<' | b'>')
            || (in_path && matches!(byte, b'/' | b'?'))
            || (!in_path && byte == b'&')
    };
    if !text.bytes().any(harmful) {
        return Cow::Borrowed(text);
    }
    let mut guarded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if harmful(byte) {
            // Writing to a String cannot fail.
            let _ = write!(guarded, "%{byte:02x}");
        } else {
            guarded.push(char::from(byte));
        }
    }
    Cow::Owned(guarded)
}
