//! Several keys at once, each with a name and the time in which it counts, so that one can take another's place.

use std::sync::Arc;

use super::grant::UnixTime;

/// From when and until when a key counts; always, by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub not_before: Option<UnixTime>,
    /// The first moment in which the key counts no longer.
    pub not_after: Option<UnixTime>,
}

impl Window {
    pub fn holds(self, now: UnixTime) -> bool {
        self.not_before.is_none_or(|begin| begin <= now) && self.not_after.is_none_or(|end| now < end)
    }
}

/// A key, or what was prepared from one, under the name that the configuration gives it.
#[derive(Clone, Debug)]
pub struct Named<K> {
    pub name: Arc<str>,
    pub window: Window,
    pub key: K,
}

/// The keys of one purpose, in the order in which they are tried. The first that counts signs.
#[derive(Clone, Debug)]
pub struct Keys<K>(Vec<Named<K>>);

impl<K> Keys<K> {
    pub fn new(keys: Vec<Named<K>>) -> Self {
        Self(keys)
    }

    /// Keys that always count, under these names.
    pub fn of<N: Into<Arc<str>>>(keys: impl IntoIterator<Item = (N, K)>) -> Self {
        let named = |(name, key): (N, K)| Named { name: name.into(), window: Window::default(), key };
        Self(keys.into_iter().map(named).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Named<K>> {
        self.0.iter()
    }

    /// Those that count at `now`.
    pub fn at(&self, now: UnixTime) -> impl Iterator<Item = &Named<K>> {
        self.0.iter().filter(move |named| named.window.holds(now))
    }

    /// The key that signs at `now` what has to verify until `end`: the first that counts now and still will then;
    /// where none does, the first that counts now, or the first of all.
    ///
    /// # Panics
    /// Without a key: the configuration has to refuse that before.
    pub fn signing(&self, now: UnixTime, end: UnixTime) -> &Named<K> {
        let lasting = self.at(now).find(|named| named.window.not_after.is_none_or(|last| end <= last));
        lasting.or_else(|| self.at(now).next()).unwrap_or_else(|| self.0.first().expect("there is a key"))
    }

    pub fn names(&self) -> Vec<Arc<str>> {
        self.0.iter().map(|named| named.name.clone()).collect()
    }

    /// The same names and windows with something made of each key.
    pub fn map<U>(&self, make: impl Fn(&K) -> U) -> Keys<U> {
        let one = |named: &Named<K>| Named {
            name: named.name.clone(),
            window: named.window,
            key: make(&named.key),
        };
        Keys(self.0.iter().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, not_before: Option<u64>, not_after: Option<u64>) -> Named<()> {
        let window = Window {
            not_before: not_before.map(UnixTime::from_secs),
            not_after: not_after.map(UnixTime::from_secs),
        };
        Named { name: name.into(), window, key: () }
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    #[test]
    fn a_key_counts_from_its_begin_and_no_longer_at_its_end() {
        let keys = Keys::new(vec![key("a", Some(10), Some(20)), key("b", None, None)]);
        let names = |now| keys.at(at(now)).map(|named| named.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(9), ["b"]);
        assert_eq!(names(10), ["a", "b"]);
        assert_eq!(names(19), ["a", "b"]);
        assert_eq!(names(20), ["b"]);
    }

    #[test]
    fn what_has_to_last_is_signed_with_a_key_that_lasts() {
        let keys = Keys::new(vec![key("old", None, Some(100)), key("new", Some(50), None)]);
        let signing = |now, end| keys.signing(at(now), at(end)).name.to_string();
        assert_eq!(signing(40, 90), "old");
        assert_eq!(signing(40, 200), "old", "the new one does not count yet");
        assert_eq!(signing(60, 200), "new");
        assert_eq!(signing(60, 100), "old");
    }
}
