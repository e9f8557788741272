//! `[property.tls]`: which certificates clients of a property have to show.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use crate::server::tls::mutual::ClientDemand;

use super::fault::Judge;
use super::file::tls::{Demanded, PropertyTls};
use super::origin::tls::certificates;

/// What is asked of the clients of `property`; `None` where nothing is, or after a fault.
pub fn demand(
    typed: &PropertyTls,
    property: &Arc<str>,
    has_https: bool,
    folder: &Path,
    judge: &mut Judge,
) -> Option<Arc<ClientDemand>> {
    let (place, demanded) = (typed.client_certificates.span(), *typed.client_certificates.get_ref());
    if demanded == Demanded::Off {
        let unused = typed.client_ca.first().map(Spanned::span);
        if let Some(place) = unused.or(typed.client_names.first().map(Spanned::span)) {
            judge.fault(
                place,
                format!("the property \"{property}\" asks no client for a certificate, and says which are good"),
                "add client_certificates = \"required\" (or \"optional\"), or take client_ca and client_names out",
            );
        }
        return None;
    }
    if typed.client_ca.is_empty() {
        judge.fault(
            place.clone(),
            format!("the property \"{property}\" asks clients for a certificate, and trusts no authority"),
            "add client_ca = [\"clients-ca.pem\"], the certificates of the authorities",
        );
    }
    if !has_https {
        judge.fault(
            place.clone(),
            format!(
                "the property \"{property}\" asks clients for a certificate, and no https listener stands"
            ),
            "add [server] https: neither plain HTTP nor HTTP/3 can ask for one",
        );
    }
    for name in typed.client_names.iter().filter(|name| name.get_ref().is_empty()) {
        judge.fault(
            name.span(),
            "client_names has an empty name",
            "write a name as it stands in the certificate",
        );
    }
    let read = |path| certificates(path, "PEM file of the authorities of clients", folder, judge);
    let authorities: Vec<_> = typed.client_ca.iter().map(read).collect::<Option<Vec<_>>>()?.concat();
    let names: Vec<String> = typed.client_names.iter().map(|name| name.get_ref().clone()).collect();
    if authorities.is_empty() {
        return None;
    }
    match ClientDemand::new(property.clone(), &authorities, demanded == Demanded::Required, &names) {
        Ok(demand) => Some(Arc::new(demand)),
        Err(error) => {
            judge.fault(
                place,
                format!("client_ca of the property \"{property}\": {error}"),
                "give authorities as X.509 in PEM",
            );
            None
        }
    }
}
