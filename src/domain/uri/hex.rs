//! Bytes in lower-case hex.

/// Two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for &byte in bytes {
        push(&mut digits, byte);
    }
    digits
}

/// Adds the two digits of a byte.
pub fn push(out: &mut String, byte: u8) {
    for nibble in [byte >> 4, byte & 15] {
        out.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is a hex digit"));
    }
}
