//! What is asked of the origin: a place, and in whose name. Header fields are made only when the origin is asked.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, HeaderName, HeaderValue, VIA};
use http::{HeaderMap, Method};

use crate::domain::headers::change;
use crate::domain::headers::forwarding::{self, Viewer};
use crate::domain::headers::hop;
use crate::domain::headers::listed;
use crate::domain::manifest::encoding::{self, Coding};
use crate::domain::rule::token::TokenResult;
use crate::domain::rule::{Facts, Whereabouts};

use crate::store::purge::Purges;
use crate::telemetry::metrics::Kind;

use super::noting::kind_by_name;
use super::property::Property;
use super::ruling::Treatment;
use super::sealing;
use super::shield;
use super::spans::Traced;
use super::target::{join, origin_query};

/// What does not reach the origin: the operators' token, and what a player tells of itself with each request (CTA-5004 §2.1),
/// which is not keyed by, so that no origin may answer by it.
static OURS_ALONE: [HeaderName; 6] = [
    shield::FROM_AN_EDGE,
    HeaderName::from_static("sluicegate-debug"),
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
    /// What rules say of it.
    pub treatment: Option<Arc<Treatment>>,
    /// Whether it is served at another URL than its own, to which a redirect of the origin's led: its references are said
    /// from the root of the site then.
    pub is_moved: bool,
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
    pub whereabouts: Whereabouts,
    /// The result of the token check, for the origin of a property that only verifies.
    pub token: TokenResult,
    /// The viewer's session, for an edge behind this one.
    pub session: Option<HeaderValue>,
    /// Where it is in its trace, where there are traces.
    pub traced: Option<Traced>,
    pub purges: PurgesThen<'a>,
    /// How many purges that may cover the place had begun when it came: an answer to it is no newer than that.
    pub purges_begun: u64,
}

/// The purges as they stood when a request came.
#[derive(Clone, Copy, Debug)]
pub struct PurgesThen<'a> {
    purges: &'a Purges,
    of_many: u64,
}

impl<'a> PurgesThen<'a> {
    /// To be called before anything is looked at: the terms, too, since a reload purges.
    pub fn read(purges: &'a Purges) -> Self {
        Self { purges, of_many: purges.of_many_begun() }
    }

    pub fn begun_for(&self, place: &Place) -> u64 {
        self.of_many + self.purges.of_one_begun(&place.path, &place.query)
    }
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
        let variant = self.treatment.as_ref().map_or("", |treatment| &treatment.variant);
        let mark = if variant.is_empty() { "" } else { "\n" };
        let moved = if self.is_moved { "\nmoved" } else { "" };
        let key =
            [&*property.name, "\n", &self.site, "\n", &self.path, "?", &self.query, mark, variant, moved]
                .concat();
        match sealing::stored_seal(property, &self.path) {
            Some(seal) => [&key, "\nsealed ", &seal.id()].concat(),
            None => key,
        }
    }

    /// Whether rules let answers be kept.
    pub fn may_be_kept(&self) -> bool {
        self.treatment.as_ref().and_then(|treatment| treatment.cache.is_kept).unwrap_or(true)
    }

    /// RFC 8216bis §6.2.5.2: a blocking playlist reload is held back until its part is there.
    pub fn is_blocking(&self) -> bool {
        self.query.split('&').any(|pair| pair.starts_with("_HLS_msn="))
    }
}

impl Wanted<'_> {
    /// Whether the answer may be given to others: nothing that reaches the origin tells of its sender, save
    /// `Authorization`, with which HTTP's own rules deal.
    pub fn is_shareable(&self, property: &Property) -> bool {
        let listed = &property.upstream(&self.place).cookies_forwarded;
        let shows_cookies = !listed.is_empty() && forwarding::cookies(self.client, listed).next().is_some();
        let tells_result = property.rules.access.is_verify_only() && property.result_header.is_some();
        let shows_viewer = shows_cookies || tells_result;
        !shows_viewer && self.place.may_be_kept()
    }

    /// What rules are matched against, for a document of this viewer's.
    fn facts<'b>(&'b self, path: &'b str) -> Facts<'b> {
        Facts {
            path,
            host: self.viewer.host,
            method: &Method::GET,
            headers: self.client,
            client: self.viewer.address,
            whereabouts: self.whereabouts,
            token: self.token,
        }
    }

    /// The client's header fields as the origin may see them: no hop-by-hop field, no token, no cookie that is not
    /// listed, and the viewer described anew.
    pub fn headers(&self, property: &Property) -> HeaderMap {
        let mut headers = self.client.clone();
        hop::strip(&mut headers);
        if headers.keys().any(|name| property.rules.token_names.iter().any(|token| name == token.as_str())) {
            for name in &property.rules.token_names {
                headers.remove(name.as_str());
            }
        }
        if let Some(name) = &property.result_header {
            change::remove_alike(&mut headers, name.as_str());
        }
        listed::remove(&mut headers, &OURS_ALONE);
        let upstream = property.upstream(&self.place);
        forwarding::remove_private(&mut headers, &upstream.cookies_forwarded);
        forwarding::describe(&mut headers, upstream.forwarded, self.viewer);
        headers.append(VIA, HeaderValue::from_static("1.1 sluicegate"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(self.coding()));
        if let Some(name) = property.result_header.as_ref().filter(|_| property.rules.access.is_verify_only())
        {
            headers.insert(name.clone(), HeaderValue::from_static(self.token.as_str()));
        }
        if let Some(session) = self.session.as_ref().filter(|_| upstream.pass_session) {
            shield::show(&mut headers, &property.rules.session_name, session);
        }
        if let Some(traced) = &self.traced {
            traced.tell(&mut headers);
        }
        if let Some(treatment) = &self.place.treatment {
            treatment.request.apply_to_request(&mut headers);
        }
        headers
    }

    /// The one content coding that the origin is offered: few values, so that what it varies by them is little.
    pub fn coding(&self) -> &'static str {
        let accepted = self.client.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        encoding::choose(accepted, &CODINGS).name().unwrap_or("identity")
    }

    /// The same request at the place to which the origin's redirect led.
    #[must_use]
    pub fn moved_to(&self, place: Place) -> Self {
        let purges_begun = self.purges.begun_for(&place);
        Self { kind: kind_by_name(&place.path), place, purges_begun, ..self.clone() }
    }

    /// Another document on the same site, for the same viewer.
    #[must_use]
    pub fn beside(&self, property: &Property, path: String, raw_query: &str) -> Self {
        let treatment = property.ruling.treatment_of(&self.facts(&path));
        let query = origin_query(raw_query, property.query_rule(treatment.as_deref()));
        let place = Place { site: self.place.site.clone(), path, query, treatment, is_moved: false };
        let purges_begun = self.purges.begun_for(&place);
        Self { place, purges_begun, method: Method::GET, ..self.clone() }
    }
}
