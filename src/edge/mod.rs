//! The journey of one request: every step in order, the properties, and what the steps share.

pub mod answer;
pub mod body;
pub mod change;
pub mod error;
pub mod explain;
pub mod guard;
pub mod host;
pub mod looking;
pub mod methods;
pub mod moved;
pub mod noting;
pub mod objects;
pub mod obtain;
pub mod passage;
pub mod prefetch;
pub mod property;
pub mod purge_order;
pub mod purging;
pub mod question;
pub mod rate;
pub mod reading;
pub mod record;
pub mod resting;
pub mod ruling;
pub mod sealing;
pub mod serve;
pub mod shield;
pub mod slices;
pub mod spans;
pub mod standing;
pub mod target;
pub mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::clock::Clock;
use crate::domain::rate::Rate;
use crate::domain::token::key::Secret;
use crate::fleet::Fleet;
use crate::geo::Geo;
use crate::server::challenges::Challenges;
use crate::store::flights::Flights;
use crate::store::playlists::Playlists;
use crate::store::purge::Scope;
use crate::store::recent::Recent;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::PropertyMetrics;

use error::{EdgeError, Statuses};
use host::HostTable;
use objects::Objects;
use obtain::Object;
use property::Property;
use rate::Rates;

/// An edge: its properties and what they share.
#[derive(Debug)]
pub struct Edge {
    pub terms: ArcSwap<Terms>,
    pub clock: Clock,
    pub playlists: Arc<Playlists>,
    /// Everything that is no playlist.
    pub objects: Arc<Objects>,
    pub flights: Arc<Flights<Result<Object, EdgeError>>>,
    /// Objects that are not sliced, as was found out of late, and those that are fetched as a whole.
    pub ways: Recent,
    /// How many requests addresses make, where that is limited.
    pub rates: Rates,
    /// How long a request waits for a fetch that it shares with others.
    pub wait: Duration,
    /// What is shared with other edges: revocations, seats, one-time tokens.
    pub fleet: Arc<Fleet>,
    /// What authorities ask for over plain HTTP, to verify a name.
    pub challenges: Arc<Challenges>,
    pub log: AccessLog,
    pub nobody: Arc<PropertyMetrics>,
}

/// What a reload of the configuration replaces, all of it at once: a request goes by the terms under which it began.
#[derive(Debug)]
pub struct Terms {
    pub properties: HostTable<Arc<Property>>,
    /// Where addresses are.
    pub geo: Arc<Geo>,
    /// Peers whose forwarding header is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub client_address_header: http::HeaderName,
    /// Who proves to be an operator is told the reason of a refusal.
    pub operator_token: Option<Secret>,
    /// For requests that no property answers for.
    pub statuses: Statuses,
    /// How many requests an address may make; `None` for as many as it likes.
    pub rate: Option<Rate>,
}

impl Terms {
    /// The properties, each once, by name.
    pub fn by_name(&self) -> BTreeMap<Arc<str>, Arc<Property>> {
        self.properties.values().map(|property| (property.name.clone(), property.clone())).collect()
    }
}

impl Edge {
    /// Goes by `terms` from the next request on. Playlists were compiled under the old ones and are forgotten.
    pub fn adopt(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
        // What is being fetched under the old terms is not kept.
        self.objects.tiers().purges().begin(&Scope::All);
        self.playlists.purge(&Scope::All);
    }
}
