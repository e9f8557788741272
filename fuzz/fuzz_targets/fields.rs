//! Header fields of clients and origins, whatever they hold, panic nothing, and what is read of them stays within its bounds.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue, IF_NONE_MATCH, RANGE};
use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use sluicegate::domain::cache::directives::{RequestDirectives, ResponseDirectives};
use sluicegate::domain::cache::entity_tag::{EntityTag, listed};
use sluicegate::domain::cache::ranges::{self, Resolved};
use sluicegate::domain::cache::vary::Selection;
use sluicegate::domain::cache::{date, targeted};
use sluicegate::domain::cmcd::Cmcd;
use sluicegate::domain::headers::forwarding::{self, Style, Viewer, X_FORWARDED_FOR};
use sluicegate::domain::headers::hop;
use sluicegate::domain::network::Networks;
use sluicegate::domain::revocation::identifier::{Identifier, Kind};

const SOCKET: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fuzz_target!(|input: (u64, &[u8])| {
    let (length, bytes) = input;
    let headers = fields(bytes);
    asked_and_sent(&headers, length);
    cached(&headers);
    forwarded(headers);
    let text = String::from_utf8_lossy(bytes);
    let mut cmcd = Cmcd::default();
    cmcd.read(&text);
    cmcd.read_query(&text);
    let _ = Networks::from_list(&text);
    for kind in Kind::ALL {
        let _ = Identifier::new(kind, &text);
    }
});

/// Lines of `name: value`.
fn fields(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn asked_and_sent(headers: &HeaderMap, length: u64) {
    let Some(asked) = ranges::read(&Method::GET, headers) else { return };
    if let Resolved::Part(part) = asked.resolve(length) {
        assert!(part.first <= part.last && part.last < length);
        assert!(part.bytes() <= length);
        let mut again = HeaderMap::new();
        again.insert(RANGE, part.range());
        assert_eq!(ranges::read(&Method::GET, &again).map(|asked| asked.resolve(length)), Some(Resolved::Part(part)));
    }
    if let Ok(sent) = ranges::judge(asked, headers) {
        assert!(sent.part.first <= sent.part.last);
        assert!(sent.length.is_none_or(|length| sent.part.last < length));
    }
}

fn cached(headers: &HeaderMap) {
    let _ = RequestDirectives::read(headers);
    let _ = ResponseDirectives::read(headers);
    let _ = targeted::read(headers);
    let _ = Selection::read(headers, &[]);
    let stored = EntityTag::of(headers);
    let _ = listed(headers, &IF_NONE_MATCH, stored, |one, other| one.is_same_weakly(other));
    for value in headers.values() {
        if let Some(when) = date::parse(value.as_bytes(), Duration::from_secs(1_700_000_000)) {
            let _ = date::value(when);
        }
    }
}

fn forwarded(mut headers: HeaderMap) {
    assert_eq!(forwarding::client_address(SOCKET, &headers, &X_FORWARDED_FOR, &[]), SOCKET);
    let all = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("a network"));
    let _ = forwarding::client_address(SOCKET, &headers, &X_FORWARDED_FOR, &all);
    let viewer = Viewer { address: SOCKET, scheme: "https", host: "edge.example" };
    forwarding::describe(&mut headers, Style::XForwarded, viewer);
    let kept: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    assert_eq!(kept, ["127.0.0.1"]);
    assert!(!headers.contains_key("x-original-url") && !headers.contains_key("forwarded"));
    forwarding::remove_private(&mut headers, &["kept".to_owned()]);
    assert!(!headers.contains_key("referer"));
    hop::strip(&mut headers);
    assert!(!headers.contains_key("connection") && !headers.contains_key("transfer-encoding"));
}
