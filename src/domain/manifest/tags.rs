//! The table of tags: which of them carry URIs, and in which attributes.

/// What is to be done with a tag's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// URIs in these attributes.
    Attributes(&'static [&'static str]),
    /// A URI that is fetched as a key, unless a key system reads it.
    Key,
    /// `X-ASSET-URI`, `X-ASSET-LIST`, and `X-URI` of one class.
    DateRange,
    /// The rest of the line is a URI.
    Line,
    /// Variables for the lines after it.
    Define,
    /// Nothing that would get a token.
    Nothing,
    /// Not in the table.
    Unknown,
}

/// The class of an `EXT-X-DATERANGE` whose `X-URI` names something that the player will fetch.
pub const PRELOAD_CLASS: &[u8] = b"com.apple.hls.preload";

/// RFC 8216bis §4.4.4.4: "identity" (or no KEYFORMAT) means that the URI gives the key itself; any other value names the key
/// system that reads it.
pub const KEY_ITSELF: &[u8] = b"identity";

const URI: Carries = Carries::Attributes(&["URI"]);

/// Every tag with a rule of its own. Names are exact.
pub const TABLE: &[(&str, Carries)] = &[
    ("EXT-X-PART", URI),
    ("EXT-X-PROGRAM-DATE-TIME", Carries::Nothing),
    ("EXT-X-BYTERANGE", Carries::Nothing),
    ("EXT-X-DISCONTINUITY", Carries::Nothing),
    ("EXT-X-KEY", Carries::Key),
    ("EXT-X-MAP", URI),
    ("EXT-X-MEDIA", URI),
    ("EXT-X-DATERANGE", Carries::DateRange),
    ("EXT-X-PRELOAD-HINT", URI),
    ("EXT-X-RENDITION-REPORT", URI),
    ("EXT-X-I-FRAME-STREAM-INF", URI),
    ("EXT-X-IMAGE-STREAM-INF", URI),
    ("EXT-X-SESSION-KEY", Carries::Key),
    ("EXT-X-SESSION-DATA", URI),
    ("EXT-X-CONTENT-STEERING", Carries::Attributes(&["SERVER-URI"])),
    ("EXT-X-PREFETCH", Carries::Line),
    ("EXT-X-TWITCH-PREFETCH", Carries::Line),
    ("EXT-X-DEFINE", Carries::Define),
    ("EXT-X-TILES", URI),
    ("EXT-X-FAXS-CM", Carries::Nothing),
];

/// The rule for a tag by its name (without `#`, up to the colon).
pub fn carries(name: &[u8]) -> Carries {
    let known = TABLE.iter().find(|(tag, _)| tag.as_bytes() == name);
    match known {
        Some((_, carries)) => *carries,
        None if name.starts_with(b"EXT-X-") => Carries::Unknown,
        // `EXTINF`, `EXTVLCOPT`, `EXTGRP`, a comment: titles and hints that no player fetches.
        None => Carries::Nothing,
    }
}
