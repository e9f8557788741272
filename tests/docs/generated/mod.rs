//! Parts of pages that are made of the program itself: its commands, the reference configuration, the description of the admin API.
//!
//! Such a part stands between `<!-- generated -->` and `<!-- end of what is generated -->`. Where one is not what it would be now, the
//! test fails; with `SLUICEGATE_WRITE_DOCS=1` in the environment it writes the page anew.

mod api;
mod commands;
mod configuration;

use std::fs;

use crate::page::root;

const START: &str = "<!-- generated -->\n";
const END: &str = "<!-- end of what is generated -->";
const WRITE: &str = "SLUICEGATE_WRITE_DOCS";

#[test]
fn the_reference_of_the_configuration_is_that_of_config_toml() {
    hold("docs/reference/configuration.md", &configuration::reference());
}

#[test]
fn the_reference_of_commands_is_what_help_says() {
    hold("docs/reference/cli.md", &commands::reference());
}

#[test]
fn the_reference_of_the_admin_api_is_that_of_its_description() {
    hold("docs/reference/admin-api.md", &api::reference());
}

/// Holds the part of a page to what it has to be.
fn hold(name: &str, made: &str) {
    let path = root().join(name);
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (before, rest) = page.split_once(START).unwrap_or_else(|| panic!("{name} has no {START}"));
    let (there, after) = rest.split_once(END).unwrap_or_else(|| panic!("{name} has no {END}"));
    if there == made {
        return;
    }
    if is_to_write() {
        fs::write(&path, format!("{before}{START}{made}{END}{after}")).expect("it is written");
        return;
    }
    let mut lines = there.lines().zip(made.lines());
    let differing = lines.find(|(there, made)| there != made);
    panic!(
        "{name} is out of date: {WRITE}=1 cargo nextest run --test docs -E 'test(reference_of)'\n{differing:#?}"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says here that pages are to be written"
)]
fn is_to_write() -> bool {
    std::env::var(WRITE).is_ok_and(|value| value == "1")
}

/// Text for a cell of a table or a paragraph: nothing in it is markup.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if "|*<>\\".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}
