//! The request line and `Host` of a request to an origin.

use bytes::Bytes;
use http::uri::{Authority, Parts, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Empty;

use super::error::OriginError;
use super::settings::Base;

/// The URL under which a server is asked: its own authority, or the one that `Host` is set to. Where the connection
/// goes is the dialer's matter.
pub fn uri(base: &Base, host: Option<&HeaderValue>, path_and_query: &str) -> Result<Uri, OriginError> {
    let mut parts = Parts::default();
    parts.scheme = Some(base.scheme.clone());
    parts.authority = Some(match host {
        Some(host) => Authority::try_from(host.as_bytes()).map_err(|_| OriginError::Target)?,
        None => base.authority.clone(),
    });
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).map_err(|_| OriginError::Target)?);
    Uri::from_parts(parts).map_err(|_| OriginError::Target)
}

/// The value of `Host` for a URL.
pub fn host(uri: &Uri) -> Result<HeaderValue, OriginError> {
    let authority = uri.authority().ok_or(OriginError::Target)?;
    HeaderValue::from_str(authority.as_str()).map_err(|_| OriginError::Target)
}

pub fn request(method: &Method, uri: Uri, fields: HeaderMap) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = fields;
    request
}
