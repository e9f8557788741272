//! The page of reasons names every one, with the status that it has.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use sluicegate::domain::token::reason::Reason;
use sluicegate::edge::error::{EdgeError, Statuses};
use sluicegate::server::door::Refusal;

use crate::page::Page;

#[test]
fn every_reason_stands_on_the_page_with_its_status() {
    let page = Page::read("docs/reference/reasons.md");
    let viewers = table(&page.text, "## Why a viewer is refused");
    let known = Reason::ALL.map(|reason| (reason.as_str().to_owned(), status_of(reason)));
    assert_eq!(viewers, BTreeMap::from(known));
    let door = table(&page.text, "## What is refused at the door");
    let known = Refusal::ALL.map(|refusal| (refusal.name().to_owned(), refusal.status().as_str().to_owned()));
    assert_eq!(door, BTreeMap::from(known));
}

/// The first two columns of a section's table, the second without what follows its number.
fn table(text: &str, heading: &str) -> BTreeMap<String, String> {
    let (_, section) = text.split_once(heading).expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split_once("` | "));
    let status = |rest: &str| rest.split([',', '|']).next().unwrap_or_default().trim().to_owned();
    cells.map(|(name, rest)| (name.to_owned(), status(rest))).collect()
}

/// What a request that is refused so is answered with.
fn status_of(reason: Reason) -> String {
    let error = match reason {
        Reason::Rule => return "the rule's".to_owned(),
        Reason::Method => EdgeError::Method,
        Reason::RequestRate => EdgeError::TooManyRequests(Duration::from_secs(1)),
        reason => EdgeError::Denied(reason),
    };
    let statuses = Statuses { unknown_host: StatusCode::MISDIRECTED_REQUEST, expired: StatusCode::FORBIDDEN };
    error.status(statuses).as_str().to_owned()
}
