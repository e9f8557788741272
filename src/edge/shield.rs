//! An edge behind this one (a shield), shown the sessions of this one's viewers where it is told so; and what is different
//! for this one when it is the shield.

use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::domain::policy::Admission;
use crate::domain::session::Life;

use super::passage::{Form, Passage};
use super::property::Property;
use super::wanted::Place;

/// Stands beside a session that an edge shows. A viewer who sends it gains nothing: it gets, for a session of its own in a
/// header, what that edge would get, a playlist without sessions.
pub const FROM_AN_EDGE: HeaderName = HeaderName::from_static("sluicegate-edge");

/// The session that the origin of `place` is to be shown: the one that admitted the request or, for an access token, the one
/// that is made of it. None unless that origin is an edge that is told.
pub fn session_to_show(
    property: &Property,
    place: &Place,
    admission: &Admission<'_>,
    viewing: Option<u64>,
    headers: &HeaderMap,
    now: Duration,
) -> Option<HeaderValue> {
    if !property.upstream(place).pass_session {
        return None;
    }
    let sessions = &property.rules.sessions;
    let session = match admission {
        Admission::Session { admitted, .. } => sessions.session(admitted),
        Admission::Access { grant } => {
            let salt = property.rules.salt.of(headers).ok()?;
            let life = Life::Fixed { media_duration: None };
            let session = sessions.mint_viewing(grant, viewing, life, &salt, now);
            session.fits().then_some(session)?
        }
        Admission::Open | Admission::Unverified(_) => return None,
    };
    let mut value = HeaderValue::from_str(&session.header_value()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Puts a session on a request to the edge behind this one.
pub fn show(headers: &mut HeaderMap, name: &str, session: &HeaderValue) {
    if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
        headers.insert(name, session.clone());
        headers.insert(FROM_AN_EDGE, HeaderValue::from_static("1"));
    }
}

/// Whether an answer goes to an edge in front of this one and has nothing of the session in it: that edge may keep it as the
/// origin allows, and give it to all whom it admits.
pub fn is_for_an_edge(asked: &HeaderMap, passage: &Passage) -> bool {
    let is_bare = passage.form == Form::Untouched && passage.cookie.is_none() && passage.header.is_none();
    is_bare && !passage.is_new && passage.session.is_some() && asked.contains_key(FROM_AN_EDGE)
}
