//! No text makes the reading of a configuration panic. What it names is not looked at: commands and files are the operator's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::config::file::File;

fuzz_target!(|text: &str| {
    let _ = toml::from_str::<File>(text);
});
