//! How connections to the origin are made: TCP, and TLS with the system's roots or given ones.

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("a certificate of the origin's authorities is not valid: {0}")]
    Authority(rustls::Error),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A connector for `http` and `https`. Without `authorities` the system's root certificates are trusted.
pub fn connector(
    authorities: Option<&[CertificateDer<'static>]>,
    connect_timeout: Duration,
) -> Result<HttpsConnector<HttpConnector>, ConnectorError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(given) => {
            for certificate in given {
                roots.add(certificate.clone()).map_err(ConnectorError::Authority)?;
            }
        }
        None => {
            // A root that cannot be read is one that is not trusted: the handshake then says so.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_keepalive(Some(Duration::from_mins(1)));
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp))
}
