//! Answers that cannot be true are errors, never ends.

use http::{HeaderMap, Method, StatusCode};
use sluicegate::origin::OriginError;
use sluicegate::origin::body::BodyError;

use crate::support::*;

async fn answer_to(range: Option<&str>, answer: &str) -> Result<String, Fate> {
    let server = Raw::start({
        let answer = answer.as_bytes().to_vec();
        move |_| vec![Step::Send(answer.clone()), Step::Close]
    })
    .await;
    let origin = origin(settings(&[server.address]));
    let fields: Vec<(&str, &str)> = range.map(|range| ("range", range)).into_iter().collect();
    let answer = get_with(&origin, "/", &fields).await.map_err(Fate::Head)?;
    text(answer).await.map_err(Fate::Body)
}

#[derive(Debug)]
enum Fate {
    Head(OriginError),
    Body(BodyError),
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_refused() {
    let part = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-2/9\r\ncontent-length: 3\r\n\r\nabc";
    assert!(matches!(answer_to(None, part).await, Err(Fate::Head(OriginError::UnaskedPart))));
    assert_eq!(answer_to(Some("bytes=0-2"), part).await.expect("what was asked for"), "abc");
}

#[tokio::test]
async fn another_part_than_was_asked_for_is_refused() {
    for stated in ["content-range: bytes 3-5/9\r\n", "content-range: bytes 0-9/9\r\n", "x: y\r\n"] {
        let part = format!("HTTP/1.1 206 Partial Content\r\n{stated}content-length: 3\r\n\r\nabc");
        let fate = answer_to(Some("bytes=0-2"), &part).await;
        assert!(matches!(fate, Err(Fate::Head(OriginError::WrongPart(_)))), "{stated}: {fate:?}");
    }
}

#[tokio::test]
async fn a_body_is_as_long_as_its_part() {
    const PART: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-2/9\r\n\r\n";
    let fate = answer_to(Some("bytes=0-2"), &format!("{PART}ab")).await;
    assert!(matches!(fate, Err(Fate::Body(BodyError::Short { announced: 3, came: 2 }))), "{fate:?}");
    let fate = answer_to(Some("bytes=0-2"), &format!("{PART}abcd")).await;
    assert!(matches!(fate, Err(Fate::Body(BodyError::Long(3)))), "{fate:?}");
}

#[tokio::test]
async fn a_short_body_is_an_error() {
    let fate = answer_to(None, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    assert!(matches!(fate, Err(Fate::Body(BodyError::Short { announced: 10, came: 3 }))), "{fate:?}");
    for chunks in ["5\r\nab", "2\r\nab\r\n", "zz\r\nab\r\n0\r\n\r\n", "2\r\nabc\r\n0\r\n\r\n"] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let fate = answer_to(None, &answer).await;
        assert!(matches!(fate, Err(Fate::Body(BodyError::Broken(_)))), "{chunks:?}: {fate:?}");
    }
}

#[tokio::test]
async fn two_lengths_are_refused() {
    for lengths in [
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "content-length: 3\r\ncontent-length: 3\r\n",
        "content-length: 3, 3\r\n",
    ] {
        let fate = answer_to(None, &format!("HTTP/1.1 200 OK\r\n{lengths}\r\nabc")).await;
        let is_refused = matches!(fate, Err(Fate::Head(OriginError::TwoLengths | OriginError::Invalid(_))));
        assert!(is_refused, "{lengths}: {fate:?}");
    }
    let differing = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd";
    assert!(matches!(answer_to(None, differing).await, Err(Fate::Head(_))));
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    for answer in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 999999 Huh\r\n\r\n",
        "\0\0\0\0",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    ] {
        let fate = answer_to(None, answer).await;
        assert!(matches!(fate, Err(Fate::Head(_))), "{answer:?}: {fate:?}");
    }
}

#[tokio::test]
async fn an_upgrade_that_was_not_asked_for_is_refused() {
    let fate =
        answer_to(None, "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
            .await;
    assert!(matches!(fate, Err(Fate::Head(OriginError::Invalid(_)))), "{fate:?}");
}

/// What follows an answer to HEAD could be taken for the answer to the next request on the same connection.
#[tokio::test]
async fn a_body_after_an_answer_to_head_never_becomes_the_next_answer() {
    for answer_to_head in
        ["HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n"]
    {
        let server = Raw::start(move |head| {
            let body = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned";
            let answer = if head.starts_with("HEAD") {
                format!("{answer_to_head}{body}").into_bytes()
            } else {
                ok("sound")
            };
            vec![Step::Send(answer)]
        })
        .await;
        let origin = origin(settings(&[server.address]));
        for _ in 0..20 {
            let answer = origin.fetch(&Method::HEAD, "/", HeaderMap::new(), None, NOW).await;
            if let Ok(answer) = answer {
                assert!(matches!(answer.status(), StatusCode::OK | StatusCode::NOT_MODIFIED));
                assert_eq!(text(answer).await.expect("no body"), "");
            }
            match get(&origin, "/").await {
                Ok(answer) => assert_eq!(text(answer).await.expect("a body"), "sound"),
                Err(error) => panic!("a GET after it fails: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn bytes_after_the_end_of_a_body_never_become_the_next_answer() {
    let server = Raw::start(|head| {
        let more = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned";
        let answer = if head.starts_with("GET /a ") { [ok("a"), more.into()].concat() } else { ok("sound") };
        vec![Step::Send(answer)]
    })
    .await;
    let origin = origin(settings(&[server.address]));
    for _ in 0..20 {
        assert_eq!(fetched(&origin, "/a").await, "a");
        assert_eq!(fetched(&origin, "/b").await, "sound");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_counts_against_its_server() {
    let cutting = Raw::start(|_| {
        vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec()), Step::Close]
    })
    .await;
    let origin = origin(settings(&[cutting.address]));
    let answer = get(&origin, "/").await.expect("a head");
    assert!(text(answer).await.is_err());
    assert_eq!(origin.report()[0].failures, 1);
    // A viewer that leaves is no failure.
    drop(get(&origin, "/").await.expect("a head"));
    assert_eq!(origin.report()[0].failures, 1);
}
