//! Where an access token is looked for, and what follows when it fails.

use std::borrow::Cow;

use arc_swap::ArcSwap;

use crate::domain::session::carrier::{self, sole};
use crate::domain::token::dialect::Verifier;
use crate::domain::token::grant::{Grant, UnixTime};
use crate::domain::token::jwt::package;
use crate::domain::token::presented::{Location, Presented};
use crate::domain::token::reason::Reason;
use crate::domain::uri::{path, query};

use super::{Request, cookies, texts};

/// What a property asks for.
#[derive(Debug)]
pub enum Access {
    /// No token: the operator said so in as many words.
    Open,
    Checked(Box<Checked>),
}

#[derive(Debug)]
pub struct Checked {
    /// Judges the tokens; another takes its place when keys change.
    pub verifier: ArcSwap<Verifier>,
    /// In the order in which they are tried; the first token that verifies is enough.
    pub places: Vec<Place>,
    pub action: Action,
}

/// A place where a token may stand, under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub location: Location,
    /// "hdnts"
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Deny,
    VerifyOnly,
}

/// A path without the access token that stood in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bare<'a> {
    pub path: Cow<'a, str>,
    pub token: Option<&'a str>,
}

impl Access {
    pub fn is_verify_only(&self) -> bool {
        match self {
            Self::Open => false,
            Self::Checked(checked) => checked.action == Action::VerifyOnly,
        }
    }

    /// Whether a token may say from which country or network it is good.
    pub fn asks_for_whereabouts(&self) -> bool {
        match self {
            Self::Open => false,
            Self::Checked(checked) => checked.verifier.load().asks_for_whereabouts(),
        }
    }

    /// Takes the access token out of a path that is not normalised yet.
    pub fn bare_path<'a>(&self, raw_path: &'a str) -> Result<Bare<'a>, Reason> {
        match self {
            Self::Open => Ok(Bare { path: Cow::Borrowed(raw_path), token: None }),
            Self::Checked(checked) => checked.bare_path(raw_path),
        }
    }

    /// Whether a normal path still holds what would be an access token: written so that only another reader finds it there.
    pub fn hides_token(&self, path: &str) -> bool {
        self.bare_path(path).map_or(true, |bare| bare.token.is_some())
    }

    /// A path as it may be written down: without its access token, and not at all where it hides one.
    pub fn path_for_logs<'a>(&self, raw_path: &'a str) -> Cow<'a, str> {
        let hidden = Cow::Borrowed("/[redacted]");
        let Ok(bare) = self.bare_path(raw_path) else { return hidden };
        let leads_paths = match self {
            Self::Open => false,
            Self::Checked(checked) => checked.verifier.load().leads_paths(),
        };
        let hides = match path::normalise(&bare.path) {
            Ok(normal) => self.hides_token(&normal),
            Err(_) => leads_paths,
        };
        if hides { hidden } else { bare.path }
    }

    pub(super) fn verify(&self, request: &Request<'_>, now: UnixTime) -> Result<Grant, Reason> {
        let Self::Checked(checked) = self else { return Err(Reason::NoToken) };
        let mut failed = None;
        for place in &checked.places {
            let Some(value) = place.shown(request)? else { continue };
            match checked.verify(value, place, request, now) {
                Ok(grant) => return Ok(grant),
                Err(reason) => failed = failed.or(Some(reason)),
            }
        }
        Err(failed.unwrap_or(Reason::NoToken))
    }

    /// The grant of a token in the query, where one is looked for there, shown and good.
    pub(super) fn verified_in_query(&self, request: &Request<'_>, now: UnixTime) -> Option<Grant> {
        let Self::Checked(checked) = self else { return None };
        let in_query = |place: &&Place| place.location == Location::Query;
        checked.places.iter().filter(in_query).find_map(|place| {
            let value = place.shown(request).ok()??;
            checked.verify(value, place, request, now).ok()
        })
    }
}

impl Checked {
    fn verify(
        &self,
        value: &str,
        place: &Place,
        request: &Request<'_>,
        now: UnixTime,
    ) -> Result<Grant, Reason> {
        let presented = Presented {
            value: bare(value, &place.name),
            location: place.location,
            path: request.path,
            raw_path: request.raw_path,
            query: request.plain_query,
            client: request.client,
            country: request.country,
            asn: request.asn,
            head: request.head,
        };
        self.verifier.load().verify(&presented, now)
    }

    fn bare_path<'a>(&self, raw_path: &'a str) -> Result<Bare<'a>, Reason> {
        let whole = Bare { path: Cow::Borrowed(raw_path), token: None };
        let Some(place) = self.places.iter().find(|place| place.location == Location::Path) else {
            return Ok(whole);
        };
        let verifier = self.verifier.load();
        if verifier.leads_paths() {
            let Some(leading) = verifier.leading_token(raw_path)? else { return Ok(whole) };
            let rest = raw_path.get(leading.bytes..).filter(|rest| rest.starts_with('/'));
            return Ok(Bare {
                path: Cow::Borrowed(rest.ok_or(Reason::Malformed)?),
                token: Some(leading.value),
            });
        }
        if verifier.takes_path_parameters() {
            let split = package::split(raw_path, &place.name)?;
            return Ok(Bare { path: split.path, token: split.token });
        }
        let split = carrier::split_path(raw_path, &place.name)?;
        Ok(Bare { path: split.path, token: split.value })
    }
}

impl Place {
    fn shown<'a>(&self, request: &Request<'a>) -> Result<Option<&'a str>, Reason> {
        let value = match self.location {
            Location::Query => sole(query::values(request.query, &self.name))?,
            Location::Cookie => carrier::cookie(cookies(request.headers), &self.name)?,
            Location::Header => sole(texts(request.headers, &self.name))?,
            Location::Path => request.access_in_path,
        };
        Ok(value.filter(|value| !value.is_empty()))
    }
}

/// The token without its own name before it: `?hdnts=$(sluicegate token mint ..)` gives `hdnts=hdnts=exp=..`, since the
/// SDKs print a token with its name. The HMAC is over what follows either way.
fn bare<'a>(value: &'a str, name: &str) -> &'a str {
    value.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).unwrap_or(value)
}
