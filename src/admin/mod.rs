//! The operators' listener: health, metrics, what operators may see and change. It is never the public one.
//!
//! One file for each area. A request is let in here (bearer token), led to its area by its route, and answered in JSON;
//! whatever is wrong with it is a problem document (RFC 9457).
//!
//! Without a token the listener stands on loopback only, by configuration. Even there a page in a browser of the same
//! machine could reach it, by a form or by a name that leads to 127.0.0.1: so what changes something is then asked for
//! under a loopback host, by nothing that says it is a page (`Origin`), and in JSON, which no form sends.

mod body;
mod cache;
pub mod control;
mod page;
mod problem;
mod process;
mod properties;
mod purge;
mod revocations;
pub mod routes;
mod sessions;
mod status;
mod top;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use serde::Serialize;
use subtle::ConstantTimeEq;

use crate::domain::token::key::Secret;
use crate::edge::Edge;
use crate::edge::host::split_port;
use crate::telemetry::metrics::Metrics;

use control::Control;
use problem::Problem;
use routes::Route;

/// What the operators' listener answers with.
#[derive(Debug)]
pub struct Admin {
    pub token: Option<Secret>,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    pub edge: Arc<Edge>,
    pub control: Control,
    /// Unix time at which the process began.
    pub started: Duration,
}

/// What a request to the operators' listener may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub body_bytes_max: usize,
    pub body_timeout: Duration,
}

/// What there is, for programs.
const OPENAPI: &[u8] = include_bytes!("openapi.json");

/// An answer of the operators' listener.
type Answer = Response<Full<Bytes>>;

impl Admin {
    pub async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Display,
    {
        let (parts, body) = request.into_parts();
        let area = routes::area(parts.uri.path());
        let answer = self.lead(&parts, body).await.unwrap_or_else(Problem::answer);
        self.metrics.count_admin(area, answer.status().as_u16());
        answer
    }

    /// Leads a request to its area, by its route.
    async fn lead<B>(&self, parts: &Parts, body: B) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes>,
        B::Error: Display,
    {
        let route = Route::of(parts);
        if !route.as_ref().is_ok_and(|route| route.is_public) && !self.is_operator(&parts.headers) {
            return Err(Problem::unauthorized());
        }
        match route?.area() {
            "page" => Ok(page::answer(parts.uri.path())),
            "healthz" => Ok(text(StatusCode::OK, "ok\n".into())),
            "openapi.json" => Ok(typed(StatusCode::OK, Bytes::from_static(OPENAPI), "application/json")),
            "metrics" => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                Ok(typed(StatusCode::OK, self.metrics.exposition().into(), kind))
            }
            "status" => Ok(status::answer(self)),
            "properties" => Ok(properties::answer(&self.edge)),
            "cache" => cache::answer(&self.edge, parts).await,
            "top" => top::answer(&self.metrics, parts),
            "reload" => {
                self.may_change(parts)?;
                let process::Nothing {} = body::json(parts, body, self.limits).await?;
                process::reload(&self.control).await
            }
            "drain" => {
                self.may_change(parts)?;
                let process::Nothing {} = body::json(parts, body, self.limits).await?;
                Ok(process::drain(&self.control))
            }
            "log-level" if parts.method == Method::PUT => {
                self.may_change(parts)?;
                process::set_level(&self.control, &body::json(parts, body, self.limits).await?)
            }
            "log-level" => Ok(process::level(&self.control)),
            "purge" => {
                self.may_change(parts)?;
                purge::answer(&self.edge, body::json(parts, body, self.limits).await?).await
            }
            "revocation-lists" => revocations::answer(self, parts, body).await,
            "sessions" => sessions::answer(self, parts).await,
            _ => Err(Problem::not_found(parts.uri.path())),
        }
    }

    fn is_operator(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| token.expose().ct_eq(shown).into())
    }

    /// Whether a request may change something, where no token proves whom it comes from.
    fn may_change(&self, parts: &Parts) -> Result<(), Problem> {
        let is_page = parts.headers.contains_key(ORIGIN) || !is_to_loopback(parts);
        if self.token.is_none() && is_page {
            return Err(Problem::needs_token());
        }
        Ok(())
    }
}

/// Whether the host that is asked is this machine by its very name.
fn is_to_loopback(parts: &Parts) -> bool {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let named = authority.or_else(|| parts.headers.get(HOST)?.to_str().ok());
    let Some((host, _)) = named.and_then(split_port) else { return false };
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the method is one of `allowed`, which is written as in `Allow`.
fn takes(parts: &Parts, allowed: &'static str) -> Result<(), Problem> {
    let is_allowed = allowed.split(", ").any(|method| parts.method == *method);
    is_allowed.then_some(()).ok_or_else(|| Problem::method(allowed))
}

/// A value as JSON.
fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    // What is sent here is made of numbers and texts, which JSON can always say.
    let text = serde_json::to_vec(value).unwrap_or_default();
    typed(status, text.into(), "application/json")
}

fn text(status: StatusCode, body: String) -> Answer {
    typed(status, body.into(), "text/plain; charset=utf-8")
}

fn typed(status: StatusCode, body: Bytes, kind: &'static str) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
