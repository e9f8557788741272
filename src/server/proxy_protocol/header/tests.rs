//! Headers as the specification has them, and all that are not quite so.

use proptest::prelude::*;

use super::*;

const MAX: usize = 4096;

fn client(source: &str, destination: &str) -> Announced {
    Announced::Client {
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
    }
}

/// A header of version 2.
fn binary(version_and_command: u8, family_and_protocol: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a length").to_be_bytes();
    [SIGNATURE, &[version_and_command, family_and_protocol], &length, block].concat()
}

fn complete(bytes: &[u8]) -> Announced {
    match read(bytes, MAX) {
        Ok(Progress::Complete { bytes: count, announced }) => {
            assert_eq!(count, bytes.len());
            announced
        }
        other => panic!("{other:?} of {:?}", String::from_utf8_lossy(bytes)),
    }
}

const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 0xbb];

#[test]
fn lines_announce_their_addresses() {
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
    assert_eq!(complete(line), client("192.0.2.1:56324", "192.0.2.2:443"));
    let line = b"PROXY TCP6 2001:DB8::1 ::1 0 65535\r\n";
    assert_eq!(complete(line), client("[2001:db8::1]:0", "[::1]:65535"));
    let longest =
        format!("PROXY UNKNOWN {} 65535 65535\r\n", ["ffff:".repeat(8).trim_end_matches(':'); 2].join(" "));
    assert_eq!(longest.len(), LINE_BYTES_MAX);
    for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN \x01 whatever\r\n", &longest] {
        assert_eq!(complete(unknown.as_bytes()), Announced::Proxy);
    }
}

#[test]
fn a_line_that_is_not_quite_one_is_malformed() {
    for rest in [
        "",
        "TCP4",
        "TCP4 ",
        "tcp4 192.0.2.1 192.0.2.2 1 2",
        "TCP5 192.0.2.1 192.0.2.2 1 2",
        "UNKNOWNS",
        " TCP4 192.0.2.1 192.0.2.2 1 2",
        "TCP4  192.0.2.1 192.0.2.2 1 2",
        "TCP4 192.0.2.1\t192.0.2.2 1 2",
        "TCP4 192.0.2.1 192.0.2.2 1 2 ",
        "TCP4 192.0.2.1 192.0.2.2 1 2 3",
        "TCP4 192.0.2.1 192.0.2.2 1",
        "TCP4 192.0.2.01 192.0.2.2 1 2",
        "TCP4 192.0.2 192.0.2.2 1 2",
        "TCP4 192.0.2.256 192.0.2.2 1 2",
        "TCP4 ::1 192.0.2.2 1 2",
        "TCP6 192.0.2.1 192.0.2.2 1 2",
        "TCP6 2001:db8::1%eth0 ::1 1 2",
        "TCP6 1::2::3 ::1 1 2",
        "TCP4 192.0.2.1 192.0.2.2 01 2",
        "TCP4 192.0.2.1 192.0.2.2 +1 2",
        "TCP4 192.0.2.1 192.0.2.2 -1 2",
        "TCP4 192.0.2.1 192.0.2.2 65536 2",
        "TCP4 192.0.2.1 192.0.2.2 1 \u{661}",
        "TCP4 192.0.2.1 192.0.2.2 1\r2 2",
        "TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "TCP4 evil.example 192.0.2.2 1 2",
    ] {
        let line = format!("PROXY {rest}\r\n");
        assert_eq!(read(line.as_bytes(), MAX), Err(Refusal::Malformed), "{line:?}");
    }
    assert_eq!(read(b"PROXY \xff\xfe\r\n", MAX), Err(Refusal::Malformed));
}

#[test]
fn a_line_without_end_is_refused_at_its_longest() {
    let line = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    assert_eq!(read(&line[..LINE_BYTES_MAX - 1], MAX), Ok(Progress::Unfinished));
    assert_eq!(read(&line[..LINE_BYTES_MAX], MAX), Err(Refusal::TooLong));
    let late = [&line[..LINE_BYTES_MAX - 1], b"\r\n"].concat();
    assert_eq!(read(&late, MAX), Err(Refusal::TooLong));
}

#[test]
fn binary_headers_announce_their_addresses() {
    assert_eq!(complete(&binary(0x21, 0x11, &V4)), client("192.0.2.1:56324", "192.0.2.2:443"));
    let mut block = [0; 36];
    block[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    (block[15], block[31], block[33], block[35]) = (1, 1, 7, 8);
    assert_eq!(complete(&binary(0x21, 0x21, &block)), client("[2001:db8::1]:7", "[::1]:8"));
}

#[test]
fn vectors_behind_the_addresses_are_skipped() {
    // PP2_TYPE_ALPN, PP2_TYPE_NOOP, and one that says it is longer than it is.
    for vectors in [&b"\x01\0\x02h2"[..], b"\x04\0\0", b"\xe0\xff\xff"] {
        let block = [&V4, vectors].concat();
        assert_eq!(complete(&binary(0x21, 0x11, &block)), client("192.0.2.1:56324", "192.0.2.2:443"));
    }
}

#[test]
fn the_proxys_own_connections_and_those_without_addresses_are_taken() {
    assert_eq!(complete(&binary(0x20, 0x00, &[])), Announced::Proxy);
    assert_eq!(complete(&binary(0x20, 0x11, &V4)), Announced::Proxy);
    assert_eq!(complete(&binary(0x20, 0xff, b"ignored")), Announced::Proxy);
    assert_eq!(complete(&binary(0x21, 0x00, &V4)), Announced::Proxy);
    assert_eq!(complete(&binary(0x21, 0x31, &[b'/'; 216])), Announced::Proxy);
}

#[test]
fn a_binary_header_that_is_not_quite_one_is_malformed() {
    for (version_and_command, family_and_protocol, block) in [
        (0x22, 0x11, &V4[..]),
        (0x2f, 0x11, &V4),
        (0x11, 0x11, &V4),
        (0x31, 0x11, &V4),
        (0x01, 0x11, &V4),
        (0x21, 0x12, &V4),
        (0x21, 0x10, &V4),
        (0x21, 0x13, &V4),
        (0x21, 0x41, &V4),
        (0x21, 0x03, &V4),
        (0x21, 0x11, &V4[..11]),
        (0x21, 0x11, &[]),
        (0x21, 0x21, &V4),
        (0x21, 0x31, &[b'/'; 215]),
        (0x21, 0x32, &[b'/'; 216]),
    ] {
        let header = binary(version_and_command, family_and_protocol, block);
        assert_eq!(read(&header, MAX), Err(Refusal::Malformed), "{header:02x?}");
    }
}

#[test]
fn a_binary_header_that_says_it_is_too_long_is_not_waited_for() {
    let header = binary(0x21, 0x11, &[0; 2000]);
    assert_eq!(read(&header[..FIXED_BYTES], 1024), Err(Refusal::TooLong));
    assert_eq!(read(&header[..FIXED_BYTES], FIXED_BYTES + 2000), Ok(Progress::Unfinished));
}

#[test]
fn what_is_no_header_is_missing_at_its_first_wrong_byte() {
    for start in [
        &b"G"[..],
        b"\x16\x03\x01",
        b"PRI * HTTP/2.0",
        b"PROXX",
        b"PROXY\r\n",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\n",
    ] {
        assert_eq!(read(start, MAX), Err(Refusal::Missing), "{start:?}");
    }
    for start in [&b""[..], b"P", b"PROXY", b"\r\n\r\n\0"] {
        assert_eq!(read(start, MAX), Ok(Progress::Unfinished), "{start:?}");
    }
}

proptest! {
    #[test]
    fn a_header_ends_where_it_ends_however_it_is_cut(cut in 0_usize..60, is_line: bool, payload: Vec<u8>) {
        let header = if is_line {
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec()
        } else {
            binary(0x21, 0x11, &[&V4[..], b"\x04\0\x01x"].concat())
        };
        let whole = [&header[..], &payload].concat();
        let announced = client("192.0.2.1:56324", "192.0.2.2:443");
        let cut = cut.min(header.len() - 1);
        prop_assert_eq!(read(&whole[..cut], MAX), Ok(Progress::Unfinished));
        prop_assert_eq!(read(&whole, MAX), Ok(Progress::Complete { bytes: header.len(), announced }));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, family: u8, command: u8, length: u16, bytes_max in 0_usize..70_000) {
        let _ = read(&bytes, bytes_max);
        let length = length.to_be_bytes();
        let header = [SIGNATURE, &[command, family], &length, &bytes].concat();
        let _ = read(&header, bytes_max);
        let _ = read(&[LINE_START, &bytes, b"\r\n"].concat(), bytes_max);
    }
}
