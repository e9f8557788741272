//! What proves to an origin that a request comes from here.

use http::header::{AUTHORIZATION, HeaderValue};
use sluicegate::domain::origin_auth::base64;
use sluicegate::domain::origin_auth::g2o::{G2o, Version};
use sluicegate::domain::origin_auth::sigv4::{Credentials, EMPTY_PAYLOAD, Signable, UNSIGNED_PAYLOAD};
use sluicegate::domain::token::key::{Algorithm, Secret, Signer};
use sluicegate::origin::settings::Auth;

use crate::support::*;

fn secret(text: &str) -> Secret {
    Secret::from_text(text).expect("a secret")
}

async fn asked_with(auth: Auth, path: &str, fields: &[(&str, &str)]) -> String {
    let server = Raw::always(&ok("x")).await;
    let mut settings = settings(&[server.address]);
    "/bucket".clone_into(&mut settings.servers[0].base.prefix);
    settings.auth = auth;
    get_with(&origin(settings), path, fields).await.expect("an answer");
    server.asked().remove(0)
}

#[tokio::test]
async fn a_bearer_secret_replaces_what_the_client_sent() {
    let auth = Auth::Field(AUTHORIZATION, HeaderValue::from_static("Bearer of-the-edge"));
    let head = asked_with(auth, "/", &[("authorization", "Bearer of-a-viewer")]).await;
    assert_eq!(field(&head, "authorization"), Some("Bearer of-the-edge"));
    assert!(!head.contains("of-a-viewer"));
}

fn credentials() -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
    }
}

/// Signs what reached the server, as S3 does before it compares.
#[tokio::test]
async fn what_sigv4_signed_is_what_arrives() {
    for (unsigned_payload, hash) in [(false, EMPTY_PAYLOAD), (true, UNSIGNED_PAYLOAD)] {
        for session_token in [None, Some("a-session-token")] {
            let auth = Auth::SigV4 {
                credentials: Box::new(credentials()),
                session_token: session_token.map(secret),
                unsigned_payload,
            };
            let fields =
                [("range", "bytes=0-9"), ("x-amz-acl", "public-read"), ("authorization", "Basic eDp5")];
            let head = asked_with(auth, "/a%20b/%C3%A9.ts?versionId=1&a", &fields).await;
            let target = head.split(' ').nth(1).expect("a target");
            let (path, query) = target.split_once('?').expect("a query");
            assert_eq!(path, "/bucket/a%20b/%C3%A9.ts");
            assert_eq!(field(&head, "x-amz-acl"), None, "a viewer's own field is not signed, nor sent");
            assert_eq!(field(&head, "x-amz-content-sha256"), Some(hash));
            assert_eq!(field(&head, "x-amz-date"), Some("20150830T123600Z"));
            assert_eq!(field(&head, "x-amz-security-token"), session_token);
            let names = ["host", "range", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];
            let signed: Vec<(&str, &str)> =
                names.into_iter().filter_map(|name| Some((name, field(&head, name)?))).collect();
            let request = Signable { method: "GET", path, query, fields: &signed, payload_hash: hash };
            let expected = credentials().authorization(&request, NOW);
            assert_eq!(field(&head, "authorization"), Some(expected.as_str()));
        }
    }
}

#[tokio::test]
async fn g2o_signs_path_and_query_with_an_id_of_its_own_for_each_request() {
    let server = Raw::always(&ok("x")).await;
    let mut settings = settings(&[server.address]);
    let signer = G2o::new(Version::HmacSha256, &secret("k"), "n1").expect("a signer");
    settings.auth = Auth::G2o { signer: Box::new(signer), process_id: 7 };
    let origin = origin(settings);
    for _ in 0..2 {
        get_with(&origin, "/a.ts?b=c", &[("x-akamai-g2o-auth-data", "forged")]).await.expect("an answer");
    }
    for (count, head) in server.asked().iter().enumerate() {
        let data = field(head, "x-akamai-g2o-auth-data").expect("the data");
        assert_eq!(data, format!("5, 0.0.0.0, 0.0.0.0, 1440938160, 7.{count}, n1"));
        let digest = Signer::new(&secret("k"), Algorithm::Sha256).sign(&[data.as_bytes(), b"/a.ts?b=c"]);
        assert_eq!(field(head, "x-akamai-g2o-auth-sign"), Some(base64::encode(digest.as_bytes()).as_str()));
    }
}
