//! Removing fields by a list of names, of which most messages have none.

use http::{HeaderMap, HeaderName};

/// Removes all fields that `names` names. To compare names is cheaper than to look each of them up.
pub fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    if has_any(headers, names) {
        for name in names {
            headers.remove(name);
        }
    }
}

/// Whether a field of one of these names is there.
pub fn has_any(headers: &HeaderMap, names: &[HeaderName]) -> bool {
    // Most names differ in length already.
    let bit = |name: &HeaderName| 1_u64 << (name.as_str().len() % 64);
    let lengths = names.iter().fold(0, |lengths, name| lengths | bit(name));
    headers.keys().any(|name| lengths & bit(name) != 0 && names.contains(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{CONNECTION, DATE, ETAG};

    use super::*;

    #[test]
    fn every_line_of_a_listed_name_goes_and_others_stay() {
        let own = HeaderName::from_static("x-own");
        let mut headers = HeaderMap::new();
        for (name, value) in [(&own, "1"), (&DATE, "2"), (&own, "3"), (&ETAG, "4")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert!(has_any(&headers, &[CONNECTION, own.clone()]));
        remove(&mut headers, &[CONNECTION, own.clone()]);
        assert!(headers.len() == 2 && has_any(&headers, &[DATE]) && has_any(&headers, &[ETAG]));
        remove(&mut headers, &[CONNECTION, own]);
        assert_eq!(headers.len(), 2);
    }
}
