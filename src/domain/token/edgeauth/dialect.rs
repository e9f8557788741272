//! How the SDKs escape token inputs: alike, save for six characters, the case of hex, and one bug.

use crate::domain::uri::escape::{push_escape, push_upper_escape};

/// An SDK's URL escaper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Python 3.7 and later; Ruby 2.5 and later escape the same.
    Python,
    Node,
    Java,
    /// A third-party PHP library, which escapes bytes beyond ASCII twice.
    Php,
    /// The 2.0.x tools' `-X` and legacy PHP: upper-case hex.
    LegacyUpper,
}

impl Dialect {
    pub const ALL: [Self; 5] = [Self::Python, Self::Node, Self::Java, Self::Php, Self::LegacyUpper];

    /// Appends `text` to `out`, escaped.
    pub fn escape_into(self, out: &mut String, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
                b' ' if matches!(self, Self::Python | Self::Java | Self::Php) => out.push('+'),
                b'!' | b'(' | b')' if self == Self::Node => out.push(char::from(byte)),
                b'*' if self == Self::Java => out.push('*'),
                b'~' if matches!(self, Self::Python | Self::LegacyUpper) => out.push('~'),
                // The library encodes each byte as if it were a Latin-1 character.
                0x80.. if self == Self::Php => {
                    for byte in char::from(byte).encode_utf8(&mut [0; 2]).bytes() {
                        push_escape(out, byte);
                    }
                }
                _ if self == Self::LegacyUpper => push_upper_escape(out, byte),
                _ => push_escape(out, byte),
            }
        }
    }

    /// `text`, escaped.
    pub fn escaped(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() * 2);
        self.escape_into(&mut out, text);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_recorded_map_is_reproduced() {
        let map: serde_json::Value =
            serde_json::from_str(include_str!("../../../../tests/golden/escape_early_map.json")).unwrap();
        let characters = map["chars"].as_array().unwrap();
        for (name, dialect) in [
            ("python3.11", Dialect::Python),
            ("ruby3.1", Dialect::Python),
            ("node20", Dialect::Node),
            ("java17", Dialect::Java),
            ("php8.2(third party)", Dialect::Php),
        ] {
            let escaped = map[name].as_array().unwrap();
            assert_eq!(characters.len(), escaped.len());
            for (character, expected) in characters.iter().zip(escaped) {
                let character = character.as_str().unwrap();
                assert_eq!(dialect.escaped(character), expected.as_str().unwrap(), "{name} {character}");
            }
        }
    }
}
