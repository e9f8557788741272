//! What a property asks of an address and of a connection before any token is looked at: addresses, countries, HTTPS.
//!
//! A block list goes before an allow list. Where there is an allow list, whoever is not on it is refused, and so is who cannot
//! be placed, unless the operator says otherwise.

use http::HeaderValue;

use crate::domain::network::{Country, Networks};
use crate::domain::rule::Whereabouts;
use crate::domain::token::reason::Reason;

/// Judges an address by its lists; `allow` is `None` where no list says who may.
pub fn judge_address(
    client: std::net::IpAddr,
    allow: Option<&Networks>,
    block: Option<&Networks>,
) -> Result<(), Reason> {
    let is_blocked = block.is_some_and(|networks| networks.contains(client));
    let is_allowed = allow.is_none_or(|networks| networks.contains(client));
    if is_blocked || !is_allowed { Err(Reason::IpBlocked) } else { Ok(()) }
}

/// Which countries and networks may watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Geography {
    pub countries: Lists<Country>,
    /// Numbers of autonomous systems.
    pub asns: Lists<u32>,
}

/// Who may and who may not, by one property of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lists<T> {
    /// Empty: whoever is not blocked.
    pub allow: Vec<T>,
    pub block: Vec<T>,
    /// Whether an address passes that no database knows.
    pub passes_unknown: bool,
}

impl Geography {
    pub fn judge(&self, whereabouts: Whereabouts) -> Result<(), Reason> {
        let passes = self.countries.passes(whereabouts.country) && self.asns.passes(whereabouts.asn);
        if passes { Ok(()) } else { Err(Reason::GeoBlocked) }
    }
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { allow: Vec::new(), block: Vec::new(), passes_unknown: true }
    }
}

impl<T: PartialEq> Lists<T> {
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.block.is_empty()
    }

    fn passes(&self, found: Option<T>) -> bool {
        match found {
            _ if self.is_empty() => true,
            None => self.passes_unknown,
            Some(found) => {
                !self.block.contains(&found) && (self.allow.is_empty() || self.allow.contains(&found))
            }
        }
    }
}

/// What becomes of requests that did not come over TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plain {
    #[default]
    Served,
    Refused,
    /// Sent to the same URL over TLS, on this port. One that shows a token is refused: a token never goes into a redirect, and
    /// without it the redirect would lead to a refusal.
    Redirected {
        port: u16,
    },
}

/// The value of `Strict-Transport-Security` (RFC 6797 §6.1).
pub fn strict_transport(max_age_seconds: u64, subdomains: bool, preload: bool) -> HeaderValue {
    let mut text = format!("max-age={max_age_seconds}");
    if subdomains {
        text.push_str("; includeSubDomains");
    }
    if preload {
        text.push_str("; preload");
    }
    HeaderValue::try_from(text).expect("digits and directives are visible ASCII")
}

#[cfg(test)]
mod tests {
    use crate::domain::network;

    use super::*;

    fn country(code: &str) -> Country {
        Country::parse(code).expect("a country")
    }

    fn at(code: Option<&str>, asn: Option<u32>) -> Whereabouts {
        Whereabouts { country: code.map(country), asn }
    }

    #[test]
    fn a_block_list_goes_before_an_allow_list() {
        let set = |text: &str| Networks::new(network::network(text));
        let (allow, block) = (set("10.0.0.0/8"), set("10.6.0.0/16"));
        for (client, allow, block, passes) in [
            ("10.1.0.1", Some(&allow), Some(&block), true),
            ("10.6.0.1", Some(&allow), Some(&block), false),
            ("192.0.2.1", Some(&allow), Some(&block), false),
            ("192.0.2.1", None, Some(&block), true),
            ("::ffff:10.6.0.1", None, Some(&block), false),
            ("192.0.2.1", Some(&Networks::default()), None, false),
            ("192.0.2.1", None, None, true),
        ] {
            let judged = judge_address(client.parse().expect("an address"), allow, block);
            assert_eq!(judged.is_ok(), passes, "{client}");
        }
    }

    #[test]
    fn whoever_cannot_be_placed_is_refused_where_an_allow_list_exists_unless_told_otherwise() {
        let allow = |passes_unknown| Geography {
            countries: Lists { allow: vec![country("DE")], block: Vec::new(), passes_unknown },
            asns: Lists::default(),
        };
        assert!(allow(false).judge(at(Some("DE"), None)).is_ok());
        assert_eq!(allow(false).judge(at(Some("FR"), None)), Err(Reason::GeoBlocked));
        assert_eq!(allow(false).judge(at(None, None)), Err(Reason::GeoBlocked));
        assert!(allow(true).judge(at(None, None)).is_ok());
    }

    #[test]
    fn countries_and_networks_have_to_pass_both() {
        let rule = Geography {
            countries: Lists { allow: Vec::new(), block: vec![country("FR")], passes_unknown: true },
            asns: Lists { allow: vec![64500], block: Vec::new(), passes_unknown: false },
        };
        assert!(rule.judge(at(None, Some(64500))).is_ok());
        assert!(rule.judge(at(Some("FR"), Some(64500))).is_err());
        assert!(rule.judge(at(Some("DE"), Some(64501))).is_err());
        assert!(Geography::default().judge(at(None, None)).is_ok(), "no list, no question");
    }

    #[test]
    fn strict_transport_is_said_as_rfc_6797_has_it() {
        assert_eq!(strict_transport(300, false, false), "max-age=300");
        assert_eq!(strict_transport(31_536_000, true, true), "max-age=31536000; includeSubDomains; preload");
    }
}
