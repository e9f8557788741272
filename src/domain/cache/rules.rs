//! What a property decides where HTTP leaves the decision to the cache.

use std::time::Duration;

use super::directives::RequestDirectives;
use http::StatusCode;
use http::header::HeaderName;

/// The choices of one property or route. Everything else is HTTP's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What holds where the origin states no lifetime: depends on the kind of the answer.
    pub unstated: Unstated,
    /// A lifetime for content (200, 203) that replaces whatever the origin states. What the origin forbids to
    /// store, or to use without its confirmation, it leaves forbidden.
    pub forced_lifetime: Option<Duration>,
    /// No lifetime is longer, whoever states it: for a live playlist, half its target duration.
    pub lifetime_max: Duration,
    pub negative: Negative,
    /// Where the origin states neither this nor anything that forbids it (RFC 9111 §4.2.4: "configuration
    /// in accordance with an out-of-band contract").
    pub stale_while_revalidate: Duration,
    /// The same for an origin that cannot be reached or answers 500, 502, 503 or 504 (RFC 5861 §4).
    pub stale_if_error: Duration,
    /// Whether viewers' `Cache-Control` and `Pragma` count. A stranger who may have every answer fetched anew
    /// is a flood.
    pub honour_client_directives: bool,
    /// Whether the time since `Date` counts as age, also where no cache has added `Age` (RFC 9111 §4.2.3: the
    /// more conservative way, "in circumstances where very old cache implementations that might not correctly
    /// insert Age are present"). An origin whose clock is slow then has its live playlists stale at birth.
    pub counts_apparent_age: bool,
    /// Whether an answer to POST that names its own URL in `Content-Location` is kept for GET (RFC 9110
    /// §9.3.3).
    pub keeps_post: bool,
    pub set_cookie: SetCookie,
    /// Request fields that the edge answers itself, so that a `Vary` on them selects nothing: `Origin`, for
    /// CORS.
    pub vary_ignored: Vec<HeaderName>,
}

impl Rules {
    /// Whether a viewer has asked for what is stored or nothing: where the origin would have to be asked,
    /// 504.
    pub const fn forbids_forwarding(&self, asked: &RequestDirectives) -> bool {
        self.honour_client_directives && asked.only_if_cached()
    }
}

/// RFC 5861 §4: "an error is any situation which would result in a 500, 502, 503 or 504 HTTP response status
/// code being returned."
pub const fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// What holds where the origin states no lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstated {
    /// A tenth of the time since `Last-Modified`, at most this.
    Heuristic { lifetime_max: Duration },
    /// The lifetime of the kind: segments and parts, multivariant and VOD playlists, live playlists.
    Lifetime(Duration),
    /// Not stored unless the origin says so: keys.
    NotStored,
}

/// How long errors are kept that state no lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negative {
    pub lifetime: Duration,
    pub statuses: Vec<StatusCode>,
}

/// What becomes of an answer with `Set-Cookie`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetCookie {
    /// It is for one viewer and is not stored.
    Refused,
    /// It is stored without its cookies.
    Dropped,
    /// It is stored with them, as HTTP allows: for an origin that is known to mean it.
    Kept,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            unstated: Unstated::Heuristic { lifetime_max: Duration::from_hours(24) },
            forced_lifetime: None,
            lifetime_max: Duration::MAX,
            negative: Negative { lifetime: Duration::ZERO, statuses: Vec::new() },
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            honour_client_directives: false,
            counts_apparent_age: false,
            keeps_post: false,
            set_cookie: SetCookie::Refused,
            vary_ignored: Vec::new(),
        }
    }
}
