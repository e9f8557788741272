//! Getting an object: a playlist from memory or by one shared fetch, anything else as a stream from the origin.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, VIA,
};
use http::{HeaderMap, Method, Response, StatusCode, response};
use http_body_util::BodyExt;

use crate::domain::cache::freshness;
use crate::domain::headers::{forwarding, hop};
use crate::domain::manifest::base::Base;
use crate::domain::manifest::encoding;
use crate::domain::manifest::template::Template;
use crate::domain::manifest::{self, classify};
use crate::domain::policy::names_a_playlist;
use crate::domain::token::reason::Reason;
use crate::store::flights::Joined;
use crate::store::playlists::{Playlist, detached};

use super::Edge;
use super::body::Content;
use super::error::EdgeError;
use super::property::Property;
use super::target::join;

/// The result of the token check, told to the origin: no client can send it, since it is removed first.
const TOKEN_RESULT: HeaderName = HeaderName::from_static("sluicegate-token");

/// The content codings that are understood, the preferred first, by what they cost for a playlist.
pub const CODINGS: [encoding::Coding; 3] =
    [encoding::Coding::Zstd, encoding::Coding::Gzip, encoding::Coding::Br];

/// Bytes that tell whether a body is a playlist: a BOM, a line end and `#EXTM3U`.
const SNIFF_BYTES: usize = 16;

/// What was asked, in the words of the origin.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where the client thinks it is: `https://host:port`.
    pub site: String,
    pub path: String,
    pub query: String,
    pub method: Method,
    /// The client's header fields, ready for the origin.
    pub headers: HeaderMap,
}

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

/// How a shared object was come by, for `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Hit,
    Miss,
    Collapsed,
}

impl Wanted {
    /// Whether the answer may be given to others: nothing in the request names its sender.
    fn is_shareable(&self) -> bool {
        !self.headers.contains_key(AUTHORIZATION) && !self.headers.contains_key(COOKIE)
    }

    /// RFC 8216bis §6.2.5.2: a blocking playlist reload is held back until its part is there.
    fn is_blocking(&self) -> bool {
        self.query.split('&').any(|pair| pair.starts_with("_HLS_msn="))
    }

    fn path_and_query(&self) -> String {
        join(&self.path, &self.query)
    }

    /// The URL as the client sees it, without tokens.
    pub fn url(&self) -> String {
        format!("{}{}", self.site, self.path_and_query())
    }

    fn key(&self, property: &Property) -> String {
        format!("{}\n{}\n{}", property.name, self.site, self.path_and_query())
    }

    /// The same place on the same site, another document.
    #[must_use]
    pub fn beside(&self, path: String, query: String) -> Self {
        Self { path, query, method: Method::GET, ..self.clone() }
    }
}

/// The client's header fields as the origin may see them: no hop-by-hop field, no token, no cookie that is not listed,
/// and the viewer described anew.
pub fn origin_headers(
    property: &Property,
    client: &HeaderMap,
    viewer: forwarding::Viewer<'_>,
    unverified: Option<Reason>,
    verified: bool,
) -> HeaderMap {
    let mut headers = client.clone();
    hop::strip(&mut headers);
    for name in property.rules.access.name().into_iter().chain([property.rules.session_name.as_str()]) {
        headers.remove(name);
    }
    headers.remove(TOKEN_RESULT);
    headers.remove("sluicegate-debug");
    forwarding::remove_private(&mut headers, &property.cookies_forwarded);
    forwarding::describe(&mut headers, property.forwarded, viewer);
    headers.append(VIA, HeaderValue::from_static("1.1 sluicegate"));
    let accepted = client.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let coding = encoding::choose(accepted, &CODINGS).name().unwrap_or("identity");
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding));
    if property.rules.access.is_verify_only() {
        let result = match unverified {
            Some(reason) => reason.as_str(),
            None if verified => "valid",
            None => Reason::NoToken.as_str(),
        };
        headers.insert(TOKEN_RESULT, HeaderValue::from_static(result));
    }
    headers
}

impl Edge {
    /// Gets what was asked: from memory, by waiting for a fetch that is under way, or from the origin.
    pub async fn obtain(
        &self,
        property: &Arc<Property>,
        wanted: Wanted,
        now: Duration,
    ) -> Result<Obtained, EdgeError> {
        let key = wanted.key(property);
        if wanted.is_shareable() {
            if let Some(playlist) = self.playlists.fresh(&key, now) {
                property.metrics.cache_hits.inc();
                return Ok(Obtained::Shared(Object::Playlist(playlist), How::Hit));
            }
            if names_a_playlist(&wanted.path) || self.playlists.knows(&key) {
                let (object, how) = self.share(property, wanted, key, now).await?;
                return Ok(Obtained::Shared(object, how));
            }
        } else if names_a_playlist(&wanted.path) {
            let object = fetch_whole(property, &wanted, now).await?;
            return Ok(Obtained::Shared(object, How::Miss));
        }
        self.stream(property, wanted, key, now).await
    }

    /// A playlist, by one fetch for all who ask for it at the same time.
    async fn share(
        &self,
        property: &Arc<Property>,
        wanted: Wanted,
        key: String,
        now: Duration,
    ) -> Result<(Object, How), EdgeError> {
        let wait = if wanted.is_blocking() { self.wait.max(property.blocking_timeout) } else { self.wait };
        let (playlists, property_then, key_then) = (self.playlists.clone(), property.clone(), key.clone());
        let fetch = async move {
            let object = fetch_whole(&property_then, &wanted, now).await?;
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
                Ok((object?, How::Collapsed))
            }
        }
    }

    /// Anything that is not known to be a playlist. Its first bytes are looked at all the same: a playlist under a
    /// segment's name is still a playlist.
    async fn stream(
        &self,
        property: &Arc<Property>,
        wanted: Wanted,
        key: String,
        now: Duration,
    ) -> Result<Obtained, EdgeError> {
        let asked_for_part = wanted.headers.contains_key(RANGE);
        let path_and_query = wanted.path_and_query();
        let response =
            property.source.fetch(&wanted.method, &path_and_query, wanted.headers.clone(), None, now).await?;
        if response.status() == StatusCode::PARTIAL_CONTENT && !asked_for_part {
            return Err(EdgeError::UnaskedPart);
        }
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
            read_object(property, &wanted, parts, content, now).await?
        } else {
            fetch_whole(property, &wanted, now).await?
        };
        if let Object::Playlist(playlist) = &whole
            && wanted.is_shareable()
            && !playlist.fresh_for.is_zero()
        {
            self.playlists.keep(key, playlist.clone());
        }
        property.metrics.cache_misses.inc();
        Ok(Obtained::Shared(whole, How::Miss))
    }
}

/// Fetches an object whole, unconditionally, as GET.
async fn fetch_whole(property: &Property, wanted: &Wanted, now: Duration) -> Result<Object, EdgeError> {
    let mut headers = wanted.headers.clone();
    for name in [RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_MATCH, IF_UNMODIFIED_SINCE] {
        headers.remove(name);
    }
    let patience = wanted.is_blocking().then_some(property.blocking_timeout);
    let path_and_query = wanted.path_and_query();
    let response = property.source.fetch(&Method::GET, &path_and_query, headers, patience, now).await?;
    if response.status() == StatusCode::PARTIAL_CONTENT {
        return Err(EdgeError::UnaskedPart);
    }
    let (parts, content) = response.into_parts();
    read_object(property, wanted, parts, content, now).await
}

async fn read_object(
    property: &Property,
    wanted: &Wanted,
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
        return Ok(Object::Whole(Arc::new(parts), raw));
    }
    let base = Base::parse(&wanted.url())?;
    let name = &property.rules.session_name;
    let template = Template::compile(&source, &base, &property.hosts, name, &property.manifest)?;
    count_references(property, &template);
    let fresh_for = freshness::lifetime(&parts.headers, default_lifetime(property, &template), now);
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
