//! Whom the edge trusts where it is the client of TLS: the authorities that are given, else the system's.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, Error, RootCertStore, SupportedProtocolVersion};

/// The authorities `given`; without any the system's.
pub fn roots(given: Option<&[CertificateDer<'static>]>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match given {
        Some(given) => {
            for certificate in given {
                roots.add(certificate.clone())?;
            }
        }
        None => {
            // A root that cannot be read is one that is not trusted: the handshake then says so.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

/// A client that trusts `roots`; whether it has a certificate of its own is still to be said.
pub fn client(
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    Ok(builder.with_root_certificates(roots))
}
