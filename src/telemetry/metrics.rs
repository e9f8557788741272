//! Counters for Prometheus. Every label set is resolved at start, so that counting is one atomic addition.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use crate::domain::token::reason::Reason;

use super::histogram::{Exported, Histograms, Snapshot};
use super::times::{PropertyTimes, Times};
use super::top::Top;
use super::traces::Tracer;

/// What a request turned out to be: the `kind` of metrics and logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    Multivariant,
    MediaPlaylist,
    Segment,
    Key,
    Json,
    Preflight,
    #[default]
    Other,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Multivariant,
        Self::MediaPlaylist,
        Self::Segment,
        Self::Key,
        Self::Json,
        Self::Preflight,
        Self::Other,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Multivariant => "multivariant",
            Self::MediaPlaylist => "media_playlist",
            Self::Segment => "segment",
            Self::Key => "key",
            Self::Json => "json",
            Self::Preflight => "preflight",
            Self::Other => "other",
        }
    }
}

/// Classes of results, as the `result` label has them.
const RESULTS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Names and values.
pub type Labels = Vec<(&'static str, String)>;

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    times: Arc<Times>,
    top: Arc<Top>,
    traces: Arc<OnceLock<Tracer>>,
}

#[derive(Clone, Debug, Default)]
struct Families {
    requests: Family<Labels, Counter>,
    denials: Family<Labels, Counter>,
    unverified: Family<Labels, Counter>,
    bytes: Family<Labels, Counter>,
    playlists: Family<Labels, Counter>,
    playlists_refused: Family<Labels, Counter>,
    references_left: Family<Labels, Counter>,
    sessions: Family<Labels, Counter>,
    verifications: Family<Labels, Counter>,
    verified_last: Family<Labels, Gauge>,
    origin_errors: Family<Labels, Counter>,
    cache: Family<Labels, Counter>,
    admin: Family<Labels, Counter>,
    rules: Family<Labels, Counter>,
    cache_invalidated: Family<Labels, Counter>,
    slices: Family<Labels, Counter>,
    prefetches: Family<Labels, Counter>,
    prefetch_bytes: Family<Labels, Counter>,
    request_bodies_refused: Family<Labels, Counter>,
    fleet_away: Family<Labels, Counter>,
}

/// The counters of one property.
#[derive(Debug)]
pub struct PropertyMetrics {
    pub times: Arc<PropertyTimes>,
    pub top: Arc<Top>,
    /// Where spans go; empty where they go nowhere.
    pub traces: Arc<OnceLock<Tracer>>,
    requests: Vec<Counter>,
    denials: Vec<Counter>,
    unverified: Vec<Counter>,
    pub body_bytes: Counter,
    pub playlists_personalised: Counter,
    pub playlists_refused: Counter,
    pub references_foreign: Counter,
    pub references_unparsable: Counter,
    pub references_unknown_variable: Counter,
    pub sessions_minted: Counter,
    pub sessions_renewed: Counter,
    keys: KeyUses,
    pub origin_unreachable: Counter,
    pub origin_timeout: Counter,
    pub origin_busy: Counter,
    pub origin_invalid: Counter,
    pub cache_hits: Counter,
    pub cache_misses: Counter,
    pub cache_collapsed: Counter,
    pub cache_stale: Counter,
    pub cache_passed: Counter,
    pub cache_invalidated: Counter,
    pub slices_hit: Counter,
    pub slices_fetched: Counter,
    pub slices_collapsed: Counter,
    pub slices_changed: Counter,
    pub prefetch_begun: Counter,
    pub prefetch_arrived: Counter,
    pub prefetch_left_out: Counter,
    pub prefetch_failed: Counter,
    pub prefetch_bytes: Counter,
    pub request_bodies_refused: Counter,
    pub fleet_away: Counter,
}

/// The counters of one rule.
#[derive(Debug)]
pub struct RuleMetrics {
    /// Requests that it held for.
    pub held: Counter,
}

/// Numbers that somebody else keeps, each with its labels.
pub type Readings = Box<dyn Fn() -> Vec<(Labels, u64)> + Send + Sync>;

/// A number that somebody else counts, read when the metrics are read.
pub type Reading = Box<dyn Fn() -> u64 + Send + Sync>;

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sluicegate");
        let families = Families::default();
        let own = &families;
        registry.register(
            "requests",
            "Requests answered, by what they were for and how they ended",
            own.requests.clone(),
        );
        registry.register("denials", "Requests refused, by reason", own.denials.clone());
        registry.register(
            "unverified",
            "Requests let through by verify-only, by the reason against them",
            own.unverified.clone(),
        );
        registry.register_with_unit(
            "body",
            "Bytes of bodies sent to viewers",
            Unit::Bytes,
            own.bytes.clone(),
        );
        registry.register(
            "playlists_personalised",
            "Playlists answered with a session's token in them",
            own.playlists.clone(),
        );
        registry.register(
            "playlists_refused",
            "Playlists of the origin that were over a limit",
            own.playlists_refused.clone(),
        );
        registry.register(
            "references_left",
            "References in playlists that got no token, by cause",
            own.references_left.clone(),
        );
        registry.register("sessions", "Session tokens made, by how", own.sessions.clone());
        registry.register("verifications", "Tokens verified, by the key that did", own.verifications.clone());
        registry.register_with_unit(
            "key_last_verified",
            "Unix time at which a key last verified a token; 0 for never",
            Unit::Seconds,
            own.verified_last.clone(),
        );
        registry.register(
            "origin_errors",
            "Requests to the origin that failed, by cause",
            own.origin_errors.clone(),
        );
        registry.register("rules", "Requests that a rule held for", own.rules.clone());
        registry.register("cache", "Answers by what the cache had for them", own.cache.clone());
        registry.register(
            "cache_invalidated",
            "URLs whose stored answers a change at the origin made invalid",
            own.cache_invalidated.clone(),
        );
        registry.register(
            "slices",
            "Slices of large objects, by how they were had; changed: bodies that ended since the object did",
            own.slices.clone(),
        );
        registry.register(
            "prefetches",
            "Segments fetched ahead of viewers: begun; of these arrived and failed; left out for want of budget, before or after the head came",
            own.prefetches.clone(),
        );
        registry.register(
            "prefetch_bytes",
            "Bytes of segments fetched ahead of viewers",
            own.prefetch_bytes.clone(),
        );
        registry.register(
            "request_bodies_refused",
            "Requests refused for a body over the limit",
            own.request_bodies_refused.clone(),
        );
        registry.register(
            "fleet_refusals",
            "Requests refused since the fleet is away and the property fails closed",
            own.fleet_away.clone(),
        );
        registry.register(
            "admin_requests",
            "Requests to the operators' listener, by area and how they ended",
            own.admin.clone(),
        );
        let times = Arc::<Times>::default();
        export_times(&mut registry, &times);
        let top = Arc::<Top>::default();
        let skipped = top.clone();
        registry.register_collector(Box::new(Foreign {
            name: "top_objects_skipped".to_owned(),
            help: "Requests not counted for the top objects, two having come at once".to_owned(),
            reading: Box::new(move || skipped.skipped()),
            is_gauge: false,
        }));
        Self { registry, families, times, top, traces: Arc::default() }
    }

    /// Has the spans of all properties go there, from now on.
    pub fn trace_to(&self, tracer: Tracer) {
        // It is called once, when the parts are joined.
        let _ = self.traces.set(tracer);
    }

    /// The counters of a property, made once when it is configured.
    pub fn property(&self, name: &str) -> PropertyMetrics {
        let of = |family: &Family<Labels, Counter>, labels: &[(&'static str, &str)]| {
            let mut set: Labels = vec![("property", name.to_owned())];
            set.extend(labels.iter().map(|&(label, value)| (label, value.to_owned())));
            family.get_or_create_owned(&set)
        };
        let own = &self.families;
        let by_reason = |family: &Family<Labels, Counter>| -> Vec<Counter> {
            Reason::ALL.iter().map(|reason| of(family, &[("reason", reason.as_str())])).collect()
        };
        PropertyMetrics {
            times: self.times.property(name),
            top: self.top.clone(),
            traces: self.traces.clone(),
            requests: Kind::ALL
                .iter()
                .flat_map(|kind| RESULTS.iter().map(|result| (kind.as_str(), *result)))
                .map(|(kind, result)| of(&own.requests, &[("kind", kind), ("result", result)]))
                .collect(),
            denials: by_reason(&own.denials),
            unverified: by_reason(&own.unverified),
            body_bytes: of(&own.bytes, &[]),
            playlists_personalised: of(&own.playlists, &[]),
            playlists_refused: of(&own.playlists_refused, &[]),
            references_foreign: of(&own.references_left, &[("cause", "foreign")]),
            references_unparsable: of(&own.references_left, &[("cause", "unparsable")]),
            references_unknown_variable: of(&own.references_left, &[("cause", "unknown_variable")]),
            sessions_minted: of(&own.sessions, &[("how", "minted")]),
            sessions_renewed: of(&own.sessions, &[("how", "renewed")]),
            keys: KeyUses {
                property: name.to_owned(),
                families: self.families.clone(),
                uses: ArcSwap::default(),
            },
            origin_unreachable: of(&own.origin_errors, &[("cause", "unreachable")]),
            origin_timeout: of(&own.origin_errors, &[("cause", "timeout")]),
            origin_busy: of(&own.origin_errors, &[("cause", "busy")]),
            origin_invalid: of(&own.origin_errors, &[("cause", "invalid")]),
            cache_hits: of(&own.cache, &[("result", "hit")]),
            cache_misses: of(&own.cache, &[("result", "miss")]),
            cache_collapsed: of(&own.cache, &[("result", "collapsed")]),
            cache_stale: of(&own.cache, &[("result", "stale")]),
            cache_passed: of(&own.cache, &[("result", "pass")]),
            cache_invalidated: of(&own.cache_invalidated, &[]),
            slices_hit: of(&own.slices, &[("result", "hit")]),
            slices_fetched: of(&own.slices, &[("result", "fetched")]),
            slices_collapsed: of(&own.slices, &[("result", "collapsed")]),
            slices_changed: of(&own.slices, &[("result", "changed")]),
            prefetch_begun: of(&own.prefetches, &[("result", "begun")]),
            prefetch_arrived: of(&own.prefetches, &[("result", "arrived")]),
            prefetch_left_out: of(&own.prefetches, &[("result", "left_out")]),
            prefetch_failed: of(&own.prefetches, &[("result", "failed")]),
            prefetch_bytes: of(&own.prefetch_bytes, &[]),
            request_bodies_refused: of(&own.request_bodies_refused, &[]),
            fleet_away: of(&own.fleet_away, &[]),
        }
    }

    /// Counts a request to the operators' listener; `area` is one of few.
    pub fn count_admin(&self, area: &'static str, status: u16) {
        let result = RESULTS[usize::from(status / 100).clamp(1, RESULTS.len()) - 1];
        let labels = vec![("area", area.to_owned()), ("result", result.to_owned())];
        self.families.admin.get_or_create(&labels).inc();
    }

    /// The objects that are asked for most.
    pub fn top(&self) -> &Top {
        &self.top
    }

    /// The counters of a rule, made once when it is configured.
    pub fn rule(&self, property: &str, rule: &str) -> RuleMetrics {
        let labels = vec![("property", property.to_owned()), ("rule", rule.to_owned())];
        RuleMetrics { held: self.families.rules.get_or_create_owned(&labels) }
    }

    /// Exports a count that another part keeps.
    pub fn export_count(&mut self, name: &str, help: &str, reading: Reading) {
        self.registry.register_collector(Box::new(Foreign {
            name: name.to_owned(),
            help: help.to_owned(),
            reading,
            is_gauge: false,
        }));
    }

    /// Exports a level (something that falls, too) that another part keeps.
    pub fn export_level(&mut self, name: &str, help: &str, reading: Reading) {
        self.registry.register_collector(Box::new(Foreign {
            name: name.to_owned(),
            help: help.to_owned(),
            reading,
            is_gauge: true,
        }));
    }

    /// Exports numbers that another part keeps, one for each set of labels.
    pub fn export_labelled(&mut self, name: &str, help: &str, is_level: bool, readings: Readings) {
        let (name, help) = (name.to_owned(), help.to_owned());
        self.registry.register_collector(Box::new(Labelled { name, help, readings, is_level }));
    }

    /// The text that Prometheus reads (`OpenMetrics` 1.0).
    pub fn exposition(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn export_times(registry: &mut Registry, times: &Arc<Times>) {
    type Read = fn(&Times) -> Vec<(Labels, Snapshot)>;
    let families: [(&str, &str, Read); 3] = [
        ("first_byte", "Time from a request's head to the head of its answer", Times::first_bytes),
        ("request_duration", "Time from a request's head to the end of its answer", Times::durations),
        (
            "origin_first_byte",
            "Time from asking an origin to the head of its answer or its failure, with retries, queues and held-back reloads",
            Times::origins,
        ),
    ];
    for (name, help, read) in families {
        let times = times.clone();
        let histograms: Histograms = Box::new(move || read(&times));
        registry.register_collector(Box::new(Exported { name, help, histograms }));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl PropertyMetrics {
    pub fn count_request(&self, kind: Kind, status: u16) {
        let result = usize::from(status / 100).clamp(1, RESULTS.len()) - 1;
        self.requests[kind as usize * RESULTS.len() + result].inc();
    }

    pub fn count_denial(&self, reason: Reason) {
        self.denials[reason as usize].inc();
    }

    pub fn count_unverified(&self, reason: Reason) {
        self.unverified[reason as usize].inc();
    }

    /// Counts which of the property's keys verified a token, so that an old key can be retired.
    pub fn count_verification(&self, key_name: &str, now: Duration) {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let uses = self.keys.uses.load();
        if let Some(key) = uses.iter().find(|key| &*key.name == key_name) {
            key.count.inc();
            key.last.set(seconds);
        }
    }

    /// Counts by these keys from here on. What a key counted before stays.
    pub fn register_keys(&self, names: impl IntoIterator<Item = Arc<str>>) {
        let uses = names.into_iter().map(|name| self.keys.of(name)).collect();
        self.keys.uses.store(Arc::new(uses));
    }
}

/// Which key verified how often, and when last.
#[derive(Debug)]
struct KeyUses {
    property: String,
    families: Families,
    uses: ArcSwap<Vec<KeyUse>>,
}

#[derive(Debug)]
struct KeyUse {
    name: Arc<str>,
    count: Counter,
    last: Gauge,
}

impl KeyUses {
    fn of(&self, name: Arc<str>) -> KeyUse {
        let labels: Labels = vec![("property", self.property.clone()), ("key", name.to_string())];
        KeyUse {
            count: self.families.verifications.get_or_create_owned(&labels),
            last: self.families.verified_last.get_or_create_owned(&labels),
            name,
        }
    }
}

struct Foreign {
    name: String,
    help: String,
    reading: Reading,
    is_gauge: bool,
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foreign").field("name", &self.name).finish_non_exhaustive()
    }
}

impl prometheus_client::collector::Collector for Foreign {
    fn encode(
        &self,
        mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeMetric;
        let value = (self.reading)();
        if self.is_gauge {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let encoder = encoder.encode_descriptor(&self.name, &self.help, None, gauge.metric_type())?;
            gauge.encode(encoder)
        } else {
            let counter = ConstCounter::new(value);
            let encoder = encoder.encode_descriptor(&self.name, &self.help, None, counter.metric_type())?;
            counter.encode(encoder)
        }
    }
}

struct Labelled {
    name: String,
    help: String,
    readings: Readings,
    is_level: bool,
}

impl std::fmt::Debug for Labelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Labelled").field("name", &self.name).finish_non_exhaustive()
    }
}

impl prometheus_client::collector::Collector for Labelled {
    fn encode(
        &self,
        mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeMetric;
        let kind = if self.is_level { MetricType::Gauge } else { MetricType::Counter };
        let readings = (self.readings)();
        // Not every reader takes a family without a metric in it.
        if readings.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(&self.name, &self.help, None, kind)?;
        for (labels, value) in readings {
            let one = family.encode_family(&labels)?;
            if self.is_level {
                ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(one)?;
            } else {
                ConstCounter::new(value).encode(one)?;
            }
        }
        Ok(())
    }
}

/// Metrics shared by the parts of a process.
pub type Shared = Arc<Metrics>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_kind_has_its_counter() {
        let metrics = Metrics::new();
        let property = metrics.property("p");
        for reason in Reason::ALL {
            property.count_denial(reason);
        }
        for kind in Kind::ALL {
            property.count_request(kind, 200);
        }
        let text = metrics.exposition();
        for reason in Reason::ALL {
            assert!(
                text.contains(&format!("sluicegate_denials_total{{property=\"p\",reason=\"{reason}\"}} 1")),
                "{text}"
            );
        }
        for kind in Kind::ALL {
            let line = format!(
                "sluicegate_requests_total{{property=\"p\",kind=\"{}\",result=\"2xx\"}} 1",
                kind.as_str()
            );
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn a_key_is_counted_by_name_and_keeps_its_count_when_keys_change() {
        let metrics = Metrics::new();
        let property = metrics.property("p");
        property.register_keys(["old".into(), "new".into()]);
        property.count_verification("old", Duration::from_secs(7));
        property.count_verification("unheard-of", Duration::from_secs(8));
        property.register_keys(["new".into(), "old".into()]);
        property.count_verification("old", Duration::from_secs(9));
        let text = metrics.exposition();
        for line in [
            "sluicegate_verifications_total{property=\"p\",key=\"old\"} 2",
            "sluicegate_verifications_total{property=\"p\",key=\"new\"} 0",
            "sluicegate_key_last_verified_seconds{property=\"p\",key=\"old\"} 9",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("unheard-of"), "{text}");
    }

    #[test]
    fn numbers_with_labels_are_one_family() {
        let mut metrics = Metrics::new();
        let readings = || vec![(vec![("server", "a".to_owned())], 1), (vec![("server", "b".to_owned())], 2)];
        metrics.export_labelled("served", "Answers", false, Box::new(readings));
        let text = metrics.exposition();
        assert!(text.contains("# TYPE sluicegate_served counter"), "{text}");
        assert!(
            text.contains("sluicegate_served_total{server=\"a\"} 1\nsluicegate_served_total{server=\"b\"} 2"),
            "{text}"
        );
    }

    #[test]
    fn a_count_of_another_part_is_read_when_asked() {
        let mut metrics = Metrics::new();
        metrics.export_count("lines_dropped", "Lines that were not written", Box::new(|| 7));
        assert!(metrics.exposition().contains("sluicegate_lines_dropped_total 7"));
    }
}
