//! Redirects: passed on, or followed where that is allowed.

use http::header::{HeaderValue, LOCATION};
use http::{HeaderName, StatusCode};
use sluicegate::origin::OriginError;
use sluicegate::origin::settings::{Auth, RedirectSettings};

use crate::support::*;

/// A server that sends `/` to `location` and says what it was asked otherwise.
async fn redirecting(location: String) -> Raw {
    Raw::start(move |head| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let answer = if target == "/" {
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 2\r\n\r\ngo").into_bytes()
        } else {
            ok(&format!("{} {target}", head.split(' ').next().unwrap_or_default()))
        };
        vec![Step::Send(answer)]
    })
    .await
}

fn following(hosts: &[String]) -> RedirectSettings {
    RedirectSettings { hops_max: 2, hosts: hosts.to_vec() }
}

#[tokio::test]
async fn redirects_are_passed_on_unless_they_are_followed() {
    let server = redirecting("/b?c".to_owned()).await;
    let answer = get(&origin(settings(&[server.address])), "/").await.expect("an answer");
    assert_eq!(
        (answer.status(), &answer.headers()[LOCATION]),
        (StatusCode::FOUND, &HeaderValue::from_static("/b?c"))
    );
    assert_eq!(text(answer).await.expect("its body"), "go");
    let mut settings = settings(&[server.address]);
    settings.redirects = following(&[]);
    assert_eq!(fetched(&origin(settings), "/").await, "GET /b?c");
}

#[tokio::test]
async fn no_credentials_go_to_another_host() {
    let other = Raw::always(&ok("elsewhere")).await;
    let server = redirecting(format!("http://{}/b", other.address)).await;
    let mut settings = settings(&[server.address]);
    settings.redirects = following(&[other.address.to_string()]);
    settings.auth =
        Auth::Field(HeaderName::from_static("x-secret"), HeaderValue::from_static("of the origin"));
    let origin = origin(settings);
    let fields = [("authorization", "Basic eDp5"), ("cookie", "a=b"), ("accept", "*/*")];
    let answer = get_with(&origin, "/", &fields).await.expect("an answer");
    assert_eq!(text(answer).await.expect("a body"), "elsewhere");
    let (first, second) = (&server.asked()[0], &other.asked()[0]);
    assert_eq!(field(first, "x-secret"), Some("of the origin"));
    for name in ["x-secret", "authorization", "cookie"] {
        assert_eq!(field(second, name), None, "{name}");
    }
    assert_eq!(field(second, "accept"), Some("*/*"));
    assert_eq!(field(second, "host"), Some(other.address.to_string().as_str()));
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_not_gone_to() {
    let other = Raw::always(&ok("elsewhere")).await;
    let server = redirecting(format!("http://{}/b", other.address)).await;
    let mut settings = settings(&[server.address]);
    settings.redirects = following(&["store.example".to_owned()]);
    let answer = get(&origin(settings), "/").await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn a_loop_ends() {
    let server = redirecting("/".to_owned()).await;
    let mut settings = settings(&[server.address]);
    settings.redirects = following(&[]);
    let answer = get(&origin(settings), "/").await;
    assert!(matches!(answer, Err(OriginError::Redirects(2))), "{answer:?}");
    assert_eq!(server.asked().len(), 3);
}
