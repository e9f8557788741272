//! One request as a line: of text, or of JSON.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use crate::domain::cmcd::{Cmcd, Value};

use super::super::redact::quoted;
use super::Entry;

/// `2026-11-22T04:50:00.123Z 203.0.113.7 GET https://host/path?query 200 …` with `name=value` fields after it.
pub(super) fn text(entry: &Entry, line: &mut String) {
    timestamp(entry.time, line);
    let _ = write!(line, " {} {} \"{}://", entry.client, entry.method, entry.scheme);
    quoted(&entry.host, line);
    quoted(&entry.path, line);
    if !entry.query.is_empty() {
        line.push('?');
        quoted(&entry.query, line);
    }
    let _ = write!(
        line,
        "\" {} {} {}B {:.1}ms",
        entry.status,
        entry.kind,
        entry.bytes,
        milliseconds(entry.duration)
    );
    let _ = write!(line, " property={}", entry.property);
    if !entry.cache.is_empty() {
        let _ = write!(line, " cache={}", entry.cache);
    }
    if let Some(reason) = entry.reason {
        let _ = write!(line, " reason={reason}");
    }
    if let Some(result) = entry.token_result {
        let _ = write!(line, " token_result={result}");
    }
    if let Some(rule) = &entry.rule {
        line.push_str(" rule=\"");
        quoted(rule, line);
        line.push('"');
    }
    if let Some(carrier) = entry.carrier {
        let _ = write!(line, " carrier={carrier}");
    }
    if let Some(session) = &entry.session {
        line.push_str(" session=\"");
        quoted(session, line);
        line.push('"');
    }
    if let Some(origin) = entry.origin {
        let _ = write!(line, " origin={:.1}ms", milliseconds(origin));
    }
    let _ = write!(line, " protocol={}", entry.protocol);
    if !entry.cmcd.values.is_empty() {
        line.push_str(" cmcd=");
        cmcd(&entry.cmcd, line);
    }
    if !entry.complete {
        line.push_str(" incomplete");
    }
    let _ = write!(line, " request={:016x}", entry.request);
}

pub(super) fn json(entry: &Entry, line: &mut String) {
    line.push_str("{\"time\":\"");
    timestamp(entry.time, line);
    let _ = write!(line, "\",\"request\":\"{:016x}\"", entry.request);
    let mut field = |name: &str, value: &str| {
        let _ = write!(line, ",\"{name}\":\"");
        quoted(value, line);
        line.push('"');
    };
    field("client", &entry.client);
    field("property", &entry.property);
    field("method", &entry.method);
    field("scheme", entry.scheme);
    field("protocol", entry.protocol);
    field("host", &entry.host);
    field("path", &entry.path);
    field("query", &entry.query);
    field("kind", entry.kind);
    field("cache", entry.cache);
    if let Some(reason) = entry.reason {
        field("reason", reason);
    }
    if let Some(result) = entry.token_result {
        field("token_result", result);
    }
    if let Some(rule) = &entry.rule {
        field("rule", rule);
    }
    if let Some(session) = &entry.session {
        field("session", session);
    }
    if let Some(carrier) = entry.carrier {
        field("carrier", carrier);
    }
    field("agent", &entry.agent);
    if !entry.cmcd.values.is_empty() {
        line.push_str(",\"cmcd\":");
        cmcd(&entry.cmcd, line);
    }
    if let Some(origin) = entry.origin {
        let _ = write!(line, ",\"origin_ms\":{:.3}", milliseconds(origin));
    }
    let _ = write!(
        line,
        ",\"status\":{},\"bytes\":{},\"complete\":{},\"first_byte_ms\":{:.3},\"duration_ms\":{:.3}}}",
        entry.status,
        entry.bytes,
        entry.complete,
        milliseconds(entry.first_byte),
        milliseconds(entry.duration)
    );
}

/// As one object of JSON.
fn cmcd(cmcd: &Cmcd, line: &mut String) {
    for (index, (name, value)) in cmcd.values.iter().enumerate() {
        line.push(if index == 0 { '{' } else { ',' });
        let _ = write!(line, "\"{name}\":");
        let _ = match value {
            Value::Integer(number) => write!(line, "{number}"),
            Value::Decimal(number) => write!(line, "{number}"),
            Value::Flag(flag) => write!(line, "{flag}"),
            Value::Text(text) => {
                line.push('"');
                quoted(text, line);
                line.push('"');
                Ok(())
            }
        };
    }
    line.push('}');
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(unix: Duration, line: &mut String) {
    let time = SystemTime::UNIX_EPOCH.checked_add(unix).unwrap_or(SystemTime::UNIX_EPOCH);
    let _ = write!(line, "{}", humantime::format_rfc3339_millis(time));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            time: Duration::from_millis(1_700_000_000_123),
            property: "demo".into(),
            method: "GET".to_owned(),
            scheme: "https",
            host: "edge.example".to_owned(),
            path: "/a\"\n.ts".to_owned(),
            session: Some("sid\r\n1".to_owned()),
            status: 403,
            reason: Some("expired"),
            complete: true,
            ..Entry::default()
        }
    }

    #[test]
    fn a_json_line_is_json_whatever_the_client_sent() {
        let mut line = String::new();
        json(&entry(), &mut line);
        let value: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
        assert_eq!(value["path"], "/a\"\n.ts");
        assert_eq!(value["session"], "sid\r\n1");
        assert_eq!(value["time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(value["status"], 403);
        assert_eq!(value["reason"], "expired");
    }

    #[test]
    fn a_text_line_is_one_line_whatever_the_client_sent() {
        let mut line = String::new();
        text(&entry(), &mut line);
        assert!(!line.contains(['\n', '\r']), "{line}");
        assert!(line.contains("reason=expired"), "{line}");
    }
}
