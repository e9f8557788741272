//! Ranges of viewers, parts of origins, slices.

use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;

fn asked(value: &str) -> Option<Asked> {
    let mut headers = HeaderMap::new();
    headers.insert(RANGE, HeaderValue::from_str(value).expect("a value"));
    read(&Method::GET, &headers)
}

fn resolved(value: &str, length: u64) -> Option<Resolved> {
    asked(value).map(|asked| asked.resolve(length))
}

const fn part(first: u64, last: u64) -> Resolved {
    Resolved::Part(Part { first, last })
}

#[test]
fn a_range_is_cut_where_the_object_ends() {
    for (value, expected) in [
        ("bytes=0-1", part(0, 1)),
        ("bytes=0-0", part(0, 0)),
        ("bytes=5-", part(5, 9)),
        ("bytes=-3", part(7, 9)),
        ("bytes=-10", part(0, 9)),
        ("bytes=-11", part(0, 9)),
        ("bytes=9-9", part(9, 9)),
        ("bytes=2-99", part(2, 9)),
        ("BYTES=2-3", part(2, 3)),
        ("bytes= 2-3 ,", part(2, 3)),
        ("bytes=2-9007199254740991", part(2, 9)),
        ("bytes=2-99999999999999999999999999", part(2, 9)),
        ("bytes=-99999999999999999999999999", part(0, 9)),
        ("bytes=10-", Resolved::Unsatisfiable),
        ("bytes=10-20", Resolved::Unsatisfiable),
        ("bytes=99999999999999999999999999-", Resolved::Unsatisfiable),
        ("bytes=-0", Resolved::Unsatisfiable),
    ] {
        assert_eq!(resolved(value, 10), Some(expected), "{value}");
    }
}

#[test]
fn an_empty_object_has_no_parts() {
    assert_eq!(resolved("bytes=0-", 0), Some(Resolved::Unsatisfiable));
    assert_eq!(resolved("bytes=-5", 0), Some(Resolved::Whole));
}

#[test]
fn what_is_no_single_range_asks_for_the_whole() {
    for value in [
        "bytes=0-1,3-4",
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes 0-1",
        "items=0-1",
        "0-1",
        "",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=--1",
        "bytes=1 -2",
        "bytes=0x1-2",
        ",",
        "bytes=,",
    ] {
        assert_eq!(asked(value), None, "{value}");
    }
    let mut twice = HeaderMap::new();
    twice.append(RANGE, HeaderValue::from_static("bytes=0-1"));
    twice.append(RANGE, HeaderValue::from_static("bytes=0-1"));
    assert_eq!(read(&Method::GET, &twice), None);
}

#[test]
fn only_get_has_ranges() {
    let mut headers = HeaderMap::new();
    headers.insert(RANGE, HeaderValue::from_static("bytes=0-1"));
    assert_eq!(read(&Method::HEAD, &headers), None);
    assert!(read(&Method::GET, &headers).is_some());
}

#[test]
fn what_is_sent_is_told() {
    assert_eq!(Part { first: 2, last: 9 }.content_range(10), "bytes 2-9/10");
    assert_eq!(Part { first: 2, last: 9 }.range(), "bytes=2-9");
    assert_eq!(unsatisfied(10), "bytes */10");
}

fn judged(asked_for: &str, fields: &[(&'static str, &'static str)]) -> Result<Sent, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    judge(asked(asked_for).expect("a range"), &headers)
}

#[test]
fn a_part_that_was_asked_for_is_taken() {
    let sent = |first, last, length| Ok(Sent { part: Part { first, last }, length });
    let range = |value| [("content-range", value)];
    assert_eq!(judged("bytes=0-4", &range("bytes 0-4/10")), sent(0, 4, Some(10)));
    assert_eq!(judged("bytes=0-99", &range("bytes 0-9/10")), sent(0, 9, Some(10)));
    assert_eq!(judged("bytes=-5", &range("bytes 5-9/10")), sent(5, 9, Some(10)));
    assert_eq!(judged("bytes=4-9007199254740991", &range("bytes 4-7/*")), sent(4, 7, None));
    let with_length = [("content-range", "bytes 0-4/10"), ("content-length", "5")];
    assert_eq!(judged("bytes=0-4", &with_length), sent(0, 4, Some(10)));
}

#[test]
fn a_part_with_other_bytes_is_a_fault() {
    for value in ["bytes 0-3/10", "bytes 1-4/10", "bytes 0-9/10", "bytes 0-5/*", "bytes 0-3/4294967296"] {
        assert_eq!(judged("bytes=0-4", &[("content-range", value)]), Err(Fault::OtherBytes), "{value}");
    }
    assert_eq!(judged("bytes=-5", &[("content-range", "bytes 4-9/10")]), Err(Fault::OtherBytes));
}

#[test]
fn a_content_range_that_is_none_is_a_fault() {
    for value in [
        "",
        "bytes",
        "bytes 4-0/10",
        "bytes 0-10/10",
        "bytes */10",
        "bytes 0-4",
        "items 0-4/10",
        "bytes 0-4/x",
        "bytes=0-4/10",
    ] {
        assert_eq!(judged("bytes=0-4", &[("content-range", value)]), Err(Fault::ContentRange), "{value}");
    }
    assert_eq!(judged("bytes=0-4", &[]), Err(Fault::ContentRange));
    let twice = [("content-range", "bytes 0-4/10"), ("content-range", "bytes 0-4/10")];
    assert_eq!(judged("bytes=0-4", &twice), Err(Fault::ContentRange));
}

#[test]
fn a_part_of_another_length_than_its_range_is_a_fault() {
    let fields = [("content-range", "bytes 0-4/10"), ("content-length", "10")];
    assert_eq!(judged("bytes=0-4", &fields), Err(Fault::Length));
}

#[test]
fn slices_are_aligned_and_cover_the_part() {
    let slices = |first, last| {
        let size = NonZeroU64::new(4).expect("it is not zero");
        Part { first, last }.slices(size).map(|slice| (slice.first, slice.last)).collect::<Vec<_>>()
    };
    assert_eq!(slices(0, 0), [(0, 3)]);
    assert_eq!(slices(3, 4), [(0, 3), (4, 7)]);
    assert_eq!(slices(5, 12), [(4, 7), (8, 11), (12, 15)]);
    assert_eq!(slices(u64::MAX, u64::MAX), [(u64::MAX - 3, u64::MAX)]);
}

proptest! {
    #[test]
    fn a_resolved_part_lies_in_the_object(value in "bytes=[0-9]{0,22}-[0-9]{0,22}", length in any::<u64>()) {
        if let Some(Resolved::Part(part)) = resolved(&value, length) {
            prop_assert!(part.first <= part.last && part.last < length);
        }
    }

    #[test]
    fn what_we_ask_and_tell_is_understood(
        first in 0_u64..1 << 40, bytes in 1_u64..1 << 30, more in 0_u64..1 << 20,
    ) {
        let part = Part { first, last: first + bytes - 1 };
        let length = part.last + 1 + more;
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, part.range());
        headers.insert(CONTENT_RANGE, part.content_range(length));
        let asked = read(&Method::GET, &headers).expect("it is one range");
        prop_assert_eq!(judge(asked, &headers), Ok(Sent { part, length: Some(length) }));
    }

    #[test]
    fn slices_join_without_gap_or_overlap(
        first in 0_u64..1 << 40, bytes in 1_u64..10_000, size in 1_u64..2_000,
    ) {
        let part = Part { first, last: first + bytes - 1 };
        let size = NonZeroU64::new(size).expect("it is not zero");
        let slices: Vec<_> = part.slices(size).collect();
        prop_assert!(slices[0].first <= part.first && slices[slices.len() - 1].last >= part.last);
        prop_assert!(slices[slices.len() - 1].first <= part.last && slices[0].last >= part.first);
        prop_assert!(slices.iter().all(|slice| slice.first % size == 0 && slice.bytes() == size.get()));
        prop_assert!(slices.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
    }

    #[test]
    fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, value.clone());
            headers.insert(CONTENT_RANGE, value);
            let _ = (read(&Method::GET, &headers), judge(Asked::Suffix(5), &headers));
        }
    }
}
