//! The written form of what is kept of an answer, for a place that outlives the process: numbers little-endian, bytes after
//! their count. What does not read to its end is no such form.

use std::time::Duration;

/// Appends to a form.
#[derive(Debug)]
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub fn optional(&mut self, bytes: Option<&[u8]>) {
        self.byte(u8::from(bytes.is_some()));
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }

    pub fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub fn duration(&mut self, duration: Duration) {
        self.0.extend_from_slice(&duration.as_secs().to_le_bytes());
        self.0.extend_from_slice(&duration.subsec_nanos().to_le_bytes());
    }
}

/// Takes from a form, in the order in which it was written.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// A truth: 0 or 1.
    pub fn truth(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub fn count(&mut self) -> Option<usize> {
        let (count, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        usize::try_from(u32::from_le_bytes(*count)).ok()
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Nothing for a fault, `Some(None)` where there is no value.
    pub fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        if self.truth()? { self.bytes().map(Some) } else { Some(None) }
    }

    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    pub fn duration(&mut self) -> Option<Duration> {
        let (seconds, rest) = self.0.split_first_chunk()?;
        let (nanoseconds, rest) = rest.split_first_chunk()?;
        self.0 = rest;
        let nanoseconds = u32::from_le_bytes(*nanoseconds);
        (nanoseconds < 1_000_000_000).then(|| Duration::new(u64::from_le_bytes(*seconds), nanoseconds))
    }

    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}
