//! Removing what must not be read from what is written down.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::domain::uri::escape;

/// What stands for what must not be read.
const REDACTED: &str = "[redacted]";

/// Parameters by which URLs are signed or people prove who they are, at another property or elsewhere: such a query may come or pass here.
const SIGNED: [&str; 25] = [
    "hdnts",
    "hdntl",
    "__token__",
    "st",
    "md5",
    "edge-cache-token",
    "urisigningpackage",
    "cta-common-access-token",
    "signature",
    "sig",
    "x-amz-signature",
    "x-amz-security-token",
    "x-goog-signature",
    "policy",
    "token",
    "access_token",
    "id_token",
    "auth",
    "authorization",
    "jwt",
    "password",
    "secret",
    "api_key",
    "apikey",
    "key",
];

/// A query for a log: the values of `names` replaced, as are all values that look signed.
///
/// A parameter is also redacted when its decoded name would be one of `names`: a player or an attacker may write
/// `%68dnts=`; that is no token for the edge, but its value may still be one.
pub fn query<'a>(query: &'a str, names: &[impl AsRef<str>]) -> Cow<'a, str> {
    let is_secret = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = escape::decode(name).unwrap_or(Cow::Borrowed(name));
        names.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_ref()))
            || SIGNED.iter().any(|secret| name.eq_ignore_ascii_case(secret))
            || looks_signed(value, names)
    };
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let mut redacted = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            redacted.push('&');
        }
        if is_secret(pair) {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            redacted.push_str(name);
            redacted.push_str("=[redacted]");
        } else {
            redacted.push_str(pair);
        }
    }
    Cow::Owned(redacted)
}

/// A text for a log that should hold no token at all: whole, or not at all where it does.
pub fn text<'a>(text: &'a str, names: &[impl AsRef<str>]) -> &'a str {
    if looks_signed(text, names) { REDACTED } else { text }
}

/// A query of which nobody can say which of its values are secret: the names alone.
pub fn names(query: &str) -> String {
    let name =
        |pair: &str| pair.split_once('=').map_or_else(String::new, |(name, _)| format!("{name}={REDACTED}"));
    query.split('&').map(name).collect::<Vec<_>>().join("&")
}

/// A path for a log: a segment that carries a token is replaced.
pub fn path(path: &str) -> Cow<'_, str> {
    let is_secret = |segment: &str| looks_signed(segment, &[""; 0]);
    if !path.split('/').any(is_secret) {
        return Cow::Borrowed(path);
    }
    let redacted: Vec<&str> =
        path.split('/').map(|segment| if is_secret(segment) { "[redacted]" } else { segment }).collect();
    Cow::Owned(redacted.join("/"))
}

/// Whether a text carries an HMAC as tokens do, a set of signed claims, or `name=` of a token, in whatever part of it is escaped. What is escaped more often than
/// `ESCAPED_MAX` times is taken for one: nobody does that but to hide something.
fn looks_signed(text: &str, names: &[impl AsRef<str>]) -> bool {
    const ESCAPED_MAX: usize = 8;
    let mut text = Cow::Borrowed(text);
    for _ in 0..=ESCAPED_MAX {
        let names_token = || names.iter().any(|name| assigns(&text, name.as_ref()));
        if memchr::memmem::find(text.as_bytes(), b"hmac=").is_some() || bears_claims(&text) || names_token() {
            return true;
        }
        match unescaped(&text) {
            Some(plainer) => text = Cow::Owned(plainer),
            None => return false,
        }
    }
    true
}

/// Whether a text assigns something to `name`, in any case.
fn assigns(text: &str, name: &str) -> bool {
    let (text, name) = (text.as_bytes(), name.as_bytes());
    !name.is_empty()
        && memchr::memchr_iter(b'=', text).any(|at| {
            at.checked_sub(name.len()).is_some_and(|from| text[from..at].eq_ignore_ascii_case(name))
        })
}

/// Whether a text holds what begins as a JWT does (`{"` in base64url, and two dots), or as a Common Access Token (the tags 61,
/// 17 and 18 of CBOR in base64url, and something behind them).
fn bears_claims(text: &str) -> bool {
    const COSE: [&str; 4] = ["2D3R", "2D3S", "0YRD", "0oRD"];
    const COSE_BYTES_MIN: usize = 32;
    let is_of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/');
    let is_jwt = text.find("eyJ").is_some_and(|at| text[at..].matches('.').count() >= 2);
    let is_cat = |tags: &str| {
        text.match_indices(tags).any(|(at, _)| {
            text.as_bytes()[at..].iter().take_while(|byte| is_of_base64(**byte)).count() >= COSE_BYTES_MIN
        })
    };
    is_jwt || COSE.into_iter().any(is_cat)
}

/// `text` with every sound escape of an ASCII character decoded once; `None` when there is none. Broken escapes stay: a
/// token beside one is a token still.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match escape::escaped_byte(rest.as_bytes()).filter(u8::is_ascii) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[2..];
            }
            None => out.push('%'),
        }
    }
    out.push_str(rest);
    (out.len() < text.len()).then_some(out)
}

/// Appends `text` as the inside of a quoted field: control bytes, quotes and backslashes escaped as in JSON, so that
/// nothing a client sends can begin a line or a field of its own.
pub fn quoted(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_values_are_replaced_and_others_stay() {
        assert_eq!(query("a=1&hdnts=exp=9~hmac=ff&b=2", &["hdnts", "hdntl"]), "a=1&hdnts=[redacted]&b=2");
        assert_eq!(query("a=1&b=2", &["hdnts"]), "a=1&b=2");
    }

    #[test]
    fn a_token_under_another_name_is_replaced_too() {
        assert_eq!(
            query("%68dnts=x&t=exp%3D1~hmac%3Dff&k=v", &["hdnts"]),
            "%68dnts=[redacted]&t=[redacted]&k=v"
        );
    }

    #[test]
    fn no_number_of_escapes_hides_a_token() {
        for hidden in
            ["%68mac=ff", "hma%63%3dff", "hmac%25253Dff", "%zz~hmac%3Dff", "%2568mac=ff", "\u{e9}%e9hmac%3d"]
        {
            assert_eq!(path(&format!("/a/{hidden}/b")), "/a/[redacted]/b", "{hidden}");
            assert_eq!(query(&format!("x={hidden}"), &[""; 0]), "x=[redacted]", "{hidden}");
        }
        assert!(looks_signed(&format!("%{}41", "25".repeat(4_000)), &[""; 0]), "bounded work");
        assert_eq!(path("/a/%zz%25%/b%2"), "/a/%zz%25%/b%2");
    }

    #[test]
    fn signed_claims_are_replaced_under_any_name() {
        let (jwt, cat) = ("eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln", "2D3RhEOhAQWgRaEEGmVT8QBYIAAB");
        let cat = format!("{cat}{cat}");
        for value in [jwt, &jwt.replace('.', "%2E"), &jwt.replace("eyJ", "%65yJ"), &cat, &format!("x:{cat}")]
        {
            assert_eq!(query(&format!("a=1&t={value}"), &[""; 0]), "a=1&t=[redacted]", "{value}");
        }
        for value in ["https%3A%2F%2Fx%2F%3FCAT%3Dff", "cat=ff", "x%26CAT%253Dff"] {
            assert_eq!(query(&format!("url={value}&b=2"), &["CAT"]), "url=[redacted]&b=2", "{value}");
        }
        assert_eq!(query("a=eyJ.b&c=2D3R&d=1.2.3&e=CATS=1", &["CAT"]), "a=eyJ.b&c=2D3R&d=1.2.3&e=CATS=1");
    }

    #[test]
    fn a_path_component_with_a_token_is_replaced() {
        assert_eq!(path("/a/hdntl=exp=1~acl=%2f*~hmac=ff/b.ts"), "/a/[redacted]/b.ts");
        assert_eq!(path("/a/b.ts"), "/a/b.ts");
    }

    #[test]
    fn control_bytes_cannot_begin_a_line() {
        let mut out = String::new();
        quoted("a\r\n\"b\u{1}", &mut out);
        assert_eq!(out, "a\\r\\n\\\"b\\u0001");
    }
}
