//! HTTP dates (RFC 9110 §5.6.7), read as caches are asked to: any case, nothing but GMT, nothing else
//! forgiven.

use std::time::Duration;

use http::HeaderValue;

const DAY_SECONDS: i64 = 86_400;
const DAYS: [&[u8]; 7] =
    [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// The Unix time that a date names; dates before 1970 read as 1970. `now` settles what century two digits
/// mean.
///
/// RFC 9110 §5.6.7: "A recipient that parses a timestamp value in an HTTP field MUST accept all three
/// HTTP-date formats." RFC 9111 §4.2: "Although all date formats are specified to be case-sensitive, a cache
/// recipient SHOULD match the field value case-insensitively"; "a cache recipient SHOULD consider a date with
/// a zone abbreviation other than GMT to be invalid for calculating expiration".
pub fn parse(text: &[u8], now: Duration) -> Option<Duration> {
    let date = match text.len() {
        29 if text[3] == b',' => imf_fixdate(text)?,
        24 if text[3] == b' ' => asctime(text)?,
        _ => rfc850(text, now)?,
    };
    date.unix()
}

/// The date in a field's value, if it is one.
pub fn read(value: &HeaderValue, now: Duration) -> Option<Duration> {
    parse(value.as_bytes(), now)
}

/// The date in the one format that may be sent. `when` is a Unix time; what is beyond the year 9999 is cut
/// there.
pub fn value(when: Duration) -> HeaderValue {
    const LAST: u64 = 253_402_300_799;
    let time = std::time::UNIX_EPOCH + Duration::from_secs(when.as_secs().min(LAST));
    HeaderValue::from_str(&httpdate::fmt_http_date(time)).expect("a date is visible ASCII")
}

struct Civil {
    year: i64,
    /// 0 to 11.
    month: usize,
    day: i64,
    second_of_day: i64,
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &[u8]) -> Option<Civil> {
    let fits = weekday(&text[..3], 3) && &text[3..5] == b", " && text[7] == b' ' && text[11] == b' ';
    (fits && text[16] == b' ' && text[25..].eq_ignore_ascii_case(b" GMT")).then_some(())?;
    Some(Civil {
        year: digits(&text[12..16])?,
        month: month(&text[8..11])?,
        day: digits(&text[5..7])?,
        second_of_day: time(&text[17..25])?,
    })
}

/// `Sun Nov  6 08:49:37 1994`, in which a day of one digit stands behind a space.
fn asctime(text: &[u8]) -> Option<Civil> {
    let fits = weekday(&text[..3], 3) && text[7] == b' ' && text[10] == b' ' && text[19] == b' ';
    fits.then_some(())?;
    let day = if text[8] == b' ' { &text[9..10] } else { &text[8..10] };
    Some(Civil {
        year: digits(&text[20..24])?,
        month: month(&text[4..7])?,
        day: digits(day)?,
        second_of_day: time(&text[11..19])?,
    })
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(text: &[u8], now: Duration) -> Option<Civil> {
    let comma = text.iter().position(|&byte| byte == b',')?;
    let (name, rest) = text.split_at(comma);
    let fits = rest.len() == 24 && weekday(name, usize::MAX) && &rest[..2] == b", ";
    (fits && rest[4] == b'-' && rest[8] == b'-' && rest[11] == b' ').then_some(())?;
    rest[20..].eq_ignore_ascii_case(b" GMT").then_some(())?;
    // RFC 9110 §5.6.7: "Recipients of a timestamp value in rfc850-date format, which uses a two-digit year,
    // MUST interpret a timestamp that appears to be more than 50 years in the future as representing the most
    // recent year in the past that had the same last two digits."
    let this_year = year_of(now);
    let mut year = this_year - this_year % 100 + digits(&rest[9..11])?;
    if year > this_year + 50 {
        year -= 100;
    }
    Some(Civil {
        year,
        month: month(&rest[5..8])?,
        day: digits(&rest[2..4])?,
        second_of_day: time(&rest[12..20])?,
    })
}

impl Civil {
    /// Days since 1970 by the proleptic Gregorian calendar, counted in years that begin in March.
    fn unix(&self) -> Option<Duration> {
        (1..=days_in(self.year, self.month)).contains(&self.day).then_some(())?;
        let month = i64::try_from(self.month).ok()?;
        let (year, month) = if month < 2 { (self.year - 1, month + 10) } else { (self.year, month - 2) };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let seconds = days * DAY_SECONDS + self.second_of_day;
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }
}

fn days_in(year: i64, month: usize) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 if is_leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// The year of a Unix time, near enough to tell centuries apart: off by one on the days around a new year,
/// and 9999 at most.
fn year_of(now: Duration) -> i64 {
    const MEAN_YEAR_SECONDS: u64 = 31_556_952;
    1970 + i64::try_from(now.as_secs() / MEAN_YEAR_SECONDS).map_or(8029, |years| years.min(8029))
}

fn weekday(text: &[u8], letters: usize) -> bool {
    DAYS.iter().any(|name| name[..letters.min(name.len())].eq_ignore_ascii_case(text))
}

fn month(text: &[u8]) -> Option<usize> {
    MONTHS.iter().position(|name| name.eq_ignore_ascii_case(text))
}

/// `08:49:37`; a leap second counts as the next minute's first.
fn time(text: &[u8]) -> Option<i64> {
    (text.len() == 8 && text[2] == b':' && text[5] == b':').then_some(())?;
    let (hour, minute, second) = (digits(&text[..2])?, digits(&text[3..5])?, digits(&text[6..])?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_790_000_000);

    fn unix(text: &str) -> Option<u64> {
        parse(text.as_bytes(), NOW).map(|date| date.as_secs())
    }

    #[test]
    fn the_three_formats_name_the_same_second() {
        assert_eq!(unix("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(unix("Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(unix("Sun Nov  6 08:49:37 1994"), Some(784_111_777));
        assert_eq!(unix("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        assert_eq!(unix("Sun, 21 Nov 2286 04:46:39 GMT"), Some(10_000_039_599));
        assert_eq!(unix("Thu, 01 Jan 1900 00:00:00 GMT"), Some(0));
    }

    #[test]
    fn the_case_of_a_date_does_not_matter() {
        for text in [
            "THU, 18 Aug 2050 02:01:18 GMT",
            "Thu, 18 AUG 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 gMT",
        ] {
            assert_eq!(unix(text), Some(2_544_400_878), "{text}");
        }
    }

    #[test]
    fn two_digits_more_than_fifty_years_ahead_are_of_the_last_century() {
        assert_eq!(unix("Thursday, 18-Aug-50 02:01:18 GMT"), Some(2_544_400_878));
        assert!(unix("Sunday, 06-Nov-80 08:49:37 GMT").is_some_and(|date| date < NOW.as_secs()));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug 2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Thu, 31 Apr 2050 02:01:18 GMT",
            "Thu, 29 Feb 2050 02:01:18 GMT",
            "Xyz, 18 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT ",
        ] {
            assert_eq!(unix(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_date_that_was_written_reads_the_same(seconds in 0_u64..253_402_300_800) {
            let when = Duration::from_secs(seconds);
            prop_assert_eq!(read(&value(when), NOW), Some(when));
        }

        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..40), now in any::<u64>()) {
            let _ = parse(&text, Duration::from_secs(now));
        }

        #[test]
        fn near_dates_do_not_panic(
            day in "[A-Za-z]{3,9},? [0-9 ]{2}[ -][A-Za-z]{3}[ -][0-9]{2,4}", time in "[0-9:]{7,8} [A-Z]{3}",
        ) {
            let _ = parse(format!("{day} {time}").as_bytes(), NOW);
        }
    }
}
