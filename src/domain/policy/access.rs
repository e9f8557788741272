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
            let value = match location {
                Location::Query => sole(query::values(request.query, &checked.name))?,
                Location::Cookie => carrier::cookie(cookies(request.headers), &checked.name)?,
                Location::Header => sole(texts(request.headers, &checked.name))?,
            };
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            let presented = Presented {
                value: bare(value, &checked.name),
                path: request.path,
                raw_path: request.raw_path,
                query: request.plain_query,
                client: request.client,
            };
            match checked.verifier.verify(&presented, now) {
                Ok(grant) => return Ok(grant),
                Err(reason) => failed = failed.or(Some(reason)),
            }
        }
        Err(failed.unwrap_or(Reason::NoToken))
    }
}

/// The token without its own name before it: `?hdnts=$(sluicegate token mint ..)` gives `hdnts=hdnts=exp=..`, since the
/// SDKs print a token with its name. The HMAC is over what follows either way.
fn bare<'a>(value: &'a str, name: &str) -> &'a str {
    value.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).unwrap_or(value)
}
