//! The header of the PROXY protocol, versions 1 and 2: which bytes are its own, and which ends it announces. Pure.
//!
//! Kept to <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>, which the comments quote by section. Nothing is
//! guessed: "any sequence which does not exactly match the protocol must be discarded and cause the receiver to abort the
//! connection" (§2.1 and §2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::Refusal;

/// §2.1: "the maximum line lengths the receiver must support including the CRLF are" at most 107.
const LINE_BYTES_MAX: usize = 107;
const LINE_START: &[u8] = b"PROXY ";
/// §2.2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED_BYTES: usize = 16;

/// What the bytes so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of them belong to the header, which goes on.
    Unfinished,
    /// The first `bytes` are the header.
    Complete { bytes: usize, announced: Announced },
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The proxy's own (a health check), or one without addresses that we could use.
    Proxy,
    Client {
        source: SocketAddr,
        destination: SocketAddr,
    },
}

/// Reads the header at the start of `bytes`. One that takes more than `bytes_max` is refused.
pub fn read(bytes: &[u8], bytes_max: usize) -> Result<Progress, Refusal> {
    if is_start(bytes, SIGNATURE) {
        read_binary(bytes, bytes_max)
    } else if is_start(bytes, LINE_START) {
        read_line(bytes)
    } else {
        Err(Refusal::Missing)
    }
}

/// Whether `bytes` begin with `start`, as far as there are any.
fn is_start(bytes: &[u8], start: &[u8]) -> bool {
    let common = bytes.len().min(start.len());
    bytes[..common] == start[..common]
}

/// Version 1, §2.1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443` and CR LF.
fn read_line(bytes: &[u8]) -> Result<Progress, Refusal> {
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    // "The receiver must wait for the CRLF sequence before starting to decode the addresses [..]. If the CRLF sequence is
    // not found in the first 107 characters, the receiver should declare the line invalid."
    let Some(end) = memchr::memmem::find(within, b"\r\n") else {
        return if within.len() == LINE_BYTES_MAX { Err(Refusal::TooLong) } else { Ok(Progress::Unfinished) };
    };
    let line = std::str::from_utf8(&within[LINE_START.len()..end]).map_err(|_| Refusal::Malformed)?;
    Ok(Progress::Complete { bytes: end + 2, announced: announced_by_line(line)? })
}

fn announced_by_line(line: &str) -> Result<Announced, Refusal> {
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    match family {
        "TCP4" => addresses::<Ipv4Addr>(rest),
        "TCP6" => addresses::<Ipv6Addr>(rest),
        // "For "UNKNOWN", the rest of the line before the CRLF may be omitted by the sender, and the receiver must ignore
        // anything presented before the CRLF is found."
        "UNKNOWN" => Some(Announced::Proxy),
        _ => None,
    }
    .ok_or(Refusal::Malformed)
}

fn addresses<A: FromStr + Into<IpAddr>>(text: &str) -> Option<Announced> {
    let mut fields = text.split(' ');
    let source = fields.next()?.parse::<A>().ok()?.into();
    let destination = fields.next()?.parse::<A>().ok()?.into();
    let (source_port, destination_port) = (port(fields.next()?)?, port(fields.next()?)?);
    if fields.next().is_some() {
        return None;
    }
    Some(Announced::Client {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// "A decimal integer in the range [0..65535] inclusive. Heading zeroes are not permitted in front of numbers".
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Version 2, §2.2.
fn read_binary(bytes: &[u8], bytes_max: usize) -> Result<Progress, Refusal> {
    let Some((fixed, _)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Progress::Unfinished);
    };
    let [.., version_and_command, family_and_protocol, high, low] = *fixed;
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > bytes_max {
        return Err(Refusal::TooLong);
    }
    let Some(block) = bytes.get(FIXED_BYTES..length) else { return Ok(Progress::Unfinished) };
    let announced = match version_and_command {
        // LOCAL: "the receiver must accept this connection as valid and must use the real connection endpoints and discard
        // the protocol block including the family which is ignored".
        0x20 => Announced::Proxy,
        0x21 => announced_by_block(family_and_protocol, block)?,
        // "Other values are unassigned [..]. Receivers must drop connections presenting unexpected values here."
        _ => return Err(Refusal::Malformed),
    };
    Ok(Progress::Complete { bytes: length, announced })
}

/// The addresses stand at the block's start; what follows them (TLV vectors) is skipped.
fn announced_by_block(family_and_protocol: u8, block: &[u8]) -> Result<Announced, Refusal> {
    /// Two paths of 108 bytes.
    const UNIX_BYTES: usize = 216;
    match family_and_protocol {
        0x11 => sockets::<4, Ipv4Addr>(block).ok_or(Refusal::Malformed),
        0x21 => sockets::<16, Ipv6Addr>(block).ok_or(Refusal::Malformed),
        // A path names no client of ours.
        0x31 if block.len() >= UNIX_BYTES => Ok(Announced::Proxy),
        // AF_UNSPEC: "the receiver is free to accept the connection anyway and use the real endpoint addresses or to reject
        // it. The receiver should ignore address information."
        0x00..=0x02 => Ok(Announced::Proxy),
        // Datagrams, which do not come over TCP, and "unexpected values".
        _ => Err(Refusal::Malformed),
    }
}

/// Two addresses of `N` bytes, then two ports, in network byte order.
fn sockets<const N: usize, A: From<[u8; N]> + Into<IpAddr>>(block: &[u8]) -> Option<Announced> {
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, _) = rest.split_first_chunk()?;
    let socket = |address: [u8; N], port| SocketAddr::new(A::from(address).into(), u16::from_be_bytes(port));
    Some(Announced::Client {
        source: socket(*source, *source_port),
        destination: socket(*destination, *destination_port),
    })
}

#[cfg(test)]
mod tests;
