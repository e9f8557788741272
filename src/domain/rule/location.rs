//! Where a rule sends a request: a URL with a few pieces of the request in it, none of which can change what the rest means.
//!
//! | piece | what it is |
//! |---|---|
//! | `{path}` | the normal path, which begins with `/`, without a token component |
//! | `{query}` | `?` and the query without tokens; nothing where there is none |
//! | `{host}` | the host that was asked for, without its port; only as the host of the URL |
//! | `{url}` | the whole URL without tokens, escaped for the value of a parameter |
//! | `{country}` | two letters, or `unknown` |
//! | `{token}` | the word for the result of the token check |
//!
//! No piece carries a token, and no piece but `{host}` can reach into the host: a location is absolute or begins with `/`,
//! and never with `//`.

use std::fmt;

use http::HeaderValue;

use crate::domain::uri::escape::{self, Place};

use super::Facts;

/// A template that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Piece(Piece),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Path,
    Query,
    Host,
    Url,
    Country,
    Token,
}

/// What of a request is not in its [`Facts`].
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `https://host:port`
    pub site: &'a str,
    /// The query without tokens.
    pub query: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    #[error("it is neither absolute nor does it begin with \"/\"")]
    NoBeginning,
    #[error("it has a byte that may not stand in a URL: {0:?}")]
    Byte(char),
    #[error("\"{{{0}}}\" is no piece of a request")]
    UnknownPiece(String),
    #[error("a brace is not closed")]
    OpenBrace,
    #[error("{{host}} stands elsewhere than as the host")]
    MisplacedHost,
    #[error("a piece stands in the host")]
    PieceInHost,
}

impl Piece {
    const ALL: [(&'static str, Self); 6] = [
        ("path", Self::Path),
        ("query", Self::Query),
        ("host", Self::Host),
        ("url", Self::Url),
        ("country", Self::Country),
        ("token", Self::Token),
    ];

    fn parse(name: &str) -> Result<Self, LocationError> {
        let known = Self::ALL.into_iter().find(|(known, _)| *known == name);
        known.map(|(_, piece)| piece).ok_or_else(|| LocationError::UnknownPiece(name.to_owned()))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Host => "host",
            Self::Url => "url",
            Self::Country => "country",
            Self::Token => "token",
        }
    }
}

impl Location {
    pub fn parse(template: &str) -> Result<Self, LocationError> {
        let is_foreign = |byte: &char| {
            !byte.is_ascii_graphic() || matches!(byte, '"' | '<' | '>' | '\\' | '^' | '`' | '|')
        };
        if let Some(byte) = template.chars().find(is_foreign) {
            return Err(LocationError::Byte(byte));
        }
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find(['{', '}']) {
            let (text, after) = rest.split_at(open);
            let inner = after.strip_prefix('{').ok_or(LocationError::OpenBrace)?;
            let (name, after) = inner.split_once('}').ok_or(LocationError::OpenBrace)?;
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            parts.push(Part::Piece(Piece::parse(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        check_host(template)?;
        Ok(Self(parts))
    }

    /// The location for a request; `None` when a header field cannot carry it.
    pub fn render(&self, facts: &Facts<'_>, asked: Asked<'_>) -> Option<HeaderValue> {
        let mut out = String::with_capacity(128);
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Piece(Piece::Path) => out.push_str(facts.path),
                Part::Piece(Piece::Query) => push_query(&mut out, asked.query),
                Part::Piece(Piece::Host) => out.push_str(plain_host(facts.host)?),
                Part::Piece(Piece::Url) => {
                    let mut url = [asked.site, facts.path].concat();
                    push_query(&mut url, asked.query);
                    escape::encode_into(&mut out, &url, Place::Cookie);
                }
                Part::Piece(Piece::Country) => {
                    let country = facts.whereabouts.country;
                    out.push_str(country.as_ref().map_or("unknown", |country| country.as_str()));
                }
                Part::Piece(Piece::Token) => out.push_str(facts.token.as_str()),
            }
        }
        // RFC 3986 §4.2: a reference that begins with two slashes names another host.
        let slashes = out.bytes().take_while(|byte| *byte == b'/').count();
        HeaderValue::from_str(&out[slashes.saturating_sub(1)..]).ok()
    }
}

/// A template begins with `/` or `{path}`, or has a scheme and a host that no piece but `{host}` has a part in.
fn check_host(template: &str) -> Result<(), LocationError> {
    let absolute = ["https://", "http://"].into_iter().find_map(|scheme| template.strip_prefix(scheme));
    let after_host = match absolute {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let end =
                ["{path}", "{query}"].into_iter().filter_map(|piece| rest.find(piece)).fold(end, usize::min);
            let (host, after) = rest.split_at(end);
            let fixed = host.strip_prefix("{host}").unwrap_or(host);
            if fixed.contains('{') {
                return Err(if fixed.contains("{host}") {
                    LocationError::MisplacedHost
                } else {
                    LocationError::PieceInHost
                });
            }
            let is_port = |text: &str| {
                text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
            };
            if host.is_empty() || host.contains('@') || (fixed.len() < host.len() && !is_port(fixed)) {
                return Err(LocationError::NoBeginning);
            }
            after
        }
        None if template.starts_with("{path}") => template,
        None if template.starts_with('/') && !template.starts_with("//") => template,
        None => return Err(LocationError::NoBeginning),
    };
    if after_host.contains("{host}") { Err(LocationError::MisplacedHost) } else { Ok(()) }
}

fn push_query(out: &mut String, query: &str) {
    if !query.is_empty() {
        out.push('?');
        out.push_str(query);
    }
}

/// A host as a URL may have it: nothing in it can end the host.
pub fn plain_host(host: &str) -> Option<&str> {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    (!host.is_empty() && host.bytes().all(is_plain)).then_some(host)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Piece(piece) => write!(f, "{{{}}}", piece.name())?,
            }
        }
        Ok(())
    }
}
