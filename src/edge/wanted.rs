//! What is asked of the origin: a place, and in whose name. Header fields are made only when the origin is asked.

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName, HeaderValue, VIA};
use http::{HeaderMap, Method};

use crate::domain::headers::forwarding::{self, Viewer};
use crate::domain::headers::hop;
use crate::domain::manifest::encoding::{self, Coding};

use crate::telemetry::metrics::Kind;

use super::property::Property;
use super::sealing;
use super::target::join;

/// The result of the token check, told to the origin: no client can send it, since it is removed first.
const TOKEN_RESULT: HeaderName = HeaderName::from_static("sluicegate-token");

/// What a player tells of itself with each request (CTA-5004 §2.1). It is not keyed by, so that it cannot reach an origin
/// that might answer by it.
const CMCD: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-status"),
    HeaderName::from_static("cmcd-session"),
];

/// The content codings that are understood, the preferred first, by what they cost for a playlist.
pub const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Gzip, Coding::Br];

/// A document of a property: where the client thinks it is (`https://host:port`), its normal path, and the query that
/// reaches the origin.
#[derive(Clone, Debug)]
pub struct Place {
    pub site: String,
    pub path: String,
    pub query: String,
}

/// A request as the origin gets it.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub place: Place,
    pub method: Method,
    /// What it is for, by its name.
    pub kind: Kind,
    /// The client's header fields as they came.
    pub client: &'a HeaderMap,
    pub viewer: Viewer<'a>,
    /// The result of the token check in a word, for the origin of a property that only verifies.
    pub token_result: &'static str,
    /// How many purges had begun when it came: an answer to it is no newer than that.
    pub purges_begun: u64,
}

impl Place {
    pub fn path_and_query(&self) -> String {
        join(&self.path, &self.query)
    }

    /// The URL as the client sees it, without tokens.
    pub fn url(&self) -> String {
        format!("{}{}", self.site, self.path_and_query())
    }

    /// The key of the store. Sites are apart: a template holds for one, and so may what an origin answers.
    pub fn key(&self, property: &Property) -> String {
        let key = [&*property.name, "\n", &self.site, "\n", &self.path, "?", &self.query].concat();
        match sealing::stored_seal(property, &self.path) {
            Some(seal) => [&key, "\nsealed ", &seal.id()].concat(),
            None => key,
        }
    }

    /// RFC 8216bis §6.2.5.2: a blocking playlist reload is held back until its part is there.
    pub fn is_blocking(&self) -> bool {
        self.query.split('&').any(|pair| pair.starts_with("_HLS_msn="))
    }
}

impl Wanted<'_> {
    /// Whether the answer may be given to others: nothing that reaches the origin tells of its sender.
    pub fn is_shareable(&self, property: &Property) -> bool {
        let shows_cookies = !property.cookies_forwarded.is_empty()
            && forwarding::cookies(self.client, &property.cookies_forwarded).next().is_some();
        !shows_cookies && !self.client.contains_key(AUTHORIZATION) && !property.rules.access.is_verify_only()
    }

    /// The client's header fields as the origin may see them: no hop-by-hop field, no token, no cookie that is not
    /// listed, and the viewer described anew.
    pub fn headers(&self, property: &Property) -> HeaderMap {
        let mut headers = self.client.clone();
        hop::strip(&mut headers);
        for name in &property.rules.token_names {
            headers.remove(name.as_str());
        }
        headers.remove(TOKEN_RESULT);
        headers.remove("sluicegate-debug");
        for name in CMCD {
            headers.remove(name);
        }
        forwarding::remove_private(&mut headers, &property.cookies_forwarded);
        forwarding::describe(&mut headers, property.forwarded, self.viewer);
        headers.append(VIA, HeaderValue::from_static("1.1 sluicegate"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(self.coding()));
        if property.rules.access.is_verify_only() {
            headers.insert(TOKEN_RESULT, HeaderValue::from_static(self.token_result));
        }
        headers
    }

    /// The one content coding that the origin is offered: few values, so that what it varies by them is little.
    pub fn coding(&self) -> &'static str {
        let accepted = self.client.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        encoding::choose(accepted, &CODINGS).name().unwrap_or("identity")
    }

    /// Another document on the same site, for the same viewer.
    #[must_use]
    pub fn beside(&self, path: String, query: String) -> Self {
        let place = Place { site: self.place.site.clone(), path, query };
        Self { place, method: Method::GET, ..self.clone() }
    }
}
