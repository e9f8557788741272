//! Chromium: the demonstration's page in every carrier, and four players on a page of another origin.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Edge, Spoken, tampered};
use crate::tool::{Tool, folder, run};

/// How long the browser may take to play what it is to play, and the whole job with the browser's start and end.
const PLAYS_WITHIN: Duration = Duration::from_secs(40);
const DEADLINE: Duration = Duration::from_secs(70);
/// What is played before a test is content: longer than one segment, so that there was one more.
const SECONDS: f64 = 4.0;
/// Live: longer than what is listed when a player starts, three segments before the end.
const LIVE_SECONDS: f64 = 9.0;
const VOD: &str = "/vod/ts/master.m3u8";
const LIVE: &str = "/live/fmp4/master.m3u8";

/// What the browser saw.
struct Seen(Value);

impl Seen {
    fn job(job: &Value) -> Self {
        let mut job = job.clone();
        job["milliseconds"] = json!(u64::try_from(PLAYS_WITHIN.as_millis()).expect("seconds"));
        let mut command = Command::new("node");
        command.arg(folder().join("drive.mjs")).arg(job.to_string());
        let outcome = run(&mut command, DEADLINE);
        assert!(outcome.is_success(), "{outcome:#?}");
        Self(serde_json::from_str(&outcome.stdout).expect("a line of JSON"))
    }

    fn assert_played(&self, seconds: f64) {
        let Self(seen) = self;
        let played = seen["played"].as_f64().unwrap_or_default();
        let frames = seen["frames"].as_f64().unwrap_or_default();
        assert!(seen["isReached"] == true && seen["error"].is_null() && seen["fatal"].is_null(), "{seen:#}");
        // The clip has 25 pictures a second; a busy machine drops some, but a still one has none.
        assert!(played >= seconds && frames >= seconds * 10.0, "{played} s, {frames} pictures: {seen:#}");
        assert!(seen["height"].as_u64().is_some_and(|height| height >= 240), "{seen:#}");
    }

    /// The URLs asked of this address.
    fn requests(&self, base: &str) -> Vec<String> {
        let urls = self.0["requests"].as_array().into_iter().flatten().filter_map(Value::as_str);
        urls.filter(|url| url.starts_with(base)).map(str::to_owned).collect()
    }
}

/// A picture of the page that is kept for people to look at.
pub fn screenshot(name: &str) -> PathBuf {
    // Cargo's folder for integration tests is target/tmp.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("players");
    fs::create_dir_all(&folder).expect("a folder for pictures");
    folder.join(format!("{name}.png"))
}

/// Plays on the demonstration's own page. `stream` is by the page's names.
fn on_the_page(demo: &Edge, stream: &str, carrier: &str, is_native: bool) -> Seen {
    let name = format!("page-{stream}-{carrier}{}", if is_native { "-native" } else { "" });
    let seconds = if stream.starts_with("live") { LIVE_SECONDS } else { SECONDS };
    let seen = Seen::job(&json!({
        "page": demo.plain("path", "/"), "stream": stream, "carrier": carrier, "native": is_native,
        "token": true, "seconds": seconds, "screenshot": screenshot(&name),
    }));
    seen.assert_played(seconds);
    assert_eq!(seen.0["state"], "playing");
    seen
}

fn page_plays(carrier: &str) {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for stream in ["vod-ts", "vod-fmp4", "vod-aes", "live-ts", "live-fmp4"] {
        let seen = on_the_page(&demo, stream, carrier, false);
        let (mut sessions, mut media) = (0, 0);
        for entry in seen.0["log"].as_array().into_iter().flatten().filter(|entry| entry["aborted"] == false)
        {
            assert_eq!(entry["status"], 200, "{entry:#}");
            media += usize::from(entry["step"] == "media");
            sessions += usize::from(entry["step"] == "media" && entry["carries"] == "session");
        }
        assert!(media > 2, "{stream}: {media} segments");
        let is_in_uri = carrier == "path" || carrier == "query";
        assert_eq!(sessions, if is_in_uri { media } else { 0 }, "{stream}: segments whose URL has a session");
        let cookie =
            seen.0["cookies"].as_array().into_iter().flatten().find(|cookie| cookie["name"] == "hdntl");
        assert_eq!(cookie.is_some(), carrier == "cookie" || carrier == "auto", "{stream}: {cookie:?}");
        assert!(cookie.is_none_or(|cookie| cookie["httpOnly"] == true), "{cookie:?}");
    }
    demo.assert_all_in(if carrier == "auto" { "cookie" } else { carrier });
}

#[test]
fn the_page_plays_every_stream_through_the_path_carrier() {
    page_plays("path");
}

#[test]
fn the_page_plays_every_stream_through_the_query_carrier() {
    page_plays("query");
}

#[test]
fn the_page_plays_every_stream_through_the_cookie_carrier() {
    page_plays("cookie");
}

#[test]
fn the_page_plays_through_the_auto_carrier() {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    on_the_page(&demo, "vod-ts", "auto", false);
    on_the_page(&demo, "live-fmp4", "auto", false);
    let refused: Vec<_> = demo.log().into_iter().filter(|line| line.status >= 400).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn the_page_plays_with_the_browsers_own_player() {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    for carrier in ["path", "query", "cookie"] {
        let demo = Edge::demo();
        on_the_page(&demo, "vod-ts", carrier, true);
        on_the_page(&demo, "live-ts", carrier, true);
        demo.assert_all_in(carrier);
    }
}

#[test]
fn the_page_without_a_token_shows_403_and_its_reason() {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for carrier in ["path", "query", "cookie", "auto"] {
        let seen = Seen::job(&json!({
            "page": demo.plain("path", "/"), "stream": "vod-ts", "carrier": carrier, "token": false,
            "screenshot": screenshot(&format!("page-refused-{carrier}")),
        }));
        assert_eq!(seen.0["state"], "denied", "{:#}", seen.0);
        let veil = seen.0["veil"].as_str().expect("a message over the picture");
        assert!(veil.contains("403") && veil.contains("no_token"), "{veil}");
        assert_eq!(seen.0["time"], 0);
    }
    let log = demo.log();
    assert!(!log.is_empty() && log.iter().all(|line| line.reason.as_deref() == Some("no_token")), "{log:#?}");
}

/// A player on a page of another origin. More fields of the job can be given.
fn elsewhere(player: &str, url: &str, seconds: f64, more: &[&str]) -> Seen {
    let mut job = json!({ "player": player, "src": url, "seconds": seconds });
    for name in more {
        job[*name] = json!(true);
    }
    Seen::job(&job)
}

/// VOD and live through path and query.
fn plays_elsewhere(player: &str, version: Option<&str>) {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    for carrier in ["path", "query"] {
        let demo = Edge::demo();
        for (path, seconds) in [(VOD, SECONDS), (LIVE, LIVE_SECONDS)] {
            let seen = elsewhere(player, &demo.url(carrier, path), seconds, &[]);
            seen.assert_played(seconds);
            assert_eq!(seen.0["version"].as_str(), version);
        }
        demo.assert_all_in(carrier);
    }
}

#[test]
fn hls_js_plays_through_path_and_query_from_another_origin() {
    plays_elsewhere("hls", Some("1.7.4"));
}

#[test]
fn hls_js_1_6_plays_through_path_and_query_from_another_origin() {
    plays_elsewhere("hls-1.6", Some("1.6.19"));
}

#[test]
fn video_js_plays_through_path_and_query_from_another_origin() {
    plays_elsewhere("videojs", Some("8.24.1"));
}

#[test]
fn chromiums_own_player_plays_through_path_and_query_from_another_origin() {
    plays_elsewhere("native", None);
}

#[test]
fn players_with_credentials_play_through_a_cookie_from_another_origin() {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    for player in ["hls", "hls-1.6", "videojs", "native"] {
        let demo = Edge::demo();
        elsewhere(player, &demo.url("cookie", VOD), SECONDS, &["credentials"]).assert_played(SECONDS);
        let media = demo.assert_all_in("cookie");
        assert!(media.len() > 2, "{player}: {media:#?}");
    }
}

#[test]
fn a_player_without_credentials_is_refused_in_cookie_mode_and_learns_the_status() {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    let seen = elsewhere("hls", &demo.url("cookie", VOD), SECONDS, &[]);
    assert_eq!(seen.0["fatal"]["status"], 403, "{:#}", seen.0);
}

#[test]
fn hls_js_on_another_origin_learns_the_status_of_a_refusal() {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for url in [demo.plain("path", VOD), tampered(&demo.url("query", VOD), 9)] {
        let seen = elsewhere("hls", &url, SECONDS, &[]);
        // Status 0 is what a page gets of an answer that CORS does not let it read.
        assert_eq!(seen.0["fatal"]["status"], 403, "{:#}", seen.0);
        assert_eq!(seen.0["frames"], 0);
    }
}

/// hls.js 1.7 writes the whole query of every URL anew when it adds CMCD, the access token's too.
#[test]
fn hls_js_with_cmcd_in_the_query_plays_although_it_encodes_every_token_anew() {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    for carrier in ["path", "query"] {
        let demo = Edge::demo();
        for (path, seconds) in [(VOD, SECONDS), (LIVE, LIVE_SECONDS)] {
            let seen = elsewhere("hls", &demo.url(carrier, path), seconds, &["cmcd"]);
            seen.assert_played(seconds);
            let requests = seen.requests(&demo.base(carrier));
            assert!(requests.iter().all(|url| url.contains("CMCD=")), "{requests:#?}");
            assert!(requests[0].contains("hdnts=exp%3D"), "{}", requests[0]);
            let encoded = requests.iter().filter(|url| url.contains("hdntl=exp%3D")).count();
            assert_eq!(encoded, if carrier == "query" { requests.len() - 1 } else { 0 }, "{requests:#?}");
        }
        demo.assert_all_in(carrier);
    }
}

/// An origin on which players block for their next playlist, and its port.
fn blocking_origin() -> (Spoken, u16) {
    let mut origin = Spoken::start(Command::new("node").arg(folder().join("origin.mjs")));
    let port = origin.wait_for(|line| line.parse::<u16>().is_ok()).expect("the origin listens");
    (origin, port.parse().expect("a port"))
}

/// hls.js 1.6 and video.js write the whole query anew when they add `_HLS_msn`; 1.7 adds it behind what is there.
fn blocks_for_playlists(player: &str, encodes: bool) {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    for carrier in ["path", "query"] {
        let (origin, port) = blocking_origin();
        let edge = Edge::serve(port, carrier);
        let seen = elsewhere(player, &edge.url(carrier, "/master.m3u8"), LIVE_SECONDS, &["llhls"]);
        seen.assert_played(LIVE_SECONDS);
        let requests = seen.requests(&edge.base(carrier));
        let blocking: Vec<&String> = requests.iter().filter(|url| url.contains("_HLS_msn=")).collect();
        assert!(blocking.len() > 1, "{requests:#?}");
        if carrier == "query" {
            let session = if encodes { "hdntl=exp%3D" } else { "hdntl=exp=" };
            assert!(blocking.iter().all(|url| url.contains(session)), "{blocking:#?}");
        }
        edge.assert_all_in(carrier);
        let asked = origin.lines().join("\n");
        assert!(asked.contains("_HLS_msn="), "the directive reaches the origin: {asked}");
        assert!(!asked.contains("hdnt"), "no token reaches the origin: {asked}");
    }
}

#[test]
fn hls_js_blocks_for_playlists() {
    blocks_for_playlists("hls", false);
}

#[test]
fn hls_js_1_6_blocks_for_playlists_although_it_encodes_the_session_anew() {
    blocks_for_playlists("hls-1.6", true);
}

#[test]
fn video_js_blocks_for_playlists_although_it_encodes_the_session_anew() {
    blocks_for_playlists("videojs", true);
}
