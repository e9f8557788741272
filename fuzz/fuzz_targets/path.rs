//! A normal path is its own normal form and climbs nowhere; components and parameters come out without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::domain::session::carrier::{cookie, split_path};
use sluicegate::domain::token::acl;
use sluicegate::domain::uri::path::{Dots, normalise};
use sluicegate::domain::uri::{escape, query};

fuzz_target!(|text: &str| {
    if let Ok(normal) = normalise(text) {
        assert!(normal.starts_with('/'));
        assert!(normal.split('/').all(|segment| Dots::of(segment) == Dots::None));
        assert_eq!(normalise(&normal).as_deref(), Ok(normal.as_ref()));
        assert!(acl::covers("/*", &normal));
    }
    if let Ok(split) = split_path(text, "hdntl") {
        assert!(split.value.is_some() || split.path == text);
    }
    let left = query::without(text, &["hdnts", "hdntl"]);
    assert_eq!(query::values(&left, "hdnts").count(), 0);
    let patterns = acl::normalise(text);
    assert_eq!(acl::normalise(&patterns), patterns);
    let _ = acl::covers(&patterns, "/a/b.m3u8");
    let _ = cookie([text], "hdntl");
    let _ = escape::decode(text);
});
