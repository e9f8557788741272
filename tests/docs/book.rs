//! The book: every page is in its table of contents, and leads to nothing outside it.

use std::collections::BTreeSet;

use regex::Regex;

use crate::page::{Page, root};

const SUMMARY: &str = "docs/SUMMARY.md";

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let link = Regex::new(r"\]\(([^()\s]+)\)").expect("a pattern");
    let summary = Page::read(SUMMARY);
    let listed: Vec<String> =
        link.captures_iter(&summary.text).map(|found| format!("docs/{}", &found[1])).collect();
    let once: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice");
    let pages = Page::all();
    let there = pages
        .iter()
        .map(|page| page.name.as_str())
        .filter(|name| name.starts_with("docs/") && *name != SUMMARY);
    let there: BTreeSet<&str> = there.collect();
    let missing: Vec<_> = there.difference(&once).collect();
    let dangling: Vec<_> = once.difference(&there).collect();
    assert!(missing.is_empty() && dangling.is_empty(), "{SUMMARY} lacks {missing:?}, and lists {dangling:?}");
}

/// A link out of `docs` would lead nowhere in the built book.
#[test]
fn no_page_of_the_book_leads_out_of_it() {
    let link = Regex::new(r"\]\(([^()\s#]+)[^()\s]*\)").expect("a pattern");
    let mut out = Vec::new();
    for page in Page::all().iter().filter(|page| page.name.starts_with("docs/")) {
        let depth = page.name.matches('/').count() - 1;
        let prose = page.prose();
        let targets = link.captures_iter(&prose).map(|found| found[1].to_owned());
        out.extend(
            targets
                .filter(|target| target.matches("../").count() > depth)
                .map(|target| format!("{}: {target}", page.name)),
        );
    }
    assert!(out.is_empty(), "{}", out.join("\n"));
}

#[test]
fn each_page_has_one_title() {
    for page in Page::all().iter().filter(|page| page.name != SUMMARY) {
        let mut is_code = false;
        let titles = page.text.lines().filter(|line| {
            is_code ^= line.trim_start().starts_with("```");
            !is_code && line.starts_with("# ")
        });
        // A page that only includes another has that one's.
        let is_included = page.text.starts_with("{{#include ");
        assert_eq!(titles.count(), usize::from(!is_included), "{}", page.name);
    }
    assert!(root().join("docs/book.toml").exists());
}
