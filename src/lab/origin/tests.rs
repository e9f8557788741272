//! The origin as players meet it: every playlist parses, every URI in it answers, live windows agree over time.

use std::collections::{BTreeMap, BTreeSet};

use m3u8_rs::{MediaPlaylist, MediaPlaylistType, Playlist};
use url::Url;

use super::*;

/// An hour after which nothing is special, and not on a segment's border.
const NOON: Duration = Duration::from_millis(1_795_348_801_234);

fn get(streams: &Streams, path: &str, now: Duration) -> Response<Bytes> {
    streams.respond(&Method::GET, path, &HeaderMap::new(), now)
}

fn parse(response: &Response<Bytes>) -> Playlist {
    let (rest, playlist) = m3u8_rs::parse_playlist(response.body()).expect("a playlist");
    assert!(rest.is_empty(), "unparsed: {}", String::from_utf8_lossy(rest));
    playlist
}

fn media(streams: &Streams, path: &str, now: Duration) -> MediaPlaylist {
    let response = get(streams, path, now);
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    match parse(&response) {
        Playlist::MediaPlaylist(playlist) => playlist,
        Playlist::MasterPlaylist(_) => panic!("{path} is a multivariant playlist"),
    }
}

/// Every URI that a playlist names: its lines and its attributes.
fn references(playlist: &str) -> impl Iterator<Item = &str> {
    playlist.lines().filter_map(|line| match line.strip_prefix('#') {
        None => Some(line),
        Some(tag) => tag.split_once("URI=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(uri, _)| uri),
    })
}

/// All paths below a playlist, each fetched once.
fn crawl(streams: &Streams, path: &str, now: Duration, seen: &mut BTreeSet<String>) {
    if !seen.insert(path.to_owned()) {
        return;
    }
    let response = get(streams, path, now);
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    assert!(!response.body().is_empty(), "{path}");
    if response.headers()["content-type"] == PLAYLIST {
        parse(&response);
        let base = Url::parse("http://lab.test").unwrap().join(path).unwrap();
        let text = std::str::from_utf8(response.body()).unwrap();
        for uri in references(text) {
            crawl(streams, base.join(uri).unwrap().path(), now, seen);
        }
    }
}

#[test]
fn every_uri_named_in_any_playlist_answers() {
    let streams = Streams::new(NOON);
    for stream in Streams::streams() {
        let mut seen = BTreeSet::new();
        crawl(&streams, stream.path, NOON, &mut seen);
        let segments = match stream.id {
            "vod-aes" => 5 * SEGMENTS,
            _ if stream.is_live => 7 * 6,
            _ => 7 * SEGMENTS,
        };
        assert!(seen.len() > segments, "{}: {} paths", stream.id, seen.len());
        assert_eq!(seen.iter().any(|path| path.ends_with("key.bin")), stream.id == "vod-aes");
        assert_eq!(seen.iter().any(|path| path.ends_with("init.mp4")), stream.id.ends_with("fmp4"));
    }
}

#[test]
fn a_multivariant_playlist_offers_each_rendition_language_and_subtitle() {
    let streams = Streams::new(NOON);
    for stream in Streams::streams() {
        let Playlist::MasterPlaylist(master) = parse(&get(&streams, stream.path, NOON)) else {
            panic!("{} is no multivariant playlist", stream.path)
        };
        let encrypted = stream.id == "vod-aes";
        assert_eq!(master.variants.iter().filter(|v| !v.is_i_frame).count(), if encrypted { 2 } else { 3 });
        assert_eq!(
            master.variants.iter().filter(|v| v.is_i_frame).count(),
            if stream.id == "vod-fmp4" { 3 } else { 0 }
        );
        assert_eq!(master.alternatives.len(), if encrypted { 3 } else { 4 });
        for variant in master.variants.iter().filter(|v| !v.is_i_frame) {
            assert!(variant.average_bandwidth.expect("given") <= variant.bandwidth);
            assert_eq!(variant.audio.as_deref(), Some("audio"));
            assert_eq!(variant.subtitles.as_deref(), Some("subtitles"));
            assert_eq!(variant.frame_rate, Some(25.0));
        }
    }
}

#[test]
fn vod_playlists_are_whole_and_ended() {
    let streams = Streams::new(NOON);
    for path in [
        "/vod/ts/v540/index.m3u8",
        "/vod/fmp4/a-es/index.m3u8",
        "/vod/aes/v240/index.m3u8",
        "/vod/ts/s-en/index.m3u8",
    ] {
        let playlist = media(&streams, path, NOON);
        assert!(playlist.end_list);
        assert_eq!(playlist.target_duration, 2);
        assert_eq!(playlist.playlist_type, Some(MediaPlaylistType::Vod));
        assert_eq!(playlist.segments.len(), SEGMENTS);
        // RFC 8216, section 4.3.3.1: "The EXTINF duration of each Media Segment in the Playlist file, when rounded to the nearest
        // integer, MUST be less than or equal to the target duration".
        assert!(playlist.segments.iter().all(|s| s.duration.round() <= 2.0));
    }
}

fn seconds_f64(micros: i64) -> f64 {
    Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
}

/// Two whole loops in steps that hit every phase: a media sequence number always means the same segment, date and discontinuity.
#[test]
fn live_windows_agree_with_one_another_across_loops() {
    let streams = Streams::new(NOON);
    for track in ["ts/v240", "ts/a-en", "fmp4/v540", "fmp4/s-es"] {
        let mut known = BTreeMap::new();
        let mut first_before = 0;
        for step in 0..160 {
            let now = NOON + Duration::from_millis(step * 430);
            let playlist = media(&streams, &format!("/live/{track}/index.m3u8"), now);
            assert!(!playlist.end_list);
            assert_eq!(playlist.segments.len(), 6);
            assert!(
                first_before == 0 || (first_before..=first_before + 1).contains(&playlist.media_sequence)
            );
            first_before = playlist.media_sequence;
            let mut discontinuities = playlist.discontinuity_sequence;
            let mut date = None;
            for (number, segment) in (playlist.media_sequence..).zip(&playlist.segments) {
                discontinuities += u64::from(segment.discontinuity);
                date = segment.program_date_time.map(|time| seconds_f64(time.timestamp_micros())).or(date);
                let start: f64 = date.expect("the first segment has a date");
                assert_eq!(segment.uri.split('.').next(), Some(number.to_string().as_str()));
                let seen = known.entry(number).or_insert((discontinuities, start));
                assert_eq!(seen.0, discontinuities, "{track} {number}");
                assert!((seen.1 - start).abs() <= 0.001, "{track} {number}: {} {start}", seen.1);
                date = Some(start + f64::from(segment.duration));
            }
            let behind = now.as_secs_f64() - date.expect("segments");
            assert!((-0.025..2.025).contains(&behind), "{track}: the live edge is {behind} s old");
        }
        let loops: BTreeSet<u64> = known.values().map(|(discontinuity, _)| *discontinuity).collect();
        assert!(loops.len() >= 3, "{track} passed the clip's end twice");
    }
}

#[test]
fn live_renditions_are_in_step() {
    let streams = Streams::new(NOON);
    for step in 0..40 {
        let now = NOON + Duration::from_secs(step);
        let of = |track: &str| {
            let playlist = media(&streams, &format!("/live/fmp4/{track}/index.m3u8"), now);
            (playlist.media_sequence, playlist.discontinuity_sequence)
        };
        for track in ["v360", "v540", "a-en", "a-es", "s-en", "s-es"] {
            assert_eq!(of(track), of("v240"), "{track}");
        }
    }
}

#[test]
fn a_live_segment_exists_from_its_completion_until_well_after_it_was_listed() {
    let streams = Streams::new(NOON);
    let playlist = media(&streams, "/live/ts/v240/index.m3u8", NOON);
    let last = playlist.media_sequence + playlist.segments.len() as u64 - 1;
    let path = format!("/live/ts/v240/{last}.ts");
    let status = |now| get(&streams, &path, now).status();
    assert_eq!(status(NOON.saturating_sub(Duration::from_secs(2))), StatusCode::NOT_FOUND);
    for later in 0..24 {
        assert_eq!(status(NOON + Duration::from_secs(later)), StatusCode::OK, "{later} s");
    }
    assert_eq!(status(NOON + Duration::from_mins(1)), StatusCode::NOT_FOUND);
}

#[test]
fn a_live_segment_is_its_place_in_the_clip_moved_in_time() {
    let streams = Streams::new(NOON);
    let playlist = media(&streams, "/live/fmp4/v360/index.m3u8", NOON);
    for (number, segment) in (playlist.media_sequence..).zip(&playlist.segments) {
        let live = get(&streams, &format!("/live/fmp4/v360/{}", segment.uri), NOON);
        let vod = get(&streams, &format!("/vod/fmp4/v360/{}.m4s", number % SEGMENTS as u64), NOON);
        assert_eq!(live.body().len(), vod.body().len());
        let is_first_loop = number < SEGMENTS as u64;
        assert_eq!(live.body() == vod.body(), is_first_loop);
        assert_eq!(live.headers()["etag"] == vod.headers()["etag"], is_first_loop);
    }
}

#[test]
fn a_segment_keeps_its_bytes_over_a_restart() {
    let path = "/live/ts/a-en/40.ts";
    let now = |streams: &Streams| streams.epoch + Duration::from_secs(85);
    let (one, other) = (Streams::new(NOON), Streams::new(NOON + Duration::from_hours(5)));
    let (before, after) = (get(&one, path, now(&one)), get(&other, path, now(&other)));
    assert_eq!(before.status(), StatusCode::OK);
    assert_eq!((before.body(), &before.headers()["etag"]), (after.body(), &after.headers()["etag"]));
}

#[test]
fn answers_say_how_long_they_may_be_kept() {
    let streams = Streams::new(NOON);
    for (path, cache_control, content_type) in [
        ("/vod/ts/master.m3u8", FOR_LONG, PLAYLIST),
        ("/vod/ts/v240/0.ts", FOR_LONG, "video/mp2t"),
        ("/vod/fmp4/v240/0.m4s", FOR_LONG, "video/mp4"),
        ("/vod/aes/v240/0.ts", FOR_LONG, "application/octet-stream"),
        ("/vod/aes/key.bin", NEVER, "application/octet-stream"),
        ("/vod/ts/s-en/3.vtt", FOR_LONG, "text/vtt; charset=utf-8"),
        ("/live/ts/v240/index.m3u8", BRIEFLY, PLAYLIST),
        ("/live/ts/s-en/index.m3u8", BRIEFLY, PLAYLIST),
    ] {
        let response = get(&streams, path, NOON);
        assert_eq!(response.headers()["cache-control"], cache_control, "{path}");
        assert_eq!(response.headers()["content-type"], content_type, "{path}");
    }
}

#[test]
fn a_live_playlist_is_not_sent_again_until_it_changes() {
    let streams = Streams::new(NOON);
    let path = "/live/ts/v240/index.m3u8";
    let first = get(&streams, path, NOON);
    let headers = HeaderMap::from_iter([(http::header::IF_NONE_MATCH, first.headers()["etag"].clone())]);
    let again = |now| streams.respond(&Method::GET, path, &headers, now).status();
    assert_eq!(again(NOON + Duration::from_millis(300)), StatusCode::NOT_MODIFIED);
    assert_eq!(again(NOON + Duration::from_secs(2)), StatusCode::OK);
}

#[test]
fn i_frame_ranges_hold_one_fragment_head_and_picture() {
    let streams = Streams::new(NOON);
    let playlist = media(&streams, "/vod/fmp4/v540/iframes.m3u8", NOON);
    assert!(playlist.i_frames_only);
    for segment in &playlist.segments {
        let range = segment.byte_range.as_ref().expect("a byte range");
        let headers = HeaderMap::from_iter([(
            http::header::RANGE,
            format!("bytes=0-{}", range.length - 1).parse().unwrap(),
        )]);
        let path = format!("/vod/fmp4/v540/{}", segment.uri);
        let response = streams.respond(&Method::GET, &path, &headers, NOON);
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(response.body().len() as u64, range.length);
        assert!(memchr::memmem::find(response.body(), b"moof").is_some());
        assert!(memchr::memmem::find(response.body(), b"mdat").is_some());
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let streams = Streams::new(NOON);
    for path in [
        "",
        "/",
        "vod/ts/master.m3u8",
        "/vod",
        "/vod/ts/",
        "/vod/ts/v240/",
        "/vod/ts/v240/16.ts",
        "/vod/ts/v240/00.ts",
        "/vod/ts/v240/+1.ts",
        "/vod/ts/v240/1.m4s",
        "/vod/ts/v240/1ts",
        "/vod/ts/v240/durations.txt",
        "/vod/ts/key.bin",
        "/vod/ts/v240/init.mp4",
        "/vod/ts/v240/iframes.m3u8",
        "/vod/aes/v540/index.m3u8",
        "/live/aes/master.m3u8",
        "/live/ts/v240/0.ts",
        "/live/ts/v240/18446744073709551615.ts",
        "/vod/ts/v240/../v240/0.ts",
        "/vod/ts//v240/0.ts",
    ] {
        let response = get(&streams, path, NOON);
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    }
    assert_eq!(get(&streams, "/live/ts/master.m3u8", Duration::ZERO).status(), StatusCode::NOT_FOUND);
}
