//! What the commands give to `man` and to shells.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use clap::CommandFactory as _;

use crate::support::{sluicegate, told};

/// The names of all pages, and what each says of its command.
fn pages(command: &clap::Command, name: &str, found: &mut Vec<(String, String)>) {
    let about = command.get_about().expect("a command says what it does").to_string();
    found.push((format!("{name}.1"), about));
    for one in command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help") {
        pages(one, &format!("{name}-{}", one.get_name()), found);
    }
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let folder = tempfile::tempdir().expect("a folder");
    told(sluicegate(&["manual"]).arg(folder.path().join("man")));
    let mut wanted = Vec::new();
    pages(&sluicegate::cli::Cli::command(), "sluicegate", &mut wanted);
    assert!(wanted.len() > 14, "{wanted:?}");
    let made: BTreeSet<String> = fs::read_dir(folder.path().join("man"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    assert_eq!(made, wanted.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>());
    for (name, about) in wanted {
        let page = fs::read_to_string(folder.path().join("man").join(&name)).expect("a page");
        // Only the first words: roff writes some signs in its own way.
        let beginning: String =
            about.chars().take_while(|letter| letter.is_alphanumeric() || *letter == ' ').collect();
        assert!(page.contains(".SH NAME") && page.contains(&beginning), "{name}: {beginning}");
    }
}

#[test]
fn shells_complete_commands_and_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("completions");
    fs::write(&script, told(&mut sluicegate(&["completions", "bash"]))).expect("written");
    let completed = |words: &[&str]| {
        let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let asked = format!(
            "source {}; COMP_WORDS=({line}); COMP_CWORD={}; _sluicegate sluicegate {} {}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.len() - 1,
            format_args!("'{}'", words[words.len() - 1]),
            format_args!("'{}'", words[words.len() - 2]),
        );
        told(Command::new("bash").args(["-c", &asked]))
    };
    assert_eq!(completed(&["sluicegate", "ser"]).trim(), "serve");
    assert!(completed(&["sluicegate", "token", "mi"]).contains("mint"));
    assert!(completed(&["sluicegate", "revoke", "--sess"]).contains("--session-id"));
    for shell in ["zsh", "fish"] {
        let text = told(&mut sluicegate(&["completions", shell]));
        for command in sluicegate::cli::Cli::command().get_subcommands().filter(|one| !one.is_hide_set()) {
            assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
        }
    }
}
