//! Percent-escapes: decoding once, and encoding with lower-case hex as Akamai does.

use std::borrow::Cow;

/// Where an escaped value will stand; decides which bytes stay raw. Letters, digits and `- . _ ~ * !` always do, `%` and
/// `+` never (a literal `%` has to survive one decoding, and form decoders read `+` as a space).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A component of a path: `,` stays raw too.
    Path,
    /// The value of a query parameter: `, / : = @ ( )` stay raw too, so that `acl=/*` reads as it was written.
    Query,
    /// A cookie's value: RFC 6265, section 4.1.1, leaves out "whitespace, DQUOTE, comma, semicolon, and backslash".
    Cookie,
}

impl Place {
    const fn keeps(self, byte: u8) -> bool {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'*' | b'!' => true,
            b',' => matches!(self, Self::Path | Self::Query),
            b'/' | b':' | b'=' | b'@' | b'(' | b')' => matches!(self, Self::Query),
            _ => false,
        }
    }
}

/// Appends `text` to `out` with every byte that may not stand raw in `place` as `%xx`.
pub fn encode_into(out: &mut String, text: &str, place: Place) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !place.keeps(byte)) {
        // What is kept is ASCII, and so no character is cut in two before or after the one that is not.
        let (kept, after) = rest.split_at(at);
        out.push_str(kept);
        let Some(character) = after.chars().next() else { break };
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            push_escape(out, byte);
        }
        rest = &after[character.len_utf8()..];
    }
    out.push_str(rest);
}

/// Appends `%xx` with lower-case hex, as Akamai writes it.
pub fn push_escape(out: &mut String, byte: u8) {
    push_digits(out, byte, b"0123456789abcdef");
}

/// Appends `%XX` with upper-case hex, as RFC 3986, section 2.1, asks of normal forms.
pub fn push_upper_escape(out: &mut String, byte: u8) {
    push_digits(out, byte, b"0123456789ABCDEF");
}

fn push_digits(out: &mut String, byte: u8, digits: &[u8; 16]) {
    out.push('%');
    out.push(char::from(digits[usize::from(byte >> 4)]));
    out.push(char::from(digits[usize::from(byte & 15)]));
}

/// Decodes every escape once, either case of hex; `+` stays `+`. `None` when an escape is broken or the result is not UTF-8.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut buffer = vec![0; text.len()];
    let length = decode_into(text.as_bytes(), &mut buffer)?;
    buffer.truncate(length);
    String::from_utf8(buffer).ok().map(Cow::Owned)
}

/// [`decode`] into a buffer of the caller's, without allocating: the length written, or `None` when an escape is broken or
/// the buffer is too small.
pub fn decode_into(text: &[u8], buffer: &mut [u8]) -> Option<usize> {
    let (mut rest, mut written) = (text, 0);
    loop {
        let run = memchr::memchr(b'%', rest).unwrap_or(rest.len());
        let (raw, escape) = rest.split_at(run);
        buffer.get_mut(written..written + run)?.copy_from_slice(raw);
        written += run;
        let Some((_, digits)) = escape.split_first() else { return Some(written) };
        *buffer.get_mut(written)? = escaped_byte(digits)?;
        written += 1;
        rest = &digits[2..];
    }
}

/// The byte that two hex digits at the start of `digits` stand for.
pub fn escaped_byte(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    Some(hex_value(*high)? << 4 | hex_value(*low)?)
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// RFC 3986, section 2.3: `unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~"`.
pub const fn is_unreserved(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(text: &str, place: Place) -> String {
        let mut out = String::new();
        encode_into(&mut out, text, place);
        out
    }

    #[test]
    fn each_place_keeps_what_it_may_and_escapes_in_lower_case() {
        let text = "/a:*!,=~;\"\\ +%é";
        assert_eq!(encoded(text, Place::Path), "%2fa%3a*!,%3d~%3b%22%5c%20%2b%25%c3%a9");
        assert_eq!(encoded(text, Place::Query), "/a:*!,=~%3b%22%5c%20%2b%25%c3%a9");
        assert_eq!(encoded(text, Place::Cookie), "%2fa%3a*!%2c%3d~%3b%22%5c%20%2b%25%c3%a9");
    }

    #[test]
    fn decoding_takes_either_case_and_leaves_plus_alone() {
        assert_eq!(decode("%2f%2F+%25").as_deref(), Some("//+%"));
        for broken in ["%", "%2", "%zz", "a%f", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in any::<String>()) {
            for place in [Place::Path, Place::Query, Place::Cookie] {
                let escaped = encoded(&text, place);
                let decoded = decode(&escaped);
                prop_assert_eq!(decoded.as_deref(), Some(text.as_str()));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let _ = decode(&text);
            let mut small = [0; 8];
            let _ = decode_into(text.as_bytes(), &mut small);
        }
    }
}
