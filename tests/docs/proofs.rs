//! Whatever a page names as a proof has to exist.

use std::collections::BTreeSet;
use std::fs;

use crate::page::{files, root};

/// `lib` are the tests beside the code.
const BINARIES: [&str; 7] = ["it::", "players::", "lib::", "server::", "origin::", "manifest::", "store::"];

#[test]
fn every_test_that_a_page_names_exists() {
    let mut sources = Vec::new();
    for folder in ["src", "tests"] {
        files(&root().join(folder), "rs", &mut sources);
    }
    let mut known = BTreeSet::new();
    for source in sources {
        let text = fs::read_to_string(&source).expect("a source file");
        known.extend(text.split("fn ").skip(1).map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
        }));
    }
    let mut pages = Vec::new();
    for folder in ["docs/sources", "docs/security"] {
        files(&root().join(folder), "md", &mut pages);
    }
    assert!(pages.len() >= 6, "the pages were not found");
    let (mut named, mut missing) = (0, Vec::new());
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page");
        for code in text.split('`').skip(1).step_by(2) {
            let is_test = BINARIES.iter().any(|binary| code.starts_with(binary));
            let Some(name) = code.rsplit("::").next().filter(|_| is_test) else { continue };
            named += 1;
            if !known.contains(name) {
                missing.push(format!("{}: {code}", page.display()));
            }
        }
    }
    assert!(named > 60, "only {named} tests are named");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
