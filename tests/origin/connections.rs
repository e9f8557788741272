//! HTTP/1 as it is spoken to an origin: which connections are used again, and how bodies are sent and read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use sluicegate::origin::OriginError;
use sluicegate::origin::upload::Upload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::*;

/// The connections that five requests in turn take, where each is answered so.
async fn connections_for(method: Method, answer: &str) -> usize {
    let server = Raw::always(answer.as_bytes()).await;
    let origin = origin(settings(&[server.address]));
    for _ in 0..5 {
        let answer = origin.fetch(&method, "/", HeaderMap::new(), None, NOW).await.expect("an answer");
        text(answer).await.expect("a whole body");
    }
    server.connections()
}

#[tokio::test]
async fn a_connection_is_used_again_where_the_answer_allows_it() {
    for (method, answer, connections) in [
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", 1),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 1),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\nb: c\r\n\r\n",
            1,
        ),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 1),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n", 1),
        (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", 1),
        (Method::HEAD, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 1),
        (Method::GET, "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", 1),
        (Method::GET, "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", 5),
        (Method::GET, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", 5),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxy", 5),
        (Method::GET, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nx", 5),
        (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", 5),
    ] {
        assert_eq!(connections_for(method.clone(), answer).await, connections, "{method} {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_nobody_read_costs_its_connection_only_while_bytes_are_missing() {
    for (answer, connections) in [
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy", 1),
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\n\r\nbusy", 3),
    ] {
        let server = Raw::always(answer.as_bytes()).await;
        let origin = origin(settings(&[server.address]));
        for _ in 0..3 {
            drop(get(&origin, "/").await.expect("a head"));
        }
        assert_eq!(server.connections(), connections, "{answer}");
    }
}

#[tokio::test]
async fn what_an_idle_connection_says_unasked_is_never_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let spoken = Arc::new(AtomicUsize::new(0));
    let count = spoken.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&ok("sound")).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                let _ = stream.write_all(&ok("poison")).await;
                count.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read(&mut [0; 4096]).await;
            });
        }
    });
    let origin = origin(settings(&[address]));
    for round in 1..5 {
        assert_eq!(fetched(&origin, "/").await, "sound");
        until(|| spoken.load(Ordering::Relaxed) == round).await;
        // The bytes are on the connection; the runtime hears of them when it next looks.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn stale_connections_cost_one_attempt_however_many_there_are() {
    // Each connection answers one request, promises to stay, and closes when it is used again.
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    let server = Raw::start_with_peer(move |_, peer| {
        if seen.lock().expect("not poisoned").insert(peer) {
            vec![Step::Pause(Duration::from_millis(30)), Step::Send(ok("x"))]
        } else {
            vec![Step::Close]
        }
    })
    .await;
    let origin = origin(settings(&[server.address]));
    let all = futures_util::future::join_all((0..8).map(|_| fetched(&origin, "/"))).await;
    assert_eq!((all.len(), server.connections()), (8, 8));
    for _ in 0..8 {
        assert_eq!(fetched(&origin, "/").await, "x");
    }
    assert_eq!(origin.report()[0].failures, 0);
}

#[tokio::test]
async fn an_answer_in_single_bytes_is_the_same_answer() {
    let bytes = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n\
        3;e\r\nabc\r\n2\r\nde\r\n0\r\nt: u\r\n\r\n";
    let server = Raw::start(move |_| {
        let byte = |byte: &u8| [Step::Send(vec![*byte]), Step::Pause(Duration::from_micros(100))];
        bytes.iter().flat_map(byte).collect()
    })
    .await;
    let origin = origin(settings(&[server.address]));
    for _ in 0..2 {
        let answer = get(&origin, "/").await.expect("an answer");
        assert_eq!(
            (answer.status(), &answer.headers()["x"]),
            (StatusCode::OK, &"y".parse().expect("a value"))
        );
        assert_eq!(text(answer).await.expect("a body"), "abcde");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn large_bodies_arrive_whole_whatever_ends_them() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at % 251).expect("small")).collect();
    let chunks: Vec<u8> = body
        .chunks(70_001)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    let sized =
        [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    let chunked = [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &chunks[..]].concat();
    let closed = [b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat();
    for (answer, connections) in [(sized, 1), (chunked, 1), (closed, 2)] {
        let ends = connections == 2;
        let server = Raw::start(move |_| {
            let end = ends.then_some(Step::Close);
            [Step::Send(answer.clone())].into_iter().chain(end).collect()
        })
        .await;
        let origin = origin(settings(&[server.address]));
        for _ in 0..2 {
            let answer = get(&origin, "/").await.expect("an answer").into_body().collect().await;
            assert!(answer.expect("a whole body").to_bytes() == body);
        }
        assert_eq!(server.connections(), connections);
    }
}

/// A server that reads one request to the end of these bytes and answers it; what it read.
async fn reading_to(end: &'static [u8]) -> (std::net::SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let read = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut came = Vec::new();
        while !came.ends_with(end) {
            assert_ne!(
                stream.read_buf(&mut came).await.expect("more"),
                0,
                "{}",
                String::from_utf8_lossy(&came)
            );
        }
        stream.write_all(&ok("done")).await.expect("written");
        let _ = stream.read(&mut [0]).await;
        String::from_utf8_lossy(&came).into_owned()
    });
    (address, read)
}

type Pieces = mpsc::Sender<std::io::Result<Bytes>>;

/// A body of these pieces, which ends when their sender is dropped.
fn streaming() -> (Pieces, Upload) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async {
        let piece: std::io::Result<Bytes> = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    (sender, Upload::stream(StreamBody::new(pieces)))
}

async fn post(origin: &sluicegate::origin::Origin, upload: Upload) -> Result<String, OriginError> {
    let fields =
        headers(&[("content-length", "999"), ("content-type", "text/plain"), ("expect", "100-continue")]);
    let answer = origin.fetch_with(&Method::POST, "/", fields, upload, None, NOW).await?;
    Ok(text(answer).await.expect("a body"))
}

#[tokio::test]
async fn a_body_of_a_known_length_is_sent_with_its_length() {
    let (address, read) = reading_to(b"0123456789").await;
    let origin = origin(settings(&[address]));
    let upload = Upload::stream(Full::new(Bytes::from_static(b"0123456789")));
    assert_eq!(post(&origin, upload).await.expect("an answer"), "done");
    drop(origin);
    let request = read.await.expect("no panic");
    assert_eq!(field(&request, "content-length"), Some("10"), "{request}");
    assert!(
        field(&request, "transfer-encoding").is_none() && field(&request, "expect").is_none(),
        "{request}"
    );
    assert!(
        request.starts_with("POST / HTTP/1.1\r\n") && request.ends_with("\r\n\r\n0123456789"),
        "{request}"
    );
}

#[tokio::test]
async fn a_body_of_an_unknown_length_is_sent_in_chunks_as_it_comes() {
    let (address, read) = reading_to(b"0\r\n\r\n").await;
    let origin = origin(settings(&[address]));
    let (sender, upload) = streaming();
    let sending = tokio::spawn(async move {
        for piece in ["abc", "0123456789abcdefg"] {
            sender.send(Ok(Bytes::from_static(piece.as_bytes()))).await.expect("it is wanted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(post(&origin, upload).await.expect("an answer"), "done");
    sending.await.expect("no panic");
    drop(origin);
    let request = read.await.expect("no panic");
    assert_eq!(field(&request, "transfer-encoding"), Some("chunked"));
    assert!(field(&request, "content-length").is_none(), "{request}");
    assert!(request.ends_with("\r\n\r\n3\r\nabc\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n"), "{request}");
}

#[tokio::test]
async fn a_post_without_a_body_says_so() {
    let server = Raw::always(&ok("x")).await;
    assert_eq!(post(&origin(settings(&[server.address])), Upload::Nothing).await.expect("an answer"), "x");
    assert_eq!(field(&server.asked()[0], "content-length"), Some("0"));
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_ends_the_sending() {
    let early = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig";
    let server = Raw::start(move |_| vec![Step::Send(early.into()), Step::Hang]).await;
    let origin = origin(settings(&[server.address]));
    // Its sender never ends it.
    let (_sender, upload) = streaming();
    let answer = origin.fetch_with(&Method::PUT, "/", HeaderMap::new(), upload, None, NOW).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(answer).await.expect("a body"), "big");
    assert_eq!(fetched_status(&origin).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(server.connections(), 2, "the rest of the first request was never sent");
}

async fn fetched_status(origin: &sluicegate::origin::Origin) -> StatusCode {
    get(origin, "/").await.expect("an answer").status()
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_fault_of_the_origins() {
    let server = Raw::start(|_| vec![Step::Hang]).await;
    let mut settings = with_retry(settings(&[server.address]));
    settings.ejection.failures = 1;
    let origin = origin(settings);
    let (sender, upload) = streaming();
    sender.send(Err(std::io::Error::other("the client left"))).await.expect("room");
    let answer = post(&origin, upload).await;
    assert!(matches!(answer, Err(OriginError::Upload(_))), "{answer:?}");
    assert_eq!(origin.report()[0].failures, 0);
    assert!(server.connections() <= 1, "it is not sent again");
}

#[tokio::test]
async fn a_path_that_is_no_target_is_not_sent() {
    let server = Raw::always(&ok("x")).await;
    let origin = origin(settings(&[server.address]));
    for path in ["/a b", "/a\r\nx: y", "/a#b", "a"] {
        assert!(matches!(get(&origin, path).await, Err(OriginError::Target)), "{path:?}");
    }
    assert!(server.asked().is_empty());
}
