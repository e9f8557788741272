//! HLS playlists and their JSON side documents: lexed once into a template, personalised per session.
//!
//! A playlist is never parsed and written again. [`template::Template::compile`] walks its bytes once and
//! notes where a token goes in; [`template::Template::personalise`] copies the pieces and the token into one
//! buffer. Whatever is no insertion point leaves as it came: order, blanks, line ends, comments, unknown
//! tags, a BOM, bytes that are not UTF-8.
//!
//! What is defended here: a token must never stand on a URI of another host, however that URI is spelt
//! ([`mod@reference`]), and nothing that a token carries can end a line or an attribute ([`placement`]).

pub mod attributes;
pub mod base;
pub mod classify;
mod collect;
pub mod encoding;
pub mod entry;
pub mod json;
pub mod lines;
mod personalise;
pub mod placement;
pub mod reference;
mod rooted;
mod scan;
pub mod shape;
pub mod tags;
pub mod template;
mod variables;

/// Why a body was not made into a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("the body does not begin with #EXTM3U")]
    NotAPlaylist,
    #[error("the body has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("line {line} has more than {bytes_max} bytes")]
    LineTooLong { line: usize, bytes_max: usize },
    #[error("the body is not valid JSON: {0}")]
    NotJson(String),
    #[error("the base URL is not an absolute http or https URL: {0}")]
    BadBase(String),
    #[error("`{0}` is neither a host name nor `*.` and a host name")]
    BadHost(String),
}

/// What a compilation may do and how far it goes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether the attribute `URI="…"` of an unknown `#EXT-X-` tag is rewritten.
    pub unknown_tags: bool,
    pub line_bytes_max: usize,
    /// At most `u32::MAX`, since insertion points are kept as 32-bit offsets.
    pub source_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { unknown_tags: true, line_bytes_max: 64 * 1024, source_bytes_max: 8 * 1024 * 1024 }
    }
}

/// Whether a body is a playlist, judged by its first bytes: `#EXTM3U` after an optional BOM and blank lines.
pub fn is_playlist(first_bytes: &[u8]) -> bool {
    let body = first_bytes.strip_prefix(lines::BOM).unwrap_or(first_bytes);
    body.trim_ascii_start().starts_with(b"#EXTM3U")
}

#[cfg(test)]
mod tests;
