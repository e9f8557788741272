//! Times, queue, heads and connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use sluicegate::origin::OriginError;
use sluicegate::origin::body::BodyError;

use crate::support::*;

const SHORT: Duration = Duration::from_millis(80);

#[tokio::test]
async fn an_origin_that_does_not_answer_is_given_up() {
    let silent = Raw::start(|_| vec![Step::Hang]).await;
    let mut settings = settings(&[silent.address]);
    (settings.connect_timeout, settings.first_byte_timeout) = (SHORT, SHORT);
    let began = Instant::now();
    let answer = get(&origin(settings), "/").await;
    assert!(matches!(answer, Err(OriginError::FirstByte(_))), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_a_failed_connection() {
    // It accepts, and says nothing to the client's hello.
    let silent = Raw::start(|_| vec![Step::Hang]).await;
    let mut settings = settings(&[silent.address]);
    settings.servers = vec![server(&format!("https://{}", silent.address))];
    settings.connect_timeout = SHORT;
    let answer = get(&origin(settings), "/").await;
    assert!(matches!(answer, Err(OriginError::Connect(_))), "{answer:?}");
}

#[tokio::test]
async fn silence_in_a_body_is_an_error() {
    let stalling = Raw::start(|_| {
        vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc".to_vec()), Step::Hang]
    })
    .await;
    let mut settings = settings(&[stalling.address]);
    settings.between_bytes_timeout = SHORT;
    let answer = get(&origin(settings), "/").await.expect("a head");
    assert!(matches!(text(answer).await, Err(BodyError::Silent(_))));
}

#[tokio::test]
async fn a_body_that_trickles_is_over_in_time() {
    let trickling = Raw::start(|_| {
        let mut steps = vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec())];
        for _ in 0..1_000 {
            steps.extend([Step::Send(b"x".to_vec()), Step::Pause(Duration::from_millis(10))]);
        }
        steps
    })
    .await;
    let mut settings = settings(&[trickling.address]);
    settings.fetch_timeout = Duration::from_millis(200);
    let began = Instant::now();
    let answer = get(&origin(settings), "/").await.expect("a head");
    assert!(matches!(text(answer).await, Err(BodyError::TooLong(_))));
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn the_queue_is_bounded_in_number_and_time() {
    let holding = Raw::start(|_| {
        vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec()), Step::Hang]
    })
    .await;
    let mut settings = settings(&[holding.address]);
    (settings.fetches_max, settings.queue_max, settings.queue_timeout) = (1, 1, Duration::from_millis(200));
    let origin = Arc::new(origin(settings));
    let held = get(&origin, "/").await.expect("a head");
    let waiting = tokio::spawn({
        let origin = origin.clone();
        async move { get(&origin, "/").await.map(drop) }
    });
    tokio::task::yield_now().await;
    let crowded = get(&origin, "/").await;
    assert!(matches!(crowded, Err(OriginError::Crowded(1))), "{crowded:?}");
    assert!(matches!(waiting.await.expect("no panic"), Err(OriginError::Busy(1, _))));
    drop(held);
    assert!(get(&origin, "/").await.is_ok(), "a body that is dropped frees its place");
}

#[tokio::test]
async fn a_head_over_its_limits_is_refused() {
    for head in [
        "a: b\r\n".repeat(101),
        format!("a: {}\r\n", "x".repeat(33 << 10)),
        format!("a: {}\r\n", "x".repeat(1 << 20)),
        format!("a: {}\r\n", "x".repeat(400)).repeat(90),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}content-length: 0\r\n\r\n");
        let wordy = Raw::always(answer.as_bytes()).await;
        let answer = get(&origin(settings(&[wordy.address])), "/").await;
        assert!(matches!(answer, Err(OriginError::HeadTooLarge(_))), "{} bytes: {answer:?}", head.len());
    }
    let answer = format!("HTTP/1.1 200 OK\r\n{}content-length: 1\r\n\r\nx", "a: b\r\n".repeat(99));
    let wordy = Raw::always(answer.as_bytes()).await;
    assert_eq!(fetched(&origin(settings(&[wordy.address])), "/").await, "x");
}

#[tokio::test]
async fn interim_answers_are_bounded() {
    for (count, is_answered) in [(8, true), (9, false), (5_000, false)] {
        let mut answer = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(count).into_bytes();
        answer.extend(ok("x"));
        let hinting = Raw::always(&answer).await;
        let answer = get(&origin(settings(&[hinting.address])), "/").await;
        match answer {
            Ok(answer) => assert!(is_answered && text(answer).await.is_ok_and(|body| body == "x"), "{count}"),
            Err(OriginError::Interim(8)) => assert!(!is_answered, "{count}"),
            Err(other) => panic!("{count}: {other}"),
        }
    }
}

#[tokio::test]
async fn interim_answers_without_end_do_not_hold_a_place() {
    let hinting = Raw::start(|_| {
        let hint = Step::Send(b"HTTP/1.1 102 Processing\r\n\r\n".to_vec());
        let pause = Step::Pause(Duration::from_millis(1));
        (0..10_000).flat_map(|_| [hint.clone(), pause.clone()]).collect()
    })
    .await;
    let answer = get(&origin(settings(&[hinting.address])), "/").await;
    assert!(matches!(answer, Err(OriginError::Interim(8))), "{answer:?}");
}

#[tokio::test]
async fn connections_are_kept_until_they_are_old() {
    for (age_max, connections) in [(Duration::from_mins(5), 1), (Duration::ZERO, 5)] {
        let server = Raw::always(&ok("x")).await;
        let mut settings = settings(&[server.address]);
        settings.connection_age_max = age_max;
        let origin = origin(settings);
        for _ in 0..5 {
            fetched(&origin, "/").await;
            // The connection goes back to the pool in a task of its own.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.connections(), connections, "{age_max:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Raw::always(&ok("x")).await;
    let mut settings = settings(&[server.address]);
    settings.idle_timeout = Duration::from_millis(20);
    let origin = origin(settings);
    fetched(&origin, "/").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    fetched(&origin, "/").await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_path_prefix_and_a_host_of_the_configuration_are_sent() {
    let server = Raw::always(&ok("x")).await;
    let mut settings = settings(&[server.address]);
    settings.servers[0].base.prefix = "/vod".to_owned();
    settings.host = Some(http::HeaderValue::from_static("www.example"));
    let origin = origin(settings);
    let fields = headers(&[("host", "evil.example"), ("range", "bytes=0-")]);
    let answer = origin.fetch(&Method::HEAD, "/a?b=c", fields, None, NOW).await;
    assert!(answer.is_ok());
    let head = &server.asked()[0];
    assert!(head.starts_with("HEAD /vod/a?b=c HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(head, "host"), Some("www.example"));
    assert_eq!(head.to_ascii_lowercase().matches("host:").count(), 1, "{head}");
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_fetch() {
    let holding = Raw::start(|_| vec![Step::Hang]).await;
    let mut settings = settings(&[holding.address]);
    settings.fetches_max = 1;
    let origin = Arc::new(origin(settings));
    let held = tokio::spawn({
        let origin = origin.clone();
        async move { origin.fetch(&Method::GET, "/", HeaderMap::new(), None, NOW).await.map(drop) }
    });
    until(|| holding.asked().len() == 1).await;
    assert_eq!(origin.report()[0].under_way, 1);
    held.abort();
    until(|| origin.report()[0].under_way == 0).await;
}
