//! Certificates of clients (mutual TLS): what a handshake asks for, by server name, and whether a request may count on it.
//!
//! One connection can carry requests for several hosts, so a handshake is noted with the property that it was for, and with
//! the chain that was shown. A request stands on a connection only where its own property asked for the certificate.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a property asks of its clients.
#[derive(Debug)]
pub struct ClientDemand {
    property: Arc<str>,
    is_required: bool,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Of all that decides whom it lets in.
    fingerprint: [u8; 32],
    /// Made at the first handshake.
    config: OnceLock<Arc<ServerConfig>>,
}

/// Why nobody could be verified.
#[derive(Debug, thiserror::Error)]
pub enum DemandError {
    #[error("an authority among them cannot be used ({0})")]
    Authority(Error),
    #[error("no verifier can be made of them ({0})")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// What a handshake asked of its client, and what it was shown. Shared by the requests of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    property: Arc<str>,
    fingerprint: [u8; 32],
    chain: Option<Vec<CertificateDer<'static>>>,
}

impl ClientDemand {
    /// Clients need a certificate by one of `authorities`; where `names` are given, one for one of them. A client without
    /// any is let in where it `is_required` not.
    pub fn new(
        property: Arc<str>,
        authorities: &[CertificateDer<'static>],
        is_required: bool,
        names: &[String],
    ) -> Result<Self, DemandError> {
        let mut digest = Sha256::new();
        let mut note = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        let mut roots = RootCertStore::empty();
        note(property.as_bytes());
        note(&[u8::from(is_required)]);
        for authority in authorities {
            roots.add(authority.clone()).map_err(DemandError::Authority)?;
            note(authority);
        }
        note(b"names");
        for name in names {
            note(name.as_bytes());
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), super::provider());
        let builder = if is_required { builder } else { builder.allow_unauthenticated() };
        let by_authority = builder.build()?;
        let verifier: Arc<dyn ClientCertVerifier> = match names {
            [] => by_authority,
            [_, ..] => Arc::new(Named { by_authority, names: names.to_vec() }),
        };
        let fingerprint = digest.finalize().into();
        Ok(Self { property, is_required, verifier, fingerprint, config: OnceLock::new() })
    }

    /// Whether a request may count on what its connection's handshake was shown. After a reload, the chain of a
    /// connection that stands is judged anew by what is asked since.
    pub fn is_met(&self, shown: Option<&Shown>, now: Duration) -> bool {
        let Some(shown) = shown.filter(|shown| shown.property == self.property) else { return false };
        let Some(chain) = &shown.chain else { return !self.is_required };
        shown.fingerprint == self.fingerprint || self.is_good(chain, UnixTime::since_unix_epoch(now))
    }

    /// What a handshake under this demand was shown; an error where it is not good. A resumed session brings the chain
    /// of the handshake that it goes back to, which may have ended since.
    pub(in super::super) fn shown(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        now: UnixTime,
    ) -> Result<Shown, Error> {
        let chain: Option<Vec<_>> =
            chain.map(|chain| chain.iter().map(|certificate| certificate.clone().into_owned()).collect());
        match &chain {
            Some(chain) if !self.is_good(chain, now) => {
                return Err(Error::InvalidCertificate(CertificateError::Expired));
            }
            None if self.is_required => return Err(Error::NoCertificatesPresented),
            Some(_) | None => {}
        }
        Ok(Shown { property: Arc::clone(&self.property), fingerprint: self.fingerprint, chain })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    pub(super) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    pub(super) fn config(&self) -> &OnceLock<Arc<ServerConfig>> {
        &self.config
    }

    fn is_good(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        chain
            .split_first()
            .is_some_and(|(leaf, others)| self.verifier.verify_client_cert(leaf, others, now).is_ok())
    }
}

/// Whether a handshake failed for want of a good certificate of the client.
pub(in super::super) fn is_refusal(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(error, Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)))
}

/// Which demand a handshake has, by the server name that the client asks for (the address without one) and the port.
#[derive(Clone)]
pub struct Demands(Arc<Find>);

type Find = dyn Fn(&str, u16) -> Option<Arc<ClientDemand>> + Send + Sync;

impl Demands {
    pub fn new(find: impl Fn(&str, u16) -> Option<Arc<ClientDemand>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    pub(in super::super) fn find(&self, name: Option<&str>, local: SocketAddr) -> Option<Arc<ClientDemand>> {
        match name {
            Some(name) => (self.0)(name, local.port()),
            None if local.is_ipv6() => (self.0)(&format!("[{}]", local.ip()), local.port()),
            None => (self.0)(&local.ip().to_string(), local.port()),
        }
    }
}

/// Asks nobody.
impl Default for Demands {
    fn default() -> Self {
        Self::new(|_, _| None)
    }
}

impl fmt::Debug for Demands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Demands(..)")
    }
}

/// Lets in some of those whom an authority vouches for.
#[derive(Debug)]
struct Named {
    by_authority: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl Named {
    /// RFC 9525 §6.3 leaves the common name behind; it counts here only where there is no alternative name at all.
    fn has(&self, leaf: &CertificateDer<'_>) -> bool {
        let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return false };
        let is_listed = |name: &str| self.names.iter().any(|listed| listed == name);
        let is_listed_host = |name: &str| self.names.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        match leaf.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().any(|name| match name {
                GeneralName::DNSName(name) => is_listed_host(name),
                GeneralName::URI(name) | GeneralName::RFC822Name(name) => is_listed(name),
                _ => false,
            }),
            Ok(None) => leaf.subject().iter_common_name().any(|name| name.as_str().is_ok_and(is_listed)),
            Err(_) => false,
        }
    }
}

impl ClientCertVerifier for Named {
    fn offer_client_auth(&self) -> bool {
        self.by_authority.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.by_authority.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_authority.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.by_authority.verify_client_cert(leaf, others, now)?;
        if self.has(leaf) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}
