//! What kind of playlist it is, how long its media lasts, and for how long it stays fresh.
//!
//! An own scan: m3u8-rs loses the title of `#EXTINF:4,a, b` to a segment, reads `.5` as zero, and stops at
//! bytes that are not UTF-8, each of which would end in a wrong lifetime of a session.

use std::time::Duration;

use super::attributes::Attributes;

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Multivariant,
    Media(Media),
    /// A steering manifest or an asset list.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Segments come and may go.
    #[default]
    Live,
    /// Segments come and none goes.
    Event,
    /// Nothing changes any more.
    Vod,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Media {
    pub state: State,
    pub target_duration_seconds: Option<f64>,
    /// The sum of all `EXTINF`; segments that a delta left out are missing from it.
    pub duration_seconds: f64,
    pub segments: usize,
    /// `PART-HOLD-BACK` of `EXT-X-SERVER-CONTROL`.
    pub part_hold_back_seconds: Option<f64>,
    pub part_target_seconds: Option<f64>,
    pub can_block_reload: bool,
    /// Whether the playlist is a delta (`EXT-X-SKIP`), from which no duration can be had.
    pub is_delta: bool,
    pub media_sequence: u64,
    pub parts_after_last_segment: usize,
}

impl Media {
    /// How long the whole item lasts, if that is known: only of VOD, and not from a delta.
    pub fn item_duration(&self) -> Option<Duration> {
        match self.state {
            State::Vod if !self.is_delta => Duration::try_from_secs_f64(self.duration_seconds).ok(),
            State::Vod | State::Live | State::Event => None,
        }
    }

    /// For how long a copy may be served without asking the origin, when the origin's headers do not say: RFC
    /// 8216bis, appendix B, half the target duration. None for VOD, which does not change.
    pub fn fresh_for(&self) -> Option<Duration> {
        self.targets(0.5)
    }

    /// For how long at most a copy may be served after that, while the origin fails. None for VOD.
    pub fn stale_max(&self) -> Option<Duration> {
        self.targets(TARGETS_STALE_MAX)
    }

    /// So many target durations of what is not VOD.
    fn targets(&self, count: f64) -> Option<Duration> {
        match self.state {
            State::Vod => None,
            State::Live | State::Event => {
                let target = self.target_duration_seconds.unwrap_or(TARGET_DURATION_ASSUMED_SECONDS);
                Duration::try_from_secs_f64(target * count).ok()
            }
        }
    }
}

/// A playlist that stood still for three target durations has no more to play for who began at its live edge (RFC 8216bis
/// §6.3.3: no player begins closer to the end than that), and `AVPlayer` gives it up at about the same age.
const TARGETS_STALE_MAX: f64 = 3.0;

/// The target duration that Apple's authoring specification (rule 7.5) asks for, where a playlist names none.
const TARGET_DURATION_ASSUMED_SECONDS: f64 = 6.0;

/// A longer duration than this (ten thousand hours) in one tag is taken for damage and left out of the sum.
const SECONDS_MAX: f64 = 3.6e7;

/// Reads tags as they pass.
#[derive(Debug, Default)]
pub(super) struct Classifier {
    media: Media,
    multivariant: Option<bool>,
    ended: bool,
    playlist_type: State,
}

impl Classifier {
    pub(super) fn extinf(&mut self, value: &[u8]) {
        self.multivariant.get_or_insert(false);
        self.media.segments += 1;
        self.media.parts_after_last_segment = 0;
        self.media.duration_seconds += seconds(value).unwrap_or(0.0);
    }

    /// `name` without `#`; `value` is what follows the colon.
    pub(super) fn tag(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"EXT-X-STREAM-INF"
            | b"EXT-X-MEDIA"
            | b"EXT-X-I-FRAME-STREAM-INF"
            | b"EXT-X-IMAGE-STREAM-INF"
            | b"EXT-X-SESSION-DATA"
            | b"EXT-X-SESSION-KEY"
            | b"EXT-X-CONTENT-STEERING" => {
                self.multivariant.get_or_insert(true);
            }
            b"EXT-X-TARGETDURATION" => {
                self.multivariant.get_or_insert(false);
                self.media.target_duration_seconds = seconds(value);
            }
            b"EXT-X-MEDIA-SEQUENCE" => {
                self.multivariant.get_or_insert(false);
                self.media.media_sequence = integer(value).unwrap_or(0);
            }
            b"EXT-X-ENDLIST" => self.ended = true,
            b"EXT-X-PLAYLIST-TYPE" => {
                self.playlist_type = match value.trim_ascii() {
                    b"VOD" => State::Vod,
                    b"EVENT" => State::Event,
                    _ => State::Live,
                };
            }
            b"EXT-X-SERVER-CONTROL" => {
                self.media.part_hold_back_seconds = attribute(value, b"PART-HOLD-BACK").and_then(seconds);
                self.media.can_block_reload = attribute(value, b"CAN-BLOCK-RELOAD") == Some(b"YES");
            }
            b"EXT-X-PART-INF" => {
                self.media.part_target_seconds = attribute(value, b"PART-TARGET").and_then(seconds);
            }
            b"EXT-X-PART" => self.media.parts_after_last_segment += 1,
            b"EXT-X-SKIP" => self.media.is_delta = true,
            _ => {}
        }
    }

    pub(super) fn finish(self) -> Kind {
        if self.multivariant == Some(true) {
            return Kind::Multivariant;
        }
        let state = if self.ended { State::Vod } else { self.playlist_type };
        Kind::Media(Media { state, ..self.media })
    }
}

/// A decimal number at the start of a value, whatever follows it. None for a negative or absurd one.
fn seconds(value: &[u8]) -> Option<f64> {
    let value = value.trim_ascii_start();
    let length = value.iter().position(|b| !(b.is_ascii_digit() || *b == b'.')).unwrap_or(value.len());
    let number: f64 = std::str::from_utf8(&value[..length]).ok()?.parse().ok()?;
    (number <= SECONDS_MAX).then_some(number)
}

fn integer(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}

fn attribute<'a>(list: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut attributes = Attributes::new(list, 0..list.len()).filter_map(Result::ok);
    attributes.find(|attribute| &list[attribute.name.clone()] == name).map(|attribute| &list[attribute.value])
}
