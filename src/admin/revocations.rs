//! `/revocation-lists`: in the shape of Akamai's Access Revocation API.
//!
//! ```text
//! GET    /revocation-lists                         all lists, with the default one (id 0)
//! POST   /revocation-lists                         {"name": ".."}: a new list
//! GET    /revocation-lists/ID                      one list;  DELETE: it goes, with all in it
//! GET    /revocation-lists/ID/meta                 {"count", "limit"}
//! GET    /revocation-lists/ID/properties           names of the properties that obey it
//! GET    /revocation-lists/ID/identifiers          a page: ?page=1&pageSize=100
//! GET    /revocation-lists/ID/identifiers/TEXT     one, with the seconds that are left; ?kind=session
//! POST   /revocation-lists/ID/identifiers/add      [{"id", "durationSeconds", "kind"}]
//! POST   /revocation-lists/ID/identifiers/remove   [{"id", "kind"}]
//! ```
//!
//! A `kind` is `session` (the token's `id`, as with Akamai; where none is given), `payload`, `address` (or network) or `viewing`.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body::Body;
use serde::{Deserialize, Serialize};

use crate::domain::revocation::DEFAULT_LIST;
use crate::domain::revocation::identifier::{Identifier, Kind};
use crate::domain::uri::{escape, query};
use crate::fleet::{ListError, ListMeta};

use super::problem::Problem;
use super::{Admin, Answer, body, json, takes};

/// A page of this size where none is asked for, and the largest.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewList {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: String,
    #[serde(default = "session")]
    kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Revoked {
    id: String,
    duration_seconds: u64,
    #[serde(default = "session")]
    kind: String,
}

fn session() -> String {
    Kind::Session.as_str().to_owned()
}

#[derive(Serialize)]
struct List {
    id: u32,
    name: String,
    count: usize,
    limit: usize,
}

#[derive(Serialize)]
struct Standing {
    id: String,
    kind: &'static str,
    ttl: u64,
}

impl From<ListMeta> for List {
    fn from(meta: ListMeta) -> Self {
        Self { id: meta.id, name: meta.name, count: meta.count, limit: meta.limit }
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        match &error {
            ListError::NoList(_) | ListError::NoIdentifier => Self::missing(error),
            ListError::Default
            | ListError::Taken(_)
            | ListError::Lists(_)
            | ListError::Identifiers(_)
            | ListError::Call(..) => Self::conflict(error),
            ListError::Name => Self::field("name", error),
            ListError::Identifier(_) => Self::field("id", error),
            ListError::Away => Self::unavailable(error),
            ListError::Unsaved => Self::failed(error),
        }
    }
}

pub(super) async fn answer<B>(admin: &Admin, parts: &Parts, body: B) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    let fleet = &admin.edge.fleet;
    let path = parts.uri.path();
    let segments: Vec<&str> = path.trim_matches('/').split('/').skip(1).collect();
    let list = |text: &str| text.parse::<u32>().map_err(|_| Problem::not_found(path));
    match segments.as_slice() {
        [] => {
            takes(parts, "GET, POST")?;
            if parts.method == http::Method::GET {
                let lists: Vec<List> = fleet.lists().into_iter().map(List::from).collect();
                return Ok(json(StatusCode::OK, &lists));
            }
            admin.may_change(parts)?;
            let asked: NewList = body::json(parts, body, admin.limits).await?;
            Ok(json(StatusCode::CREATED, &List::from(fleet.create_list(&asked.name).await?)))
        }
        [id] => {
            takes(parts, "GET, DELETE")?;
            let id = list(id)?;
            if parts.method == http::Method::GET {
                return Ok(json(StatusCode::OK, &List::from(fleet.list(id)?)));
            }
            admin.may_change(parts)?;
            fleet.delete_list(id).await?;
            Ok(json(StatusCode::OK, &serde_json::json!({ "deleted": id })))
        }
        [id, "meta"] => {
            takes(parts, "GET")?;
            let meta = fleet.list(list(id)?)?;
            Ok(json(StatusCode::OK, &serde_json::json!({ "count": meta.count, "limit": meta.limit })))
        }
        [id, "properties"] => {
            takes(parts, "GET")?;
            Ok(json(StatusCode::OK, &obeying(admin, &fleet.list(list(id)?)?)))
        }
        [id, "identifiers"] => {
            takes(parts, "GET")?;
            let page = Page::of(parts)?;
            let (identifiers, count) = fleet.identifiers(list(id)?, page.from(), page.size)?;
            let shown = identifiers.into_iter().map(|(identifier, ttl)| standing(&identifier, ttl));
            let shown: Vec<Standing> = shown.collect();
            Ok(json(
                StatusCode::OK,
                &serde_json::json!({ "identifiers": shown, "count": count, "page": page.number, "pageSize": page.size }),
            ))
        }
        [id, "identifiers", "add"] => {
            takes(parts, "POST")?;
            admin.may_change(parts)?;
            let asked: Vec<Revoked> = body::json(parts, body, admin.limits).await?;
            let identifiers = asked
                .into_iter()
                .map(|one| Ok((identifier(&one.kind, &one.id)?, Duration::from_secs(one.duration_seconds))));
            let identifiers = identifiers.collect::<Result<Vec<_>, Problem>>()?;
            let added = fleet.revoke(list(id)?, identifiers).await?;
            let answer = serde_json::json!({ "added": added.count, "reachedFleet": added.has_reached_fleet });
            Ok(json(StatusCode::OK, &answer))
        }
        [id, "identifiers", "remove"] => {
            takes(parts, "POST")?;
            admin.may_change(parts)?;
            let asked: Vec<Named> = body::json(parts, body, admin.limits).await?;
            let identifiers = asked
                .iter()
                .map(|one| identifier(&one.kind, &one.id))
                .collect::<Result<Vec<_>, Problem>>()?;
            let removed = fleet.restore_access(list(id)?, identifiers).await?;
            Ok(json(StatusCode::OK, &serde_json::json!({ "removed": removed })))
        }
        [id, "identifiers", text @ ..] => {
            takes(parts, "GET")?;
            let text = escape::decode(&text.join("/")).ok_or_else(|| Problem::not_found(path))?.into_owned();
            let kind = parameter(parts, "kind").unwrap_or("session");
            let identifier = identifier(kind, &text)?;
            let left = fleet.seconds_left(list(id)?, &identifier)?;
            Ok(json(StatusCode::OK, &standing(&identifier, left)))
        }
        _ => Err(Problem::not_found(path)),
    }
}

fn standing(identifier: &Identifier, ttl: u64) -> Standing {
    Standing { id: identifier.to_string(), kind: identifier.kind().as_str(), ttl }
}

fn identifier(kind: &str, text: &str) -> Result<Identifier, Problem> {
    let kind = Kind::named(kind).map_err(|error| Problem::field("kind", error))?;
    Identifier::new(kind, text).map_err(|error| Problem::field("id", error))
}

/// The properties that obey a list.
fn obeying(admin: &Admin, list: &ListMeta) -> Vec<String> {
    let obeys = |names: &[Box<str>]| {
        list.id == DEFAULT_LIST || names.is_empty() || names.iter().any(|name| **name == *list.name)
    };
    let terms = admin.edge.terms.load();
    let obeying = terms.properties.values().filter(|property| obeys(&property.terms.lists));
    let mut names: Vec<String> = obeying.map(|property| property.name.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

/// Which part of a long answer is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) number: usize,
    pub(super) size: usize,
}

impl Page {
    pub(super) fn of(parts: &Parts) -> Result<Self, Problem> {
        let number = |name: &'static str, default: usize, most: usize| match parameter(parts, name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                Ok(_) | Err(_) => Err(Problem::field(name, format!("write a number from 1 to {most}"))),
            },
        };
        Ok(Self { number: number("page", 1, 1_000_000)?, size: number("pageSize", PAGE, PAGE_MAX)? })
    }

    /// How many come before it.
    pub(super) fn from(self) -> usize {
        (self.number - 1) * self.size
    }
}

pub(super) fn parameter<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    query::values(parts.uri.query().unwrap_or_default(), name).next()
}
