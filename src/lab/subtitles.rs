//! The subtitles: `WebVTT` segments that tell the story of the exchange, one cue per four seconds, written at run time.

use std::fmt::Write as _;
use std::time::Duration;

use crate::lab::media::retime::TICKS;
use crate::lab::media::{CLIP, Packaging, SEGMENT, SEGMENTS};

/// One subtitle rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtitles {
    /// The folder of its playlist.
    pub track: &'static str,
    pub language: &'static str,
    pub name: &'static str,
    lines: [&'static str; SEGMENTS / 2],
}

pub const ALL: [Subtitles; 2] = [
    Subtitles {
        track: "s-en",
        language: "en",
        name: "English",
        lines: [
            "The player asks for an access token.",
            "It takes the token to the multivariant playlist.",
            "The edge checks the signature, the time and the ACL.",
            "A session token is minted in return.",
            "Every URI of the playlist carries it from here on.",
            "Children, segments and keys are checked again, each one.",
            "No token ever reaches the origin.",
            "And the water begins once more.",
        ],
    },
    Subtitles {
        track: "s-es",
        language: "es",
        name: "Español",
        lines: [
            "El reproductor pide un token de acceso.",
            "Con él pide la lista principal.",
            "El borde comprueba la firma, la hora y la ACL.",
            "A cambio recibe un token de sesión.",
            "Desde aquí lo lleva cada URI de la lista.",
            "Listas, segmentos y claves se comprueban uno a uno.",
            "Ningún token llega al origen.",
            "Y el agua vuelve a empezar.",
        ],
    },
];

/// The 90 kHz timestamp of the clip's first sample: ffmpeg's MPEG-TS muxer starts at 1.4 s, its fMP4 muxer at zero.
const fn first_timestamp(packaging: Packaging) -> u64 {
    match packaging {
        Packaging::Ts | Packaging::Aes => 126_000,
        Packaging::Fmp4 => 0,
    }
}

/// The `WebVTT` segment at this place of the clip. A cue that spans two segments stands in both, as RFC 8216, section 3.5, asks: "Each
/// Media Segment MUST contain all subtitle cues that are intended to be displayed during the period indicated by the EXTINF duration".
pub fn segment(subtitles: &Subtitles, packaging: Packaging, place: usize, loops: u64) -> String {
    // MPEG-TS timestamps have 33 bits, and the media's were moved by as much.
    let timestamp_of_clip = (first_timestamp(packaging) + loops * CLIP.as_secs() * TICKS) % (1 << 33);
    let mut text = format!("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{timestamp_of_clip},LOCAL:00:00:00.000\n");
    let cue = place / 2;
    if let Some(line) = subtitles.lines.get(cue) {
        let start = SEGMENT * 2 * u32::try_from(cue).expect("fewer cues than segments");
        let end = start + Duration::from_millis(3_800);
        let _ = write!(text, "\n{}\n{} --> {}\n{line}\n", cue + 1, timestamp(start), timestamp(end));
    }
    text
}

fn timestamp(at: Duration) -> String {
    format!("00:{:02}:{:02}.{:03}", at.as_secs() / 60, at.as_secs() % 60, at.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::media::Ladder;

    #[test]
    fn each_segment_holds_the_cue_shown_during_it() {
        let text = segment(&ALL[0], Packaging::Fmp4, 3, 0);
        assert!(text.starts_with("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n"), "{text}");
        assert!(text.contains("\n2\n00:00:04.000 --> 00:00:07.800\nIt takes the token"), "{text}");
        let later = segment(&ALL[0], Packaging::Ts, 3, 2);
        assert!(later.contains("MPEGTS:5886000,"), "{later}");
        for place in 0..SEGMENTS {
            assert!(segment(&ALL[1], Packaging::Ts, place, 0).contains(" --> "), "{place}");
        }
    }

    /// The first presentation timestamp (ISO/IEC 13818-1, 2.4.3.7) of the transport streams is the one that the map names.
    #[test]
    fn the_timestamp_map_matches_the_transport_stream() {
        for track in Ladder::embedded(Packaging::Ts).tracks {
            let bytes = &track.segments[0].file.bytes;
            let pes = bytes
                .chunks(188)
                .find_map(|packet| {
                    let at = memchr::memmem::find(packet, &[0, 0, 1])?;
                    (packet[1] & 0x40 != 0 && matches!(packet[at + 3], 0xC0..=0xEF)).then(|| &packet[at..])
                })
                .expect("a PES packet");
            let field: Vec<u64> = pes[9..14].iter().map(|byte| u64::from(*byte)).collect();
            let pts = (field[0] >> 1 & 7) << 30
                | field[1] << 22
                | (field[2] >> 1) << 15
                | field[3] << 7
                | field[4] >> 1;
            assert_eq!(pts, first_timestamp(Packaging::Ts), "{}", track.name);
        }
    }
}
