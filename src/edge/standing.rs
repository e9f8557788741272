//! Whether what admits a request still stands: revocations, one-time tokens, limits, over all edges.
//!
//! A property without limits and one-time tokens, in a fleet without revocations, costs one look at a number.

use std::time::Duration;

use crate::domain::policy::{self, Admission};
use crate::domain::revocation::Claims;
use crate::domain::session::verify::Admitted;
use crate::domain::token::grant::Grant;
use crate::domain::token::identity::identity;
use crate::domain::token::reason::Reason;
use crate::fleet::settings::By;
use crate::fleet::{Access, Ask, Seat};

use super::Edge;
use super::error::EdgeError;
use super::property::Property;

/// What a request goes on with.
#[derive(Debug)]
pub struct Standing<'a> {
    pub admission: Admission<'a>,
    /// The viewing that a session minted for this request belongs to.
    pub viewing: Option<u64>,
}

impl Edge {
    /// Looks whether an admission still stands. Revocations are judged without waiting; a viewing that begins may wait for the fleet.
    pub async fn stands<'a>(
        &self,
        property: &Property,
        admission: Admission<'a>,
        request: &policy::Request<'a>,
        now: Duration,
    ) -> Result<Standing<'a>, EdgeError> {
        let (fleet, terms) = (&self.fleet, &property.terms);
        if terms.are_plain() && fleet.has_no_revocations() {
            return Ok(Standing { admission, viewing: None });
        }
        if !fleet.may_admit(terms) {
            return Err(EdgeError::FleetAway);
        }
        match self.judged(property, admission, request, now).await {
            Ok(standing) => Ok(standing),
            Err(EdgeError::Denied(reason)) => {
                let admission = property.rules.object(reason)?;
                Ok(Standing { admission, viewing: None })
            }
            Err(error) => Err(error),
        }
    }

    async fn judged<'a>(
        &self,
        property: &Property,
        mut admission: Admission<'a>,
        request: &policy::Request<'a>,
        now: Duration,
    ) -> Result<Standing<'a>, EdgeError> {
        let terms = &property.terms;
        self.not_revoked(property, &admission, request, now)?;
        if let (Some(retry), Admission::Access { grant }) = (terms.one_time, &admission) {
            let access = access(grant, request);
            match self.fleet.use_once(terms, access, request.client, retry, now).await {
                Seat::Taken => {}
                Seat::Away => return Err(EdgeError::FleetAway),
                Seat::Refused => {
                    // A player reloads the URL that it entered by, token and all, beside the cookie that it was given.
                    admission = policy::admit_by_session(&property.rules, request, now)
                        .ok_or(EdgeError::Denied(Reason::Replayed))?;
                    self.not_revoked(property, &admission, request, now)?;
                }
            }
        }
        let Some(limits) = &terms.limits else { return Ok(Standing { admission, viewing: None }) };
        let (value, viewing) = match &admission {
            Admission::Open | Admission::Unverified(_) => (None, None),
            Admission::Session { admitted, .. } => {
                let viewing = admitted.viewing.unwrap_or_else(|| unnumbered(admitted));
                (value_of_session(property, admitted, limits.by), Some(viewing))
            }
            Admission::Access { grant } => {
                let viewing = access(grant, request).viewing(request.client);
                let value = match limits.by {
                    By::SessionId => grant.session_id.clone(),
                    By::Payload => grant.payload.clone(),
                };
                (value, Some(viewing))
            }
        };
        // Who has no id (or payload) is nobody whose viewings could be counted.
        let (Some(value), Some(viewing)) = (value.filter(|value| !value.is_empty()), viewing) else {
            return Ok(Standing { admission, viewing: None });
        };
        let ask = Ask { terms, limits, value: &value, viewing, client: request.client, now };
        match self.fleet.seat(ask).await {
            Seat::Taken => Ok(Standing { admission, viewing: Some(viewing) }),
            Seat::Refused => Err(EdgeError::Denied(Reason::SessionLimit)),
            Seat::Away => Err(EdgeError::FleetAway),
        }
    }

    fn not_revoked(
        &self,
        property: &Property,
        admission: &Admission<'_>,
        request: &policy::Request<'_>,
        now: Duration,
    ) -> Result<(), Reason> {
        if self.fleet.has_no_revocations() {
            return Ok(());
        }
        let against = |claims: Claims<'_>| self.fleet.against(&claims, &property.terms, now);
        let nobody = Claims { session_id: None, payload: None, viewing: None, client: request.client };
        let found = match admission {
            Admission::Open | Admission::Unverified(_) => against(nobody),
            Admission::Session { admitted, .. } => {
                let claims = Claims { session_id: admitted.id(), viewing: admitted.viewing, ..nobody };
                if self.fleet.judges_payloads() {
                    let sessions = &property.rules.sessions;
                    sessions.with_payload(admitted, |payload| against(Claims { payload, ..claims }))
                } else {
                    against(claims)
                }
            }
            Admission::Access { grant } => {
                let viewing = property.terms.limits.as_ref().map(|_| access(grant, request));
                against(Claims {
                    session_id: grant.session_id.as_deref(),
                    payload: grant.payload.as_deref(),
                    viewing: viewing.map(|access| access.viewing(request.client)),
                    ..nobody
                })
            }
        };
        found.map_or(Ok(()), Err)
    }
}

fn access(grant: &Grant, request: &policy::Request<'_>) -> Access {
    Access { token: identity(grant, request.path, request.plain_query), expires: grant.expires }
}

fn value_of_session(property: &Property, admitted: &Admitted<'_>, by: By) -> Option<String> {
    match by {
        By::SessionId => admitted.id().map(str::to_owned),
        By::Payload => property.rules.sessions.with_payload(admitted, |payload| payload.map(str::to_owned)),
    }
}

/// The viewing of a session that was minted before viewings were counted: told from others by its times alone.
fn unnumbered(admitted: &Admitted<'_>) -> u64 {
    admitted.first_mint.unwrap_or(admitted.expires)
}
