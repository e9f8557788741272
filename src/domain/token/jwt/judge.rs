//! The policy over the claims of a token whose signature holds: one function for each check.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::claims::{Claims, VERSION};
use super::container::Container;
use super::verify::{Check, Verifier};
use super::{Nonce, Plain, Profile, jwe};
use crate::domain::token::grant::{Clients, UnixTime};
use crate::domain::token::judged_uri::JudgedUri;
use crate::domain::token::keys::Named;
use crate::domain::token::reason::Reason;
use crate::domain::token::signature::IssuerKey;
use crate::domain::token::{acl, address};

/// A token's claims, and what they are judged against.
pub(super) struct Judged<'a> {
    pub(super) verifier: &'a Verifier,
    pub(super) claims: &'a Claims,
    pub(super) key: &'a Named<Arc<IssuerKey>>,
    pub(super) client: IpAddr,
    pub(super) path: &'a str,
    pub(super) uri: JudgedUri<'a>,
    pub(super) now: UnixTime,
}

impl Judged<'_> {
    pub(super) const URI_SIGNING: [Check; 12] = [
        ("version", |this| ok_or(this.claims.version == VERSION, Reason::Malformed)),
        // No extension is known here.
        ("critical", |this| ok_or(this.claims.critical.is_empty(), Reason::Malformed)),
        ("issuer", |this| this.check_issuer()),
        ("audience", |this| this.check_audience()),
        ("not before", |this| this.check_start()),
        ("expiry", |this| this.check_expiry()),
        ("expiry ahead", |this| this.check_expiry_ahead()),
        // RFC 9246 §2.1.6: "If the signed JWT contains a Nonce claim and the CDN verifying the signed JWT […] does not support
        // Nonce storage, then the CDN MUST reject the request."
        ("nonce", |this| {
            let is_kept = this.claims.nonce.is_none() || this.verifier.settings.nonce != Nonce::Refused;
            ok_or(is_kept, Reason::Malformed)
        }),
        ("subject", |this| {
            let reads = this.claims.subject.is_none() || this.subject().is_some();
            ok_or(reads, Reason::Malformed)
        }),
        ("session id", |this| this.verifier.session_id(this).map(|_| ())),
        ("client", |this| this.check_client()),
        ("uri", |this| {
            let container = this.claims.container.as_deref().ok_or(Reason::Malformed)?;
            let container =
                Container::parse(container, this.verifier.settings.limits).map_err(|_| Reason::Malformed)?;
            ok_or(container.holds(&this.uri.uri()), Reason::UrlMismatch)
        }),
    ];

    pub(super) const PLAIN: [Check; 8] = [
        ("issuer", |this| this.check_issuer()),
        ("audience", |this| this.check_audience()),
        ("not before", |this| this.check_start()),
        ("expiry", |this| this.check_expiry()),
        ("expiry ahead", |this| this.check_expiry_ahead()),
        ("session id", |this| this.verifier.session_id(this).map(|_| ())),
        ("client", |this| this.check_plain_client()),
        ("paths", |this| {
            let Profile::Plain(plain) = &this.verifier.settings.profile else {
                return Err(Reason::Malformed);
            };
            let acl = this.acl(plain).ok_or(Reason::Malformed)?;
            ok_or(acl::covers(&acl::normalise(&acl), this.path), Reason::AclMismatch)
        }),
    ];

    /// RFC 9246 §2.1.1: "if the issuer claim does not match the key used to sign the JWT, the CDN MUST reject the request".
    fn check_issuer(&self) -> Result<(), Reason> {
        let knows = |issuer: &String| self.key.key.issuers.contains(issuer);
        ok_or(self.claims.issuer.as_ref().is_none_or(knows), Reason::BadSignature)
    }

    /// RFC 7519 §4.1.3: "If the principal processing the claim does not identify itself with a value in the 'aud' claim when
    /// this claim is present, then the JWT MUST be rejected."
    fn check_audience(&self) -> Result<(), Reason> {
        let ours = &self.verifier.settings.audiences;
        let names_us = |named: &Vec<String>| named.iter().any(|name| ours.contains(name));
        ok_or(self.claims.audiences.as_ref().is_none_or(names_us), Reason::AclMismatch)
    }

    /// RFC 9246 §2.1.5: a token is refused that "corresponds to a time later than the time of the content request".
    fn check_start(&self) -> Result<(), Reason> {
        let (_, skew) = self.skews();
        let earliest = self.now.saturating_add(skew);
        let has_begun = self.claims.not_before.is_none_or(|start| Duration::from_secs(start) <= earliest);
        ok_or(has_begun, Reason::NotYetValid)
    }

    /// RFC 9246 §2.1.4: refused when it "corresponds to a time equal to or earlier than the time of the content request".
    fn check_expiry(&self) -> Result<(), Reason> {
        let Some(expires) = self.claims.expires else {
            return ok_or(!self.verifier.settings.expiry_required, Reason::Malformed);
        };
        let (skew, _) = self.skews();
        ok_or(self.now < Duration::from_secs(expires).saturating_add(skew), Reason::Expired)
    }

    fn check_expiry_ahead(&self) -> Result<(), Reason> {
        let Some(ahead) = self.verifier.settings.expiry_ahead_max else { return Ok(()) };
        let bound = self.now.saturating_add(ahead);
        let is_near = self.claims.expires.is_some_and(|expires| Duration::from_secs(expires) <= bound);
        ok_or(is_near, Reason::ExpiryTooFar)
    }

    fn check_client(&self) -> Result<(), Reason> {
        if self.claims.client.is_none() {
            return Ok(());
        }
        let network = self.network().ok_or(Reason::Malformed)?;
        ok_or(address::holds(&network, self.client), Reason::IpMismatch)
    }

    fn check_plain_client(&self) -> Result<(), Reason> {
        let Profile::Plain(plain) = &self.verifier.settings.profile else { return Err(Reason::Malformed) };
        match self.plain_clients(plain)? {
            Clients::Any => Ok(()),
            Clients::Address(named) => {
                ok_or(plain.address_match.agrees(&named, self.client), Reason::IpMismatch)
            }
            Clients::Networks(networks) => {
                let holds = networks.iter().any(|network| address::holds(network, self.client));
                ok_or(holds, Reason::IpMismatch)
            }
        }
    }

    /// Leeway at the end and at the start; RFC 9246 allows none.
    fn skews(&self) -> (Duration, Duration) {
        match &self.verifier.settings.profile {
            Profile::UriSigning { .. } => (Duration::ZERO, Duration::ZERO),
            Profile::Plain(plain) => (plain.expiry_skew, plain.start_skew),
        }
    }

    /// The text of a claim that has to be encrypted; `None` where it cannot be read, or stands in the clear and may not.
    fn opened(&self, text: &str) -> Option<String> {
        let opened = jwe::open(text, self.verifier.decryption.iter(), self.verifier.settings.limits);
        let may_be_clear = match self.verifier.settings.profile {
            Profile::UriSigning { clear_personal_data } => clear_personal_data,
            Profile::Plain(_) => true,
        };
        opened.or_else(|| (may_be_clear && !is_encrypted(text)).then(|| text.to_owned()))
    }

    pub(super) fn subject(&self) -> Option<String> {
        self.opened(self.claims.subject.as_deref()?)
    }

    /// RFC 9246 §2.1.10: "an IP address or IP prefix […] in CIDR notation"; the RFC's own example stands in brackets.
    pub(super) fn network(&self) -> Option<IpNet> {
        let opened = self.opened(self.claims.client.as_deref()?)?;
        let text = opened.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&opened);
        network(text)
    }

    /// The ACL of a plain token; `None` where the claim is missing or is no text.
    pub(super) fn acl(&self, plain: &Plain) -> Option<String> {
        let patterns = self.claims.texts(&plain.paths_claim)?;
        (!patterns.is_empty()).then(|| patterns.join(&acl::SEPARATOR.to_string()))
    }

    pub(super) fn plain_clients(&self, plain: &Plain) -> Result<Clients, Reason> {
        if plain.address_claim.is_empty() || !self.claims.has(&plain.address_claim) {
            return Ok(Clients::Any);
        }
        let named = self.claims.text(&plain.address_claim).ok_or(Reason::Malformed)?;
        if named.contains('/') {
            return network(named).map(|network| Clients::Networks(vec![network])).ok_or(Reason::Malformed);
        }
        Ok(Clients::Address(named.to_owned()))
    }

    /// What a check was about, in a line; the texts of encrypted claims are not shown.
    pub(super) fn detail(&self, check: &str) -> String {
        let claims = self.claims;
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
        match check {
            "version" => claims.version.to_string(),
            "critical" => or_none((!claims.critical.is_empty()).then(|| claims.critical.join(", "))),
            "issuer" => {
                format!("{:?}; with this key sign {:?}", or_none(claims.issuer.clone()), self.key.key.issuers)
            }
            "audience" => {
                format!(
                    "{:?}; ours are {:?}",
                    claims.audiences.as_deref().unwrap_or_default(),
                    self.verifier.settings.audiences
                )
            }
            "not before" => or_none(claims.not_before.map(|start| start.to_string())),
            "expiry" | "expiry ahead" => or_none(claims.expires.map(|end| end.to_string())),
            "nonce" => or_none(claims.nonce.clone()),
            "subject" => or_none(claims.subject.as_deref().map(|text| secrecy(text).to_owned())),
            "session id" => {
                format!("at most {} bytes, printable", self.verifier.settings.limits.session_id_bytes_max)
            }
            "client" => format!(
                "{}; the client is {}",
                or_none(claims.client.as_deref().map(|text| secrecy(text).to_owned())),
                self.client
            ),
            "uri" => format!("{:?} for {:?}", or_none(claims.container.clone()), self.uri.uri()),
            "paths" => match &self.verifier.settings.profile {
                Profile::Plain(plain) => format!("{:?} for {:?}", or_none(self.acl(plain)), self.path),
                Profile::UriSigning { .. } => String::new(),
            },
            _ => String::new(),
        }
    }

    pub(super) fn cure(&self, check: &str) -> Option<String> {
        const MILLISECONDS: u64 = 100_000_000_000;
        let is_huge = |time: Option<u64>| time.is_some_and(|time| time >= MILLISECONDS);
        match check {
            "critical" => Some("no extension of RFC 9246 is known here: leave cdnicrit out".to_owned()),
            "issuer" => Some("list the issuer under this key, or sign with a key of this issuer".to_owned()),
            "audience" => Some("list one of the token's audiences in audiences".to_owned()),
            "not before" | "expiry ahead" if is_huge(self.claims.not_before) || is_huge(self.claims.expires) => {
                Some("a time looks like milliseconds: give Unix time in seconds".to_owned())
            }
            "expiry" if self.claims.expires.is_none() => {
                Some("a token without exp never ends: sign one, or set expiry_required = false".to_owned())
            }
            "nonce" => Some("the token asks to be good once, which nobody counts here: set one_time in [property.limits], leave jti out, or say with nonce what it is for".to_owned()),
            "subject" | "client" if self.verifier.decryption.is_empty() => Some(
                "RFC 9246 has sub and cdniip encrypted: add the key that opens them to the JWK set (use = \"enc\"), or allow them in the clear".to_owned(),
            ),
            "uri" if self.claims.container.is_none() => Some(
                "a token of RFC 9246 has cdniuc; for JWTs with claims of your own set profile = \"plain\"".to_owned(),
            ),
            "uri" => Some(
                "the whole URI is judged, with scheme and host, without the token: sign for it, with \\. for dots and .* where anything may stand".to_owned(),
            ),
            _ => None,
        }
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    // What is mapped is judged as the IPv4 network it is, as clients' addresses are.
    match network {
        IpNet::V6(mapped) if mapped.prefix_len() >= 96 => match mapped.addr().to_ipv4_mapped() {
            Some(v4) => ipnet::Ipv4Net::new(v4, mapped.prefix_len() - 96).ok().map(IpNet::V4),
            None => Some(network),
        },
        IpNet::V4(_) | IpNet::V6(_) => Some(network),
    }
}

/// Whether a text has the five parts of a JWE, so that nobody means it as it stands.
fn is_encrypted(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 4 && text.starts_with("eyJ")
}

fn secrecy(text: &str) -> &'static str {
    if is_encrypted(text) { "encrypted" } else { "in the clear" }
}

fn ok_or(holds: bool, reason: Reason) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(reason) }
}
