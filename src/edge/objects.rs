//! Everything that is no playlist, from the cache: fresh from memory, joined while it arrives, confirmed by the origin, or
//! stale where that is allowed.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::domain::cache::cache_status::{CacheStatus, Forward, SERVED_STALE};
use crate::domain::cache::directives::RequestDirectives;
use crate::domain::cache::freshness::{Freshness, Verdict};
use crate::domain::cache::precondition::{self, Precondition};
use crate::domain::cache::rules::{self, Rules};
use crate::domain::cache::validation::{self, HeadEffect};
use crate::domain::cache::vary::Selector;
use crate::domain::cache::{ranges, targeted};
use crate::domain::headers::listed;
use crate::store::fill::{Growing, Opened, Reader, Source, WaitError};
use crate::store::fills::Fills;
use crate::store::flights::JoinError;
use crate::store::key::Key;
use crate::store::object::Object;

use super::Edge;
use super::body::Content;
use super::error::EdgeError;
use super::obtain::Obtained;
use super::property::Property;
use super::question::Question;
use super::slices::{Sliced, Way};
use super::wanted::Wanted;

/// What is known of a stored answer beside its bytes.
#[derive(Clone, Debug)]
pub struct Meta {
    pub status: StatusCode,
    /// The origin's header fields, end to end only, in memory of their own.
    pub headers: HeaderMap,
    pub freshness: Freshness,
    pub selector: Selector,
    /// Stands in the keys of what hangs on this answer: the other variants of its URL. With it they come and go.
    pub family: u64,
}

/// A stored answer.
pub type Stored = Arc<Object<Meta>>;

/// An answer for one request alone, and why nobody else gets it.
#[derive(Debug)]
pub struct Private {
    pub answer: Response<Content>,
    pub why: &'static str,
}

/// The fetches under way, and what they keep.
pub type Objects = Fills<Meta, Private, EdgeError>;

/// An object as it can be sent.
#[derive(Debug)]
pub enum Found {
    Stored(Stored),
    Growing(Growing<Meta>),
    /// Slice by slice.
    Sliced(Box<Sliced>),
}

/// What a look into the store came to.
struct Looked {
    /// The key under which the answer is or would be.
    key: Key,
    stored: Option<Stored>,
    /// Why the request goes forward when nothing is stored.
    miss: Forward,
}

impl Found {
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Stored(object) => object.meta(),
            Self::Growing(growing) => growing.meta(),
            Self::Sliced(sliced) => &sliced.meta,
        }
    }

    /// Its length, where that is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Stored(object) => Some(object.len()),
            Self::Growing(growing) => growing.length(),
            Self::Sliced(sliced) => Some(sliced.length()),
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
        report: &mut CacheStatus<'static>,
    ) -> Result<Obtained, EdgeError> {
        let rules = property.caching_rules(&wanted.place, wanted.kind);
        let Looked { key, stored, miss } = self.look_up(property, wanted, key).await;
        let verdict = {
            let asked = RequestDirectives::read(wanted.client);
            stored.as_ref().map(|object| verdict(object, &asked, rules, now))
        };
        let ttl = |object: &Stored| Some(object.meta().freshness.ttl(now));
        *report = CacheStatus::forwarded(match &stored {
            Some(object) if object.is_marked_stale() => Forward::Stale,
            Some(object) => object.meta().freshness.forward(now),
            None => miss,
        });
        if let Some(object) = &stored {
            if must_ask(object, wanted) {
                report.forward = Some(Forward::Request);
                let text = key.text().to_owned();
                return Box::pin(self.stream(property, wanted, text, now, report)).await;
            }
            match verdict {
                Some(Verdict::Fresh | Verdict::StaleAccepted) => {
                    *report = CacheStatus { ttl: ttl(object), ..CacheStatus::hit(0) };
                    return Ok(Obtained::Found(Found::Stored(object.clone())));
                }
                Some(Verdict::StaleWhileRevalidate) => {
                    self.refresh(property, wanted, &key, object.clone(), rules.clone(), now);
                    *report = CacheStatus { ttl: ttl(object), ..CacheStatus::hit(0) };
                    return Ok(Obtained::Found(Found::Stored(object.clone())));
                }
                Some(Verdict::StaleIfError { .. } | Verdict::MustRevalidate) | None => {}
            }
        }
        if rules.forbids_forwarding(&RequestDirectives::read(wanted.client)) {
            return Err(EdgeError::NotStored);
        }
        if wanted.method == Method::HEAD {
            return Box::pin(self.head(property, wanted, &key, stored, rules, now, report)).await;
        }
        // What nobody has yet and is asked for from its middle on is not worth fetching from its beginning.
        let begins_later = ranges::read(&wanted.method, wanted.client)
            .filter(|asked| !matches!(asked, ranges::Asked::From { first: 0, .. }));
        if let Some(asked) = begins_later.filter(|_| stored.is_none()) {
            let before = *report;
            let way = match miss {
                Forward::VaryMiss => Way::Pass,
                _ => Box::pin(self.sliced(property, wanted, &key, asked, now, report)).await?,
            };
            match way {
                Way::Answered(obtained) => return Ok(obtained),
                Way::Pass => {
                    *report = before;
                    let text = key.text().to_owned();
                    return Box::pin(self.stream(property, wanted, text, now, report)).await;
                }
                Way::Whole => *report = before,
            }
        }
        let spare = match verdict {
            Some(Verdict::StaleIfError { until }) if now < until => stored.clone(),
            Some(_) | None => None,
        };
        let fetched = Box::pin(self.fetch_object(property, wanted, key, stored, now, report)).await;
        let status = match &fetched {
            Ok(Obtained::Stream(answer)) => Some(answer.status()),
            Ok(Obtained::Found(found)) => Some(found.meta().status),
            Ok(Obtained::Shared(_)) | Err(_) => None,
        };
        let failed = fetched.is_err() || status.is_some_and(rules::is_error);
        match spare {
            Some(object) if failed => {
                report.forward_status = status;
                (report.ttl, report.detail) = (ttl(&object), Some(SERVED_STALE));
                Ok(Obtained::Found(Found::Stored(object)))
            }
            Some(_) | None => fetched,
        }
    }

    /// Begins or joins the fetch of an object, and waits for its head.
    async fn fetch_object(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        mut key: Key,
        mut stored: Option<Stored>,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Obtained, EdgeError> {
        let rules = property.caching_rules(&wanted.place, wanted.kind);
        // A second round, where the first one's answer turns out to be another variant of the URL.
        for _ in 0..2 {
            let had_stored = stored.is_some();
            let opened = if self.objects.expects_private(&key) && !wanted.client.contains_key(AUTHORIZATION) {
                report.collapsed = false;
                self.opened_alone(property, wanted, &key, stored.take(), rules.clone(), now).await
            } else {
                let reader = self.open(property, wanted, &key, stored.take(), rules.clone(), now)?;
                report.collapsed = !reader.leads();
                reader.opened(self.wait).await
            };
            let found = match opened {
                Ok(Opened::Growing(growing)) => Found::Growing(growing),
                Ok(Opened::Whole(object)) => Found::Stored(object),
                Ok(Opened::Private(private)) => {
                    report.detail = Some(private.why);
                    let text = key.text().to_owned();
                    return self.settle(property, wanted, text, private.answer, now, report).await;
                }
                Ok(Opened::Refused) => {
                    report.collapsed = false;
                    return self.stream(property, wanted, key.text().to_owned(), now, report).await;
                }
                Ok(Opened::Failed(error)) => return Err(error),
                Err(WaitError::Late(wait)) => return Err(EdgeError::Join(JoinError::Late(wait))),
                Err(WaitError::Lost) => return Err(EdgeError::Join(JoinError::Lost)),
            };
            let meta = found.meta();
            let headers = (meta.selector != Selector::default()).then(|| wanted.headers(property));
            if headers.as_ref().is_some_and(|headers| !meta.selector.selects(headers)) {
                report.forward = Some(Forward::VaryMiss);
                key = variant_key(&key, meta, &wanted.headers(property));
                continue;
            }
            report.ttl = Some(meta.freshness.ttl(now));
            report.stored = match &found {
                Found::Growing(growing) => growing.is_kept(),
                Found::Stored(_) | Found::Sliced(_) => true,
            };
            if matches!(found, Found::Stored(_)) && had_stored {
                report.forward_status = Some(StatusCode::NOT_MODIFIED);
            }
            return Ok(Obtained::Found(found));
        }
        self.stream(property, wanted, key.text().to_owned(), now, report).await
    }

    /// The stored answer that this request selects. An origin that varies has its first variant under the key of the URL,
    /// and the others under keys that name what they were selected by.
    async fn look_up(&self, property: &Property, wanted: &Wanted<'_>, key: &str) -> Looked {
        let primary = Key::new(key);
        let Some(object) = self.objects.find(&primary).await else {
            return Looked { key: primary, stored: None, miss: Forward::UriMiss };
        };
        let selector = &object.meta().selector;
        if *selector == Selector::default() {
            return Looked { key: primary, stored: Some(object), miss: Forward::UriMiss };
        }
        let headers = wanted.headers(property);
        if selector.selects(&headers) {
            return Looked { key: primary, stored: Some(object), miss: Forward::UriMiss };
        }
        let key = variant_key(&primary, object.meta(), &headers);
        let stored = self.objects.find(&key).await.filter(|other| other.meta().selector.selects(&headers));
        if let Some((other, since)) = stored.as_ref().zip(object.stale_since()) {
            other.mark_stale(since);
        }
        Looked { key, stored, miss: Forward::VaryMiss }
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
    ) -> Result<Reader<Meta, Private, EdgeError>, EdgeError> {
        let question = Question::of(property, wanted, stored, rules, now);
        // RFC 9111 §3.5: what a request with `Authorization` brings is for its sender, unless the answer says otherwise.
        if wanted.client.contains_key(AUTHORIZATION) {
            return Ok(self.objects.open_apart(key, |latest| question.ask(latest)));
        }
        self.objects
            .open(key, |latest| question.ask(latest))
            .map_err(|crowded| EdgeError::Join(JoinError::Crowded(crowded.0)))
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
        let Ok(reader) = self.open(property, wanted, key, Some(object), rules, now) else { return };
        let wait = self.wait;
        tokio::spawn(async move {
            if let Ok(Opened::Growing(growing)) = reader.opened(wait).await {
                let mut body = growing.body();
                while let Some(Ok(_)) = http_body_util::BodyExt::frame(&mut body).await {}
            }
        });
    }

    /// A HEAD that the store cannot answer goes to the origin, and what comes back tells of the stored answer to GET.
    #[expect(clippy::too_many_arguments, reason = "the steps of one look-up, handed on")]
    async fn head(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: &Key,
        stored: Option<Stored>,
        rules: &Arc<Rules>,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Obtained, EdgeError> {
        let latest = self.objects.tiers().purges().latest();
        let obtained = self.stream(property, wanted, key.text().to_owned(), now, report).await?;
        if let (Some(object), Obtained::Stream(answer)) = (stored, &obtained)
            && answer.status() == StatusCode::OK
            && object.meta().status == StatusCode::OK
        {
            let mut described = object.meta().headers.clone();
            described.insert(CONTENT_LENGTH, HeaderValue::from(object.len()));
            match validation::head_effect(&described, answer.headers()) {
                HeadEffect::Update => {
                    let question = Question::of(property, wanted, Some(object.clone()), rules.clone(), now);
                    let confirmed = question.confirmed(&object, answer.headers(), latest);
                    self.objects.tiers().keep(&Arc::new(confirmed), Source::Origin, 1);
                    report.stored = true;
                }
                HeadEffect::Stale => object.mark_stale(now),
            }
        }
        Ok(obtained)
    }
}

/// Whether a viewer's condition is about the origin's present state, and the stored answer does not meet it.
fn must_ask(object: &Stored, wanted: &Wanted<'_>) -> bool {
    let meta = object.meta();
    let (headers, received) = (&meta.headers, meta.freshness.received);
    precondition::evaluate(&wanted.method, wanted.client, meta.status, headers, received)
        == Precondition::AskOrigin
}

/// The key of the variant that `headers` select, where the answer under the URL's own key is another one.
fn variant_key(primary: &Key, first: &Meta, headers: &HeaderMap) -> Key {
    let selection = first.selector.of_another(headers).secondary_key();
    Key::new(format!("{}\n{:x}\n{}", primary.text(), first.family, String::from_utf8_lossy(&selection)))
}

/// Whether a stored answer may be served to a request with these directives.
pub fn verdict(object: &Stored, asked: &RequestDirectives, rules: &Rules, now: Duration) -> Verdict {
    if let Some(since) = object.stale_since() {
        // What was purged softly is for when the origin fails, for as long after the purge as a stale object would be.
        let mut expired = object.meta().freshness.expired(since);
        expired.stale_while_revalidate = Duration::ZERO;
        return expired.serve(now, asked, rules);
    }
    let verdict = object.meta().freshness.serve(now, asked, rules);
    // What was missing may be there by now: that is not said from memory once its time is over.
    if verdict == Verdict::StaleWhileRevalidate && !object.meta().status.is_success() {
        return Verdict::MustRevalidate;
    }
    verdict
}

/// The header fields with which a stored answer goes out.
pub fn sent_headers(meta: &Meta) -> HeaderMap {
    let mut headers = meta.headers.clone();
    listed::remove(&mut headers, &[targeted::SURROGATE_CONTROL]);
    headers
}
