//! What the disk tier counts, into the metrics.

use std::sync::Arc;

use crate::edge::objects::{Meta, Objects};
use crate::store::counters::Counters;
use crate::store::disk::Disk;
use crate::telemetry::metrics::Metrics;

/// Nothing, where there is no disk.
pub(super) fn export(metrics: &mut Metrics, objects: &Arc<Objects>) {
    type Count = fn(&Counters) -> u64;
    type Level = fn(&Disk<Meta>) -> u64;
    if objects.tiers().disk().is_none() {
        return;
    }
    let counts: [(&str, &str, Count); 11] = [
        ("cache_disk_hits", "Objects found on disk, fresh or not", |of| of.disk_hits.total()),
        ("cache_disk_misses", "Objects found neither in memory nor on disk", |of| of.disk_misses.total()),
        ("cache_disk_writes", "Objects written to disk", |of| of.disk_writes.total()),
        ("cache_disk_skipped", "Objects not written: too many bytes wait for the disk", |of| {
            of.disk_skipped.total()
        }),
        ("cache_disk_evictions", "Objects on disk that made room for others", |of| of.disk_evictions.total()),
        ("cache_disk_errors", "Failures of the disk", |of| of.disk_errors.total()),
        ("cache_disk_corrupt", "Files on disk whose bytes were not those that were written", |of| {
            of.disk_corrupt.total()
        }),
        ("cache_disk_late", "Objects that did not come from disk in their time", |of| of.disk_late.total()),
        ("cache_disk_offs", "How often the disk was left alone for a while", |of| of.disk_off.total()),
        ("cache_disk_read_bytes", "Bytes of objects read from disk", |of| of.disk_read_bytes.total()),
        ("cache_disk_written_bytes", "Bytes written to disk", |of| of.disk_written_bytes.total()),
    ];
    for (name, help, pick) in counts {
        let objects = objects.clone();
        metrics.export_count(name, help, Box::new(move || pick(objects.tiers().counters())));
    }
    let levels: [(&str, &str, Level); 4] = [
        ("cache_disk_bytes", "Bytes of the files on disk", Disk::bytes),
        ("cache_disk_objects", "Objects on disk", |disk| disk.count() as u64),
        ("cache_disk_ready", "Whether the folder was read since the start: 1 or 0", |disk| {
            u64::from(disk.is_ready())
        }),
        ("cache_disk_off", "Whether the disk is left alone for now: 1 or 0", |disk| u64::from(disk.is_off())),
    ];
    for (name, help, pick) in levels {
        let objects = objects.clone();
        metrics.export_level(name, help, Box::new(move || objects.tiers().disk().map_or(0, pick)));
    }
}
