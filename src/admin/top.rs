//! `GET /top?by=requests|bytes&count=20`: the objects that are asked for most.

use http::StatusCode;
use http::request::Parts;
use serde::Serialize;

use crate::domain::uri::query;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::top::By;

use super::problem::Problem;
use super::{Answer, json};

const COUNT: usize = 20;
const COUNT_MAX: usize = 1_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Top {
    by: &'static str,
    sampled_one_in: u64,
    objects: Vec<Object>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    property: String,
    path: String,
    value: u64,
    error_max: u64,
}

pub(super) fn answer(metrics: &Metrics, parts: &Parts) -> Result<Answer, Problem> {
    let parameter = |name| query::values(parts.uri.query().unwrap_or_default(), name).next();
    let (by, name) = match parameter("by") {
        None | Some("requests") => (By::Requests, "requests"),
        Some("bytes") => (By::Bytes, "bytes"),
        Some(_) => return Err(Problem::field("by", "write requests or bytes")),
    };
    let count = match parameter("count").map(str::parse) {
        None => COUNT,
        Some(Ok(count)) if (1..=COUNT_MAX).contains(&count) => count,
        Some(Ok(_) | Err(_)) => {
            return Err(Problem::field("count", format!("write a number from 1 to {COUNT_MAX}")));
        }
    };
    let leading = metrics.top().leading(by, count).into_iter();
    let objects = leading.map(|((property, path), weight)| Object {
        property: property.to_string(),
        path: path.into(),
        value: weight.value,
        error_max: weight.error_max,
    });
    let objects = objects.collect();
    Ok(json(StatusCode::OK, &Top { by: name, sampled_one_in: metrics.top().one_in(), objects }))
}
