//! Media encryption in the journey: which answers are encrypted and with what, and the keys that are served for them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, IF_RANGE,
    RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::{Body as _, Frame};

use crate::domain::encryption::cipher::{Encryptor, sealed_bytes};
use crate::domain::encryption::playlist::Unsuitable;
use crate::domain::encryption::{Encryption, KeyPer, PERIOD, Seal, Treatment};
use crate::domain::policy::Admission;
use crate::domain::token::reason::Reason;
use crate::domain::uri::query;

use super::answer;
use super::body::{Body, Content, SendError};
use super::error::EdgeError;
use super::property::Property;
use super::target::Target;

/// Digests of the clear bytes, which nobody gets.
const OF_CLEAR_BYTES: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// With what an object is encrypted before it is stored; `None` for what is stored as it came.
pub fn stored_seal(property: &Property, path: &str) -> Option<Seal> {
    let encryption = encrypting(property, path)?;
    (encryption.settings.key_per == KeyPer::Asset).then(|| encryption.seal(path, ""))
}

/// With what an answer is encrypted on its way to this viewer, where keys are made for each session. Without a session there
/// is no key, and nothing goes out clear.
pub fn viewers_seal(
    property: &Property,
    path: &str,
    admission: &Admission<'_>,
) -> Result<Option<Seal>, Reason> {
    match encrypting(property, path) {
        Some(encryption) if encryption.settings.key_per == KeyPer::Session => {
            Ok(Some(encryption.seal(path, session(admission)?)))
        }
        Some(_) | None => Ok(None),
    }
}

/// The client's header fields where the object is encrypted: a part of a ciphertext is of no use to a player, which asks for
/// whole segments, so that everybody gets the whole. `None` where they are good as they are.
pub fn whole_only(property: &Property, path: &str, client: &HeaderMap) -> Option<HeaderMap> {
    encrypting(property, path)?;
    let mut headers = client.clone();
    headers.remove(RANGE);
    headers.remove(IF_RANGE);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Some(headers)
}

fn encrypting<'a>(property: &'a Property, path: &str) -> Option<&'a Encryption> {
    property.encryption.as_ref().filter(|encryption| encryption.treatment(path) == Treatment::Encrypted)
}

/// The key that a request asks for, if it asks for one: it is served to a session, and by default over HTTPS alone.
pub fn key(
    property: &Property,
    target: &Target<'_>,
    admission: &Admission<'_>,
    scheme: &str,
    method: &Method,
) -> Option<Result<Response<Body>, EdgeError>> {
    let encryption = property.encryption.as_ref().filter(|encryption| encryption.is_key(&target.path))?;
    Some(served_key(encryption, target, admission, scheme, method).map_err(EdgeError::from))
}

fn served_key(
    encryption: &Encryption,
    target: &Target<'_>,
    admission: &Admission<'_>,
    scheme: &str,
    method: &Method,
) -> Result<Response<Body>, Reason> {
    let session = session(admission)?;
    if encryption.settings.require_https && scheme != "https" {
        return Err(Reason::NotHttps);
    }
    let period = query::values(&target.plain_query, PERIOD).next().unwrap_or("0");
    let period = period.parse().map_err(|_| Reason::Malformed)?;
    let key = encryption.key(&target.path, period, session);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(answer::sized(StatusCode::OK, headers, Bytes::copy_from_slice(&key), method))
}

/// The HMAC of the session by which a request passes: what a session's keys are made from. It is the end of the token in
/// every spelling of it that verifies.
fn session<'a>(admission: &'a Admission<'_>) -> Result<&'a str, Reason> {
    match admission {
        Admission::Session { admitted, .. } => Ok(admitted.hmac()),
        Admission::Unverified(reason) => Err(*reason),
        Admission::Open | Admission::Access { .. } => Err(Reason::NoToken),
    }
}

/// An answer with its body encrypted, where there is a seal; whatever is no whole object, or is encrypted, stays as it is.
pub fn sealed(response: Response<Content>, seal: Option<&Seal>) -> Result<Response<Content>, EdgeError> {
    let Some(seal) = seal else { return Ok(response) };
    if response.status() != StatusCode::OK || matches!(response.body(), Content::Sealed(_)) {
        return Ok(response);
    }
    let (mut parts, content) = response.into_parts();
    let coding = parts.headers.get(CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(EdgeError::Unencryptable(Unsuitable::Encoded));
    }
    for name in OF_CLEAR_BYTES {
        parts.headers.remove(name);
    }
    parts.headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    let stated = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if let Some(clear) = stated.and_then(|length| length.parse().ok()) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(sealed_bytes(clear)));
    }
    let content = match content {
        // The answer to HEAD.
        Content::Empty => Content::Empty,
        clear => Content::Sealed(Box::new(Sealed::new(clear, seal)?)),
    };
    Ok(Response::from_parts(parts, content))
}

/// A body on its way through the cipher.
#[derive(Debug)]
pub struct Sealed {
    clear: Content,
    /// `None` once the last block was taken.
    encryptor: Option<Encryptor>,
}

impl Sealed {
    fn new(clear: Content, seal: &Seal) -> Result<Self, EdgeError> {
        let encryptor = Encryptor::new(seal).map_err(SendError::Cipher)?;
        Ok(Self { clear, encryptor: Some(encryptor) })
    }

    /// The length of all of it, where that of the clear body is known. Asked before the first frame is taken.
    pub fn length(&self) -> Option<u64> {
        self.clear.length().map(sealed_bytes)
    }

    pub fn is_end_stream(&self) -> bool {
        self.encryptor.is_none()
    }

    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        while let Some(encryptor) = &mut self.encryptor {
            let data = match Pin::new(&mut self.clear).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Poll::Ready(None) => {
                    let last = self.encryptor.take().map(Encryptor::finish);
                    return Poll::Ready(
                        last.map(|last| Ok(Frame::data(last.map_err(SendError::Cipher)?.into()))),
                    );
                }
            };
            let sealed = encryptor.update(&data).map_err(SendError::Cipher)?;
            if !sealed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(sealed.into()))));
            }
        }
        Poll::Ready(None)
    }
}
