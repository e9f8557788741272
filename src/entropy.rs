//! The only source of randomness.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// A number to call a request by: no other call in this process gets it, and hardly one in another. It can be guessed by
/// who knows another, and it costs no system call.
pub fn request_number() -> u64 {
    static FIRST: LazyLock<u64> = LazyLock::new(number);
    static STEPS: AtomicU64 = AtomicU64::new(0);
    spread(FIRST.wrapping_add(STEPS.fetch_add(1, Ordering::Relaxed)))
}

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): each of its steps can be
/// undone, so that different numbers stay different.
const fn spread(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_have_one_number() {
        let numbers: HashSet<u64> = (0..10_000).map(|_| request_number()).collect();
        assert_eq!(numbers.len(), 10_000);
    }
}
