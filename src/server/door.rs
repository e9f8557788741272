//! Refuses requests that no handler should see, from what the parsed request shows.
//!
//! hyper accepts a missing, doubled or junk `Host`, lists of transfer codings, and header names that others take for
//! another name. Each of them lets two servers in a row understand one request differently.

use std::net::Ipv6Addr;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use memchr::memchr;

use super::settings::Limits;

/// Why a request is refused before the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Refusal {
    #[error("the request target is too long")]
    TargetTooLong,
    #[error("a header line is too long")]
    HeaderLineTooLong,
    #[error("the header section is too large")]
    HeaderSectionTooLarge,
    #[error("there are too many header lines")]
    TooManyHeaders,
    #[error("the target is neither a path nor an absolute URI nor, for OPTIONS, an asterisk")]
    TargetForm,
    #[error("the target has a fragment")]
    Fragment,
    #[error("CONNECT and TRACE are not served")]
    Method,
    #[error("there is no Host")]
    HostMissing,
    #[error("there is more than one Host")]
    HostDoubled,
    #[error("the Host is not a host with an optional port")]
    HostMalformed,
    #[error("the target names another host than Host does")]
    HostConflict,
    #[error("Transfer-Encoding is not the single coding chunked")]
    TransferEncoding,
    #[error("there are both Content-Length and Transfer-Encoding")]
    LengthConflict,
    #[error("GET or HEAD has a body")]
    UnexpectedBody,
    #[error("a header name imitates another by an underscore")]
    LookAlikeHeader,
    #[error("a header line is folded")]
    FoldedLine,
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    #[error("a header of HTTP/1.1's connections stands in HTTP/3")]
    ConnectionField,
    #[error("its address has too many streams")]
    TooManyStreams,
}

impl Refusal {
    pub const ALL: [Self; 19] = [
        Self::TargetTooLong,
        Self::HeaderLineTooLong,
        Self::HeaderSectionTooLarge,
        Self::TooManyHeaders,
        Self::TargetForm,
        Self::Fragment,
        Self::Method,
        Self::HostMissing,
        Self::HostDoubled,
        Self::HostMalformed,
        Self::HostConflict,
        Self::TransferEncoding,
        Self::LengthConflict,
        Self::UnexpectedBody,
        Self::LookAlikeHeader,
        Self::FoldedLine,
        Self::BareLineFeed,
        Self::ConnectionField,
        Self::TooManyStreams,
    ];

    pub fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeaderLineTooLong | Self::HeaderSectionTooLarge | Self::TooManyHeaders => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            Self::TargetForm
            | Self::Fragment
            | Self::HostMissing
            | Self::HostDoubled
            | Self::HostMalformed
            | Self::HostConflict
            | Self::TransferEncoding
            | Self::LengthConflict
            | Self::UnexpectedBody
            | Self::LookAlikeHeader
            | Self::FoldedLine
            | Self::BareLineFeed
            | Self::ConnectionField => StatusCode::BAD_REQUEST,
        }
    }

    /// A short name for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::TargetTooLong => "target_too_long",
            Self::HeaderLineTooLong => "header_line_too_long",
            Self::HeaderSectionTooLarge => "header_section_too_large",
            Self::TooManyHeaders => "too_many_headers",
            Self::TargetForm => "target_form",
            Self::Fragment => "fragment",
            Self::Method => "method",
            Self::HostMissing => "host_missing",
            Self::HostDoubled => "host_doubled",
            Self::HostMalformed => "host_malformed",
            Self::HostConflict => "host_conflict",
            Self::TransferEncoding => "transfer_encoding",
            Self::LengthConflict => "length_conflict",
            Self::UnexpectedBody => "unexpected_body",
            Self::LookAlikeHeader => "look_alike_header",
            Self::FoldedLine => "folded_line",
            Self::BareLineFeed => "bare_line_feed",
            Self::ConnectionField => "connection_field",
            Self::TooManyStreams => "too_many_streams",
        }
    }
}

/// Whether a request may go on to the handler. `body_is_empty` says that no body follows its head.
pub fn check<B>(request: &Request<B>, body_is_empty: bool, limits: &Limits) -> Result<(), Refusal> {
    check_method(request.method())?;
    check_target(request, limits)?;
    check_headers(request.headers(), limits)?;
    check_host(request)?;
    check_body(request, body_is_empty)
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    if method == Method::CONNECT || method == Method::TRACE { Err(Refusal::Method) } else { Ok(()) }
}

fn check_target<B>(request: &Request<B>, limits: &Limits) -> Result<(), Refusal> {
    let uri = request.uri();
    let path_and_query = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    // In HTTP/2 and HTTP/3 the authority is no part of `:path`.
    let origin_bytes = match (request.version(), uri.scheme_str(), uri.authority()) {
        (Version::HTTP_2 | Version::HTTP_3, _, _) | (_, None, _) | (_, _, None) => 0,
        (_, Some(scheme), Some(authority)) => scheme.len() + "://".len() + authority.as_str().len(),
    };
    if origin_bytes + path_and_query.len() > limits.target_bytes_max {
        return Err(Refusal::TargetTooLong);
    }
    if path_and_query.starts_with('/') {
        let scheme_is_ours = uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https"));
        let is_relative_or_absolute = uri.scheme().is_some() == uri.authority().is_some();
        return if scheme_is_ours && is_relative_or_absolute { Ok(()) } else { Err(Refusal::TargetForm) };
    }
    if path_and_query == "*" && request.method() == Method::OPTIONS {
        return Ok(());
    }
    Err(Refusal::TargetForm)
}

fn check_headers(headers: &HeaderMap, limits: &Limits) -> Result<(), Refusal> {
    // The colon and the line's end, as they stand in HTTP/1.1.
    const LINE_OVERHEAD: usize = ": \r\n".len();
    if headers.len() > limits.headers_max {
        return Err(Refusal::TooManyHeaders);
    }
    let mut section_bytes = 0;
    for (name, value) in headers {
        let name = name.as_str();
        let line_bytes = name.len() + value.len() + LINE_OVERHEAD;
        section_bytes += line_bytes;
        if line_bytes > limits.header_line_bytes_max {
            return Err(Refusal::HeaderLineTooLong);
        }
        if imitates_another(name) {
            return Err(Refusal::LookAlikeHeader);
        }
    }
    if section_bytes > limits.header_section_bytes_max {
        return Err(Refusal::HeaderSectionTooLarge);
    }
    Ok(())
}

/// Whether a name is one of those that decide framing, identity or trust, with underscores for hyphens: CGI-like servers
/// behind us read both as one.
fn imitates_another(name: &str) -> bool {
    const IMITATED: [&str; 10] = [
        "content-length",
        "transfer-encoding",
        "content-type",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-real-ip",
        "proxy-authorization",
        "if-range",
    ];
    // `name` comes from a `HeaderName`, which is in lower case.
    name.contains('_')
        && IMITATED.iter().any(|imitated| {
            imitated.len() == name.len()
                && imitated
                    .bytes()
                    .zip(name.bytes())
                    .all(|(real, seen)| real == seen || (real == b'-' && seen == b'_'))
        })
}

/// RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a
/// Host header field and to any request message that contains more than one Host header field line or a Host header field
/// with an invalid field value." RFC 9113 §8.3.1 and
/// RFC 9114 §4.3.1 put `:authority` in its place.
fn check_host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().map(http::HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Refusal::HostDoubled);
    }
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let named = match (authority, host) {
        (None, None) => return Err(Refusal::HostMissing),
        // Only HTTP/2 and HTTP/3 may name their host in the target alone.
        (Some(_), None) if !matches!(request.version(), Version::HTTP_2 | Version::HTTP_3) => {
            return Err(Refusal::HostMissing);
        }
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(Refusal::HostConflict);
        }
        (Some(named), _) | (None, Some(named)) => named,
    };
    if is_host_and_port(named) { Ok(()) } else { Err(Refusal::HostMalformed) }
}

fn is_host_and_port(named: &[u8]) -> bool {
    let (host_is_right, port) = if let Some(rest) = named.strip_prefix(b"[") {
        let Some(end) = memchr(b']', rest) else { return false };
        let address = std::str::from_utf8(&rest[..end]).ok().map(str::parse::<Ipv6Addr>);
        (matches!(address, Some(Ok(_))), &rest[end + 1..])
    } else {
        let (host, port) = named.split_at(memchr(b':', named).unwrap_or(named.len()));
        (is_host_name(host), port)
    };
    let port_is_right = match port {
        [] => true,
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        [_, ..] => false,
    };
    host_is_right && port_is_right
}

/// A DNS name or IPv4 address. Underscores are no letters of DNS, but container networks name hosts with them.
fn is_host_name(host: &[u8]) -> bool {
    (1..=255).contains(&host.len())
        && host.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && !host.starts_with(b".")
        && !host.windows(2).any(|pair| pair == b"..")
}

fn check_body<B>(request: &Request<B>, body_is_empty: bool) -> Result<(), Refusal> {
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !is_chunked || codings.next().is_some() || request.version() != Version::HTTP_11 {
            return Err(Refusal::TransferEncoding);
        }
        if request.headers().contains_key(CONTENT_LENGTH) {
            return Err(Refusal::LengthConflict);
        }
    }
    let takes_no_body = request.method() == Method::GET || request.method() == Method::HEAD;
    if takes_no_body && !body_is_empty { Err(Refusal::UnexpectedBody) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
