//! Whether a part that an origin sent is the part that was asked for (RFC 9110 §14).

/// A range of bytes as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

/// A `Content-Range` that names bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    first: u64,
    last: u64,
    total: Option<u64>,
}

/// Whether `content_range` answers the `Range` field `range`, with a body of `length` bytes where that is said.
///
/// RFC 9110 §14.4: a `Content-Range` whose last position is less than its first, or whose length is not more than its last
/// position, "is invalid", and a recipient "MUST NOT attempt to recombine the received content". A part may be shorter
/// than asked for, but has to begin where it was asked to. Several ranges may be answered by any of them.
pub fn answers(range: &str, content_range: &str, length: Option<u64>) -> bool {
    let Some(sent) = sent(content_range) else { return false };
    if length.is_some_and(|length| length != sent.last - sent.first + 1) {
        return false;
    }
    let Some((unit, ranges)) = range.split_once('=') else { return false };
    // A unit that is not known cannot be judged.
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return true;
    }
    let mut asked = ranges.split(',').map(|one| asked(one.trim()));
    asked.any(|one| match one {
        None => true,
        Some(Asked::From(first)) => sent.first == first,
        Some(Asked::FromTo(first, last)) => sent.first == first && sent.last <= last,
        Some(Asked::Last(count)) => {
            sent.total.is_none_or(|total| sent.first >= total.saturating_sub(count) && sent.last + 1 == total)
        }
    })
}

fn asked(text: &str) -> Option<Asked> {
    let (first, last) = text.split_once('-')?;
    match (first, last) {
        ("", count) => number(count).map(Asked::Last),
        (first, "") => number(first).map(Asked::From),
        (first, last) => Some(Asked::FromTo(number(first)?, number(last)?)),
    }
}

fn sent(text: &str) -> Option<Sent> {
    let (unit, rest) = text.trim().split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    let is_valid = unit.eq_ignore_ascii_case("bytes")
        && first <= last
        && last < u64::MAX
        && total.is_none_or(|total| last < total);
    is_valid.then_some(Sent { first, last, total })
}

fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_was_asked_for_is_taken() {
        for (range, sent, length) in [
            ("bytes=2-5", "bytes 2-5/10", Some(4)),
            ("bytes=2-5", "bytes 2-4/*", None),
            ("bytes=2-", "bytes 2-9/10", Some(8)),
            ("bytes=-3", "bytes 7-9/10", Some(3)),
            ("bytes=-30", "bytes 0-9/10", None),
            ("bytes=-3", "bytes 7-9/*", None),
            ("Bytes=0-0, 4-5", "bytes 4-5/10", Some(2)),
        ] {
            assert!(answers(range, sent, length), "{range} {sent}");
        }
    }

    #[test]
    fn another_part_is_not() {
        for (range, sent, length) in [
            ("bytes=2-5", "bytes 0-3/10", None),
            ("bytes=2-5", "bytes 2-6/10", None),
            ("bytes=2-", "bytes 0-9/10", None),
            ("bytes=-3", "bytes 0-9/10", None),
            ("bytes=-3", "bytes 7-8/10", None),
            ("bytes=0-1, 4-5", "bytes 2-3/10", None),
        ] {
            assert!(!answers(range, sent, length), "{range} {sent}");
        }
    }

    #[test]
    fn a_content_range_that_contradicts_itself_is_refused() {
        for sent in [
            "",
            "bytes",
            "bytes 2-5",
            "bytes 5-2/10",
            "bytes 2-5/5",
            "bytes */10",
            "bytes 2-5/x",
            "bytes +2-5/10",
            "items 2-5/10",
            "bytes 2-18446744073709551615/*",
            "bytes 2-99999999999999999999/*",
        ] {
            assert!(!answers("bytes=2-5", sent, None), "{sent}");
        }
        assert!(!answers("bytes=2-5", "bytes 2-5/10", Some(3)), "the length is another");
    }
}
