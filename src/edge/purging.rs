//! Purging what an operator names: a URL as viewers ask for it becomes the keys under which its answers are kept.
//!
//! The property is found by the host, and then all its sites are meant: by either scheme, under every host and port by
//! which viewers reach it. One origin stands behind them, and a purge that leaves a copy under another name is none.

use http::Uri;

use crate::domain::uri::path;
use crate::store::purge::{Depth, Purge, Scope};
use crate::telemetry::redact;

use super::error::EdgeError;
use super::host::split_port;
use super::property::Property;
use super::target::{Target, origin_query};
use super::{Edge, Terms};

/// What is to be purged, as an operator says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One URL, with all its variants.
    Url(String),
    /// All URLs that begin so.
    Prefix(String),
    /// All that carry this surrogate key.
    Tag(String),
    All,
}

/// How many objects a purge took out, or marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    pub in_memory: usize,
    pub on_disk: usize,
    pub playlists: usize,
}

impl Purged {
    fn add(&mut self, other: Self) {
        self.in_memory += other.in_memory;
        self.on_disk += other.on_disk;
        self.playlists += other.playlists;
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    #[error("there is no property \"{0}\"")]
    Property(String),
    #[error("the host of the URL belongs to the property \"{0}\"")]
    Other(String),
    #[error("is missing; a path alone needs it")]
    Unnamed,
    /// Which is not repeated: a token may stand in it.
    #[error("is no URL; write it as viewers ask for it: https://host/path")]
    Form,
    #[error("no property answers for the host \"{0}\"")]
    Host(String),
    #[error("{0}")]
    Target(EdgeError),
    #[error("a prefix has no query and no fragment")]
    Query,
    #[error("a surrogate key is one word")]
    Tag,
}

impl Edge {
    /// Purges from memory, disk and the playlists, and from what is on its way there. A soft purge leaves objects in
    /// memory, marked stale; playlists and what lies on disk go in any case.
    pub async fn purge(&self, what: &What, property: Option<&str>, soft: bool) -> Result<Purged, PurgeError> {
        let mut purged = Purged::default();
        let scopes = self.terms.load().scopes(what, property)?;
        for scope in scopes {
            purged.add(self.purge_scope(scope, soft).await);
        }
        self.objects.tiers().counters().purges.one();
        Ok(purged)
    }

    async fn purge_scope(&self, scope: Scope, soft: bool) -> Purged {
        let depth = if soft { Depth::Soft(self.clock.now()) } else { Depth::Hard };
        let purged = self.objects.purge(&Purge { scope: scope.clone(), depth }).await;
        let playlists = self.playlists.clone();
        let named = scope.clone();
        // It looks at every playlist.
        let gone = tokio::task::spawn_blocking(move || playlists.purge(&named)).await.unwrap_or(0);
        let counters = self.objects.tiers().counters();
        counters.purged_on_disk.add(purged.on_disk as u64);
        counters.purged_playlists.add(gone as u64);
        tracing::info!(
            scope = self.in_words(&scope),
            soft,
            memory = purged.in_memory,
            disk = purged.on_disk,
            playlists = gone,
            "purged"
        );
        Purged { in_memory: purged.in_memory, on_disk: purged.on_disk, playlists: gone }
    }

    /// A scope for the log. An operator may have named a URL with a token in it.
    fn in_words(&self, scope: &Scope) -> String {
        let terms = self.terms.load();
        let properties = terms.properties.values();
        let names: Vec<&String> = properties.flat_map(|property| &property.rules.token_names).collect();
        redact::text(&format!("{scope:?}"), &names).to_owned()
    }
}

impl Terms {
    /// What is meant: one scope, or one for each query under which rules may have a URL kept.
    pub(super) fn scopes(&self, what: &What, property: Option<&str>) -> Result<Vec<Scope>, PurgeError> {
        let named = property.map(|name| self.named(name)).transpose()?;
        let within = named.map(|property| Scope::Prefix(format!("{}\n", property.name).into()));
        match what {
            What::All => Ok(vec![within.unwrap_or(Scope::All)]),
            What::Tag(tag) => {
                if tag.is_empty() || tag.contains(|c: char| c.is_ascii_whitespace()) {
                    return Err(PurgeError::Tag);
                }
                let tag = Scope::Tag(tag.as_str().into());
                Ok(vec![match within {
                    Some(within) => Scope::AllOf([within, tag].into()),
                    None => tag,
                }])
            }
            What::Url(url) => {
                let (property, rest) = self.place(url, named)?;
                let uri: Uri = rest.parse().map_err(|_| PurgeError::Form)?;
                let target = Target::read(&uri, property).map_err(PurgeError::Target)?;
                let mut keyed: Vec<String> = property
                    .query_rules()
                    .map(|rule| format!("{}?{}", target.path, origin_query(&target.plain_query, rule)))
                    .collect();
                keyed.sort_unstable();
                keyed.dedup();
                let scope = |name: String| Scope::Name { space: (*property.name).into(), name: name.into() };
                Ok(keyed.into_iter().map(scope).collect())
            }
            What::Prefix(url) => {
                let (property, rest) = self.place(url, named)?;
                if rest.contains(['?', '#']) {
                    return Err(PurgeError::Query);
                }
                let start = path::normalise(rest).map_err(|error| PurgeError::Target(error.into()))?;
                Ok(vec![Scope::Names { space: (*property.name).into(), start: (*start).into() }])
            }
        }
    }

    fn named(&self, name: &str) -> Result<&Property, PurgeError> {
        let mut all = self.properties.values();
        let found = all.find(|property| *property.name == *name);
        found.map(|property| &**property).ok_or_else(|| PurgeError::Property(name.to_owned()))
    }

    /// The property that a URL belongs to, and its path and query. A path alone belongs to the property that is named.
    fn place<'a>(
        &'a self,
        url: &'a str,
        named: Option<&'a Property>,
    ) -> Result<(&'a Property, &'a str), PurgeError> {
        if url.starts_with('/') {
            return named.map(|property| (property, url)).ok_or(PurgeError::Unnamed);
        }
        let (scheme, rest) = url.split_once("://").ok_or(PurgeError::Form)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(PurgeError::Form);
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) =
            split_port(authority).filter(|(host, _)| !host.is_empty()).ok_or(PurgeError::Form)?;
        let selected = self.properties.select(host, port);
        let selected = selected.ok_or_else(|| PurgeError::Host(host.to_owned()))?;
        if named.is_some_and(|named| named.name != selected.name) {
            return Err(PurgeError::Other(selected.name.to_string()));
        }
        match rest {
            "" => Ok((selected, "/")),
            rest if rest.starts_with('/') => Ok((selected, rest)),
            _ => Err(PurgeError::Form),
        }
    }
}
