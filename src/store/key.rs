//! The name of a stored object: its canonical text, and a hash of it as the index.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// A canonical cache key. The hash finds an object, the text proves that it is the right one: two texts with one hash
/// cost a miss and never a wrong answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    hash: u128,
    text: Arc<str>,
}

impl Key {
    /// `text` names the property, the path and the query as they are cached, without anything of a viewer.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let mut head = [0; 16];
        head.copy_from_slice(&digest[..16]);
        Self { hash: u128::from_be_bytes(head), text }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first 128 bits of the text's SHA-256: the same in every process, so that it can name files.
    pub fn hash(&self) -> u128 {
        self.hash
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.text).finish()
    }
}

/// Takes the low half of a key's hash as it is: it is spread evenly already.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsItIs(u64);

impl BuildHasher for AsItIs {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = low_half(hash);
    }
}

/// The low 64 bits of a hash.
pub fn low_half(hash: u128) -> u64 {
    u64::try_from(hash & u128::from(u64::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_head_of_the_texts_sha_256() {
        // SHA-256 of "abc" (FIPS 180-4, the worked example).
        assert_eq!(Key::new("abc").hash(), 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223);
        assert_eq!(low_half(Key::new("abc").hash()), 0x4141_40de_5dae_2223);
    }

    #[test]
    fn keys_are_equal_by_text() {
        assert_eq!(Key::new("a"), Key::new("a".to_owned()));
        assert_ne!(Key::new("a"), Key::new("b"));
    }
}
