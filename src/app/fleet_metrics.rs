//! What an edge's part of the fleet counts, into the metrics.

use std::sync::Arc;

use crate::fleet::Fleet;
use crate::fleet::counters::Counters;
use crate::telemetry::metrics::Metrics;

type Pick = fn(&Counters) -> u64;
type Level = fn(&Fleet) -> u64;

const COUNTS: [(&str, &str, Pick); 16] = [
    ("fleet_connections", "Connections made to Redis", |of| of.connected.value()),
    ("fleet_failures", "Questions to Redis that failed, and connections lost", |of| of.failed.value()),
    ("fleet_resyncs", "Whole comparisons with Redis, one at each connection", |of| of.resyncs.value()),
    ("fleet_changes", "Changes of the revocations that came from the fleet", |of| of.changes.value()),
    ("fleet_seats_asked", "Viewings that asked for a seat under a limit", |of| of.asked.value()),
    ("fleet_seats_refused", "Requests without a seat under a limit", |of| of.refused.value()),
    ("fleet_seats_reported", "Viewings over a limit that is only reported", |of| of.reported.value()),
    ("fleet_viewings_displaced", "Viewings that gave way to newer ones", |of| of.displaced.value()),
    ("fleet_judged_alone", "Viewings and tokens that this edge judged alone, the fleet being away", |of| {
        of.alone.value()
    }),
    ("fleet_full", "Viewings and tokens for which there was no room", |of| of.full.value()),
    ("fleet_tokens_used", "One-time tokens used", |of| of.tokens_used.value()),
    ("fleet_tokens_replayed", "Second uses of one-time tokens", |of| of.tokens_replayed.value()),
    ("fleet_purges", "Purges of other edges that were carried out here", |of| of.purges.value()),
    ("fleet_purges_of_all", "Purges of everything, since single ones were missed", |of| {
        of.purges_of_all.value()
    }),
    ("fleet_file_errors", "Failures to read or write the fleet's files", |of| of.file_errors.value()),
    ("fleet_files_damaged", "Files of the fleet's that were damaged at the start", |of| {
        of.files_damaged.value()
    }),
];

const LEVELS: [(&str, &str, Level); 5] = [
    ("fleet_connected", "Whether Redis can be asked: 1 or 0; 1 where there is none to ask", |of| {
        u64::from(of.is_connected().unwrap_or(true))
    }),
    (
        "fleet_age_milliseconds",
        "How long ago this edge knew all that the fleet knew; 0 where it is alone",
        |of| of.age().map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    ),
    ("fleet_revocations", "Revocations that stand", |of| of.revocations().count() as u64),
    ("fleet_version", "The number of the latest change that is known here", Fleet::version),
    ("fleet_viewings", "Viewings that this edge counts", |of| of.viewings_count() as u64),
];

pub fn export(metrics: &mut Metrics, fleet: &Arc<Fleet>) {
    for (name, help, pick) in COUNTS {
        let fleet = fleet.clone();
        metrics.export_count(name, help, Box::new(move || pick(fleet.counters())));
    }
    for (name, help, level) in LEVELS {
        let fleet = fleet.clone();
        metrics.export_level(name, help, Box::new(move || level(&fleet)));
    }
    let tokens = fleet.clone();
    metrics.export_level(
        "fleet_tokens",
        "Used one-time tokens that this edge remembers",
        Box::new(move || tokens.tokens_count() as u64),
    );
}
