//! Entity tags and how they are compared (RFC 9110 §8.8.3).

use http::header::ETAG;
use http::{HeaderMap, HeaderName};

/// An entity tag in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    is_weak: bool,
    /// With its quotes. A tag without any, as some origins send, is what it is.
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// `entity-tag = [ weak ] opaque-tag`, `weak = %s"W/"`. What is no entity tag proves nothing of the bytes
    /// it stands for and therefore counts as weak.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let (is_weak, opaque) = match text.strip_prefix(b"W/") {
            Some(opaque) => (true, opaque),
            None => (false, text),
        };
        if opaque.is_empty() {
            return None;
        }
        let is_character = |byte: &u8| *byte == 0x21 || *byte > 0x22 && *byte != 0x7f;
        let is_quoted = matches!(opaque, [b'"', inner @ .., b'"'] if inner.iter().all(is_character));
        Some(Self { is_weak: is_weak || !is_quoted, opaque })
    }

    pub fn of(headers: &'a HeaderMap) -> Option<Self> {
        headers.get(ETAG).and_then(|value| Self::parse(value.as_bytes()))
    }

    pub fn is_strong(self) -> bool {
        !self.is_weak
    }

    /// RFC 9110 §8.8.3.2: "two entity tags are equivalent if both are not weak and their opaque-tags match
    /// character-by-character."
    pub fn is_same_strongly(self, other: EntityTag<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// RFC 9110 §8.8.3.2: "two entity tags are equivalent if their opaque-tags match character-by-character,
    /// regardless of either or both being tagged as 'weak'."
    pub fn is_same_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// The lists of `If-None-Match` and `If-Match`, over all their lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// The field is not there.
    No,
    /// `*`: whatever there is.
    Any,
    /// It is there, and holds the tag or not.
    Found(bool),
}

/// Whether a list holds a tag like `stored` by the comparison `is_same`. A tag may hold a comma between its
/// quotes.
pub fn listed<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    stored: Option<EntityTag<'_>>,
    is_same: impl Fn(EntityTag<'a>, EntityTag<'_>) -> bool,
) -> Listed {
    let mut is_there = false;
    for line in headers.get_all(name) {
        is_there = true;
        for (element, _) in elements(line.as_bytes()) {
            if element == b"*" {
                return Listed::Any;
            }
            let tag = EntityTag::parse(element);
            if tag.zip(stored).is_some_and(|(tag, stored)| is_same(tag, stored)) {
                return Listed::Found(true);
            }
        }
    }
    if is_there { Listed::Found(false) } else { Listed::No }
}

/// Elements of a list of tags. In them a backslash is a character like others, so that quotes alone tell
/// where one ends.
fn elements(line: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        loop {
            let line = rest?;
            let mut is_quoted = false;
            let end = line.iter().position(|&byte| {
                is_quoted ^= byte == b'"';
                byte == b',' && !is_quoted
            });
            let element = line[..end.unwrap_or(line.len())].trim_ascii();
            rest = end.and_then(|end| line.get(end + 1..));
            if !element.is_empty() {
                return Some((element, !is_quoted));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::IF_NONE_MATCH;
    use proptest::prelude::*;

    use super::*;

    fn tag(text: &str) -> EntityTag<'_> {
        EntityTag::parse(text.as_bytes()).expect("a tag")
    }

    #[test]
    fn tags_compare_as_the_table_of_the_standard_has_it() {
        for (one, other, strongly, weakly) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            assert_eq!(tag(one).is_same_strongly(tag(other)), strongly, "{one} {other}");
            assert_eq!(tag(one).is_same_weakly(tag(other)), weakly, "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_entity_tag_is_weak() {
        for text in ["abc", "w/\"a\"", "W\"a\"", "\"a", "\"a\"b\"", "'a'"] {
            assert!(!tag(text).is_strong() && !tag(text).is_same_strongly(tag(text)), "{text}");
            assert!(tag(text).is_same_weakly(tag(text)), "{text}");
        }
        assert!(EntityTag::parse(b"").is_none() && EntityTag::parse(b"W/").is_none());
    }

    #[test]
    fn a_tag_is_found_wherever_it_stands_in_the_list() {
        let found = |lines: &[&'static str], stored: &str| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IF_NONE_MATCH, HeaderValue::from_static(line));
            }
            listed(&headers, &IF_NONE_MATCH, Some(tag(stored)), EntityTag::is_same_weakly)
        };
        for lines in [
            &["\"a\", \"b\""][..],
            &["\"b\",\"a\""],
            &["\"x\"", "W/\"a\""],
            &["\"x,y\" , \"a\""],
            &["\"\\\", \"a\""],
        ] {
            assert_eq!(found(lines, "\"a\""), Listed::Found(true), "{lines:?}");
        }
        assert_eq!(found(&["\"x,a\""], "a"), Listed::Found(false));
        assert_eq!(found(&["\"b\""], "\"a\""), Listed::Found(false));
        assert_eq!(found(&["*"], "\"a\""), Listed::Any);
        assert_eq!(found(&[], "\"a\""), Listed::No);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (EntityTag::parse(&line), elements(&line).count());
        }
    }
}
