//! `[cache]` and `[property.cache]` as typed.

use serde::Deserialize;

use super::super::units::{AutoSpan, QueryRule, Size, Span};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    pub memory: Size,
    pub object_max: Size,
    pub waiters_max: usize,
    pub wait_timeout: Span,
    pub reader_window: Size,
    pub reader_timeout: Span,
    pub uncollapsed_for: Span,
    pub sendfile: bool,
    pub disk: Option<super::disk::Disk>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct PropertyCache {
    pub query: QueryRule,
    pub objects: bool,
    pub live_playlist_ttl: AutoSpan,
    pub playlist_ttl: Span,
    pub segment_ttl: Span,
    pub heuristic_ttl_max: Span,
    pub negative_ttl: Span,
    pub stale_while_revalidate: Span,
    pub stale_if_error: Span,
    pub client_directives: bool,
    pub origin_clock: bool,
    pub keep_post: bool,
    pub set_cookie: SetCookie,
    pub slice: toml::Spanned<Size>,
    pub slice_above: Size,
    pub prefetch: toml::Spanned<usize>,
    pub prefetch_parallel: usize,
    pub prefetch_bytes: Size,
    pub prefetch_remembered: usize,
}

/// What becomes of an answer that sets a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetCookie {
    Refuse,
    Drop,
    Keep,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: Size::mib(256),
            object_max: Size::mib(64),
            waiters_max: 1_000,
            wait_timeout: Span::seconds(10),
            reader_window: Size::mib(1),
            reader_timeout: Span::seconds(5),
            uncollapsed_for: Span::seconds(60),
            sendfile: true,
            disk: None,
        }
    }
}

impl Default for PropertyCache {
    fn default() -> Self {
        Self {
            query: QueryRule::Keep,
            objects: true,
            live_playlist_ttl: AutoSpan::Auto,
            playlist_ttl: Span::seconds(60),
            segment_ttl: Span::seconds(86_400),
            heuristic_ttl_max: Span::seconds(86_400),
            negative_ttl: Span::seconds(1),
            stale_while_revalidate: Span::seconds(2),
            stale_if_error: Span::seconds(60),
            client_directives: false,
            origin_clock: false,
            keep_post: false,
            set_cookie: SetCookie::Refuse,
            slice: toml::Spanned::new(0..0, Size::mib(1)),
            slice_above: Size::mib(8),
            prefetch: toml::Spanned::new(0..0, 0),
            prefetch_parallel: 4,
            prefetch_bytes: Size::mib(64),
            prefetch_remembered: 100_000,
        }
    }
}
