use http::header::{CONTENT_TYPE, RANGE, SET_COOKIE};
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { bytes_max: 4 << 10, fields_max: 20 };

/// The first head of these bytes, which arrive cut at these places, and what is left behind it.
fn cut(bytes: &[u8], cuts: &[usize], limits: Limits) -> Result<Option<(Head, Vec<u8>)>, HeadFault> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let (mut buffer, mut reader, mut from) = (BytesMut::new(), Reader::default(), 0);
    for to in cuts {
        if from == to {
            continue;
        }
        buffer.extend_from_slice(&bytes[from..to]);
        from = to;
        if let Some(head) = reader.read(&mut buffer, false, limits)? {
            return Ok(Some((head, [&buffer[..], &bytes[from..]].concat())));
        }
    }
    Ok(None)
}

fn read(text: &str) -> Result<Head, HeadFault> {
    cut(text.as_bytes(), &[], LIMITS).map(|head| head.expect("a whole head").0)
}

fn fault(text: &str) -> HeadFault {
    match cut(text.as_bytes(), &[], LIMITS) {
        Ok(head) => panic!("{text:?} is accepted: {head:?}"),
        Err(fault) => fault,
    }
}

#[test]
fn a_head_says_what_follows_it() {
    let head = read("HTTP/1.1 200 OK\r\nContent-Type: video/mp4 \r\nContent-Length: 12\r\n\r\n").unwrap();
    assert_eq!((head.status, head.version), (StatusCode::OK, Version::HTTP_11));
    assert_eq!((head.framing, head.persists), (Framing::Length(12), true));
    assert_eq!(head.fields[CONTENT_TYPE], "video/mp4");
    for (fields, framing, persists) in [
        ("Transfer-Encoding: Chunked\r\n", Framing::chunked(), true),
        ("", Framing::UntilClose, false),
        ("Content-Length: 0\r\nConnection: close\r\n", Framing::Length(0), false),
        ("Content-Length: 1\r\nConnection: x,  Close ,y\r\n", Framing::Length(1), false),
        ("Content-Length: 18446744073709551615\r\n", Framing::Length(u64::MAX), true),
    ] {
        let head = read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap();
        assert_eq!((head.framing, head.persists), (framing, persists), "{fields}");
    }
}

#[test]
fn http_10_ends_with_its_answer_unless_it_says_otherwise() {
    for (fields, persists) in [
        ("Content-Length: 1\r\n", false),
        ("Content-Length: 1\r\nConnection: Keep-Alive\r\n", true),
        ("Content-Length: 1\r\nConnection: keep-alive, close\r\n", false),
        ("Connection: keep-alive\r\n", false),
    ] {
        let head = read(&format!("HTTP/1.0 200 OK\r\n{fields}\r\n")).unwrap();
        assert_eq!((head.version, head.persists), (Version::HTTP_10, persists), "{fields}");
    }
}

#[test]
fn some_answers_have_no_body_whatever_they_say() {
    for status in ["100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified"] {
        let head = read(&format!("HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n")).unwrap();
        assert_eq!(head.framing, Framing::Length(0), "{status}");
    }
    let mut buffer = BytesMut::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = Reader::default().read(&mut buffer, true, LIMITS).unwrap().unwrap();
    assert_eq!((head.framing, head.persists), (Framing::Length(0), true), "to HEAD");
}

#[test]
fn heads_that_are_malformed_are_refused() {
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "220 mail ESMTP\r\n",
        "\0\0\0\0",
        "<html>\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 999999 Huh\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\rX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname : x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n leading: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nna\u{e9}me: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nfolded: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nfolded: a\r\n\tb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\x7fb\r\n\r\n",
    ] {
        let fault = fault(text);
        assert!(matches!(fault, HeadFault::Syntax(_) | HeadFault::Status), "{text:?}: {fault:?}");
    }
    assert_eq!(fault("HTTP/1.1 099 Low\r\n\r\n"), HeadFault::Status);
    assert_eq!(fault("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), HeadFault::Switched);
}

#[test]
fn lengths_that_two_parties_could_read_differently_are_refused() {
    for (fields, expected) in [
        ("Content-Length: 3\r\nContent-Length: 3\r\n", HeadFault::TwoLengths),
        ("Content-Length: 3\r\nContent-Length: 4\r\n", HeadFault::TwoLengths),
        ("Content-Length: 3, 3\r\n", HeadFault::TwoLengths),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", HeadFault::TwoLengths),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", HeadFault::TwoLengths),
        ("Content-Length: \r\n", HeadFault::Length),
        ("Content-Length: +3\r\n", HeadFault::Length),
        ("Content-Length: -3\r\n", HeadFault::Length),
        ("Content-Length: 3 4\r\n", HeadFault::Length),
        ("Content-Length: 0x3\r\n", HeadFault::Length),
        ("Content-Length: 18446744073709551616\r\n", HeadFault::Length),
        ("Transfer-Encoding: gzip\r\n", HeadFault::Coding),
        ("Transfer-Encoding: gzip, chunked\r\n", HeadFault::Coding),
        ("Transfer-Encoding: chunked, identity\r\n", HeadFault::Coding),
        ("Transfer-Encoding: xchunked\r\n", HeadFault::Coding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HeadFault::Coding),
        ("Transfer-Encoding: \r\n", HeadFault::Coding),
    ] {
        assert_eq!(fault(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")), expected, "{fields:?}");
    }
    assert_eq!(fault("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HeadFault::Coding);
}

#[test]
fn heads_are_bounded_in_bytes_and_fields() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(6 << 10));
    assert_eq!(fault(&long), HeadFault::Bytes(4 << 10));
    assert_eq!(fault(&long[..5_500]), HeadFault::Bytes(4 << 10), "whole or not");
    assert_eq!(fault(&"\r\n".repeat(4 << 10)), HeadFault::Bytes(4 << 10), "empty lines before it");
    let many = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(count));
    assert_eq!(fault(&many(21)), HeadFault::Fields(20));
    assert_eq!(read(&many(20)).unwrap().fields.len(), 20);
    let wide = Limits { bytes_max: 64 << 10, fields_max: 200 };
    let head = |count| cut(many(count).as_bytes(), &[], wide);
    assert_eq!(head(200).unwrap().unwrap().0.fields.len(), 200);
    assert_eq!(head(201).unwrap_err(), HeadFault::Fields(200));
}

#[test]
fn fields_of_one_name_stay_apart_and_in_order() {
    let head = read("HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX: y\r\nset-cookie: b\r\n\r\n").unwrap();
    assert_eq!(head.fields.get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["a", "b"]);
}

fn written(method: &Method, fields: &[(HeaderName, &'static str)], sending: Sending) -> String {
    let fields = fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
    let mut out = Vec::new();
    let host = HeaderValue::from_static("origin.example:8080");
    write(&mut out, method, "/a?b", &host, &fields.collect(), sending);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_speaks_of_the_connection_or_the_body_is_ours_to_say() {
    let fields = [
        (HOST, "evil.example"),
        (CONTENT_LENGTH, "5"),
        (TRANSFER_ENCODING, "chunked"),
        (CONNECTION, "close"),
        (EXPECT, "100-continue"),
        (RANGE, "bytes=0-"),
    ];
    let head = "/a?b HTTP/1.1\r\nhost: origin.example:8080\r\nrange: bytes=0-\r\n";
    assert_eq!(written(&Method::GET, &fields, Sending::Nothing), format!("GET {head}\r\n"));
    let sized = written(&Method::PUT, &fields, Sending::Length(12));
    assert_eq!(sized, format!("PUT {head}content-length: 12\r\n\r\n"));
    let chunked = written(&Method::POST, &fields, Sending::Chunked);
    assert_eq!(chunked, format!("POST {head}transfer-encoding: chunked\r\n\r\n"));
}

#[test]
fn a_path_that_would_end_the_request_line_is_no_target() {
    for refused in ["", "a", "*", "/a b", "/a\r\nx: y", "/a\n", "/a\t", "/\0", "/a\x7f", "/a#b", "http://h/"]
    {
        assert!(!is_target(refused), "{refused:?}");
    }
    for accepted in ["/", "/a/b.ts?c=d&e=%20", "/~'()*;=@!$"] {
        assert!(is_target(accepted), "{accepted:?}");
    }
}

proptest! {
    #[test]
    fn however_a_head_is_cut_it_says_the_same(
        fields in prop::collection::vec(("[a-z]{1,12}", "[ -~]{0,30}"), 0..12),
        rest in "[ -~]{0,20}",
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut text = "HTTP/1.1 200 OK\r\n".to_owned();
        for (name, value) in &fields {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        text.push_str(&rest);
        let (head, left) = cut(text.as_bytes(), &cuts, LIMITS).unwrap().unwrap();
        prop_assert_eq!(String::from_utf8(left).unwrap(), rest);
        prop_assert_eq!(head.fields.len(), fields.len());
        let whole = read(&text).unwrap();
        prop_assert_eq!((head.fields, head.framing), (whole.fields, whole.framing));
    }

    #[test]
    fn no_bytes_are_a_reason_to_panic(
        bytes in "(HTTP/1\\.[01] [1-5][0-9]{2} )?[ -~\r\n\t\0:]{0,200}",
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let whole = cut(bytes.as_bytes(), &[], LIMITS);
        let parts = cut(bytes.as_bytes(), &cuts, LIMITS);
        // Bytes that are no head may be found to be none sooner; what is a head is the same head.
        match (whole, parts) {
            (Ok(Some((one, one_rest))), Ok(Some((other, other_rest)))) => {
                prop_assert_eq!((one.status, one.fields, one_rest), (other.status, other.fields, other_rest));
            }
            (Ok(None) | Err(_), Ok(None) | Err(_)) => {}
            (one, other) => prop_assert!(false, "{one:?} but in parts {other:?}"),
        }
    }
}
