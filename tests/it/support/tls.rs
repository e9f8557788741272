//! Certificates for tests, a TLS client, and an origin behind TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sluicegate::cli::cert::{CertArgs, run};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::START;

/// A certificate for `localhost` and `127.0.0.1` by an authority of its own, in a folder that ends with it.
pub struct TestCertificate {
    pub folder: tempfile::TempDir,
}

impl TestCertificate {
    pub fn new() -> Self {
        Self::naming(&["localhost", "127.0.0.1"])
    }

    /// The same for other names.
    pub fn naming(hosts: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let args = CertArgs {
            out: folder.path().to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            days: 825,
            force: false,
        };
        // The TLS clients of these tests go by the system's clock, the edge by the tests'.
        let now = std::fs::metadata(folder.path())
            .and_then(|made| made.modified())
            .ok()
            .and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
        run(&args, now.unwrap_or(Duration::from_secs(START)), &mut Vec::new()).expect("a certificate");
        Self { folder }
    }

    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("dev.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("dev.key")
    }
}

/// A TLS connection that trusts this authority and offers these protocols.
pub async fn connect(address: SocketAddr, authority: &Path, alpn: &[&str]) -> TlsStream<TcpStream> {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    attempt(address, authority, alpn, &versions).await.expect("a handshake")
}

/// The same with these versions of TLS alone; the handshake may fail.
pub async fn attempt(
    address: SocketAddr,
    authority: &Path,
    alpn: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await.expect("the edge listens");
    over(socket, authority, alpn, versions).await
}

/// The same over a socket that stands.
pub async fn over(
    socket: TcpStream,
    authority: &Path,
    alpn: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = client(&[authority.to_owned()], versions).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// A client that trusts these authorities; whether it has a certificate of its own is still to be said.
pub fn client(
    authorities: &[PathBuf],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in authorities {
        roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("an authority");
    }
    sluicegate::trust::client(roots, versions).expect("protocol versions")
}

/// An address where TLS with this certificate ends and everything goes on to `origin` in the clear.
pub async fn in_front_of(origin: SocketAddr, certificate: &TestCertificate) -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(certificate.certificate())
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .expect("a chain");
    let key = PrivateKeyDer::from_pem_file(certificate.key()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut secure) = acceptor.accept(socket).await else { return };
                let Ok(mut plain) = TcpStream::connect(origin).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
            });
        }
    });
    address
}
