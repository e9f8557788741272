//! Where a session stands in a request, and how a response hands it over.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::text::Session;
use crate::domain::token::reason::Reason;
use crate::domain::uri::escape;
use crate::domain::uri::parts::{has, last, parts};
use crate::domain::uri::path::Dots;

/// A path without its session component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitPath<'a> {
    pub path: Cow<'a, str>,
    /// The session as it stood, still escaped.
    pub value: Option<&'a str>,
    /// Directories between the component and the last segment: how far `../` may climb without losing the component.
    pub depth: usize,
}

/// Takes the component `name=…` out of a path that is not normalised yet.
///
/// Two components are refused, and so are a `..` that climbs through the component and a name that is written with escapes:
/// each would make another path of it for another reader.
pub fn split_path<'a>(raw_path: &'a str, name: &str) -> Result<SplitPath<'a>, Reason> {
    let mut found: Option<(usize, usize, &'a str)> = None;
    let mut depth = 0_usize;
    let mut start = 0;
    for segment in parts(raw_path, b'/') {
        let end = start + segment.len();
        match (component_value(segment, name)?, found) {
            (Some(_), Some(_)) => return Err(Reason::DuplicateToken),
            (Some(value), None) => found = Some((start, end, value)),
            (None, Some(_)) => match Dots::of(segment) {
                Dots::Up => depth = depth.checked_sub(1).ok_or(Reason::Malformed)?,
                // The last segment counts too, and is taken off below.
                Dots::None | Dots::WithParameter => depth += 1,
                Dots::Here => {}
            },
            (None, None) => {}
        }
        start = end + 1;
    }
    let Some((start, end, value)) = found else {
        return Ok(SplitPath { path: Cow::Borrowed(raw_path), value: None, depth: 0 });
    };
    let ends_in_dots = Dots::of(last(raw_path, b'/')) != Dots::None;
    let depth = if ends_in_dots { depth } else { depth.saturating_sub(1) };
    // The component and the slash after it go; the slash before it stays.
    let path = match (&raw_path[..start], raw_path.get(end + 1..).unwrap_or_default()) {
        (before, "") => Cow::Borrowed(before),
        ("/", _) => Cow::Borrowed(&raw_path[end..]),
        (before, rest) => Cow::Owned(format!("{before}{rest}")),
    };
    Ok(SplitPath { path, value: Some(value), depth })
}

/// The value, when `segment` is the component; the `=` may be escaped, as players do that escape the component whole.
fn component_value<'a>(segment: &'a str, name: &str) -> Result<Option<&'a str>, Reason> {
    let literal = segment.strip_prefix(name).and_then(|rest| {
        rest.strip_prefix('=').or_else(|| rest.strip_prefix("%3d")).or_else(|| rest.strip_prefix("%3D"))
    });
    if literal.is_some() || !has(segment, b'%') {
        return Ok(literal);
    }
    let disguised = escape::decode(segment)
        .is_some_and(|decoded| decoded.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')));
    if disguised { Err(Reason::Malformed) } else { Ok(None) }
}

/// The value of the cookie `name` among the values of the `Cookie` headers, as it stands. The same value twice is one; two different
/// values are refused.
pub fn cookie<'a>(headers: impl IntoIterator<Item = &'a str>, name: &str) -> Result<Option<&'a str>, Reason> {
    let mut found: Option<&'a str> = None;
    for pair in headers.into_iter().flat_map(|header| header.split(';')) {
        let Some((key, value)) = pair.split_once('=') else { continue };
        if key.trim_matches([' ', '\t']) != name {
            continue;
        }
        let value = value.trim_matches([' ', '\t']);
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        if found.is_some_and(|earlier| earlier != value) {
            return Err(Reason::DuplicateToken);
        }
        found = Some(value);
    }
    Ok(found)
}

/// The one value among several of the same kind (query parameters, header fields): none, one, or a refusal.
pub fn sole<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Option<&'a str>, Reason> {
    let mut found: Option<&'a str> = None;
    for value in values {
        if found.is_some_and(|earlier| earlier != value) {
            return Err(Reason::DuplicateToken);
        }
        found = Some(value);
    }
    Ok(found)
}

/// To which requests a browser adds the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    #[default]
    None,
    Lax,
    Strict,
}

impl SameSite {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Lax => "Lax",
            Self::Strict => "Strict",
        }
    }
}

/// The attributes of the session's cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieSettings {
    /// Empty for a cookie of this host alone.
    pub domain: String,
    pub path: String,
    pub same_site: SameSite,
    pub secure: bool,
    pub http_only: bool,
    pub partitioned: bool,
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self {
            domain: String::new(),
            path: "/".to_owned(),
            same_site: SameSite::None,
            secure: true,
            http_only: true,
            partitioned: false,
        }
    }
}

impl CookieSettings {
    /// The value of a `Set-Cookie` header that hands the session over.
    pub fn set(&self, name: &str, session: &Session) -> String {
        self.written(name, &session.cookie_value(), session.expires())
    }

    /// The value of a `Set-Cookie` header that clears a stale session.
    pub fn clear(&self, name: &str) -> String {
        self.written(name, "expired", 0)
    }

    fn written(&self, name: &str, value: &str, expires: u64) -> String {
        // The last second that an HTTP date can write.
        const DATE_MAX: u64 = 253_402_300_799;
        let expires = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(expires.min(DATE_MAX)));
        let mut out = format!("{name}={value}");
        if !self.domain.is_empty() {
            let _ = write!(out, "; Domain={}", self.domain);
        }
        let _ = write!(out, "; Path={}; Expires={expires}; SameSite={}", self.path, self.same_site.as_str());
        for (is_set, attribute) in
            [(self.secure, "; Secure"), (self.http_only, "; HttpOnly"), (self.partitioned, "; Partitioned")]
        {
            if is_set {
                out.push_str(attribute);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
