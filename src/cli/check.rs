//! `sluicegate check`: the configuration as `serve` would take it, without binding a port.

use std::io::IsTerminal;
use std::process::ExitCode;

use crate::clock::Clock;
use crate::config::{self, fault::Faults};
use crate::telemetry::metrics::Metrics;

use super::ConfigArgs;

pub fn run(args: &ConfigArgs, clock: &Clock) -> ExitCode {
    match config::load(&args.config, &Metrics::new(), clock.now()) {
        Ok(config) => {
            println!("{} is good.", args.config.display());
            for line in &config.summary {
                println!("  {line}");
            }
            for warning in &config.warnings {
                println!("  warning: {warning}");
            }
            ExitCode::SUCCESS
        }
        Err(faults) => {
            report(faults);
            ExitCode::from(2)
        }
    }
}

/// Faults with the lines they stand in on a terminal, one line each elsewhere.
pub fn report(faults: Faults) {
    if std::io::stderr().is_terminal() {
        eprintln!("{:?}", miette::Report::new(faults));
    } else {
        for line in faults.lines() {
            eprintln!("{line}");
        }
    }
}
