//! Attribute lists, variables, limits, classification, the first variant, the entry.

use std::time::Duration;

use bytes::Bytes;

use super::super::base::{Base, Hosts};
use super::super::classify::{Kind, Media, State};
use super::super::entry::{BANDWIDTH_BITS_PER_SECOND, entry};
use super::super::placement::Placement;
use super::super::template::Template;
use super::super::{ManifestError, Options};
use super::{BASE, base_and_hosts, compile, path, query};

#[test]
fn names_are_exact_and_every_occurrence_counts() {
    assert_eq!(
        query("#EXT-X-MAP:X-URI=\"a\", URI = \" b \" ,URI=\"c\",SERVER-URI=\"d\",NAME=\"URI=\",URI=\"\""),
        "#EXT-X-MAP:X-URI=\"a\", URI = \" b?T=1 \" ,URI=\"c?T=1\",SERVER-URI=\"d\",NAME=\"URI=\",URI=\"\""
    );
    assert_eq!(query("#EXT-X-MAP:,A,,URI=\"b\","), "#EXT-X-MAP:,A,,URI=\"b?T=1\",");
}

#[test]
fn a_list_that_does_not_parse_is_left_and_counted() {
    for line in [
        "#EXT-X-MAP:URI=\"a\",NAME=\"open",
        "#EXT-X-MAP:URI=\"a",
        "#EXT-X-MAP:URI=\"a\"b",
        "#EXT-X-MAP:URI=\"a\" \"b\"",
        "#EXT-X-MAP:\"URI=\"a\"",
        "#EXT-X-MAP:METHOD=A URI=\"a\"",
        "#EXT-X-MAP:URI=a",
        "#EXT-X-DATERANGE:X-ASSET-URI=\"a\",B=\"",
    ] {
        assert_eq!(query(line), line);
        assert_eq!(compile(line).counts().unparsable, 1, "{line}");
        assert_eq!(compile(line).counts().own, 0, "{line}");
    }
}

#[test]
fn a_variable_is_replaced_before_host_and_separator_are_judged() {
    let define = "#EXT-X-DEFINE:NAME=\"own\",VALUE=\"https://own.example/p/q\"\n\
                  #EXT-X-DEFINE:NAME=\"evil\",VALUE=\"https://evil.example\"\n\
                  #EXT-X-DEFINE:NAME=\"q\",VALUE=\"?a=1\"\n#EXT-X-DEFINE:NAME=\"f\",VALUE=\"#t=1\"\n\
                  #EXT-X-DEFINE:NAME=\"d\",VALUE=\"d/\"\n#EXT-X-DEFINE:NAME=\"n\",VALUE=\"{$q}\"\n";
    for (uri, in_query, in_path) in [
        ("{$own}/x.ts", "{$own}/x.ts?T=1", "{$own}/T=1/x.ts"),
        ("{$own}.ts", "{$own}.ts?T=1", "https://own.example/p/T=1/q.ts"),
        ("{$evil}/x.ts", "{$evil}/x.ts", "{$evil}/x.ts"),
        ("{$evil}.own.example/x.ts", "{$evil}.own.example/x.ts", "{$evil}.own.example/x.ts"),
        ("x.ts{$q}", "x.ts{$q}&T=1", "T=1/x.ts{$q}"),
        ("x.ts{$f}", "x.ts?T=1{$f}", "T=1/x.ts{$f}"),
        ("{$d}x.ts", "{$d}x.ts?T=1", "{$d}T=1/x.ts"),
        ("x.ts{$n}", "x.ts{$n}?T=1", "T=1/x.ts{$n}"),
        ("{$none}/x.ts", "{$none}/x.ts", "{$none}/x.ts"),
        ("a/{$none}.ts", "a/{$none}.ts?T=1", "a/T=1/{$none}.ts"),
        ("seg_{$none}.ts", "seg_{$none}.ts?T=1", "T=1/seg_{$none}.ts"),
        ("x{$.ts", "x{$.ts?T=1", "T=1/x{$.ts"),
    ] {
        assert_eq!(query(&format!("{define}{uri}\n")), format!("{define}{in_query}\n"));
        assert_eq!(path(&format!("{define}{uri}\n")), format!("{define}{in_path}\n"));
        let map = format!("{define}#EXT-X-MAP:URI=\"{uri}\"\n");
        assert_eq!(query(&map), format!("{define}#EXT-X-MAP:URI=\"{in_query}\"\n"));
    }
    let unknown = compile("#EXT-X-DEFINE:IMPORT=\"host\"\n{$host}/x.ts\n{$host}/y.ts\nz.ts\n");
    assert_eq!((unknown.counts().unknown_variables, unknown.counts().own), (2, 1));
    assert!(!unknown.depends_on_query());
}

#[test]
fn a_query_parameter_is_read_from_the_playlists_own_url() {
    let define = "#EXT-X-DEFINE:QUERYPARAM=\"dir\"\n#EXT-X-DEFINE:QUERYPARAM=\"deep\"\n#EXT-X-DEFINE:QUERYPARAM=\"gone\"\n";
    assert_eq!(path(&format!("{define}{{$dir}}.ts")), format!("{define}a/T=1/b.ts"));
    assert_eq!(query(&format!("{define}{{$deep}}")), format!("{define}{{$deep}}&T=1"));
    assert_eq!(query(&format!("{define}{{$gone}}/x")), format!("{define}{{$gone}}/x"));
    assert!(compile(define).depends_on_query());
}

#[test]
fn a_value_that_would_grow_without_bound_is_left_alone() {
    let value = "v".repeat(30_000);
    let text = format!("#EXT-X-DEFINE:NAME=\"v\",VALUE=\"{value}\"\na/{}\n", "{$v}".repeat(10_000));
    let template = compile(&text);
    assert_eq!((template.counts().own, template.counts().unparsable), (0, 1));
    let many =
        format!("#EXT-X-DEFINE:NAME=\"v\",VALUE=\"{}/b\"\n{}", "v".repeat(9_000), "{$v}\n".repeat(20_000));
    let template = compile(&many);
    assert!(template.counts().unparsable > 0);
    assert!(template.weight_bytes() < 20 * many.len(), "{} bytes", template.weight_bytes());
}

#[test]
fn limits_are_errors() {
    let (base, hosts) = base_and_hosts();
    let compile = |text: &str, options: &Options| {
        Template::compile(&Bytes::from(text.to_owned()), &base, &hosts, "hdntl", options).map(|_| ())
    };
    let options = Options { line_bytes_max: 10, source_bytes_max: 40, ..Options::default() };
    assert_eq!(compile("#EXTM3U\n0123456789\n", &options), Ok(()));
    let too_long = ManifestError::LineTooLong { line: 2, bytes_max: 10 };
    assert_eq!(compile("#EXTM3U\n0123456789x\n", &options), Err(too_long));
    let too_large = ManifestError::TooLarge { bytes: 41, bytes_max: 40 };
    assert_eq!(compile(&"x".repeat(41), &options), Err(too_large));
    assert_eq!(compile("<html>", &options), Err(ManifestError::NotAPlaylist));
    assert!(matches!(Base::parse("/relative"), Err(ManifestError::BadBase(_))));
    assert!(matches!(Base::parse("ftp://own.example/x"), Err(ManifestError::BadBase(_))));
    for host in ["", "*", "*.", "a b", "a/b", "http://a", "a:b"] {
        assert!(Hosts::new(&[host], &[] as &[&str]).is_err(), "{host:?}");
    }
}

fn media(text: &str) -> Media {
    match compile(text).kind() {
        Kind::Media(media) => media.clone(),
        kind @ (Kind::Multivariant | Kind::Json) => panic!("{kind:?}"),
    }
}

#[test]
fn durations_are_summed_where_m3u8_rs_goes_wrong() {
    let vod = media(
        "#EXT-X-TARGETDURATION:9.97\n#EXTINF:4,a, b\nx\n#EXTINF:.5\ny\n#EXTINF: 4\nz\u{a0}\n#EXTINF:-1 a=\"b\",c\nw\n#EXT-X-ENDLIST",
    );
    assert!((vod.duration_seconds - 8.5).abs() < 1e-9);
    assert_eq!((vod.segments, vod.state), (4, State::Vod));
    assert_eq!(vod.item_duration(), Some(Duration::from_millis(8500)));
    assert_eq!(vod.fresh_for(), None);
    let absurd = media(&format!("#EXTINF:{}\nx\n#EXTINF:1e9\ny\n#EXT-X-ENDLIST", "9".repeat(400)));
    assert!((absurd.duration_seconds - 1.0).abs() < 1e-9);
}

#[test]
fn live_is_fresh_for_half_a_target_duration_and_has_no_length() {
    let live = media("#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:9\n#EXTINF:6,\nx\n");
    assert_eq!((live.state, live.media_sequence), (State::Live, 9));
    assert_eq!((live.fresh_for(), live.item_duration()), (Some(Duration::from_secs(3)), None));
    let event = media("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nx\n");
    assert_eq!((event.state, event.fresh_for()), (State::Event, Some(Duration::from_secs(2))));
    assert_eq!(media("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXTINF:4,\nx\n#EXT-X-ENDLIST").state, State::Vod);
}

#[test]
fn low_latency_tags_are_read() {
    let live = media(
        "#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.02\n\
         #EXT-X-PART-INF:PART-TARGET=0.34\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-PART:DURATION=0.3,URI=\"a\"\n\
         #EXTINF:4,\nx\n#EXT-X-PART:DURATION=0.3,URI=\"b\"\n#EXT-X-ENDLIST\n",
    );
    assert!(live.can_block_reload && live.is_delta);
    assert_eq!((live.part_hold_back_seconds, live.part_target_seconds), (Some(1.02), Some(0.34)));
    assert_eq!((live.parts_after_last_segment, live.item_duration()), (1, None));
}

#[test]
fn the_first_variant_is_the_first_on_the_playlists_own_host() {
    let variant = |lines: &str| {
        compile(&format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{lines}\n")).first_variant().map(str::to_owned)
    };
    assert_eq!(variant("a/x.m3u8?q=1#f").as_deref(), Some("/live/a/x.m3u8?q=1"));
    assert_eq!(variant("../x.m3u8").as_deref(), Some("/x.m3u8"));
    assert_eq!(variant("a.m3u8?hdntl=old").as_deref(), Some("/live/a.m3u8"));
    let second = "#EXT-X-STREAM-INF:BANDWIDTH=2\n# comment\nhttps://own.example/b.m3u8";
    assert_eq!(variant(&format!("https://evil.example/x\n{second}")).as_deref(), Some("/b.m3u8"));
    assert_eq!(variant(&format!("https://cdn.example/x\n{second}")).as_deref(), Some("/b.m3u8"));
    assert_eq!(variant("https://evil.example/x"), None);
    assert_eq!(compile("#EXTINF:4,\nx.ts\n").first_variant(), None);
    assert_eq!(*compile("#EXT-X-STREAM-INF:BANDWIDTH=1\na\n").kind(), Kind::Multivariant);
}

#[test]
fn the_entry_names_the_same_playlist_with_the_session() {
    let line = |url: &str, placement: &Placement<'_>| {
        let text = String::from_utf8(entry(&Base::parse(url).unwrap(), placement, BANDWIDTH_BITS_PER_SECOND))
            .unwrap();
        text.strip_prefix("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=3000000\n").unwrap().to_owned()
    };
    let pair = Placement::Query { pair: "hdntl=N" };
    let component = Placement::Path { component: "hdntl=N", inherited: None };
    let inherited = Placement::Path { component: "hdntl=N", inherited: Some(0) };
    assert_eq!(line(BASE, &pair), "./list.m3u8?v=1&dir=a%2Fb&deep=x%3Fy&hdntl=N\n");
    assert_eq!(line(BASE, &component), "hdntl=N/list.m3u8?v=1&dir=a%2Fb&deep=x%3Fy\n");
    assert_eq!(line(BASE, &inherited), "./list.m3u8?v=1&dir=a%2Fb&deep=x%3Fy\n");
    assert_eq!(line("https://own.example/a:b.m3u8", &pair), "./a:b.m3u8?hdntl=N\n");
    assert_eq!(line("https://own.example/d/?x={$y}", &component), "hdntl=N/?x=%7b$y}\n");
    assert_eq!(line("https://own.example/d/", &Placement::Untouched), "./\n");
}
