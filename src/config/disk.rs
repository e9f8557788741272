//! From `[cache.disk]` as typed to what the store accepts.

use std::path::Path;
use std::time::Duration;

use crate::store::disk::Settings;
use crate::store::tiers::Admission;

use super::fault::Judge;
use super::file::disk as file;

/// A disk behind the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    pub settings: Settings,
    pub admission: Admission,
}

/// `object_bytes_max` is that of the whole cache: what is larger is never collected.
pub(super) fn accept(
    typed: &file::Disk,
    object_bytes_max: u64,
    folder: &Path,
    judge: &mut Judge,
) -> Option<Disk> {
    if typed.folder.get_ref().as_os_str().is_empty() {
        judge.fault(
            typed.folder.span(),
            "[cache.disk] folder is empty",
            "name a folder of its own, for example \"/var/cache/sluicegate\"",
        );
        return None;
    }
    if typed.max.get_ref().0 == 0 {
        judge.fault(
            typed.max.span(),
            "[cache.disk] max is zero",
            "give it room, for example \"20GiB\", or leave [cache.disk] out",
        );
        return None;
    }
    let within = typed.admission_window.0.max(Duration::from_secs(1));
    Some(Disk {
        settings: Settings {
            folder: folder.join(typed.folder.get_ref()),
            bytes_max: typed.max.get_ref().0,
            object_bytes_max: typed.object_max.map_or(object_bytes_max, |max| max.0.min(object_bytes_max)),
            reads_max: typed.reads_max,
            loading_bytes_max: typed.loading_max.0,
            unwritten_bytes_max: typed.unwritten_max.0,
            read_timeout: typed.read_timeout.0,
            pause: typed.pause.0,
        },
        admission: match typed.admission {
            file::Admission::Always => Admission::Always,
            file::Admission::SecondHit => Admission::SecondHit(within),
        },
    })
}
