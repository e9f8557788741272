//! How a request's session travels on: minted, renewed or carried, and where its text goes.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderValue;

use crate::domain::cache::cache_status::CacheStatus;
use crate::domain::manifest::classify;
use crate::domain::manifest::placement::Placement;
use crate::domain::policy::{self, Admission, Place};
use crate::domain::session::text::Session;
use crate::domain::session::verify::Admitted;
use crate::domain::session::{At, Life, carrier};
use crate::domain::token::reason::Reason;
use crate::domain::uri::path;
use crate::store::playlists::Playlist;

use super::Edge;
use super::error::EdgeError;
use super::obtain::{Object, Obtained};
use super::property::{Carrier, Property};
use super::shield;
use super::target::Target;
use super::wanted::Wanted;

/// The session of one answer.
#[derive(Debug, Default)]
pub struct Passage {
    pub session: Option<Session>,
    pub form: Form,
    /// `Set-Cookie`, with a session or clearing a stale one.
    pub cookie: Option<HeaderValue>,
    /// The session token as a response header.
    pub header: Option<HeaderValue>,
    /// Minted for this request: the URL it came by dies with its access token.
    pub is_new: bool,
}

/// Where the text of the session goes in a playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Untouched,
    Query,
    /// `inherited`: the directories between the component and the last segment of the playlist's own URL, when it
    /// carries the component.
    Path {
        inherited: Option<usize>,
    },
    /// The playlist's own URL carries a component that has expired, with `depth` directories after it.
    PathAnew {
        depth: usize,
    },
}

/// The text of a session as it goes into one playlist.
#[derive(Debug)]
pub struct Placed {
    text: String,
    form: Form,
}

impl Passage {
    /// The name of the place in logs.
    pub fn carrier(&self) -> &'static str {
        match self.form {
            Form::Path { .. } | Form::PathAnew { .. } => "path",
            Form::Query => "query",
            Form::Untouched if self.header.is_some() => "header",
            Form::Untouched => "cookie",
        }
    }

    /// Whether the session's text goes into bodies.
    pub fn is_in_body(&self) -> bool {
        self.session.is_some() && self.form != Form::Untouched
    }

    pub fn placed(&self) -> Placed {
        let text = match (&self.session, self.form) {
            (Some(session), Form::Query) => session.query_pair(),
            (Some(session), Form::Path { .. } | Form::PathAnew { .. }) => session.path_component(),
            (_, Form::Untouched) | (None, _) => String::new(),
        };
        Placed { text, form: self.form }
    }
}

impl Placed {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn placement(&self) -> Placement<'_> {
        match self.form {
            Form::Untouched => Placement::Untouched,
            Form::Query => Placement::Query { pair: &self.text },
            Form::Path { inherited } => Placement::Path { component: &self.text, inherited },
            Form::PathAnew { depth } => Placement::PathAnew { component: &self.text, depth },
        }
    }
}

/// What of an answer could carry a session's text in its body.
#[derive(Clone, Copy, Debug)]
pub enum Bears<'a> {
    Playlist(&'a Playlist),
    /// A steering manifest or an asset list, perhaps.
    SideDocument,
    Neither,
}

/// What a passage is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Bearings<'a> {
    pub target: &'a Target<'a>,
    pub headers: &'a HeaderMap,
    pub client: std::net::IpAddr,
    /// The viewing that a new session belongs to, where viewings are counted.
    pub viewing: Option<u64>,
    pub now: Duration,
}

impl Edge {
    /// Decides how the session travels. An object that bears no session in its body needs one only where a cookie or
    /// a header can hand it out: a segment costs one verification and no text.
    pub async fn passage(
        &self,
        property: &Arc<Property>,
        admission: Admission<'_>,
        at: Bearings<'_>,
        object: Bears<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<Passage, EdgeError> {
        match admission {
            Admission::Open | Admission::Unverified(_) => Ok(Passage::default()),
            Admission::Session { .. } if matches!(object, Bears::Neither) => Ok(Passage::default()),
            Admission::Session { admitted, place } => {
                carried(property, &admitted, place, at, matches!(object, Bears::Playlist(_)))
            }
            Admission::Access { grant } => {
                property.metrics.count_verification(&grant.key_name, at.now);
                let carrier = choose(property, at.headers);
                let hands_out = matches!(object, Bears::Playlist(_))
                    || matches!(carrier, Carrier::Cookie | Carrier::Header);
                if !hands_out {
                    return Ok(Passage::default());
                }
                let media_duration = match object {
                    Bears::Playlist(playlist) => {
                        Box::pin(self.media_duration(property, playlist, wanted, at.now)).await
                    }
                    Bears::SideDocument | Bears::Neither => None,
                };
                let salt = property.rules.salt.of(at.headers)?;
                let life = match carrier {
                    Carrier::Cookie if property.renew => Life::Renewable,
                    Carrier::Cookie => Life::Fixed { media_duration: None },
                    Carrier::Path | Carrier::Query | Carrier::Header | Carrier::Auto => {
                        Life::Fixed { media_duration }
                    }
                };
                let session = property.rules.sessions.mint_viewing(&grant, at.viewing, life, &salt, at.now);
                if !session.fits() {
                    // Told at once, and not by each of the children.
                    property.rules.object(Reason::Malformed)?;
                    return Ok(Passage::default());
                }
                property.metrics.sessions_minted.inc();
                Ok(minted(property, session, carrier, at))
            }
        }
    }

    /// The duration of the item, read from the first rendition's playlist by the path that viewers use. Unknown for a
    /// live stream, and for whatever cannot be read.
    async fn media_duration(
        &self,
        property: &Arc<Property>,
        playlist: &Playlist,
        wanted: &Wanted<'_>,
        now: Duration,
    ) -> Option<Duration> {
        match playlist.template.kind() {
            classify::Kind::Media(media) => media.item_duration(),
            classify::Kind::Multivariant => {
                let first = playlist.template.first_variant()?;
                let (raw_path, query) = first.split_once('?').unwrap_or((first, ""));
                let path = path::normalise(raw_path).ok()?.into_owned();
                let child = wanted.beside(property, path, query);
                let mut report = CacheStatus::default();
                let Ok(Obtained::Shared(Object::Playlist(child))) =
                    self.obtain(property, &child, now, &mut report).await
                else {
                    return None;
                };
                match child.template.kind() {
                    classify::Kind::Media(media) => media.item_duration(),
                    classify::Kind::Multivariant | classify::Kind::Json => None,
                }
            }
            classify::Kind::Json => None,
        }
    }
}

/// The carrier of a new session.
fn choose(property: &Property, headers: &HeaderMap) -> Carrier {
    match property.carrier {
        Carrier::Auto => {
            let returned = held_cookie(headers, &property.rules.session_name);
            if returned.is_some() { Carrier::Cookie } else { Carrier::Auto }
        }
        chosen => chosen,
    }
}

fn minted(property: &Property, session: Session, carrier: Carrier, at: Bearings<'_>) -> Passage {
    let name = &property.rules.session_name;
    let set_cookie = || value(&property.cookie.set(name, &session));
    let (form, cookie, header) = match carrier {
        Carrier::Path => (in_path(at), stale_cookie(property, at), None),
        Carrier::Query => (Form::Query, stale_cookie(property, at), None),
        Carrier::Cookie => (beside_uris(at), set_cookie(), None),
        // The first playlist carries the session in its URIs; the cookie beside it tells, next time, whether the
        // client returns one.
        Carrier::Auto => (in_path(at), set_cookie(), None),
        Carrier::Header => (beside_uris(at), stale_cookie(property, at), value(&session.header_value())),
    };
    Passage { session: Some(session), form, cookie, header, is_new: true }
}

/// The form for a session in the path. A playlist's URL that still carries an expired component would hand that one
/// down to relative references.
fn in_path(at: Bearings<'_>) -> Form {
    if at.target.path_token.is_some() {
        Form::PathAnew { depth: at.target.depth }
    } else {
        Form::Path { inherited: None }
    }
}

/// The form for a session in a cookie or a header: nothing goes into URIs, save where an expired component in the
/// playlist's URL has to be climbed over.
fn beside_uris(at: Bearings<'_>) -> Form {
    match at.target.path_token {
        Some(_) => Form::Path { inherited: Some(at.target.depth) },
        None => Form::Untouched,
    }
}

fn carried(
    property: &Property,
    admitted: &Admitted<'_>,
    place: Place,
    at: Bearings<'_>,
    is_playlist: bool,
) -> Result<Passage, EdgeError> {
    let session = property.rules.sessions.session(admitted);
    let mut passage = Passage { form: beside_uris(at), ..Passage::default() };
    match place {
        Place::Path => passage.form = Form::Path { inherited: Some(at.target.depth) },
        Place::Query if at.target.path_token.is_some() => passage.form = in_path(at),
        Place::Query => passage.form = Form::Query,
        Place::Cookie if is_playlist => {
            let salt = property.rules.salt.of(at.headers)?;
            if let Some(renewed) = property.rules.sessions.renewed(&session, &salt, at.now) {
                property.metrics.sessions_renewed.inc();
                passage.cookie = value(&property.cookie.set(&property.rules.session_name, &renewed));
                passage.session = Some(renewed);
                return Ok(passage);
            }
        }
        Place::Header if is_playlist && !at.headers.contains_key(shield::FROM_AN_EDGE) => {
            passage.header = value(&session.header_value());
        }
        Place::Cookie | Place::Header => {}
    }
    passage.session = Some(session);
    Ok(passage)
}

/// Clears a session cookie of this property's that is of no more use. One that this property's keys did not sign is
/// somebody else's (another property on the same host) and is left alone.
fn stale_cookie(property: &Property, at: Bearings<'_>) -> Option<HeaderValue> {
    let name = &property.rules.session_name;
    let held = held_cookie(at.headers, name)?;
    let salt = property.rules.salt.of(at.headers).ok()?;
    let place = At { path: &at.target.path, client: at.client, salt: &salt };
    match property.rules.sessions.verify(held, &place, at.now) {
        Err(Reason::BadSignature | Reason::Malformed) => None,
        Ok(_) | Err(_) => value(&property.cookie.clear(name)),
    }
}

fn held_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    carrier::cookie(policy::cookies(headers), name).ok().flatten().filter(|value| !value.is_empty())
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}
