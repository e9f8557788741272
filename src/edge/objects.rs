//! Everything that is no playlist, from the cache: fresh from memory, joined while it arrives, confirmed by the origin, or
//! stale where that is allowed.

use std::sync::Arc;
use std::time::Duration;

use http::header::SET_COOKIE;
use http::{HeaderMap, Method, Response, StatusCode};

use crate::domain::cache::directives::RequestDirectives;
use crate::domain::cache::freshness::{Freshness, Verdict};
use crate::domain::cache::precondition::{self, Precondition};
use crate::domain::cache::rules::{self, Rules};
use crate::domain::cache::vary::Selector;
use crate::domain::cache::{ranges, targeted};
use crate::domain::headers::listed;
use crate::store::fill::{Growing, Opened, WaitError};
use crate::store::fills::Fills;
use crate::store::flights::JoinError;
use crate::store::key::Key;
use crate::store::object::Object;

use super::Edge;
use super::body::Content;
use super::error::EdgeError;
use super::obtain::{How, Obtained};
use super::property::Property;
use super::question::Question;
use super::wanted::Wanted;

/// What is known of a stored answer beside its bytes.
#[derive(Clone, Debug)]
pub struct Meta {
    pub status: StatusCode,
    /// The origin's header fields, end to end only, in memory of their own.
    pub headers: HeaderMap,
    pub freshness: Freshness,
    pub selector: Selector,
}

/// A stored answer.
pub type Stored = Arc<Object<Meta>>;

/// An answer for one request alone.
pub type Private = Response<Content>;

/// The fetches under way, and what they keep.
pub type Objects = Fills<Meta, Private, EdgeError>;

/// An object as it can be sent.
#[derive(Debug)]
pub enum Found {
    Stored(Stored),
    Growing(Growing<Meta>),
}

impl Found {
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Stored(object) => object.meta(),
            Self::Growing(growing) => growing.meta(),
        }
    }

    /// Its length, where that is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Stored(object) => Some(object.len()),
            Self::Growing(growing) => growing.length(),
        }
    }
}

impl Edge {
    /// Gets an object through the cache.
    pub async fn cached(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: &str,
        now: Duration,
    ) -> Result<Obtained, EdgeError> {
        let rules = property.caching_rules(&wanted.place, wanted.kind);
        let (key, stored) = self.look_up(property, wanted, key);
        let verdict = stored.as_ref().map(|object| verdict(object, wanted, rules, now));
        if let Some(object) = &stored {
            let (headers, received) = (&object.meta().headers, object.meta().freshness.received);
            let status = object.meta().status;
            let condition = precondition::evaluate(&wanted.method, wanted.client, status, headers, received);
            if condition == Precondition::AskOrigin {
                return self.stream(property, wanted, key.text().to_owned(), now).await;
            }
        }
        match (&stored, verdict) {
            (Some(object), Some(Verdict::Fresh | Verdict::StaleAccepted)) => {
                property.metrics.cache_hits.inc();
                return Ok(Obtained::Found(Found::Stored(object.clone()), How::Hit));
            }
            (Some(object), Some(Verdict::StaleWhileRevalidate)) => {
                self.refresh(property, wanted, &key, object.clone(), rules.clone(), now);
                property.metrics.cache_hits.inc();
                return Ok(Obtained::Found(Found::Stored(object.clone()), How::Stale));
            }
            (Some(_) | None, _) => {}
        }
        // What nobody has yet and is asked for from its middle on is not worth fetching from its beginning.
        let begins_later = ranges::read(&wanted.method, wanted.client)
            .is_some_and(|asked| !matches!(asked, ranges::Asked::From { first: 0, .. }));
        if wanted.method == Method::HEAD || (begins_later && stored.is_none()) {
            return self.stream(property, wanted, key.text().to_owned(), now).await;
        }
        let spare = match verdict {
            Some(Verdict::StaleIfError { until }) if now < until => stored.clone(),
            Some(_) | None => None,
        };
        let opened = if self.objects.expects_private(&key) {
            (self.opened_alone(property, wanted, &key, stored, rules.clone(), now).await, How::Miss)
        } else {
            match self.open(property, wanted, &key, stored, rules.clone(), now) {
                Ok((reader, how)) => (reader.opened(self.wait).await, how),
                Err(crowded) => return spare_or(property, spare, crowded),
            }
        };
        match opened {
            (Ok(Opened::Growing(growing)), how) => Ok(Obtained::Found(Found::Growing(growing), how)),
            (Ok(Opened::Whole(object)), how) => Ok(Obtained::Found(Found::Stored(object), how)),
            (Ok(Opened::Private(answer)), _) => {
                if rules::is_error(answer.status())
                    && let Some(object) = spare
                {
                    return Ok(Obtained::Found(Found::Stored(object), How::Stale));
                }
                self.settle(property, wanted, key.text().to_owned(), answer, now).await
            }
            (Ok(Opened::Refused), _) => match spare {
                Some(object) => Ok(Obtained::Found(Found::Stored(object), How::Stale)),
                None => self.stream(property, wanted, key.text().to_owned(), now).await,
            },
            (Ok(Opened::Failed(error)), _) => spare_or(property, spare, error),
            (Err(WaitError::Late(wait)), _) => {
                spare_or(property, spare, EdgeError::Join(JoinError::Late(wait)))
            }
            (Err(WaitError::Lost), _) => spare_or(property, spare, EdgeError::Join(JoinError::Lost)),
        }
    }

    /// The stored answer that this request selects, and the key under which it is or would be. An origin that varies
    /// has each variant under a key of its own; all but the first carry the request's content coding.
    fn look_up(&self, property: &Property, wanted: &Wanted<'_>, key: &str) -> (Key, Option<Stored>) {
        let primary = Key::new(key);
        let Some(object) = self.objects.tiers().find(&primary) else { return (primary, None) };
        let selects = |object: &Stored| {
            object.meta().selector == Selector::default()
                || object.meta().selector.selects(&wanted.headers(property))
        };
        if selects(&object) {
            return (primary, Some(object));
        }
        let secondary = Key::new(format!("{key}\n{}", wanted.coding()));
        let object = self.objects.tiers().find(&secondary).filter(selects);
        (secondary, object)
    }

    /// Begins or joins the fetch of a key.
    fn open(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: &Key,
        stored: Option<Stored>,
        rules: Arc<Rules>,
        now: Duration,
    ) -> Result<(crate::store::fill::Reader<Meta, Private, EdgeError>, How), EdgeError> {
        let question = Question::of(property, wanted, stored, rules, now);
        let reader = self
            .objects
            .open(key, |latest| question.ask(latest))
            .map_err(|crowded| EdgeError::Join(JoinError::Crowded(crowded.0)))?;
        let how = if reader.leads() { How::Miss } else { How::Collapsed };
        match how {
            How::Miss => property.metrics.cache_misses.inc(),
            How::Collapsed | How::Hit | How::Stale => property.metrics.cache_collapsed.inc(),
        };
        Ok((reader, how))
    }

    /// Asks the origin in the request's own task: nobody else waits for the answer.
    async fn opened_alone(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: &Key,
        stored: Option<Stored>,
        rules: Arc<Rules>,
        now: Duration,
    ) -> Result<Opened<Meta, Private, EdgeError>, WaitError> {
        property.metrics.cache_misses.inc();
        let question = Question::of(property, wanted, stored, rules, now);
        self.objects.fetch_alone(key, self.wait, |latest| question.ask(latest)).await
    }

    /// Asks the origin again while the stale object is served. The reader stays until the head is there, so that the
    /// fetch is not given up for want of readers.
    fn refresh(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: &Key,
        object: Stored,
        rules: Arc<Rules>,
        now: Duration,
    ) {
        let Ok((reader, _)) = self.open(property, wanted, key, Some(object), rules, now) else { return };
        let wait = self.wait;
        tokio::spawn(async move {
            if let Ok(Opened::Growing(growing)) = reader.opened(wait).await {
                let mut body = growing.body();
                while let Some(Ok(_)) = http_body_util::BodyExt::frame(&mut body).await {}
            }
        });
    }
}

fn spare_or(property: &Property, spare: Option<Stored>, error: EdgeError) -> Result<Obtained, EdgeError> {
    let object = spare.ok_or(error)?;
    property.metrics.cache_hits.inc();
    Ok(Obtained::Found(Found::Stored(object), How::Stale))
}

fn verdict(object: &Stored, wanted: &Wanted<'_>, rules: &Rules, now: Duration) -> Verdict {
    let asked = RequestDirectives::read(wanted.client);
    if let Some(since) = object.stale_since() {
        // What was purged softly is for when the origin fails, for as long after the purge as a stale object would be.
        let mut expired = object.meta().freshness.expired(since);
        expired.stale_while_revalidate = Duration::ZERO;
        return expired.serve(now, &asked, rules);
    }
    let verdict = object.meta().freshness.serve(now, &asked, rules);
    // What was missing may be there by now: that is not said from memory once its time is over.
    if verdict == Verdict::StaleWhileRevalidate && !object.meta().status.is_success() {
        return Verdict::MustRevalidate;
    }
    verdict
}

/// The header fields with which a stored answer goes out.
pub fn sent_headers(meta: &Meta) -> HeaderMap {
    let mut headers = meta.headers.clone();
    listed::remove(&mut headers, &[SET_COOKIE, targeted::SURROGATE_CONTROL]);
    headers
}
