//! The multivariant playlist of one variant that answers for a media playlist as the entry.
//!
//! A player reloads the URL it was first given; with a short access token in it, that URL dies. The answer
//! names the same playlist with the session's token instead. A redirect would not do: Chromium's own player
//! goes back to the first URL.

use super::base::Base;
use super::personalise::lead_over;
use super::placement::{Placement, guarded};

/// What `EXT-X-STREAM-INF` says of the one variant. RFC 8216bis requires `BANDWIDTH`; with one variant no
/// choice hangs on it.
pub const BANDWIDTH_BITS_PER_SECOND: u64 = 3_000_000;

/// `base` is the media playlist's own URL without tokens; its query goes on to the variant.
pub fn entry(base: &Base, placement: &Placement<'_>, bandwidth_bits_per_second: u64) -> Vec<u8> {
    let (component, pair) = match *placement {
        Placement::Untouched | Placement::Path { inherited: Some(_), .. } => (None, None),
        Placement::Query { pair } => (None, Some(guarded(pair, false))),
        Placement::Path { component, inherited: None } | Placement::PathAnew { component, .. } => {
            (Some(guarded(component, true)), None)
        }
    };
    let lead = match *placement {
        Placement::PathAnew { depth, .. } => lead_over(base.directory(), depth).1,
        Placement::Untouched | Placement::Query { .. } | Placement::Path { .. } => String::new(),
    };
    let mut text = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={bandwidth_bits_per_second}\n");
    match component {
        Some(component) => {
            text.push_str(&lead);
            text.push_str(&component);
            text.push('/');
        }
        // A colon in the first segment would be read as a scheme's, and an empty reference as no line at all.
        None => text.push_str("./"),
    }
    text.push_str(base.last_segment());
    if let Some(query) = base.query() {
        text.push('?');
        // A brace is the beginning of a variable on a playlist's line.
        text.push_str(&query.replace('{', "%7b"));
    }
    if let Some(pair) = pair {
        match base.query() {
            None => text.push('?'),
            Some(query) if query.is_empty() || query.ends_with('&') => {}
            Some(_) => text.push('&'),
        }
        text.push_str(&pair);
    }
    text.push('\n');
    text.into_bytes()
}
