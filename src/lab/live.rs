//! The live window: which segments of the endlessly looped clip a playlist lists at a given time.

use std::time::Duration;

use crate::lab::media::{CLIP, SEGMENT, SEGMENTS, Track};

/// Segments in a live playlist: twelve seconds, the least that leaves three target durations behind the live edge and as much again.
pub const WINDOW: u64 = 6;
/// Segments that stay fetchable after they have left the playlist. RFC 8216, section 6.2.2: "the corresponding Media Segment MUST
/// remain available to clients for a period of time equal to the duration of the segment plus the duration of the longest Playlist
/// file distributed by the server containing that segment."
const KEPT: u64 = WINDOW + 2;

/// The segments of a live playlist, by media sequence number. The clip has looped since the start of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub first: u64,
    pub last: u64,
}

impl Window {
    /// The window at Unix time `now`. `None` in the first seconds of 1970, before there was a whole window.
    pub fn at(now: Duration) -> Option<Self> {
        let complete = now.as_secs() / SEGMENT.as_secs();
        Some(Self { first: complete.checked_sub(WINDOW)?, last: complete.checked_sub(1)? })
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

    pub fn numbers(self) -> std::ops::RangeInclusive<u64> {
        self.first..=self.last
    }
}

/// The place in the clip of the segment with this media sequence number.
pub fn place(number: u64) -> usize {
    usize::try_from(number % SEGMENTS as u64).expect("less than the number of segments")
}

/// Whether the clip starts again with this segment.
pub fn is_loop_start(number: u64) -> bool {
    number > 0 && place(number) == 0
}

/// When the segment's first sample was "filmed", in Unix time.
pub fn date(number: u64, track: &Track) -> Duration {
    let loops = number / SEGMENTS as u64;
    Duration::from_secs(loops * CLIP.as_secs())
        + track.segments.get(place(number)).map_or(Duration::ZERO, |s| s.start)
}

/// When the segment became complete, in Unix time, for every track alike.
pub fn completed_at(number: u64) -> Duration {
    Duration::from_secs((number + 1) * SEGMENT.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_listed_before_a_whole_window_exists() {
        assert_eq!(Window::at(Duration::from_secs(11)), None);
        assert_eq!(Window::at(Duration::from_secs(12)), Some(Window { first: 0, last: 5 }));
    }

    #[test]
    fn the_window_moves_by_one_each_segment_and_keeps_its_length() {
        for second in 12..4_000 {
            let now = Window::at(Duration::from_secs(second)).expect("begun");
            let next = Window::at(Duration::from_secs(second + 2)).expect("begun");
            assert_eq!(now.numbers().count() as u64, WINDOW);
            assert_eq!(next.first, now.first + 1);
        }
    }

    #[test]
    fn a_listed_segment_is_complete_and_the_next_one_is_not() {
        for millis in (12_000..400_000).step_by(137) {
            let now = Duration::from_millis(millis);
            let window = Window::at(now).expect("begun");
            assert!(completed_at(window.last) <= now && completed_at(window.last + 1) > now);
            assert!(window.serves(window.last) && !window.serves(window.last + 1));
        }
    }

    #[test]
    fn the_discontinuity_number_of_a_segment_is_the_same_in_every_window_that_lists_it() {
        for first in 0..200 {
            let window = Window { first, last: first + WINDOW - 1 };
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
