//! `Cache-Status` (RFC 9211): how this cache came by an answer, in one member of a list.

use std::fmt::{self, Write};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The name under which this cache reports.
const NAME: &str = "sluicegate";

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forward {
    /// The property or the route does not cache.
    Bypass,
    /// The method's semantics require it.
    Method,
    UriMiss,
    /// There are answers for the URL, and the request selects none of them.
    VaryMiss,
    /// There was a fresh answer, and the request did not allow its use.
    Request,
    Stale,
    /// Some of the bytes were there.
    Partial,
}

impl Forward {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// The detail of a stale answer that was served because the origin failed.
pub const SERVED_STALE: &str = "origin-failed";

/// What a look into the cache came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Hit,
    /// From the cache, after its time.
    Stale,
    /// The origin was asked, for this request or for several.
    Miss,
    /// Another request had asked the origin already.
    Collapsed,
    /// The cache was not looked at.
    Pass,
    /// The answer was made here.
    None,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Pass => "pass",
            Self::None => "",
        }
    }
}

/// What is reported of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// It came from the cache, without the origin.
    pub is_hit: bool,
    /// Why it went forward. An answer that is no hit and did not go forward was made here: a refusal, say.
    pub forward: Option<Forward>,
    /// The origin's status, where it is another than the answer's.
    pub forward_status: Option<StatusCode>,
    /// Seconds of freshness that remain; below zero for a stale answer.
    pub ttl: Option<i64>,
    pub stored: bool,
    /// RFC 9211 §2.6: "whether this request was collapsed together with one or more other forward requests".
    pub collapsed: bool,
    /// A word of our own: why it is not stored, which tier had it. No text of a client or an origin.
    pub detail: Option<&'a str>,
}

impl CacheStatus<'_> {
    pub const fn hit(ttl: i64) -> Self {
        Self {
            is_hit: true,
            forward: None,
            forward_status: None,
            ttl: Some(ttl),
            stored: false,
            collapsed: false,
            detail: None,
        }
    }

    pub const fn forwarded(forward: Forward) -> Self {
        Self {
            is_hit: false,
            forward: Some(forward),
            forward_status: None,
            ttl: None,
            stored: false,
            collapsed: false,
            detail: None,
        }
    }

    /// An answer that was made here, and why.
    pub const fn made_here(detail: &'static str) -> CacheStatus<'static> {
        CacheStatus {
            is_hit: false,
            forward: None,
            forward_status: None,
            ttl: None,
            stored: false,
            collapsed: false,
            detail: Some(detail),
        }
    }

    /// The same in a word, for logs and metrics. A stale answer is one that was served from the cache after its time,
    /// whether or not the origin was asked first.
    pub fn outcome(&self) -> Outcome {
        match self.forward {
            _ if self.is_hit && self.ttl.is_some_and(|ttl| ttl < 0) => Outcome::Stale,
            _ if self.is_hit => Outcome::Hit,
            None => Outcome::None,
            Some(Forward::Stale) if self.detail == Some(SERVED_STALE) => Outcome::Stale,
            Some(Forward::Bypass | Forward::Method) => Outcome::Pass,
            Some(_) if self.collapsed => Outcome::Collapsed,
            Some(_) => Outcome::Miss,
        }
    }

    /// RFC 9211 §2: "The first member represents the cache closest to the origin server, and the last member
    /// represents the cache closest to the user". Ours comes behind what the caches before us have said.
    pub fn append_to(&self, response: &mut HeaderMap) {
        let mut text = String::with_capacity(48);
        if write!(text, "{self}").is_ok()
            && let Ok(value) = HeaderValue::try_from(text)
        {
            response.append(CACHE_STATUS, value);
        }
    }
}

impl fmt::Display for CacheStatus<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(NAME)?;
        if self.is_hit {
            formatter.write_str("; hit")?;
        } else if let Some(forward) = self.forward {
            write!(formatter, "; fwd={}", forward.as_str())?;
            if let Some(status) = self.forward_status {
                write!(formatter, "; fwd-status={}", status.as_u16())?;
            }
        }
        if let Some(ttl) = self.ttl {
            write!(formatter, "; ttl={ttl}")?;
        }
        if self.stored {
            formatter.write_str("; stored")?;
        }
        if self.collapsed {
            formatter.write_str("; collapsed")?;
        }
        match self.detail {
            Some(detail) if is_token(detail) => write!(formatter, "; detail={detail}"),
            Some(detail) => write_string(formatter, detail),
            None => Ok(()),
        }
    }
}

/// RFC 8941 §3.3.4: a token begins with a letter or `*`.
fn is_token(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte))
}

/// RFC 8941 §3.3.3: a string is of visible ASCII, with quotes and backslashes escaped. What is not is left
/// out.
fn write_string(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    formatter.write_str("; detail=\"")?;
    for character in text.chars().filter(|character| matches!(character, ' '..='~')) {
        if matches!(character, '"' | '\\') {
            formatter.write_str("\\")?;
        }
        write!(formatter, "{character}")?;
    }
    formatter.write_str("\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::structured;
    use super::*;

    #[test]
    fn a_hit_tells_how_long_it_is_fresh() {
        assert_eq!(CacheStatus::hit(376).to_string(), "sluicegate; hit; ttl=376");
        assert_eq!(CacheStatus::hit(-412).to_string(), "sluicegate; hit; ttl=-412");
    }

    #[test]
    fn what_was_made_here_is_neither_a_hit_nor_went_forward() {
        assert_eq!(CacheStatus::made_here("refused").to_string(), "sluicegate; detail=refused");
        assert_eq!(CacheStatus::default().to_string(), "sluicegate");
    }

    #[test]
    fn a_stale_answer_is_told_from_a_hit_and_from_a_miss() {
        assert_eq!(CacheStatus::hit(0).outcome(), Outcome::Hit);
        assert_eq!(CacheStatus::hit(-1).outcome(), Outcome::Stale);
        let failed = CacheStatus { detail: Some(SERVED_STALE), ..CacheStatus::forwarded(Forward::Stale) };
        assert_eq!(failed.outcome(), Outcome::Stale);
        assert_eq!(CacheStatus::forwarded(Forward::Stale).outcome(), Outcome::Miss);
        let joined = CacheStatus { collapsed: true, ..CacheStatus::forwarded(Forward::UriMiss) };
        assert_eq!(joined.outcome(), Outcome::Collapsed);
        assert_eq!(CacheStatus::forwarded(Forward::Method).outcome(), Outcome::Pass);
    }

    #[test]
    fn what_went_forward_tells_why_and_what_became_of_it() {
        let status = CacheStatus {
            stored: true,
            collapsed: true,
            ttl: Some(60),
            forward_status: Some(StatusCode::NOT_MODIFIED),
            ..CacheStatus::forwarded(Forward::Stale)
        };
        assert_eq!(status.to_string(), "sluicegate; fwd=stale; fwd-status=304; ttl=60; stored; collapsed");
        let status = CacheStatus { detail: Some("no-store"), ..CacheStatus::forwarded(Forward::UriMiss) };
        assert_eq!(status.to_string(), "sluicegate; fwd=uri-miss; detail=no-store");
    }

    #[test]
    fn a_detail_that_is_no_token_is_quoted() {
        let status = CacheStatus { detail: Some("a \"b\" \\ \r\n é"), ..CacheStatus::hit(0) };
        assert_eq!(status.to_string(), r#"sluicegate; hit; ttl=0; detail="a \"b\" \\  ""#);
    }

    #[test]
    fn ours_comes_behind_what_other_caches_said() {
        let mut response = HeaderMap::new();
        response.insert(CACHE_STATUS, HeaderValue::from_static("OriginCache; hit"));
        CacheStatus::forwarded(Forward::Bypass).append_to(&mut response);
        let lines: Vec<_> = response.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(lines, ["OriginCache; hit", "sluicegate; fwd=bypass"]);
    }

    proptest! {
        #[test]
        fn every_report_is_a_structured_field(
            detail in proptest::option::of(any::<String>()), ttl in -999_999_999_i64..999_999_999,
        ) {
            let status = CacheStatus { detail: detail.as_deref(), ..CacheStatus::hit(ttl) };
            let text = status.to_string();
            prop_assert!(structured::dictionary(text.as_bytes()).all(|member| member.is_some()), "{}", text);
        }
    }
}
