//! Comma-separated lists of header fields (RFC 9110 §5.6.1), with quoted strings, in place.

/// A member of a list of directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    /// `name`, `name=token` or `name="quoted"`; a quoted value is what stands between the quotes, escapes and
    /// all.
    Parameter { name: &'a [u8], value: Option<&'a [u8]>, is_quoted: bool },
    /// The field ended inside a quoted string: what it says from there on cannot be known.
    Unfinished,
}

/// The directives of a field line, empty members left out.
///
/// RFC 9110 §5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list elements".
pub fn members(line: &[u8]) -> impl Iterator<Item = Member<'_>> {
    elements(line)
        .map(|(element, is_finished)| if is_finished { parameter(element) } else { Member::Unfinished })
}

/// The members of a list without parameters: field names, codings, languages.
pub fn tokens(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// The elements between the commas that stand outside quoted strings, trimmed, and whether each one's quotes
/// are closed.
pub fn elements(line: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        loop {
            let line = rest?;
            let (end, is_finished) = element_end(line);
            rest = line.get(end + 1..);
            let element = line[..end].trim_ascii();
            if !element.is_empty() {
                return Some((element, is_finished));
            }
        }
    })
}

/// The offset of the comma that ends the first element, or of the line's end.
fn element_end(line: &[u8]) -> (usize, bool) {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (offset, &byte) in line.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => return (offset, true),
            _ => {}
        }
    }
    (line.len(), !is_quoted)
}

fn parameter(element: &[u8]) -> Member<'_> {
    let Some(equals) = element.iter().position(|&byte| byte == b'=') else {
        return Member::Parameter { name: element, value: None, is_quoted: false };
    };
    let name = element[..equals].trim_ascii();
    let value = &element[equals + 1..];
    // White space around the `=` is not in the grammar: the name is known, so that nothing is allowed that it
    // forbids, and its value is none that could be read.
    if name.len() != equals || value.first().is_some_and(u8::is_ascii_whitespace) {
        return Member::Parameter { name, value: Some(&element[name.len()..]), is_quoted: false };
    }
    match value {
        [b'"', inner @ .., b'"'] => Member::Parameter { name, value: Some(inner), is_quoted: true },
        _ => Member::Parameter { name, value: Some(value), is_quoted: false },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_comma_in_quotes_does_not_end_a_member() {
        let found: Vec<_> = elements(br#" a, b="x, \" y" ,, c"#).collect();
        assert_eq!(found, [(&b"a"[..], true), (br#"b="x, \" y""#, true), (b"c", true)]);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_told() {
        assert_eq!(members(br#"a="b, no-store"#).last(), Some(Member::Unfinished));
        assert_eq!(members(br#"a="b\"#).last(), Some(Member::Unfinished));
        assert_eq!(members(br#"""#).last(), Some(Member::Unfinished));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = members(&line).count() + tokens(&line).count();
        }
    }
}
