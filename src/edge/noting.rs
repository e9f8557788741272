//! What is counted and noted of a request: what it was for, by what right it passed, how it failed.

use std::time::Duration;

use crate::domain::policy::Admission;
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
            | OriginError::Target => metrics.origin_invalid.inc(),
        },
        EdgeError::Body(_)
        | EdgeError::UnaskedPart
        | EdgeError::WrongPart
        | EdgeError::UnaskedNotModified => metrics.origin_invalid.inc(),
        EdgeError::PlaylistTooLarge(_)
        | EdgeError::Encoding(_)
        | EdgeError::Playlist(_)
        | EdgeError::Unencryptable(_) => metrics.playlists_refused.inc(),
        EdgeError::UnknownHost
        | EdgeError::Method
        | EdgeError::Path(_)
        | EdgeError::Denied(_)
        | EdgeError::Ruled(_)
        | EdgeError::Elsewhere { .. }
        | EdgeError::Location
        | EdgeError::Join(_) => 0,
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
    let extension = last_segment(path).rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "ts" | "m4s" | "mp4" | "aac" | "mp3" | "ac3" | "ec3" | "vtt" | "webvtt" | "m4a" | "m4v" | "cmfv"
        | "cmfa" | "jpg" | "jpeg" => Kind::Segment,
        "m3u8" | "m3u" => Kind::MediaPlaylist,
        "key" => Kind::Key,
        "json" => Kind::Json,
        _ => Kind::Other,
    }
}

pub fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
