//! Where traces go, joined to the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::export::Exporter;
use crate::telemetry::traces::{Counts, Settings, Tracer};

use super::AppError;

/// Has spans sent, and what becomes of them counted.
pub fn start(
    metrics: &mut Metrics,
    settings: Option<Settings>,
    clock: &Clock,
) -> Result<Option<Box<Exporter>>, AppError> {
    type Pick = fn(&Counts) -> &AtomicU64;
    let Some(settings) = settings else { return Ok(None) };
    let (tracer, spans) = Tracer::new(&settings);
    let counts = tracer.counts();
    let exporter = Exporter::new(settings, spans, counts.clone(), clock.now()).map_err(AppError::Traces)?;
    metrics.trace_to(tracer);
    let taken = counts.clone();
    metrics.export_count(
        "spans_exported",
        "Spans that the collector of traces took",
        Box::new(move || taken.exported.load(Ordering::Relaxed)),
    );
    let causes: [(&'static str, Pick); 2] =
        [("queue", |of| &of.crowded_out), ("collector", |of| &of.refused)];
    let readings = move || {
        let one = |(cause, pick): (&'static str, Pick)| {
            (vec![("cause", cause.to_owned())], pick(&counts).load(Ordering::Relaxed))
        };
        causes.map(one).to_vec()
    };
    metrics.export_labelled(
        "spans_dropped",
        "Spans that were lost: the queue was full, or the collector did not take them",
        false,
        Box::new(readings),
    );
    Ok(Some(Box::new(exporter)))
}
