//! What is counted and noted of a request: what it was for, by what right it passed, how it failed.

use std::time::Duration;

use crate::domain::cache::cache_status::Outcome;
use crate::domain::policy::Admission;
use crate::domain::uri::parts;
use crate::telemetry::metrics::Kind;

use super::error::EdgeError;
use super::property::Property;
use super::record::Record;

pub fn note(property: &Property, admission: &Admission<'_>, record: &mut Record, now: Duration) {
    match admission {
        Admission::Unverified(reason) => {
            property.metrics.count_unverified(*reason);
            record.reason(*reason);
        }
        Admission::Session { admitted, place, .. } => {
            property.metrics.count_verification(&admitted.key_name, now);
            record.session(admitted.id(), place.as_str());
        }
        Admission::Open | Admission::Access { .. } => {}
    }
}

pub fn count_error(property: &Property, error: &EdgeError) {
    use crate::origin::OriginError;
    let metrics = &property.metrics;
    match error {
        EdgeError::Origin(cause) => match &**cause {
            OriginError::Connect(_) => metrics.origin_unreachable.inc(),
            OriginError::FirstByte(_) => metrics.origin_timeout.inc(),
            OriginError::Busy(..) | OriginError::Crowded(_) => metrics.origin_busy.inc(),
            OriginError::Closed(_)
            | OriginError::Invalid(_)
            | OriginError::HeadTooLarge(_)
            | OriginError::Interim(_)
            | OriginError::TwoLengths
            | OriginError::UnaskedPart
            | OriginError::WrongPart(_)
            | OriginError::Redirects(_)
            | OriginError::Target
            | OriginError::Upload(_) => metrics.origin_invalid.inc(),
        },
        EdgeError::Body(_)
        | EdgeError::UnaskedPart
        | EdgeError::WrongPart
        | EdgeError::Changed
        | EdgeError::NoSlice(_)
        | EdgeError::UnaskedNotModified => metrics.origin_invalid.inc(),
        EdgeError::PlaylistTooLarge(_)
        | EdgeError::Encoding(_)
        | EdgeError::Playlist(_)
        | EdgeError::Unencryptable(_) => metrics.playlists_refused.inc(),
        EdgeError::FleetAway => metrics.fleet_away.inc(),
        EdgeError::UnknownHost
        | EdgeError::Method
        | EdgeError::Path(_)
        | EdgeError::Denied(_)
        | EdgeError::Ruled(_)
        | EdgeError::Elsewhere { .. }
        | EdgeError::Location
        | EdgeError::TooManyRequests(_)
        | EdgeError::Join(_)
        | EdgeError::NotStored => 0,
        EdgeError::BodyTooLarge(_) => metrics.request_bodies_refused.inc(),
    };
}

/// Counts what the cache had for an answer: once, whatever the way to it.
pub fn count_outcome(property: &Property, outcome: Outcome) {
    let metrics = &property.metrics;
    match outcome {
        Outcome::Hit => metrics.cache_hits.inc(),
        Outcome::Stale => metrics.cache_stale.inc(),
        Outcome::Miss => metrics.cache_misses.inc(),
        Outcome::Collapsed => metrics.cache_collapsed.inc(),
        Outcome::Pass => metrics.cache_passed.inc(),
        Outcome::None => 0,
    };
}

pub fn kind_of(playlist: &crate::store::playlists::Playlist) -> Kind {
    match playlist.template.kind() {
        crate::domain::manifest::classify::Kind::Multivariant => Kind::Multivariant,
        crate::domain::manifest::classify::Kind::Media(_) => Kind::MediaPlaylist,
        crate::domain::manifest::classify::Kind::Json => Kind::Json,
    }
}

/// What a request is for, by the extension of its path: for what never becomes an object (a refusal) and for media.
pub fn kind_by_name(path: &str) -> Kind {
    /// In lower case, in which it is compared.
    const EXTENSION_BYTES_MAX: usize = 6;
    let extension = parts::cut_last(last_segment(path), b'.').map_or("", |(_, extension)| extension);
    let mut lower = [0; EXTENSION_BYTES_MAX];
    let Some(lower) = lower.get_mut(..extension.len()) else { return Kind::Other };
    lower.copy_from_slice(extension.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"ts" | b"m4s" | b"mp4" | b"aac" | b"mp3" | b"ac3" | b"ec3" | b"vtt" | b"webvtt" | b"m4a"
        | b"m4v" | b"cmfv" | b"cmfa" | b"jpg" | b"jpeg" => Kind::Segment,
        b"m3u8" | b"m3u" => Kind::MediaPlaylist,
        b"key" => Kind::Key,
        b"json" => Kind::Json,
        _ => Kind::Other,
    }
}

pub fn last_segment(path: &str) -> &str {
    parts::last(path, b'/')
}
