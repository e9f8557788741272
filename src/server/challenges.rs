//! What a certificate authority asks for while it verifies that a name leads here (RFC 8555 §8): the certificates of
//! TLS-ALPN-01 and the texts of HTTP-01. Nothing of it is secret, and it is there only while an order is under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

/// The protocol of TLS-ALPN-01 (RFC 8737 §6.2). A connection that agreed on it carries nothing.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Where HTTP-01 looks for its text (RFC 8555 §8.3).
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// What is asked for at present.
#[derive(Debug, Default)]
pub struct Challenges {
    /// By server name.
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    /// By token.
    texts: Mutex<HashMap<String, Bytes>>,
    /// How many texts there are, so that requests take no lock while there is none.
    texts_count: AtomicUsize,
}

/// What is kept ready for one challenge. Dropped, it is no longer there.
#[derive(Debug)]
pub struct Ready {
    challenges: Arc<Challenges>,
    key: Key,
}

#[derive(Debug)]
enum Key {
    ServerName(String),
    Token(String),
}

impl Challenges {
    /// Shows this certificate to whoever asks for `name` with `acme-tls/1`.
    pub fn show(self: &Arc<Self>, name: &str, certificate: CertifiedKey) -> Ready {
        lock(&self.certificates).insert(name.to_owned(), Arc::new(certificate));
        Ready { challenges: Arc::clone(self), key: Key::ServerName(name.to_owned()) }
    }

    /// Answers with this text where HTTP-01 looks for `token`.
    pub fn say(self: &Arc<Self>, token: &str, text: String) -> Ready {
        let mut texts = lock(&self.texts);
        texts.insert(token.to_owned(), text.into());
        self.texts_count.store(texts.len(), Ordering::Release);
        Ready { challenges: Arc::clone(self), key: Key::Token(token.to_owned()) }
    }

    /// The text for a request's path, if just that is asked for at present.
    pub fn text(&self, path: &str) -> Option<Bytes> {
        if self.texts_count.load(Ordering::Acquire) == 0 {
            return None;
        }
        lock(&self.texts).get(path.strip_prefix(WELL_KNOWN)?).cloned()
    }

    pub(super) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        lock(&self.certificates).get(name).cloned()
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        match &self.key {
            Key::ServerName(name) => {
                lock(&self.challenges.certificates).remove(name);
            }
            Key::Token(token) => {
                let mut texts = lock(&self.challenges.texts);
                texts.remove(token);
                self.challenges.texts_count.store(texts.len(), Ordering::Release);
            }
        }
    }
}

/// Whether this is an authority that verifies a name. RFC 8737 §3: the client's "application-layer protocol negotiation
/// extension MUST contain only the single ASCII string "acme-tls/1"".
pub(super) fn is_verification(hello: &ClientHello<'_>) -> bool {
    let Some(mut protocols) = hello.alpn() else { return false };
    protocols.next() == Some(ACME_TLS) && protocols.next().is_none()
}

fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_there_for_its_token_alone_and_while_it_is_kept_ready() {
        let challenges = Arc::<Challenges>::default();
        let ready = challenges.say("token", "token.thumbprint".to_owned());
        let text = |path: &str| challenges.text(path);
        assert_eq!(text("/.well-known/acme-challenge/token").as_deref(), Some(&b"token.thumbprint"[..]));
        for other in [
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/tokens",
            "/.well-known/acme-challenge/token/",
            "/.well-known/acme-challenge//token",
            "/.well-known/ACME-challenge/token",
            "/x/.well-known/acme-challenge/token",
            "/token",
        ] {
            assert_eq!(text(other), None, "{other}");
        }
        drop(ready);
        assert_eq!(challenges.text("/.well-known/acme-challenge/token"), None);
    }
}
