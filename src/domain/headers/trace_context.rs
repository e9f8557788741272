//! `traceparent` (W3C Trace Context): which trace a request belongs to, and under which of its spans.

use http::{HeaderMap, HeaderName, HeaderValue};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-` + 32 digits + `-` + 16 digits + `-` + 2 digits.
const BYTES: usize = 55;

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// Whether spans of this trace are recorded.
    pub is_sampled: bool,
}

impl TraceContext {
    /// What a request says. Trace Context §3.2: "If the vendor failed to parse traceparent, it MUST NOT attempt to parse tracestate"; it is
    /// as if there were none. Two of them are none, too.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (first, None) = (given.next()?, given.next()) else { return None };
        Self::parse(first.as_bytes())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(BYTES)?;
        let [version] = digits(&known[..2])?;
        // §3.2.4: of a later version the first parts are read, and what follows begins with a dash.
        let is_of_version = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more[0] == b'-',
        };
        let has_dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        if !is_of_version || !has_dashes {
            return None;
        }
        let (trace, span, [flags]) = (digits(&known[3..35])?, digits(&known[36..52])?, digits(&known[53..])?);
        // §3.2.2.3: "All bytes as zero is considered an invalid value."
        let is_set = trace != [0; 16] && span != [0; 8];
        is_set.then_some(Self { trace, span, is_sampled: flags & 1 == 1 })
    }

    pub fn value(&self) -> HeaderValue {
        let mut text = [b'-'; BYTES];
        text[..2].copy_from_slice(b"00");
        write(&self.trace, &mut text[3..35]);
        write(&self.span, &mut text[36..52]);
        write(&[u8::from(self.is_sampled)], &mut text[53..]);
        HeaderValue::from_bytes(&text).expect("digits and dashes are visible ASCII")
    }
}

/// Lower-case digits alone: §3.2.2 names no other.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn write(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_again() {
        let read = TraceContext::parse(GIVEN.as_bytes()).expect("the example of the standard");
        assert!(read.is_sampled);
        assert_eq!(read.value(), GIVEN);
        let later = TraceContext::parse(format!("cc{}-what", &GIVEN[2..]).as_bytes());
        assert_eq!(later, Some(read));
    }

    #[test]
    fn what_is_malformed_is_no_context() {
        for text in [
            "",
            "00",
            &GIVEN[..54],
            &format!("{GIVEN}-x"),
            &format!("cc{}x", &GIVEN[2..]),
            &format!("ff{}", &GIVEN[2..]),
            &GIVEN.to_uppercase(),
            &GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GIVEN.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GIVEN.replacen('-', "_", 1),
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GIVEN));
        assert!(TraceContext::read(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GIVEN));
        assert_eq!(TraceContext::read(&headers), None);
    }
}
