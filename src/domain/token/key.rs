//! Secrets, and the HMAC states prepared from them.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::base64url;
use crate::domain::uri::hex;

/// Bytes that nobody may read: never empty, wiped when dropped, printed as `Secret(..)`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it is empty; nothing may be signed with an empty key")]
    Empty,
    #[error("it has an odd number of hex digits; write each byte with two")]
    Odd,
    #[error("it has a character that is no hex digit; use 0-9 and a-f")]
    NotHex,
}

impl Secret {
    /// From hex digits in either case, with an optional `0x`.
    pub fn from_hex(hex: &str) -> Result<Self, KeyError> {
        let digits = hex.strip_prefix("0x").or_else(|| hex.strip_prefix("0X")).unwrap_or(hex).as_bytes();
        if digits.is_empty() {
            return Err(KeyError::Empty);
        }
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(KeyError::NotHex);
        }
        if !digits.len().is_multiple_of(2) {
            return Err(KeyError::Odd);
        }
        let mut bytes = vec![0; digits.len() / 2];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = crate::domain::uri::escape::escaped_byte(pair).ok_or(KeyError::NotHex)?;
        }
        Ok(Self(bytes))
    }

    /// From a text, taken as its bytes.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(text.as_bytes().to_vec())
    }

    /// From base64 in either alphabet, padded or not, or from PEM, whose lines of dashes are passed over.
    pub fn from_base64(text: &str) -> Option<Self> {
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        let joined = Zeroizing::new(lines.map(str::trim).collect::<String>());
        let text = Zeroizing::new(joined.replace('+', "-").replace('/', "_"));
        Self::from_bytes(base64url::decode_either(&text)?).ok()
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, KeyError> {
        if bytes.is_empty() { Err(KeyError::Empty) } else { Ok(Self(bytes)) }
    }

    /// A key for one purpose that cannot be turned back into this one: HMAC-SHA256 of the label.
    #[must_use]
    pub fn derived(&self, label: &str) -> Self {
        Self(Signer::new(self, Algorithm::Sha256).sign(&[label.as_bytes()]).as_bytes().to_vec())
    }

    /// In lower-case hex.
    pub fn to_hex(&self) -> String {
        hex::hex(&self.0)
    }

    /// The bytes themselves, for what has to sign or to compare with them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The hash of an HMAC. It is configured; a token never chooses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    #[default]
    Sha256,
    Sha1,
    Md5,
}

impl Algorithm {
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha1, Self::Md5];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
        }
    }

    /// Digits of an HMAC in hex.
    pub const fn hex_digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha1 => 40,
            Self::Md5 => 32,
        }
    }
}

/// No algorithm has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such algorithm; use sha256, sha1 or md5")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name)).ok_or(UnknownAlgorithm)
    }
}

/// An HMAC state with its key already mixed in; each use clones it.
#[derive(Clone)]
pub struct Signer(State);

#[derive(Clone)]
enum State {
    Sha256(Hmac<Sha256>),
    Sha1(Hmac<Sha1>),
    Md5(Hmac<Md5>),
}

impl Signer {
    pub fn new(key: &Secret, algorithm: Algorithm) -> Self {
        const ANY_LENGTH: &str = "HMAC takes keys of any length";
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Hmac::new_from_slice(key.expose()).expect(ANY_LENGTH)),
            Algorithm::Sha1 => State::Sha1(Hmac::new_from_slice(key.expose()).expect(ANY_LENGTH)),
            Algorithm::Md5 => State::Md5(Hmac::new_from_slice(key.expose()).expect(ANY_LENGTH)),
        })
    }

    /// The HMAC over the concatenation of `parts`.
    pub fn sign(&self, parts: &[&[u8]]) -> Digest {
        match &self.0 {
            State::Sha256(state) => Digest::new(&fed(state, parts).finalize().into_bytes()),
            State::Sha1(state) => Digest::new(&fed(state, parts).finalize().into_bytes()),
            State::Md5(state) => Digest::new(&fed(state, parts).finalize().into_bytes()),
        }
    }

    /// Whether `presented` is the HMAC over `parts`, compared in constant time.
    pub fn verifies(&self, parts: &[&[u8]], presented: &Digest) -> bool {
        match &self.0 {
            State::Sha256(state) => fed(state, parts).verify_slice(presented.as_bytes()).is_ok(),
            State::Sha1(state) => fed(state, parts).verify_slice(presented.as_bytes()).is_ok(),
            State::Md5(state) => fed(state, parts).verify_slice(presented.as_bytes()).is_ok(),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

fn fed<M: Mac + Clone>(state: &M, parts: &[&[u8]]) -> M {
    let mut state = state.clone();
    for part in parts {
        state.update(part);
    }
    state
}

/// An HMAC's bytes, at most 32.
#[derive(Clone, Copy)]
pub struct Digest {
    bytes: [u8; 32],
    length: usize,
}

impl Digest {
    fn new(source: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes[..source.len()].copy_from_slice(source);
        Self { bytes, length: source.len() }
    }

    /// From lower-case hex of exactly the algorithm's length.
    pub fn from_hex(hex: &str, algorithm: Algorithm) -> Option<Self> {
        if hex.len() != algorithm.hex_digits() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = lower_nibble(pair[0])? << 4 | lower_nibble(pair[1])?;
        }
        Some(Self { bytes, length: hex.len() / 2 })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Appends the digest in lower-case hex.
    pub fn write_hex(&self, out: &mut String) {
        for &byte in self.as_bytes() {
            hex::push(out, byte);
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

const fn lower_nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does not compile where secrets can be compared by `==`, which ends at the first byte that differs.
    #[test]
    fn a_secret_has_no_comparison_that_takes_its_time() {
        struct Compared;
        trait Ambiguous<Which> {
            fn is_one() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: ?Sized + PartialEq> Ambiguous<Compared> for T {}
        <Secret as Ambiguous<_>>::is_one();
    }

    #[test]
    fn a_key_is_hex_with_an_even_number_of_digits() {
        assert_eq!(Secret::from_hex("0xAAbb").map(|key| key.expose().to_vec()), Ok(vec![0xaa, 0xbb]));
        assert_eq!(Secret::from_hex("").err(), Some(KeyError::Empty));
        assert_eq!(Secret::from_hex("0x").err(), Some(KeyError::Empty));
        assert_eq!(Secret::from_hex("abc").err(), Some(KeyError::Odd));
        assert_eq!(Secret::from_hex("zz11").err(), Some(KeyError::NotHex));
        assert_eq!(Secret::from_text("").err(), Some(KeyError::Empty));
    }

    #[test]
    fn base64_is_read_in_every_usual_writing() {
        let key = Secret::from_bytes(vec![0xfb, 0xff, 0xfe, 0x01]).unwrap();
        for text in [
            "-__-AQ",
            "-__-AQ==",
            "+//+AQ==",
            " +//+AQ \n",
            "-----BEGIN X-----\n+//+\nAQ==\n-----END X-----\n",
        ] {
            assert_eq!(Secret::from_base64(text).unwrap().expose(), key.expose(), "{text}");
        }
        assert!(Secret::from_base64("").is_none() && Secret::from_base64("a b c").is_none());
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        let key = Secret::from_text("hunter2").unwrap();
        assert_eq!(format!("{key:?} {:?}", Signer::new(&key, Algorithm::Md5)), "Secret(..) Signer(..)");
    }

    /// RFC 4231, section 4.3 (test case 2), and RFC 2202, sections 2 and 3 (the same key and data).
    #[test]
    fn the_published_test_vectors_hold() {
        let key = Secret::from_text("Jefe").unwrap();
        for (algorithm, expected) in [
            (Algorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Algorithm::Md5, "750c783e6ab0b503eaa86e310a5db738"),
        ] {
            let signer = Signer::new(&key, algorithm);
            let mut hex = String::new();
            signer.sign(&[b"what do ya want ", b"for nothing?"]).write_hex(&mut hex);
            assert_eq!(hex, expected);
            let digest = Digest::from_hex(expected, algorithm).unwrap();
            assert!(signer.verifies(&[b"what do ya want for nothing?"], &digest));
            assert!(!signer.verifies(&[b"what do ya want for nothing!"], &digest));
            assert!(Digest::from_hex(&expected.to_uppercase(), algorithm).is_none());
            assert!(Digest::from_hex(&expected[2..], algorithm).is_none());
        }
    }

    #[test]
    fn an_algorithm_is_named_without_case() {
        assert_eq!("SHA256".parse(), Ok(Algorithm::Sha256));
        assert_eq!("none".parse::<Algorithm>(), Err(UnknownAlgorithm));
    }
}
