//! Where a request to an origin goes: its `Host`, its path, and, where a URL is needed, that.

use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

use super::error::OriginError;

/// The URL under which a server is asked. Where the connection goes is the dialer's matter.
pub fn uri(scheme: Scheme, host: &HeaderValue, path_and_query: &str) -> Result<Uri, OriginError> {
    let mut parts = Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| OriginError::Target)?);
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).map_err(|_| OriginError::Target)?);
    Uri::from_parts(parts).map_err(|_| OriginError::Target)
}

/// The value of `Host` for an authority.
pub fn host(authority: &Authority) -> HeaderValue {
    HeaderValue::from_str(authority.as_str()).expect("an authority is visible ASCII")
}
