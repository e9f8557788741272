//! A small writer of databases in `MaxMind`'s format (version 2.0 of its specification), for tests.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

/// A database that says this text of these networks, made at `built`: `country.iso_code`.
pub fn countries(entries: &[(&str, &str)], built: u64) -> Vec<u8> {
    let record = |code: &str| map(&[("country", map(&[("iso_code", text(code))]))]);
    write("Test-Country", &entries.iter().map(|(net, code)| (*net, record(code))).collect::<Vec<_>>(), built)
}

/// The same for autonomous systems: `autonomous_system_number`.
pub fn networks(entries: &[(&str, u32)], built: u64) -> Vec<u8> {
    let record = |number: u32| map(&[("autonomous_system_number", number_of(6, u64::from(number), 4))]);
    let entries: Vec<_> = entries.iter().map(|(net, number)| (*net, record(*number))).collect();
    write("Test-ASN", &entries, built)
}

fn write(kind: &str, entries: &[(&str, Vec<u8>)], built: u64) -> Vec<u8> {
    let mut nodes = vec![[Record::Empty; 2]];
    let mut data = Vec::new();
    for (network, value) in entries {
        let (bits, length) = prefix(network.parse().expect("a network"));
        insert(&mut nodes, bits, length, Record::Data(data.len()));
        data.extend_from_slice(value);
    }
    let mut file = Vec::new();
    for node in &nodes {
        for record in node {
            let value = match record {
                Record::Empty => nodes.len(),
                Record::Node(index) => *index,
                Record::Data(offset) => nodes.len() + 16 + offset,
            };
            file.extend_from_slice(&u32::try_from(value).expect("a small database").to_be_bytes()[1..]);
        }
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    file.extend_from_slice(&map(&[
        ("binary_format_major_version", number_of(5, 2, 2)),
        ("binary_format_minor_version", number_of(5, 0, 2)),
        ("build_epoch", number_of(9, built, 8)),
        ("database_type", text(kind)),
        ("description", map(&[("en", text("for tests"))])),
        ("ip_version", number_of(5, 6, 2)),
        ("languages", vec![0, 4]),
        ("node_count", number_of(6, nodes.len() as u64, 4)),
        ("record_size", number_of(5, 24, 2)),
    ]));
    file
}

/// IPv4 stands below `::/96`.
fn prefix(network: IpNet) -> (u128, usize) {
    match network.network() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 96 + usize::from(network.prefix_len())),
        IpAddr::V6(address) => (Ipv6Addr::to_bits(address), usize::from(network.prefix_len())),
    }
}

fn insert(nodes: &mut Vec<[Record; 2]>, bits: u128, length: usize, data: Record) {
    let mut at = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == length {
            nodes[at][side] = data;
            return;
        }
        at = if let Record::Node(next) = nodes[at][side] {
            next
        } else {
            nodes.push([Record::Empty; 2]);
            let next = nodes.len() - 1;
            nodes[at][side] = Record::Node(next);
            next
        };
    }
}

fn text(value: &str) -> Vec<u8> {
    let mut out = header(2, value.len());
    out.extend_from_slice(value.as_bytes());
    out
}

fn number_of(kind: u8, value: u64, bytes: usize) -> Vec<u8> {
    let mut out = header(kind, bytes);
    out.extend_from_slice(&value.to_be_bytes()[8 - bytes..]);
    out
}

fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = header(7, pairs.len());
    for (key, value) in pairs {
        out.extend_from_slice(&text(key));
        out.extend_from_slice(value);
    }
    out
}

/// A type and a size below 29.
fn header(kind: u8, size: usize) -> Vec<u8> {
    let size = u8::try_from(size).expect("a small value");
    if kind < 8 { vec![kind << 5 | size] } else { vec![size, kind - 7] }
}
