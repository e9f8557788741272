//! What is asked of the origin for the cache, and what becomes of the answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, StatusCode};

use crate::domain::cache::directives::ResponseDirectives;
use crate::domain::cache::exchange::{Exchange, stamp};
use crate::domain::cache::freshness::Freshness;
use crate::domain::cache::rules::{Rules, Unstated, is_error};
use crate::domain::cache::storable::{Refusal, storable, withhold};
use crate::domain::cache::validation;
use crate::domain::cache::vary::Selector;
use crate::domain::headers::hop;
use crate::entropy;
use crate::store::fill::{Answer, Fetched, Source};
use crate::store::object::{Description, Object, detached, headers_bytes, surrogate_keys};

use super::body::Content;
use super::error::EdgeError;
use super::objects::{Meta, Private, Stored};
use super::property::Property;
use super::reading::{is_playlist_type, refuse_unasked, starts_a_playlist};
use super::sealing;
use super::spans;
use super::wanted::{Place, Wanted};

/// What is asked of the origin for everybody: the whole object, unless the one that is stored still holds.
#[derive(Clone, Debug)]
pub struct Question {
    pub property: Arc<Property>,
    pub place: Place,
    pub method: Method,
    /// The absolute URL, where the rules look at it: for a POST.
    pub target: String,
    pub headers: HeaderMap,
    pub stored: Option<Stored>,
    pub rules: Arc<Rules>,
    pub now: Duration,
}

/// What comes of a question.
pub type Outcome = Fetched<Meta, Private, EdgeError, Content>;

impl Question {
    pub fn of(
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        stored: Option<Stored>,
        rules: Arc<Rules>,
        now: Duration,
    ) -> Self {
        Self {
            property: property.clone(),
            place: wanted.place.clone(),
            method: Method::GET,
            target: String::new(),
            headers: wanted.headers(property),
            stored,
            rules,
            now,
        }
    }

    pub async fn ask(mut self, latest_purge: u64) -> Outcome {
        validation::unconditional(&mut self.headers);
        if let Some(stored) = &self.stored {
            validation::make_conditional(&mut self.headers, &stored.meta().headers);
        }
        match self.answered(latest_purge).await {
            Ok(fetched) => fetched,
            Err(error) => Fetched::Failed(error),
        }
    }

    async fn answered(&mut self, latest_purge: u64) -> Result<Outcome, EdgeError> {
        let response = self.send().await?;
        if response.status() != StatusCode::NOT_MODIFIED {
            return self.judge(response).await;
        }
        if let Some(stored) = &self.stored
            && !stored.is_gone()
            && validation::identifies(response.headers(), &stored.meta().headers)
        {
            let confirmed = self.confirmed(stored, response.headers(), latest_purge);
            return Ok(Fetched::Whole(Arc::new(confirmed)));
        }
        // RFC 9111 §4.3.4: "If none of the initial set contains at least one of the same strong validators, then the cache
        // MUST NOT use the new response to update any stored responses": it tells of another version, which is not here.
        validation::unconditional(&mut self.headers);
        let response = self.send().await?;
        self.judge(response).await
    }

    pub async fn send(&self) -> Result<Response<Content>, EdgeError> {
        let path_and_query = self.place.path_and_query();
        let source = &self.property.upstream(&self.place).source;
        let mut headers = Cow::Borrowed(&self.headers);
        let span = spans::ask(&self.property, &Method::GET, &self.place, &mut headers);
        let asking = source.fetch(&Method::GET, &path_and_query, headers, None, self.now);
        let response = spans::timed(&self.property, span, asking).await?;
        refuse_unasked(&response, &self.headers)?;
        Ok(response)
    }

    pub async fn judge(&self, response: Response<Content>) -> Result<Outcome, EdgeError> {
        let (mut parts, mut content) = response.into_parts();
        let is_playlist = parts.status == StatusCode::OK
            && (is_playlist_type(&parts.headers) || starts_a_playlist(&parts.headers, &mut content).await?);
        if !is_playlist {
            let seal = sealing::stored_seal(&self.property, &self.place.path);
            let response = sealing::sealed(Response::from_parts(parts, content), seal.as_ref())?;
            (parts, content) = response.into_parts();
        }
        let length = content.length();
        let private = |parts, content, why| {
            Ok(Fetched::Private(Private { answer: Response::from_parts(parts, content), why }))
        };
        if is_playlist {
            return private(parts, content, "playlist");
        }
        // What is stored may be served in its place, and stays.
        let stays = self.stored.is_some() && is_error(parts.status);
        let (description, is_kept) = match self.describe(parts.status, &mut parts.headers) {
            Ok(description) => (description, !stays),
            Err(refusal) if is_for_those_who_wait(parts.status, refusal) => {
                (self.description(parts.status, &parts.headers), false)
            }
            Err(_) if stays => return private(parts, content, "origin-failed"),
            Err(refusal) => return private(parts, content, refusal.as_str()),
        };
        Ok(Fetched::Shared(Answer { description, length, body: content, is_kept, source: Source::Origin }))
    }

    /// RFC 9111 §4.3.4: the origin confirms what is stored, and updates its header fields.
    pub fn confirmed(&self, stored: &Stored, update: &HeaderMap, latest_purge: u64) -> Object<Meta> {
        let set_cookie = self.rules.set_cookie;
        let mut update = detached(update);
        hop::strip(&mut update);
        let mut headers = validation::freshened(&stored.meta().headers, &update, set_cookie);
        stamp(&mut headers, self.now);
        let directives = ResponseDirectives::read(&headers);
        let freshness =
            Freshness::of(&self.exchange(stored.meta().status, &headers, &directives), &self.rules);
        let meta = Meta { headers, freshness, family: self.family(), ..stored.meta().clone() };
        stored.described_anew(Arc::new(description(meta, self.may_rest_on_disk())), latest_purge)
    }

    /// The description of an answer, or why it may not be stored.
    pub fn describe(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Result<Description<Meta>, Refusal> {
        stamp(headers, self.now);
        let directives = ResponseDirectives::read(headers);
        storable(&self.exchange(status, headers, &directives), &self.rules)?;
        Ok(self.description(status, headers))
    }

    fn description(&self, status: StatusCode, headers: &HeaderMap) -> Description<Meta> {
        let directives = ResponseDirectives::read(headers);
        let freshness = Freshness::of(&self.exchange(status, headers, &directives), &self.rules);
        let selector = Selector::of(&self.headers, headers, &self.rules.vary_ignored).unwrap_or_default();
        let mut kept = detached(headers);
        hop::strip(&mut kept);
        withhold(&mut kept, &directives.withheld, self.rules.set_cookie);
        kept.remove(CONTENT_LENGTH);
        let meta = Meta { status, headers: kept, freshness, selector, family: self.family() };
        description(meta, self.may_rest_on_disk())
    }

    /// What hangs on a stored answer hangs on the one that takes its place, unless it was purged.
    fn family(&self) -> u64 {
        match &self.stored {
            Some(stored) if !stored.is_marked_stale() => stored.meta().family,
            Some(_) | None => entropy::request_number(),
        }
    }

    fn exchange<'a>(
        &'a self,
        status: StatusCode,
        response: &'a HeaderMap,
        directives: &'a ResponseDirectives,
    ) -> Exchange<'a> {
        Exchange {
            method: &self.method,
            target: &self.target,
            request: &self.headers,
            status,
            response,
            directives,
            requested: self.now,
            received: self.now,
        }
    }

    /// Whether it is worth a disk: what lives for a while.
    fn may_rest_on_disk(&self) -> bool {
        matches!(self.rules.unstated, Unstated::Lifetime(_))
    }
}

/// An error that says nothing of its lifetime is not kept, but those who wait for it need not all hear it from the origin
/// itself: it is of no viewer in particular, and an origin that fails is the last that should be asked a thousand times.
fn is_for_those_who_wait(status: StatusCode, refusal: Refusal) -> bool {
    (status.is_client_error() || status.is_server_error())
        && matches!(refusal, Refusal::NoLifetime | Refusal::Useless)
}

fn description(meta: Meta, may_rest_on_disk: bool) -> Description<Meta> {
    let tags = surrogate_keys(&meta.headers);
    let meta_bytes = headers_bytes(&meta.headers) + size_of::<Meta>() as u64;
    Description { meta, meta_bytes, tags, may_rest_on_disk }
}
