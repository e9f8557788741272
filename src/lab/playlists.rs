//! The texts of the lab's playlists: multivariant, VOD, live and I-frame.

use std::fmt::Write as _;
use std::time::Duration;

use crate::lab::live::{self, Window};
use crate::lab::media::{AUDIO_CODEC, FRAME_RATE, Kind, Ladder, Packaging, SEGMENT, SEGMENTS, Track};
use crate::lab::subtitles;

/// The multivariant playlist. I-frame playlists exist for VOD in fMP4, where a picture is a byte range.
pub fn multivariant(ladder: &Ladder, is_live: bool) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let mut audio_rates = (0, 0);
    for track in &ladder.tracks {
        if let Kind::Audio { language, name, is_default } = track.kind {
            let (peak, mean) = track.bit_rates();
            audio_rates = (audio_rates.0.max(peak), audio_rates.1.max(mean));
            let default = if is_default { "YES" } else { "NO" };
            let _ = writeln!(
                text,
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{name}\",LANGUAGE=\"{language}\",DEFAULT={default},\
                 AUTOSELECT=YES,CHANNELS=\"2\",URI=\"{}/index.m3u8\"",
                track.name
            );
        }
    }
    for subtitles in subtitles::ALL {
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subtitles\",NAME=\"{}\",LANGUAGE=\"{}\",DEFAULT=NO,AUTOSELECT=YES,\
             FORCED=NO,URI=\"{}/index.m3u8\"",
            subtitles.name, subtitles.language, subtitles.track
        );
    }
    for track in &ladder.tracks {
        if let Kind::Video { width, height, codec } = track.kind {
            let (peak, mean) = track.bit_rates();
            let _ = writeln!(
                text,
                "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{codec},{AUDIO_CODEC}\",\
                 RESOLUTION={width}x{height},FRAME-RATE={FRAME_RATE},AUDIO=\"audio\",SUBTITLES=\"subtitles\",\
                 CLOSED-CAPTIONS=NONE\n{}/index.m3u8",
                peak + audio_rates.0,
                mean + audio_rates.1,
                track.name
            );
        }
    }
    if !is_live {
        pictures_of(ladder, &mut text);
    }
    text
}

fn pictures_of(ladder: &Ladder, text: &mut String) {
    for track in &ladder.tracks {
        let (Kind::Video { width, height, codec }, Some(rate)) = (track.kind, picture_rate(track)) else {
            continue;
        };
        let _ = writeln!(
            text,
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={rate},CODECS=\"{codec}\",RESOLUTION={width}x{height},\
             URI=\"{}/iframes.m3u8\"",
            track.name
        );
    }
}

/// The greatest bit rate of the I-frame playlist: each picture over the time until the next one.
fn picture_rate(track: &Track) -> Option<u64> {
    track.segments.iter().map(|segment| Some(segment.first_picture_bytes? * 8 / SEGMENT.as_secs())).max()?
}

/// The whole clip.
pub fn vod(ladder: &Ladder, track: &Track) -> String {
    let mut text = head(ladder.packaging, 0, "#EXT-X-PLAYLIST-TYPE:VOD\n");
    if ladder.packaging == Packaging::Aes {
        text.push_str("#EXT-X-KEY:METHOD=AES-128,URI=\"../key.bin\"\n");
    }
    map(ladder, track, &mut text);
    for (segment, number) in track.segments.iter().zip(0_u64..) {
        entry(segment.duration, number, ladder.packaging.extension(), &mut text);
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// The window of the endless loop.
pub fn live(ladder: &Ladder, track: &Track, window: Window) -> String {
    let mut text = live_head(ladder.packaging, window);
    map(ladder, track, &mut text);
    for number in window.numbers() {
        let duration = track.segments.get(live::place(number)).map_or(SEGMENT, |segment| segment.duration);
        live_marks(number, window, window.date(number, track), &mut text);
        entry(duration, number, ladder.packaging.extension(), &mut text);
    }
    text
}

/// The subtitles of the whole clip.
pub fn vod_subtitles() -> String {
    let mut text = head(Packaging::Ts, 0, "#EXT-X-PLAYLIST-TYPE:VOD\n");
    for number in 0..SEGMENTS as u64 {
        entry(SEGMENT, number, "vtt", &mut text);
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// The subtitles of the window.
pub fn live_subtitles(window: Window) -> String {
    let mut text = live_head(Packaging::Ts, window);
    for number in window.numbers() {
        live_marks(number, window, window.completed_at(number).saturating_sub(SEGMENT), &mut text);
        entry(SEGMENT, number, "vtt", &mut text);
    }
    text
}

/// The first picture of each segment, as byte ranges. `None` where the ladder does not know them.
pub fn iframes(ladder: &Ladder, track: &Track) -> Option<String> {
    picture_rate(track)?;
    let mut text = head(ladder.packaging, 0, "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n");
    map(ladder, track, &mut text);
    for (segment, number) in track.segments.iter().zip(0_u64..) {
        let _ = writeln!(text, "#EXTINF:{:.5},", segment.duration.as_secs_f64());
        let _ = writeln!(text, "#EXT-X-BYTERANGE:{}@0", segment.first_picture_bytes?);
        let _ = writeln!(text, "{number}.{}", ladder.packaging.extension());
    }
    text.push_str("#EXT-X-ENDLIST\n");
    Some(text)
}

fn head(packaging: Packaging, sequence: u64, more: &str) -> String {
    // RFC 8216, section 7: EXT-X-MAP outside of I-frame playlists needs version 6.
    let version = match packaging {
        Packaging::Ts | Packaging::Aes => 3,
        Packaging::Fmp4 => 6,
    };
    let target = SEGMENT.as_secs();
    format!(
        "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n{more}"
    )
}

fn live_head(packaging: Packaging, window: Window) -> String {
    let discontinuities = format!("#EXT-X-DISCONTINUITY-SEQUENCE:{}\n", window.discontinuity_sequence());
    head(packaging, window.first, &discontinuities)
}

fn map(ladder: &Ladder, track: &Track, text: &mut String) {
    if ladder.init(track.name).is_some() {
        text.push_str("#EXT-X-MAP:URI=\"init.mp4\"\n");
    }
}

/// What stands before a live segment: the break of the loop, and the date where a player cannot infer it.
fn live_marks(number: u64, window: Window, date: Duration, text: &mut String) {
    let is_loop_start = live::is_loop_start(number);
    if is_loop_start {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if is_loop_start || number == window.first {
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", iso_8601(date));
    }
}

fn entry(duration: Duration, number: u64, extension: &str, text: &mut String) {
    let _ = writeln!(text, "#EXTINF:{:.5},\n{number}.{extension}", duration.as_secs_f64());
}

/// Unix time as `2026-11-22T04:30:00.000Z`.
pub fn iso_8601(time: Duration) -> String {
    let (days, seconds) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years that begin in March, so that the leap
    // day comes last; 719 468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let era_day = days % 146_097;
    let era_year = (era_day - era_day / 1_460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    let shifted = (5 * year_day + 2) / 153;
    let day = year_day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era_year + days / 146_097 * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(iso_8601(Duration::from_secs(seconds)), text);
            let http = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
            assert!(http.contains(&text[..4]) && http.contains(&text[11..19]), "{http} {text}");
        }
    }

    #[test]
    fn bandwidth_covers_every_segment_together_with_its_audio() {
        let ladder = Ladder::embedded(Packaging::Ts);
        let master = multivariant(&ladder, false);
        let peaks = master.lines().filter_map(|line| line.strip_prefix("#EXT-X-STREAM-INF:BANDWIDTH="));
        let peaks: Vec<u64> =
            peaks.map(|line| line.split(',').next().expect("a field").parse().unwrap()).collect();
        let videos = ladder.tracks.iter().filter(|track| matches!(track.kind, Kind::Video { .. }));
        let audio = ladder.track("a-en").expect("audio");
        for (peak, video) in peaks.into_iter().zip(videos) {
            for (picture, sound) in video.segments.iter().zip(&audio.segments) {
                let bytes = (picture.file.bytes.len() + sound.file.bytes.len()) as u64;
                assert!(bytes * 8 * 1_000 <= peak * 2_000, "{}", video.name);
            }
        }
    }
}
