//! `/sessions`: who watches, where viewings are counted, and ending one.
//!
//! ```text
//! GET    /sessions            a page: ?page=1&pageSize=100, the latest seen first
//! DELETE /sessions/VIEWING    it ends, within a second and everywhere: ?durationSeconds=86400
//! ```

use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use serde::Serialize;

use crate::domain::revocation::identifier::viewing;

use super::problem::Problem;
use super::revocations::{Page, parameter};
use super::{Admin, Answer, json, takes};

/// As long as a session lives at most, unless the configuration says more.
const DURATION: Duration = Duration::from_hours(24);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    viewing: String,
    property: String,
    by: String,
    value: String,
    address: String,
    began: u64,
    seen_seconds_ago: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    sessions: Vec<Session>,
    count: usize,
    page: usize,
    page_size: usize,
    /// False: the fleet is away, and these are this edge's.
    of_all_edges: bool,
}

pub(super) async fn answer(admin: &Admin, parts: &Parts) -> Result<Answer, Problem> {
    let fleet = &admin.edge.fleet;
    let path = parts.uri.path();
    let segments: Vec<&str> = path.trim_matches('/').split('/').skip(1).collect();
    match segments.as_slice() {
        [] => {
            takes(parts, "GET")?;
            let page = Page::of(parts)?;
            let (watched, count, of_all_edges) = fleet.watched(page.from(), page.size).await;
            let sessions = watched.into_iter().map(|one| Session {
                viewing: one.viewing,
                property: one.property,
                by: one.by,
                value: one.value,
                address: one.address,
                began: one.began,
                seen_seconds_ago: one.seen_seconds_ago,
            });
            let sessions = sessions.collect();
            Ok(json(
                StatusCode::OK,
                &Listing { sessions, count, page: page.number, page_size: page.size, of_all_edges },
            ))
        }
        [digits] => {
            takes(parts, "DELETE")?;
            admin.may_change(parts)?;
            let number = viewing(digits).map_err(Problem::missing)?;
            let duration = match parameter(parts, "durationSeconds").map(str::parse) {
                None => DURATION,
                Some(Ok(seconds)) => Duration::from_secs(seconds),
                Some(Err(_)) => return Err(Problem::field("durationSeconds", "write a number of seconds")),
            };
            let added = fleet.end(number, duration).await?;
            Ok(json(
                StatusCode::OK,
                &serde_json::json!({ "ended": digits, "reachedFleet": added.has_reached_fleet }),
            ))
        }
        _ => Err(Problem::not_found(path)),
    }
}
