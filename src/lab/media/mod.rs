//! The ladder that is part of the binary: its tracks, their segments, and the bytes of each file.

pub mod retime;

use std::time::Duration;

use bytes::Bytes;

/// The files that `make.sh` made.
#[derive(rust_embed::Embed)]
#[folder = "src/lab/media/ladder"]
struct Files;

/// Length of the clip. A whole number of pictures and of AAC frames, so that it loops without a gap.
pub const CLIP: Duration = Duration::from_secs(32);
/// Nominal length of each segment; an audio segment is up to one AAC frame longer or shorter.
pub const SEGMENT: Duration = Duration::from_secs(2);
/// Segments of the clip, in every track.
pub const SEGMENTS: usize = 16;
/// When the ladder was made (2026-11-22), in Unix time: the `Last-Modified` of all that does not change.
pub const MADE_AT: Duration = Duration::from_hours(20_779 * 24);

/// How the media are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packaging {
    /// MPEG transport stream.
    Ts,
    /// Fragmented MP4 with an initialisation segment (CMAF).
    Fmp4,
    /// MPEG transport stream, each segment under AES-128 in CBC mode.
    Aes,
}

impl Packaging {
    pub const ALL: [Self; 3] = [Self::Ts, Self::Fmp4, Self::Aes];

    /// The folder in the ladder and the component in a stream's path.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Ts => "ts",
            Self::Fmp4 => "fmp4",
            Self::Aes => "aes",
        }
    }

    pub const fn extension(self) -> &'static str {
        match self {
            Self::Ts | Self::Aes => "ts",
            Self::Fmp4 => "m4s",
        }
    }

    /// The tracks that exist in this packaging.
    const fn track_names(self) -> &'static [&'static str] {
        match self {
            Self::Ts | Self::Fmp4 => &["v240", "v360", "v540", "a-en", "a-es"],
            Self::Aes => &["v240", "v360", "a-en"],
        }
    }
}

/// What a track carries, and what a multivariant playlist says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Video { width: u16, height: u16, codec: &'static str },
    Audio { language: &'static str, name: &'static str, is_default: bool },
}

/// The codec of every audio track (AAC-LC).
pub const AUDIO_CODEC: &str = "mp4a.40.2";
/// Pictures per second of every video track.
pub const FRAME_RATE: &str = "25.000";

/// One rendition in one packaging.
#[derive(Clone, Debug)]
pub struct Track {
    pub name: &'static str,
    pub kind: Kind,
    pub segments: Vec<Segment>,
    /// For moving its transport stream on by whole clips.
    packets: retime::PacketCounts,
}

/// One segment of a track.
#[derive(Clone, Debug)]
pub struct Segment {
    /// From the start of the clip.
    pub start: Duration,
    pub duration: Duration,
    pub file: File,
    /// Bytes from the segment's start to the end of its first picture, where that is known (fMP4 video).
    pub first_picture_bytes: Option<u64>,
}

/// The bytes of one embedded file, and an entity tag made of their hash.
#[derive(Clone, Debug)]
pub struct File {
    pub bytes: Bytes,
    pub etag: String,
}

/// Everything of one packaging.
#[derive(Clone, Debug)]
pub struct Ladder {
    pub packaging: Packaging,
    pub tracks: Vec<Track>,
    /// The initialisation segments, by track name (fMP4 only).
    inits: Vec<(&'static str, File)>,
    /// The content key (AES-128 only).
    pub key: Option<File>,
}

impl Ladder {
    /// Reads the index of the embedded files.
    pub fn embedded(packaging: Packaging) -> Self {
        let folder = packaging.folder();
        let names = packaging.track_names();
        let tracks = names.iter().map(|name| track(packaging, name)).collect();
        let inits = names
            .iter()
            .filter_map(|name| Some((*name, file(&format!("{folder}/{name}/init.mp4"))?)))
            .collect();
        Self { packaging, tracks, inits, key: file(&format!("{folder}/key.bin")) }
    }

    pub fn track(&self, name: &str) -> Option<&Track> {
        self.tracks.iter().find(|track| track.name == name)
    }

    pub fn init(&self, name: &str) -> Option<&File> {
        self.inits.iter().find(|(track, _)| *track == name).map(|(_, file)| file)
    }
}

impl Track {
    /// The segment at this place of the clip after so many loops of it.
    pub fn looped(&self, packaging: Packaging, place: usize, loops: u64) -> Option<File> {
        let file = &self.segments.get(place)?.file;
        let bytes = match packaging {
            _ if loops == 0 => return Some(file.clone()),
            Packaging::Ts => retime::transport_stream(&file.bytes, loops, &self.packets),
            Packaging::Fmp4 => retime::fragmented(&file.bytes, loops),
            // Nothing inside can be moved: encrypted streams are not looped.
            Packaging::Aes => return None,
        };
        let etag = format!("\"{}-{loops}\"", file.etag.trim_matches('"'));
        Some(File { bytes: Bytes::from(bytes), etag })
    }

    /// The greatest and the mean bit rate of the segments, in bits per second.
    pub fn bit_rates(&self) -> (u64, u64) {
        let micros: u128 = self.segments.iter().map(|segment| segment.duration.as_micros()).sum();
        let bytes: u64 = self.segments.iter().map(|segment| segment.file.bytes.len() as u64).sum();
        let peak =
            self.segments.iter().map(|s| bits_per_second(s.file.bytes.len() as u64, s.duration.as_micros()));
        (peak.max().unwrap_or(0), bits_per_second(bytes, micros))
    }
}

fn bits_per_second(bytes: u64, micros: u128) -> u64 {
    let bits = u128::from(bytes) * 8 * 1_000_000;
    u64::try_from(bits.div_ceil(micros.max(1))).unwrap_or(u64::MAX)
}

fn track(packaging: Packaging, name: &'static str) -> Track {
    let folder = format!("{}/{name}", packaging.folder());
    let durations = lines(&format!("{folder}/durations.txt"));
    let pictures = lines(&format!("{folder}/iframes.txt"));
    let mut start = Duration::ZERO;
    let mut segments = Vec::with_capacity(SEGMENTS);
    for (number, duration) in durations.iter().enumerate() {
        let duration =
            Duration::from_secs_f64(duration.parse().expect("make.sh writes one decimal per line"));
        let file = file(&format!("{folder}/{number:02}.{}", packaging.extension()))
            .expect("make.sh writes one segment per duration");
        let first_picture_bytes = pictures.get(number).and_then(|bytes| bytes.parse().ok());
        segments.push(Segment { start, duration, file, first_picture_bytes });
        start += duration;
    }
    let mut packets = Vec::new();
    if packaging == Packaging::Ts {
        for segment in &segments {
            retime::count_packets(&segment.file.bytes, &mut packets);
        }
    }
    Track { name, kind: kind(name), segments, packets }
}

fn kind(name: &str) -> Kind {
    match name {
        "v240" => Kind::Video { width: 426, height: 240, codec: "avc1.640015" },
        "v360" => Kind::Video { width: 640, height: 360, codec: "avc1.64001e" },
        "v540" => Kind::Video { width: 960, height: 540, codec: "avc1.64001f" },
        "a-es" => Kind::Audio { language: "es", name: "Español", is_default: false },
        _ => Kind::Audio { language: "en", name: "English", is_default: true },
    }
}

fn file(path: &str) -> Option<File> {
    let embedded = Files::get(path)?;
    let hash = embedded.metadata.sha256_hash();
    let etag = format!("\"{:016x}\"", u64::from_be_bytes(std::array::from_fn(|i| hash[i])));
    let bytes = match embedded.data {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Some(File { bytes, etag })
}

fn lines(path: &str) -> Vec<String> {
    let bytes = file(path).map(|file| file.bytes).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_track_has_the_same_number_of_segments_and_fills_the_clip() {
        for packaging in Packaging::ALL {
            for track in Ladder::embedded(packaging).tracks {
                assert_eq!(track.segments.len(), SEGMENTS, "{packaging:?} {}", track.name);
                let last = track.segments.last().expect("a segment");
                let gap = (last.start + last.duration).abs_diff(CLIP);
                assert!(gap < Duration::from_millis(1), "{packaging:?} {}: {gap:?}", track.name);
                for (segment, nominal) in track.segments.iter().zip(0_u32..) {
                    let gap = segment.start.abs_diff(SEGMENT * nominal);
                    assert!(
                        gap < Duration::from_millis(22),
                        "{packaging:?} {} {nominal}: {gap:?}",
                        track.name
                    );
                }
            }
        }
    }

    /// RFC 6381, section 3.3: `avc1.` and the three bytes after `configurationVersion` of the `avcC` box.
    #[test]
    fn declared_codecs_are_those_of_the_initialisation_segments() {
        let ladder = Ladder::embedded(Packaging::Fmp4);
        for track in &ladder.tracks {
            let Kind::Video { codec, .. } = track.kind else { continue };
            let init = &ladder.init(track.name).expect("fMP4 has an initialisation segment").bytes;
            let at = memchr::memmem::find(init, b"avcC").expect("H.264") + 5;
            assert_eq!(codec, format!("avc1.{:02x}{:02x}{:02x}", init[at], init[at + 1], init[at + 2]));
        }
    }

    #[test]
    fn encrypted_segments_are_whole_blocks_and_differ_from_the_clear_ones() {
        let (clear, encrypted) = (Ladder::embedded(Packaging::Ts), Ladder::embedded(Packaging::Aes));
        assert_eq!(encrypted.key.as_ref().expect("a key").bytes.len(), 16);
        for track in &encrypted.tracks {
            let source = clear.track(track.name).expect("encrypted from a clear track");
            for (sealed, open) in track.segments.iter().zip(&source.segments) {
                assert_eq!(sealed.file.bytes.len(), open.file.bytes.len() / 16 * 16 + 16);
                assert_ne!(sealed.file.bytes[..188], open.file.bytes[..188]);
            }
        }
    }

    #[test]
    fn transport_streams_begin_with_the_sync_byte_and_fit_whole_packets() {
        for track in Ladder::embedded(Packaging::Ts).tracks {
            for segment in track.segments {
                assert_eq!(segment.file.bytes[0], 0x47);
                assert_eq!(segment.file.bytes.len() % 188, 0);
            }
        }
    }

    #[test]
    fn first_pictures_lie_inside_their_segments() {
        for track in Ladder::embedded(Packaging::Fmp4).tracks {
            let is_video = matches!(track.kind, Kind::Video { .. });
            for segment in &track.segments {
                assert_eq!(segment.first_picture_bytes.is_some(), is_video);
                assert!(
                    segment.first_picture_bytes.is_none_or(|n| n > 0 && n <= segment.file.bytes.len() as u64)
                );
            }
        }
    }
}
