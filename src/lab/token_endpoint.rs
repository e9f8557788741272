//! The token endpoint of the lab: `GET /getToken?acl=/*&token_name=hdnts`, as in *Akamai Token Authentication*.
//!
//! The answer is a JSON string, `"hdnts=exp=…~acl=/*~hmac=…"`, which the page puts behind the URL as it is. Anybody may ask it for any
//! ACL unless the settings say otherwise, so an edge that is not a demonstration turns it on only with both of them set.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

/// Where the endpoint stands.
pub const PATH: &str = "/getToken";
/// The request header that carries the API key.
pub const API_KEY_HEADER: &str = "x-api-key";
/// The longest ACL that is signed.
const ACL_BYTES_MAX: usize = 1_024;

/// Who may ask for what.
#[derive(Clone)]
pub struct Settings {
    /// The token's name when the request gives none, and the only one that it may give.
    pub token_name: String,
    /// How long a token lives.
    pub window: Duration,
    /// The ACLs that may be asked for, by their exact text; `None` is any.
    pub acls: Option<Vec<String>>,
    /// What the `X-Api-Key` header has to say; `None` asks for none.
    pub api_key: Option<String>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("token_name", &self.token_name)
            .field("window", &self.window)
            .field("acls", &self.acls)
            .field("api_key", &self.api_key.as_ref().map(|_| "Secret(..)"))
            .finish()
    }
}

impl Default for Settings {
    /// The demonstration: any ACL, no key, five minutes.
    fn default() -> Self {
        Self { token_name: "hdnts".to_owned(), window: Duration::from_mins(5), acls: None, api_key: None }
    }
}

/// Signs the fields of a token: ACL and expiry (Unix seconds) to `exp=…~acl=…~hmac=…`.
pub type Sign<'a> = &'a dyn Fn(&str, u64) -> Result<String, String>;

/// The endpoint's answer; `now` is Unix time.
pub fn respond(
    settings: &Settings,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
    now: Duration,
    sign: Sign<'_>,
) -> Response<Bytes> {
    if method == Method::OPTIONS {
        return preflight();
    }
    if method != Method::GET && method != Method::HEAD {
        let mut refused = error(StatusCode::METHOD_NOT_ALLOWED, "method", "the endpoint answers GET");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return refused;
    }
    match token(settings, query, headers, now, sign) {
        Ok(token) => json_response(StatusCode::OK, &json!(token)),
        Err(refused) => *refused,
    }
}

fn token(
    settings: &Settings,
    query: &str,
    headers: &HeaderMap,
    now: Duration,
    sign: Sign<'_>,
) -> Result<String, Box<Response<Bytes>>> {
    let bad = |field: &str, message: &str| Box::new(error(StatusCode::BAD_REQUEST, field, message));
    if let Some(expected) = &settings.api_key {
        let given = headers.get(API_KEY_HEADER).map_or(&[][..], HeaderValue::as_bytes);
        if !bool::from(given.ct_eq(expected.as_bytes())) {
            return Err(Box::new(error(StatusCode::FORBIDDEN, API_KEY_HEADER, "missing or wrong")));
        }
    }
    let acl =
        single(query, "acl").map_err(|message| bad("acl", message))?.ok_or_else(|| bad("acl", "missing"))?;
    let name = single(query, "token_name").map_err(|message| bad("token_name", message))?;
    if name.is_some_and(|name| name != settings.token_name) {
        return Err(bad("token_name", "not the token name of this edge"));
    }
    check_acl(&acl).map_err(|message| bad("acl", message))?;
    if settings.acls.as_ref().is_some_and(|allowed| !allowed.contains(&acl)) {
        return Err(Box::new(error(StatusCode::FORBIDDEN, "acl", "not among those that may be asked for")));
    }
    let expires = now.as_secs().saturating_add(settings.window.as_secs());
    let fields = sign(&acl, expires).map_err(|message| bad("acl", &message))?;
    Ok(format!("{}={fields}", settings.token_name))
}

/// The value of a query parameter that may stand at most once.
fn single(query: &str, name: &str) -> Result<Option<String>, &'static str> {
    let mut values =
        form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(std::borrow::Cow::into_owned)),
        (_, Some(_)) => Err("given more than once"),
    }
}

/// The token is pasted behind `?` as it is, so an ACL has only characters that a query and a token leave alone.
fn check_acl(acl: &str) -> Result<(), &'static str> {
    match acl {
        "" => Err("empty"),
        _ if acl.len() > ACL_BYTES_MAX => Err("longer than 1024 bytes"),
        _ if !acl.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err("has a character that is not printable ASCII")
        }
        _ if acl.contains(['~', '&', '#', '"', '<', '>', '\\']) => Err("has one of ~ & # \" < > \\"),
        _ if !acl.starts_with(['/', '*', '?']) => Err("does not begin with / or a wildcard"),
        _ => Ok(()),
    }
}

fn preflight() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("access-control-allow-methods", HeaderValue::from_static("GET, HEAD"));
    headers.insert("access-control-allow-headers", HeaderValue::from_static(API_KEY_HEADER));
    response
}

fn error(status: StatusCode, field: &str, message: &str) -> Response<Bytes> {
    json_response(status, &json!({ "error": { "field": field, "message": message } }))
}

fn json_response(status: StatusCode, value: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn ask(settings: &Settings, query: &str, headers: &HeaderMap) -> (u16, serde_json::Value) {
        let sign = |acl: &str, exp: u64| Ok(format!("exp={exp}~acl={acl}~hmac=0123"));
        let response = respond(settings, &Method::GET, query, headers, NOW, &sign);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert_eq!(response.headers()["cache-control"], "no-store");
        (response.status().as_u16(), serde_json::from_slice(response.body()).expect("JSON"))
    }

    #[test]
    fn the_answer_is_a_json_string_that_lives_five_minutes() {
        for query in ["acl=/*&token_name=hdnts", "acl=%2F*", "token_name=hdnts&acl=%2f%2a&more=1"] {
            let (status, body) = ask(&Settings::default(), query, &HeaderMap::new());
            assert_eq!(status, 200);
            assert_eq!(body, "hdnts=exp=1700000300~acl=/*~hmac=0123", "{query}");
        }
    }

    #[test]
    fn bad_input_is_refused_with_the_name_of_the_field() {
        for (query, field) in [
            ("", "acl"),
            ("acl=", "acl"),
            ("acl=/*&acl=/vod/*", "acl"),
            ("acl=/a~exp=9999999999", "acl"),
            ("acl=/%00", "acl"),
            ("acl=/a%20b", "acl"),
            ("acl=/a%26b", "acl"),
            ("acl=/%C3%A9", "acl"),
            ("acl=vod/*", "acl"),
            ("acl=/*&token_name=", "token_name"),
            ("acl=/*&token_name=hdnea", "token_name"),
            ("acl=/*&token_name=hdnts&token_name=hdnts", "token_name"),
        ] {
            let (status, body) = ask(&Settings::default(), query, &HeaderMap::new());
            assert_eq!((status, body["error"]["field"].as_str()), (400, Some(field)), "{query}");
        }
        let long = format!("acl=/{}", "a".repeat(ACL_BYTES_MAX));
        assert_eq!(ask(&Settings::default(), &long, &HeaderMap::new()).0, 400);
    }

    #[test]
    fn a_signer_that_refuses_is_a_bad_request() {
        let sign = |_: &str, _: u64| Err("not signable".to_owned());
        let response = respond(&Settings::default(), &Method::GET, "acl=/*", &HeaderMap::new(), NOW, &sign);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(response.body().windows(12).any(|part| part == b"not signable"));
    }

    #[test]
    fn only_listed_acls_are_signed() {
        let settings = Settings { acls: Some(vec!["/vod/*".to_owned()]), ..Settings::default() };
        assert_eq!(ask(&settings, "acl=/vod/*", &HeaderMap::new()).0, 200);
        assert_eq!(ask(&settings, "acl=/*", &HeaderMap::new()).0, 403);
        assert_eq!(ask(&settings, "acl=/vod/*!/*", &HeaderMap::new()).0, 403);
    }

    #[test]
    fn with_an_api_key_only_its_holder_is_served() {
        let settings = Settings { api_key: Some("open sesame".to_owned()), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("sesame"));
        for (given, status) in [(None, 403), (Some("open"), 403), (Some(""), 403), (Some("open sesame"), 200)]
        {
            let header = given.map(|key| (API_KEY_HEADER.parse().unwrap(), key.parse().unwrap()));
            assert_eq!(ask(&settings, "acl=/*", &header.into_iter().collect()).0, status, "{given:?}");
        }
    }

    #[test]
    fn preflights_pass_and_other_methods_do_not() {
        let sign = |_: &str, _: u64| Ok(String::new());
        let ask = |method| respond(&Settings::default(), &method, "acl=/*", &HeaderMap::new(), NOW, &sign);
        let preflight = ask(Method::OPTIONS);
        assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
        assert_eq!(preflight.headers()["access-control-allow-headers"], API_KEY_HEADER);
        assert_eq!(ask(Method::POST).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
