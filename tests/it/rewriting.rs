//! Playlists and their side documents as a viewer gets them: each of our references with the token, all else as it was.

use std::io::Write as _;

use crate::support::edge::access_token;
use crate::support::{Answer, Reply, TestEdge, TestOrigin, get, request};

/// A playlist in which `<…>` marks the references of ours.
fn plain(marked: &str) -> String {
    marked.replace(['<', '>'], "")
}

/// The playlist with `put` done to each marked reference.
fn expected(marked: &str, put: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for (index, piece) in marked.split(['<', '>']).enumerate() {
        out.push_str(&if index % 2 == 1 { put(piece) } else { piece.to_owned() });
    }
    out
}

fn in_query(reference: &str, pair: &str) -> String {
    let (reference, fragment) = reference.split_once('#').map_or((reference, ""), |(r, f)| (r, f));
    let hash = if fragment.is_empty() { "" } else { "#" };
    let separator = match reference.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{reference}{separator}{pair}{hash}{fragment}")
}

fn in_path(reference: &str, component: &str) -> String {
    let path_end = reference.find(['?', '#']).unwrap_or(reference.len());
    let last = reference[..path_end].rfind('/').map_or(0, |slash| slash + 1);
    format!("{}{component}/{}", &reference[..last], &reference[last..])
}

/// The component or pair in the first marked reference of a playlist.
fn token(text: &str) -> String {
    let start = text.find("hdntl=").expect("a token");
    let end = text[start..].find(['/', '"', '\n', '\r']).map_or(text.len(), |end| start + end);
    text[start..end].to_owned()
}

/// The text between the first `hdntl=` and the end of its hmac: a session in a query has slashes in its ACL.
fn pair(text: &str) -> String {
    let start = text.find("hdntl=").expect("a token");
    let hmac = start + text[start..].find("hmac=").expect("a signature") + "hmac=".len();
    let length = text[hmac..].bytes().take_while(u8::is_ascii_hexdigit).count();
    text[start..hmac + length].to_owned()
}

async fn entry(edge: &TestEdge, path: &str) -> Reply {
    let separator = if path.contains('?') { '&' } else { '?' };
    get(edge.address, &format!("{path}{separator}{}", access_token("/*"))).await
}

const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n# a comment, URI=\"no\"\n\
    #EXT-X-CONTENT-STEERING:SERVER-URI=\"</v/steering.json>\",PATHWAY-ID=\"A\"\n\
    #EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://key\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n\
    #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"<keys/session.key>\"\n\
    #EXT-X-SESSION-DATA:DATA-ID=\"a, URI=\",URI=\"<data.json?x=1>\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\", URI=\"<audio/en.m3u8>\",NAME=\"one, two\"\n\
    #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"<iframe.m3u8>\"\n\
    #EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,URI=\"<image.m3u8#top>\"\n\
    #EXT-X-VENDOR:URI=\"<vendor.json>\",OTHER-URI=\"no.json\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1\n<360p/level.m3u8>\n\
    #EXT-X-STREAM-INF:BANDWIDTH=2\nhttp://foreign.example/level.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=3\n<http://HOST/v/720p/level.m3u8?a=b>\n";

const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=1\n\
    #EXT-X-KEY:METHOD=AES-128,URI=\"</v/k.key>\",IV=0x1\n\
    #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"data:text/plain;base64,AAAA\"\n\
    #EXT-X-MAP:URI=\"</v/init.mp4>\"\n\
    #EXT-X-DATERANGE:ID=\"a\",X-ASSET-URI=\"</ads/a.m3u8>\"\n\
    #EXT-X-DATERANGE:ID=\"b\",X-ASSET-LIST=\"</ads/list.json?n=1>\"\n\
    #EXT-X-DATERANGE:ID=\"c\",CLASS=\"com.apple.hls.preload\",X-URI=\"</ads/b.m3u8>\"\n\
    #EXT-X-DATERANGE:ID=\"d\",X-URI=\"/ads/none\"\n\
    #EXT-X-TILES:URI=\"</v/t.jpg>\"\n\
    #EXTINF:4,title, URI=\"no\"\n</v/s1.ts>\n\
    #EXTINF:4,\nhttps://foreign.example/s2.ts\n\
    #EXT-X-PART:DURATION=1,URI=\"</v/p1.m4s>\"\n\
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"</v/p2.m4s>\"\n\
    #EXT-X-PREFETCH:</v/s3.ts>\n\
    #EXT-X-RENDITION-REPORT:URI=\"</v/low.m3u8>\",LAST-MSN=1\n";

#[tokio::test]
async fn every_tag_of_a_multivariant_playlist_gets_the_session_in_the_path() {
    let origin = TestOrigin::start().await;
    let edge = TestEdge::start(&origin, "").await;
    let marked = MULTIVARIANT.replace("HOST", &edge.address.to_string());
    origin.at("/v/master.m3u8", Answer::playlist(&plain(&marked)));
    let reply = entry(&edge, "/v/master.m3u8").await;
    let component = token(&reply.text());
    assert_eq!(reply.text(), expected(&marked, |reference| in_path(reference, &component)));
}

#[tokio::test]
async fn every_tag_of_a_multivariant_playlist_gets_the_session_in_the_query() {
    let origin = TestOrigin::start().await;
    let edge = TestEdge::start(&origin, "session = { carrier = \"query\" }").await;
    let marked = MULTIVARIANT.replace("HOST", &edge.address.to_string());
    origin.at("/v/master.m3u8", Answer::playlist(&plain(&marked)));
    let reply = entry(&edge, "/v/master.m3u8").await;
    let pair = pair(&reply.text());
    assert_eq!(reply.text(), expected(&marked, |reference| in_query(reference, &pair)));
}

#[tokio::test]
async fn a_playlist_is_the_origins_where_the_cookie_carries_the_session() {
    let origin = TestOrigin::start().await;
    let edge = TestEdge::start(&origin, "session = { carrier = \"cookie\" }").await;
    let text = plain(&MULTIVARIANT.replace("HOST", &edge.address.to_string()));
    origin.at("/v/master.m3u8", Answer::playlist(&text));
    let reply = entry(&edge, "/v/master.m3u8").await;
    assert_eq!(reply.text(), text);
    let cookie = reply.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("hdntl=") && cookie.contains("~hmac="), "{cookie}");
}

/// Both carriers, over a media playlist that was reached with a session.
#[tokio::test]
async fn every_tag_of_a_media_playlist_gets_the_session_that_it_was_asked_with() {
    for (carrier, child) in [("path", "TOKEN/level.m3u8"), ("query", "level.m3u8?TOKEN")] {
        let origin = TestOrigin::start().await;
        origin.at("/v/master.m3u8", Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlevel.m3u8\n"));
        origin.at("/v/level.m3u8", Answer::playlist(&plain(MEDIA)));
        let edge = TestEdge::start(&origin, &format!("session = {{ carrier = \"{carrier}\" }}")).await;
        let reply = entry(&edge, "/v/master.m3u8").await;
        let uri = reply.uris().remove(0);
        let text = if carrier == "path" { token(&uri) } else { pair(&uri) };
        assert_eq!(uri, child.replace("TOKEN", &text));
        let media = get(edge.address, &format!("/v/{uri}")).await;
        let put = |reference: &str| {
            if carrier == "path" { in_path(reference, &text) } else { in_query(reference, &text) }
        };
        assert_eq!(media.text(), expected(MEDIA, put), "{carrier}");
    }
}

#[tokio::test]
async fn only_hosts_that_are_listed_get_the_token() {
    let origin = TestOrigin::start().await;
    let keys = "token_hosts = [\"cdn.example:8443\", \"*.parts.example\"]\nsession = { carrier = \"query\" }";
    let edge = TestEdge::start(&origin, keys).await;
    let marked = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n<https://cdn.example:8443/a.m3u8>\n\
        https://cdn.example/a.m3u8\nhttps://evil.example/a.m3u8?u=https://cdn.example:8443/\n\
        <http://x.parts.example/b.m3u8>\n//evil.example/a.m3u8\n/\\evil.example/a.m3u8\n\
        \\\\evil.example\\a.m3u8\nhttps://cdn.example:8443@evil.example/a.m3u8\n<own.m3u8>\n";
    origin.at("/v/master.m3u8", Answer::playlist(&plain(marked)));
    // A listed host without a port stands for the ports of the playlist's own scheme.
    let target = format!("/v/master.m3u8?{}", access_token("/*"));
    let reply = request(edge.address, "GET", &target, &[("Host", "edge.example")]).await;
    let pair = pair(&reply.text());
    assert_eq!(reply.text(), expected(marked, |reference| in_query(reference, &pair)));
    assert_eq!(edge.metric("references_left_total", ",cause=\"foreign\"").await, 6);
}

#[tokio::test]
async fn bom_line_ends_and_a_missing_last_newline_stay() {
    let origin = TestOrigin::start().await;
    let edge = TestEdge::start(&origin, "").await;
    let marked = "\u{feff}#EXTM3U\r\n#EXT-X-STREAM-INF:BANDWIDTH=1\r\n<a/level.m3u8>\r\n\r\n#EXT-X-STREAM-INF:BANDWIDTH=2\r\n<b/level.m3u8>";
    origin.at("/v/master.m3u8", Answer::playlist(&plain(marked)));
    let reply = entry(&edge, "/v/master.m3u8").await;
    let component = token(&reply.text());
    assert_eq!(reply.text(), expected(marked, |reference| in_path(reference, &component)));
}

#[tokio::test]
async fn a_stale_session_token_of_the_origins_is_replaced() {
    let origin = TestOrigin::start().await;
    let edge = TestEdge::start(&origin, "session = { carrier = \"query\" }").await;
    origin.at(
        "/v/master.m3u8",
        Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8?hdntl=old~hmac=00&xhdntl=1\n"),
    );
    let reply = entry(&edge, "/v/master.m3u8").await;
    let text = reply.text();
    assert_eq!(text.matches("?hdntl=").count() + text.matches("&hdntl=").count(), 1, "{text}");
    assert!(text.contains("xhdntl=1") && !text.contains("old~"), "{text}");
}

const STEERING: &str = "{\"VERSION\": 1, \"TTL\": 10, \"RELOAD-URI\": \"<steering.json?s=1>\",\n \
    \"PATHWAY-PRIORITY\": [\"A\", \"B\"], \"other\": \"RELOAD-URI\"}";
const ASSETS: &str = "{\"ASSETS\": [{\"URI\": \"</ads/one.m3u8>\", \"DURATION\": 5.0}, \
    {\"URI\": \"https://foreign.example/two.m3u8\", \"DURATION\": 1e1}], \"SKIP-CONTROL\": {\"OFFSET\": 0}}";

#[tokio::test]
async fn steering_manifests_and_asset_lists_get_the_session() {
    for (path, marked) in [("/v/steering.json", STEERING), ("/v/list.json", ASSETS)] {
        let origin = TestOrigin::start().await;
        origin.at("/v/master.m3u8", Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nl.m3u8\n"));
        let fields =
            [("content-type", "application/json"), ("etag", "\"o\""), ("cache-control", "max-age=60")];
        origin.at(path, Answer::with("200 OK", &fields, plain(marked)));
        let edge = TestEdge::start(&origin, "session = { carrier = \"query\" }").await;
        let pair = pair(&entry(&edge, "/v/master.m3u8").await.text());
        let reply = get(edge.address, &format!("{path}?{pair}")).await;
        assert_eq!(reply.text(), expected(marked, |reference| in_query(reference, &pair)));
        assert_eq!(reply.header("cache-control").as_deref(), Some("private, no-store"));
        assert_eq!(reply.header("etag"), None, "the origin's validator is of other bytes");
        let head = request(edge.address, "HEAD", &format!("{path}?{pair}"), &[]).await;
        assert_eq!(head.header("cache-control").as_deref(), Some("private, no-store"));
        assert_eq!(head.header("etag"), None);
        let stated = head.header("content-length");
        assert!(stated.is_none() || stated == reply.header("content-length"), "{stated:?}");
    }
}

#[tokio::test]
async fn other_json_passes_unchanged() {
    let origin = TestOrigin::start().await;
    origin.at("/v/master.m3u8", Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nl.m3u8\n"));
    let text = "{\"URI\": \"a.m3u8\", \"n\": 1.50}";
    origin.at(
        "/v/x.json",
        Answer::with("200 OK", &[("content-type", "application/json"), ("etag", "\"o\"")], text),
    );
    origin.at("/v/broken.json", Answer::ok("application/json", "{\"RELOAD-URI\": \"a"));
    let edge = TestEdge::start(&origin, "session = { carrier = \"query\" }").await;
    let pair = pair(&entry(&edge, "/v/master.m3u8").await.text());
    let reply = get(edge.address, &format!("/v/x.json?{pair}")).await;
    assert_eq!((reply.text().as_str(), reply.header("etag").as_deref()), (text, Some("\"o\"")));
    let broken = get(edge.address, &format!("/v/broken.json?{pair}")).await;
    assert_eq!((broken.status, broken.text().as_str()), (200, "{\"RELOAD-URI\": \"a"));
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn brotli(text: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut coded, 4096, 5, 20);
    writer.write_all(text).expect("memory");
    drop(writer);
    coded
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).expect("memory")
}

fn decoded(reply: &Reply) -> String {
    use std::io::Read as _;
    let mut text = Vec::new();
    match reply.header("content-encoding").as_deref() {
        Some("gzip") => {
            flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut text).expect("gzip");
        }
        Some("br") => {
            brotli::Decompressor::new(&reply.body[..], 4096).read_to_end(&mut text).expect("brotli");
        }
        Some("zstd") => text = zstd::decode_all(&reply.body[..]).expect("zstd"),
        None => text.clone_from(&reply.body),
        Some(other) => panic!("{other}"),
    }
    String::from_utf8(text).expect("text")
}

fn long_media() -> String {
    use std::fmt::Write as _;
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned();
    for number in 0..200 {
        let _ = write!(text, "#EXTINF:4,\n/v/seg-{number}.ts\n");
    }
    text + "#EXT-X-ENDLIST\n"
}

#[tokio::test]
async fn coded_playlists_are_decoded_rewritten_and_coded_again() {
    let text = long_media();
    let codings: [(&str, Vec<u8>); 4] = [
        ("gzip", gzip(text.as_bytes())),
        ("br", brotli(text.as_bytes())),
        ("zstd", zstd(text.as_bytes())),
        ("gzip, zstd", zstd(&gzip(text.as_bytes()))),
    ];
    for (sent, body) in codings {
        let origin = TestOrigin::start().await;
        let fields = [("content-type", "application/vnd.apple.mpegurl"), ("content-encoding", sent)];
        origin.at("/v/level.m3u8", Answer::with("200 OK", &fields, body));
        origin.at("/v/master.m3u8", Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlevel.m3u8\n"));
        let edge = TestEdge::start(&origin, "session = { carrier = \"query\" }").await;
        let pair = pair(&entry(&edge, "/v/master.m3u8").await.text());
        for accepted in ["gzip", "br", "zstd", "gzip;q=0, br;q=0.1", "identity", "*;q=0", ""] {
            let target = format!("/v/level.m3u8?{pair}");
            let reply = request(edge.address, "GET", &target, &[("Accept-Encoding", accepted)]).await;
            let shown = decoded(&reply);
            assert_eq!(
                shown.matches(&format!("?{pair}\n")).count(),
                200,
                "{sent} {accepted}: {}",
                reply.head
            );
            let coding = reply.header("content-encoding");
            let wanted = match accepted {
                "gzip" | "br" | "zstd" => Some(accepted.to_owned()),
                "gzip;q=0, br;q=0.1" => Some("br".to_owned()),
                _ => None,
            };
            assert_eq!(coding, wanted, "{accepted}");
            assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string()));
            assert!(reply.header("vary").is_some_and(|vary| vary.contains("Accept-Encoding")));
        }
        assert_eq!(origin.asked_for("/v/level.m3u8").len(), 1, "one template for all codings");
    }
}

#[tokio::test]
async fn a_bomb_is_a_bad_gateway_and_is_counted() {
    let bomb = format!("#EXTM3U\n{}", "#\n".repeat(8 << 20));
    for (coding, body) in
        [("gzip", gzip(bomb.as_bytes())), ("br", brotli(bomb.as_bytes())), ("zstd", zstd(bomb.as_bytes()))]
    {
        let origin = TestOrigin::start().await;
        let fields = [("content-type", "application/vnd.apple.mpegurl"), ("content-encoding", coding)];
        origin.at("/v/level.m3u8", Answer::with("200 OK", &fields, body));
        let edge = TestEdge::start(&origin, "").await;
        let reply = entry(&edge, "/v/level.m3u8").await;
        assert_eq!(reply.status, 502, "{coding}");
        assert_eq!(edge.metric("playlists_refused_total", "").await, 1);
    }
}

#[tokio::test]
async fn a_body_that_does_not_decode_is_a_bad_gateway() {
    let whole = gzip(long_media().as_bytes());
    let cut = whole[..whole.len() / 2].to_vec();
    for (coding, body) in [
        ("gzip", cut),
        ("br", b"no brotli at all".to_vec()),
        ("zstd", b"nor zstd".to_vec()),
        ("x-own", whole),
    ] {
        let origin = TestOrigin::start().await;
        let fields = [("content-type", "application/vnd.apple.mpegurl"), ("content-encoding", coding)];
        origin.at("/v/level.m3u8", Answer::with("200 OK", &fields, body));
        let edge = TestEdge::start(&origin, "").await;
        assert_eq!(entry(&edge, "/v/level.m3u8").await.status, 502, "{coding}");
    }
}

#[tokio::test]
async fn playlists_over_a_limit_are_refused_and_counted() {
    let origin = TestOrigin::start().await;
    origin.at("/v/big.m3u8", Answer::playlist(&long_media()));
    let long_line = format!("#EXTM3U\n#{}\n", "x".repeat(3_000));
    origin.at("/v/line.m3u8", Answer::playlist(&long_line));
    origin.at("/v/fits.m3u8", Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"));
    let keys = "manifest = { compressed_max = \"4KiB\", decoded_max = \"4KiB\", line_max = \"2KiB\" }";
    let edge = TestEdge::start(&origin, keys).await;
    assert_eq!(entry(&edge, "/v/big.m3u8").await.status, 502);
    assert_eq!(entry(&edge, "/v/line.m3u8").await.status, 502);
    assert_eq!(entry(&edge, "/v/fits.m3u8").await.status, 200);
    assert_eq!(edge.metric("playlists_refused_total", "").await, 2);
    assert_eq!(edge.metric("playlists_personalised_total", "").await, 1);
}

#[tokio::test]
async fn a_playlist_is_known_by_its_first_bytes_whatever_it_is_called() {
    let origin = TestOrigin::start().await;
    let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/v/a.m3u8\n";
    origin.at("/v/text.m3u8", Answer::ok("text/plain", text));
    origin.at("/v/segment.ts", Answer::ok("video/mp2t", text));
    origin.at("/v/none", Answer::ok("application/octet-stream", format!("\u{feff}\r\n{text}")));
    origin.at("/v/typed.php", Answer::ok("Audio/MPEGURL; charset=utf-8", text));
    for (path, coding, body) in [
        ("/v/gzip.bin", "gzip", gzip(text.as_bytes())),
        ("/v/br.bin", "br", brotli(text.as_bytes())),
        ("/v/zstd.bin", "zstd", zstd(text.as_bytes())),
    ] {
        let fields = [("content-type", "text/plain"), ("content-encoding", coding)];
        origin.at(path, Answer::with("200 OK", &fields, body));
    }
    let edge = TestEdge::start(&origin, "").await;
    let coded = ["/v/gzip.bin", "/v/br.bin", "/v/zstd.bin"];
    for path in coded.into_iter().chain(["/v/text.m3u8", "/v/segment.ts", "/v/none", "/v/typed.php"]) {
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}{}", access_token("/*"));
        let reply = request(edge.address, "GET", &target, &[("Accept-Encoding", "gzip")]).await;
        let shown = decoded(&reply);
        assert!(shown.contains("/v/hdntl=exp="), "{path}: {}\n{shown}", reply.head);
        assert_eq!(reply.header("cache-control").as_deref(), Some("private, no-store"), "{path}");
    }
}

#[tokio::test]
async fn what_is_no_playlist_keeps_its_coding() {
    let origin = TestOrigin::start().await;
    let page = "<html>".repeat(100);
    let fields = [("content-type", "text/html"), ("content-encoding", "gzip")];
    origin.at("/v/page", Answer::with("200 OK", &fields, gzip(page.as_bytes())));
    origin.at("/v/page.m3u8", Answer::with("200 OK", &fields, gzip(page.as_bytes())));
    let odd = [("content-type", "text/html"), ("content-encoding", "x-own")];
    origin.at("/v/gone.m3u8", Answer::with("404 Not Found", &odd, "coded"));
    let edge = TestEdge::start(&origin, "").await;
    for path in ["/v/page", "/v/page.m3u8"] {
        let target = format!("{path}?{}", access_token("/*"));
        let reply = request(edge.address, "GET", &target, &[("Accept-Encoding", "gzip")]).await;
        assert_eq!(decoded(&reply), page);
    }
    let gone = entry(&edge, "/v/gone.m3u8").await;
    assert_eq!((gone.status, gone.text().as_str()), (404, "coded"));
}

#[tokio::test]
async fn json_over_the_limit_passes_unchanged() {
    let origin = TestOrigin::start().await;
    let text = format!("{{\"RELOAD-URI\": \"a\", \"x\": \"{}\"}}", "x".repeat(8_000));
    origin.at("/v/big.json", Answer::ok("application/json", text.as_str()));
    let keys = "session = { carrier = \"query\" }\nmanifest = { compressed_max = \"4KiB\" }";
    let edge = TestEdge::start(&origin, keys).await;
    origin.at("/v/master.m3u8", Answer::playlist("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nl.m3u8\n"));
    let pair = pair(&entry(&edge, "/v/master.m3u8").await.text());
    assert_eq!(get(edge.address, &format!("/v/big.json?{pair}")).await.text(), text);
}

#[tokio::test]
async fn a_page_under_a_playlists_name_passes_untouched() {
    let origin = TestOrigin::start().await;
    let page = "<html>\n/v/a.m3u8\n#EXTM3U\n</html>\n";
    let fields = [("content-type", "text/html"), ("etag", "\"page\""), ("cache-control", "max-age=5")];
    origin.at("/v/page.m3u8", Answer::with("200 OK", &fields, page));
    origin.at("/v/typed.m3u8", Answer::playlist(page));
    origin.at("/v/gone.m3u8", Answer::with("404 Not Found", &fields, "#EXTM3U\n/v/a.m3u8\n"));
    let edge = TestEdge::start(&origin, "").await;
    for path in ["/v/page.m3u8", "/v/typed.m3u8"] {
        let reply = entry(&edge, path).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, page));
    }
    let reply = entry(&edge, "/v/page.m3u8").await;
    assert_eq!(reply.header("etag").as_deref(), Some("\"page\""));
    let gone = entry(&edge, "/v/gone.m3u8").await;
    assert_eq!((gone.status, gone.text().as_str()), (404, "#EXTM3U\n/v/a.m3u8\n"));
}
