//! Sets of networks, and whether one holds an address: a hundred thousand of them cost a search of seventeen steps.
//!
//! Networks become ranges, overlapping ones are joined, and a sorted list of ranges is searched by halves. IPv4-mapped IPv6
//! is IPv4 on both sides, so that one spelling of an address is as good as the other.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// A country by ISO 3166-1: two letters, in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// A line of a list that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \"{text}\" is neither an address nor a network")]
pub struct ListError {
    pub line: usize,
    pub text: String,
}

impl Networks {
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let mut set = Self::default();
        for network in networks {
            match canonical(network) {
                IpNet::V4(net) => set.v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => set.v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        set.v4 = joined(set.v4);
        set.v6 = joined(set.v6);
        set
    }

    /// A list as files have it: one address or network a line; empty lines, and what follows `#`, say nothing.
    pub fn from_list(text: &str) -> Result<Self, ListError> {
        let mut networks = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            let refused = || ListError { line: index + 1, text: entry.chars().take(64).collect() };
            networks.push(network(entry).ok_or_else(refused)?);
        }
        Ok(Self::new(networks))
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.v4, address.to_bits()),
            IpAddr::V6(address) => is_in(&self.v6, address.to_bits()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The number of separate ranges.
    pub fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { v4: joined([&*self.v4, &other.v4].concat()), v6: joined([&*self.v6, &other.v6].concat()) }
    }
}

/// An address or a network as people write it.
pub fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().ok();
    net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(canonical)
}

/// Whom an address counts as: itself for IPv4 (also when mapped into IPv6), its /64 for IPv6, which is the least that one
/// customer is given.
pub fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// A network of IPv4-mapped addresses as the IPv4 network that it is.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(net) = network else { return network };
    let mapped = net.network().to_ipv4_mapped().filter(|_| net.prefix_len() >= 96);
    match mapped.and_then(|address| Ipv4Net::new(address, net.prefix_len() - 96).ok()) {
        Some(net) => IpNet::V4(net),
        None => network,
    }
}

/// The ranges in order, overlapping ones joined.
fn joined<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            Some(_) | None => out.push((first, last)),
        }
    }
    out.shrink_to_fit();
    out
}

fn is_in<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= address);
    after > 0 && address <= ranges[after - 1].1
}

impl Country {
    /// Two letters, in any case.
    pub fn parse(code: &str) -> Option<Self> {
        match code.as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
                Some(Self([first.to_ascii_uppercase(), second.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters")
    }
}

impl std::fmt::Display for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(networks: &[&str]) -> Networks {
        Networks::new(networks.iter().map(|text| network(text).expect("a network")))
    }

    fn holds(networks: &[&str], address: &str) -> bool {
        set(networks).contains(address.parse().expect("an address"))
    }

    #[test]
    fn the_ends_of_a_network_are_in_it_and_their_neighbours_are_not() {
        for (address, is_in) in [
            ("10.1.2.0", true),
            ("10.1.2.255", true),
            ("10.1.1.255", false),
            ("10.1.3.0", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(holds(&["10.1.2.77/24"], address), is_in, "{address}");
        }
        assert!(holds(&["2001:db8::/32"], "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
        assert!(!holds(&["2001:db8::/32"], "2001:db9::"));
        assert!(holds(&["0.0.0.0/0"], "255.255.255.255") && holds(&["::/0"], "::"));
    }

    #[test]
    fn ipv4_mapped_addresses_and_networks_are_ipv4() {
        assert!(holds(&["192.0.2.0/24"], "::ffff:192.0.2.9"));
        assert!(holds(&["::ffff:192.0.2.0/120"], "192.0.2.9"));
        assert!(holds(&["::ffff:192.0.2.9"], "192.0.2.9"));
        assert!(!holds(&["::/0"], "192.0.2.9"), "all of IPv6 is not IPv4");
    }

    #[test]
    fn a_list_names_the_line_that_is_wrong() {
        let text = "# offices\n10.0.0.0/8\n\n  2001:db8::1  # one machine\n10.0.0.0/33\n";
        let error = Networks::from_list(text).expect_err("a fault");
        assert_eq!(error.to_string(), "line 5: \"10.0.0.0/33\" is neither an address nor a network");
        let good = Networks::from_list(&text.replace("/33", "/32")).expect("a list");
        assert_eq!(good.ranges(), 2, "what lies in another is joined");
        assert_eq!(Networks::from_list("010.0.0.1\n").expect_err("a fault").line, 1, "no octal");
    }

    #[test]
    fn a_country_is_two_letters() {
        assert_eq!(Country::parse("de").expect("a country").as_str(), "DE");
        for text in ["", "D", "DEU", "D1", "ä"] {
            assert_eq!(Country::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_set_holds_what_one_of_its_networks_holds(
            networks in proptest::collection::vec((any::<u32>(), 0_u8..=32), 0..20),
            addresses in proptest::collection::vec(any::<u32>(), 1..20),
        ) {
            let networks: Vec<IpNet> = networks
                .into_iter()
                .map(|(address, bits)| IpNet::V4(Ipv4Net::new(address.into(), bits).expect("a network")))
                .collect();
            let set = Networks::new(networks.iter().copied());
            let near = networks.iter().flat_map(|net| [net.network(), net.broadcast()]);
            for address in addresses.into_iter().map(|bits| IpAddr::V4(bits.into())).chain(near) {
                let naive = networks.iter().any(|net| net.contains(&address));
                prop_assert_eq!(set.contains(address), naive);
            }
        }
    }
}
