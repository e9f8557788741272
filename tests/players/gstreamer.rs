//! `GStreamer`: its two HLS demuxers, which write every escape of a URL with capital digits.

use std::process::Command;
use std::time::Duration;

use crate::program::{Edge, mint_with, tampered};
use crate::tool::{Outcome, Tool, run, run_until};

const DEADLINE: Duration = Duration::from_secs(40);
/// `playbin` has the older demuxer (hlsdemux), `playbin3` the newer one (hlsdemux2).
const PLAYERS: [&str; 2] = ["playbin", "playbin3"];
const VOD: [&str; 3] = ["/vod/ts/master.m3u8", "/vod/fmp4/master.m3u8", "/vod/aes/master.m3u8"];
/// Of the clip's 800 pictures; a change of the rendition may repeat or skip some.
const FRAMES_MIN: usize = 760;
/// Live: more than what is listed when a player starts, three segments before the end.
const LIVE_FRAMES: usize = 250;

/// Decodes video and audio as fast as they come, to sinks that name each buffer.
fn play(player: &str, url: &str) -> Outcome {
    let mut command = Command::new("gst-launch-1.0");
    command.args(["-v", player, &format!("uri={url}"), "flags=video+audio"]);
    command.args(["video-sink=fakesink silent=false sync=false", "audio-sink=fakesink sync=false"]);
    run(&mut command, DEADLINE)
}

/// The pictures that came to the sink.
fn frames(outcome: &Outcome) -> usize {
    outcome.stdout.lines().filter(|line| is_frame(line)).count()
}

fn is_frame(line: &str) -> bool {
    line.contains("last-message = chain")
}

fn plays_vod(carrier: &str) {
    if !Tool::Gstreamer.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for player in PLAYERS {
        for path in VOD {
            assert_played(player, &play(player, &demo.url(carrier, path)));
        }
    }
    let media = demo.assert_all_in(carrier);
    assert!(media.iter().any(|line| line.path.ends_with("/15.ts")), "the last segment");
}

fn assert_played(player: &str, outcome: &Outcome) {
    let shown = frames(outcome);
    assert!(
        outcome.is_success() && shown >= FRAMES_MIN,
        "{player}: {shown} pictures, {}\n{}",
        outcome.status,
        outcome.stderr
    );
}

#[test]
fn gstreamer_plays_vod_through_the_path_carrier() {
    plays_vod("path");
}

#[test]
fn gstreamer_plays_vod_through_the_query_carrier() {
    plays_vod("query");
}

#[test]
fn gstreamer_plays_vod_through_the_cookie_carrier() {
    plays_vod("cookie");
}

/// With the older demuxer: the newer one of version 1.22 does not get past its buffering on this window of 12 seconds, with or
/// without an edge that asks for tokens.
#[test]
fn gstreamer_plays_live_through_every_carrier() {
    if !Tool::Gstreamer.is_wanted() {
        return;
    }
    for carrier in ["path", "query", "cookie"] {
        let demo = Edge::demo();
        for path in ["/live/ts/master.m3u8", "/live/fmp4/master.m3u8"] {
            let mut command = Command::new("gst-launch-1.0");
            command.args(["-v", PLAYERS[0], &format!("uri={}", demo.url(carrier, path)), "flags=video"]);
            command.arg("video-sink=fakesink silent=false sync=false");
            let has_played = run_until(&mut command, DEADLINE, LIVE_FRAMES, is_frame);
            assert!(has_played, "{carrier}, {path}: fewer than {LIVE_FRAMES} pictures in {DEADLINE:?}");
        }
        demo.assert_all_in(carrier);
    }
}

/// The signature of such a token is over its lower-case escapes, which `GStreamer` does not leave as they are.
#[test]
fn gstreamer_plays_with_a_token_whose_escapes_it_rewrites() {
    if !Tool::Gstreamer.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    let token = mint_with(&["--escape-early", "--payload", "a b/c"]);
    assert!(token.contains("%2f"), "{token}");
    for player in PLAYERS {
        for carrier in ["path", "query"] {
            assert_played(player, &play(player, &format!("{}?{token}", demo.plain(carrier, VOD[0]))));
        }
    }
    let refused: Vec<_> = demo.log().into_iter().filter(|line| line.status >= 400).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn gstreamer_is_refused_without_a_token_and_with_a_tampered_one() {
    if !Tool::Gstreamer.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for player in PLAYERS {
        for url in [demo.plain("path", VOD[0]), tampered(&demo.url("path", VOD[0]), 3)] {
            let outcome = play(player, &url);
            assert!(!outcome.is_success() && frames(&outcome) == 0, "{outcome:#?}");
            assert!(outcome.stderr.contains("Forbidden (403)"), "{outcome:#?}");
        }
    }
}
