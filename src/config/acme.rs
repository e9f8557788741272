//! `[tls.acme]`: which certificates are obtained, from whom.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::acme::settings::{Challenge, External, Settings};

use super::fault::Judge;
use super::file;
use super::file::tls as typed;
use super::origin::tls::certificates;

/// What is obtained; `None` where nothing is, or after a fault.
pub fn settings(typed: &file::File, folder: &Path, judge: &mut Judge) -> Option<Arc<Settings>> {
    let (server, acme) = (&typed.server, typed.tls.acme.as_ref()?);
    let (place, acme) = (acme.span(), acme.get_ref());
    if !acme.terms_agreed {
        judge.fault(
            place.clone(),
            "[tls.acme] asks for certificates, and the authority's terms are not agreed to",
            "read them, and add terms_agreed = true",
        );
    }
    if acme.names.is_empty() {
        judge.fault(place.clone(), "[tls.acme] has no names", "add names = [\"www.example.com\"]");
    }
    if server.https.is_empty() {
        judge.fault(
            place,
            "[tls.acme] obtains certificates, and no https listener uses them",
            "add [server] https",
        );
    }
    let challenge = match acme.challenge.get_ref() {
        typed::Challenge::TlsAlpn01 => Challenge::TlsAlpn01,
        typed::Challenge::Http01 => Challenge::Http01,
    };
    if challenge == Challenge::Http01 && server.http.is_empty() {
        judge.fault(
            acme.challenge.span(),
            "[tls.acme] challenge = \"http-01\" is asked over plain HTTP, and no http listener stands",
            "add [server] http, which port 80 leads to, or write \"tls-alpn-01\"",
        );
    }
    check_texts(acme, judge);
    let names = acme.names.iter().filter_map(|name| host_name(name, judge)).collect();
    let external = match &acme.external_account {
        Some(account) => Some(external(account, folder, judge)?),
        None => None,
    };
    let authorities = match &acme.ca {
        Some(path) => Some(certificates(path, "PEM file of authorities", folder, judge)?),
        None => None,
    };
    Some(Arc::new(Settings {
        directory: acme.directory.get_ref().clone(),
        contacts: acme.contact.iter().map(|contact| contact.get_ref().clone()).collect(),
        names,
        folder: folder.join(&acme.folder),
        challenge,
        external,
        authorities,
        profile: acme.profile.clone(),
        order_timeout: acme.order_timeout.0,
    }))
}

fn check_texts(acme: &typed::Acme, judge: &mut Judge) {
    let directory = acme.directory.get_ref();
    if !directory.starts_with("https://") || url::Url::parse(directory).is_err() {
        judge.fault(
            acme.directory.span(),
            format!("[tls.acme] directory = \"{directory}\" is no https URL"),
            "write the authority's, such as \"https://acme-v02.api.letsencrypt.org/directory\"",
        );
    }
    for contact in &acme.contact {
        if !contact.get_ref().strip_prefix("mailto:").is_some_and(|address| address.contains('@')) {
            judge.fault(
                contact.span(),
                format!("[tls.acme] contact \"{}\" is no address for mail", contact.get_ref()),
                "write for example \"mailto:operator@example.com\"",
            );
        }
    }
}

/// A name that an authority can verify by asking here.
fn host_name(typed: &Spanned<String>, judge: &mut Judge) -> Option<String> {
    let name = typed.get_ref().to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    if !is_address && name.len() <= 253 && name.contains('.') && name.split('.').all(is_label) {
        return Some(name);
    }
    let cure = if name.starts_with('*') {
        "list the names themselves: a wildcard can be verified only in DNS, which is not done here"
    } else {
        "write for example \"www.example.com\""
    };
    judge.fault(typed.span(), format!("[tls.acme] \"{}\" is no host name", typed.get_ref()), cure);
    None
}

/// RFC 8555 §7.3.4: the authority gives the key in base64url.
fn external(account: &typed::ExternalAccount, folder: &Path, judge: &mut Judge) -> Option<External> {
    let read = match account.key.get_ref().read(folder) {
        Ok(read) => read,
        Err(error) => {
            judge.fault(
                account.key.span(),
                format!("[tls.acme] external_account: {error}"),
                "give the authority's key",
            );
            return None;
        }
    };
    match URL_SAFE_NO_PAD.decode(read.text.trim().trim_end_matches('=')) {
        Ok(key) if !key.is_empty() => Some(External { id: account.id.clone(), key: Zeroizing::new(key) }),
        Ok(_) | Err(_) => {
            judge.fault(
                account.key.span(),
                "[tls.acme] external_account: the key is no base64url",
                "give it as the authority shows it",
            );
            None
        }
    }
}
