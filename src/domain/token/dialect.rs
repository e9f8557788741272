//! Where the dialects of access tokens meet: whichever a property speaks, a token is verified here and ends in a [`Grant`].
//!
//! A dialect owns its format, its checks and the places of its tokens beyond one named value: what of a query belongs to the
//! token ([`Verifier::parameters`]), and how a token stands in a path ([`Verifier::leading_token`]). Whatever it names
//! here never reaches the origin, a key of the store, or a log.

use std::sync::Arc;

use super::cat;
use super::edgeauth;
use super::explanation::Explanation;
use super::grant::{Grant, UnixTime};
use super::jwt;
use super::media_cdn;
use super::presented::Presented;
use super::reason::Reason;
use super::secure_link;

/// The verifier of one property's access tokens.
#[derive(Clone, Debug)]
pub enum Verifier {
    EdgeAuth(edgeauth::verify::Verifier),
    SecureLink(secure_link::Verifier),
    MediaCdn(media_cdn::Verifier),
    Jwt(jwt::verify::Verifier),
    Cat(cat::verify::Verifier),
}

/// A token that begins a path: the bytes of the path that belong to it, and its value among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leading<'a> {
    /// The path begins after so many bytes, with a slash.
    pub bytes: usize,
    pub value: &'a str,
}

impl Verifier {
    /// Whether the token is good for this request at `now`.
    pub fn verify(&self, presented: &Presented<'_>, now: UnixTime) -> Result<Grant, Reason> {
        match self {
            Self::EdgeAuth(verifier) => verifier.verify(presented, now),
            Self::SecureLink(verifier) => verifier.verify(presented, now),
            Self::MediaCdn(verifier) => verifier.verify(presented, now),
            Self::Jwt(verifier) => verifier.verify(presented, now),
            Self::Cat(verifier) => verifier.verify(presented, now),
        }
    }

    /// Judges as [`Verifier::verify`] does, and tells the whole story.
    pub fn explain(&self, presented: &Presented<'_>, now: UnixTime) -> Explanation {
        match self {
            Self::EdgeAuth(verifier) => verifier.explain(presented, now),
            Self::SecureLink(verifier) => verifier.explain(presented, now),
            Self::MediaCdn(verifier) => verifier.explain(presented, now),
            Self::Jwt(verifier) => verifier.explain(presented, now),
            Self::Cat(verifier) => verifier.explain(presented, now),
        }
    }

    /// The dialect's name, as the configuration has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::EdgeAuth(_) => "edgeauth",
            Self::SecureLink(_) => "secure_link",
            Self::MediaCdn(_) => "media_cdn",
            Self::Jwt(_) => "jwt",
            Self::Cat(_) => "cat",
        }
    }

    /// The names of the keys that may verify.
    pub fn key_names(&self) -> Vec<Arc<str>> {
        match self {
            Self::EdgeAuth(verifier) => verifier.key_names(),
            Self::SecureLink(verifier) => verifier.key_names(),
            Self::MediaCdn(verifier) => verifier.key_names(),
            Self::Jwt(verifier) => verifier.key_names(),
            Self::Cat(verifier) => verifier.key_names(),
        }
    }

    /// Query parameters that belong to the token beside the one that bears its name.
    pub fn parameters(&self) -> Vec<&str> {
        match self {
            Self::EdgeAuth(_) | Self::MediaCdn(_) | Self::Jwt(_) | Self::Cat(_) => Vec::new(),
            Self::SecureLink(verifier) => verifier.expires_name().into_iter().collect(),
        }
    }

    /// The token with which `raw_path` begins, in dialects that sign a directory and put the token before it.
    pub fn leading_token<'a>(&self, raw_path: &'a str) -> Result<Option<Leading<'a>>, Reason> {
        match self {
            Self::EdgeAuth(_) | Self::MediaCdn(_) | Self::Jwt(_) | Self::Cat(_) => Ok(None),
            Self::SecureLink(verifier) => verifier.leading_token(raw_path),
        }
    }

    /// Whether a token in a path leads it ([`Verifier::leading_token`]); it is a component `name=…` otherwise.
    pub fn leads_paths(&self) -> bool {
        match self {
            Self::EdgeAuth(_) | Self::MediaCdn(_) | Self::Jwt(_) | Self::Cat(_) => false,
            Self::SecureLink(_) => true,
        }
    }

    /// Whether a token may say from which country or network it is good.
    pub fn asks_for_whereabouts(&self) -> bool {
        match self {
            Self::EdgeAuth(_) | Self::SecureLink(_) | Self::MediaCdn(_) | Self::Jwt(_) => false,
            Self::Cat(_) => true,
        }
    }

    /// Whether a token may also be a parameter of a path's segment, `;name=…` ([`jwt::package`]).
    pub fn takes_path_parameters(&self) -> bool {
        match self {
            Self::EdgeAuth(_) | Self::SecureLink(_) | Self::MediaCdn(_) | Self::Cat(_) => false,
            Self::Jwt(_) => true,
        }
    }
}
