//! Holds the documentation to what is true: commands are run, configurations judged, links followed, proofs looked up.

mod book;
mod commands;
mod configurations;
mod generated;
mod links;
#[path = "../it/support/mmdb.rs"]
mod mmdb;
mod page;
mod proofs;
mod reasons;
