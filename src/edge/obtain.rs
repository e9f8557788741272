//! Getting an object: a playlist from memory or by one shared fetch, anything else as a stream from the origin.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, SET_COOKIE,
};
use http::{HeaderMap, Method, Response, StatusCode, response};
use http_body_util::BodyExt;

use crate::domain::cache::freshness;
use crate::domain::headers::hop;
use crate::domain::manifest::base::Base;
use crate::domain::manifest::encoding;
use crate::domain::manifest::template::Template;
use crate::domain::manifest::{self, classify};
use crate::domain::policy::names_a_playlist;
use crate::store::flights::Joined;
use crate::store::playlists::{Playlist, detached};

use super::Edge;
use super::body::Content;
use super::error::EdgeError;
use super::passage::Bears;
use super::property::Property;
use super::wanted::{Place, Wanted};

/// Bytes that tell whether a body is a playlist: a BOM, a line end and `#EXTM3U`.
const SNIFF_BYTES: usize = 16;

/// What was got.
#[derive(Clone, Debug)]
pub enum Object {
    Playlist(Arc<Playlist>),
    /// Something else under a playlist's name, read whole and shared by those who waited: an error page, say.
    Whole(Arc<response::Parts>, Bytes),
}

#[derive(Debug)]
pub enum Obtained {
    Shared(Object, How),
    Stream(Response<Content>),
}

impl Obtained {
    /// What of it could carry a session's text.
    pub fn bears(&self) -> Bears<'_> {
        let is_document =
            |status: StatusCode, headers: &HeaderMap| status == StatusCode::OK && is_json(headers);
        match self {
            Self::Shared(Object::Playlist(playlist), _) => Bears::Playlist(playlist),
            Self::Shared(Object::Whole(head, _), _) if is_document(head.status, &head.headers) => {
                Bears::SideDocument
            }
            Self::Stream(origin) if is_document(origin.status(), origin.headers()) => Bears::SideDocument,
            Self::Shared(Object::Whole(..), _) | Self::Stream(_) => Bears::Neither,
        }
    }
}

/// Whether the origin says that it is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let stated = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let stated = stated.split(';').next().unwrap_or_default().trim();
    let suffix = stated.len().checked_sub("+json".len()).and_then(|at| stated.get(at..)).unwrap_or_default();
    stated.eq_ignore_ascii_case("application/json") || suffix.eq_ignore_ascii_case("+json")
}

/// How a shared object was come by, for `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Hit,
    Miss,
    Collapsed,
}

impl Object {
    /// The object for somebody else than whom the origin answered: a cookie in it is not theirs.
    fn for_another(self) -> Self {
        match self {
            Self::Whole(head, body) if head.headers.contains_key(SET_COOKIE) => {
                let mut head = (*head).clone();
                head.headers.remove(SET_COOKIE);
                Self::Whole(Arc::new(head), body)
            }
            // No cookie of the origin's goes out with a playlist.
            Self::Whole(..) | Self::Playlist(_) => self,
        }
    }
}

impl Edge {
    /// Gets what was asked: from memory, by waiting for a fetch that is under way, or from the origin.
    pub async fn obtain(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        now: Duration,
    ) -> Result<Obtained, EdgeError> {
        let key = wanted.place.key(property);
        if wanted.is_shareable(property) {
            if let Some(playlist) = self.playlists.fresh(&key, now) {
                property.metrics.cache_hits.inc();
                return Ok(Obtained::Shared(Object::Playlist(playlist), How::Hit));
            }
            if names_a_playlist(&wanted.place.path) || self.playlists.knows(&key) {
                let (object, how) = self.share(property, wanted, key, now).await?;
                return Ok(Obtained::Shared(object, how));
            }
        } else if names_a_playlist(&wanted.place.path) {
            let object = fetch_whole(property, &wanted.place, wanted.headers(property), now).await?;
            return Ok(Obtained::Shared(object, How::Miss));
        }
        self.stream(property, wanted, key, now).await
    }

    /// A playlist, by one fetch for all who ask for it at the same time.
    async fn share(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: String,
        now: Duration,
    ) -> Result<(Object, How), EdgeError> {
        let wait =
            if wanted.place.is_blocking() { self.wait.max(property.blocking_timeout) } else { self.wait };
        let (playlists, property_then, key_then) = (self.playlists.clone(), property.clone(), key.clone());
        let (place, headers) = (wanted.place.clone(), wanted.headers(property));
        let fetch = async move {
            let object = fetch_whole(&property_then, &place, headers, now).await?;
            if let Object::Playlist(playlist) = &object
                && !playlist.fresh_for.is_zero()
            {
                playlists.keep(key_then, playlist.clone());
            }
            Ok::<Object, EdgeError>(object)
        };
        match self.flights.join(key, wait, fetch).await? {
            Joined::Led(object) => {
                property.metrics.cache_misses.inc();
                Ok((object?, How::Miss))
            }
            Joined::Waited(object) => {
                property.metrics.cache_collapsed.inc();
                Ok((object?.for_another(), How::Collapsed))
            }
        }
    }

    /// Anything that is not known to be a playlist. Its first bytes are looked at all the same: a playlist under a
    /// segment's name is still a playlist.
    async fn stream(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: String,
        now: Duration,
    ) -> Result<Obtained, EdgeError> {
        let path_and_query = wanted.place.path_and_query();
        let headers = wanted.headers(property);
        let response = property.source.fetch(&wanted.method, &path_and_query, headers, None, now).await?;
        refuse_unasked(response.status(), wanted.client)?;
        let (parts, mut content) = response.into_parts();
        let is_body = wanted.method == Method::GET
            && matches!(parts.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let suspicious = is_playlist_type(&parts.headers);
        let is_playlist = if wanted.method == Method::HEAD {
            parts.status == StatusCode::OK && suspicious
        } else {
            is_body && (suspicious || starts_a_playlist(&mut content).await?)
        };
        if !is_playlist {
            return Ok(Obtained::Stream(Response::from_parts(parts, content)));
        }
        // The whole playlist is needed, once: not a part of it, and its body also where only the head was asked for.
        let whole = if parts.status == StatusCode::OK && wanted.method == Method::GET {
            read_object(property, &wanted.place, parts, content, now).await?
        } else {
            fetch_whole(property, &wanted.place, wanted.headers(property), now).await?
        };
        if let Object::Playlist(playlist) = &whole
            && wanted.is_shareable(property)
            && !playlist.fresh_for.is_zero()
        {
            self.playlists.keep(key, playlist.clone());
        }
        property.metrics.cache_misses.inc();
        Ok(Obtained::Shared(whole, How::Miss))
    }
}

/// Fetches an object whole, unconditionally, as GET.
async fn fetch_whole(
    property: &Property,
    place: &Place,
    mut headers: HeaderMap,
    now: Duration,
) -> Result<Object, EdgeError> {
    for name in [RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_MATCH, IF_UNMODIFIED_SINCE] {
        headers.remove(name);
    }
    let patience = place.is_blocking().then_some(property.blocking_timeout);
    let path_and_query = place.path_and_query();
    let response = property.source.fetch(&Method::GET, &path_and_query, headers, patience, now).await?;
    refuse_unasked(response.status(), &HeaderMap::new())?;
    let (parts, content) = response.into_parts();
    read_object(property, place, parts, content, now).await
}

/// A part, or word that nothing changed, is an answer only to a request that asked for it.
fn refuse_unasked(status: StatusCode, asked: &HeaderMap) -> Result<(), EdgeError> {
    let is_conditional = asked.contains_key(IF_NONE_MATCH) || asked.contains_key(IF_MODIFIED_SINCE);
    match status {
        StatusCode::PARTIAL_CONTENT if !asked.contains_key(RANGE) => Err(EdgeError::UnaskedPart),
        StatusCode::NOT_MODIFIED if !is_conditional => Err(EdgeError::UnaskedNotModified),
        _ => Ok(()),
    }
}

async fn read_object(
    property: &Property,
    place: &Place,
    mut parts: response::Parts,
    content: Content,
    now: Duration,
) -> Result<Object, EdgeError> {
    let raw = collect(content, property.encoding.coded_bytes_max).await?;
    let stated =
        parts.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let codings = encoding::content_codings(stated)?;
    let was_encoded = !codings.is_empty();
    let source = if was_encoded && parts.status == StatusCode::OK {
        encoding::decode_all(&codings, &raw, &property.encoding)?.into()
    } else {
        raw.clone()
    };
    hop::strip(&mut parts.headers);
    parts.headers = detached(&parts.headers);
    if parts.status != StatusCode::OK || !manifest::is_playlist(&source) {
        // A body that came in chunks has a length now, for HEAD too.
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(raw.len() as u64));
        return Ok(Object::Whole(Arc::new(parts), raw));
    }
    let base = Base::parse(&place.url())?;
    let name = &property.rules.session_name;
    let template = Template::compile(&source, &base, &property.hosts, name, &property.manifest)?;
    count_references(property, &template);
    let fresh_for = freshness::lifetime(&parts.headers, default_lifetime(property, &template));
    Ok(Object::Playlist(Arc::new(Playlist::new(&parts.headers, template, was_encoded, now, fresh_for))))
}

fn count_references(property: &Property, template: &Template) {
    let counts = template.counts();
    property.metrics.references_foreign.inc_by(counts.foreign as u64);
    property.metrics.references_unparsable.inc_by(counts.unparsable as u64);
    property.metrics.references_unknown_variable.inc_by(counts.unknown_variables as u64);
}

fn default_lifetime(property: &Property, template: &Template) -> Duration {
    match template.kind() {
        classify::Kind::Media(media) => match media.fresh_for() {
            Some(half_a_target) => property.lifetimes.live_playlist.unwrap_or(half_a_target),
            None => property.lifetimes.playlist,
        },
        classify::Kind::Multivariant | classify::Kind::Json => property.lifetimes.playlist,
    }
}

/// Reads a body to its end, within a limit.
pub async fn collect(content: Content, bytes_max: usize) -> Result<Bytes, EdgeError> {
    let (read, mut rest) = match content {
        Content::Empty => return Ok(Bytes::new()),
        Content::Whole(bytes) if bytes.len() <= bytes_max => return Ok(bytes),
        Content::Whole(_) => return Err(EdgeError::PlaylistTooLarge(bytes_max)),
        Content::Stream { read, rest } => (read, rest),
    };
    let mut body = BytesMut::from(&read[..]);
    while let Some(frame) = rest.frame().await {
        if let Ok(data) = frame?.into_data() {
            if body.len() + data.len() > bytes_max {
                return Err(EdgeError::PlaylistTooLarge(bytes_max));
            }
            body.extend_from_slice(&data);
        }
    }
    Ok(body.freeze())
}

/// Reads just so much of a body that it can be told whether it is a playlist; what was read stays in it.
async fn starts_a_playlist(content: &mut Content) -> Result<bool, EdgeError> {
    match content {
        Content::Empty => Ok(false),
        Content::Whole(bytes) => Ok(manifest::is_playlist(bytes)),
        Content::Stream { read, rest } => {
            while read.len() < SNIFF_BYTES {
                let Some(frame) = rest.frame().await else { break };
                let Ok(data) = frame?.into_data() else { break };
                if read.is_empty() {
                    *read = data;
                } else {
                    *read = [&read[..], &data[..]].concat().into();
                }
            }
            Ok(manifest::is_playlist(read))
        }
    }
}

/// Whether the origin says that it is a playlist (RFC 8216 §4, and the names in use beside it).
fn is_playlist_type(headers: &HeaderMap) -> bool {
    const TYPES: [&str; 5] = [
        "application/vnd.apple.mpegurl",
        "application/x-mpegurl",
        "audio/mpegurl",
        "audio/x-mpegurl",
        "application/mpegurl",
    ];
    let Some(stated) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let stated = stated.split(';').next().unwrap_or_default().trim();
    TYPES.iter().any(|known| stated.eq_ignore_ascii_case(known))
}

impl How {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
        }
    }
}
