//! A request as the dialects of access tokens see it.

use std::net::IpAddr;
use std::sync::LazyLock;

use http::HeaderMap;

use crate::domain::network::Country;

/// Where a token stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    Query,
    Cookie,
    Header,
    Path,
}

/// An access token, and the request that presented it.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The value of the parameter, cookie, header or path component, transport escapes and all.
    pub value: &'a str,
    pub location: Location,
    /// The path in its normal form.
    pub path: &'a str,
    /// The path as it came, without the components of tokens.
    pub raw_path: &'a str,
    /// The query without our token parameters; empty when there is none.
    pub query: &'a str,
    pub client: IpAddr,
    /// Where the client is, where that is known.
    pub country: Option<Country>,
    /// The number of the autonomous system of the client's network, where that is known.
    pub asn: Option<u32>,
    pub head: Head<'a>,
}

/// The head of a request as the client sent it, tokens and all.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub method: &'a str,
    /// `http` or `https`, as the client used it.
    pub scheme: &'a str,
    /// Host, and port where one was given; as it came.
    pub authority: &'a str,
    /// Path and query.
    pub target: &'a str,
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// The whole query, as it came.
    pub fn query(&self) -> &'a str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The whole URL, with the tokens that stand in it.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.target)
    }
}

static NO_HEADERS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

impl<'a> Presented<'a> {
    /// A token in the query of a GET of `path` over HTTPS, without header fields: for tools that have no request.
    pub fn for_path(value: &'a str, path: &'a str, client: IpAddr) -> Self {
        let head = Head { method: "GET", scheme: "https", authority: "", target: path, headers: &NO_HEADERS };
        Self {
            value,
            location: Location::Query,
            path,
            raw_path: path,
            query: "",
            client,
            country: None,
            asn: None,
            head,
        }
    }
}
