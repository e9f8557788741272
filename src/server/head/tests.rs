//! The scanner, on whole heads and on heads that come byte by byte.

use proptest::prelude::*;

use super::*;

/// Feeds `bytes` in pieces of `step`; gives what the parser would see, and the finding.
fn run(bytes: &[u8], step: usize) -> (Vec<u8>, Finding) {
    let limits = Limits {
        target_bytes_max: 100,
        header_line_bytes_max: 60,
        header_section_bytes_max: 150,
        headers_max: 5,
        ..Limits::default()
    };
    let mut scanner = Scanner::new(&limits);
    let mut seen = Vec::new();
    for piece in bytes.chunks(step) {
        match scanner.feed(piece) {
            Finding::Nothing => seen.extend_from_slice(piece),
            Finding::Cut { number, refusal, keep, tail } => {
                seen.extend_from_slice(&piece[..keep]);
                seen.extend_from_slice(tail);
                return (seen, Finding::Cut { number, refusal, keep: 0, tail: b"" });
            }
            finding @ Finding::LastHead { .. } => {
                seen.extend_from_slice(piece);
                return (seen, finding);
            }
        }
    }
    (seen, Finding::Nothing)
}

fn cut(number: u32, refusal: Refusal) -> Finding {
    Finding::Cut { number, refusal, keep: 0, tail: b"" }
}

/// Whatever the pieces, the finding is the same; a cut head is a whole one.
fn assert_found(bytes: &[u8], expected: &Finding) {
    for step in [1, 2, 3, 7, 64, bytes.len().max(1)] {
        let (seen, found) = run(bytes, step);
        assert_eq!(found, *expected, "in pieces of {step}");
        if matches!(found, Finding::Cut { .. }) {
            assert!(seen.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&seen));
        } else {
            assert!(bytes.starts_with(&seen));
        }
    }
}

#[test]
fn pipelined_plain_heads_show_nothing() {
    let heads =
        b"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    assert_found(heads, &Finding::Nothing);
}

#[test]
fn a_body_makes_its_head_the_last() {
    let heads = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nContent-length:  12\r\n\r\n";
    assert_found(heads, &Finding::LastHead { number: 2, refusal: None });
    let heads = b"POST /b HTTP/1.1\r\ntransfer-Encoding: chunked\r\n\r\n";
    assert_found(heads, &Finding::LastHead { number: 1, refusal: None });
    let heads = b"POST /b HTTP/1.1\r\nContent-Length: 0000000000000000000000000\r\n\r\n";
    assert_found(heads, &Finding::LastHead { number: 1, refusal: None });
}

#[test]
fn two_lengths_of_one_body_conflict() {
    for heads in [
        &b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert_found(heads, &Finding::LastHead { number: 1, refusal: Some(Refusal::LengthConflict) });
    }
}

#[test]
fn a_target_that_does_not_end_is_cut() {
    let head = [b"GET /".as_slice(), &[b'a'; 500]].concat();
    assert_found(&head, &cut(1, Refusal::TargetTooLong));
    let second = [b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".as_slice(), &head].concat();
    assert_found(&second, &cut(2, Refusal::TargetTooLong));
}

#[test]
fn long_lines_and_sections_and_many_headers_are_cut() {
    let line = b"GET / HTTP/1.1\r\nHost: h\r\nCookie: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_found(line, &cut(1, Refusal::HeaderLineTooLong));
    let nameless = [b"GET / HTTP/1.1\r\n".as_slice(), &[b'n'; 100]].concat();
    assert_found(&nameless, &cut(1, Refusal::HeaderLineTooLong));
    let section =
        [b"GET / HTTP/1.1\r\n".as_slice(), &b"A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n".repeat(4)]
            .concat();
    assert_found(&section, &cut(1, Refusal::HeaderSectionTooLarge));
    let many = [b"GET / HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(6), b"\r\n"].concat();
    assert_found(&many, &cut(1, Refusal::TooManyHeaders));
    let enough = [b"GET / HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(5), b"\r\n"].concat();
    assert_found(&enough, &Finding::Nothing);
}

#[test]
fn folded_lines_bare_line_feeds_and_fragments_are_cut() {
    assert_found(b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", &cut(1, Refusal::FoldedLine));
    assert_found(b"GET / HTTP/1.1\r\n\tA: b\r\n\r\n", &cut(1, Refusal::FoldedLine));
    assert_found(b"GET / HTTP/1.1\nA: b\r\n\r\n", &cut(1, Refusal::BareLineFeed));
    assert_found(b"GET / HTTP/1.1\r\nA: b\n\r\n", &cut(1, Refusal::BareLineFeed));
    assert_found(b"GET / HTTP/1.1\r\nA: b\r\n\n", &cut(1, Refusal::BareLineFeed));
    assert_found(b"GET /a#b HTTP/1.1\r\n\r\n", &cut(1, Refusal::Fragment));
}

proptest! {
    #[test]
    fn pieces_never_change_what_is_seen(
        lines in prop::collection::vec("(GET /|Host: h|Content-Length: [0-9]{1,3}|A|#|:| |[ab]{1,70}|\r){0,3}(\r\n|\n|\r\n\r\n)", 0..12),
        step in 1_usize..40,
    ) {
        let bytes = lines.concat().into_bytes();
        let (whole, whole_finding) = run(&bytes, bytes.len().max(1));
        let (pieces, finding) = run(&bytes, step);
        prop_assert_eq!(finding, whole_finding);
        // After the last head all bytes go through, in whatever pieces they come.
        prop_assert!(whole.starts_with(&pieces));
    }

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..600), step in 1_usize..64) {
        run(&bytes, step);
    }
}
