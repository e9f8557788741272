//! Speaks with a certificate authority: the account, orders, challenges, and when it wants a renewal.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Limited;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, CertificateIdentifier, ChallengeType, Error,
    ExternalAccountKey, HttpClient, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::server::challenges::Challenges;
use crate::server::tls::{Certificate, TlsError};
use crate::trust;

use super::due::Due;
use super::folder::Folder;
use super::settings::{Challenge, Settings};
use super::spread;

/// The longest answer of an authority: a chain of certificates is some kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why a certificate was not obtained.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcmeError {
    #[error("{0}")]
    Authority(#[from] Error),
    #[error("the authority does not offer {}; choose the other in [tls.acme] challenge", .0.name())]
    NotOffered(Challenge),
    #[error("the authority could not verify the name: {0}")]
    Unverified(String),
    #[error("the certificate that came is for another name")]
    OtherName,
    #[error("what came is no certificate with its key: {0}")]
    Unusable(#[from] TlsError),
    #[error("{}: {source}. Let this user write there", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("a challenge cannot be made: {0}")]
    Proof(#[from] rcgen::Error),
    #[error("TLS to the authority cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    #[error("it took longer than order_timeout")]
    Late,
}

impl AcmeError {
    pub(super) fn disk(path: &Path, source: io::Error) -> Self {
        Self::Disk { path: path.to_owned(), source }
    }

    /// Whether the authority was asked too often (RFC 8555 §6.6).
    pub(super) fn is_rate_limit(&self) -> bool {
        const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";
        matches!(self, Self::Authority(Error::Api(problem)) if problem.r#type.as_deref() == Some(RATE_LIMITED))
    }
}

impl Challenge {
    fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// An authority that knows us.
pub(super) struct Authority {
    account: Account,
    settings: Arc<Settings>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("directory", &self.settings.directory).finish_non_exhaustive()
    }
}

impl Authority {
    /// With the account that is kept, or a new one, which is kept before it is used.
    pub(super) async fn meet(settings: &Arc<Settings>) -> Result<Self, AcmeError> {
        let builder = Account::builder_with_http(Box::new(Http::new(settings)?));
        let folder = Folder::new(settings);
        let account = if let Some(credentials) = folder.account()? {
            builder.from_credentials(credentials).await?
        } else {
            let contacts: Vec<&str> = settings.contacts.iter().map(String::as_str).collect();
            // The configuration is a fault where they are not agreed to.
            let asked =
                NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
            let external = settings.external.as_ref();
            let external = external.map(|known| ExternalAccountKey::new(known.id.clone(), &known.key));
            let made = builder.create(&asked, settings.directory.clone(), external.as_ref()).await?;
            let (account, credentials) = made;
            folder.keep_account(&credentials)?;
            account
        };
        Ok(Self { account, settings: settings.clone() })
    }

    /// When the authority wants a certificate renewed: at a random time of the window that it gives (RFC 9773 §4.2), with
    /// the time of the next question; none where it says nothing.
    pub(super) async fn due(&self, certificate: &Certificate, now: Duration) -> Option<Due> {
        // RFC 9773 §4.3.2: clients "SHOULD set reasonable limits on their checking interval".
        const LOOK_MIN: Duration = Duration::from_hours(1);
        const LOOK_MAX: Duration = Duration::from_hours(24);
        let id = CertificateIdentifier::try_from(certificate.leaf()?).ok()?;
        let (info, look) = self.account.renewal_info(&id).await.ok()?;
        let window = info.suggested_window;
        let seconds = |time: i64| Duration::from_secs(u64::try_from(time).unwrap_or(0));
        let (start, end) = (seconds(window.start.unix_timestamp()), seconds(window.end.unix_timestamp()));
        let at = start + end.saturating_sub(start) / 1000 * spread();
        Some(Due::suggested(at).looking(now + look.clamp(LOOK_MIN, LOOK_MAX)))
    }

    /// A new certificate: the key and the chain, in PEM.
    pub(super) async fn obtain(
        &self,
        name: &str,
        before: Option<&Certificate>,
        challenges: &Arc<Challenges>,
    ) -> Result<String, AcmeError> {
        let identifiers = [Identifier::Dns(name.to_owned())];
        let mut order = self.order(&identifiers, before).await?;
        let mut ready = Vec::new();
        let kind = match self.settings.challenge {
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Challenge::Http01 => ChallengeType::Http01,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(kind.clone()) else {
                return Err(AcmeError::NotOffered(self.settings.challenge));
            };
            let key = challenge.key_authorization();
            ready.push(match self.settings.challenge {
                Challenge::TlsAlpn01 => challenges.show(name, proof(name, key.digest().as_ref())?),
                Challenge::Http01 => challenges.say(&challenge.token, key.as_str().to_owned()),
            });
            challenge.set_ready().await?;
        }
        let patience = RetryPolicy::new().timeout(self.settings.order_timeout);
        if order.poll_ready(&patience).await? != OrderStatus::Ready {
            return Err(AcmeError::Unverified(why(&mut order).await));
        }
        // Verified: nobody has to be shown anything any more.
        ready.clear();
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&patience).await?;
        Ok(format!("{key}\n{chain}"))
    }

    async fn order(
        &self,
        identifiers: &[Identifier],
        before: Option<&Certificate>,
    ) -> Result<Order, AcmeError> {
        let asked = || {
            let order = NewOrder::new(identifiers);
            match &self.settings.profile {
                Some(profile) => order.profile(profile),
                None => order,
            }
        };
        let replaced = before.and_then(Certificate::leaf);
        let replaced = replaced.and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let Some(replaced) = replaced else { return Ok(self.account.new_order(&asked()).await?) };
        // RFC 9773 §5: an authority may not know it, or have had it replaced already; what it replaces is a hint.
        match self.account.new_order(&asked().replaces(replaced)).await {
            Ok(order) => Ok(order),
            Err(_) => Ok(self.account.new_order(&asked()).await?),
        }
    }
}

/// What the authority says of the challenges that failed.
async fn why(order: &mut Order) -> String {
    let mut told = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        told.extend(
            state.challenges.iter().filter_map(|challenge| challenge.error.as_ref()).map(ToString::to_string),
        );
    }
    if told.is_empty() { "it gives no reason".to_owned() } else { told.join("; ") }
}

/// RFC 8737 §3: a certificate for the name alone, with the digest of the key authorization in an extension.
fn proof(name: &str, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// HTTPS to the authority, with a limit on its answers.
struct Http(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Http {
    fn new(settings: &Settings) -> Result<Self, AcmeError> {
        let roots = trust::roots(settings.authorities.as_deref())?;
        let tls = trust::client(roots, rustls::DEFAULT_VERSIONS)?.with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_all_versions().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.0.request(request);
        Box::pin(async move {
            let answer = answer.await.map_err(|error| Error::Other(Box::new(error)))?;
            Ok(BytesResponse::from(answer.map(|body| Limited::new(body, ANSWER_BYTES_MAX))))
        })
    }
}
