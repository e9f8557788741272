//! What is wrong with a request to the operators' listener, as `application/problem+json` (RFC 9457).

use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::control::{Fault, Refused};
use super::{Answer, typed};

/// A request that is refused, with what an operator needs to mend it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// The member of the body that is at fault.
    field: Option<&'static str>,
    /// Of a configuration.
    faults: Vec<Fault>,
    header: Option<(HeaderName, &'static str)>,
}

/// RFC 9457 §4.2.1: `about:blank` says "that the problem has no additional semantics beyond that of the HTTP status
/// code".
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    faults: &'a [Fault],
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None, faults: Vec::new(), header: None }
    }

    /// A member of the body is not what it should be.
    pub fn field(field: &'static str, detail: impl std::fmt::Display) -> Self {
        let problem = Self::new(StatusCode::BAD_REQUEST, format!("{field}: {detail}"));
        Self { field: Some(field), ..problem }
    }

    /// What is named is not there.
    pub fn missing(detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail.to_string())
    }

    /// A bound or another state stands against it.
    pub fn conflict(detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::CONFLICT, detail.to_string())
    }

    pub fn unavailable(detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail.to_string())
    }

    pub fn failed(detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail.to_string())
    }

    pub fn bad_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn too_large(bytes_max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {bytes_max} bytes ([admin] body_max)"),
        )
    }

    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time ([admin] body_timeout)")
    }

    pub fn not_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body has to be JSON: send Content-Type: application/json",
        )
    }

    pub fn unauthorized() -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "send the admin token: Authorization: Bearer …");
        Self { header: Some((WWW_AUTHENTICATE, "Bearer")), ..problem }
    }

    pub fn needs_token() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "without [admin] token, changes are taken on loopback only and not from a page in a browser",
        )
    }

    pub fn method(allowed: &'static str) -> Self {
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}"));
        Self { header: Some((ALLOW, allowed)), ..problem }
    }

    pub fn not_found(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}"))
    }

    /// A configuration that was not taken.
    pub fn refused_configuration(refused: Refused) -> Self {
        let count = refused.faults.len();
        let faults = if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") };
        let detail = format!("{} cannot be used: {faults} found; nothing has changed", refused.file);
        Self { faults: refused.faults, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    pub fn no_file() -> Self {
        Self::conflict("the configuration did not come from a file; there is nothing to read anew")
    }

    pub fn broken() -> Self {
        Self::failed("it broke off; the log tells why")
    }

    pub fn answer(self) -> Answer {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field,
            faults: &self.faults,
        };
        let text = serde_json::to_vec(&document).unwrap_or_default();
        let mut answer = typed(self.status, text.into(), "application/problem+json");
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}
