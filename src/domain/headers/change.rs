//! Header fields that an operator sets or removes, less those that the edge answers for.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Which side a change is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request as the origin gets it.
    Request,
    /// The answer as the client gets it.
    Response,
}

/// A change that was checked: first fields are removed, then set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub removed: Vec<HeaderName>,
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// Fields of one hop, and of the message's own frame: on neither side.
const FRAME: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "via",
    "date",
    "host",
];

/// What the edge says of the viewer and of what it wants, or keeps from the origin.
const OF_REQUESTS: [&str; 18] = [
    "accept-encoding",
    "authorization",
    "cookie",
    "expect",
    "forwarded",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "referer",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
];

/// What keeps an answer whole, safe and one viewer's own.
const OF_ANSWERS: [&str; 17] = [
    "accept-ranges",
    "age",
    "cache-status",
    "content-encoding",
    "content-range",
    "etag",
    "last-modified",
    "location",
    "set-cookie",
    "strict-transport-security",
    "timing-allow-origin",
    "vary",
    "x-request-id",
    "proxy-status",
    "alt-svc",
    "clear-site-data",
    "refresh",
];

/// Fields that allow or forbid keeping: on an answer for one viewer they stay as the edge wrote them.
const OF_CACHING: [&str; 5] =
    ["cache-control", "cdn-cache-control", "surrogate-control", "expires", "pragma"];

/// Whether only the edge may write this field.
pub fn is_ours(name: &HeaderName, side: Side) -> bool {
    let name = name.as_str();
    let ours: &[&str] = match side {
        Side::Request => &OF_REQUESTS,
        Side::Response => &OF_ANSWERS,
    };
    FRAME.contains(&name)
        || ours.contains(&name)
        || name.starts_with("sluicegate-")
        || (side == Side::Response && name.starts_with("access-control-"))
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.set.is_empty()
    }

    /// Takes over from a later change what it says of fields that this one does not speak of.
    pub fn take_from(&mut self, later: &Self) {
        let own: Vec<HeaderName> =
            self.removed.iter().chain(self.set.iter().map(|(name, _)| name)).cloned().collect();
        self.removed.extend(later.removed.iter().filter(|name| !own.contains(name)).cloned());
        self.set.extend(later.set.iter().filter(|(name, _)| !own.contains(name)).cloned());
    }

    /// Changes a request for the origin. Fields of the client's that the origin may take for one that is set go, too.
    pub fn apply_to_request(&self, headers: &mut HeaderMap) {
        for name in self.removed.iter().chain(self.set.iter().map(|(name, _)| name)) {
            remove_alike(headers, name.as_str());
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Changes an answer; one that is for one viewer keeps what it says of caching.
    pub fn apply_to_answer(&self, headers: &mut HeaderMap, is_for_one: bool) {
        let may = |name: &HeaderName| !is_for_one || !OF_CACHING.contains(&name.as_str());
        for name in self.removed.iter().filter(|name| may(name)) {
            headers.remove(name);
        }
        for (name, value) in self.set.iter().filter(|(name, _)| may(name)) {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Removes a field in every spelling that an origin may read as the same: gateways turn all that is no letter or digit into
/// an underscore (RFC 3875 §4.1.18), so that `Sluicegate_Token` would pass for `Sluicegate-Token`.
pub fn remove_alike(headers: &mut HeaderMap, name: &str) {
    let is_alike = |other: &HeaderName| {
        other.as_str().len() == name.len()
            && other.as_str().bytes().zip(name.bytes()).all(|(one, other)| folded(one) == folded(other))
    };
    // Most requests have none: they are looked through, and nothing is copied.
    while let Some(alike) = headers.keys().find(|key| is_alike(key)).cloned() {
        headers.remove(alike);
    }
}

fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn change(removed: &[&'static str], set: &[(&'static str, &'static str)]) -> Change {
        let set =
            set.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Change {
            removed: removed.iter().map(|name| HeaderName::from_static(name)).collect(),
            set: set.collect(),
        }
    }

    #[test]
    fn a_field_is_removed_in_every_spelling_that_a_gateway_folds() {
        let mut sent = headers(&[
            ("sluicegate-token", "valid"),
            ("sluicegate_token", "valid"),
            ("sluicegate.token", "valid"),
            ("sluicegate-tokens", "stays"),
            ("sluicegatetoken", "stays"),
        ]);
        remove_alike(&mut sent, "sluicegate-token");
        let mut left: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["sluicegate-tokens", "sluicegatetoken"]);
    }

    #[test]
    fn what_a_client_sent_does_not_pass_for_what_is_set() {
        let mut sent = headers(&[("x-plan", "gold"), ("x_plan", "gold"), ("x-other", "1")]);
        change(&["x-other"], &[("x-plan", "free")]).apply_to_request(&mut sent);
        assert_eq!(sent, headers(&[("x-plan", "free")]));
    }

    #[test]
    fn an_answer_for_one_viewer_keeps_what_it_says_of_caching() {
        let change = change(&["expires", "server"], &[("cache-control", "public"), ("x-a", "1")]);
        let fields = [("cache-control", "private, no-store"), ("expires", "0"), ("server", "x")];
        let mut personal = headers(&fields);
        change.apply_to_answer(&mut personal, true);
        assert_eq!(
            personal,
            headers(&[("cache-control", "private, no-store"), ("expires", "0"), ("x-a", "1")])
        );
        let mut shared = headers(&fields);
        change.apply_to_answer(&mut shared, false);
        assert_eq!(shared, headers(&[("cache-control", "public"), ("x-a", "1")]));
    }

    #[test]
    fn the_frame_of_a_message_and_the_edges_own_words_are_ours() {
        for name in ["connection", "transfer-encoding", "content-length", "sluicegate-token", "host"] {
            for side in [Side::Request, Side::Response] {
                assert!(is_ours(&HeaderName::from_static(name), side), "{name}");
            }
        }
        let ours = |name, side| is_ours(&HeaderName::from_static(name), side);
        assert!(ours("access-control-allow-origin", Side::Response) && ours("set-cookie", Side::Response));
        assert!(ours("strict-transport-security", Side::Response) && ours("cookie", Side::Request));
        assert!(!ours("cache-control", Side::Response) && !ours("user-agent", Side::Request));
    }
}
