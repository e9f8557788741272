//! The command line, from its arguments to what it prints.

use std::time::Duration;

use clap::Parser;

use super::*;
use crate::domain::session::{Life, Sessions, Settings};
use crate::domain::token::grant::{Clients, Grant, Scope};
use crate::domain::token::keys::Keys;

const NOW: UnixTime = Duration::from_secs(1_700_000_000);
const KEY: &str = "eee7e9157f81b2f6d471bf2c";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    token: TokenArgs,
}

fn token(arguments: &[&str]) -> Result<Report, BadInput> {
    let all = ["token"].iter().chain(arguments);
    report(&Cli::try_parse_from(all).unwrap_or_else(|error| panic!("{error}")).token, NOW)
}

fn mint(arguments: &[&str]) -> String {
    let all: Vec<_> = ["mint", "-k", KEY].iter().chain(arguments).copied().collect();
    token(&all).unwrap().out
}

fn refused(arguments: &[&str]) -> String {
    let all: Vec<_> = ["mint", "-k", KEY].iter().chain(arguments).copied().collect();
    token(&all).expect_err("bad input").to_string()
}

const PLAIN: &str =
    "exp=1700003600~acl=/*~hmac=17a0940d64ce35e9f251158f84ab5b7f7f5e68c5f3f833781a5b2ced6fa42bb7";

#[test]
fn a_token_is_printed_with_its_name_and_nothing_else() {
    assert_eq!(mint(&["-e", "1700003600", "-a", "/*"]), format!("hdnts={PLAIN}\n"));
    assert_eq!(mint(&["-e", "1700003600", "-a", "/*", "-n", "__token__"]), format!("__token__={PLAIN}\n"));
    assert_eq!(mint(&["-e", "1700003600", "-a", "/*", "--header"]), format!("hdnts: {PLAIN}\n"));
    assert_eq!(mint(&["-e", "1700003600", "-a", "/*", "--value"]), format!("{PLAIN}\n"));
}

#[test]
fn both_spellings_of_the_sdks_flags_are_taken() {
    let long = [
        "--start_time",
        "now",
        "--window_seconds",
        "300",
        "--acl",
        "/a/*",
        "--acl",
        "/b/?.ts",
        "--ip",
        "203.0.113.7",
    ];
    let more =
        ["--session_id", "sid-1", "--payload", "p=1", "--salt", "0123456789abcdef", "--algo", "SHA256"];
    let long: Vec<_> = long.into_iter().chain(more).collect();
    let short = ["-s", "NOW", "-w", "300", "-a", "/a/*", "-a", "/b/?.ts", "-i", "203.0.113.7"];
    let more = ["-I", "sid-1", "-p", "p=1", "-S", "0123456789abcdef", "-A", "sha256", "-t", "hdnts"];
    let short: Vec<_> = short.into_iter().chain(more).collect();
    assert_eq!(mint(&long), mint(&short));
    assert!(mint(&long).starts_with(
        "hdnts=ip=203.0.113.7~st=1700000000~exp=1700000300~acl=/a/*!/b/?.ts~id=sid-1~data=p=1~hmac="
    ));
    let escaped = mint(&["--end_time", "1700003600", "--url", "/~user/c.m3u8", "--escape_early"]);
    assert!(escaped.ends_with("33a64efd1388b080411a11c93e88b5e9a106e29c52be60e90786b60f100d1dd2\n"));
    let delimited = mint(&["-s", "1700000000", "-e", "1700003600", "-a", "/*", "--field_delimiter", ":"]);
    assert!(delimited.ends_with(":hmac=8cdd7a65f083ab8d2df28bd7495f31086c41826d1769bf9e75bd4edc09913cb6\n"));
}

#[test]
fn verbose_explains_on_stderr_and_hides_the_salt() {
    let report = token(&["mint", "-k", KEY, "-w", "60", "-u", "/a.m3u8", "-S", "pepper", "-v"]).unwrap();
    assert!(report.err.contains("string to sign: exp=1700000060~url=/a.m3u8~salt=<salt>\n"));
    assert!(!report.err.contains("pepper") && !report.out.contains("pepper"));
}

#[test]
fn bad_input_is_one_line_that_names_the_field() {
    let acl = ["-a", "/*"];
    for (arguments, field, value) in [
        (vec!["-e", "-1"], "end time", "\"-1\""),
        (vec!["-e", "soon"], "end time", "\"soon\""),
        (vec!["-s", "1.5", "-w", "1"], "start time", "\"1.5\""),
        (vec!["-w", "0"], "end time", "window"),
        (vec!["-w", "1e9"], "window", "\"1e9\""),
        (vec![], "end time", "window"),
        (vec!["-s", "1700003600", "-e", "1700003600"], "end time", "1700003600"),
        (vec!["-e", "1700003600", "-u", "/a"], "url", "\"/a\""),
        (vec!["-w", "1", "-A", "sha512"], "algo", "\"sha512\""),
        (vec!["-w", "1", "-i", "300.1.1.1"], "ip", "\"300.1.1.1\""),
        (vec!["-w", "1", "-p", "a~exp=9"], "data", "\"a~exp=9\""),
        (vec!["-w", "1", "-d", "ab"], "field delimiter", "\"ab\""),
        (vec!["-w", "1", "-D", "~"], "acl delimiter", "'~'"),
        (vec!["-w", "1", "-n", "a b\n"], "token name", "\"a b\\n\""),
        (vec!["-w", "1", "--now", "x"], "now", "\"x\""),
    ] {
        let line = refused(&acl.iter().chain(&arguments).copied().collect::<Vec<_>>());
        assert!(
            line.starts_with(&format!("{field}: ")) && line.contains(value) && !line.contains('\n'),
            "{line}"
        );
    }
    assert!(refused(&["-w", "1"]).starts_with("acl: "));
    assert!(refused(&["-w", "1", "-a", ""]).starts_with("acl: "));
    assert!(refused(&["-w", "1", "-u", ""]).starts_with("url: "));
    let long = "i".repeat(65);
    assert!(refused(&["-w", "1", "-a", "/*", "-I", &long]).starts_with("session id: "));
}

#[test]
fn a_bad_key_is_never_shown() {
    for key in ["", "abc", "secretkey", "0x"] {
        let line = token(&["mint", "-w", "1", "-a", "/*", "-k", key]).expect_err("a bad key").to_string();
        assert!(line.starts_with("key: it "), "{line}");
        assert!(key.is_empty() || !line.contains(key) || key == "0x", "{line}");
    }
}

#[test]
fn a_run_writes_its_line_and_sets_its_code() {
    let args = Cli::try_parse_from(["token", "mint", "-k", KEY, "-a", "/*", "-e", "x"]).unwrap().token;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, NOW, &mut out, &mut err);
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(2)));
    assert!(out.is_empty());
    assert_eq!(String::from_utf8(err).unwrap().lines().count(), 1);
}

fn judge(command: &str, arguments: &[&str]) -> Report {
    let all: Vec<_> = [command, "-k", KEY].iter().chain(arguments).copied().collect();
    token(&all).unwrap()
}

#[test]
fn a_url_with_an_access_token_is_judged() {
    let url = format!("https://host.example/a/m.m3u8?x=1&hdnts={PLAIN}#f");
    assert_eq!(judge("verify", &[&url]).code, 0);
    assert!(
        judge("verify", &[&url]).out.starts_with("valid access token, until Tue, 14 Nov 2023 23:13:20 GMT")
    );
    assert_eq!(judge("verify", &[&url, "--now", "1700003600"]).out, "refused access token: expired\n");
    assert_eq!(judge("verify", &[&url, "--now", "1700003600"]).code, 1);
    let json = judge("verify", &[&url, "--json", "--now", "1700003600"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["reason"], "expired");
    let named_twice = format!("/a/m.m3u8?hdnts=hdnts={PLAIN}");
    assert_eq!(judge("verify", &[&named_twice]).code, 0);
    for input in [PLAIN.to_owned(), format!("hdnts={PLAIN}"), format!("hdnts: {PLAIN}")] {
        assert_eq!(judge("verify", &[&input, "--path", "/a/b"]).code, 0, "{input}");
    }
}

#[test]
fn a_token_with_a_url_for_its_payload_is_still_a_token() {
    let token = mint(&["-w", "60", "-a", "/*", "-p", "https://shop.example/42"]);
    assert_eq!(judge("verify", &[&token, "--path", "/a"]).code, 0, "{token}");
}

#[test]
fn what_cannot_be_judged_is_bad_input() {
    for (arguments, field) in [
        (vec!["verify", "-k", KEY, "/a"], "url"),
        (vec!["verify", "-k", KEY, "nonsense"], "input"),
        (vec!["verify", "-k", KEY, PLAIN], "path"),
        (vec!["verify", "-k", KEY, "/a%2fb?hdnts=x"], "path"),
        (vec!["verify", "-k", KEY, "/a?hdnts=x&hdnts=y"], "url"),
        (vec!["verify", "-k", KEY, "/a?hdntl=x"], "property"),
        (vec!["verify", "-k", KEY, "/a?hdnts=x", "--client", "me"], "client"),
        (vec!["verify", "-k", "zz", "/a?hdnts=x"], "key"),
    ] {
        let line = token(&arguments).expect_err("bad input").to_string();
        assert!(line.starts_with(&format!("{field}: ")), "{line}");
    }
}

#[test]
fn an_explanation_names_checks_and_cures() {
    let url = format!("/a/m.m3u8?hdnts={PLAIN}");
    let explained = judge("explain", &[&url, "-S", "pepper"]);
    assert_eq!(explained.code, 1);
    assert!(
        explained.out.contains("string to sign: exp=1700003600~acl=/*~salt=<salt>\n"),
        "{}",
        explained.out
    );
    assert!(explained.out.contains("without the salt") && !explained.out.contains("pepper"));
    let json: serde_json::Value = serde_json::from_str(&judge("explain", &[&url, "--json"]).out).unwrap();
    assert_eq!(json["explanation"]["valid"], true);
    assert!(json["explanation"]["checks"].as_array().unwrap().len() >= 8);
}

#[test]
fn sessions_are_recognised_in_path_query_and_alone() {
    let key = Secret::from_hex(KEY).unwrap();
    let grant = Grant {
        scope: Scope::Url,
        expires: 0,
        clients: Clients::Any,
        session_id: None,
        payload: None,
        nonce: None,
        key_name: "key".into(),
    };
    let sessions = Sessions::new("example", &Keys::of([("key", key)]), Settings::default());
    let session = sessions.mint(&grant, Life::Fixed { media_duration: None }, b"", NOW);
    let in_path = format!("https://host/a/{}/m.m3u8", session.path_component());
    let in_query = format!("/a/m.m3u8?{}", session.query_pair());
    for input in [in_path.as_str(), &in_query, session.canonical()] {
        let report = judge("verify", &[input, "--property", "example", "--path", "/x"]);
        assert!(report.out.starts_with("valid session token"), "{}", report.out);
        let report = judge("explain", &[input, "--property", "other", "--path", "/x"]);
        assert_eq!(report.code, 1);
        assert!(report.out.contains("bad_signature") && report.out.contains("hint: "), "{}", report.out);
    }
    let both = format!("{in_query}&hdnts={PLAIN}");
    let later = judge("verify", &[&both, "--property", "example", "--now", "1700003599"]);
    assert!(later.out.starts_with("valid session token"), "{}", later.out);
}

#[test]
fn inspecting_needs_no_key() {
    let report = token(&["inspect", &format!("/a?hdnts={}", PLAIN.replace('/', "%2F"))]).unwrap();
    assert!(
        report.out.contains("exp   1700003600  Tue, 14 Nov 2023 23:13:20 GMT, in 1 h 0 min\n"),
        "{}",
        report.out
    );
    assert!(report.out.contains("allows paths like /*, to any client\n"), "{}", report.out);
    let json = token(&["inspect", "--json", PLAIN]).unwrap().out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["fields"]["exp"], "1700003600");
    let odd = token(&["inspect", "exp=1700003600000~hmac=x"]).unwrap().out;
    assert!(odd.contains("milliseconds") && odd.contains("the one URL that was signed"), "{odd}");
}

const SHARED: &str = "g_SlMILiIWKqsC6Z2L7gy0sReDOqtSrJrE7CXNr5Nl8=";
const SEED: &str = "DJUcnLguVFKmVCFnWGubG1MZg7fWAnxacMjKDhVZMGI=";
const PUBLIC: &str = "n7nwvhza11C0SuU9ay1uWjDSfzH-CpIBgXxqIz-Yd9Q";

/// The seed *Azion Secure Token Authentication*.
#[test]
fn a_secure_link_is_minted_and_verified() {
    let link = ["--dialect", "secure_link", "-k", "mysecret"];
    let with = |more: &[&str]| token(&[&more[..1], &link, &more[1..]].concat());
    let minted = with(&["mint", "-u", "/my/uri", "-e", "1470055000"]).unwrap().out;
    assert_eq!(minted, "st=m6WCATfRgS_5lcyChCPgrw&e=1470055000\n");
    let url = format!("http://www.example.org/my/uri?{}", minted.trim());
    let good = with(&["verify", &url, "--now", "1470055000"]).unwrap();
    assert_eq!((good.code, good.out.starts_with("valid access token")), (0, true), "{}", good.out);
    let over = with(&["verify", &url]).unwrap();
    assert_eq!((over.code, over.out.as_str()), (1, "refused access token: expired\n"));
    let story = with(&["explain", &url.replace("/my/uri", "/my/url"), "--now", "1470055000"]).unwrap();
    assert!(
        story.out.contains("bad_signature") && story.out.contains("<secret>/my/url1470055000"),
        "{}",
        story.out
    );
    assert!(!story.out.contains("mysecret"));
    let shown = token(&["inspect", &url, "--dialect", "secure_link"]).unwrap().out;
    assert!(shown.contains("m6WCATfRgS_5lcyChCPgrw") && shown.contains("2016"), "{shown}");
}

#[test]
fn a_secure_link_for_a_directory_is_a_path() {
    let link = ["--dialect", "secure_link", "-k", "mysecret", "--path-prefix", "/p"];
    let minted = token(&[&["mint"], &link[..], &["-a", "/vod/film/*", "-w", "60"]].concat()).unwrap().out;
    assert!(minted.starts_with("/p/") && minted.ends_with("/1700000060/vod/film/\n"), "{minted}");
    let url = format!("{}360p/level.m3u8", minted.trim());
    assert_eq!(token(&[&["verify", &url], &link[..]].concat()).unwrap().code, 0, "{url}");
    let outside = url.replace("/vod/film/", "/vod/other/");
    assert_eq!(token(&[&["verify", &outside], &link[..]].concat()).unwrap().code, 1);
    for (more, field) in [
        (vec!["-w", "60"], "url"),
        (vec!["-a", "/vod/film", "-w", "60"], "url"),
        (vec!["-u", "/a"], "end time"),
        (vec!["-u", "/a", "-w", "1", "--expression", "$uri$expires"], "expression"),
        (vec!["-u", "/a", "-w", "1", "--expression", "$secret$uri"], "expression"),
    ] {
        let error = token(&[&["mint"], &link[..], &more].concat()).expect_err("bad input").to_string();
        assert!(error.starts_with(field), "{more:?}: {error}");
    }
}

/// python-docs-samples, `media_cdn/dualtoken_test.py`.
#[test]
fn a_media_cdn_token_is_minted_and_verified() {
    let end = ["-e", "1663070400", "--dialect", "media_cdn"];
    let mint = |more: &[&str]| token(&[&["mint"], &end[..], more].concat()).unwrap().out;
    assert_eq!(
        mint(&["-k", SHARED, "-a", "/*"]),
        "edge-cache-token=PathGlobs=/*~Expires=1663070400~hmac=9439ecdd5c4919f76f915dea72afa85a045579794e63d8cda664f5a1140c8d93\n"
    );
    assert_eq!(
        mint(&["-k", SHARED, "-A", "sha1", "-u", "/example.m3u8", "--value"]),
        "FullPath~Expires=1663070400~hmac=7af78177d6bc001d5626eefe387b1774a4a99ca2\n"
    );
    let signed = mint(&["-k", SEED, "--ed25519", "--url-prefix", "http://10.20.30.40/"]);
    assert!(signed.ends_with("Signature=OQLXEjnApFGJaGZ_jvp2R7VY5q3ic-HT3igFpi9iPsJRXtQuvPF4cxZUT-rtCqzteXx3vSRhk09FxgDQauO_DA\n"), "{signed}");
    let url = format!("http://10.20.30.40/a.m3u8?{}", signed.trim());
    let judge = ["--dialect", "media_cdn", "--ed25519", "-k", PUBLIC, "--now", "1663070000"];
    let verdict = |command, url: &str| token(&[&[command, url], &judge[..]].concat()).unwrap();
    assert_eq!(verdict("verify", &url).code, 0);
    assert_eq!(verdict("verify", &url.replace("10.20.30.40/a", "10.20.30.41/a")).code, 1);
    let story = verdict("explain", &url).out;
    assert!(story.contains("URLPrefix=aHR0cDovLzEwLjIwLjMwLjQwLw~Expires=1663070400"), "{story}");
    let shown = token(&["inspect", &url, "--dialect", "media_cdn"]).unwrap().out;
    assert!(shown.contains("http://10.20.30.40/") && shown.contains("2022"), "{shown}");
    let header = ["--request-header", "X-Device=tv"];
    let bound = mint(&[&["-k", SHARED, "-a", "/*"], &header[..]].concat());
    let url = format!("/a.m3u8?{}", bound.trim());
    let judge = ["--dialect", "media_cdn", "-k", SHARED, "--now", "1663070000"];
    assert_eq!(token(&[&["verify", &url], &judge[..], &header[..]].concat()).unwrap().code, 0);
    assert_eq!(token(&[&["verify", &url], &judge[..]].concat()).unwrap().code, 1, "the header was not sent");
}
