//! Getting an object: a playlist from memory or by one shared fetch, anything else as a stream from the origin.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE, SET_COOKIE,
};
use http::{HeaderMap, Method, Response, StatusCode, response};

use crate::domain::cache::cache_status::{CacheStatus, Forward, SERVED_STALE};
use crate::domain::cache::playlist as rules;
use crate::domain::cache::rules::is_error;
use crate::domain::policy::names_a_playlist;
use crate::store::flights::Joined;
use crate::store::playlists::Playlist;

use super::Edge;
use super::body::Content;
use super::error::EdgeError;
use super::objects::Found;
use super::passage::Bears;
use super::property::Property;
use super::reading::{is_json, is_playlist_type, read_object, refuse_unasked, starts_a_playlist};
use super::sealing;
use super::spans;
use super::wanted::{Place, Wanted};

/// What was got.
#[derive(Clone, Debug)]
pub enum Object {
    Playlist(Arc<Playlist>),
    /// Something else under a playlist's name, read whole and shared by those who waited: an error page, say.
    Whole(Arc<response::Parts>, Bytes),
}

#[derive(Debug)]
pub enum Obtained {
    Shared(Object),
    Stream(Response<Content>),
    /// From the cache.
    Found(Found),
}

impl Obtained {
    /// What of it could carry a session's text.
    pub fn bears(&self) -> Bears<'_> {
        let is_document =
            |status: StatusCode, headers: &HeaderMap| status == StatusCode::OK && is_json(headers);
        match self {
            Self::Shared(Object::Playlist(playlist)) => Bears::Playlist(playlist),
            Self::Shared(Object::Whole(head, _)) if is_document(head.status, &head.headers) => {
                Bears::SideDocument
            }
            Self::Stream(origin) if is_document(origin.status(), origin.headers()) => Bears::SideDocument,
            Self::Found(found) if is_document(found.meta().status, &found.meta().headers) => {
                Bears::SideDocument
            }
            Self::Shared(Object::Whole(..)) | Self::Stream(_) | Self::Found(..) => Bears::Neither,
        }
    }
}

impl Object {
    /// Whether an object that was fetched for somebody else answers this request, too.
    fn suits(&self, wanted: &Wanted<'_>) -> bool {
        match self {
            Self::Playlist(playlist) => !rules::is_for_one(&playlist.headers),
            // What an edge behind this one says to one viewer's session is not for another.
            Self::Whole(head, _) if wanted.session.is_some() && head.status.is_client_error() => {
                head.status == StatusCode::NOT_FOUND
            }
            Self::Whole(head, _) => {
                let coding = head.headers.get(CONTENT_ENCODING);
                !rules::is_for_one(&head.headers) && coding.is_none_or(|coding| coding == wanted.coding())
            }
        }
    }

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
        report: &mut CacheStatus<'static>,
    ) -> Result<Obtained, EdgeError> {
        let key = wanted.place.key(property);
        let is_shareable = wanted.is_shareable(property);
        // A playlist is kept without the origin's word on who may have it: only that of a request without a name.
        if is_shareable && !wanted.client.contains_key(AUTHORIZATION) {
            if let Some(playlist) = self.playlists.fresh(&key, now) {
                *report = CacheStatus::hit(playlist.ttl(now));
                return Ok(Obtained::Shared(Object::Playlist(playlist)));
            }
            let is_known = self.playlists.knows(&key);
            if is_known || names_a_playlist(&wanted.place.path) {
                let why = if is_known { Forward::Stale } else { Forward::UriMiss };
                *report = CacheStatus::forwarded(why);
                let fetched = Box::pin(self.share(property, wanted, key.clone(), now, report)).await;
                return self.or_stale(fetched, &key, now, report).map(Obtained::Shared);
            }
        } else if names_a_playlist(&wanted.place.path) {
            *report = CacheStatus::forwarded(Forward::Bypass);
            let fetching = fetch_whole(property, &wanted.place, wanted.headers(property), now);
            return Ok(Obtained::Shared(Box::pin(fetching).await?));
        }
        if is_shareable && property.caching.is_on {
            return self.cached(property, wanted, &key, now, report).await;
        }
        *report = CacheStatus::forwarded(Forward::Bypass);
        Box::pin(self.stream(property, wanted, key, now, report)).await
    }

    /// What was fetched or, where the origin failed, what is kept and may stand in for it. What was purged meanwhile, or
    /// forgotten with the terms that it was compiled under, is kept no longer.
    fn or_stale(
        &self,
        fetched: Result<Object, EdgeError>,
        key: &str,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Object, EdgeError> {
        let failed = match &fetched {
            Ok(Object::Whole(head, _)) => is_error(head.status).then_some(Some(head.status)),
            Ok(Object::Playlist(_)) => None,
            Err(_) => Some(None),
        };
        let Some((status, playlist)) = failed.zip(self.playlists.spare(key, now)) else { return fetched };
        report.forward_status = status;
        (report.ttl, report.detail) = (Some(playlist.ttl(now)), Some(SERVED_STALE));
        Ok(Object::Playlist(playlist))
    }

    /// A playlist, by one fetch for all who ask for it at the same time.
    async fn share(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: String,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Object, EdgeError> {
        let wait = if wanted.place.is_blocking() {
            self.wait.max(property.upstream(&wanted.place).blocking_timeout)
        } else {
            self.wait
        };
        let (playlists, property_then, key_then) = (self.playlists.clone(), property.clone(), key.clone());
        let (objects, begun) = (self.objects.clone(), wanted.purges_begun);
        let (place, headers) = (wanted.place.clone(), wanted.headers(property));
        let fetch = async move {
            // Another fetch may have landed since this request looked.
            if let Some(playlist) = playlists.fresh(&key_then, now) {
                return Ok(Object::Playlist(playlist));
            }
            let object = fetch_whole(&property_then, &place, headers, now).await?;
            if let Object::Playlist(playlist) = &object
                && !playlist.fresh_for.is_zero()
            {
                playlists.keep(&key_then, playlist, begun, objects.tiers().purges());
            }
            Ok::<Object, EdgeError>(object)
        };
        // Who comes after a purge does not join a fetch from before it.
        let flight = format!("{begun}\n{key}");
        let object = match self.flights.join(flight, wait, fetch).await? {
            Joined::Led(object) => object?,
            Joined::Waited(object) => {
                let object = object?;
                if !object.suits(wanted) {
                    return fetch_whole(property, &wanted.place, wanted.headers(property), now).await;
                }
                report.collapsed = true;
                object.for_another()
            }
        };
        note_kept(&object, now, report);
        Ok(object)
    }

    /// Anything that is not known to be a playlist. Its first bytes are looked at all the same: a playlist under a
    /// segment's name is still a playlist.
    pub async fn stream(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: String,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Obtained, EdgeError> {
        let path_and_query = wanted.place.path_and_query();
        let mut headers = Cow::Owned(wanted.headers(property));
        let source = &property.upstream(&wanted.place).source;
        let span = spans::ask(property, &wanted.method, &wanted.place, &mut headers);
        let asking = source.fetch(&wanted.method, &path_and_query, headers, None, now);
        let response = spans::timed(property, span, asking).await?;
        refuse_unasked(&response, wanted.client)?;
        self.settle(property, wanted, key, response, now, report).await
    }

    /// What an answer of the origin to this one request comes to.
    pub async fn settle(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: String,
        response: Response<Content>,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Obtained, EdgeError> {
        let (parts, mut content) = response.into_parts();
        let is_body = wanted.method == Method::GET
            && matches!(parts.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let suspicious = is_playlist_type(&parts.headers);
        let is_playlist = if wanted.method == Method::HEAD {
            parts.status == StatusCode::OK && suspicious
        } else {
            is_body && (suspicious || starts_a_playlist(&parts.headers, &mut content).await?)
        };
        if !is_playlist {
            let response = Response::from_parts(parts, content);
            let seal = sealing::stored_seal(property, &wanted.place.path);
            return sealing::sealed(response, seal.as_ref()).map(Obtained::Stream);
        }
        // The whole playlist is needed, once: not a part of it, and its body also where only the head was asked for.
        let whole = if parts.status == StatusCode::OK && wanted.method == Method::GET {
            read_object(property, &wanted.place, parts, content, now).await?
        } else {
            fetch_whole(property, &wanted.place, wanted.headers(property), now).await?
        };
        if let Object::Playlist(playlist) = &whole
            && wanted.is_shareable(property)
            && !wanted.client.contains_key(AUTHORIZATION)
            && !playlist.fresh_for.is_zero()
        {
            let purges = self.objects.tiers().purges();
            self.playlists.keep(&key, playlist, wanted.purges_begun, purges);
            report.detail = None;
            note_kept(&whole, now, report);
        }
        Ok(Obtained::Shared(whole))
    }
}

/// Reports whether a playlist that was fetched is kept, and for how long.
fn note_kept(object: &Object, now: Duration, report: &mut CacheStatus<'static>) {
    if let Object::Playlist(playlist) = object {
        report.stored = !playlist.fresh_for.is_zero();
        report.ttl = Some(playlist.ttl(now));
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
    let upstream = property.upstream(place);
    let patience = place.is_blocking().then_some(upstream.blocking_timeout);
    let path_and_query = place.path_and_query();
    let mut headers = Cow::Owned(headers);
    let span = spans::ask(property, &Method::GET, place, &mut headers);
    let asking = upstream.source.fetch(&Method::GET, &path_and_query, headers, patience, now);
    let response = spans::timed(property, span, asking).await?;
    refuse_unasked(&response, &HeaderMap::new())?;
    let (parts, content) = response.into_parts();
    read_object(property, place, parts, content, now).await
}
