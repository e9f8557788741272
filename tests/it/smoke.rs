//! The exchange in one test: access token in, session out, children with it, nothing of it at the origin.

use crate::support::edge::access_token;
use crate::support::{Answer, TestEdge, TestOrigin, get};

const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n360p/level.m3u8\n";
const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg.ts\n#EXT-X-ENDLIST\n";

#[tokio::test]
async fn an_access_token_goes_in_and_a_session_comes_out() {
    let origin = TestOrigin::start().await;
    origin.at("/v/master.m3u8", Answer::playlist(MULTIVARIANT));
    origin.at("/v/360p/level.m3u8", Answer::playlist(MEDIA));
    origin.at("/v/360p/seg.ts", Answer::ok("video/mp2t", vec![0x47; 1880]));
    let edge = TestEdge::start(&origin, "").await;

    let refused = get(edge.address, "/v/master.m3u8").await;
    assert_eq!((refused.status, refused.reason().as_deref()), (403, Some("no_token")));

    let entry = get(edge.address, &format!("/v/master.m3u8?{}", access_token("/*"))).await;
    assert_eq!(entry.status, 200, "{}", entry.head);
    let child = entry.uris().remove(0);
    assert!(child.starts_with("360p/hdntl=exp=") && child.contains("~acl=%2f*~data=hdntl~hmac="), "{child}");

    let media = get(edge.address, &format!("/v/{child}")).await;
    assert_eq!((media.status, media.text().as_str()), (200, MEDIA), "relative segments inherit the token");
    let directory = child.rsplit_once('/').expect("a directory").0;
    let segment = get(edge.address, &format!("/v/{directory}/seg.ts")).await;
    assert_eq!((segment.status, segment.body.len()), (200, 1880));

    for asked in origin.asked() {
        assert!(
            !asked.head.contains("hdnts") && !asked.head.contains("hdntl") && !asked.head.contains("hmac"),
            "{}",
            asked.head
        );
    }
}
