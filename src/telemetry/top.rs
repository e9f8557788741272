//! The objects that are asked for most, by requests and by bytes, in bounded room.
//!
//! Space-saving (Metwally, Agrawal, El Abbadi, 2005): a new object takes the place of the least one, with its count as the
//! error that it may have. Only one request of so many is looked at, and it is let go where another holds the lock, so that no
//! request waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// By what objects are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Requests,
    Bytes,
}

/// An object: its property and its path, without token and query.
pub type Named = (Arc<str>, Box<str>);

#[derive(Debug, Default)]
pub struct Top {
    objects_max: AtomicUsize,
    one_in: AtomicU64,
    skipped: AtomicU64,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    requests: HashMap<Named, Weight>,
    bytes: HashMap<Named, Weight>,
}

/// What an object has come to: no less than it was, by `error_max` more at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    pub value: u64,
    pub error_max: u64,
}

impl Top {
    /// Keeps so many objects in mind, and looks at one request in so many. No object: nothing is counted.
    pub fn limit(&self, objects_max: usize, one_in: u64) {
        self.objects_max.store(objects_max, Ordering::Relaxed);
        self.one_in.store(one_in.max(1), Ordering::Relaxed);
    }

    /// One request in so many is looked at; 0 where none is.
    pub fn one_in(&self) -> u64 {
        if self.objects_max.load(Ordering::Relaxed) == 0 { 0 } else { self.one_in.load(Ordering::Relaxed) }
    }

    /// Whether the request of this number, which is random, is looked at.
    pub fn samples(&self, request: u64) -> bool {
        let one_in = self.one_in();
        one_in > 0 && request.is_multiple_of(one_in)
    }

    /// Requests that were let go since another held the lock.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    pub fn note(&self, property: &Arc<str>, path: &str, bytes: u64) {
        let Ok(mut counted) = self.counted.try_lock() else {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let objects_max = self.objects_max.load(Ordering::Relaxed);
        let named = (property.clone(), Box::from(path));
        add(&mut counted.bytes, &named, bytes, objects_max);
        add(&mut counted.requests, &named, 1, objects_max);
    }

    /// The leading objects, the first first, scaled up to all requests.
    pub fn leading(&self, by: By, count_max: usize) -> Vec<(Named, Weight)> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let of = match by {
            By::Requests => &counted.requests,
            By::Bytes => &counted.bytes,
        };
        let mut all: Vec<(Named, Weight)> =
            of.iter().map(|(named, weight)| (named.clone(), *weight)).collect();
        drop(counted);
        all.sort_by(|a, b| b.1.value.cmp(&a.1.value).then_with(|| a.0.cmp(&b.0)));
        all.truncate(count_max);
        let scale = self.one_in();
        for (_, weight) in &mut all {
            weight.value = weight.value.saturating_mul(scale);
            weight.error_max = weight.error_max.saturating_mul(scale);
        }
        all
    }
}

fn add(weights: &mut HashMap<Named, Weight>, named: &Named, by: u64, objects_max: usize) {
    if let Some(weight) = weights.get_mut(named) {
        weight.value = weight.value.saturating_add(by);
        return;
    }
    let mut weight = Weight { value: by, error_max: 0 };
    if weights.len() >= objects_max {
        let least = weights.iter().min_by_key(|(_, weight)| weight.value);
        let Some((least, Weight { value, .. })) = least.map(|(named, weight)| (named.clone(), *weight))
        else {
            return;
        };
        weights.remove(&least);
        weight = Weight { value: value.saturating_add(by), error_max: value };
    }
    weights.insert(named.clone(), weight);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_asked_for_stay_in_bounded_room() {
        let top = Top::default();
        top.limit(16, 1);
        let property: Arc<str> = "p".into();
        for number in 0..2_000 {
            top.note(&property, &format!("/once/{number}"), 1);
            if number % 3 == 0 {
                top.note(&property, "/hot", 1);
            }
            if number % 5 == 0 {
                top.note(&property, "/large", 1_000);
            }
        }
        let leading = top.leading(By::Requests, 2);
        assert_eq!(&*leading[0].0.1, "/hot");
        let Weight { value, error_max } = leading[0].1;
        assert!(value >= 667 && value - error_max <= 667, "{leading:?}");
        assert_eq!(&*top.leading(By::Bytes, 1)[0].0.1, "/large");
        assert_eq!(top.leading(By::Requests, 100).len(), 16);
    }

    #[test]
    fn a_sample_stands_for_all() {
        let top = Top::default();
        assert!(!top.samples(0), "nothing is counted without a limit");
        top.limit(4, 8);
        assert!(top.samples(16) && !top.samples(17));
        top.note(&"p".into(), "/a", 10);
        assert_eq!(top.leading(By::Bytes, 1)[0].1, Weight { value: 80, error_max: 0 });
    }
}
