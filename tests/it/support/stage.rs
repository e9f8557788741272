//! The streams that most tests play.

use super::{Answer, TestOrigin};

pub const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n360p/level.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\n/v/720p/level.m3u8?q=1\n";

/// Twelve seconds; every way of naming a neighbour.
pub const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"../k/1.key\"\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\nseg0.m4s\n#EXTINF:4,\n./seg1.m4s?x=1\n#EXTINF:4,\n/v/360p/seg2.m4s\n#EXT-X-ENDLIST\n";

/// A live window of two segments that begins at `first`.
pub fn live(first: u64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXTINF:4,\n{first}.ts\n#EXTINF:4,\n{}.ts\n",
        first + 1
    )
}

/// An origin with an item at `/v/master.m3u8` and a live stream at `/live/master.m3u8`.
pub async fn origin() -> TestOrigin {
    let origin = TestOrigin::start().await;
    origin.at("/v/master.m3u8", Answer::playlist(MULTIVARIANT));
    for rendition in ["360p", "720p"] {
        origin.at(&format!("/v/{rendition}/level.m3u8"), Answer::playlist(MEDIA));
        for name in ["init.mp4", "seg0.m4s", "seg1.m4s", "seg2.m4s"] {
            origin.at(&format!("/v/{rendition}/{name}"), Answer::ok("video/mp4", name));
        }
    }
    origin.at("/v/k/1.key", Answer::ok("application/octet-stream", "0123456789abcdef"));
    origin
        .at("/live/master.m3u8", Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na/level.m3u8\n"));
    origin.at("/live/a/level.m3u8", Answer::playlist(&live(1)));
    for number in 1..5 {
        origin.at(&format!("/live/a/{number}.ts"), Answer::ok("video/mp2t", "ts"));
    }
    origin
}

/// Nothing of a token has reached the origin.
pub fn assert_no_token_reached(origin: &TestOrigin) {
    for asked in origin.asked() {
        let head = asked.head.to_ascii_lowercase();
        for mark in ["hdnts", "hdntl", "hmac", "exp="] {
            assert!(!head.contains(mark), "{mark} reached the origin:\n{}", asked.head);
        }
    }
}

/// As [`assert_no_token_reached`], for requests with tokens where no token is looked for: what stands under these names
/// is the client's own affair.
pub fn assert_no_token_reached_but(origin: &TestOrigin, names: &[&str]) {
    for asked in origin.asked() {
        for line in asked.head.lines() {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            assert!(names.contains(&name.as_str()) || !line.contains("hmac"), "{}", asked.head);
        }
    }
}
