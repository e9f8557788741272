//! Puts on a request what proves to the origin that it comes from here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, HOST, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::domain::origin_auth::{g2o, sigv4};

use super::error::OriginError;
use super::settings::Auth;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const PAYLOAD_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const SESSION_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Authenticates requests; each gets an id of its own.
#[derive(Debug)]
pub struct Authorizer {
    auth: Auth,
    requests: AtomicU64,
}

impl Authorizer {
    pub fn new(auth: Auth) -> Self {
        Self { auth, requests: AtomicU64::new(0) }
    }

    pub const fn adds_nothing(&self) -> bool {
        matches!(self.auth, Auth::None)
    }

    /// Adds the proof to the fields of a request that is otherwise complete. What a client sent in its place goes.
    pub fn authorize(
        &self,
        method: &Method,
        path_and_query: &str,
        fields: &mut HeaderMap,
        now: Duration,
    ) -> Result<(), OriginError> {
        match &self.auth {
            Auth::None => Ok(()),
            Auth::Field(name, value) => {
                fields.insert(name, value.clone());
                Ok(())
            }
            Auth::SigV4 { credentials, session_token, unsigned_payload } => {
                // A body streams on: its digest is not known when its head goes out.
                let is_bodiless = matches!(*method, Method::GET | Method::HEAD);
                let is_unsigned = *unsigned_payload || !is_bodiless;
                let hash = if is_unsigned { sigv4::UNSIGNED_PAYLOAD } else { sigv4::EMPTY_PAYLOAD };
                remove_prefixed(fields, "x-amz-");
                fields.insert(PAYLOAD_HASH, HeaderValue::from_static(hash));
                fields.insert(DATE, value(&sigv4::timestamp(now))?);
                if let Some(token) = session_token {
                    let mut token =
                        HeaderValue::from_bytes(token.expose()).map_err(|_| OriginError::Target)?;
                    token.set_sensitive(true);
                    fields.insert(SESSION_TOKEN, token);
                }
                let authorization = signed(credentials, method, path_and_query, fields, hash, now)?;
                fields.insert(AUTHORIZATION, authorization);
                Ok(())
            }
            Auth::G2o { signer, process_id } => {
                remove_prefixed(fields, "x-akamai-g2o-");
                let count = self.requests.fetch_add(1, Ordering::Relaxed);
                let signed = signer.sign(path_and_query, &format!("{process_id}.{count}"), now);
                fields.insert(HeaderName::from_static(g2o::DATA_FIELD), value(&signed.data)?);
                fields.insert(HeaderName::from_static(g2o::SIGN_FIELD), value(&signed.sign)?);
                Ok(())
            }
        }
    }

    /// Takes away what is for the origin alone, before another host is asked.
    pub fn bare(&self, fields: &mut HeaderMap) {
        fields.remove(AUTHORIZATION);
        fields.remove(COOKIE);
        fields.remove("sluicegate-token");
        if let Auth::Field(name, _) = &self.auth {
            fields.remove(name);
        }
        remove_prefixed(fields, "x-amz-");
        remove_prefixed(fields, "x-akamai-g2o-");
    }
}

/// Signs `host`, `range` and all of AWS's own fields: the others may be changed on the way.
fn signed(
    credentials: &sigv4::Credentials,
    method: &Method,
    path_and_query: &str,
    fields: &HeaderMap,
    payload_hash: &str,
    now: Duration,
) -> Result<HeaderValue, OriginError> {
    let names = [HOST, RANGE, DATE, PAYLOAD_HASH, SESSION_TOKEN];
    let pairs: Vec<(&str, &str)> =
        names.iter().filter_map(|name| Some((name.as_str(), fields.get(name)?.to_str().ok()?))).collect();
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let request = sigv4::Signable { method: method.as_str(), path, query, fields: &pairs, payload_hash };
    value(&credentials.authorization(&request, now))
}

fn value(text: &str) -> Result<HeaderValue, OriginError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| OriginError::Target)?;
    value.set_sensitive(true);
    Ok(value)
}

fn remove_prefixed(fields: &mut HeaderMap, prefix: &str) {
    let names: Vec<HeaderName> =
        fields.keys().filter(|name| name.as_str().starts_with(prefix)).cloned().collect();
    for name in names {
        fields.remove(name);
    }
}
