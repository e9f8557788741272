//! An authority that verifies a name by TLS-ALPN-01: which certificate it is shown, and that nothing more comes of it.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sluicegate::server::settings::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{certificate, connect_tls, connector, read_answer, start, tls_settings, within};

const ACME: &str = "acme-tls/1";

/// A certificate that stands for one that proves a challenge, and what a client trusts it by.
fn proof(name: &str) -> (CertifiedKey, CertificateDer<'static>) {
    let generated = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = CertificateDer::from_pem_slice(generated.cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(generated.signing_key.serialize_pem().as_bytes()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    (CertifiedKey::new(vec![certificate.clone()], key), certificate)
}

#[tokio::test]
async fn a_pending_challenge_is_shown_its_certificate_and_the_connection_carries_nothing() {
    let (loaded, root) = certificate(&["a.test"]);
    let settings = tls_settings(Limits::default(), &[loaded]);
    let challenges = settings.certificates.as_ref().unwrap().challenges().clone();
    let server = start(settings);
    let https = server.https.unwrap();
    let (proof, proof_root) = proof("a.test");
    let ready = challenges.show("a.test", proof);

    let mut session =
        connect_tls(https, &connector(std::slice::from_ref(&proof_root), &[ACME]), "a.test").await.unwrap();
    assert_eq!(session.get_ref().1.alpn_protocol(), Some(ACME.as_bytes()));
    let _ = session.write_all(b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = within(session.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));

    // Viewers are shown the certificate of always, also one who would speak either.
    for alpn in [&["http/1.1"][..], &[], &[ACME, "http/1.1"]] {
        let mut session =
            connect_tls(https, &connector(std::slice::from_ref(&root), alpn), "a.test").await.unwrap();
        session.write_all(b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        read_answer(&mut session, "hello /a").await;
    }
    drop(ready);
    assert!(connect_tls(https, &connector(&[proof_root], &[ACME]), "a.test").await.is_err());
    assert_eq!(server.counters.requests.value(), 3);
}

#[tokio::test]
async fn without_a_challenge_for_that_very_name_the_handshake_fails() {
    let (loaded, root) = certificate(&["a.test", "*.b.test"]);
    let settings = tls_settings(Limits::default(), &[loaded]);
    let challenges = settings.certificates.as_ref().unwrap().challenges().clone();
    let server = start(settings);
    let https = server.https.unwrap();
    let (proof, proof_root) = proof("b.test");
    let _ready = challenges.show("b.test", proof);
    let connector = connector(&[root, proof_root], &[ACME]);
    for name in ["a.test", "x.b.test", "127.0.0.1"] {
        assert!(connect_tls(https, &connector, name).await.is_err(), "{name}");
    }
    assert_eq!(server.counters.requests.value(), 0);
    assert_eq!(server.counters.tls_handshakes_done.value(), 0);
}
