//! A playlist loses nothing: untouched it leaves byte for byte, personalised it is as long as was announced.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluicegate::domain::manifest::Options;
use sluicegate::domain::manifest::base::{Base, Hosts};
use sluicegate::domain::manifest::placement::Placement;
use sluicegate::domain::manifest::template::Template;

fuzz_target!(|body: &[u8]| {
    let mut source = b"#EXTM3U\n".to_vec();
    source.extend_from_slice(body);
    let source = Bytes::from(source);
    let base = Base::parse("https://edge.example/a/b/index.m3u8").expect("an absolute URL");
    let hosts = Hosts::new(&["edge.example"], &["cdn.example"]).expect("host names");
    let Ok(template) = Template::compile(&source, &base, &hosts, "hdntl", &Options::default()) else { return };
    for placement in [
        Placement::Untouched,
        Placement::Query { pair: "hdntl=exp=1~acl=/*" },
        Placement::Path { component: "hdntl=exp=1~acl=%2f*", inherited: None },
        Placement::Path { component: "hdntl=exp=1~acl=%2f*", inherited: Some(1) },
    ] {
        let personalised = template.personalise(&placement);
        assert_eq!(personalised.len(), template.personalised_len(&placement));
        assert_eq!(personalised.iter().filter(|&&byte| byte == b'\n').count(), source.iter().filter(|&&byte| byte == b'\n').count());
    }
});
