//! Content codings: gzip, br and zstd taken off an origin's body within limits, and put on for a client.
//!
//! A small body can decode to gigabytes. Decoding is done in pieces and stops at the first one beyond a
//! limit.

use std::io::{Read, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    Identity,
    Gzip,
    Br,
    Zstd,
}

/// How much a coded body may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub coded_bytes_max: usize,
    pub decoded_bytes_max: usize,
    /// Decoded bytes per coded byte, judged once more than `ratio_free_bytes` have come out.
    pub ratio_max: usize,
    pub ratio_free_bytes: usize,
}

impl Default for Limits {
    /// Playlists of long, equal lines reach ratios of 100; gzip cannot exceed 1032.
    fn default() -> Self {
        Self {
            coded_bytes_max: 4 * 1024 * 1024,
            decoded_bytes_max: 8 * 1024 * 1024,
            ratio_max: 250,
            ratio_free_bytes: 64 * 1024,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    #[error("the content coding `{0}` is not known")]
    UnknownCoding(String),
    #[error("{0} content codings on one body, at most {CODINGS_MAX} are taken off")]
    TooManyCodings(usize),
    #[error("the coded body has {bytes} bytes, the limit is {bytes_max}")]
    CodedTooLarge { bytes: usize, bytes_max: usize },
    #[error("the body decodes to more than {bytes_max} bytes")]
    DecodedTooLarge { bytes_max: usize },
    #[error("the body decodes to more than {ratio_max} times its size")]
    RatioTooHigh { ratio_max: usize },
    #[error("the coded body is damaged: {0}")]
    Damaged(String),
}

const CODINGS_MAX: usize = 2;
const PIECE_BYTES: usize = 16 * 1024;
/// RFC 9659: a decoder for HTTP need not take windows over 8 MB (2 to the 23).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// A playlist is coded anew for each viewer. Its text repeats so much that higher levels cost time and save
/// little.
const GZIP_LEVEL: u32 = 4;
const BR_QUALITY: u32 = 3;
const BR_WINDOW_LOG: u32 = 18;
const ZSTD_LEVEL: i32 = 1;

impl Coding {
    /// The coding by its registered name, without case; `x-gzip` is gzip (RFC 9110, section 8.4.1.3).
    pub fn parse(name: &str) -> Option<Self> {
        let names = [
            ("identity", Self::Identity),
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("br", Self::Br),
            ("zstd", Self::Zstd),
        ];
        let found = names.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, coding)| coding)
    }

    /// The value for `Content-Encoding`; None for identity, which stands in no header.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Br => Some("br"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The codings of a `Content-Encoding` value, in the order in which they were applied.
pub fn content_codings(header: &str) -> Result<Vec<Coding>, EncodingError> {
    let names = header.split(',').map(str::trim).filter(|name| !name.is_empty());
    let codings = names
        .map(|name| Coding::parse(name).ok_or_else(|| EncodingError::UnknownCoding(name.to_owned())))
        .filter(|coding| *coding != Ok(Coding::Identity))
        .collect::<Result<Vec<_>, _>>()?;
    if codings.len() > CODINGS_MAX {
        return Err(EncodingError::TooManyCodings(codings.len()));
    }
    Ok(codings)
}

/// Takes all codings of a body off, the last one first.
pub fn decode_all(codings: &[Coding], body: &[u8], limits: &Limits) -> Result<Vec<u8>, EncodingError> {
    let mut decoded: Option<Vec<u8>> = None;
    for coding in codings.iter().rev() {
        decoded = Some(decode(*coding, decoded.as_deref().unwrap_or(body), limits)?);
    }
    Ok(decoded.unwrap_or_else(|| body.to_vec()))
}

/// Takes one coding off.
pub fn decode(coding: Coding, body: &[u8], limits: &Limits) -> Result<Vec<u8>, EncodingError> {
    if body.len() > limits.coded_bytes_max {
        return Err(EncodingError::CodedTooLarge { bytes: body.len(), bytes_max: limits.coded_bytes_max });
    }
    let damaged = |error: std::io::Error| EncodingError::Damaged(error.to_string());
    match coding {
        Coding::Identity => Ok(body.to_vec()),
        Coding::Gzip => drain(flate2::bufread::MultiGzDecoder::new(body), body.len(), limits),
        Coding::Br => drain(brotli::Decompressor::new(body, PIECE_BYTES), body.len(), limits),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(damaged)?;
            drain(decoder, body.len(), limits)
        }
    }
}

fn drain(mut reader: impl Read, body_bytes: usize, limits: &Limits) -> Result<Vec<u8>, EncodingError> {
    let mut decoded = Vec::with_capacity(body_bytes.saturating_mul(4).min(limits.decoded_bytes_max));
    let mut piece = [0; PIECE_BYTES];
    loop {
        let length = match reader.read(&mut piece) {
            Ok(0) => return Ok(decoded),
            Ok(length) => length,
            Err(error) => return Err(EncodingError::Damaged(error.to_string())),
        };
        let total = decoded.len() + length;
        if total > limits.decoded_bytes_max {
            return Err(EncodingError::DecodedTooLarge { bytes_max: limits.decoded_bytes_max });
        }
        if total > limits.ratio_free_bytes && total > body_bytes.saturating_mul(limits.ratio_max) {
            return Err(EncodingError::RatioTooHigh { ratio_max: limits.ratio_max });
        }
        decoded.extend_from_slice(&piece[..length]);
    }
}

/// The first bytes, `bytes_max` at most, of what begins with `coded`; fewer, or none, when `coded` ends before they are
/// known.
pub fn decode_start(coding: Coding, coded: &[u8], bytes_max: usize) -> Vec<u8> {
    let mut start = Vec::with_capacity(bytes_max);
    // An error is the end of what can be known: the rest of the body is not there.
    let _ = match coding {
        Coding::Identity => Read::take(coded, bytes_max as u64).read_to_end(&mut start),
        Coding::Gzip => flate2::bufread::GzDecoder::new(coded).take(bytes_max as u64).read_to_end(&mut start),
        Coding::Br => {
            brotli::Decompressor::new(coded, PIECE_BYTES).take(bytes_max as u64).read_to_end(&mut start)
        }
        Coding::Zstd => zstd::stream::read::Decoder::with_buffer(coded).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            decoder.take(bytes_max as u64).read_to_end(&mut start)
        }),
    };
    start
}

/// Puts one coding on.
pub fn encode(coding: Coding, body: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let damaged = |error: std::io::Error| EncodingError::Damaged(error.to_string());
    match coding {
        Coding::Identity => Ok(body.to_vec()),
        Coding::Gzip => {
            let buffer = Vec::with_capacity(body.len() / 4);
            let mut encoder = flate2::write::GzEncoder::new(buffer, flate2::Compression::new(GZIP_LEVEL));
            encoder.write_all(body).map_err(damaged)?;
            encoder.finish().map_err(damaged)
        }
        Coding::Br => {
            let buffer = Vec::with_capacity(body.len() / 4);
            let mut encoder = brotli::CompressorWriter::new(buffer, PIECE_BYTES, BR_QUALITY, BR_WINDOW_LOG);
            encoder.write_all(body).map_err(damaged)?;
            encoder.flush().map_err(damaged)?;
            Ok(encoder.into_inner())
        }
        Coding::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL).map_err(damaged),
    }
}

/// The coding to answer with, by the client's `Accept-Encoding` (RFC 9110, section 12.5.3): of the `offered`
/// ones that with the highest weight, and among equals the first offered. Identity when there is no header,
/// or when nothing offered is acceptable: the RFC lets a server disregard the header then.
pub fn choose(accept_encoding: Option<&str>, offered: &[Coding]) -> Coding {
    let Some(header) = accept_encoding else { return Coding::Identity };
    let mut weights: Vec<(Option<Coding>, u16)> = Vec::new();
    for item in header.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let coding = match Coding::parse(name) {
            Some(coding) => Some(coding),
            None if name == "*" => None,
            None => continue,
        };
        let weight = parts.find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()))
        });
        weights.push((coding, weight.unwrap_or(1000)));
    }
    let listed = |coding: Coding| weights.iter().find(|(known, _)| *known == Some(coding)).map(|(_, q)| *q);
    let any = weights.iter().find(|(known, _)| known.is_none()).map(|(_, q)| *q);
    let mut best = (Coding::Identity, listed(Coding::Identity).unwrap_or(0));
    for coding in offered.iter().copied().filter(|coding| *coding != Coding::Identity) {
        let weight = listed(coding).or(any).unwrap_or(0);
        let beats_identity = best.0 == Coding::Identity && weight >= best.1;
        if weight > 0 && (weight > best.1 || beats_identity) {
            best = (coding, weight);
        }
    }
    best.0
}

/// `qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )`. What is none counts as refused.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    match whole {
        "1" => 1000,
        "0" => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}
