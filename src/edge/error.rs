//! Every way in which a request can fail, and the one place that chooses its status.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::domain::encryption::playlist::Unsuitable;
use crate::domain::manifest::ManifestError;
use crate::domain::manifest::encoding::EncodingError;
use crate::domain::token::reason::Reason;
use crate::domain::uri::path::PathError;
use crate::origin::OriginError;
use crate::store::flights::JoinError;

use super::body::{Body, SendError};

/// Why a request gets no object. Errors of a shared fetch are given to all who waited, hence `Clone`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EdgeError {
    #[error("no property answers for this host")]
    UnknownHost,
    #[error("the method is not served")]
    Method,
    #[error("the path is refused: {0}")]
    Path(#[from] PathError),
    #[error("refused: {0}")]
    Denied(Reason),
    #[error("a rule refuses it with {0}")]
    Ruled(StatusCode),
    #[error("it is to be asked for at {location:?}")]
    Elsewhere { status: StatusCode, location: HeaderValue, reason: Option<Reason> },
    #[error("a rule's location cannot be made of this request")]
    Location,
    #[error("the fleet is away, and the property fails closed")]
    FleetAway,
    #[error("{0}")]
    Origin(#[from] std::sync::Arc<OriginError>),
    #[error("{0}")]
    Body(#[from] std::sync::Arc<SendError>),
    #[error("the origin's playlist is over {0} bytes")]
    PlaylistTooLarge(usize),
    #[error("the origin's playlist cannot be decoded: {0}")]
    Encoding(#[from] EncodingError),
    #[error("the origin's playlist is refused: {0}")]
    Playlist(#[from] ManifestError),
    #[error("media encryption: {0}")]
    Unencryptable(#[from] Unsuitable),
    #[error("the origin answered with a part that was not asked for")]
    UnaskedPart,
    #[error("the origin answered with another part than was asked for")]
    WrongPart,
    #[error("the origin answered that nothing changed, which was not asked")]
    UnaskedNotModified,
    #[error("the object changed at the origin while slices of it were sent")]
    Changed,
    #[error("the origin answered with {0} to a slice of an object")]
    NoSlice(StatusCode),
    #[error("{0}")]
    Join(#[from] JoinError),
    #[error("the request's body is over {0} bytes")]
    BodyTooLarge(u64),
    #[error("its address makes too many requests")]
    TooManyRequests(Duration),
    #[error("nothing is stored, and the request forbids to ask the origin")]
    NotStored,
}

impl From<Reason> for EdgeError {
    fn from(reason: Reason) -> Self {
        Self::Denied(reason)
    }
}

impl From<OriginError> for EdgeError {
    fn from(error: OriginError) -> Self {
        Self::Origin(std::sync::Arc::new(error))
    }
}

impl From<SendError> for EdgeError {
    fn from(error: SendError) -> Self {
        Self::Body(std::sync::Arc::new(error))
    }
}

/// The statuses of a property that can be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Statuses {
    pub unknown_host: StatusCode,
    /// 403, or 410 where the operator wants players and logs to tell the two apart.
    pub expired: StatusCode,
}

impl EdgeError {
    pub fn status(&self, statuses: Statuses) -> StatusCode {
        match self {
            Self::UnknownHost => statuses.unknown_host,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Path(_) | Self::Location => StatusCode::BAD_REQUEST,
            Self::Ruled(status) | Self::Elsewhere { status, .. } => *status,
            Self::Denied(Reason::Expired) => statuses.expired,
            // RFC 9110 §15.5.20: the "request was directed at a server that is unable or unwilling to produce an
            // authoritative response for the target URI"; a client may ask again over another connection.
            Self::Denied(Reason::ClientCertificate) => StatusCode::MISDIRECTED_REQUEST,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::Origin(error) => match &**error {
                OriginError::FirstByte(_) => StatusCode::GATEWAY_TIMEOUT,
                OriginError::Busy(..) | OriginError::Crowded(_) => StatusCode::SERVICE_UNAVAILABLE,
                OriginError::Target | OriginError::Upload(_) => StatusCode::BAD_REQUEST,
                OriginError::Connect(_)
                | OriginError::Closed(_)
                | OriginError::Invalid(_)
                | OriginError::HeadTooLarge(_)
                | OriginError::Interim(_)
                | OriginError::TwoLengths
                | OriginError::UnaskedPart
                | OriginError::WrongPart(_)
                | OriginError::Redirects(_) => StatusCode::BAD_GATEWAY,
            },
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::FleetAway | Self::Join(JoinError::Crowded(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Join(JoinError::Late(_)) | Self::NotStored => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Join(JoinError::Lost)
            | Self::Body(_)
            | Self::PlaylistTooLarge(_)
            | Self::Encoding(_)
            | Self::Playlist(_)
            | Self::Unencryptable(_)
            | Self::UnaskedPart
            | Self::WrongPart
            | Self::Changed
            | Self::NoSlice(_)
            | Self::UnaskedNotModified => StatusCode::BAD_GATEWAY,
        }
    }

    /// The reason, when the policy refused.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Denied(reason) => Some(*reason),
            Self::Method => Some(Reason::Method),
            Self::Ruled(_) => Some(Reason::Rule),
            Self::TooManyRequests(_) => Some(Reason::RequestRate),
            Self::Elsewhere { reason, .. } => *reason,
            Self::UnknownHost
            | Self::FleetAway
            | Self::Path(_)
            | Self::Location
            | Self::Origin(_)
            | Self::Body(_)
            | Self::PlaylistTooLarge(_)
            | Self::Encoding(_)
            | Self::Playlist(_)
            | Self::Unencryptable(_)
            | Self::UnaskedPart
            | Self::WrongPart
            | Self::Changed
            | Self::NoSlice(_)
            | Self::UnaskedNotModified
            | Self::Join(_)
            | Self::BodyTooLarge(_)
            | Self::NotStored => None,
        }
    }

    /// What `Cache-Status` says of the answer, in a word. Of refusals it tells no reason.
    pub fn detail(&self) -> &'static str {
        match self {
            Self::UnknownHost
            | Self::FleetAway
            | Self::Method
            | Self::Path(_)
            | Self::Denied(_)
            | Self::Ruled(_)
            | Self::TooManyRequests(_)
            | Self::BodyTooLarge(_) => "refused",
            Self::Elsewhere { .. } | Self::Location => "redirect",
            Self::Origin(error) => match &**error {
                OriginError::Connect(_) | OriginError::Closed(_) => "origin-unreachable",
                OriginError::FirstByte(_) => "origin-timeout",
                OriginError::Busy(..) | OriginError::Crowded(_) => "origin-busy",
                OriginError::Target | OriginError::Upload(_) => "refused",
                OriginError::Invalid(_)
                | OriginError::HeadTooLarge(_)
                | OriginError::Interim(_)
                | OriginError::TwoLengths
                | OriginError::UnaskedPart
                | OriginError::WrongPart(_)
                | OriginError::Redirects(_) => "origin-invalid",
            },
            Self::Join(JoinError::Crowded(_)) => "crowded",
            Self::Join(JoinError::Late(_)) => "late",
            Self::NotStored => "only-if-cached",
            Self::Join(JoinError::Lost)
            | Self::Body(_)
            | Self::PlaylistTooLarge(_)
            | Self::Encoding(_)
            | Self::Playlist(_)
            | Self::UnaskedPart
            | Self::WrongPart
            | Self::Changed
            | Self::NoSlice(_)
            | Self::UnaskedNotModified
            | Self::Unencryptable(_) => "origin-invalid",
        }
    }

    /// The answer to the client: a fixed phrase. What went wrong stands in the log.
    pub fn answer(&self, statuses: Statuses) -> Response<Body> {
        let status = self.status(statuses);
        let phrase = status.canonical_reason().unwrap_or("Error");
        let text = format!("{phrase}\n");
        let length = HeaderValue::from(text.len());
        let mut response = Response::new(Body::whole(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Given here, so that HEAD has it too (RFC 9110 §9.3.2).
        headers.insert(CONTENT_LENGTH, length);
        if let Self::Elsewhere { location, .. } = self {
            headers.insert(LOCATION, location.clone());
        }
        if matches!(self, Self::FleetAway) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Self::TooManyRequests(wait) = self {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
