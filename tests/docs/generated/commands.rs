//! What `--help` says of each command.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};
use sluicegate::cli::Cli;

const COLUMNS: usize = 100;

pub fn reference() -> String {
    let mut out = String::new();
    let mut command = Cli::command().term_width(COLUMNS);
    // It hands names and settings down to the commands below.
    command.build();
    tell(&mut out, &mut command, "");
    out
}

fn tell(out: &mut String, command: &mut Command, above: &str) {
    let name = format!("{above}{}", command.get_name());
    if command.get_name() == "help" {
        return;
    }
    // What the environment of the tests holds is nobody's business.
    *command = std::mem::take(command).mut_args(|argument| argument.hide_env_values(true));
    let help = command.render_long_help().to_string();
    let help: String = help.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    let _ = write!(out, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end());
    for below in command.get_subcommands_mut() {
        tell(out, below, &format!("{name} "));
    }
}
