//! The keys of `[property.origin]` for TLS: authorities, the client's certificate, the server's name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use toml::Spanned;

use crate::origin::settings::{ClientCertificate, TlsSettings};

use super::super::fault::Judge;
use super::super::file::origin as typed;

pub fn tls(typed: &typed::Origin, folder: &Path, judge: &mut Judge) -> TlsSettings {
    let name = typed.server_name.get_ref();
    let server_name = if name.is_empty() {
        None
    } else {
        let parsed = ServerName::try_from(name.clone()).ok();
        if parsed.is_none() {
            judge.fault(
                typed.server_name.span(),
                format!("server_name = \"{name}\" is no name"),
                "write the name in the origin's certificate, such as \"origin.example\"",
            );
        }
        parsed
    };
    TlsSettings {
        authorities: typed
            .ca
            .as_ref()
            .and_then(|path| certificates(path, "PEM file of authorities", folder, judge)),
        client: client(typed, folder, judge),
        server_name,
        only_tls13: typed.tls_min == typed::TlsMin::Tls13,
    }
}

fn client(typed: &typed::Origin, folder: &Path, judge: &mut Judge) -> Option<ClientCertificate> {
    match (&typed.client_cert, &typed.client_key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate, "PEM file of the client certificate", folder, judge);
            let file = folder.join(key.get_ref());
            match PrivateKeyDer::from_pem_file(&file) {
                Ok(key) => Some(ClientCertificate { chain: chain?, key: Arc::new(key) }),
                Err(error) => {
                    let message = format!("cannot read {}: {error}", file.display());
                    judge.fault(key.span(), message, "give the PEM file of the client certificate's key");
                    None
                }
            }
        }
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => {
            judge.fault(
                alone.span(),
                "client_cert and client_key go together, and one is missing",
                "give both",
            );
            None
        }
    }
}

/// The certificates in a PEM file, at least one.
pub fn certificates(
    path: &Spanned<PathBuf>,
    what: &str,
    folder: &Path,
    judge: &mut Judge,
) -> Option<Vec<CertificateDer<'static>>> {
    let file = folder.join(path.get_ref());
    let read = CertificateDer::pem_file_iter(&file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let problem = match read {
        Ok(certificates) if !certificates.is_empty() => return Some(certificates),
        Ok(_) => format!("{} holds no certificate", file.display()),
        Err(error) => format!("cannot read {}: {error}", file.display()),
    };
    judge.fault(path.span(), problem, format!("give a {what}"));
    None
}
