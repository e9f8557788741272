//! The scan of a playlist, and what one viewer costs once it is compiled.

use std::fmt::Write as _;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluicegate::domain::manifest::Options;
use sluicegate::domain::manifest::base::{Base, Hosts};
use sluicegate::domain::manifest::encoding::{Coding, encode};
use sluicegate::domain::manifest::placement::Placement;
use sluicegate::domain::manifest::template::Template;

const SIZES: [usize; 3] = [10, 100, 1800];
const PAIR: &str = "hdntl=exp=1700086400~acl=/*~id=viewer-0123456789~data=hdntl~\
                    hmac=4ca8e0a5b5b5a9a3f0f3a0b3f0b7e7c1a2b3c4d5e6f708192a3b4c5d6e7f8091";
const COMPONENT: &str = "hdntl=exp=1700086400~acl=%2f*~id=viewer-0123456789~data=hdntl~\
                         hmac=4ca8e0a5b5b5a9a3f0f3a0b3f0b7e7c1a2b3c4d5e6f708192a3b4c5d6e7f8091";

/// `prefix` makes the references relative, rooted, absolute.
fn playlist(segments: usize, prefix: &str) -> Bytes {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:VOD\n\
                    #EXT-X-MAP:URI=\"init.mp4\"\n"
        .to_owned();
    for index in 0..segments {
        writeln!(text, "#EXTINF:6.006000,\n{prefix}720p/segment_{index:05}.m4s").expect("a String takes all");
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text.into()
}

fn compile(source: &Bytes, base: &Base, hosts: &Hosts) -> Template {
    Template::compile(source, base, hosts, "hdntl", &Options::default()).expect("a playlist")
}

fn manifest(criterion: &mut Criterion) {
    let base = Base::parse("https://media.example.com/vod/film/list.m3u8").expect("a URL");
    let hosts = Hosts::new(&["media.example.com"], &["cdn.example.com"]).expect("hosts");

    let mut group = criterion.benchmark_group("scan");
    for segments in SIZES {
        for (form, prefix) in [("relative", ""), ("absolute", "https://media.example.com/vod/film/")] {
            let source = playlist(segments, prefix);
            group.throughput(Throughput::Bytes(source.len() as u64));
            group.bench_with_input(BenchmarkId::new(form, segments), &source, |bencher, source| {
                bencher.iter(|| compile(black_box(source), &base, &hosts));
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("personalise");
    for segments in SIZES {
        for (form, prefix, placement) in [
            ("query", "", Placement::Query { pair: PAIR }),
            ("path as entry", "", Placement::Path { component: COMPONENT, inherited: None }),
            ("path inherited", "", Placement::Path { component: COMPONENT, inherited: Some(0) }),
            ("path climbing", "../", Placement::Path { component: COMPONENT, inherited: Some(0) }),
        ] {
            let template = compile(&playlist(segments, prefix), &base, &hosts);
            group.throughput(Throughput::Bytes(template.personalised_len(&placement) as u64));
            group.bench_with_input(BenchmarkId::new(form, segments), &template, |bencher, template| {
                bencher.iter(|| black_box(template).personalise(&placement));
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("length");
    let template = compile(&playlist(1800, ""), &base, &hosts);
    group.bench_function("query/1800", |bencher| {
        bencher.iter(|| black_box(&template).personalised_len(&Placement::Query { pair: PAIR }));
    });
    group.finish();

    let mut group = criterion.benchmark_group("encode");
    group.sample_size(20);
    let body = template.personalise(&Placement::Query { pair: PAIR });
    for (name, coding) in [("gzip", Coding::Gzip), ("br", Coding::Br), ("zstd", Coding::Zstd)] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new(name, 1800), |bencher| {
            bencher.iter(|| encode(coding, black_box(&body)));
        });
    }
    group.finish();
}

criterion_group!(benches, manifest);
criterion_main!(benches);
