//! `POST /purge`: takes out of the cache what an operator names.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::edge::Edge;
use crate::edge::purging::{PurgeError, What};

use super::problem::Problem;
use super::{Answer, json};

/// What is to be purged: one of `url`, `prefix`, `tag`, `all`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    url: Option<String>,
    prefix: Option<String>,
    tag: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    soft: bool,
    property: Option<String>,
}

/// How many objects that was.
#[derive(Debug, Serialize)]
struct Done {
    memory: usize,
    disk: usize,
    playlists: usize,
    /// False: the fleet is away, and told when it is back.
    #[serde(rename = "reachedFleet")]
    reached_fleet: bool,
}

pub(super) async fn answer(edge: &Edge, asked: Asked) -> Result<Answer, Problem> {
    let soft = asked.soft;
    let property = asked.property.clone();
    let what = what(asked)?;
    let (purged, reached_fleet) =
        edge.purge_everywhere(&what, property.as_deref(), soft).await.map_err(|error| {
            let otherwise = if matches!(what, What::Prefix(_)) { "prefix" } else { "url" };
            Problem::field(field(&error, otherwise), error)
        })?;
    let done =
        Done { memory: purged.in_memory, disk: purged.on_disk, playlists: purged.playlists, reached_fleet };
    Ok(json(StatusCode::OK, &done))
}

/// The member that is at fault; `otherwise` where it is the one that names what is meant.
pub(super) fn field(error: &PurgeError, otherwise: &'static str) -> &'static str {
    match error {
        PurgeError::Property(_) | PurgeError::Other(_) | PurgeError::Unnamed => "property",
        PurgeError::Tag => "tag",
        PurgeError::Form | PurgeError::Host(_) | PurgeError::Target(_) | PurgeError::Query => otherwise,
    }
}

fn what(asked: Asked) -> Result<What, Problem> {
    let mut given: Vec<What> = Vec::new();
    given.extend(asked.url.map(What::Url));
    given.extend(asked.prefix.map(What::Prefix));
    given.extend(asked.tag.map(What::Tag));
    given.extend(asked.all.then_some(What::All));
    match (given.pop(), given.is_empty()) {
        (Some(what), true) => Ok(what),
        (None, _) => Err(Problem::field("url", "nothing is named; give one of url, prefix, tag, all")),
        (Some(_), false) => Err(Problem::field("url", "give one of url, prefix, tag, all, and no more")),
    }
}
