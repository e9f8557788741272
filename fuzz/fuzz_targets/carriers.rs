//! Whatever a path or a cookie holds, taking a session out of it panics nothing, and leaves what was around it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::domain::session::carrier::{cookie, sole, split_path};
use sluicegate::domain::uri::query;

fuzz_target!(|text: &str| {
    if let Ok(split) = split_path(text, "hdntl") {
        match split.value {
            None => assert_eq!(split.path, text),
            Some(value) => {
                // An escaped `=` is one, too.
                let component = format!("hdntl={value}");
                assert!(text.contains(&component) || text.contains('%'));
                assert!(split.path.len() < text.len());
                // A component that was taken out leaves no second one.
                assert!(split_path(&split.path, "hdntl").is_ok_and(|again| again.value.is_none()));
            }
        }
    }
    if let Ok(Some(value)) = cookie([text], "hdntl") {
        assert!(text.contains(value) && !value.contains(';'));
    }
    let _ = sole(text.split(','));
    let left = query::without(text, &["hdnts"]);
    assert!(query::values(&left, "hdnts").next().is_none());
});
