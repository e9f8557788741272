//! A private bucket behind the edge: an S3 server that verifies each signature by itself, and lets nobody in without one.
//!
//! The server is the `s3s` crate: of the program's own code nothing is in it. The objects lie in memory.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::{
    ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, StreamingBlob, Timestamp,
};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};

use crate::ffmpeg::{CLIP_FRAMES, assert_decoded, decode};
use crate::program::{Edge, mint};
use crate::tool::Tool;

const BUCKET: &str = "film-store";
const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const PATIENCE: Duration = Duration::from_secs(20);
const LADDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lab/media/ladder/ts");
const SEGMENTS: usize = 16;

/// The bucket's objects by their keys.
#[derive(Default)]
struct Bucket(BTreeMap<String, Bytes>);

impl Bucket {
    fn with(objects: &[(&str, &str)]) -> Self {
        Self(objects.iter().map(|(key, text)| ((*key).to_owned(), Bytes::from((*text).to_owned()))).collect())
    }

    /// The lab's clip with its sound, under keys with a space, as somebody uploaded it.
    fn with_the_clip() -> Self {
        let mut bucket = Self::default();
        for (rendition, kind) in [("v240", ""), ("a-en", "sound/")] {
            let mut playlist = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n".to_owned();
            let durations = std::fs::read_to_string(format!("{LADDER}/{rendition}/durations.txt"));
            for (number, duration) in durations.expect("the lab's durations").lines().enumerate() {
                let segment = lab_segment(rendition, number);
                bucket.0.insert(format!("my film/{kind}{number:02}.ts"), segment.into());
                playlist.extend([format!("#EXTINF:{duration},\n{number:02}.ts\n")]);
            }
            playlist += "#EXT-X-ENDLIST\n";
            bucket.0.insert(format!("my film/{kind}index.m3u8"), playlist.into());
        }
        let multivariant = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"sound/index.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=200000,RESOLUTION=426x240,CODECS=\"avc1.640015,mp4a.40.2\",AUDIO=\"a\"\nindex.m3u8\n";
        bucket.0.insert("my film/master.m3u8".to_owned(), multivariant.into());
        bucket
    }

    fn object(&self, bucket: &str, key: &str) -> S3Result<Bytes> {
        if bucket != BUCKET {
            return Err(s3_error!(NoSuchBucket));
        }
        self.0.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

#[async_trait::async_trait]
impl S3 for Bucket {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { bucket, key, range, response_content_type, .. } = request.input;
        let whole = self.object(&bucket, &key)?;
        let length = whole.len();
        let (body, content_range) = match range {
            None => (whole, None),
            Some(range) => {
                let part = range.check(length as u64)?;
                let stated = format!("bytes {}-{}/{length}", part.start, part.end - 1);
                let at = |offset: u64| usize::try_from(offset).expect("within the object");
                (whole.slice(at(part.start)..at(part.end)), Some(stated))
            }
        };
        let content_length = i64::try_from(body.len()).expect("a small object");
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(content_length),
            content_range,
            content_type: response_content_type.or_else(|| Some(type_of(&key).to_owned())),
            e_tag: Some(ETag::Strong(format!("{length:x}-{}", key.len()))),
            last_modified: Some(Timestamp::from(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000))),
            body: Some(StreamingBlob::from(Body::from(body))),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let HeadObjectInput { bucket, key, .. } = request.input;
        let whole = self.object(&bucket, &key)?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(i64::try_from(whole.len()).expect("a small object")),
            content_type: Some(type_of(&key).to_owned()),
            e_tag: Some(ETag::Strong(format!("{:x}-{}", whole.len(), key.len()))),
            ..HeadObjectOutput::default()
        }))
    }
}

fn lab_segment(rendition: &str, number: usize) -> Vec<u8> {
    std::fs::read(format!("{LADDER}/{rendition}/{number:02}.ts")).expect("a segment of the lab")
}

fn type_of(key: &str) -> &'static str {
    if key.rsplit('.').next() == Some("m3u8") { "application/vnd.apple.mpegurl" } else { "video/mp2t" }
}

/// The server, and each request as it came with the status it got: `GET /bucket/key?query 200`.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    /// It ends with the runtime.
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(bucket: Bucket) -> Self {
        let mut builder = S3ServiceBuilder::new(bucket);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        runtime.spawn(accept(listener, service, asked.clone()));
        Self { address, asked, _runtime: runtime }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the list").clone()
    }

    /// An edge before the bucket that signs with `secret`.
    fn edge(&self, secret: &str) -> Edge {
        let keys = format!(
            "access_key_id = {{ text = \"{ACCESS_KEY}\" }}, secret_access_key = {{ text = \"{secret}\" }}, region = \"eu-central-1\""
        );
        let origin =
            format!("{{ urls = [\"http://{}/{BUCKET}\"], auth = {{ sigv4 = {{ {keys} }} }} }}", self.address);
        Edge::serve_from(&origin, "path", "")
    }
}

async fn accept(listener: tokio::net::TcpListener, service: S3Service, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (service, asked) = (service.clone(), asked.clone());
        tokio::spawn(async move {
            let noted = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let line = format!("{} {}", request.method(), request.uri());
                let (answer, asked) = (hyper::service::Service::call(&service, request), asked.clone());
                async move {
                    let answer = answer.await;
                    let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
                    asked.lock().expect("the list").push(format!("{line} {status}"));
                    answer
                }
            });
            // A client that leaves is no fault of the server's.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), noted)
                .await;
        });
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("text")
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// One request on a connection of its own, with its target as it is.
fn ask(address: &str, method: &str, target: &str, fields: &str) -> Reply {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("a head of text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let reply = Reply { status, head, body: answer[end + 4..].to_vec() };
    if method != "HEAD" {
        let length = reply.field("content-length").and_then(|length| length.parse().ok());
        assert_eq!(length, Some(reply.body.len()), "the whole answer, with its length: {}", reply.head);
    }
    reply
}

/// A request to the edge with a token for everything.
fn through(edge: &Edge, method: &str, target: &str, fields: &str) -> Reply {
    let base = edge.base("path");
    let address = base.strip_prefix("http://").expect("plain HTTP");
    let mark = if target.contains('?') { '&' } else { '?' };
    ask(address, method, &format!("{target}{mark}{}", mint()), fields)
}

/// Keys as they lie in the bucket, and the spellings of a URL by which a viewer asks for them.
const AWKWARD: [(&str, &[&str]); 9] = [
    ("a b.ts", &["/a%20b.ts"]),
    ("a+b.ts", &["/a+b.ts", "/a%2Bb.ts"]),
    ("\u{e9}t\u{e9}/\u{1f3ac}.ts", &["/%C3%A9t%C3%A9/%F0%9F%8E%AC.ts", "/%c3%a9t%c3%a9/%f0%9f%8e%ac.ts"]),
    ("a//b.ts", &["/a//b.ts"]),
    ("~a/b~.ts", &["/~a/b~.ts", "/%7Ea/b%7E.ts"]),
    ("(a)'!*,;:@&=$.ts", &["/(a)'!*,;:@&=$.ts", "/%28a%29%27%21%2A%2C%3B%3A%40%26%3D%24.ts"]),
    ("100%.ts", &["/100%25.ts"]),
    ("[a]{b}|^`.ts", &["/%5Ba%5D%7Bb%7D%7C%5E%60.ts"]),
    ("a?b#c.ts", &["/a%3Fb%23c.ts"]),
];

#[test]
fn the_bucket_lets_nobody_in_without_a_signature() {
    let server = Server::start(Bucket::with(&[("a.ts", "a")]));
    let address = server.address.to_string();
    let reply = ask(&address, "GET", &format!("/{BUCKET}/a.ts"), "");
    assert_eq!(reply.status, 403, "{reply:?}");
}

#[test]
fn objects_with_awkward_keys_come_out_of_a_private_bucket() {
    let objects: Vec<(&str, &str)> = AWKWARD.iter().map(|(key, _)| (*key, *key)).collect();
    let server = Server::start(Bucket::with(&objects));
    let edge = server.edge(SECRET);
    for (key, spellings) in AWKWARD {
        for spelling in spellings {
            let reply = through(&edge, "GET", spelling, "");
            assert_eq!((reply.status, reply.text()), (200, key), "{spelling}: {:#?}", server.asked());
        }
    }
    assert!(server.asked().iter().all(|line| !line.contains("hdnts") && !line.contains("hmac")));
}

#[test]
fn queries_are_signed_as_the_bucket_reads_them() {
    let server = Server::start(Bucket::with(&[("a.ts", "a")]));
    let edge = server.edge(SECRET);
    for query in [
        "a=1",
        // The server leaves the values of one name in their order, where Amazon's own test suite sorts them.
        "b=2&a=0&a=1",
        "empty",
        "empty=",
        "a=b%2Fc%20d",
        "a=b+c",
        "a=%2B",
        "a=~-._*'()!",
        "%C3%A9=%c3%a9",
        "a=1&&b=2",
        "a=x=y",
        "a=b/c:d@e",
        "response-content-type=text%2Fplain",
    ] {
        let reply = through(&edge, "GET", &format!("/a.ts?{query}"), "");
        assert_eq!((reply.status, reply.text()), (200, "a"), "{query}: {:#?}", server.asked());
        let plain = query.starts_with("response-content-type");
        let expected = if plain { "text/plain" } else { "video/mp2t" };
        assert_eq!(reply.field("content-type"), Some(expected), "{query}");
    }
}

#[test]
fn heads_and_parts_come_out_of_a_private_bucket() {
    let server = Server::start(Bucket::with(&[("a.ts", "0123456789"), ("b.ts", "0123456789")]));
    let edge = server.edge(SECRET);
    let head = through(&edge, "HEAD", "/a.ts", "");
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, Some("10"), 0));
    // From the middle of an object that nobody has yet, which the bucket cuts; and of one that is kept by then.
    for path in ["/a.ts", "/b.ts"] {
        for _ in 0..2 {
            let part = through(&edge, "GET", path, "Range: bytes=3-5\r\n");
            assert_eq!((part.status, part.text()), (206, "345"), "{part:?}");
            assert_eq!(part.field("content-range"), Some("bytes 3-5/10"));
        }
        assert_eq!(through(&edge, "GET", path, "").text(), "0123456789");
        let last = through(&edge, "GET", path, "Range: bytes=-2\r\n");
        assert_eq!((last.status, last.text()), (206, "89"), "{last:?}");
        assert_eq!(through(&edge, "GET", path, "Range: bytes=10-\r\n").status, 416);
    }
    assert!(server.asked().iter().any(|line| line.ends_with(" 206")), "{:#?}", server.asked());
    assert!(server.asked().iter().all(|line| !line.ends_with(" 403")), "{:#?}", server.asked());
    assert_eq!(through(&edge, "GET", "/none.ts", "").status, 404);
}

#[test]
fn a_wrong_secret_is_told_and_nothing_of_it_is_kept() {
    let server = Server::start(Bucket::with(&[("a.ts", "a"), ("index.m3u8", "#EXTM3U\n")]));
    let edge = server.edge("another-secret");
    for _ in 0..2 {
        for path in ["/a.ts", "/index.m3u8"] {
            let reply = through(&edge, "GET", path, "");
            assert_eq!(reply.status, 403, "{reply:?}");
            assert!(
                !reply.head.contains(ACCESS_KEY) && !reply.head.contains("Sluicegate-Reason"),
                "{reply:?}"
            );
            let status = reply.field("cache-status").unwrap_or_default();
            assert!(!status.contains("hit") && !status.contains("stored"), "{status}");
        }
    }
    assert_eq!(server.asked().len(), 4, "each time the bucket was asked: {:#?}", server.asked());
    assert!(server.asked().iter().all(|line| line.ends_with(" 403")));
}

/// Every URL of the playlists, as a player finds them.
#[test]
fn a_playlist_out_of_a_private_bucket_is_walked_by_its_token() {
    let server = Server::start(Bucket::with_the_clip());
    let edge = server.edge(SECRET);
    let site = edge.base("path");
    let address = site.strip_prefix("http://").expect("plain HTTP").to_owned();
    let entry = through(&edge, "GET", "/my%20film/master.m3u8", "");
    assert_eq!(entry.status, 200, "{entry:?}");
    let uris = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
    };
    let target = |uri: &str| -> String {
        let plain = uri.strip_prefix(&site).unwrap_or(uri);
        if plain.starts_with('/') { plain.to_owned() } else { format!("/my%20film/{plain}") }
    };
    let level = uris(entry.text()).remove(0);
    let level_target = target(&level);
    let media = ask(&address, "GET", &level_target, "");
    assert_eq!(media.status, 200, "{level_target}: {media:?}");
    let folder = level_target.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let segments = uris(media.text());
    assert_eq!(segments.len(), SEGMENTS);
    for (number, segment) in segments.iter().enumerate() {
        let plain = segment.strip_prefix(&site).unwrap_or(segment);
        let at = if plain.starts_with('/') { plain.to_owned() } else { format!("{folder}/{plain}") };
        let reply = ask(&address, "GET", &at, "");
        assert!(reply.status == 200 && reply.body == lab_segment("v240", number), "{at}: {}", reply.head);
    }
    assert!(server.asked().iter().all(|line| line.ends_with(" 200")), "{:#?}", server.asked());
}

#[test]
fn ffmpeg_plays_out_of_a_private_bucket() {
    if !Tool::Ffmpeg.is_wanted() {
        return;
    }
    let server = Server::start(Bucket::with_the_clip());
    let edge = server.edge(SECRET);
    assert_decoded(&decode(&["-i", &edge.url("path", "/my%20film/master.m3u8")], &[]), CLIP_FRAMES);
}
