//! What is asked of the origin for the cache, and what becomes of the answer.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, StatusCode};

use crate::domain::cache::directives::ResponseDirectives;
use crate::domain::cache::exchange::{Exchange, stamp};
use crate::domain::cache::freshness::Freshness;
use crate::domain::cache::rules::{Rules, Unstated};
use crate::domain::cache::storable::{storable, withhold};
use crate::domain::cache::validation;
use crate::domain::cache::vary::Selector;
use crate::domain::headers::hop;
use crate::store::fill::{Answer, Fetched, Source};
use crate::store::object::{Description, detached, headers_bytes, surrogate_keys};

use super::body::Content;
use super::error::EdgeError;
use super::objects::{Meta, Private, Stored};
use super::property::Property;
use super::reading::{is_playlist_type, refuse_unasked, starts_a_playlist};
use super::sealing;
use super::wanted::{Place, Wanted};

/// What is asked of the origin for everybody: the whole object, unless the one that is stored still holds.
#[derive(Debug)]
pub struct Question {
    pub property: Arc<Property>,
    pub place: Place,
    pub headers: HeaderMap,
    pub stored: Option<Stored>,
    pub rules: Arc<Rules>,
    pub now: Duration,
}

impl Question {
    pub fn of(
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        stored: Option<Stored>,
        rules: Arc<Rules>,
        now: Duration,
    ) -> Self {
        let headers = wanted.headers(property);
        Self { property: property.clone(), place: wanted.place.clone(), headers, stored, rules, now }
    }

    pub async fn ask(mut self, latest_purge: u64) -> Fetched<Meta, Private, EdgeError, Content> {
        validation::unconditional(&mut self.headers);
        if let Some(stored) = &self.stored {
            validation::make_conditional(&mut self.headers, &stored.meta().headers);
        }
        let path_and_query = self.place.path_and_query();
        let source = &self.property.upstream(&self.place).source;
        let response = match source.fetch(&Method::GET, &path_and_query, &self.headers, None, self.now).await
        {
            Ok(response) => response,
            Err(error) => return Fetched::Failed(error),
        };
        if let Err(error) = refuse_unasked(&response, &self.headers) {
            return Fetched::Failed(error);
        }
        match self.judge(response, latest_purge).await {
            Ok(fetched) => fetched,
            Err(error) => Fetched::Failed(error),
        }
    }

    async fn judge(
        self,
        response: Response<Content>,
        latest_purge: u64,
    ) -> Result<Fetched<Meta, Private, EdgeError, Content>, EdgeError> {
        let (mut parts, mut content) = response.into_parts();
        if parts.status == StatusCode::NOT_MODIFIED
            && let Some(stored) = &self.stored
        {
            return Ok(self.confirmed(stored, &parts.headers, latest_purge));
        }
        let is_playlist = parts.status == StatusCode::OK
            && (is_playlist_type(&parts.headers) || starts_a_playlist(&parts.headers, &mut content).await?);
        if !is_playlist {
            let seal = sealing::stored_seal(&self.property, &self.place.path);
            let response = sealing::sealed(Response::from_parts(parts, content), seal.as_ref())?;
            (parts, content) = response.into_parts();
        }
        let length = content.length();
        let described = if is_playlist { None } else { self.describe(parts.status, &mut parts.headers) };
        let Some(description) = described else {
            return Ok(Fetched::Private(Response::from_parts(parts, content)));
        };
        Ok(Fetched::Shared(Answer { description, length, body: content, source: Source::Origin }))
    }

    /// RFC 9111 §4.3.4: the origin confirms what is stored, and updates its header fields.
    fn confirmed(
        &self,
        stored: &Stored,
        update: &HeaderMap,
        latest_purge: u64,
    ) -> Fetched<Meta, Private, EdgeError, Content> {
        let set_cookie = self.rules.set_cookie;
        let mut headers = validation::freshened(&stored.meta().headers, &detached(update), set_cookie);
        stamp(&mut headers, self.now);
        let directives = ResponseDirectives::read(&headers);
        let freshness =
            Freshness::of(&self.exchange(stored.meta().status, &headers, &directives), &self.rules);
        let meta = Meta { headers, freshness, ..stored.meta().clone() };
        Fetched::Whole(Arc::new(
            stored.described_anew(Arc::new(description(meta, self.may_rest_on_disk())), latest_purge),
        ))
    }

    /// The description of an answer that may be stored; `None` for one that may not.
    fn describe(&self, status: StatusCode, headers: &mut HeaderMap) -> Option<Description<Meta>> {
        let received = self.now;
        stamp(headers, received);
        let directives = ResponseDirectives::read(headers);
        let freshness = storable(&self.exchange(status, headers, &directives), &self.rules).ok()?;
        let selector = Selector::of(&self.headers, headers, &self.rules.vary_ignored)?;
        let mut kept = detached(headers);
        hop::strip(&mut kept);
        withhold(&mut kept, &directives.withheld, self.rules.set_cookie);
        kept.remove(CONTENT_LENGTH);
        Some(description(Meta { status, headers: kept, freshness, selector }, self.may_rest_on_disk()))
    }

    fn exchange<'a>(
        &'a self,
        status: StatusCode,
        response: &'a HeaderMap,
        directives: &'a ResponseDirectives,
    ) -> Exchange<'a> {
        Exchange {
            method: &Method::GET,
            target: "",
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

fn description(meta: Meta, may_rest_on_disk: bool) -> Description<Meta> {
    let tags = surrogate_keys(&meta.headers);
    let meta_bytes = headers_bytes(&meta.headers) + size_of::<Meta>() as u64;
    Description { meta, meta_bytes, tags, may_rest_on_disk }
}
