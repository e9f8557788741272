//! Where an access token is looked for, and what follows when it fails.

use crate::domain::session::carrier::{self, sole};
use crate::domain::token::edgeauth::Presented;
use crate::domain::token::edgeauth::verify::Verifier;
use crate::domain::token::grant::{Grant, UnixTime};
use crate::domain::token::reason::Reason;
use crate::domain::uri::query;

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
    pub verifier: Verifier,
    /// "hdnts"
    pub name: String,
    /// Places in the order in which they are tried; the first token that verifies is enough.
    pub locations: Vec<Location>,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    Query,
    Cookie,
    Header,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Deny,
    VerifyOnly,
}

impl Access {
    pub fn is_verify_only(&self) -> bool {
        match self {
            Self::Open => false,
            Self::Checked(checked) => checked.action == Action::VerifyOnly,
        }
    }

    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Checked(checked) => Some(&checked.name),
        }
    }

    pub(super) fn verify(&self, request: &Request<'_>, now: UnixTime) -> Result<Grant, Reason> {
        let Self::Checked(checked) = self else { return Err(Reason::NoToken) };
        let mut failed = None;
        for location in &checked.locations {
            let Some(value) = checked.shown(*location, request)? else { continue };
            match checked.verify(value, request, now) {
                Ok(grant) => return Ok(grant),
                Err(reason) => failed = failed.or(Some(reason)),
            }
        }
        Err(failed.unwrap_or(Reason::NoToken))
    }

    /// The grant of a token in the query, where one is looked for there, shown and good.
    pub(super) fn verified_in_query(&self, request: &Request<'_>, now: UnixTime) -> Option<Grant> {
        let Self::Checked(checked) = self else { return None };
        if !checked.locations.contains(&Location::Query) {
            return None;
        }
        let value = checked.shown(Location::Query, request).ok()??;
        checked.verify(value, request, now).ok()
    }
}

impl Checked {
    fn shown<'a>(&self, location: Location, request: &Request<'a>) -> Result<Option<&'a str>, Reason> {
        let value = match location {
            Location::Query => sole(query::values(request.query, &self.name))?,
            Location::Cookie => carrier::cookie(cookies(request.headers), &self.name)?,
            Location::Header => sole(texts(request.headers, &self.name))?,
        };
        Ok(value.filter(|value| !value.is_empty()))
    }

    fn verify(&self, value: &str, request: &Request<'_>, now: UnixTime) -> Result<Grant, Reason> {
        let presented = Presented {
            value: bare(value, &self.name),
            path: request.path,
            raw_path: request.raw_path,
            query: request.plain_query,
            client: request.client,
        };
        self.verifier.verify(&presented, now)
    }
}

/// The token without its own name before it: `?hdnts=$(sluicegate token mint ..)` gives `hdnts=hdnts=exp=..`, since the
/// SDKs print a token with its name. The HMAC is over what follows either way.
fn bare<'a>(value: &'a str, name: &str) -> &'a str {
    value.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).unwrap_or(value)
}
