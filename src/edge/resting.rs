//! How what is known of a stored answer is written to disk, and read from it again.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::domain::cache::freshness::Freshness;
use crate::domain::cache::vary::Selector;
use crate::domain::cache::written::{Reader, Writer};
use crate::store::disk::Codec;

use super::objects::Meta;

/// To be raised with every change of the form, of what is in [`Meta`] and of what it means: what was written under another
/// number is a miss.
const VERSION: u8 = 1;

/// The form in which answers rest on disk.
pub fn codec() -> Codec<Meta> {
    Codec { write, read }
}

fn write(meta: &Meta, to: &mut Vec<u8>) {
    let mut to = Writer(to);
    to.byte(VERSION);
    to.count(usize::from(meta.status.as_u16()));
    to.count(meta.headers.len());
    for (name, value) in &meta.headers {
        to.bytes(name.as_str().as_bytes());
        to.bytes(value.as_bytes());
    }
    meta.freshness.write(&mut to);
    meta.selector.write(&mut to);
    to.number(meta.family);
}

fn read(bytes: &[u8]) -> Option<Meta> {
    let mut from = Reader(bytes);
    if from.byte()? != VERSION {
        return None;
    }
    let status = StatusCode::from_u16(u16::try_from(from.count()?).ok()?).ok()?;
    let mut headers = HeaderMap::new();
    for _ in 0..from.count()? {
        let name = HeaderName::from_bytes(from.bytes()?).ok()?;
        let value = HeaderValue::from_bytes(from.bytes()?).ok()?;
        headers.try_append(name, value).ok()?;
    }
    let freshness = Freshness::read(&mut from)?;
    let selector = Selector::read(&mut from)?;
    let family = from.number()?;
    from.is_at_end().then_some(Meta { status, headers, freshness, selector, family })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;
    use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, VARY};

    use super::*;
    use crate::domain::cache::directives::{RequestDirectives, ResponseDirectives};
    use crate::domain::cache::exchange::Exchange;
    use crate::domain::cache::rules::Rules;

    fn fields(fields: &[(HeaderName, &[u8])]) -> HeaderMap {
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        fields.iter().map(|(name, bytes)| (name.clone(), value(bytes))).collect()
    }

    fn meta(request: &HeaderMap, headers: HeaderMap) -> Meta {
        let (rules, directives) = (Rules::default(), ResponseDirectives::read(&headers));
        let exchange = Exchange {
            method: &Method::GET,
            target: "",
            request,
            status: StatusCode::OK,
            response: &headers,
            directives: &directives,
            requested: Duration::from_millis(1_700_000_000_123),
            received: Duration::from_millis(1_700_000_000_456),
        };
        let freshness = Freshness::of(&exchange, &rules);
        let selector = Selector::of(request, &headers, &[]).unwrap();
        Meta { status: StatusCode::OK, headers, freshness, selector, family: 7 }
    }

    fn all() -> Vec<Meta> {
        let request = fields(&[(ACCEPT_LANGUAGE, b"de, en;q=0.5"), (ACCEPT_ENCODING, b"gzip")]);
        let stated =
            ["max-age=60", "s-maxage=9, stale-if-error=3", "no-cache", "must-revalidate, immutable", ""];
        let mut all: Vec<Meta> = stated
            .iter()
            .map(|stated| meta(&request, fields(&[(CACHE_CONTROL, stated.as_bytes())])))
            .collect();
        let varies: &[u8] = b"accept-language, accept-encoding, x-absent";
        let odd = HeaderName::from_static("x-odd");
        all.push(meta(
            &request,
            fields(&[(VARY, varies), (CONTENT_LANGUAGE, b"de"), (odd.clone(), b"\xff\t "), (odd, b"")]),
        ));
        all
    }

    #[test]
    fn what_is_written_is_read_again() {
        for meta in all() {
            let mut bytes = Vec::new();
            write(&meta, &mut bytes);
            let again = read(&bytes).expect("it was written here");
            assert_eq!(
                (again.status, again.family, &again.headers),
                (meta.status, meta.family, &meta.headers)
            );
            assert_eq!((again.freshness, &again.selector), (meta.freshness, &meta.selector));
            let (now, rules) = (meta.freshness.received + Duration::from_secs(10), Rules::default());
            let asked = RequestDirectives::default();
            assert_eq!(again.freshness.serve(now, &asked, &rules), meta.freshness.serve(now, &asked, &rules));
        }
    }

    #[test]
    fn what_is_cut_off_longer_or_of_another_version_is_not_read() {
        for meta in all() {
            let mut bytes = Vec::new();
            write(&meta, &mut bytes);
            for end in 0..bytes.len() {
                assert!(read(&bytes[..end]).is_none(), "cut at {end}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert!(read(&longer).is_none());
            bytes[0] = VERSION + 1;
            assert!(read(&bytes).is_none());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = read(&bytes);
        }
    }
}
