//! Why a request was refused: stable words for logs, metrics, `explain` and the operators' debug header.

use std::fmt;

/// A refusal's reason. The words of [`Reason::as_str`] are part of the public interface and do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    NoToken,
    Malformed,
    DuplicateToken,
    BadSignature,
    NotYetValid,
    Expired,
    ExpiryTooFar,
    AclMismatch,
    UrlMismatch,
    IpMismatch,
    Revoked,
    SessionLimit,
    /// A one-time token was used before.
    Replayed,
    GeoBlocked,
    IpBlocked,
    NotHttps,
    Method,
    PlaylistNotListed,
    /// A rule of the property refused.
    Rule,
    /// The address makes too many requests.
    RequestRate,
    /// The connection's handshake verified no certificate for this property.
    ClientCertificate,
}

impl Reason {
    /// Every reason, for metrics that are resolved at start.
    pub const ALL: [Self; 21] = [
        Self::NoToken,
        Self::Malformed,
        Self::DuplicateToken,
        Self::BadSignature,
        Self::NotYetValid,
        Self::Expired,
        Self::ExpiryTooFar,
        Self::AclMismatch,
        Self::UrlMismatch,
        Self::IpMismatch,
        Self::Revoked,
        Self::SessionLimit,
        Self::Replayed,
        Self::GeoBlocked,
        Self::IpBlocked,
        Self::NotHttps,
        Self::Method,
        Self::PlaylistNotListed,
        Self::Rule,
        Self::RequestRate,
        Self::ClientCertificate,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Malformed => "malformed",
            Self::DuplicateToken => "duplicate_token",
            Self::BadSignature => "bad_signature",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::ExpiryTooFar => "expiry_too_far",
            Self::AclMismatch => "acl_mismatch",
            Self::UrlMismatch => "url_mismatch",
            Self::IpMismatch => "ip_mismatch",
            Self::Revoked => "revoked",
            Self::SessionLimit => "session_limit",
            Self::Replayed => "replayed",
            Self::GeoBlocked => "geo_blocked",
            Self::IpBlocked => "ip_blocked",
            Self::NotHttps => "not_https",
            Self::Method => "method",
            Self::PlaylistNotListed => "playlist_not_listed",
            Self::Rule => "rule",
            Self::RequestRate => "request_rate",
            Self::ClientCertificate => "client_certificate",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
