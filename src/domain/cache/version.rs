//! Which version of an object a slice of it is of: slices are put together only where a strong validator says that they are
//! of the same bytes.

use std::time::Duration;

use http::header::{DATE, ETAG, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};

use super::date;
use super::entity_tag::EntityTag;
use super::ranges::{self, Asked, Part};

/// A version of an object, as the head of a 206 tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    validator: Validator,
    /// The length of the whole.
    pub length: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Validator {
    Tag(HeaderValue),
    Date(HeaderValue),
}

impl Version {
    /// The version of which a 206 that came at `received` carries `part`; `None` without a strong validator, or where the
    /// length of the whole is not told.
    ///
    /// RFC 9110 §15.3.7.3: "A client that has received multiple partial responses to GET requests on a target resource MAY
    /// combine those responses into a larger continuous range if they share the same strong validator."
    pub fn of(headers: &HeaderMap, part: Part, received: Duration) -> Option<Self> {
        let asked = Asked::From { first: part.first, last: Some(part.last) };
        let length = ranges::judge(asked, headers).ok()?.length?;
        Some(Self { validator: Validator::of(headers, received)?, length })
    }

    /// Has a request for a part be answered by this version alone: by an origin that knows either of the conditions.
    ///
    /// RFC 9110 §13.2.2: `If-Match` comes first, "if false, respond 412"; `If-Range` has those that ignore it send the whole
    /// of another version, which its status tells.
    pub fn demand(&self, request: &mut HeaderMap) {
        let (condition, value) = match &self.validator {
            Validator::Tag(tag) => (IF_MATCH, tag),
            Validator::Date(date) => (IF_UNMODIFIED_SINCE, date),
        };
        request.insert(condition, value.clone());
        request.insert(IF_RANGE, value.clone());
    }
}

impl Validator {
    /// RFC 9110 §8.8.2.2: a date is strong where "that cache entry includes a Date value which is at least one second after
    /// the Last-Modified value". An entity tag that is weak says that bytes may differ, whatever the date is.
    fn of(headers: &HeaderMap, received: Duration) -> Option<Self> {
        if let Some(value) = headers.get(ETAG) {
            let is_strong = EntityTag::of(headers).is_some_and(EntityTag::is_strong);
            return is_strong.then(|| Self::Tag(value.clone()));
        }
        let modified = headers.get(LAST_MODIFIED)?;
        let sent = headers.get(DATE).and_then(|value| date::read(value, received)).unwrap_or(received);
        let is_strong = sent >= date::read(modified, received)? + Duration::from_secs(1);
        is_strong.then(|| Self::Date(modified.clone()))
    }
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_RANGE;

    use super::*;

    const PART: Part = Part { first: 10, last: 19 };
    const RECEIVED: Duration = Duration::from_secs(1_700_000_000);

    fn version(fields: &[(http::HeaderName, &'static str)]) -> Option<Version> {
        let headers: HeaderMap =
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        Version::of(&headers, PART, RECEIVED)
    }

    #[test]
    fn a_strong_tag_and_the_length_make_a_version() {
        let one = version(&[(CONTENT_RANGE, "bytes 10-19/100"), (ETAG, "\"1\"")]).unwrap();
        assert_eq!(one.length, 100);
        let same = version(&[(CONTENT_RANGE, "bytes 10-19/100"), (ETAG, "\"1\""), (DATE, "x")]);
        assert_eq!(same.as_ref(), Some(&one));
        assert_ne!(version(&[(CONTENT_RANGE, "bytes 10-19/100"), (ETAG, "\"2\"")]), Some(one.clone()));
        assert_ne!(version(&[(CONTENT_RANGE, "bytes 10-19/101"), (ETAG, "\"1\"")]), Some(one.clone()));
        let mut request = HeaderMap::new();
        one.demand(&mut request);
        assert_eq!(
            (&request[IF_MATCH], &request[IF_RANGE]),
            (&"\"1\"".parse().unwrap(), &"\"1\"".parse().unwrap())
        );
    }

    #[test]
    fn weak_validators_other_parts_and_unknown_lengths_make_none() {
        for fields in [
            &[(CONTENT_RANGE, "bytes 10-19/100"), (ETAG, "W/\"1\"")][..],
            &[
                (CONTENT_RANGE, "bytes 10-19/100"),
                (ETAG, "W/\"1\""),
                (LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT"),
            ],
            &[(CONTENT_RANGE, "bytes 10-19/100")],
            &[(CONTENT_RANGE, "bytes 10-19/*"), (ETAG, "\"1\"")],
            &[(CONTENT_RANGE, "bytes 11-19/100"), (ETAG, "\"1\"")],
            &[(ETAG, "\"1\"")],
        ] {
            assert_eq!(version(fields), None, "{fields:?}");
        }
    }

    #[test]
    fn a_date_is_strong_a_second_after_it() {
        let (range, modified) =
            ((CONTENT_RANGE, "bytes 10-19/100"), (LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT"));
        let strong =
            version(&[range.clone(), modified.clone(), (DATE, "Sun, 06 Nov 1994 08:49:38 GMT")]).unwrap();
        let mut request = HeaderMap::new();
        strong.demand(&mut request);
        assert_eq!(request[IF_UNMODIFIED_SINCE], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(request[IF_RANGE], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(version(&[range, modified, (DATE, "Sun, 06 Nov 1994 08:49:37 GMT")]), None);
    }
}
