//! Follows the links of the pages: to other pages, to their headings, to files of the repository.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

use crate::page::{Page, root};

#[test]
fn every_link_leads_to_something() {
    let mut pages = Page::all();
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        pages.push(Page::read(name));
    }
    let anchors: BTreeMap<&str, Vec<String>> =
        pages.iter().map(|page| (page.name.as_str(), page.anchors())).collect();
    let link = Regex::new(r"\]\(([^()\s]+)\)").expect("a pattern");
    let (mut followed, mut broken) = (0, Vec::new());
    for page in &pages {
        let folder = Path::new(&page.name).parent().expect("a folder");
        for found in link.captures_iter(&page.prose()) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            followed += 1;
            let (path, anchor) =
                target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
            let path = if path.is_empty() { PathBuf::from(&page.name) } else { normal(&folder.join(path)) };
            let is_there = root().join(&path).exists();
            let known = path.to_str().and_then(|name| anchors.get(name));
            let has_anchor =
                anchor.is_none_or(|anchor| known.is_some_and(|known| known.iter().any(|one| one == anchor)));
            if !is_there || !has_anchor {
                broken.push(format!("{}: {target}", page.name));
            }
        }
    }
    assert!(followed > 20, "only {followed} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}
