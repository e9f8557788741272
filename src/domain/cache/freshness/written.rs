//! The written form of an answer's freshness.

use super::super::lifetime::Source;
use super::super::written::{Reader, Writer};
use super::{Freshness, Reuse};

const SOURCES: [Source; 5] =
    [Source::Forced, Source::Stated, Source::Default, Source::Heuristic, Source::None];
const REUSES: [Reuse; 4] = [Reuse::Free, Reuse::NotStaleUnlessStated, Reuse::NotStale, Reuse::Validated];

impl Freshness {
    pub fn write(&self, to: &mut Writer<'_>) {
        to.duration(self.lifetime);
        to.byte(self.source as u8);
        to.duration(self.received);
        to.duration(self.age_at_arrival);
        to.duration(self.stale_while_revalidate);
        to.duration(self.stale_if_error);
        to.byte(self.reuse as u8);
        to.byte(u8::from(self.is_immutable));
    }

    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            lifetime: from.duration()?,
            source: *SOURCES.get(usize::from(from.byte()?))?,
            received: from.duration()?,
            age_at_arrival: from.duration()?,
            stale_while_revalidate: from.duration()?,
            stale_if_error: from.duration()?,
            reuse: *REUSES.get(usize::from(from.byte()?))?,
            is_immutable: from.truth()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_form_are_those_of_the_lists() {
        assert!(SOURCES.iter().enumerate().all(|(at, source)| *source as usize == at));
        assert!(REUSES.iter().enumerate().all(|(at, reuse)| *reuse as usize == at));
    }
}
