//! The target of a request, read once: the path that is checked is the path that is used.

use std::borrow::Cow;
use std::net::IpAddr;

use http::Uri;

use crate::domain::policy;
use crate::domain::policy::access::Access;
use crate::domain::rule::Whereabouts;
use crate::domain::session::carrier;
use crate::domain::token::presented::Head;
use crate::domain::token::reason::Reason;
use crate::domain::uri::{path, query};

use super::error::EdgeError;
use super::property::{Property, QueryRule};

/// A request's target with its tokens set apart.
#[derive(Debug)]
pub struct Target<'a> {
    /// The normal path, without the tokens that stood in it.
    pub path: String,
    /// The path as it came, without them.
    pub raw_path: String,
    /// The whole query as it came.
    pub query: &'a str,
    /// The query without our token parameters: what a URL token was signed over.
    pub plain_query: Cow<'a, str>,
    /// The value of the session's component, as it came.
    pub path_token: Option<&'a str>,
    /// The access token that stood in the path, as it came.
    pub access_in_path: Option<String>,
    /// Directories between the token component and the last segment.
    pub depth: usize,
}

impl<'a> Target<'a> {
    pub fn read(uri: &'a Uri, property: &Property) -> Result<Self, EdgeError> {
        let session_name = property.rules.session_name.as_str();
        let split = carrier::split_path(uri.path(), session_name)?;
        let bare = property.rules.access.bare_path(&split.path)?;
        let path = path::normalise(&bare.path)?.into_owned();
        if property.rules.access.hides_token(&path) {
            return Err(Reason::Malformed.into());
        }
        let query = uri.query().unwrap_or_default();
        let plain_query = match &property.rules.access {
            Access::Checked(_) => query::without(query, &property.rules.token_names),
            Access::Open => Cow::Borrowed(query),
        };
        Ok(Self {
            path,
            access_in_path: bare.token.map(str::to_owned),
            raw_path: bare.path.into_owned(),
            query,
            plain_query,
            path_token: split.value,
            depth: split.depth,
        })
    }

    /// What of a request bears on admission.
    pub fn asked<'b>(&'b self, head: Head<'b>, client: IpAddr, place: Whereabouts) -> policy::Request<'b> {
        policy::Request {
            path: &self.path,
            raw_path: &self.raw_path,
            query: self.query,
            plain_query: &self.plain_query,
            headers: head.headers,
            path_token: self.path_token,
            access_in_path: self.access_in_path.as_deref(),
            head,
            client,
            country: place.country,
            asn: place.asn,
        }
    }

    /// Whether the URL shows a token, good or not.
    pub fn shows_token(&self) -> bool {
        self.path_token.is_some()
            || self.access_in_path.is_some()
            || self.plain_query.len() < self.query.len()
    }
}

/// A path with its query, when there is one.
pub fn join(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The query that is sent to the origin and stands in the cache's key: a part that is not in the key cannot change what the
/// origin answers. It is the query less what the property does not key by; CMCD (CTA-5004, `CMCD=…`) never reaches the key.
pub fn origin_query(plain: &str, rule: &QueryRule) -> String {
    let stays = |pair: &str| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        name != "CMCD"
            && match rule {
                QueryRule::Keep => true,
                QueryRule::Drop => name.starts_with("_HLS_"),
                QueryRule::Only(names) => name.starts_with("_HLS_") || names.iter().any(|kept| kept == name),
            }
    };
    if plain.split('&').all(stays) {
        return plain.to_owned();
    }
    plain.split('&').filter(|pair| stays(pair)).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmcd_never_reaches_the_origin_or_the_key() {
        assert_eq!(origin_query("a=1&CMCD=br%3D1&b=2", &QueryRule::Keep), "a=1&b=2");
        assert_eq!(origin_query("a=1&&b", &QueryRule::Keep), "a=1&&b");
    }

    #[test]
    fn dropping_the_query_keeps_the_delivery_directives() {
        assert_eq!(origin_query("a=1&_HLS_msn=4&b=2", &QueryRule::Drop), "_HLS_msn=4");
        assert_eq!(origin_query("a=1&v=2&b=2", &QueryRule::Only(vec!["v".to_owned()])), "v=2");
    }
}
