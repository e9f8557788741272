//! The only source of randomness.

/// `N` random bytes from the operating system.
///
/// # Panics
/// When the operating system has no random source at all: nothing secret can be made then.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "this module is the one source of randomness")]
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// A random 64-bit number.
pub fn number() -> u64 {
    u64::from_ne_bytes(bytes())
}
