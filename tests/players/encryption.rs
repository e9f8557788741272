//! Media encryption with real players: the clear streams of the laboratory, encrypted at the edge, decoded to the last frame.

use crate::ffmpeg::{CLIP_FRAMES, assert_decoded, decode};
use crate::program::Edge;
use crate::tool::Tool;

fn plays(key_per: &str) {
    if !Tool::Ffmpeg.is_wanted() {
        return;
    }
    let encryption = format!(
        "encryption = {{ secret = {{ hex = \"00112233445566778899aabbccddeeff\" }}, key_per = \"{key_per}\", rotate_every = 4, require_https = false }}"
    );
    let edge = Edge::serve_with("lab:", "path", &encryption);
    for path in ["/vod/ts/master.m3u8", "/vod/fmp4/master.m3u8"] {
        assert_decoded(&decode(&["-i", &edge.url("path", path)], &[]), CLIP_FRAMES);
    }
    let log = edge.log();
    let keys = log.iter().filter(|line| line.kind == "key" && line.status == 200).count();
    assert!(keys >= 8, "four periods of two streams at least, not {keys}");
}

#[test]
fn ffmpeg_decodes_what_the_edge_encrypted_with_a_key_per_asset() {
    plays("asset");
}

#[test]
fn ffmpeg_decodes_what_the_edge_encrypted_with_a_key_per_session() {
    plays("session");
}
