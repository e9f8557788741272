//! Cross-origin resource sharing (the Fetch standard, "CORS protocol"): the same headers on every status.

use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN, VARY,
};

use super::listed;

const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Fields of an origin's answer that this module writes itself.
const OWNED: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    TIMING_ALLOW_ORIGIN,
];

/// Which pages may read the answers of a property.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Origins,
    credentials: bool,
    max_age: HeaderValue,
    allow_headers: HeaderValue,
    expose_headers: HeaderValue,
}

#[derive(Clone, Debug)]
enum Origins {
    Any,
    Listed(Vec<String>),
}

impl Cors {
    /// `origins` are serialised origins (`https://player.example`), or the one word `*`. `token_names` are the names
    /// of the access and session tokens, which are allowed and exposed as headers.
    pub fn new(origins: &[String], credentials: bool, max_age_seconds: u64, token_names: &[String]) -> Self {
        let tokens = token_names.join(", ");
        let allow = format!("origin, range, {tokens}, CMCD-Request, CMCD-Object, CMCD-Status, CMCD-Session");
        let expose = format!(
            "{tokens}, Content-Length, Content-Range, Date, Age, ETag, Cache-Status, Sluicegate-Reason"
        );
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
        Self {
            origins: if origins.iter().any(|origin| origin == "*") {
                Origins::Any
            } else {
                Origins::Listed(origins.to_vec())
            },
            credentials,
            max_age: HeaderValue::from(max_age_seconds),
            allow_headers: value(&allow),
            expose_headers: value(&expose),
        }
    }

    /// Puts the headers on an answer of any status. An origin that is not listed gets none of them.
    ///
    /// With credentials the origin is echoed, since `*` is not allowed then; `null` (a `file:` page, a sandboxed
    /// frame) is echoed only where any origin is allowed.
    pub fn decorate(&self, request: &HeaderMap, response: &mut HeaderMap) {
        listed::remove(response, &OWNED);
        let echoes = self.credentials || matches!(self.origins, Origins::Listed(_));
        if echoes {
            vary_on_origin(response);
        }
        let Some(origin) = request.get(ORIGIN) else {
            if !echoes {
                response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            }
            return;
        };
        let allowed = match &self.origins {
            Origins::Any => true,
            Origins::Listed(listed) => listed.iter().any(|listed| listed.as_bytes() == origin.as_bytes()),
        };
        if !allowed {
            return;
        }
        let value = if echoes { origin.clone() } else { ANY };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value.clone());
        response.insert(TIMING_ALLOW_ORIGIN, value);
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.expose_headers.clone());
        if self.credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// Whether a request asks for permission only: `OPTIONS` with `Origin` and `Access-Control-Request-Method`.
    pub fn is_preflight(headers: &HeaderMap) -> bool {
        headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The further headers of a preflight's answer, beside those of [`Cors::decorate`]. `methods` are those that the
    /// property serves.
    pub fn answer_preflight(&self, request: &HeaderMap, response: &mut HeaderMap, methods: &HeaderValue) {
        if !response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        response.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
        let allowed = request
            .get(ACCESS_CONTROL_REQUEST_HEADERS)
            .map_or_else(|| self.allow_headers.clone(), |asked| self.allowed_headers(asked));
        response.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        response.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
    }

    /// The list of allowed headers, with every CMCD field that was asked for (CTA-5004 names four, players add some).
    fn allowed_headers(&self, asked: &HeaderValue) -> HeaderValue {
        let own = self.allow_headers.to_str().unwrap_or_default();
        let mut list = own.to_owned();
        for name in asked.to_str().unwrap_or_default().split(',').map(str::trim) {
            let is_cmcd = name.len() > 5 && name.as_bytes()[..5].eq_ignore_ascii_case(b"cmcd-");
            let is_listed = own.split(", ").any(|listed| listed.eq_ignore_ascii_case(name));
            if is_cmcd && !is_listed && HeaderName::from_bytes(name.as_bytes()).is_ok() {
                list.push_str(", ");
                list.push_str(name);
            }
        }
        HeaderValue::from_str(&list).unwrap_or_else(|_| self.allow_headers.clone())
    }
}

fn vary_on_origin(response: &mut HeaderMap) {
    let named = response.get_all(VARY).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|name| name.trim().eq_ignore_ascii_case("origin") || name.trim() == "*")
    });
    if !named {
        response.append(VARY, HeaderValue::from_static("Origin"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
        Cors::new(&origins, credentials, 86_400, &["hdnts".to_owned(), "hdntl".to_owned()])
    }

    fn asked(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))])
    }

    #[test]
    fn with_credentials_the_origin_is_echoed() {
        let mut answer = HeaderMap::new();
        cors(&["*"], true).decorate(&asked("https://player.example"), &mut answer);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "https://player.example");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(answer[VARY], "Origin");
    }

    #[test]
    fn without_credentials_any_origin_is_a_star() {
        let mut answer = HeaderMap::new();
        cors(&["*"], false).decorate(&asked("https://player.example"), &mut answer);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!answer.contains_key(VARY));
    }

    #[test]
    fn an_origin_that_is_not_listed_gets_nothing() {
        let mut answer = HeaderMap::from_iter([(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))]);
        cors(&["https://a.example"], true).decorate(&asked("https://a.example.evil"), &mut answer);
        assert!(!answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "the origin server's own star is removed");
        assert_eq!(answer[VARY], "Origin");
    }

    #[test]
    fn a_preflight_names_the_token_headers_and_every_cmcd_field_asked_for() {
        let cors = cors(&["*"], true);
        let mut request = asked("https://player.example");
        request.insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("hdntl, CMCD-Own, x-secret"));
        let mut answer = HeaderMap::new();
        cors.decorate(&request, &mut answer);
        cors.answer_preflight(&request, &mut answer, &HeaderValue::from_static("GET, HEAD, OPTIONS"));
        let headers = answer[ACCESS_CONTROL_ALLOW_HEADERS].to_str().expect("text");
        assert!(
            headers.contains("hdntl") && headers.contains("CMCD-Own") && !headers.contains("x-secret"),
            "{headers}"
        );
        assert_eq!(answer[ACCESS_CONTROL_MAX_AGE], "86400");
    }
}
