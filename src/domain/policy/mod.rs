//! Who may have what: `admit` answers with an [`Admission`] or with the reason of the refusal.
//!
//! Which token counts (in this order):
//!
//! 1. a session token, from the path, then the query, then a cookie, then a header: the first that verifies is enough;
//! 2. if there is none, or it has expired, an access token from the configured locations, in their order.
//!
//! A session token in the path or query that is there and wrong (not merely expired) refuses the request even beside
//! a good access token: a URL of ours that was changed is an attack or a fault that should be seen. A cookie or a
//! header may be left over from another day or another key, and is passed over then. Two different values of one
//! token in one place are refused wherever they stand.
//!
//! A good access token in the query beside a good session in a cookie or a header begins a new viewing, perhaps another
//! viewer's: a new session takes the place of the old one, which may end while this item plays. The URIs of an item that
//! plays already do not show an access token, so that nothing changes under them.

pub mod access;
pub mod salt;

use std::net::IpAddr;

use http::HeaderMap;
use http::header::COOKIE;

use crate::domain::network::Country;
use crate::domain::session::carrier::{self, sole};
use crate::domain::session::verify::Admitted;
use crate::domain::session::{At, Sessions};
use crate::domain::token::acl;
use crate::domain::token::grant::{Grant, UnixTime};
use crate::domain::token::presented::Head;
use crate::domain::token::reason::Reason;
use crate::domain::uri::{parts, query};

use access::Access;
use salt::Salt;

/// The rules of one property.
#[derive(Debug)]
pub struct Rules {
    pub access: Access,
    pub sessions: Sessions,
    /// The name of the session token: path component, query parameter, cookie, header ("hdntl").
    pub session_name: String,
    pub salt: Salt,
    /// All names under which a request may show a token: none of them reaches the origin, a key of the store, or a log.
    pub token_names: Vec<String>,
    /// Names of the multivariant playlists that may be entered with an access token; all, when empty.
    pub playlists: Vec<String>,
}

/// What of a request bears on admission. Paths are without the token component.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub path: &'a str,
    pub raw_path: &'a str,
    /// The whole query, as it came.
    pub query: &'a str,
    /// The query without the token parameters.
    pub plain_query: &'a str,
    pub headers: &'a HeaderMap,
    /// The value of the path's session component, as it came.
    pub path_token: Option<&'a str>,
    /// The access token that stood in the path, as it came.
    pub access_in_path: Option<&'a str>,
    pub head: Head<'a>,
    pub client: IpAddr,
    /// What is known of the client's place.
    pub country: Option<Country>,
    pub asn: Option<u32>,
}

/// Where a session token stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Cookie,
    Header,
}

impl Place {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Cookie => "cookie",
            Self::Header => "header",
        }
    }
}

/// By what right a request passes.
#[derive(Debug)]
pub enum Admission<'a> {
    /// The property asks for no token.
    Open,
    /// A session token verified, which travels on in the place where it stood.
    Session { admitted: Admitted<'a>, place: Place },
    /// An access token verified; a session may be minted from it.
    Access { grant: Grant },
    /// Verify-only: the request passes in spite of this reason.
    Unverified(Reason),
}

/// Judges a request. A `Grant` is made of a token that verified or not at all.
pub fn admit<'a>(rules: &Rules, request: &Request<'a>, now: UnixTime) -> Result<Admission<'a>, Reason> {
    if matches!(rules.access, Access::Open) {
        return Ok(Admission::Open);
    }
    judge(rules, request, now).or_else(|reason| rules.object(reason))
}

fn judge<'a>(rules: &Rules, request: &Request<'a>, now: UnixTime) -> Result<Admission<'a>, Reason> {
    let against_session = match session(rules, request, now)? {
        Found::Verified(admission) => {
            return Ok(new_viewing(rules, request, &admission, now).unwrap_or(admission));
        }
        Found::Failed(reason) => Some(reason),
        Found::None => None,
    };
    match rules.access.verify(request, now) {
        Ok(grant) if rules.may_enter(request.path) => {
            // Whoever lacks a salt header cannot have a session, which is told before anything is fetched.
            rules.salt.of(request.headers)?;
            Ok(Admission::Access { grant })
        }
        Ok(_) => Err(Reason::PlaylistNotListed),
        Err(Reason::NoToken) => Err(against_session.unwrap_or(Reason::NoToken)),
        Err(reason) => Err(reason),
    }
}

/// Judges a request by its session alone: what is left of one whose access token is good no more.
pub fn admit_by_session<'a>(rules: &Rules, request: &Request<'a>, now: UnixTime) -> Option<Admission<'a>> {
    match session(rules, request, now) {
        Ok(Found::Verified(admission)) => Some(admission),
        Ok(Found::Failed(_) | Found::None) | Err(_) => None,
    }
}

/// What a good access token makes of a request that its session admits already.
fn new_viewing<'a>(
    rules: &Rules,
    request: &Request<'a>,
    admitted: &Admission<'a>,
    now: UnixTime,
) -> Option<Admission<'a>> {
    if !matches!(admitted, Admission::Session { place: Place::Cookie | Place::Header, .. }) {
        return None;
    }
    let grant = rules.access.verified_in_query(request, now)?;
    rules.may_enter(request.path).then_some(Admission::Access { grant })
}

#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once; a box would be an allocation for every request"
)]
enum Found<'a> {
    Verified(Admission<'a>),
    /// The first session token that stood somewhere failed for this reason.
    Failed(Reason),
    None,
}

fn session<'a>(rules: &Rules, request: &Request<'a>, now: UnixTime) -> Result<Found<'a>, Reason> {
    let name = rules.session_name.as_str();
    let places = [
        (Place::Path, request.path_token),
        (Place::Query, sole(query::values(request.query, name))?),
        (Place::Cookie, carrier::cookie(cookies(request.headers), name)?),
        (Place::Header, sole(texts(request.headers, name))?),
    ];
    let mut failed = None;
    for (place, presented) in places {
        let Some(presented) = presented.filter(|presented| !presented.is_empty()) else { continue };
        let salt = rules.salt.of(request.headers)?;
        let at = At { path: request.path, client: request.client, salt: &salt };
        match rules.sessions.admit(presented, &at, now) {
            Ok(admitted) => return Ok(Found::Verified(Admission::Session { admitted, place })),
            Err(reason) if reason != Reason::Expired && matches!(place, Place::Path | Place::Query) => {
                return Err(reason);
            }
            Err(reason) => failed = failed.or(Some(reason)),
        }
    }
    Ok(failed.map_or(Found::None, Found::Failed))
}

impl Rules {
    /// What becomes of a request that `reason` speaks against: a refusal, or, where tokens are only verified, none.
    pub fn object<'a>(&self, reason: Reason) -> Result<Admission<'a>, Reason> {
        if self.access.is_verify_only() { Ok(Admission::Unverified(reason)) } else { Err(reason) }
    }

    /// Whether an access token may be used on this name. Only playlists are listed; other names are not judged.
    pub fn may_enter(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        self.playlists.is_empty() || !names_a_playlist(name) || self.is_listed(name)
    }

    /// Whether a playlist of this name may be the entry, known by its content.
    pub fn is_listed(&self, name: &str) -> bool {
        self.playlists.is_empty() || self.playlists.iter().any(|pattern| acl::covers(pattern, name))
    }
}

/// Whether a path's last segment has a playlist's extension.
pub fn names_a_playlist(path: &str) -> bool {
    parts::cut_last(parts::last(path, b'/'), b'.').is_some_and(|(_, extension)| {
        extension.eq_ignore_ascii_case("m3u8") || extension.eq_ignore_ascii_case("m3u")
    })
}

/// The cookies of a request, one text each. One that is no UTF-8 (another application's) is passed over alone.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| std::str::from_utf8(pair).ok())
}

/// The values of a header field that are text.
fn texts<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}
