use http::{HeaderName, HeaderValue, Response};

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes_max: 1_000, fields_max: 5, interim_max: 8 };

fn judged(
    method: &Method,
    range: Option<&str>,
    status: u16,
    fields: &[(&str, &str)],
) -> Result<Length, OriginError> {
    let mut asked = HeaderMap::new();
    if let Some(range) = range {
        asked.insert(RANGE, HeaderValue::from_str(range).unwrap());
    }
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        answer.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    judge(method, &asked, &answer.into_parts().0, LIMITS)
}

fn of_part(range: Option<&str>, fields: &[(&str, &str)]) -> Result<Length, OriginError> {
    judged(&Method::GET, range, 206, fields)
}

#[test]
fn a_part_that_was_not_asked_for_is_refused() {
    let fields = [("content-range", "bytes 0-9/100")];
    assert!(matches!(of_part(None, &fields), Err(OriginError::UnaskedPart)));
}

#[test]
fn a_part_begins_where_it_was_asked_to() {
    for (range, content_range, length) in [
        ("bytes=0-9", "bytes 0-9/100", 10),
        ("bytes=0-9", "bytes 0-4/5", 5),
        ("bytes=0-9", "bytes 0-4/100", 5),
        ("bytes=5-", "bytes 5-99/100", 95),
        ("bytes=5-", "bytes 5-99/*", 95),
        ("bytes=-10", "bytes 90-99/100", 10),
        ("bytes=-200", "bytes 0-99/100", 100),
        ("bytes=0-1,5-6", "bytes 0-6/100", 7),
    ] {
        let fields = [("content-range", content_range)];
        let length = Length::Known(length);
        assert_eq!(of_part(Some(range), &fields).unwrap(), length, "{range} {content_range}");
    }
}

#[test]
fn another_part_than_was_asked_for_is_refused() {
    for (range, content_range) in [
        ("bytes=0-9", "bytes 1-9/100"),
        ("bytes=0-9", "bytes 0-10/100"),
        ("bytes=5-", "bytes 0-99/100"),
        ("bytes=-10", "bytes 0-9/100"),
        ("bytes=-10", "bytes 80-99/*"),
        ("bytes=0-9", "bytes 9-0/100"),
        ("bytes=0-9", "bytes 0-9/9"),
        ("bytes=0-9", "bytes */100"),
        ("bytes=0-9", "lines 0-9/100"),
        ("bytes=0-9", "bytes 0-+9/100"),
        ("bytes=0-1,5-6", "bytes 6-0/100"),
        ("bytes=0-", "bytes 0-18446744073709551615/*"),
    ] {
        let refused = of_part(Some(range), &[("content-range", content_range)]);
        assert!(matches!(refused, Err(OriginError::WrongPart(_))), "{range} {content_range}");
    }
    let refused = of_part(Some("bytes=0-9"), &[("content-type", "multipart/byteranges; boundary=x")]);
    assert!(matches!(refused, Err(OriginError::WrongPart(_))), "one range, several parts");
}

#[test]
fn several_parts_may_answer_several_ranges() {
    let fields = [("content-type", "multipart/byteranges; boundary=x"), ("content-length", "300")];
    assert_eq!(of_part(Some("bytes=0-1,5-6"), &fields).unwrap(), Length::Known(300));
    let refused = of_part(Some("bytes=0-1,5-6"), &[("content-type", "video/mp2t")]);
    assert!(matches!(refused, Err(OriginError::WrongPart(_))));
}

#[test]
fn a_part_is_as_long_as_its_content_range_says() {
    let fields = [("content-range", "bytes 0-9/100"), ("content-length", "11")];
    assert!(matches!(of_part(Some("bytes=0-9"), &fields), Err(OriginError::WrongPart(_))));
}

#[test]
fn two_lengths_are_refused() {
    for fields in [
        [("content-length", "5"), ("transfer-encoding", "chunked")],
        [("content-length", "5"), ("content-length", "5")],
        [("content-length", "5, 5"), ("x", "y")],
    ] {
        let refused = judged(&Method::GET, None, 200, &fields);
        assert!(matches!(refused, Err(OriginError::TwoLengths)), "{fields:?}");
    }
    let refused = judged(&Method::GET, None, 200, &[("content-length", "+5")]);
    assert!(matches!(refused, Err(OriginError::Invalid(_))));
}

#[test]
fn what_has_no_body_is_held_to_it() {
    let fields = [("content-length", "5")];
    assert_eq!(judged(&Method::HEAD, None, 200, &fields).unwrap(), Length::Bodiless);
    assert_eq!(judged(&Method::GET, None, 304, &fields).unwrap(), Length::Bodiless);
    assert_eq!(judged(&Method::GET, None, 200, &fields).unwrap(), Length::Known(5));
    assert_eq!(judged(&Method::GET, None, 200, &[]).unwrap(), Length::Open);
}

#[test]
fn a_head_over_its_limits_is_refused() {
    let long = "x".repeat(1_000);
    let refused = judged(&Method::GET, None, 200, &[("a", &long)]);
    assert!(matches!(refused, Err(OriginError::HeadTooLarge(_))));
    let refused = judged(&Method::GET, None, 200, &[("a", "b"); 6]);
    assert!(matches!(refused, Err(OriginError::HeadTooLarge(_))));
    let refused = judged(&Method::GET, None, 101, &[]);
    assert!(matches!(refused, Err(OriginError::Invalid(_))));
}

proptest::proptest! {
    #[test]
    fn no_range_makes_it_panic(range in "(bytes=)?[0-9,-]{0,24}", stated in "(bytes )?[0-9*/-]{0,48}") {
        if let Ok(Length::Known(length)) = of_part(Some(&range), &[("content-range", &stated)]) {
            proptest::prop_assert!(length > 0);
        }
    }
}
