//! POSIX extended regular expressions (RFC 9246 §2.1.15.2) on an engine of linear time.
//!
//! The two notations differ in what is rewritten or refused here; all else is the same. In POSIX brackets a backslash, `[` and
//! `&` stand for themselves, where the engine has escapes, nested classes and operations on sets. A group that begins with
//! `?` is undefined in POSIX and switches the engine's options: it is refused. The whole text has to match: POSIX matches
//! anywhere, but a signer who meant a part can say `.*`, and one who forgot an anchor must not open the rest of the site.

use regex::bytes::{Regex, RegexBuilder};

use super::Limits;

/// Why an expression is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is longer than the limit")]
    Long,
    #[error("it has a group that begins with ?")]
    Option,
    #[error("its parentheses or brackets do not match")]
    Unbalanced,
    #[error("it is no expression, or takes more than the limit once compiled")]
    Refused,
}

/// The expression, to be matched against whole texts.
pub fn compile(posix: &str, limits: Limits) -> Result<Regex, Fault> {
    if posix.len() > limits.expression_bytes_max {
        return Err(Fault::Long);
    }
    let pattern = format!(r"\A(?:{})\z", translated(posix)?);
    RegexBuilder::new(&pattern)
        .unicode(false)
        .size_limit(limits.program_bytes_max)
        .dfa_size_limit(limits.program_bytes_max)
        .nest_limit(32)
        .build()
        .map_err(|_| Fault::Refused)
}

fn translated(posix: &str) -> Result<String, Fault> {
    let mut out = String::with_capacity(posix.len() + 8);
    let mut rest = posix.chars();
    let mut depth = 0_usize;
    while let Some(character) = rest.next() {
        match character {
            '\\' => {
                out.push('\\');
                out.push(rest.next().ok_or(Fault::Unbalanced)?);
            }
            '[' => {
                let class = rest.as_str();
                let length = class_length(class).ok_or(Fault::Unbalanced)?;
                push_class(&mut out, &class[..length]);
                rest = class[length + 1..].chars();
            }
            '(' => {
                if rest.as_str().starts_with('?') {
                    return Err(Fault::Option);
                }
                depth += 1;
                out.push('(');
            }
            ')' => {
                depth = depth.checked_sub(1).ok_or(Fault::Unbalanced)?;
                out.push(')');
            }
            other => out.push(other),
        }
    }
    if depth == 0 { Ok(out) } else { Err(Fault::Unbalanced) }
}

/// The bytes between `[` and its `]`. The first character after `[` or `[^` is one of the class, even if it is `]`.
fn class_length(class: &str) -> Option<usize> {
    let bytes = class.as_bytes();
    let mut index = usize::from(bytes.first() == Some(&b'^'));
    if bytes.get(index) == Some(&b']') {
        index += 1;
    }
    loop {
        match bytes.get(index)? {
            b']' => return Some(index),
            b'[' if bytes.get(index + 1) == Some(&b':') => index += class[index..].find(":]")? + 2,
            _ => index += 1,
        }
    }
}

fn push_class(out: &mut String, class: &str) {
    out.push('[');
    let mut rest = class;
    if let Some(negated) = rest.strip_prefix('^') {
        out.push('^');
        rest = negated;
    }
    while let Some(character) = rest.chars().next() {
        if let Some(end) = rest.strip_prefix("[:").and_then(|named| named.find(":]")) {
            out.push_str(&rest[..end + 4]);
            rest = &rest[end + 4..];
            continue;
        }
        // A minus keeps its meaning: between two characters a range, at either end itself.
        if matches!(character, '\\' | '[' | ']' | '^' | '&' | '~') {
            out.push('\\');
        }
        out.push(character);
        rest = &rest[character.len_utf8()..];
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(posix: &str, text: &str) -> bool {
        compile(posix, Limits::default()).unwrap().is_match(text.as_bytes())
    }

    /// RFC 9246 §2.1.15.2, "An example of a 'regex:'", without the second backslashes of JSON.
    #[test]
    fn the_example_of_the_rfc_matches_what_it_says() {
        let posix = r"[^:]*\://[^/]*/folder/content/quality_[^/]*/segment.{3}\.mp4(\?.*)?";
        assert!(matches(posix, "http://example.com/folder/content/quality_3/segment001.mp4"));
        assert!(matches(posix, "https://cdn.example:8443/folder/content/quality_hd/segment042.mp4?a=b"));
        assert!(!matches(posix, "http://example.com/folder/content/quality_3/sub/segment001.mp4"));
        assert!(!matches(posix, "http://example.com/folder/content/quality_3/segment0001.mp4"));
        assert!(!matches(posix, "http://example.com/x/folder/content/quality_3/segment001.mp4"));
    }

    #[test]
    fn brackets_are_read_as_posix_reads_them() {
        for (posix, yes, no) in [
            (r"[]a]", "]", "b"),
            (r"[^]a]", "b", "]"),
            (r"[\d]", r"\", "5"),
            (r"[\d]", "d", "5"),
            (r"[a&&b]", "&", "c"),
            (r"[a[b]", "[", "c"),
            (r"[[:digit:]x]+", "12x", "a"),
            (r"[a-c-]", "-", "d"),
            (r"[a-z~~]", "~", "A"),
            (r"a{2}|b", "aa", "a"),
        ] {
            assert!(matches(posix, yes), "{posix} {yes}");
            assert!(!matches(posix, no), "{posix} {no}");
        }
    }

    #[test]
    fn the_whole_text_has_to_match() {
        assert!(!matches("a|b", "ab"));
        assert!(!matches("/v/", "/v/x"));
        assert!(matches("", ""));
        assert!(!matches("", "x"));
    }

    #[test]
    fn nothing_escapes_the_anchors_or_the_limits() {
        let fault = |posix: &str| compile(posix, Limits::default()).err();
        assert_eq!(fault("a)|(b"), Some(Fault::Unbalanced));
        assert_eq!(fault("(a"), Some(Fault::Unbalanced));
        assert_eq!(fault("[a"), Some(Fault::Unbalanced));
        assert_eq!(fault("[[:alpha:"), Some(Fault::Unbalanced));
        assert_eq!(fault("a\\"), Some(Fault::Unbalanced));
        assert_eq!(fault("(?i)a"), Some(Fault::Option));
        assert_eq!(fault("a{999}{999}{999}"), Some(Fault::Refused));
        assert_eq!(fault("[z-a]"), Some(Fault::Refused));
        assert_eq!(fault(&"a".repeat(1025)), Some(Fault::Long));
        assert_eq!(fault(&"(".repeat(500)), Some(Fault::Unbalanced));
        assert_eq!(fault(&format!("{}{}", "(".repeat(500), ")".repeat(500))), Some(Fault::Refused));
    }
}
