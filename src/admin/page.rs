//! The page for people: three files, embedded, without anything of the edge's in them. It asks the listener as any client does.

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::{Answer, typed};

/// It loads its own files and asks its own origin; nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page, by its path.
pub(super) fn answer(path: &str) -> Answer {
    let (file, kind): (&'static [u8], _) = match path {
        "/page.css" => (include_bytes!("page/page.css"), "text/css; charset=utf-8"),
        "/page.js" => (include_bytes!("page/page.js"), "text/javascript; charset=utf-8"),
        _ => (include_bytes!("page/index.html"), "text/html; charset=utf-8"),
    };
    let mut answer = typed(StatusCode::OK, Bytes::from_static(file), kind);
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
