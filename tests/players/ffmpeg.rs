//! ffmpeg: every packaging through every carrier, decoded to the last frame.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::curl::cookie_of;
use crate::program::{Edge, mint_with, tampered};
use crate::tool::{Outcome, Tool, run};

const DEADLINE: Duration = Duration::from_secs(40);
/// The clip of the lab: 32 seconds with 25 pictures each.
pub const CLIP_FRAMES: u64 = 800;
const VOD: [&str; 3] = ["/vod/ts/master.m3u8", "/vod/fmp4/master.m3u8", "/vod/aes/master.m3u8"];
const LIVE: [&str; 2] = ["/live/ts/master.m3u8", "/live/fmp4/master.m3u8"];
/// Starting six seconds behind the edge of the stream, this takes two reloads at least.
const LIVE_SECONDS: u64 = 10;

/// Decodes the first video and audio to nowhere; any error ends it.
pub fn decode(input: &[&str], output: &[&str]) -> Outcome {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-xerror"]).args(input);
    command.args(["-map", "0:v:0", "-map", "0:a:0"]).args(output).args([
        "-f",
        "null",
        "-progress",
        "pipe:1",
        "-",
    ]);
    run(&mut command, DEADLINE)
}

/// The last value of a field of the progress report.
fn progress(outcome: &Outcome, name: &str) -> u64 {
    let mut values = outcome.stdout.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.next_back().and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}

pub fn assert_decoded(outcome: &Outcome, frames: u64) {
    assert!(outcome.is_success() && outcome.stderr.is_empty(), "{outcome:#?}");
    assert_eq!(progress(outcome, "frame"), frames, "{outcome:#?}");
    let seconds = frames / 25;
    let decoded = progress(outcome, "out_time_us");
    assert!(decoded.abs_diff(seconds * 1_000_000) < 200_000, "{decoded} µs of {seconds} s");
}

fn plays_vod(carrier: &str) {
    if !Tool::Ffmpeg.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for path in VOD {
        assert_decoded(&decode(&["-i", &demo.url(carrier, path)], &[]), CLIP_FRAMES);
    }
    let media = demo.assert_all_in(carrier);
    assert!(media.iter().any(|line| line.path.ends_with("v240/15.ts")), "the last segment");
    let keys = demo.log().into_iter().filter(|line| line.path == "/vod/aes/key.bin").count();
    assert!(keys > 0, "the key goes through the gate too");
}

fn plays_live(carrier: &str) {
    if !Tool::Ffmpeg.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    thread::scope(|scope| {
        for path in LIVE {
            let url = demo.url(carrier, path);
            scope.spawn(move || {
                let outcome = decode(&["-i", &url], &["-t", &LIVE_SECONDS.to_string()]);
                assert_decoded(&outcome, LIVE_SECONDS * 25);
            });
        }
    });
    demo.assert_all_in(carrier);
    let reloads = demo.log().into_iter().filter(|line| line.path == "/live/ts/v240/index.m3u8").count();
    assert!(reloads > 2, "{reloads} loads of the live playlist");
}

#[test]
fn ffmpeg_plays_vod_through_the_path_carrier() {
    plays_vod("path");
}

#[test]
fn ffmpeg_plays_vod_through_the_query_carrier() {
    plays_vod("query");
}

/// ffmpeg keeps the cookie of the first answer and sends it on by itself.
#[test]
fn ffmpeg_plays_vod_through_the_cookie_carrier() {
    plays_vod("cookie");
}

#[test]
fn ffmpeg_plays_live_through_the_path_carrier() {
    plays_live("path");
}

#[test]
fn ffmpeg_plays_live_through_the_query_carrier() {
    plays_live("query");
}

#[test]
fn ffmpeg_plays_live_through_the_cookie_carrier() {
    plays_live("cookie");
}

#[test]
fn ffmpeg_plays_with_a_session_cookie_given_by_hand_and_no_access_token() {
    if !Tool::Ffmpeg.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    let cookie = cookie_of(&demo, VOD[0]);
    let plain = demo.plain("cookie", VOD[0]);
    // Without a domain: ffmpeg compares that with host and port.
    let option = format!("{cookie}; path=/;");
    assert_decoded(&decode(&["-cookies", &option, "-i", &plain], &[]), CLIP_FRAMES);
    let header = format!("Cookie: {cookie}\r\n");
    assert_decoded(&decode(&["-headers", &header, "-i", &plain], &[]), CLIP_FRAMES);
    demo.assert_all_in("cookie");
}

#[test]
fn ffmpeg_plays_with_a_token_whose_acl_is_escaped() {
    if !Tool::Ffmpeg.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    let token = mint_with(&["--escape-early"]);
    for carrier in ["path", "query"] {
        let url = format!("{}?{token}", demo.plain(carrier, VOD[0]));
        assert_decoded(&decode(&["-i", &url], &[]), CLIP_FRAMES);
    }
}

#[test]
fn ffmpeg_without_a_token_fails_with_403() {
    if !Tool::Ffmpeg.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for carrier in ["path", "query", "cookie"] {
        for path in VOD.into_iter().chain(LIVE) {
            assert_refused(&decode(&["-i", &demo.plain(carrier, path)], &[]));
        }
    }
    let log = demo.log();
    assert!(
        log.iter().all(|line| line.status == 403 && line.reason.as_deref() == Some("no_token")),
        "{log:#?}"
    );
}

#[test]
fn ffmpeg_with_a_tampered_access_token_fails_with_403() {
    if !Tool::Ffmpeg.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for nth in [0, 1, 31, 63] {
        let url = tampered(&demo.url("path", VOD[0]), nth);
        assert_refused(&decode(&["-i", &url], &[]));
    }
    let log = demo.log();
    assert!(log.iter().all(|line| line.reason.as_deref() == Some("bad_signature")), "{log:#?}");
}

fn assert_refused(outcome: &Outcome) {
    assert!(!outcome.is_success(), "{outcome:#?}");
    assert!(outcome.stderr.contains("403 Forbidden"), "{outcome:#?}");
    assert_eq!(progress(outcome, "frame"), 0);
}

#[test]
fn ffprobe_finds_every_rendition_and_the_duration() {
    if !Tool::Ffmpeg.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for path in VOD {
        let mut command = Command::new("ffprobe");
        command.args([
            "-v",
            "error",
            "-of",
            "json",
            "-show_programs",
            "-show_format",
            &demo.url("path", path),
        ]);
        let outcome = run(&mut command, DEADLINE);
        assert!(outcome.is_success(), "{outcome:#?}");
        let found: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        let seconds: f64 =
            found["format"]["duration"].as_str().and_then(|text| text.parse().ok()).expect("a duration");
        assert!((seconds - 32.0).abs() < 0.1, "{path}: {seconds} s");
        let streams = found["programs"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|one| one["streams"].as_array().into_iter().flatten());
        let mut heights: Vec<u64> = streams.filter_map(|stream| stream["height"].as_u64()).collect();
        heights.sort_unstable();
        assert_eq!(heights.last(), Some(if path.contains("aes") { &360 } else { &540 }), "{path}");
    }
}
