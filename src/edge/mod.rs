//! The journey of one request: every step in order, the properties, and what the steps share.

pub mod answer;
pub mod body;
pub mod error;
pub mod explain;
pub mod guard;
pub mod host;
pub mod noting;
pub mod objects;
pub mod obtain;
pub mod passage;
pub mod property;
pub mod purging;
pub mod question;
pub mod reading;
pub mod record;
pub mod ruling;
pub mod sealing;
pub mod serve;
pub mod target;
pub mod wanted;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::Clock;
use crate::domain::token::key::Secret;
use crate::geo::Geo;
use crate::store::flights::Flights;
use crate::store::playlists::Playlists;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::PropertyMetrics;

use error::{EdgeError, Statuses};
use host::HostTable;
use objects::Objects;
use obtain::Object;
use property::Property;

/// An edge: its properties and what they share.
#[derive(Debug)]
pub struct Edge {
    pub properties: HostTable<Arc<Property>>,
    pub clock: Clock,
    pub playlists: Arc<Playlists>,
    /// Everything that is no playlist.
    pub objects: Arc<Objects>,
    pub flights: Arc<Flights<Result<Object, EdgeError>>>,
    /// How long a request waits for a fetch that it shares with others.
    pub wait: Duration,
    pub log: AccessLog,
    /// Where addresses are.
    pub geo: Arc<Geo>,
    /// Peers whose forwarding header is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub client_address_header: http::HeaderName,
    /// Who proves to be an operator is told the reason of a refusal.
    pub operator_token: Option<Secret>,
    /// For requests that no property answers for.
    pub statuses: Statuses,
    pub nobody: Arc<PropertyMetrics>,
}
