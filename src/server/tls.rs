//! Certificates and the TLS configuration: read from files, chosen by server name, replaced while running.

pub mod mutual;
mod tickets;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::challenges::{self, ACME_TLS, Challenges};
use mutual::ClientDemand;
use tickets::Tickets;

/// What keeps a certificate from being used, with the file and the cure.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {source}. Give the path of a PEM file that this user may read", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} holds no certificate. Give a PEM file with -----BEGIN CERTIFICATE-----, the server's own first", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key. Give a PEM file with an unencrypted PKCS#8, PKCS#1 or SEC1 key", .0.display())]
    NoKey(PathBuf),
    #[error("{}: the certificate does not parse ({reason}). Make it anew, in X.509 version 3", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("{} is not the key of the certificate in {}. Give the two files that were made together", key.display(), certificate.display())]
    KeyMismatch { certificate: PathBuf, key: PathBuf },
    #[error("{}: this key cannot be used ({reason}). Use RSA of at least 2048 bits, ECDSA P-256 or P-384, or Ed25519", path.display())]
    UnusableKey { path: PathBuf, reason: String },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    #[error("there is no certificate for the https listeners. Name at least one")]
    NoneGiven,
}

/// A certificate with its key, and the names that it is for.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_before: Duration,
    not_after: Duration,
}

impl Certificate {
    /// DNS names of the subject, in lower case, wildcards as `*.example.com`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// From when it is valid, since the Unix epoch.
    pub fn not_before(&self) -> Duration {
        self.not_before
    }

    /// When it expires, since the Unix epoch.
    pub fn not_after(&self) -> Duration {
        self.not_after
    }

    /// The server's own certificate, the first of the chain.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.key.cert.first()
    }

    /// The same, used for these of its names alone.
    #[must_use]
    pub fn only_for(mut self, names: &[String]) -> Self {
        self.names.retain(|name| names.contains(name));
        self
    }
}

/// Reads a certificate chain and its key. One that is expired at `now` (since the Unix epoch) is used all the same, with a
/// warning: a client that does not verify is better served than none.
pub fn load_certificate(
    certificate_path: &Path,
    key_path: &Path,
    now: Duration,
) -> Result<Certificate, TlsError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(certificate_path)?)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificate(certificate_path.to_owned()))?;
    let leaf = chain.first().cloned().ok_or_else(|| TlsError::NoCertificate(certificate_path.to_owned()))?;
    let key =
        PrivateKeyDer::from_pem_slice(&read(key_path)?).map_err(|_| TlsError::NoKey(key_path.to_owned()))?;
    let malformed = |reason: String| TlsError::Malformed { path: certificate_path.to_owned(), reason };
    let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|error| malformed(error.to_string()))?;
    let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::KeyMismatch { certificate: certificate_path.to_owned(), key: key_path.to_owned() }
        }
        rustls::Error::InvalidCertificate(reason) => malformed(format!("{reason:?}")),
        other => TlsError::UnusableKey { path: key_path.to_owned(), reason: other.to_string() },
    })?;
    let since_epoch =
        |time: x509_parser::time::ASN1Time| Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0));
    let (not_before, not_after) =
        (since_epoch(parsed.validity().not_before), since_epoch(parsed.validity().not_after));
    if not_after <= now {
        tracing::warn!(certificate = %certificate_path.display(), "the certificate has expired; renew it");
    }
    Ok(Certificate { key: Arc::new(key), names: dns_names(&parsed), not_before, not_after })
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

/// The certificates in use. They can be replaced at any time; connections that stand keep theirs.
#[derive(Debug)]
pub struct Certificates {
    in_use: ArcSwap<ByName>,
    sources: Mutex<Sources>,
    challenges: Arc<Challenges>,
}

/// Where the certificates come from.
#[derive(Clone, Debug, Default)]
struct Sources {
    /// By files.
    given: Vec<Certificate>,
    managed: Managed,
}

/// Certificates that the process obtains itself, while it runs.
#[derive(Clone, Debug, Default)]
pub struct Managed {
    pub certificates: Vec<Certificate>,
    /// All names that they are to be for. One that has none yet is served none, rather than another name's.
    pub names: HashSet<String>,
}

#[derive(Debug, Default)]
struct ByName {
    default: Option<Arc<CertifiedKey>>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what stands after the asterisk and its dot.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    managed: HashSet<String>,
}

impl Certificates {
    /// The first is the default, for clients that name no server or an unknown one. Of two certificates for one name the
    /// first is taken.
    pub fn new(certificates: &[Certificate]) -> Result<Self, TlsError> {
        if certificates.is_empty() {
            return Err(TlsError::NoneGiven);
        }
        Ok(Self::with_managed(certificates.to_vec()))
    }

    /// The same, perhaps without any: others are obtained later.
    pub fn with_managed(given: Vec<Certificate>) -> Self {
        let sources = Sources { given, managed: Managed::default() };
        Self {
            in_use: ArcSwap::from_pointee(ByName::new(&sources)),
            sources: Mutex::new(sources),
            challenges: Arc::default(),
        }
    }

    /// Takes over the certificates that were given to `other`, for new handshakes from now on.
    pub fn adopt(&self, other: &Self) {
        let given = other.sources().given.clone();
        let mut sources = self.sources();
        sources.given = given;
        self.in_use.store(Arc::new(ByName::new(&sources)));
    }

    /// For new handshakes from now on. On an error the ones in use stay.
    pub fn replace(&self, certificates: &[Certificate]) -> Result<(), TlsError> {
        self.adopt(&Self::new(certificates)?);
        Ok(())
    }

    /// Uses these beside those that were given, which go first, for new handshakes from now on.
    pub fn manage(&self, managed: Managed) {
        let mut sources = self.sources();
        sources.managed = managed;
        self.in_use.store(Arc::new(ByName::new(&sources)));
    }

    /// Those that were given.
    pub fn given(&self) -> Vec<Certificate> {
        self.sources().given.clone()
    }

    /// What authorities ask for while they verify names.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByName {
    fn new(sources: &Sources) -> Self {
        let Sources { given, managed } = sources;
        let all = || given.iter().chain(&managed.certificates);
        let mut by_name = Self {
            default: all().next().map(|first| Arc::clone(&first.key)),
            managed: managed.names.clone(),
            ..Self::default()
        };
        for certificate in all() {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut by_name.wildcard, parent),
                    None => (&mut by_name.exact, name.as_str()),
                };
                names.entry(name.to_owned()).or_insert_with(|| Arc::clone(&certificate.key));
            }
        }
        by_name
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        // RFC 9525 §6.3: a wildcard stands for exactly one label, the left-most.
        let parent = || name.split_once('.').map(|(_, parent)| parent);
        self.exact.get(name).or_else(|| self.wildcard.get(parent()?))
    }

    fn choose(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let Some(name) = name else { return self.default.as_ref() };
        self.find(name).or_else(|| self.default.as_ref().filter(|_| !self.managed.contains(name)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if challenges::is_verification(&hello) {
            return self.challenges.certificate(hello.server_name()?);
        }
        // rustls gives the name in lower case.
        self.in_use.load().choose(hello.server_name()).cloned()
    }
}

/// Which versions of TLS are spoken, by the names of Mozilla's recommendations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsPolicy {
    /// 1.3 alone.
    Modern,
    /// 1.2 and 1.3.
    #[default]
    Intermediate,
}

impl TlsPolicy {
    fn versions(self) -> Vec<&'static rustls::SupportedProtocolVersion> {
        match self {
            Self::Modern => vec![&rustls::version::TLS13],
            Self::Intermediate => vec![&rustls::version::TLS13, &rustls::version::TLS12],
        }
    }
}

/// Over TCP: HTTP/2 before HTTP/1.1, and last what authorities verify names by.
const STREAMS: &[&[u8]] = &[b"h2", b"http/1.1", ACME_TLS];

/// The TLS of a process's listeners, with one set of ticket keys for all of them.
#[derive(Debug)]
pub(super) struct Tls {
    certificates: Arc<Certificates>,
    policy: TlsPolicy,
    keys: Arc<dyn ProducesTickets>,
    /// Of handshakes that ask the client for no certificate.
    open: Arc<ServerConfig>,
}

impl Tls {
    pub(super) fn new(certificates: Arc<Certificates>, policy: TlsPolicy) -> Result<Self, TlsError> {
        let keys = aws_lc_rs::Ticketer::new()?;
        let open = Way { protocols: STREAMS, policy, demand: None };
        let open = Arc::new(open.config(&certificates, &keys)?);
        Ok(Self { certificates, policy, keys, open })
    }

    /// The configuration of a handshake of the https listeners.
    pub(super) fn config(&self, demand: Option<&ClientDemand>) -> Result<Arc<ServerConfig>, TlsError> {
        let Some(demand) = demand else { return Ok(Arc::clone(&self.open)) };
        if let Some(config) = demand.config().get() {
            return Ok(Arc::clone(config));
        }
        let way = Way { protocols: STREAMS, policy: self.policy, demand: Some(demand) };
        let config = Arc::new(way.config(&self.certificates, &self.keys)?);
        Ok(Arc::clone(demand.config().get_or_init(|| config)))
    }

    /// The configuration of HTTP/3, for which only TLS 1.3 will do (RFC 9001 §4.2). Data before the end of the handshake
    /// (0-RTT) can be replayed by anyone who saw it, and is not taken. No certificate is asked for: the configuration
    /// stands before the client has said which server it wants.
    pub(super) fn quic_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let way = Way { protocols: &[b"h3"], policy: TlsPolicy::Modern, demand: None };
        let mut config = way.config(&self.certificates, &self.keys)?;
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}

/// How a kind of handshake goes.
struct Way<'a> {
    /// The preferred first.
    protocols: &'a [&'a [u8]],
    policy: TlsPolicy,
    demand: Option<&'a ClientDemand>,
}

impl Way<'_> {
    fn config(
        &self,
        certificates: &Arc<Certificates>,
        keys: &Arc<dyn ProducesTickets>,
    ) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.policy.versions())?;
        let builder = match self.demand {
            Some(demand) => builder.with_client_cert_verifier(demand.verifier()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(certificates) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        config.ticketer =
            Tickets::new(Arc::clone(keys), self.demand.map_or(tickets::OPEN, ClientDemand::fingerprint));
        config.send_tls13_tickets = 2;
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
