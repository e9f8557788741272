//! Whether a client's address is the one that a token names.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::domain::uri::escape;

/// How much of an address has to agree, in bits; the whole of it by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressMatch {
    pub v4_bits: u8,
    pub v6_bits: u8,
}

impl AddressMatch {
    pub const EXACT: Self = Self { v4_bits: 32, v6_bits: 128 };

    /// Whether `named`, the text of a token's `ip` field, and `client` agree. Text that is no address agrees with nothing.
    pub fn agrees(self, named: &str, client: IpAddr) -> bool {
        match (parse(named), client.to_canonical()) {
            (Some(IpAddr::V4(named)), IpAddr::V4(client)) => {
                let differing = u32::from(named) ^ u32::from(client);
                differing.leading_zeros() >= u32::from(self.v4_bits)
            }
            (Some(IpAddr::V6(named)), IpAddr::V6(client)) => {
                let differing = u128::from(named) ^ u128::from(client);
                differing.leading_zeros() >= u32::from(self.v6_bits)
            }
            (Some(_) | None, _) => false,
        }
    }
}

impl Default for AddressMatch {
    fn default() -> Self {
        Self::EXACT
    }
}

/// The address that a token's text names: escaped once at most, an IPv4-mapped IPv6 address as the IPv4 address it is.
pub fn parse(named: &str) -> Option<IpAddr> {
    let named = escape::decode(named)?;
    named.parse::<IpAddr>().ok().or_else(|| bracketed(&named)).map(|address| address.to_canonical())
}

/// Whether `client` is in one of the networks that stand in `networks`, separated by commas. Text that is no network holds
/// nobody.
pub fn in_networks(networks: &str, client: IpAddr) -> bool {
    networks
        .split(',')
        .filter_map(|network| network.parse::<IpNet>().ok())
        .any(|network| holds(&network, client))
}

/// Whether a network holds an address; an IPv4-mapped IPv6 address is the IPv4 address it is.
pub fn holds(network: &IpNet, client: IpAddr) -> bool {
    network.contains(&client.to_canonical())
}

fn bracketed(named: &str) -> Option<IpAddr> {
    named.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees(named: &str, client: &str) -> bool {
        AddressMatch::EXACT.agrees(named, client.parse().unwrap())
    }

    #[test]
    fn equal_addresses_agree_in_every_regular_spelling() {
        assert!(agrees("203.0.113.7", "203.0.113.7"));
        assert!(agrees("203.0.113.7", "::ffff:203.0.113.7"));
        assert!(agrees("::ffff:203.0.113.7", "203.0.113.7"));
        assert!(agrees("2001:DB8:0:0::1", "2001:db8::1"));
        assert!(agrees("2001%3adb8%3a%3a1", "2001:db8::1"));
    }

    #[test]
    fn odd_spellings_never_agree() {
        for odd in [
            "203.0.113.007",
            "0313.0.0161.07",
            "3405803783",
            "203.0.113",
            " 203.0.113.7",
            "203.0.113.7/24",
            "",
            "%zz",
        ] {
            assert!(!agrees(odd, "203.0.113.7"), "{odd}");
        }
    }

    #[test]
    fn a_client_is_in_one_of_the_networks() {
        let within = |networks: &str, client: &str| in_networks(networks, client.parse().unwrap());
        assert!(within("203.0.113.0/24,2001:db8::/32", "203.0.113.7"));
        assert!(within("203.0.113.0/24,2001:db8::/32", "2001:db8::1"));
        assert!(within("203.0.113.0/24", "::ffff:203.0.113.7"));
        assert!(!within("203.0.113.0/24,2001:db8::/32", "203.0.114.7"));
        assert!(
            !within(",", "203.0.113.7") && !within("203.0.113.7", "203.0.113.7") && !within("*/0,x", "::1")
        );
    }

    #[test]
    fn a_prefix_is_enough_when_configured() {
        let by_prefix = AddressMatch { v4_bits: 24, v6_bits: 64 };
        assert!(by_prefix.agrees("203.0.113.7", "203.0.113.200".parse().unwrap()));
        assert!(!by_prefix.agrees("203.0.113.7", "203.0.114.7".parse().unwrap()));
        assert!(by_prefix.agrees("2001:db8::1", "2001:db8::ffff".parse().unwrap()));
        assert!(!by_prefix.agrees("2001:db8::1", "2001:db8:0:1::1".parse().unwrap()));
        assert!(!by_prefix.agrees("::", "0.0.0.0".parse().unwrap()));
    }
}
