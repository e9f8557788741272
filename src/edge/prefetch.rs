//! The next segments of a rendition, fetched into the cache before a viewer asks for them.
//!
//! Each media playlist that is compiled leaves the order of its segments here, bounded by their number. A viewer's request for
//! one of them has the next few fetched, as the newest playlist lists them, by ordinary fetches that viewers join. None of
//! these carries anything of the viewer but what rules say of the place: they bring nothing that a fetch for everybody would
//! not. What is over the budget is left out, never queued.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, Uri};
use http_body_util::BodyExt;

use crate::domain::manifest::base::Base;
use crate::store::fill::{Growing, Opened, Reader};
use crate::store::key::Key;
use crate::telemetry::metrics::{Kind, PropertyMetrics};

use super::Edge;
use super::error::EdgeError;
use super::noting::kind_by_name;
use super::objects::{Meta, Private};
use super::property::Property;
use super::question::Question;
use super::sealing;
use super::target::{Target, join, origin_query};
use super::wanted::{Place, Wanted};

/// What is fetched ahead, and what it may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Segments behind the one that was asked for.
    pub segments: usize,
    /// Fetches at the same time.
    pub parallel: usize,
    /// Bytes of all that are under way.
    pub bytes_max: u64,
    /// Segments of which the order is remembered.
    pub remembered_max: usize,
}

/// The prefetching of one property.
#[derive(Debug)]
pub struct Prefetch {
    budget: Budget,
    orders: Mutex<Orders>,
    running: AtomicUsize,
    bytes: AtomicU64,
}

/// The segments of playlists, in their order.
#[derive(Debug, Default)]
struct Orders {
    lists: HashMap<u128, List>,
    /// The list in which a segment stands.
    of: HashMap<u128, u128>,
    /// Lists by when they were learned, the oldest first; one that was learned anew stands there twice.
    ages: VecDeque<(u128, u64)>,
    segments: usize,
    learned: u64,
}

#[derive(Debug)]
struct List {
    learned: u64,
    segments: Arc<[Segment]>,
}

/// A segment's path and query, as its playlist has them, less tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    mark: u128,
    path: Box<str>,
    query: Box<str>,
}

impl Prefetch {
    pub fn new(budget: Budget) -> Arc<Self> {
        let (running, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { budget, orders: Mutex::default(), running, bytes })
    }

    /// Remembers the order of a media playlist's segments.
    pub fn learn(&self, property: &Property, place: &Place, base: &Base, source: &[u8]) {
        let mut segments: Vec<Segment> = Vec::new();
        let lines = source.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        for line in lines.filter(|line| !line.is_empty() && line[0] != b'#') {
            let segment =
                std::str::from_utf8(line).ok().and_then(|line| segment(property, place, base, line));
            // Byte ranges of one file stand there many times.
            let Some(segment) = segment.filter(|segment| segments.last() != Some(segment)) else { continue };
            segments.push(segment);
            if segments.len() >= self.budget.remembered_max {
                break;
            }
        }
        // However it was asked for: a blocking reload brings the same list, and a newer one.
        let list = Key::new([&*place.site, "\n", &place.path].concat()).hash();
        self.orders().learn(list, segments.into(), self.budget.remembered_max);
    }

    /// The segments behind this one, of which `plain_query` is the query without tokens.
    fn next_of(&self, property: &Property, place: &Place, plain_query: &str) -> Vec<Segment> {
        self.orders().next_of(mark(property, &place.site, &place.path, plain_query), self.budget.segments)
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave for one fetch more.
    fn begin(self: &Arc<Self>) -> Option<Running> {
        let has_room = |running: usize| (running < self.budget.parallel).then_some(running + 1);
        self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).ok()?;
        let running = Running { of: self.clone(), bytes: 0 };
        (self.bytes.load(Ordering::Relaxed) < self.budget.bytes_max).then_some(running)
    }
}

impl Orders {
    fn learn(&mut self, list: u128, segments: Arc<[Segment]>, segments_max: usize) {
        if self.lists.get(&list).is_some_and(|known| known.segments == segments) {
            return;
        }
        self.forget(list);
        self.learned += 1;
        self.segments += segments.len();
        self.of.extend(segments.iter().map(|segment| (segment.mark, list)));
        self.lists.insert(list, List { learned: self.learned, segments });
        self.ages.push_back((list, self.learned));
        while self.segments > segments_max || self.ages.len() > self.lists.len() * 2 + 16 {
            let Some((oldest, learned)) = self.ages.pop_front() else { break };
            if self.lists.get(&oldest).is_some_and(|list| list.learned == learned) {
                if self.segments > segments_max {
                    self.forget(oldest);
                } else {
                    self.ages.push_back((oldest, learned));
                }
            }
        }
    }

    fn forget(&mut self, list: u128) {
        let Some(known) = self.lists.remove(&list) else { return };
        self.segments -= known.segments.len();
        for segment in known.segments.iter() {
            if self.of.get(&segment.mark) == Some(&list) {
                self.of.remove(&segment.mark);
            }
        }
    }

    /// Up to `count` segments behind this one in its list.
    fn next_of(&self, mark: u128, count: usize) -> Vec<Segment> {
        let Some(list) = self.of.get(&mark).and_then(|list| self.lists.get(list)) else { return Vec::new() };
        let behind = list.segments.iter().skip_while(|segment| segment.mark != mark).skip(1);
        behind.take(count).cloned().collect()
    }
}

/// A fetch under way, and its part of the budget.
#[derive(Debug)]
struct Running {
    of: Arc<Prefetch>,
    bytes: u64,
}

impl Running {
    /// Takes so many bytes more, if they are to be had.
    fn take(&mut self, bytes: u64) -> bool {
        let before = self.of.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before.saturating_add(bytes) <= self.of.budget.bytes_max
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.of.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Edge {
    /// Has the segments behind this one fetched, where the property wants that. It waits for nothing.
    pub fn prefetch(&self, property: &Arc<Property>, wanted: &Wanted<'_>, plain_query: &str, now: Duration) {
        let Some(prefetch) = &property.prefetch else { return };
        let is_for_all = wanted.is_shareable(property) && !wanted.client.contains_key(AUTHORIZATION);
        if wanted.kind != Kind::Segment || wanted.method != Method::GET || !is_for_all {
            return;
        }
        // The coding that this viewer's next request would have, and no other field of theirs.
        let mut client = HeaderMap::new();
        client.insert(ACCEPT_ENCODING, HeaderValue::from_static(wanted.coding()));
        for segment in prefetch.next_of(property, &wanted.place, plain_query) {
            let beside = wanted.beside(property, segment.path.into(), &segment.query);
            let whole_only = sealing::whole_only(property, &beside.place.path, &client);
            let client = whole_only.as_ref().unwrap_or(&client);
            let next = Wanted { kind: kind_by_name(&beside.place.path), client, ..beside };
            if next.kind != Kind::Segment || !next.is_shareable(property) {
                continue;
            }
            let key = Key::new(next.place.key(property));
            if self.objects.is_here_or_coming(&key) || self.objects.expects_private(&key) {
                continue;
            }
            let Some(running) = prefetch.begin() else {
                property.metrics.prefetch_left_out.inc();
                return;
            };
            let rules = property.caching_rules(&next.place, next.kind).clone();
            let question = Question::of(property, &next, None, rules, now);
            let Ok(reader) = self.objects.open(&key, |latest| question.ask(latest)) else { continue };
            if reader.leads() {
                property.metrics.prefetch_begun.inc();
                tokio::spawn(fetch(reader, self.wait, running, property.metrics.clone()));
            }
        }
    }
}

async fn fetch(
    reader: Reader<Meta, Private, EdgeError>,
    wait: Duration,
    running: Running,
    metrics: Arc<PropertyMetrics>,
) {
    match reader.opened(wait).await {
        Ok(Opened::Growing(growing)) if growing.is_kept() && growing.meta().status.is_success() => {
            read(growing, running, &metrics).await;
        }
        Ok(
            Opened::Growing(_) | Opened::Whole(_) | Opened::Private(_) | Opened::Refused | Opened::Failed(_),
        )
        | Err(_) => {
            metrics.prefetch_failed.inc();
        }
    }
}

/// Reads an arriving segment to its end, as far as the budget goes. To leave ends the fetch, unless a viewer has joined it.
async fn read(growing: Growing<Meta>, mut running: Running, metrics: &PropertyMetrics) {
    let declared = growing.length();
    if declared.is_some_and(|length| !running.take(length)) {
        metrics.prefetch_left_out.inc();
        return;
    }
    let mut body = growing.body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map(|frame| frame.into_data().unwrap_or_default()) else {
            metrics.prefetch_failed.inc();
            return;
        };
        metrics.prefetch_bytes.inc_by(data.len() as u64);
        if declared.is_none() && !running.take(data.len() as u64) {
            metrics.prefetch_left_out.inc();
            return;
        }
    }
    metrics.prefetch_arrived.inc();
}

/// A reference of a playlist as a request for it is read, where it is on the playlist's own site.
fn segment(property: &Property, place: &Place, base: &Base, line: &str) -> Option<Segment> {
    if line.contains("{$") {
        return None;
    }
    let url = base.url().join(line).ok().filter(|url| url.origin() == base.url().origin())?;
    let uri: Uri = join(url.path(), url.query().unwrap_or_default()).parse().ok()?;
    let target = Target::read(&uri, property).ok()?;
    let mark = mark(property, &place.site, &target.path, &target.plain_query);
    Some(Segment { mark, path: target.path.into(), query: target.plain_query.into() })
}

/// By what a segment is known again: what the property does not key by does not count.
fn mark(property: &Property, site: &str, path: &str, plain_query: &str) -> u128 {
    let query = origin_query(plain_query, &property.query);
    Key::new([site, "\n", &join(path, &query)].concat()).hash()
}
