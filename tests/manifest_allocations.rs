//! Personalising allocates per playlist, not per URI: a counting allocator looks on.

mod counting;

use std::fmt::Write as _;

use bytes::Bytes;
use sluicegate::domain::manifest::Options;
use sluicegate::domain::manifest::base::{Base, Hosts};
use sluicegate::domain::manifest::placement::Placement;
use sluicegate::domain::manifest::template::Template;

fn allocations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = counting::allocations();
    let result = work();
    (counting::allocations() - before, result)
}

fn template(segments: usize, reference: &str) -> Template {
    let mut text = "#EXTM3U\n".to_owned();
    for index in 0..segments {
        writeln!(text, "#EXTINF:6.0,\n{reference}{index}.ts").expect("a String takes all");
    }
    let base = Base::parse("https://own.example/a/b/list.m3u8").expect("a URL");
    let hosts = Hosts::new(&["own.example"], &[] as &[&str]).expect("hosts");
    Template::compile(&Bytes::from(text), &base, &hosts, "hdntl", &Options::default()).expect("a playlist")
}

#[test]
fn a_long_playlist_takes_as_few_allocations_as_a_short_one() {
    for reference in ["seg", "/a/seg", "../seg", "https://own.example/seg", "hdntl=stale/seg"] {
        let (short, long) = (template(1, reference), template(1800, reference));
        for placement in [
            Placement::Untouched,
            Placement::Query { pair: "hdntl=exp=1~hmac=0" },
            Placement::Path { component: "hdntl=exp=1~hmac=0", inherited: None },
            Placement::Path { component: "hdntl=exp=1~hmac=0", inherited: Some(0) },
        ] {
            let (for_short, _) = allocations(|| short.personalise(&placement));
            let (for_long, output) = allocations(|| long.personalise(&placement));
            assert_eq!(for_long, for_short, "{reference} {placement:?}");
            assert!(for_long <= 6, "{for_long} allocations");
            assert_eq!(output.capacity(), output.len());
        }
    }
}

#[test]
fn a_point_takes_sixteen_bytes() {
    let weight = template(1801, "seg").weight_bytes() - template(1, "seg").weight_bytes();
    assert_eq!(weight, 1800 * 16);
}
