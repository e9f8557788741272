//! What is asked of every request before its token: HTTPS, its address, its country.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::domain::protection::{Geography, Plain, judge_address};
use crate::domain::rule::Whereabouts;
use crate::domain::rule::location::plain_host;
use crate::domain::token::reason::Reason;
use crate::geo::Geo;
use crate::geo::list::AddressList;
use crate::server::tls::mutual::{ClientDemand, Shown};

use super::error::EdgeError;
use super::property::Property;
use super::target::{Target, join};

/// The protection of one property beside its tokens.
#[derive(Debug, Default)]
pub struct Guard {
    /// A certificate that clients have to show.
    pub clients: Option<Arc<ClientDemand>>,
    pub plain: Plain,
    /// `Strict-Transport-Security`, on answers over TLS.
    pub strict_transport: Option<HeaderValue>,
    pub allowed: Option<Arc<AddressList>>,
    pub blocked: Option<Arc<AddressList>>,
    pub geography: Option<Geography>,
}

/// Where a request came from, and how.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub client: IpAddr,
    pub host: &'a str,
    pub is_secure: bool,
}

impl Guard {
    /// Judges the connection that a request came over: its handshake has to have been for this property, where that asks
    /// for a certificate of the client.
    pub(super) fn judge_connection(&self, shown: Option<&Shown>, now: Duration) -> Result<(), EdgeError> {
        match &self.clients {
            Some(demand) if !demand.is_met(shown, now) => Err(Reason::ClientCertificate.into()),
            Some(_) | None => Ok(()),
        }
    }

    /// Judges a request, in this order: HTTPS, the lists of addresses, the lists of countries and networks.
    pub fn judge(
        &self,
        arrival: Arrival<'_>,
        target: &Target<'_>,
        place: Whereabouts,
    ) -> Result<(), EdgeError> {
        if !arrival.is_secure {
            self.judge_plain(arrival, target)?;
        }
        let (allowed, blocked) = (networks(self.allowed.as_ref()), networks(self.blocked.as_ref()));
        judge_address(arrival.client, allowed.as_deref(), blocked.as_deref())?;
        if let Some(geography) = &self.geography {
            geography.judge(place)?;
        }
        Ok(())
    }

    /// RFC 9110 §15.4.9: 308 keeps the method. A token in the URL has crossed the network in the clear, which its sender has
    /// to learn; it is neither sent on nor dropped in silence.
    fn judge_plain(&self, arrival: Arrival<'_>, target: &Target<'_>) -> Result<(), EdgeError> {
        let Plain::Redirected { port } = self.plain else {
            return if self.plain == Plain::Served { Ok(()) } else { Err(Reason::NotHttps.into()) };
        };
        let host = plain_host(arrival.host).filter(|_| !target.shows_token()).ok_or(Reason::NotHttps)?;
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let place = join(&target.path, &target.plain_query);
        let location =
            HeaderValue::try_from(format!("https://{host}{port}{place}")).map_err(|_| Reason::NotHttps)?;
        let status = StatusCode::PERMANENT_REDIRECT;
        Err(EdgeError::Elsewhere { status, location, reason: Some(Reason::NotHttps) })
    }
}

fn networks(list: Option<&Arc<AddressList>>) -> Option<Arc<crate::domain::network::Networks>> {
    list.map(|list| list.networks())
}

/// Looks an address up where something asks for it.
pub fn whereabouts(geo: &Geo, property: &Property, client: IpAddr) -> Whereabouts {
    let is_asked = property.guard.geography.is_some()
        || property.ruling.rules().asks_for_whereabouts()
        || property.rules.access.asks_for_whereabouts();
    if is_asked { geo.look_up(client) } else { Whereabouts::default() }
}
