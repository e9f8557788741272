//! What certificates are obtained, from whom, and how.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::Hidden;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The authority's directory.
    pub directory: String,
    /// URLs such as `mailto:operator@example.com`.
    pub contacts: Vec<String>,
    /// Each gets a certificate of its own.
    pub names: Vec<String>,
    /// Where accounts, keys and certificates are kept.
    pub folder: PathBuf,
    pub challenge: Challenge,
    /// Which account there the authority shall join ours to.
    pub external: Option<External>,
    /// Whom to trust for the authority's own certificate; `None` for the system's roots.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// The kind of certificate, where the authority has several.
    pub profile: Option<String>,
    /// How long one attempt may take in all.
    pub order_timeout: Duration,
}

/// How the authority verifies that a name leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// On the https listeners, as port 443.
    TlsAlpn01,
    /// On the http listeners, as port 80.
    Http01,
}

/// RFC 8555 §7.3.4.
#[derive(Clone, PartialEq, Eq)]
pub struct External {
    pub id: String,
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("External").field("id", &self.id).field("key", &Hidden).finish()
    }
}
