//! Removing what must not be read from what is written down.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A query for a log: the values of `names` replaced, as are all values that look signed.
///
/// A parameter is also redacted when its decoded name would be one of `names`: a player or an attacker may write
/// `%68dnts=`; that is no token for the edge, but its value may still be one.
pub fn query<'a>(query: &'a str, names: &[&str]) -> Cow<'a, str> {
    let is_secret = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = crate::domain::uri::escape::decode(name).unwrap_or(Cow::Borrowed(name));
        names.iter().any(|secret| name.eq_ignore_ascii_case(secret)) || looks_signed(value)
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

/// A path for a log: a segment that carries a token is replaced.
pub fn path(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(looks_signed) {
        return Cow::Borrowed(path);
    }
    let redacted: Vec<&str> =
        path.split('/').map(|segment| if looks_signed(segment) { "[redacted]" } else { segment }).collect();
    Cow::Owned(redacted.join("/"))
}

/// Whether a text carries an HMAC as tokens do, escaped or not.
fn looks_signed(text: &str) -> bool {
    const MARKS: [&str; 4] = ["hmac=", "hmac%3d", "hmac%3D", "hmac%253"];
    MARKS.iter().any(|mark| memchr::memmem::find(text.as_bytes(), mark.as_bytes()).is_some())
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
