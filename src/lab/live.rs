//! The live window: which segments of the endlessly looped clip a playlist lists at a given time.

use std::time::Duration;

use crate::lab::media::{CLIP, SEGMENT, SEGMENTS, Track};

/// Segments in a live playlist: twelve seconds, the least that leaves three target durations behind the live edge and as much again.
pub const WINDOW: u64 = 6;
/// Segments that stay fetchable after they have left the playlist. RFC 8216, section 6.2.2: "the corresponding Media Segment MUST
/// remain available to clients for a period of time equal to the duration of the segment plus the duration of the longest Playlist
/// file distributed by the server containing that segment."
const KEPT: u64 = WINDOW + 2;

/// The segments of a live playlist, by media sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When segment 0 began, in Unix time.
    epoch: Duration,
    pub first: u64,
    pub last: u64,
}

impl Window {
    /// The window at `now` of a stream whose first segment began at `epoch`. `None` before there was a whole window.
    pub fn at(epoch: Duration, now: Duration) -> Option<Self> {
        let complete = now.checked_sub(epoch)?.as_secs() / SEGMENT.as_secs();
        Some(Self { epoch, first: complete.checked_sub(WINDOW)?, last: complete.checked_sub(1)? })
    }

    /// The number of discontinuities before the first listed segment, not counting one that stands at that segment itself: such
    /// a tag leaves the playlist together with its segment.
    pub fn discontinuity_sequence(self) -> u64 {
        self.first.saturating_sub(1) / SEGMENTS as u64
    }

    /// Whether a segment with this number can be fetched: not before it is complete, nor long after it was listed.
    pub fn serves(self, number: u64) -> bool {
        number <= self.last && number + KEPT >= self.first
    }

    /// When the segment's first sample was "filmed", in Unix time.
    pub fn date(self, number: u64, track: &Track) -> Duration {
        let in_clip = track.segments.get(place(number)).map_or(Duration::ZERO, |segment| segment.start);
        self.epoch + Duration::from_secs(loops(number) * CLIP.as_secs()) + in_clip
    }

    /// When the segment became complete, in Unix time, for every track alike.
    pub fn completed_at(self, number: u64) -> Duration {
        self.epoch + Duration::from_secs((number + 1) * SEGMENT.as_secs())
    }

    pub fn numbers(self) -> std::ops::RangeInclusive<u64> {
        self.first..=self.last
    }
}

/// The epoch of a stream that is started at `now`: a whole loop before, so that there is a window at once, and at a multiple of the
/// clip's length, so that a media sequence number means the same bytes after a restart. It is recent, because hls.js 1.7.4 stood still for
/// one to two seconds at each reload when the loops were counted from 1970 (a discontinuity sequence of 56 million).
pub fn epoch(now: Duration) -> Duration {
    Duration::from_secs((now.as_secs() / CLIP.as_secs()).saturating_sub(1) * CLIP.as_secs())
}

/// The place in the clip of the segment with this media sequence number.
pub fn place(number: u64) -> usize {
    usize::try_from(number % SEGMENTS as u64).expect("less than the number of segments")
}

/// How often the clip has been played in full before this segment.
pub fn loops(number: u64) -> u64 {
    number / SEGMENTS as u64
}

/// Whether the clip starts again with this segment.
pub fn is_loop_start(number: u64) -> bool {
    number > 0 && place(number) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Duration = Duration::from_secs(32 * 1_000);

    #[test]
    fn nothing_is_listed_before_a_whole_window_exists() {
        assert_eq!(Window::at(EPOCH, Duration::ZERO), None);
        assert_eq!(Window::at(EPOCH, EPOCH + Duration::from_secs(11)), None);
        let first = Window { epoch: EPOCH, first: 0, last: 5 };
        assert_eq!(Window::at(EPOCH, EPOCH + Duration::from_secs(12)), Some(first));
    }

    #[test]
    fn a_stream_has_a_window_at_once_and_few_loops_behind_it() {
        for second in 1_795_348_800..1_795_348_900 {
            let now = Duration::from_secs(second);
            let window = Window::at(epoch(now), now).expect("at once");
            assert!(window.first >= 16 - WINDOW && window.last < 32);
            assert_eq!(epoch(now).as_secs() % CLIP.as_secs(), 0);
        }
    }

    #[test]
    fn the_window_moves_by_one_each_segment_and_keeps_its_length() {
        for second in 12..4_000 {
            let now = Window::at(Duration::ZERO, Duration::from_secs(second)).expect("begun");
            let next = Window::at(Duration::ZERO, Duration::from_secs(second + 2)).expect("begun");
            assert_eq!(now.numbers().count() as u64, WINDOW);
            assert_eq!(next.first, now.first + 1);
        }
    }

    #[test]
    fn a_listed_segment_is_complete_and_the_next_one_is_not() {
        for millis in (12_000..400_000).step_by(137) {
            let now = EPOCH + Duration::from_millis(millis);
            let window = Window::at(EPOCH, now).expect("begun");
            assert!(window.completed_at(window.last) <= now && window.completed_at(window.last + 1) > now);
            assert!(window.serves(window.last) && !window.serves(window.last + 1));
        }
    }

    #[test]
    fn the_discontinuity_number_of_a_segment_is_the_same_in_every_window_that_lists_it() {
        for first in 0..200 {
            let window = Window { epoch: EPOCH, first, last: first + WINDOW - 1 };
            let mut discontinuities = window.discontinuity_sequence();
            for number in window.numbers() {
                discontinuities += u64::from(is_loop_start(number));
                assert_eq!(
                    discontinuities,
                    number / SEGMENTS as u64,
                    "segment {number} in the window from {first}"
                );
            }
        }
    }
}
