//! The player page: its files, embedded, and the configuration that it asks for.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};
use serde_json::json;

use crate::lab::origin::Streams;

#[derive(rust_embed::Embed)]
#[folder = "src/lab/page/assets"]
struct Files;

/// Where the page's files stand, apart from the page itself, which is `/`.
pub const PREFIX: &str = "/_lab/";
/// Where the page asks for its configuration: the answer of [`config_json`].
pub const CONFIG_PATH: &str = "/_lab/config.json";

/// The page loads nothing but its own files; media may come from the hosts of other carriers. hls.js
/// runs its worker from a blob and clears subtitles with a `data:` URL.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src http: https:; \
                      media-src http: https: blob: data:; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A property of the demo: where the streams are served with one carrier of the session token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// `path`, `query`, `cookie`, `header` or `auto`.
    pub id: String,
    /// Origin of its URLs, `http://127.0.0.1:8081`. Empty is the page's own; `{host}` stands for the page's host name, so that a phone
    /// that opened the page by another address stays on it.
    pub base: String,
}

/// What the page has to know of the demo.
#[derive(Clone, Debug)]
pub struct Settings {
    pub carriers: Vec<Carrier>,
    /// Path or URL of the token endpoint.
    pub token_url: String,
    /// Name of the access token, `hdnts`.
    pub token_name: String,
    /// Name of the session token, `hdntl`.
    pub session_name: String,
    /// The ACL that the page asks for, `/*`.
    pub acl: String,
    /// The life of an access token.
    pub window: Duration,
}

/// The answer for `/` and for what lies below [`PREFIX`], but not for [`CONFIG_PATH`]. `None` is "not found".
pub fn page_asset(path: &str) -> Option<Response<Bytes>> {
    let name = if path == "/" { "index.html" } else { path.strip_prefix(PREFIX)? };
    let content_type = content_type(name)?;
    let file = Files::get(name)?;
    let hash = file.metadata.sha256_hash();
    let etag = format!("\"{:016x}\"", u64::from_be_bytes(std::array::from_fn(|i| hash[i])));
    let bytes = match file.data {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let mut response = guarded(bytes, content_type);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("content-security-policy", HeaderValue::from_static(POLICY));
    headers.insert(ETAG, HeaderValue::from_str(&etag).ok()?);
    Some(response)
}

/// The configuration that the page reads at [`CONFIG_PATH`].
pub fn config_json(settings: &Settings) -> Response<Bytes> {
    let streams = Streams::streams().iter().map(|stream| {
        json!({
            "id": stream.id, "name": stream.name, "description": stream.description,
            "path": stream.path, "live": stream.is_live,
        })
    });
    let carriers = settings.carriers.iter().map(|carrier| json!({ "id": carrier.id, "base": carrier.base }));
    let config = json!({
        "streams": streams.collect::<Vec<_>>(),
        "carriers": carriers.collect::<Vec<_>>(),
        "tokenUrl": settings.token_url,
        "tokenName": settings.token_name,
        "sessionName": settings.session_name,
        "acl": settings.acl,
        "windowSeconds": settings.window.as_secs(),
    });
    let mut response = guarded(Bytes::from(config.to_string()), "application/json");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn guarded(body: Bytes, content_type: &'static str) -> Response<Bytes> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_embedded() {
        let page = page_asset("/").expect("the page");
        let text = String::from_utf8(page.body().to_vec()).unwrap();
        let named: Vec<&str> = text.split(['"']).filter(|part| part.starts_with(PREFIX)).collect();
        assert!(named.len() >= 5, "{named:?}");
        for path in named {
            assert!(page_asset(path).is_some_and(|file| !file.body().is_empty()), "{path}");
        }
        for script in ["app.js", "player.js", "exchange.js"] {
            let text = page_asset(&format!("{PREFIX}{script}")).expect("a script").into_body();
            let text = String::from_utf8(text.to_vec()).unwrap();
            for line in text.lines().filter(|line| line.starts_with("import ")) {
                let name = line
                    .split("'./")
                    .nth(1)
                    .and_then(|rest| rest.strip_suffix("';"))
                    .expect("a relative import");
                assert!(page_asset(&format!("{PREFIX}{name}")).is_some(), "{script} imports {name}");
            }
        }
    }

    #[test]
    fn the_page_names_nothing_foreign_and_runs_nothing_inline() {
        let text = String::from_utf8(page_asset("/").expect("the page").body().to_vec()).unwrap();
        assert!(!text.contains("http://") && !text.contains("https://"));
        assert!(!text.contains(" style=") && !text.contains(" onclick=") && !text.contains("<script>"));
    }

    #[test]
    fn files_come_with_their_type_and_the_policy() {
        for (path, content_type) in [
            ("/", "text/html; charset=utf-8"),
            ("/_lab/app.js", "text/javascript; charset=utf-8"),
            ("/_lab/app.css", "text/css; charset=utf-8"),
            ("/_lab/icon.svg", "image/svg+xml"),
        ] {
            let response = page_asset(path).expect("a file");
            assert_eq!(response.headers()["content-type"], content_type);
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert!(
                response.headers()["content-security-policy"]
                    .to_str()
                    .unwrap()
                    .contains("default-src 'none'")
            );
        }
        for path in ["", "/_lab", "/_lab/", "/_lab/nothing.js", "/_lab/../mod.rs", "/index.html", CONFIG_PATH]
        {
            assert!(page_asset(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_configuration_names_streams_carriers_and_tokens() {
        let response = config_json(&Settings {
            carriers: vec![Carrier { id: "path".to_owned(), base: "http://{host}:8081".to_owned() }],
            token_url: "/getToken".to_owned(),
            token_name: "hdnts".to_owned(),
            session_name: "hdntl".to_owned(),
            acl: "/*".to_owned(),
            window: Duration::from_mins(5),
        });
        let config: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(config["streams"].as_array().map(Vec::len), Some(Streams::streams().len()));
        assert_eq!(config["streams"][3]["live"], true);
        assert_eq!(config["carriers"][0]["base"], "http://{host}:8081");
        assert_eq!(config["windowSeconds"], 300);
    }
}
