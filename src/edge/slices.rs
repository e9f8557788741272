//! Large objects in aligned slices: who asks for a range from the middle of one has not to wait for, nor the origin to send,
//! what is before it.
//!
//! Each slice is an object of the cache, under the key of the whole with its number behind it, so that purges of the whole
//! find it. The first that a request needs tells the length and a strong validator; the others are asked for under that
//! condition, and one of another version ends the viewer's body with an error and has all slices dropped: what a viewer
//! gets is of one version, or breaks off.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, IF_RANGE, RANGE};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body as _, Frame};

use crate::clock::Clock;
use crate::domain::cache::cache_status::{CacheStatus, Forward};
use crate::domain::cache::directives::RequestDirectives;
use crate::domain::cache::freshness::Verdict;
use crate::domain::cache::precondition::{self, Precondition};
use crate::domain::cache::ranges::{Asked, Part, Resolved};
use crate::domain::cache::validation;
use crate::domain::cache::version::Version;
use crate::store::fill::{Answer, Fetched, Opened, Source, WaitError};
use crate::store::flights::JoinError;
use crate::store::flow::FillError;
use crate::store::key::Key;
use crate::store::purge::{Depth, Purge, Scope};

use super::Edge;
use super::body::{Content, SendError};
use super::error::EdgeError;
use super::objects::{Found, Meta, Objects, Private, Stored, verdict};
use super::obtain::Obtained;
use super::property::Property;
use super::question::{Outcome, Question};
use super::reading::{is_playlist_type, starts_a_playlist};
use super::sealing;
use super::wanted::Wanted;

/// The detail of an answer that is put together of slices.
const SLICES: &str = "slices";

/// A look ahead for `Cache-Status` is no longer than this.
const LOOKED_AT_MAX: usize = 1_024;

/// Which objects are sliced.
#[derive(Clone, Copy, Debug)]
pub struct Slicing {
    pub slice_bytes: NonZeroU64,
    /// What is no larger is fetched as a whole.
    pub above_bytes: u64,
}

/// What becomes of a request for a range.
#[derive(Debug)]
pub enum Way {
    Answered(Obtained),
    /// Its object cannot be sliced: the origin answers this request alone.
    Pass,
    /// Its object is fetched as a whole.
    Whole,
}

/// An object of which some slices may be here.
#[derive(Debug)]
pub struct Sliced {
    /// What is known of the whole.
    pub meta: Meta,
    version: Version,
    first: (u64, Found),
    cutter: Arc<Cutter>,
}

/// Gets the slices of one object, for one request.
#[derive(Debug)]
struct Cutter {
    objects: Arc<Objects>,
    property: Arc<Property>,
    clock: Clock,
    wait: Duration,
    key: Key,
    slice_bytes: NonZeroU64,
    asked: RequestDirectives,
    /// What the origin is asked for each slice, but for the range.
    question: Question,
}

/// A slice, or what came instead.
enum Got {
    /// An answer for everybody: a slice, or word that there is no such object.
    Shared {
        found: Found,
        how: How,
    },
    Private(Private),
    /// The answer was for another request alone.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Hit,
    Fetched { forward: Forward, collapsed: bool },
}

/// What is asked of the origin for one slice.
struct SliceQuestion {
    question: Question,
    part: Part,
    version: Option<Version>,
}

impl Edge {
    /// Answers a range of an object that is not here as a whole from slices of it.
    pub async fn sliced(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: &Key,
        asked: Asked,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Way, EdgeError> {
        let Some(slicing) = property.slicing else { return Ok(Way::Pass) };
        let object_bytes_max = self.objects.tiers().memory().object_bytes_max();
        let is_for_one = wanted.client.contains_key(AUTHORIZATION);
        let is_sealed = sealing::whole_only(property, &wanted.place.path, wanted.client).is_some();
        if is_for_one || is_sealed || slicing.slice_bytes.get() > object_bytes_max {
            return Ok(Way::Pass);
        }
        if let Some(known) = self.known_way(key) {
            return Ok(known);
        }
        let cutter = Arc::new(Cutter::new(self, property, wanted, key, slicing.slice_bytes, now));
        let number = match asked {
            Asked::From { first, .. } => first / slicing.slice_bytes,
            // The length is not known yet, and any slice tells it.
            Asked::Suffix(_) => 0,
        };
        let (found, how) = match cutter.slice(number, None).await? {
            Got::Shared { found, how } => (found, how),
            Got::Refused => return Ok(self.known_way(key).unwrap_or(Way::Pass)),
            Got::Private(private) => return self.unsliced(property, wanted, key, private, now, report).await,
        };
        report_slice(&found, how, now, report);
        if !is_slice(found.meta()) {
            return Ok(Way::Answered(Obtained::Found(found)));
        }
        let Some(version) = cutter.version(number, &found) else { return Ok(self.passes(key)) };
        if !found.meta().selector.selects(&cutter.question.headers) {
            return Ok(self.passes(key));
        }
        if version.length <= slicing.above_bytes.min(object_bytes_max) {
            self.ways.note(whole_mark(key));
            return Ok(Way::Whole);
        }
        let mut meta = found.meta().clone();
        meta.headers.remove(CONTENT_RANGE);
        let (headers, received) = (&meta.headers, meta.freshness.received);
        let condition = precondition::evaluate(&wanted.method, wanted.client, meta.status, headers, received);
        if condition == Precondition::AskOrigin {
            return Ok(Way::Pass);
        }
        if let Resolved::Part(part) = asked.resolve(version.length)
            && how == How::Hit
            && !cutter.has_all(part)
        {
            report.is_hit = false;
            report.forward = Some(Forward::Partial);
        }
        let sliced = Sliced { meta, version, first: (number, found), cutter };
        Ok(Way::Answered(Obtained::Found(Found::Sliced(Box::new(sliced)))))
    }

    /// What an answer comes to that is no slice for everybody.
    async fn unsliced(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: &Key,
        private: Private,
        now: Duration,
        report: &mut CacheStatus<'static>,
    ) -> Result<Way, EdgeError> {
        match private.answer.status() {
            // The origin does not know ranges, or not of this object.
            StatusCode::OK => {
                self.ways.note(whole_mark(key));
                Ok(Way::Whole)
            }
            StatusCode::PARTIAL_CONTENT => Ok(self.passes(key)),
            // Of another version than the viewer has, it would be the whole.
            StatusCode::RANGE_NOT_SATISFIABLE if wanted.client.contains_key(IF_RANGE) => Ok(Way::Pass),
            _ => {
                report.detail = Some(private.why);
                let text = key.text().to_owned();
                self.settle(property, wanted, text, private.answer, now, report).await.map(Way::Answered)
            }
        }
    }

    /// What was found out about an object of late.
    fn known_way(&self, key: &Key) -> Option<Way> {
        if self.ways.has(whole_mark(key)) {
            return Some(Way::Whole);
        }
        self.ways.has(key.hash()).then_some(Way::Pass)
    }

    fn passes(&self, key: &Key) -> Way {
        self.ways.note(key.hash());
        Way::Pass
    }
}

/// Under which it is remembered that an object is fetched as a whole.
fn whole_mark(key: &Key) -> u128 {
    !key.hash()
}

impl Sliced {
    pub fn length(&self) -> u64 {
        self.version.length
    }

    /// The bytes of `part`, or all.
    pub fn body(self, part: Option<Part>) -> SlicedBody {
        let part = part.unwrap_or(Part { first: 0, last: self.version.length.saturating_sub(1) });
        SlicedBody {
            cutter: self.cutter,
            version: self.version,
            at: part.first,
            end: part.last.saturating_add(1),
            first: Some(self.first),
            current: None,
            current_end: part.first,
            next: Mutex::new(None),
        }
    }
}

impl Cutter {
    fn new(
        edge: &Edge,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        key: &Key,
        slice_bytes: NonZeroU64,
        now: Duration,
    ) -> Self {
        let rules = property.caching_rules(&wanted.place, wanted.kind).clone();
        let mut question = Question::of(property, wanted, None, rules, now);
        validation::unconditional(&mut question.headers);
        // Bytes of a coded form are of no use to a viewer who knows the places in the plain one.
        question.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Self {
            objects: edge.objects.clone(),
            property: property.clone(),
            clock: edge.clock.clone(),
            wait: edge.wait,
            key: key.clone(),
            slice_bytes,
            asked: RequestDirectives::read(wanted.client),
            question,
        }
    }

    fn part(&self, number: u64) -> Part {
        let size = self.slice_bytes.get();
        let first = number.saturating_mul(size);
        Part { first, last: first.saturating_add(size - 1) }
    }

    fn slice_key(&self, number: u64) -> Key {
        Key::new(format!("{}\nslice\n{}\n{number}", self.key.text(), self.slice_bytes))
    }

    fn version(&self, number: u64, found: &Found) -> Option<Version> {
        let meta = found.meta();
        is_slice(meta).then_some(())?;
        Version::of(&meta.headers, self.part(number), meta.freshness.received)
    }

    /// Whether all slices of a part are in memory or on disk.
    fn has_all(&self, part: Part) -> bool {
        let slices = part.slices(self.slice_bytes).take(LOOKED_AT_MAX);
        let mut keys = slices.map(|slice| self.slice_key(slice.first / self.slice_bytes));
        keys.all(|key| {
            let tiers = self.objects.tiers();
            tiers.memory().peek(&key).is_some() || tiers.disk().is_some_and(|disk| disk.has(&key))
        })
    }

    /// A slice: of this version, where one is given.
    async fn slice(&self, number: u64, version: Option<&Version>) -> Result<Got, EdgeError> {
        let key = self.slice_key(number);
        let now = self.clock.now();
        let rules = &self.question.rules;
        let is_wanted = |object: &Stored| {
            let found = Found::Stored(object.clone());
            version.is_none_or(|version| self.version(number, &found).as_ref() == Some(version))
        };
        let stored = self.objects.find(&key).await.filter(is_wanted);
        let metrics = &self.property.metrics;
        let mut spare = None;
        let mut forward = Forward::UriMiss;
        if let Some(object) = &stored {
            match verdict(object, &self.asked, rules, now) {
                Verdict::Fresh | Verdict::StaleAccepted => {
                    metrics.slices_hit.inc();
                    return Ok(Got::Shared { found: Found::Stored(object.clone()), how: How::Hit });
                }
                Verdict::StaleIfError { until } if now < until => spare = Some(object.clone()),
                Verdict::StaleWhileRevalidate | Verdict::StaleIfError { .. } | Verdict::MustRevalidate => {}
            }
            forward = object.meta().freshness.forward(now);
        }
        let fetched = self.fetch(number, &key, version, stored, forward).await;
        match (fetched, spare) {
            (Err(error), Some(object)) if !matches!(error, EdgeError::Changed) => {
                tracing::debug!(property = &*self.property.name, "a stale slice stands in: {error}");
                Ok(Got::Shared { found: Found::Stored(object), how: How::Hit })
            }
            (fetched, _) => fetched,
        }
    }

    async fn fetch(
        &self,
        number: u64,
        key: &Key,
        version: Option<&Version>,
        stored: Option<Stored>,
        forward: Forward,
    ) -> Result<Got, EdgeError> {
        let mut tries = 0;
        loop {
            let mut question = self.question.clone();
            (question.stored, question.now) = (stored.clone(), self.clock.now());
            let question = SliceQuestion { question, part: self.part(number), version: version.cloned() };
            let reader = self
                .objects
                .open(key, |latest| question.ask(latest))
                .map_err(|crowded| EdgeError::Join(JoinError::Crowded(crowded.0)))?;
            let leads = reader.leads();
            let how = How::Fetched { forward, collapsed: !leads };
            if leads {
                self.property.metrics.slices_fetched.inc();
            } else {
                self.property.metrics.slices_collapsed.inc();
            }
            let found = match reader.opened(self.wait).await {
                Ok(Opened::Growing(growing)) => Found::Growing(growing),
                Ok(Opened::Whole(object)) => Found::Stored(object),
                Ok(Opened::Private(private)) => return Ok(Got::Private(private)),
                Ok(Opened::Refused) => return Ok(Got::Refused),
                // Whom it was asked for may have had another version in hand.
                Ok(Opened::Failed(EdgeError::Changed)) if !leads && tries == 0 => {
                    tries += 1;
                    continue;
                }
                Ok(Opened::Failed(error)) => return Err(error),
                Err(WaitError::Late(wait)) => return Err(EdgeError::Join(JoinError::Late(wait))),
                Err(WaitError::Lost) => return Err(EdgeError::Join(JoinError::Lost)),
            };
            return Ok(Got::Shared { found, how });
        }
    }

    /// The bytes from `first` to before `end` of one slice of this version.
    async fn bytes(
        self: Arc<Self>,
        version: Version,
        first: u64,
        end: u64,
        here: Option<Found>,
    ) -> Result<Content, SendError> {
        let number = first / self.slice_bytes;
        let got = match here {
            Some(found) => Ok(found),
            None => self.another(number, &version).await,
        };
        let found = got.map_err(|error| {
            if matches!(error, EdgeError::Changed) {
                self.drop_all();
            }
            SendError::Slice(Box::new(error))
        })?;
        let start = self.part(number).first;
        let (from, to) = (first - start, end - start);
        Ok(match found {
            Found::Stored(object) => Content::Kept(object.range(from, to)),
            Found::Growing(growing) => Content::Arriving(growing.range(from, to)),
            Found::Sliced(_) => return Err(SendError::Slice(Box::new(EdgeError::Changed))),
        })
    }

    async fn another(&self, number: u64, version: &Version) -> Result<Found, EdgeError> {
        let found = match self.slice(number, Some(version)).await? {
            Got::Shared { found, .. } => found,
            Got::Private(private) => {
                let status = private.answer.status();
                let is_gone = matches!(status, StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE);
                return Err(if is_gone { EdgeError::Changed } else { EdgeError::NoSlice(status) });
            }
            Got::Refused => return Err(EdgeError::Changed),
        };
        if !is_slice(found.meta()) {
            return Err(EdgeError::NoSlice(found.meta().status));
        }
        let is_same = self.version(number, &found).as_ref() == Some(version);
        if is_same { Ok(found) } else { Err(EdgeError::Changed) }
    }

    /// Drops all slices of the object: what is here is of more versions than one.
    fn drop_all(&self) {
        self.property.metrics.slices_changed.inc();
        let mut parts = self.key.text().splitn(3, '\n');
        let (Some(space), Some(_), Some(name)) = (parts.next(), parts.next(), parts.next()) else { return };
        let scope = Scope::Name { space: space.into(), name: [name, "\nslice"].concat().into() };
        let objects = self.objects.clone();
        tokio::spawn(async move { objects.purge(&Purge { scope, depth: Depth::Hard }).await });
    }
}

impl SliceQuestion {
    async fn ask(mut self, latest_purge: u64) -> Outcome {
        match self.answered(latest_purge).await {
            Ok(fetched) => fetched,
            Err(error) => Fetched::Failed(error),
        }
    }

    async fn answered(&mut self, latest_purge: u64) -> Result<Outcome, EdgeError> {
        let Self { question, part, version } = self;
        if let Some(stored) = &question.stored {
            validation::make_conditional(&mut question.headers, &stored.meta().headers);
        } else if let Some(version) = version {
            version.demand(&mut question.headers);
        }
        question.headers.insert(RANGE, part.range());
        let response = question.send().await?;
        match response.status() {
            StatusCode::NOT_MODIFIED => match &question.stored {
                Some(stored) if validation::identifies(response.headers(), &stored.meta().headers) => {
                    let confirmed = question.confirmed(stored, response.headers(), latest_purge);
                    Ok(Fetched::Whole(Arc::new(confirmed)))
                }
                Some(_) | None => Err(EdgeError::UnaskedNotModified),
            },
            StatusCode::PARTIAL_CONTENT => self.judge_part(response).await,
            StatusCode::OK => Ok(private(response, "whole")),
            StatusCode::PRECONDITION_FAILED if version.is_some() => Err(EdgeError::Changed),
            _ => question.judge(response).await,
        }
    }

    async fn judge_part(&self, response: Response<Content>) -> Result<Outcome, EdgeError> {
        let (mut parts, mut content) = response.into_parts();
        let is_playlist = is_playlist_type(&parts.headers)
            || (self.part.first == 0 && starts_a_playlist(&parts.headers, &mut content).await?);
        let coding = parts.headers.get(CONTENT_ENCODING);
        let is_coded = coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let version = Version::of(&parts.headers, self.part, self.question.now);
        let why = match &version {
            _ if is_playlist => Some("playlist"),
            _ if is_coded => Some("encoded"),
            None => Some("no-strong-validator"),
            Some(_) => None,
        };
        if let (Some(asked), Some(came)) = (&self.version, &version)
            && asked != came
        {
            return Err(EdgeError::Changed);
        }
        let (Some(version), None) = (version, why) else {
            let response = Response::from_parts(parts, content);
            return Ok(private(response, why.unwrap_or("no-strong-validator")));
        };
        // A slice is kept where the whole would be, and for as long: with its status.
        let description = match self.question.describe(StatusCode::OK, &mut parts.headers) {
            Ok(description) => description,
            Err(refusal) => return Ok(private(Response::from_parts(parts, content), refusal.as_str())),
        };
        let last = self.part.last.min(version.length.saturating_sub(1));
        let length = Some(Part { first: self.part.first, last }.bytes());
        Ok(Fetched::Shared(Answer {
            description,
            length,
            body: content,
            is_kept: true,
            source: Source::Origin,
        }))
    }
}

/// What `Cache-Status` says of an answer that begins with this slice.
fn report_slice(found: &Found, how: How, now: Duration, report: &mut CacheStatus<'static>) {
    let ttl = Some(found.meta().freshness.ttl(now));
    *report = match how {
        How::Hit => CacheStatus { ttl, ..CacheStatus::hit(0) },
        How::Fetched { forward, collapsed } => {
            let stored = match found {
                Found::Growing(growing) => growing.is_kept(),
                Found::Stored(_) | Found::Sliced(_) => true,
            };
            CacheStatus { ttl, stored, collapsed, ..CacheStatus::forwarded(forward) }
        }
    };
    report.detail = Some(SLICES);
}

/// Whether a stored answer is a slice: it has the status of the whole, by which rules go, and says which bytes it is.
fn is_slice(meta: &Meta) -> bool {
    meta.status == StatusCode::OK && meta.headers.contains_key(CONTENT_RANGE)
}

fn private(answer: Response<Content>, why: &'static str) -> Outcome {
    Fetched::Private(Private { answer, why })
}

type Opening = Pin<Box<dyn Future<Output = Result<Content, SendError>> + Send>>;

/// The bytes of some slices, one after the other.
pub struct SlicedBody {
    cutter: Arc<Cutter>,
    version: Version,
    at: u64,
    end: u64,
    /// The slice with which the request began.
    first: Option<(u64, Found)>,
    current: Option<Box<Content>>,
    current_end: u64,
    next: Mutex<Option<Opening>>,
}

impl SlicedBody {
    pub fn left(&self) -> u64 {
        self.end - self.at
    }

    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        loop {
            if let Some(current) = &mut self.current {
                match ready!(Pin::new(&mut **current).poll_frame(context)) {
                    Some(Ok(frame)) => {
                        self.at += frame.data_ref().map_or(0, |data| data.len() as u64);
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None if self.at != self.current_end => {
                        let short = FillError::Short { came: self.at, declared: self.current_end };
                        return Poll::Ready(Some(Err(SendError::Fill(short))));
                    }
                    None => self.current = None,
                }
            }
            if self.at >= self.end {
                return Poll::Ready(None);
            }
            match ready!(self.poll_next(context)) {
                Ok(opened) => self.current = Some(Box::new(opened)),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Content, SendError>> {
        let next = self.next.get_mut().unwrap_or_else(PoisonError::into_inner);
        let opening = next.get_or_insert_with(|| {
            let number = self.at / self.cutter.slice_bytes;
            let slice = self.cutter.part(number);
            self.current_end = self.end.min(slice.last.saturating_add(1));
            let here = self.first.take().filter(|(first, _)| *first == number).map(|(_, found)| found);
            let (cutter, version) = (self.cutter.clone(), self.version.clone());
            Box::pin(cutter.bytes(version, self.at, self.current_end, here))
        });
        let opened = ready!(opening.as_mut().poll(context));
        *next = None;
        Poll::Ready(opened)
    }
}

impl fmt::Debug for SlicedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlicedBody")
            .field("key", &self.cutter.key)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
