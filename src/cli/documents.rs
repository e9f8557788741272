//! `sluicegate completions` and `sluicegate manual`: what shells and `man` know of the commands, made of the commands themselves.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, fail};

#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell that is to complete them
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub struct ManualArgs {
    /// The folder for the pages, one for each command; made where it is not there
    folder: PathBuf,
}

pub fn completions(args: &CompletionsArgs) -> ExitCode {
    clap_complete::generate(args.shell, &mut Cli::command(), "sluicegate", &mut std::io::stdout());
    ExitCode::SUCCESS
}

pub fn manual(args: &ManualArgs) -> ExitCode {
    // A page on `help` at every level would say nothing.
    let command = Cli::command().disable_help_subcommand(true);
    let made =
        std::fs::create_dir_all(&args.folder).and_then(|()| clap_mangen::generate_to(command, &args.folder));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{}: {error}", args.folder.display())),
    }
}
