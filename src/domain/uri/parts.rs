//! Cutting a text at an ASCII byte. Each request is cut some thirty times into short parts, for which the standard library's
//! search costs several times as much.

use memchr::{memchr, memrchr};

/// The parts between the bytes `at`: as `str::split`, one more than there are such bytes.
pub fn parts(text: &str, at: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (part, after) = cut(text, at).map_or((text, None), |(part, after)| (part, Some(after)));
        rest = after;
        Some(part)
    })
}

/// What stands before and behind the first byte `at`.
pub fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    debug_assert!(at.is_ascii(), "no other byte is a character of its own");
    let place = memchr(at, text.as_bytes())?;
    Some((&text[..place], &text[place + 1..]))
}

/// What stands before and behind the last byte `at`.
pub fn cut_last(text: &str, at: u8) -> Option<(&str, &str)> {
    debug_assert!(at.is_ascii(), "no other byte is a character of its own");
    let place = memrchr(at, text.as_bytes())?;
    Some((&text[..place], &text[place + 1..]))
}

/// What stands behind the last byte `at`; all of it where there is none.
pub fn last(text: &str, at: u8) -> &str {
    cut_last(text, at).map_or(text, |(_, last)| last)
}

/// Whether the byte `at` stands in `text`.
pub fn has(text: &str, at: u8) -> bool {
    memchr(at, text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_cut_as_the_standard_library_does(text in "[a/ü~%]{0,80}") {
            prop_assert!(parts(&text, b'/').eq(text.split('/')));
            prop_assert_eq!(cut(&text, b'~'), text.split_once('~'));
            prop_assert_eq!(cut_last(&text, b'~'), text.rsplit_once('~'));
            prop_assert_eq!(last(&text, b'/'), text.rsplit('/').next().unwrap_or_default());
            prop_assert_eq!(has(&text, b'%'), text.contains('%'));
        }
    }
}
