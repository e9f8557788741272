//! Base64 for URLs (RFC 4648 §5), strict: the bits beyond the last byte are zero, so that one value has one text.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// As JOSE has it, RFC 7515 §2: "with all trailing '=' characters omitted".
const BARE: GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Padded or not.
const EITHER: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    BARE.encode(bytes)
}

/// What an unpadded text stands for.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    BARE.decode(text).ok()
}

/// What a text stands for, padded or not.
pub fn decode_either(text: &str) -> Option<Vec<u8>> {
    EITHER.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_text() {
        assert_eq!(decode("-_8").as_deref(), Some([0xfb, 0xff].as_slice()));
        for odd in ["-_9", "-_8=", "+/8", "-_8 ", "-_8\n", "A"] {
            assert_eq!(decode(odd), None, "{odd}");
        }
        assert_eq!(decode_either("-_8="), decode("-_8"));
        assert_eq!(decode_either("-_9="), None);
    }
}
