//! How long answers and origins take: by property and kind, so that the labels are bounded by the configuration.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::histogram::{Histogram, Snapshot};
use super::metrics::{Kind, Labels};

/// The times of all properties. The lock is for those who configure and who read: whoever counts holds a property's own.
#[derive(Debug, Default)]
pub struct Times {
    by_property: Mutex<BTreeMap<String, Arc<PropertyTimes>>>,
}

/// The times of one property. They outlive a reload of the configuration.
#[derive(Debug, Default)]
pub struct PropertyTimes {
    first_byte: [Histogram; Kind::ALL.len()],
    duration: [Histogram; Kind::ALL.len()],
    pub origin: Histogram,
}

impl Times {
    pub fn property(&self, name: &str) -> Arc<PropertyTimes> {
        let mut all = self.by_property.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.to_owned()).or_default().clone()
    }

    pub(super) fn first_bytes(&self) -> Vec<(Labels, Snapshot)> {
        self.by_kind(|times| &times.first_byte)
    }

    pub(super) fn durations(&self) -> Vec<(Labels, Snapshot)> {
        self.by_kind(|times| &times.duration)
    }

    pub(super) fn origins(&self) -> Vec<(Labels, Snapshot)> {
        let all = self.by_property.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |(name, times): (&String, &Arc<PropertyTimes>)| {
            (vec![("property", name.clone())], times.origin.snapshot())
        };
        all.iter().map(one).collect()
    }

    fn by_kind(&self, pick: fn(&PropertyTimes) -> &[Histogram; Kind::ALL.len()]) -> Vec<(Labels, Snapshot)> {
        let all = self.by_property.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = Vec::new();
        for (name, times) in all.iter() {
            for (kind, histogram) in Kind::ALL.iter().zip(pick(times)) {
                let labels = vec![("property", name.clone()), ("kind", kind.as_str().to_owned())];
                read.push((labels, histogram.snapshot()));
            }
        }
        read
    }
}

impl PropertyTimes {
    /// The head of an answer was ready.
    pub fn answered(&self, kind: Kind, after: Duration) {
        self.first_byte[kind as usize].observe(after);
    }

    /// The body ended, sent whole or not.
    pub fn ended(&self, kind: Kind, after: Duration) {
        self.duration[kind as usize].observe(after);
    }
}
