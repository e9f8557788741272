//! The URI Signing Package in a path (RFC 9246 §2): a parameter of a segment, or a segment of its own.
//!
//! ```text
//! /v/master.m3u8;URISigningPackage=JWT        RFC 6570 §3.2.7, "Path-Style Parameter Expansion"
//! /URISigningPackage=JWT/v/master.m3u8        a segment, which the playlist's relative references inherit
//! ```

use std::borrow::Cow;

use crate::domain::token::reason::Reason;

/// A path, and the token that stood in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    pub path: Cow<'a, str>,
    pub token: Option<&'a str>,
}

/// Takes the package called `name` out of a path. Two of them are refused: which one counts would be a guess.
///
/// What is taken out is what RFC 9246 §2.1.15 says: "If the signed JWT is terminated by anything other than a sub-delimiter
/// […], everything from the reserved character […] that precedes the URI Signing Package Attribute to the last character of the
/// signed JWT will be removed, inclusive. Otherwise, everything from the first character of the URI Signing Package Attribute to
/// the sub-delimiter that terminates the signed JWT will be removed, inclusive."
pub fn split<'a>(raw_path: &'a str, name: &str) -> Result<Split<'a>, Reason> {
    let mut found = occurrences(raw_path, name);
    let Some(at) = found.next() else { return Ok(Split { path: Cow::Borrowed(raw_path), token: None }) };
    if found.next().is_some() {
        return Err(Reason::DuplicateToken);
    }
    let begin = at + name.len() + 1;
    let length =
        raw_path[begin..].bytes().position(|byte| !is_of_token(byte)).unwrap_or(raw_path.len() - begin);
    let end = begin + length;
    let is_before_more = raw_path[end..].bytes().next().is_some_and(is_sub_delimiter);
    let (from, to) = if is_before_more { (at, end + 1) } else { (at - 1, end) };
    let path = [&raw_path[..from], &raw_path[to..]].concat();
    // A package that was the whole path leaves its root.
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    Ok(Split { path: Cow::Owned(path), token: Some(&raw_path[begin..end]) })
}

/// Where `name=` begins a segment or a parameter of one.
fn occurrences<'a>(path: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    path.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = path.as_bytes().get(at.wrapping_sub(1));
        let after = path.as_bytes().get(at + name.len());
        matches!(before, Some(b'/' | b';')) && after == Some(&b'=')
    })
}

/// The characters of a compact JWS, and the escapes that a player may have made of its dots.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'%')
}

/// RFC 3986 §2.2.
fn is_sub_delimiter(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(path: &str) -> (String, Option<String>) {
        let split = split(path, "token").unwrap();
        (split.path.into_owned(), split.token.map(str::to_owned))
    }

    #[test]
    fn a_package_is_taken_out_wherever_it_stands() {
        for (path, rest) in [
            ("/media/path;token=a.b.c", "/media/path"),
            ("/media/path;come=data;token=a.b.c;other=data", "/media/path;come=data;other=data"),
            ("/media;token=a.b.c/path", "/media/path"),
            ("/token=a.b.c/media/path", "/media/path"),
            ("/media/token=a.b.c/path", "/media/path"),
            ("/media/token=a.b.c;x=1/path", "/media/x=1/path"),
            ("/token=a.b.c", "/"),
        ] {
            assert_eq!(taken(path), (rest.to_owned(), Some("a.b.c".to_owned())), "{path}");
        }
    }

    #[test]
    fn what_is_no_package_stays() {
        for path in
            ["/media/path", "/atoken=a.b.c/x", "/x;Token=a.b.c", "/token/a.b.c", "/x;%74oken=a.b.c", "/"]
        {
            assert_eq!(taken(path), (path.to_owned(), None));
        }
    }

    #[test]
    fn two_packages_are_refused() {
        assert_eq!(split("/token=a.b.c/x;token=a.b.c", "token"), Err(Reason::DuplicateToken));
    }
}
