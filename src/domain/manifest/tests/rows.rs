//! One test for each row of the table of tags.

use super::super::Options;
use super::super::placement::Placement;
use super::super::tags::{Carries, TABLE, carries};
use super::{compile, compile_with, path, query};

/// Where `§` stands in the line, a URI gets the token; the rest of the line stays.
fn gets(line: &str) {
    let input = line.replace('§', "d/u.x?a=1");
    assert_eq!(query(&input), line.replace('§', "d/u.x?a=1&T=1"));
    assert_eq!(path(&input), line.replace('§', "d/T=1/u.x?a=1"));
    let foreign = line.replace('§', "https://evil.example/u.x");
    assert_eq!(query(&foreign), foreign);
}

fn stays(line: &str) {
    assert_eq!(query(line), line);
    assert_eq!(path(line), line);
}

#[test]
fn a_line_without_a_hash_gets_the_token() {
    gets("§");
    gets("#EXTINF:4,title\n#EXT-X-BYTERANGE:100@0\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n§\n");
    gets("#EXT-X-STREAM-INF:BANDWIDTH=1\n# a comment between\n\n§\n");
    gets("#EXT-X-GAP\n§");
}

#[test]
fn media_gets_the_token() {
    gets("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",URI=\"§\"");
    gets("#EXT-X-MEDIA:URI=\"§\",TYPE=SUBTITLES,NAME=\"a,URI=b\"");
}

#[test]
fn i_frame_and_image_streams_get_the_token() {
    gets("#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"§\"");
    gets("#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,RESOLUTION=1x1,CODECS=\"jpeg\",URI=\"§\"");
}

#[test]
fn keys_get_the_token_only_over_http() {
    gets("#EXT-X-KEY:METHOD=AES-128,URI=\"§\",IV=0x0");
    gets("#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"§\"");
    for uri in
        ["skd://own.example/k", "data:text/plain;base64,AAAA", "urn:uuid:1", "SKD://k", "com.apple:k", ""]
    {
        stays(&format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"{uri}\",KEYFORMAT=\"x\""));
        stays(&format!("#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"{uri}\""));
    }
    stays("#EXT-X-KEY:METHOD=NONE");
}

#[test]
fn maps_parts_and_hints_get_the_token() {
    gets("#EXT-X-MAP:URI=\"§\",BYTERANGE=\"10@0\"");
    gets("#EXT-X-PART:DURATION=0.3,URI=\"§\",INDEPENDENT=YES");
    gets("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"§\"");
}

#[test]
fn rendition_reports_stay_relative() {
    gets("#EXT-X-RENDITION-REPORT:URI=\"§\",LAST-MSN=1,LAST-PART=2");
    let climbing = compile("#EXT-X-RENDITION-REPORT:URI=\"../b/list.m3u8\",LAST-MSN=1");
    let placement = Placement::Path { component: "T=1", inherited: Some(0) };
    let output = String::from_utf8(climbing.personalise(&placement)).unwrap();
    assert!(output.ends_with("URI=\"../../b/T=1/list.m3u8\",LAST-MSN=1"), "{output}");
}

#[test]
fn session_data_gets_the_token() {
    gets("#EXT-X-SESSION-DATA:DATA-ID=\"com.example\",URI=\"§\"");
    stays("#EXT-X-SESSION-DATA:DATA-ID=\"com.example\",VALUE=\"u.json\"");
}

#[test]
fn date_ranges_get_the_token_in_asset_attributes() {
    gets("#EXT-X-DATERANGE:ID=\"a\",CLASS=\"com.apple.hls.interstitial\",X-ASSET-URI=\"§\"");
    gets("#EXT-X-DATERANGE:ID=\"a\",X-ASSET-LIST=\"§\"");
    stays(
        "#EXT-X-DATERANGE:ID=\"a\",X-AD-URL=\"u\",X-COM-EXAMPLE-BEACON=\"https://own.example/u\",URI=\"u\"",
    );
    stays("#EXT-X-DATERANGE:ID=\"a\",X-ASSET-URI=\"u");
}

#[test]
fn x_uri_of_a_date_range_counts_in_the_preload_class_alone() {
    gets("#EXT-X-DATERANGE:X-URI=\"§\",ID=\"a\",CLASS=\"com.apple.hls.preload\"");
    stays("#EXT-X-DATERANGE:ID=\"a\",CLASS=\"other\",X-URI=\"u\"");
    stays("#EXT-X-DATERANGE:ID=\"a\",X-URI=\"u\"");
    gets("#EXT-X-DATERANGE:ID=\"a\",CLASS=\"com.apple.hls.preload\"\n#EXT-X-DATERANGE:ID=\"a\",X-URI=\"§\"");
    stays("#EXT-X-DATERANGE:ID=\"a\",CLASS=\"com.apple.hls.preload\"\n#EXT-X-DATERANGE:ID=\"b\",X-URI=\"u\"");
}

#[test]
fn content_steering_gets_the_token_in_server_uri_alone() {
    gets("#EXT-X-CONTENT-STEERING:SERVER-URI=\"§\",PATHWAY-ID=\"A\"");
    stays("#EXT-X-CONTENT-STEERING:URI=\"u\",PATHWAY-ID=\"A\"");
    stays("#EXT-X-CONTENT-STEERING:SERVER-URI=\"data:application/json,{}\"");
    stays("#EXT-X-MEDIA:SERVER-URI=\"u\"");
}

#[test]
fn prefetches_get_the_token() {
    gets("#EXT-X-PREFETCH:§");
    gets("#EXT-X-TWITCH-PREFETCH:§");
    gets("#EXT-X-PREFETCH: § ");
}

#[test]
fn unknown_tags_get_the_token_by_choice() {
    gets("#EXT-X-VENDOR:URI=\"§\"");
    gets("#EXT-X-STREAM-INF:BANDWIDTH=1,URI=\"§\"");
    gets("#EXT-X-TILES:URI=\"§\",LAYOUT=\"5x4\"");
    stays("#EXT-X-VENDOR:X-URI=\"u\",LURI=\"u\",uri=\"u\"");
    let closed = Options { unknown_tags: false, ..Options::default() };
    let template = compile_with("#EXT-X-VENDOR:URI=\"u\"", &closed);
    assert_eq!(template.counts().own, 0);
}

#[test]
fn definitions_titles_and_comments_stay() {
    stays("#EXT-X-DEFINE:NAME=\"URI\",VALUE=\"u\"");
    stays("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"URI=\",URI=\"u\"");
    stays("#EXTINF:-1 tvg-logo=\"http://own.example/u\" URI=\"u\",title");
    stays("#EXTVLCOPT:http-referrer=https://own.example/");
    stays("#EXTGRP:URI=\"u\"");
    stays("# URI=\"u\"");
    stays("#URI=\"u\"");
    stays("#ext-x-map:URI=\"u\"");
}

#[test]
fn the_table_names_each_tag_once() {
    for (index, (name, rule)) in TABLE.iter().enumerate() {
        assert!(TABLE[..index].iter().all(|(other, _)| other != name), "{name}");
        assert_eq!(carries(name.as_bytes()), *rule);
    }
    assert_eq!(carries(b"EXT-X-KEYS"), Carries::Unknown);
    assert_eq!(carries(b"EXTINF"), Carries::Nothing);
}
