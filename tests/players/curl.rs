//! curl: the two lines that the demonstration prints, and what they are refused for when a digit is changed.

use std::process::Command;
use std::time::Duration;

use crate::program::{Edge, tampered};
use crate::tool::{Tool, run};

const DEADLINE: Duration = Duration::from_secs(10);
const MASTER: &str = "/vod/ts/master.m3u8";

/// The head and the body of an answer.
fn ask(arguments: &[&str]) -> (String, String) {
    let outcome = run(Command::new("curl").args(["-si", "--max-time", "8"]).args(arguments), DEADLINE);
    assert!(outcome.is_success(), "{outcome:#?}");
    let (head, body) = outcome.stdout.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

fn status(url: &str) -> u16 {
    let (head, _) = ask(&[url]);
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

/// The session cookie that a viewer of this playlist is given, as `name=value`.
pub fn cookie_of(demo: &Edge, path: &str) -> String {
    let (head, _) = ask(&[&demo.url("cookie", path)]);
    let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    set.split(';').next().expect("a first part").to_owned()
}

/// The URL of a URI of a playlist: its first line that is not a tag.
fn first_uri(playlist_url: &str, playlist: &str) -> String {
    let line = playlist.lines().find(|line| !line.starts_with('#')).expect("a URI");
    let folder = playlist_url.split('?').next().and_then(|url| url.rsplit_once('/')).expect("a path").0;
    format!("{folder}/{line}")
}

#[test]
fn the_two_curl_lines_of_the_demonstration_work() {
    if !Tool::Curl.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    let lines: Vec<String> =
        demo.greeting().into_iter().filter(|line| line.trim_start().starts_with("curl ")).collect();
    let [refused, admitted] = lines.as_slice() else { panic!("{lines:#?}") };
    let shell = |line: &str| run(Command::new("sh").args(["-c", line.trim()]), DEADLINE).stdout;
    let answer = shell(refused);
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("sluicegate-reason: no_token"), "{answer}");
    let answer = shell(admitted);
    assert!(answer.starts_with("#EXTM3U"), "{answer}");
    assert!(answer.contains("v240/hdntl=exp="), "{answer}");
}

#[test]
fn the_token_endpoint_gives_what_a_page_puts_behind_a_url() {
    if !Tool::Curl.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    let (head, body) = ask(&[
        "-H",
        "Origin: http://elsewhere.example",
        &demo.plain("path", "/getToken?acl=/*&token_name=hdnts"),
    ]);
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    let token: String = serde_json::from_str(&body).expect("a JSON string");
    assert_eq!(status(&format!("{}?{token}", demo.plain("path", MASTER))), 200);
}

#[test]
fn a_child_in_path_mode_has_the_session_before_its_name() {
    if !Tool::Curl.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    let url = demo.url("path", MASTER);
    let (_, playlist) = ask(&[&url]);
    let child = first_uri(&url, &playlist);
    let (before, after) = child.split_once("/v240/hdntl=exp=").expect("the session");
    assert_eq!(before, demo.plain("path", "/vod/ts"));
    let (_, after) = after.split_once("~acl=%2f*~data=hdntl~hmac=").expect("its fields");
    assert_eq!(&after[64..], "/index.m3u8");
    let (_, playlist) = ask(&[&child]);
    assert!(!playlist.contains("hdntl"), "relative URIs inherit the session: {playlist}");
    assert_eq!(status(&first_uri(&child, &playlist)), 200);
}

#[test]
fn a_changed_digit_in_any_token_is_refused() {
    if !Tool::Curl.is_wanted() {
        return;
    }
    let demo = Edge::demo();
    for carrier in ["path", "query"] {
        let url = demo.url(carrier, MASTER);
        let (_, playlist) = ask(&[&url]);
        let child = first_uri(&url, &playlist);
        assert_eq!((status(&url), status(&child)), (200, 200));
        for nth in [0, 7, 63] {
            assert_eq!(status(&tampered(&url, nth)), 403, "{carrier}");
            assert_eq!(status(&tampered(&child, nth)), 403, "{carrier}");
        }
        assert_eq!(status(&url.replacen("exp=1", "exp=2", 1)), 403);
        assert_eq!(status(&child.replacen("exp=1", "exp=2", 1)), 403);
    }
    let cookie = cookie_of(&demo, MASTER);
    let plain = demo.plain("cookie", "/vod/ts/v240/0.ts");
    let with =
        |cookie: &str| ask(&["-H", &format!("Cookie: {cookie}"), "-o", "/dev/null", "-D", "-", &plain]).0;
    assert!(with(&cookie).starts_with("HTTP/1.1 200"));
    assert!(with(&tampered(&cookie, 5)).starts_with("HTTP/1.1 403"));
}
