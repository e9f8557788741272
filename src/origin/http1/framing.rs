//! Where the body of an HTTP/1 answer ends: a length, chunks, or the end of the connection (RFC 9112 §6.3, §7.1).
//!
//! Nothing here waits: bytes go into a buffer from outside, and what they come to is taken out. However the same bytes
//! are cut up, the same body comes out.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of chunk extensions in one body: nobody has a use for them.
const EXTENSION_BYTES_MAX: u32 = 16 << 10;

/// Bytes of trailer fields after the last chunk. They are read and dropped.
const TRAILER_BYTES_MAX: u32 = 16 << 10;

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked(Chunks),
    /// All that comes until the connection ends.
    UntilClose,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    at: At,
    extension_bytes: u32,
    trailer_bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The first digit of a size.
    SizeBegins,
    Size(u64),
    /// After the size: white space.
    SizeEnds(u64),
    Extension(u64),
    /// The line feed after a size.
    SizeLineFeed(u64),
    Data(u64),
    DataReturn,
    DataLineFeed,
    /// The first byte of a line after the last chunk.
    TrailerBegins,
    Trailer,
    TrailerLineFeed,
    LastLineFeed,
    End,
    Failed(ChunkFault),
}

/// What is wrong with a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    #[error("the size of a chunk is no hexadecimal number")]
    Size,
    #[error("the size of a chunk is beyond 64 bits")]
    TooLarge,
    #[error("a line of a chunk does not end with CR and LF")]
    LineEnd,
    #[error("a chunk is followed by other bytes than CR and LF")]
    DataEnd,
    #[error("the chunk extensions are over {EXTENSION_BYTES_MAX} bytes")]
    Extensions,
    #[error("the trailer fields are over {TRAILER_BYTES_MAX} bytes")]
    Trailers,
}

/// What the bytes in the buffer come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Data(Bytes),
    /// More bytes are needed.
    More,
    End,
}

impl Framing {
    pub const fn chunked() -> Self {
        Self::Chunked(Chunks { at: At::SizeBegins, extension_bytes: 0, trailer_bytes: 0 })
    }

    /// Takes the next piece of the body out of `buffer`, and no byte beyond the body.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Step, ChunkFault> {
        self.pass_over(buffer)?;
        let left = match self {
            Self::Length(left) | Self::Chunked(Chunks { at: At::Data(left), .. }) => left,
            Self::Chunked(Chunks { at: At::End, .. }) => return Ok(Step::End),
            Self::Chunked(_) => return Ok(Step::More),
            Self::UntilClose if buffer.is_empty() => return Ok(Step::More),
            Self::UntilClose => return Ok(Step::Data(buffer.split().freeze())),
        };
        if *left == 0 {
            return Ok(Step::End);
        }
        if buffer.is_empty() {
            return Ok(Step::More);
        }
        let count = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        *left -= count as u64;
        let data = buffer.split_to(count).freeze();
        // So that the end is known with the last byte. What is wrong behind this piece is said when the next is asked for.
        let _ = self.pass_over(buffer);
        Ok(Step::Data(data))
    }

    /// Whether all of the body was taken.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks { at: At::End, .. }))
    }

    /// Whether the connection may end here.
    pub const fn may_end(&self) -> bool {
        matches!(self, Self::UntilClose) || self.is_over()
    }

    /// Whether all that comes is body, and more of it than `bytes`, as far as is known.
    pub const fn is_plain_beyond(&self, bytes: u64) -> bool {
        match self {
            Self::Length(left) => *left > bytes,
            Self::Chunked(_) => false,
            Self::UntilClose => true,
        }
    }

    /// Notes bytes of a body that is nothing but body; how many of them belong to it.
    pub fn take_plain(&mut self, count: usize) -> usize {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(count);
                *left -= taken as u64;
                taken
            }
            Self::Chunked(_) | Self::UntilClose => count,
        }
    }

    /// How many bytes are still to come, where that is known.
    pub const fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(Chunks { at: At::End, .. }) => Some(0),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Takes what stands between the chunks' data out of the buffer.
    fn pass_over(&mut self, buffer: &mut BytesMut) -> Result<(), ChunkFault> {
        let Self::Chunked(chunks) = self else { return Ok(()) };
        if let At::Failed(fault) = chunks.at {
            return Err(fault);
        }
        let mut taken = 0;
        for &byte in buffer.iter() {
            if matches!(chunks.at, At::Data(_) | At::End) {
                break;
            }
            taken += 1;
            chunks.at = chunks.after(byte).unwrap_or_else(At::Failed);
            if let At::Failed(fault) = chunks.at {
                return Err(fault);
            }
        }
        buffer.advance(taken);
        if let At::Data(0) = chunks.at {
            chunks.at = At::DataReturn;
            return self.pass_over(buffer);
        }
        Ok(())
    }
}

impl Chunks {
    fn after(&mut self, byte: u8) -> Result<At, ChunkFault> {
        Ok(match (self.at, byte) {
            (At::SizeBegins, byte) => At::Size(digit(byte).ok_or(ChunkFault::Size)?),
            (At::Size(size) | At::SizeEnds(size) | At::Extension(size), b'\r') => At::SizeLineFeed(size),
            (At::Size(size) | At::SizeEnds(size), b';') => self.extended(size)?,
            (At::Size(size) | At::SizeEnds(size), b' ' | b'\t') => {
                self.extended(size)?;
                At::SizeEnds(size)
            }
            (At::Size(size), byte) => {
                let digit = digit(byte).ok_or(ChunkFault::Size)?;
                let size = size.checked_mul(16).ok_or(ChunkFault::TooLarge)?;
                At::Size(size | digit)
            }
            (At::SizeEnds(_), _) => return Err(ChunkFault::Size),
            (At::Extension(_), b'\n' | 0) => return Err(ChunkFault::LineEnd),
            (At::Extension(size), _) => self.extended(size)?,
            (At::SizeLineFeed(0) | At::TrailerLineFeed, b'\n') => At::TrailerBegins,
            (At::SizeLineFeed(size), b'\n') => At::Data(size),
            (At::DataReturn, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::SizeBegins,
            (At::DataReturn | At::DataLineFeed, _) => return Err(ChunkFault::DataEnd),
            (At::TrailerBegins, b'\r') => At::LastLineFeed,
            (At::Trailer, b'\r') => At::TrailerLineFeed,
            (At::LastLineFeed, b'\n') => At::End,
            (At::SizeLineFeed(_) | At::TrailerLineFeed | At::LastLineFeed, _)
            | (At::TrailerBegins | At::Trailer, b'\n' | 0) => return Err(ChunkFault::LineEnd),
            (At::TrailerBegins | At::Trailer, _) => {
                self.trailer_bytes += 1;
                if self.trailer_bytes > TRAILER_BYTES_MAX {
                    return Err(ChunkFault::Trailers);
                }
                At::Trailer
            }
            (At::Failed(fault), _) => return Err(fault),
            (at @ (At::Data(_) | At::End), _) => at,
        })
    }

    fn extended(&mut self, size: u64) -> Result<At, ChunkFault> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            Err(ChunkFault::Extensions)
        } else {
            Ok(At::Extension(size))
        }
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body that comes out when `bytes` arrive cut at these places, and what is left behind it.
    fn read(
        mut framing: Framing,
        bytes: &[u8],
        cuts: &[usize],
    ) -> Result<(Vec<u8>, bool, Vec<u8>), ChunkFault> {
        let (mut buffer, mut body, mut from) = (BytesMut::new(), Vec::new(), 0);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        for to in cuts {
            buffer.extend_from_slice(&bytes[from..to]);
            from = to;
            while let Step::Data(data) = framing.next(&mut buffer)? {
                body.extend_from_slice(&data);
            }
        }
        Ok((body, framing.is_over(), buffer.to_vec()))
    }

    fn chunked(bytes: &str) -> Result<(Vec<u8>, bool, Vec<u8>), ChunkFault> {
        read(Framing::chunked(), bytes.as_bytes(), &[])
    }

    #[test]
    fn a_length_is_kept_to() {
        assert_eq!(read(Framing::Length(3), b"abcde", &[]), Ok((b"abc".to_vec(), true, b"de".to_vec())));
        assert_eq!(read(Framing::Length(3), b"ab", &[]), Ok((b"ab".to_vec(), false, Vec::new())));
        assert_eq!(read(Framing::Length(0), b"x", &[]), Ok((Vec::new(), true, b"x".to_vec())));
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection_alone() {
        assert_eq!(read(Framing::UntilClose, b"ab", &[1]), Ok((b"ab".to_vec(), false, Vec::new())));
        assert!(Framing::UntilClose.may_end());
        assert!(!Framing::chunked().may_end());
    }

    #[test]
    fn chunks_are_put_together() {
        for (bytes, body, rest) in [
            ("0\r\n\r\n", "", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc", ""),
            ("3\r\nabc\r\n0\r\n\r\nHTTP/1.1", "abc", "HTTP/1.1"),
            ("03 \t\r\nabc\r\n00\r\n\r\n", "abc", ""),
            ("3;a=b;c=\"d\"\r\nabc\r\nA\r\n0123456789\r\n0;last\r\nx: y\r\nz:\r\n\r\n", "abc0123456789", ""),
        ] {
            let expected = (body.as_bytes().to_vec(), true, rest.as_bytes().to_vec());
            assert_eq!(chunked(bytes), Ok(expected), "{bytes:?}");
        }
        assert_eq!(
            chunked("3\r\nabc\r\n0\r\n"),
            Ok((b"abc".to_vec(), false, Vec::new())),
            "the end is missing"
        );
    }

    #[test]
    fn chunks_that_are_malformed_are_refused() {
        for (bytes, fault) in [
            ("\r\n", ChunkFault::Size),
            ("x\r\n", ChunkFault::Size),
            ("-3\r\nabc\r\n", ChunkFault::Size),
            ("+3\r\nabc\r\n", ChunkFault::Size),
            ("0x3\r\nabc\r\n", ChunkFault::Size),
            (" 3\r\nabc\r\n", ChunkFault::Size),
            ("3 3\r\nabc\r\n", ChunkFault::Size),
            (";\r\n", ChunkFault::Size),
            ("11111111111111111\r\n", ChunkFault::TooLarge),
            ("3\nabc\r\n", ChunkFault::Size),
            ("3\rabc", ChunkFault::LineEnd),
            ("3;a\nabc\r\n", ChunkFault::LineEnd),
            ("3;a\0b\r\nabc", ChunkFault::LineEnd),
            ("3\r\nabcd\r\n", ChunkFault::DataEnd),
            ("3\r\nabc\n", ChunkFault::DataEnd),
            ("3\r\nabc\r3", ChunkFault::DataEnd),
            ("0\r\n\n", ChunkFault::LineEnd),
            ("0\r\n\rx", ChunkFault::LineEnd),
            ("0\r\na: b\nc", ChunkFault::LineEnd),
            ("0\r\na\0b", ChunkFault::LineEnd),
            ("0\r\na: b\rc", ChunkFault::LineEnd),
        ] {
            assert_eq!(chunked(bytes), Err(fault), "{bytes:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = "x".repeat(20 << 10);
        assert_eq!(chunked(&format!("3;{long}\r\nabc\r\n")), Err(ChunkFault::Extensions));
        assert_eq!(chunked(&"1;1234567\r\na\r\n".repeat(3_000)), Err(ChunkFault::Extensions), "all together");
        assert_eq!(chunked(&format!("1{}", " ".repeat(20 << 10))), Err(ChunkFault::Extensions));
        assert_eq!(chunked(&format!("0\r\na: {long}\r\n\r\n")), Err(ChunkFault::Trailers));
        assert_eq!(chunked(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(10_000))), Err(ChunkFault::Trailers));
    }

    #[test]
    fn what_was_refused_stays_refused() {
        let mut framing = Framing::chunked();
        assert!(framing.next(&mut BytesMut::from("x")).is_err());
        assert!(framing.next(&mut BytesMut::from("3\r\nabc\r\n0\r\n\r\n")).is_err());
        assert!(!framing.may_end());
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_body_is_the_same(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            rest in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend_from_slice(format!("{:x};e=1\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\nt: 1\r\n\r\n");
            bytes.extend_from_slice(&rest);
            prop_assert_eq!(read(Framing::chunked(), &bytes, &cuts), Ok((chunks.concat(), true, rest)));
        }

        #[test]
        fn however_any_bytes_are_cut_they_come_to_the_same(
            bytes in "[0-9a-f;\r\n x]{0,60}",
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let whole = read(Framing::chunked(), bytes.as_bytes(), &[]);
            prop_assert_eq!(read(Framing::chunked(), bytes.as_bytes(), &cuts), whole);
        }
    }
}
