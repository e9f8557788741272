//! JSON bodies, read within their limits.

use std::fmt::Display;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::Limits;
use super::problem::Problem;

/// The body as a `T`. `T` should refuse unknown members, so that a misspelt one is not taken for one left out.
pub(super) async fn json<T, B>(parts: &Parts, body: B, limits: Limits) -> Result<T, Problem>
where
    T: DeserializeOwned,
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::not_json());
    }
    let mapped = body.map_err(|error| error.to_string());
    let collected = Limited::new(mapped, limits.body_bytes_max).collect();
    let collected = tokio::time::timeout(limits.body_timeout, collected).await;
    let bytes = match collected.map_err(|_| Problem::too_slow())? {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Problem::too_large(limits.body_bytes_max));
        }
        Err(error) => return Err(Problem::bad_body(format!("the body broke off: {error}"))),
    };
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_body(format!("the body: {error}")))
}
