//! The rules of the table, of attribute lists, variables, JSON and codings, one by one.

mod encoding;
mod json;
mod lists;
mod rows;

use bytes::Bytes;

use super::Options;
use super::base::{Base, Hosts};
use super::placement::Placement;
use super::template::Template;

pub(super) const BASE: &str = "https://own.example/live/list.m3u8?v=1&dir=a%2Fb&deep=x%3Fy";

pub(super) fn base_and_hosts() -> (Base, Hosts) {
    (Base::parse(BASE).unwrap(), Hosts::new(&["own.example"], &["cdn.example"]).unwrap())
}

pub(super) fn compile_with(text: &str, options: &Options) -> Template {
    let (base, hosts) = base_and_hosts();
    let source = Bytes::from(format!("#EXTM3U\n{text}"));
    Template::compile(&source, &base, &hosts, "hdntl", options).unwrap()
}

pub(super) fn compile(text: &str) -> Template {
    compile_with(text, &Options::default())
}

fn output(template: &Template, placement: &Placement<'_>) -> String {
    let output = String::from_utf8(template.personalise(placement)).unwrap();
    assert_eq!(output.len(), template.personalised_len(placement));
    output
}

/// The playlist without its first line, with `?T=1` or `&T=1` on each URI.
pub(super) fn query(text: &str) -> String {
    output(&compile(text), &Placement::Query { pair: "T=1" })["#EXTM3U\n".len()..].to_owned()
}

/// The same with `T=1/` in each URI's path.
pub(super) fn path(text: &str) -> String {
    let placement = Placement::Path { component: "T=1", inherited: None };
    output(&compile(text), &placement)["#EXTM3U\n".len()..].to_owned()
}
