//! The operators' listener: health and metrics. It is never the public one.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use subtle::ConstantTimeEq;

use crate::domain::token::key::Secret;
use crate::telemetry::metrics::Metrics;

/// What the operators' listener answers with.
#[derive(Debug)]
pub struct Admin {
    pub token: Option<Secret>,
    pub metrics: Arc<Metrics>,
}

impl Admin {
    /// `GET /healthz` for probes, without a token; `GET /metrics` for Prometheus, with the bearer token where one is
    /// configured.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n".into()),
            _ if !self.is_operator(request.headers()) => {
                let mut refused = text(StatusCode::UNAUTHORIZED, "Unauthorized\n".into());
                refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                refused
            }
            "/metrics" => {
                let mut answer = text(StatusCode::OK, self.metrics.exposition());
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                answer
            }
            _ => text(StatusCode::NOT_FOUND, "Not Found\n".into()),
        }
    }

    fn is_operator(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| token.expose().ct_eq(shown).into())
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
