//! Whole playlists in every carrier, compared with files under `golden/playlists`.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sluicegate::domain::manifest::Options;
use sluicegate::domain::manifest::base::{Base, Hosts};
use sluicegate::domain::manifest::placement::Placement;
use sluicegate::domain::manifest::template::{Counts, Template};

const COMPONENT: &str = "hdntl=exp=1772366400~acl=%2f*~data=hdntl~hmac=0a1b2c";
const PAIR: &str = "hdntl=exp=1772366400~acl=/*~data=hdntl~hmac=0a1b2c";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/playlists")
}

fn template(name: &str) -> Template {
    let source = fs::read(folder().join(format!("{name}.m3u8"))).expect("the input");
    let base = Base::parse("https://media.example.com/vod/film/list.m3u8").expect("a URL");
    let hosts = Hosts::new(&["media.example.com"], &["cdn.example.com"]).expect("hosts");
    Template::compile(&Bytes::from(source), &base, &hosts, "hdntl", &Options::default()).expect("a playlist")
}

/// Every carrier's output has its file; the cookie carrier's is the input where no stale token stands in it.
fn check(name: &str, counts: Counts) {
    let template = template(name);
    for (carrier, placement) in [
        ("cookie", Placement::Untouched),
        ("query", Placement::Query { pair: PAIR }),
        ("path", Placement::Path { component: COMPONENT, inherited: None }),
        ("inherited", Placement::Path { component: COMPONENT, inherited: Some(0) }),
    ] {
        let output = template.personalise(&placement);
        let expected = match fs::read(folder().join(format!("{name}.{carrier}.m3u8"))) {
            Err(_) if carrier == "cookie" => template.source().to_vec(),
            expected => expected.expect("the expected output"),
        };
        assert_eq!(
            String::from_utf8_lossy(&output).lines().collect::<Vec<_>>(),
            String::from_utf8_lossy(&expected).lines().collect::<Vec<_>>(),
            "{name} in {carrier}"
        );
        assert_eq!(output, expected, "{name} in {carrier}, line ends included");
    }
    assert_eq!(template.counts(), counts, "{name}");
}

#[test]
fn multivariant_with_everything() {
    check("multivariant", Counts { own: 13, foreign: 2, other_schemes: 1, ..Counts::default() });
}

#[test]
fn live() {
    check("live", Counts { own: 6, ..Counts::default() });
}

#[test]
fn vod_fmp4_with_bom_crlf_and_no_last_line_end() {
    check("vod-fmp4", Counts { own: 6, ..Counts::default() });
}

#[test]
fn low_latency_delta() {
    check("low-latency", Counts { own: 8, ..Counts::default() });
}

#[test]
fn multi_drm() {
    check("multi-drm", Counts { own: 3, foreign: 1, other_schemes: 4, ..Counts::default() });
}

#[test]
fn fairplay_keys_and_licences_get_no_token() {
    check("fairplay", Counts { own: 3, other_schemes: 2, ..Counts::default() });
}

#[test]
fn widevine_and_playready_boxes_and_licence_hosts_get_no_token() {
    check("widevine-playready", Counts { own: 3, other_schemes: 4, ..Counts::default() });
}

#[test]
fn session_keys_of_key_systems_get_no_token() {
    check("multivariant-drm", Counts { own: 2, other_schemes: 3, ..Counts::default() });
}

#[test]
fn interstitials() {
    check("interstitials", Counts { own: 5, foreign: 1, ..Counts::default() });
}

#[test]
fn iptv_junk() {
    check("iptv", Counts { own: 2, foreign: 2, other_schemes: 3, ..Counts::default() });
}

#[test]
fn an_origin_that_has_tokens_of_its_own() {
    check("akamai", Counts { own: 3, foreign: 1, ..Counts::default() });
}
