//! A request that may change something: it is passed on with its body, once, and what it makes untrue is forgotten.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use url::Url;

use crate::domain::cache::cache_status::{CacheStatus, Forward};
use crate::domain::cache::invalidation;
use crate::domain::uri::path;
use crate::origin::upload::Upload;
use crate::store::fill::Opened;
use crate::store::key::Key;
use crate::store::purge::{Depth, Purge, Scope};

use super::Edge;
use super::body::Content;
use super::error::EdgeError;
use super::objects::Found;
use super::obtain::Obtained;
use super::property::Property;
use super::question::Question;
use super::spans;
use super::wanted::{Place, Wanted};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A property's limits on what viewers send.
#[derive(Clone, Copy, Debug)]
pub struct Bodies {
    pub bytes_max: u64,
    /// For the body and the first byte of the answer together.
    pub timeout: Duration,
}

impl Edge {
    /// Passes the request on. RFC 9111 §4: "A cache MUST write through requests with methods that are unsafe".
    pub async fn pass_on(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        body: Upload,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Obtained, EdgeError> {
        *report = CacheStatus::forwarded(Forward::Method);
        let stated = wanted.client.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let Bodies { bytes_max, timeout } = property.bodies;
        if stated.is_some_and(|bytes: u64| bytes > bytes_max) {
            return Err(EdgeError::BodyTooLarge(bytes_max));
        }
        let overran = Arc::new(AtomicBool::new(false));
        let body = if body.is_nothing() {
            body
        } else {
            Upload::stream(Measured { body, left: bytes_max, overran: overran.clone() })
        };
        let mut headers = wanted.headers(property);
        // The body says its own length; a second one could be another.
        headers.remove(CONTENT_LENGTH);
        let path_and_query = wanted.place.path_and_query();
        let source = &property.upstream(&wanted.place).source;
        let mut headers = Cow::Owned(headers);
        let span = spans::ask(property, &wanted.method, &wanted.place, &mut headers);
        let headers = headers.into_owned();
        let sending = source.pass_on(&wanted.method, &path_and_query, headers, body, timeout, now);
        let sent = spans::timed(property, span, sending).await;
        if overran.load(Ordering::Relaxed) {
            return Err(EdgeError::BodyTooLarge(bytes_max));
        }
        let response = sent?;
        let (status, headers) = (response.status(), response.headers().clone());
        self.forget_changed(property, wanted, status, &headers).await;
        self.keep_post(property, wanted, response, now, report).await
    }

    /// Whatever the change made untrue goes out of the store (RFC 9111 §4.4), for this site alone.
    async fn forget_changed(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        let target = wanted.place.url();
        for url in invalidation::invalidated(&wanted.method, &target, status, headers) {
            let place =
                if url == target { Some(wanted.place.clone()) } else { place_of(&url, wanted, property) };
            let Some(place) = place else { continue };
            let key = place.key(property);
            let purge = Purge { scope: Scope::Key(key.as_str().into()), depth: Depth::Hard };
            self.objects.purge(&purge).await;
            self.playlists.forget(&key);
            property.metrics.cache_invalidated.inc();
        }
    }

    /// RFC 9110 §9.3.3: an answer to POST that says where it can be had by GET, and for how long, may be kept for that.
    async fn keep_post(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        response: Response<Content>,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Obtained, EdgeError> {
        let rules = property.caching_rules(&wanted.place, wanted.kind);
        let is_worth_a_look = rules.keeps_post
            && property.caching.is_on
            && wanted.method == http::Method::POST
            && response.status().is_success()
            && wanted.is_shareable(property);
        if !is_worth_a_look {
            return Ok(Obtained::Stream(response));
        }
        let question = Question::of(property, wanted, None, rules.clone(), now);
        let question = Question { method: wanted.method.clone(), target: wanted.place.url(), ..question };
        let (mut parts, content) = response.into_parts();
        let Ok(description) = question.describe(parts.status, &mut parts.headers) else {
            return Ok(Obtained::Stream(Response::from_parts(parts, content)));
        };
        let ttl = description.meta.freshness.ttl(now);
        let length = content.length();
        let slot = Arc::new(Mutex::new(Some((parts, content, description))));
        let taken = slot.clone();
        let key = Key::new(wanted.place.key(property));
        let reader = self.objects.open(&key, move |_| async move {
            use crate::store::fill::{Answer, Fetched, Source};
            let held = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            match held {
                Some((_, body, description)) => Fetched::Shared(Answer {
                    description,
                    length,
                    body,
                    is_kept: true,
                    source: Source::Origin,
                }),
                None => Fetched::Failed(EdgeError::Join(crate::store::flights::JoinError::Lost)),
            }
        });
        match reader {
            Ok(reader) if reader.leads() => match reader.opened(self.wait).await {
                Ok(Opened::Growing(growing)) => {
                    (report.stored, report.ttl) = (growing.is_kept(), Some(ttl));
                    Ok(Obtained::Found(Found::Growing(growing)))
                }
                Ok(_) | Err(_) => Err(EdgeError::Join(crate::store::flights::JoinError::Lost)),
            },
            // A GET got there first: its answer is no answer to this request.
            Ok(_) | Err(_) => match slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some((parts, content, _)) => Ok(Obtained::Stream(Response::from_parts(parts, content))),
                None => Err(EdgeError::Join(crate::store::flights::JoinError::Lost)),
            },
        }
    }
}

/// The place of a URL of this site, in its normal form.
fn place_of(url: &str, wanted: &Wanted<'_>, property: &Property) -> Option<Place> {
    let url = Url::parse(url).ok()?;
    let path = path::normalise(url.path()).ok()?.into_owned();
    Some(wanted.beside(property, path, url.query().unwrap_or_default()).place)
}

/// A body that may have so many bytes.
#[derive(Debug)]
struct Measured {
    body: Upload,
    left: u64,
    overran: Arc<AtomicBool>,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(left) = self.left.checked_sub(bytes) else {
                self.overran.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err("the body is too large".into())));
            };
            self.left = left;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
