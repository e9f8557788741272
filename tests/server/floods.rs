//! HTTP/2 frames that no ordinary client sends, written by hand (RFC 9113 §4.1, RFC 7541 for the header block).

use std::time::Duration;

use sluicegate::server::door::Refusal;
use sluicegate::server::settings::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Server, get, h2_client, settings, start, text, until, with_limits, within};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /`, scheme `http`, authority `h`.
const GET_HEAD: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'h'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn preface(settings: &[u8]) -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, settings)].concat()
}

/// Sends `bytes`; gives the error code of the GOAWAY that ends the connection, if there is one.
async fn goaway_after(server: &Server, bytes: &[u8]) -> Option<u32> {
    let socket = TcpStream::connect(server.http).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    let bytes = bytes.to_vec();
    // The server stops reading at some point.
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(&bytes).await;
        writer
    });
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = within(reader.read(&mut buffer)).await {
        answer.extend_from_slice(&buffer[..count]);
    }
    drop(within(writing).await);
    let mut rest = answer.as_slice();
    while let [a, b, c, kind, _, _, _, _, _, payload @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind == GOAWAY {
            return payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
        }
        rest = payload.get(length..)?;
    }
    None
}

/// Another connection is served as ever.
async fn assert_serves(server: &Server) {
    let (mut client, _connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    let response = within(client.send_request(get("http://h/a"))).await.unwrap();
    assert_eq!(text(response).await, "hello /a");
}

const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn rapid_resets_end_their_connection() {
    let server = start(settings());
    let mut bytes = preface(&[]);
    for stream in (1..4000).step_by(2) {
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET_HEAD));
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    assert_eq!(goaway_after(&server, &bytes).await, Some(ENHANCE_YOUR_CALM));
    assert_serves(&server).await;
}

#[tokio::test]
async fn endless_continuations_end_their_connection() {
    let server = start(settings());
    let mut bytes = preface(&[]);
    bytes.extend(frame(HEADERS, END_STREAM, 1, GET_HEAD));
    // A literal header field without indexing: `a: bbb…`, in each frame.
    let field = [&[0x00, 1, b'a', 126][..], &[b'b'; 126]].concat();
    for _ in 0..20_000 {
        bytes.extend(frame(CONTINUATION, 0, 1, &field));
    }
    assert!(goaway_after(&server, &bytes).await.is_some());
    assert_serves(&server).await;
}

#[tokio::test]
async fn a_header_list_that_unpacks_to_much_is_refused() {
    let server = start(settings());
    let mut bytes = preface(&[]);
    // One field of 2 KiB into the table, and a thousand references to it.
    let mut head = GET_HEAD.to_vec();
    head.extend([0x40, 1, b'a', 0x7f, 0x81, 0x0f]);
    head.extend([b'b'; 2048]);
    head.extend([0xbe; 1000]);
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &head));
    // An unknown frame type is ignored; a frame on stream 0 that needs a stream ends the connection.
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 0, GET_HEAD));
    goaway_after(&server, &bytes).await;
    until(|| server.counters.open.value() == 0).await;
    assert_eq!(server.counters.requests.value(), 0, "the bomb reached the service");
    assert_serves(&server).await;
}

#[tokio::test]
async fn a_closed_window_ends_as_a_stalled_write() {
    let limits = Limits { stalled_write_timeout: Duration::from_millis(150), ..Limits::default() };
    let server = start(with_limits(limits));
    // SETTINGS_INITIAL_WINDOW_SIZE of 0.
    let mut bytes = preface(&[0, 4, 0, 0, 0, 0]);
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, GET_HEAD));
    goaway_after(&server, &bytes).await;
    assert_eq!(server.counters.stalled_writes.value(), 1);
}

#[tokio::test]
async fn a_get_of_http2_may_end_with_an_empty_frame() {
    let server = start(settings());
    let mut bytes = preface(&[]);
    bytes.extend(frame(HEADERS, END_HEADERS, 1, GET_HEAD));
    bytes.extend(frame(DATA, 0, 1, b""));
    bytes.extend(frame(DATA, END_STREAM, 1, b""));
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello /") {
        answer.push(within(socket.read_u8()).await.unwrap());
    }
    assert_eq!(server.counters.refused(Refusal::UnexpectedBody), 0);
}

#[tokio::test]
async fn a_get_of_http2_that_does_not_end_is_refused() {
    let limits = Limits { header_read_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(with_limits(limits));
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    let bytes = [preface(&[]), frame(HEADERS, END_HEADERS, 1, GET_HEAD)].concat();
    socket.write_all(&bytes).await.unwrap();
    until(|| server.counters.refused(Refusal::UnexpectedBody) == 1).await;
}

/// RFC 9113 §5.1: what follows a stream's reset is an error of that stream.
#[tokio::test]
async fn a_head_after_a_reset_is_an_error() {
    let server = start(settings());
    let mut bytes = preface(&[]);
    bytes.extend(frame(HEADERS, END_HEADERS, 1, GET_HEAD));
    bytes.extend(frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, GET_HEAD));
    assert!(goaway_after(&server, &bytes).await.is_some());
    assert_serves(&server).await;
}

#[tokio::test]
async fn pings_and_settings_alone_do_not_hold_a_connection() {
    let limits = Limits { idle_timeout_h2: Duration::from_millis(300), ..Limits::default() };
    let server = start(with_limits(limits));
    let socket = TcpStream::connect(server.http).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    writer.write_all(&preface(&[])).await.unwrap();
    let pinging = tokio::spawn(async move {
        // More than the limit's time, far below the bytes that count as progress.
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if writer.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_err() {
                return;
            }
        }
    });
    let mut answers = Vec::new();
    let _ = within(reader.read_to_end(&mut answers)).await;
    assert_eq!(server.counters.idle_timeouts.value(), 1);
    assert!(answers.len() < 40 * 17, "it ended while pings came");
    pinging.abort();
}

/// CVE-2019-9512, -9515, -9518: what needs an answer, or has no content, without end, from one who reads nothing.
#[tokio::test]
async fn settings_pings_and_empty_frames_without_end_hold_nobody_up() {
    let limits = Limits { stalled_write_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = start(with_limits(limits));
    for kind in [SETTINGS, PING, DATA] {
        let socket = TcpStream::connect(server.http).await.unwrap();
        let (_reader, mut writer) = socket.into_split();
        let mut bytes = preface(&[]);
        if kind == DATA {
            bytes.extend(frame(HEADERS, END_HEADERS, 1, GET_HEAD));
        }
        let payload: &[u8] = if kind == PING { &[0; 8] } else { &[] };
        let stream = u32::from(kind == DATA);
        let many = frame(kind, 0, stream, payload).repeat(200_000);
        let flooding = tokio::spawn(async move {
            let _ = writer.write_all(&bytes).await;
            let _ = writer.write_all(&many).await;
        });
        assert_serves(&server).await;
        flooding.abort();
    }
    until(|| server.counters.open.value() == 0).await;
}
