//! Playlists as a player sees them: every rewritten reference is resolved again, and compared with the original's.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::fmt::Write as _;

use bytes::Bytes;
use proptest::prelude::*;
use sluicegate::domain::manifest::base::{Base, Hosts};
use sluicegate::domain::manifest::classify::{Kind, State};
use sluicegate::domain::manifest::placement::Placement;
use sluicegate::domain::manifest::template::Template;
use sluicegate::domain::manifest::{Options, is_playlist};
use url::Url;

const TOKEN: &str = "hdntl=exp=1700000000~acl=%2f*~data=hdntl~hmac=00ff";
const PAIR: &str = "hdntl=exp=1700000000~acl=/*~data=hdntl~hmac=00ff";
const BASE: &str = "https://own.example/a/b/c/list.m3u8?v=1";

fn hosts() -> Hosts {
    Hosts::new(&["own.example", "*.own.example"], &["cdn.example:8443"]).unwrap()
}

fn compile_at(source: &[u8], base: &str) -> Template {
    let base = Base::parse(base).unwrap();
    Template::compile(&Bytes::copy_from_slice(source), &base, &hosts(), "hdntl", &Options::default()).unwrap()
}

/// The playlist's URL as a client has it that carries the component `levels` directories above the last segment.
fn client_base(base: &str, levels: usize) -> Url {
    let base = Url::parse(base).unwrap();
    let mut segments: Vec<&str> = base.path().split('/').collect();
    let at = segments.len() - 1 - levels;
    segments.insert(at, TOKEN);
    let mut client = base.clone();
    client.set_path(&segments.join("/"));
    client
}

/// One reference through all forms; panics when a form does not lead where the original led.
fn check_own(reference: &str, base: &str) {
    let source = format!("#EXTM3U\n#EXTINF:4,\n{reference}\n");
    let template = compile_at(source.as_bytes(), base);
    assert_eq!(template.counts().own, 1, "{reference:?} is ours");
    let line = |placement: &Placement<'_>| {
        let output = String::from_utf8(template.personalise(placement)).unwrap();
        assert_eq!(output.len(), template.personalised_len(placement));
        output.lines().nth(2).unwrap().to_owned()
    };
    let url = Url::parse(base).unwrap();
    let target = url.join(reference).unwrap();

    assert_eq!(line(&Placement::Untouched), reference);

    let with_query = url.join(&line(&Placement::Query { pair: PAIR })).unwrap();
    assert_eq!(without_pair(&with_query), target, "query form of {reference:?}");

    let entered = url.join(&line(&Placement::Path { component: TOKEN, inherited: None })).unwrap();
    assert_eq!(without_component(&entered), target, "path form of {reference:?}");
    let directory_end = entered.path().rfind('/').unwrap();
    assert!(entered.path()[..directory_end].ends_with(TOKEN), "before the last segment: {entered}");

    let directories = url.path().matches('/').count() - 1;
    for levels in 0..=directories.min(4) {
        let client = client_base(base, levels);
        let text = line(&Placement::Path { component: TOKEN, inherited: Some(levels) });
        let inherited = client.join(&text).unwrap();
        assert_eq!(without_component(&inherited), target, "{reference:?} under {client} became {text:?}");
    }
}

/// Exactly one component, taken out.
fn without_component(url: &Url) -> Url {
    let component = format!("{TOKEN}/");
    assert_eq!(url.as_str().matches(&component).count(), 1, "one component in {url}");
    Url::parse(&url.as_str().replace(&component, "")).unwrap()
}

/// Exactly one parameter, the last one, taken out together with its separator.
fn without_pair(url: &Url) -> Url {
    let query = url.query().unwrap();
    let rest = query.strip_suffix(PAIR).unwrap_or_else(|| panic!("{query} ends in the pair"));
    let mut bare = url.clone();
    bare.set_query(match rest {
        "" => None,
        _ => Some(rest.strip_suffix('&').unwrap_or(rest)),
    });
    bare
}

#[test]
fn every_kind_of_own_reference_leads_to_its_target() {
    for reference in [
        "x.ts",
        "360p/x.m3u8",
        "/a/x.ts",
        "/x.ts",
        "//own.example/a/x.ts",
        "https://own.example/a/x.ts?q",
        "HTTPS://OWN.example/a/x.ts",
        "https://own.example:443/x.ts",
        "https://cdn.example:8443/x.ts",
        "https://live.own.example/x.ts#t=1",
        "../s/x.ts",
        "../../s/x.ts",
        "../../../x.ts",
        "../../../../../x.ts",
        "./x.ts",
        "a/../x.ts",
        "a/../../x.ts",
        "a/./b/../x.ts",
        "..",
        ".",
        "../",
        "a/..",
        "a/.",
        "/..",
        "/",
        "x/",
        "%2e%2e/x.ts",
        ".%2E/x.ts",
        "a/%2e",
        "?x=1",
        "x.ts;v=1/y;w=2",
        "x.ts?a=1",
        "x.ts#f",
        "x.ts?a=b#f?c",
        "1080p:x.ts",
        "./a:b.ts",
        "x.ts?u=https://evil.example/",
        "x%2fy.ts",
        "a//x.ts",
        "..//x.ts",
        "...",
        "a/.../x",
        "https://own.example",
        "https://own.example?q=1",
        "//own.example",
        "x y.ts",
        "é.ts",
        "a\\b\\x.ts",
        "a\\..\\..\\x.ts",
        "x{$.ts",
        "~x.ts",
        "*.ts",
        "x.ts?a=\\..\\",
        "hdntl2/x.ts",
    ] {
        check_own(reference, BASE);
        check_own(reference, "https://own.example/list.m3u8");
        check_own(reference, "https://own.example/a/");
    }
}

#[test]
fn examples_of_the_path_form() {
    let line = |reference: &str, inherited| {
        let template = compile_at(format!("#EXTM3U\n{reference}").as_bytes(), BASE);
        let output = template.personalise(&Placement::Path { component: "hdntl=T", inherited });
        String::from_utf8(output).unwrap().lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(line("360p/x.m3u8", None), "360p/hdntl=T/x.m3u8");
    assert_eq!(line("x.ts", None), "hdntl=T/x.ts");
    assert_eq!(line("/a/x.ts", None), "/a/hdntl=T/x.ts");
    assert_eq!(line("https://own.example/a/x.ts?q", None), "https://own.example/a/hdntl=T/x.ts?q");
    assert_eq!(line("x.ts", Some(0)), "x.ts");
    assert_eq!(line("../s/x.ts", Some(0)), "../../s/hdntl=T/x.ts");
    assert_eq!(line("../s/x.ts", Some(1)), "../s/x.ts");
    assert_eq!(line("../../s/x.ts", Some(1)), "../../c/../../s/hdntl=T/x.ts");
    assert_eq!(line("?x=1", Some(0)), "?x=1");
    assert_eq!(line("?x=1", None), "hdntl=T/list.m3u8?x=1");
    assert_eq!(line("..", None), "../hdntl=T/");
    assert_eq!(line("https://own.example?q", None), "https://own.example/hdntl=T/?q");
}

#[test]
fn separators_of_the_query_form() {
    for (reference, expected) in [
        ("a", "a?T=1"),
        ("a?", "a?T=1"),
        ("a?x", "a?x&T=1"),
        ("a?x&", "a?x&T=1"),
        ("a#f", "a?T=1#f"),
        ("a?x#f?y", "a?x&T=1#f?y"),
        ("a?#f", "a?T=1#f"),
        ("a?x?", "a?x?&T=1"),
        ("a;p", "a;p?T=1"),
        ("?", "?T=1"),
        ("a?b=c ", "a?b=c&T=1 "),
    ] {
        let template = compile_at(format!("#EXTM3U\n{reference}").as_bytes(), BASE);
        let output = template.personalise(&Placement::Query { pair: "T=1" });
        assert_eq!(String::from_utf8(output).unwrap(), format!("#EXTM3U\n{expected}"));
    }
}

#[test]
fn stale_tokens_are_replaced_and_look_alikes_stay() {
    for (reference, plain, query, path) in [
        ("a?hdntl=old", "a", "a?hdntl=N", "hdntl=N/a"),
        ("a?hdntl=old&x=1", "a?x=1", "a?x=1&hdntl=N", "hdntl=N/a?x=1"),
        ("a?x=1&hdntl=old&y", "a?x=1&y", "a?x=1&y&hdntl=N", "hdntl=N/a?x=1&y"),
        ("a?hdntl&hdntl=b#f", "a#f", "a?hdntl=N#f", "hdntl=N/a#f"),
        (
            "a?xhdntl=1&hdntl2=2",
            "a?xhdntl=1&hdntl2=2",
            "a?xhdntl=1&hdntl2=2&hdntl=N",
            "hdntl=N/a?xhdntl=1&hdntl2=2",
        ),
        ("p/hdntl=old/a", "p/a", "p/a?hdntl=N", "p/hdntl=N/a"),
        ("hdntl=old/../a", "../a", "../a?hdntl=N", "../hdntl=N/a"),
        (
            "https://own.example/hdntl=o/a?hdntl=p",
            "https://own.example/a",
            "https://own.example/a?hdntl=N",
            "https://own.example/hdntl=N/a",
        ),
    ] {
        let template = compile_at(format!("#EXTM3U\r\n{reference}\r\n").as_bytes(), BASE);
        for (placement, expected) in [
            (Placement::Untouched, plain),
            (Placement::Query { pair: "hdntl=N" }, query),
            (Placement::Path { component: "hdntl=N", inherited: None }, path),
        ] {
            let output = template.personalise(&placement);
            assert_eq!(output.len(), template.personalised_len(&placement));
            assert_eq!(String::from_utf8(output).unwrap(), format!("#EXTM3U\r\n{expected}\r\n"));
        }
    }
    let foreign = "https://evil.example/a?hdntl=theirs";
    let template = compile_at(format!("#EXTM3U\n{foreign}").as_bytes(), BASE);
    assert_eq!(template.personalise(&Placement::Untouched), format!("#EXTM3U\n{foreign}").into_bytes());
}

const FOREIGN: &[&str] = &[
    "https://evil.example/x",
    "//evil.example/x",
    "\\\\evil.example\\x",
    "/\\evil.example/x",
    "\\/evil.example/x",
    "///evil.example/x",
    "////evil.example/x",
    "https:///evil.example/x",
    "https:evil.example/x",
    "https:/evil.example/x",
    "https:\\\\evil.example\\x",
    "ht\ttps://evil.example/x",
    "/\t/evil.example/x",
    "h\u{0}ttps://evil.example/",
    "//own.example@evil.example/",
    "https://own.example:443@evil.example/",
    "https://evil.example\\@own.example/",
    "https://own.example\\@evil.example/",
    "https://own.example.evil.example/",
    "https://evilown.example/",
    "https://own.example./",
    "https://..own.example/",
    "https://.own.example/",
    "https://own%2eexample/",
    "https://own.example%00.evil.example/",
    "//own.example:8080/x",
    "https://own.example:99999/",
    "https://own.example:/@evil.example",
    "https://cdn.example/x",
    "http://own.example/x",
    "skd://own.example/x",
    "data:text/plain,x",
    "urn:x",
    "javascript:x",
    "file:///etc/passwd",
    "ftp://own.example/x",
    "a:b/c.ts",
    "blob:https://own.example/x",
    "\u{a0}https://evil.example/x",
    "\u{feff}https://evil.example/x",
    "x\u{2028}https://evil.example/",
    "https://own.example;@evil.example/",
    "https://[::1]/x",
    "https://2130706433/x",
    "1https://evil.example/x",
    "..https://evil.example/",
    "x_:\\\\evil.example",
    "https://ｏwn.example/x",
    "https://user:password@own.example/",
    "{$unknown}/x.ts",
    "/{$unknown}x",
    "https{$x}/",
    "https://own.example{$x}/",
    "http{$unknown}evil/x",
    "\u{3000}//evil.example/",
];

#[test]
fn no_hostile_spelling_of_another_host_gets_a_token() {
    for reference in FOREIGN {
        if *reference == "https://own.example:/@evil.example" {
            continue;
        }
        for source in [
            format!("#EXTM3U\n{reference}\n"),
            format!("#EXTM3U\n#EXT-X-MAP:URI=\"{reference}\"\n"),
            format!("#EXTM3U\n#EXT-X-PREFETCH:{reference}\n"),
        ] {
            let template = compile_at(source.as_bytes(), BASE);
            for placement in [
                Placement::Query { pair: PAIR },
                Placement::Path { component: TOKEN, inherited: None },
                Placement::Path { component: TOKEN, inherited: Some(0) },
            ] {
                let output = template.personalise(&placement);
                assert_eq!(output, source.as_bytes(), "{reference:?}");
            }
        }
    }
}

#[test]
fn an_empty_port_is_the_schemes_own() {
    check_own("https://own.example:/@evil.example", BASE);
}

#[test]
fn ports_and_schemes_decide_too() {
    let base = "http://localhost:8080/live/list.m3u8";
    for (reference, own) in [
        ("http://localhost:8080/x", true),
        ("//localhost:8080/x", true),
        ("http://localhost/x", false),
        ("https://localhost:8080/x", true),
        ("http://localhost:8081/x", false),
        ("http://own.example:8080/x", true),
        ("https://cdn.example:8443/x", true),
        ("http://cdn.example:8443/x", true),
        ("https://cdn.example/x", false),
    ] {
        let template = compile_at(format!("#EXTM3U\n{reference}").as_bytes(), base);
        assert_eq!(template.counts().own, usize::from(own), "{reference}");
        assert!(template.has_absolute());
    }
    let secure = compile_at(b"#EXTM3U\nhttp://own.example/x", "http://own.example/list.m3u8");
    assert_eq!(secure.counts().own, 1);
    let upgraded = compile_at(b"#EXTM3U\nhttps://own.example/x", "http://own.example/list.m3u8");
    assert_eq!(upgraded.counts().own, 1);
}

/// The host by a lenient reading of RFC 3986, appendix B, as hls.js has it: any run of scheme characters is a scheme.
fn rfc_host(reference: &str) -> Option<String> {
    let is_scheme =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let rest = match reference.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => reference,
    };
    let authority = rest.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.split(':').next()?.to_ascii_lowercase())
}

fn is_own(host: &str) -> bool {
    let below = host.strip_suffix(".own.example");
    host == "own.example" || below.is_some_and(|labels| labels.split('.').all(|label| !label.is_empty()))
}

fn hostile_piece() -> impl Strategy<Value = String> {
    let pieces = [
        "/",
        "//",
        "\\",
        ":",
        "@",
        "http",
        "https",
        "https:",
        "https://",
        "own.example",
        "evil.example",
        "evil",
        "..",
        ".",
        "%2e",
        "%2f",
        "\t",
        " ",
        "?",
        "#",
        "x.ts",
        "a",
        "{$v}",
        "{$u}",
        "{$own}",
        "hdntl=o",
        "&",
        ";",
        ",",
        "443",
        "\u{a0}",
        "\u{feff}",
        "\u{2028}",
        "é",
        "[",
        "]",
        "*",
        "\0",
    ];
    proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned)
}

fn path_piece() -> impl Strategy<Value = String> {
    let pieces = [
        "..", ".", "%2e%2E", "a", "bb", "", "x.ts", "c;d", "é", "%2f", "...", ".a", "b c", "hdnts=1", "1:2",
        "~",
    ];
    proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_token_ever_goes_to_another_host(pieces in prop::collection::vec(hostile_piece(), 1..9)) {
        let reference = pieces.concat();
        let definitions = "#EXT-X-DEFINE:NAME=\"v\",VALUE=\"://evil.example/\"\n\
                           #EXT-X-DEFINE:NAME=\"own\",VALUE=\"https://own.example/p/\"\n";
        // A reference to a host of ours goes before, as a verdict is kept for the next one.
        let source = format!("#EXTM3U\n{definitions}https://own.example/1.ts\n{reference}\n");
        let template = compile_at(source.as_bytes(), BASE);
        let base = Url::parse(BASE).unwrap();
        for placement in [
            Placement::Query { pair: PAIR },
            Placement::Path { component: TOKEN, inherited: None },
            Placement::Path { component: TOKEN, inherited: Some(1) },
        ] {
            let output = String::from_utf8(template.personalise(&placement)).unwrap();
            prop_assert_eq!(output.len(), template.personalised_len(&placement));
            let line = output.lines().nth(4).unwrap_or_default();
            if !line.contains("~hmac=00ff") {
                continue;
            }
            // What a player makes of it, the unknown variable being as bad as can be.
            for unknown in ["", "u", "/", "s://evil.example/", ".evil.example", "://evil.example", "@evil.example/", "../"] {
                let text = line
                    .replace("{$v}", "://evil.example/")
                    .replace("{$own}", "https://own.example/p/")
                    .replace("{$u}", unknown);
                // A trim in JavaScript takes more than one by the WHATWG parser.
                for text in [text.as_str(), text.trim(), text.trim_start_matches('\u{feff}')] {
                    if let Ok(url) = base.join(text) {
                        prop_assert!(is_own(url.host_str().unwrap_or_default()), "{:?} from {:?}", text, reference);
                    }
                    let host = rfc_host(text);
                    prop_assert!(host.is_none_or(|host| is_own(&host)), "{:?} from {:?}", text, reference);
                }
            }
        }
    }

    #[test]
    fn random_paths_lead_to_their_targets(
        pieces in prop::collection::vec(path_piece(), 1..7),
        query in prop::sample::select(&["", "?a=1", "?a=/../b", "#f", "?a#f/../"][..]),
        start in prop::sample::select(&["", "/", "https://own.example/", "//own.example/", "./"][..]),
        directories in prop::collection::vec("[a-z]{1,3}", 0..5),
    ) {
        let reference = format!("{start}{}{query}", pieces.join("/"));
        let doubled = reference.starts_with("//") && !reference.starts_with("//own.example/");
        prop_assume!(!reference.is_empty() && !doubled && !reference.starts_with('#'));
        let base = format!("https://own.example/{}/list.m3u8", directories.join("/"));
        check_own(&reference, &base);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        is_playlist(&bytes);
        let source = [b"#EXTM3U\n".as_slice(), &bytes].concat();
        let template = compile_at(&source, BASE);
        for placement in [
            Placement::Untouched,
            Placement::Query { pair: PAIR },
            Placement::Path { component: TOKEN, inherited: None },
            Placement::Path { component: TOKEN, inherited: Some(usize::MAX) },
        ] {
            let output = template.personalise(&placement);
            prop_assert_eq!(output.len(), template.personalised_len(&placement));
        }
    }

    #[test]
    fn output_minus_tokens_is_the_input(lines in prop::collection::vec(line(), 0..30), end in "(\r\n|\n|\r)") {
        let source = [b"#EXTM3U".as_slice(), end.as_bytes(), &lines.join(end.as_bytes())].concat();
        let template = compile_at(&source, BASE);
        prop_assert_eq!(&template.personalise(&Placement::Untouched), &source);
        let output = template.personalise(&Placement::Query { pair: "hdntl=\u{51}T0KEN" });
        let text = remove(&remove(&output, b"?hdntl=QT0KEN"), b"&hdntl=QT0KEN");
        prop_assert_eq!(&remove(&text, b"hdntl=QT0KEN"), &source);
        let output = template.personalise(&Placement::Path { component: "hdntl=QT0KEN", inherited: None });
        prop_assert_eq!(&remove(&output, b"hdntl=QT0KEN/"), &source);
    }
}

/// Lines as they occur, and lines of junk. Paths are never empty and end in no dot segment, as the path form adds more
/// than the component there.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "#EXTINF:4.0,title, with comma",
        "seg.ts",
        "  seg.ts\t",
        "a/seg.ts?x=1",
        "seg.ts#f",
        "",
        "   ",
        "#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\",IV=0x1",
        "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\"",
        "#EXT-X-MEDIA:TYPE=AUDIO , URI=\" a.m3u8 \",NAME=\"x,URI=y\"",
        "#EXT-X-MAP:URI=\"unterminated",
        "#EXT-X-PART:DURATION=1,URI=part.mp4",
        "#EXT-X-FOO:URI=\"z/v\"",
        "# comment URI=\"x\"",
        "#EXT-X-ENDLIST",
        "https://evil.example/x",
        "/root/x",
        "https://own.example/x",
        "é\u{2028}x",
        "#EXT-X-PREFETCH:  p.ts ",
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>().prop_filter("no dots, no line ends", |b| !b".?#\r\n{%/\\:".contains(b)), 0..20),
    ]
}

fn remove(text: &[u8], piece: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, piece) {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[at + piece.len()..];
    }
    kept.extend_from_slice(rest);
    kept
}

#[test]
fn line_ends_bom_and_junk_stay_as_they_came() {
    let source =
        b"\xEF\xBB\xBF#EXTM3U\r\n\r\n#EXTINF:4,\xFF\r\n \tx.ts \r#EXTINF:4,\ry\xFE.ts\n\nz\0.ts\nlast.ts";
    let template = compile_at(source, BASE);
    assert_eq!(template.personalise(&Placement::Untouched), source);
    let expected = b"\xEF\xBB\xBF#EXTM3U\r\n\r\n#EXTINF:4,\xFF\r\n \tx.ts?T=1 \r#EXTINF:4,\ry\xFE.ts?T=1\n\nz\0.ts\nlast.ts?T=1";
    assert_eq!(template.personalise(&Placement::Query { pair: "T=1" }), expected);
    assert_eq!(template.counts().unparsable, 1);
}

#[test]
fn a_playlist_is_known_by_its_first_bytes() {
    for (bytes, playlist) in [
        (&b"#EXTM3U"[..], true),
        (b"\xEF\xBB\xBF#EXTM3U\n", true),
        (b"\r\n  #EXTM3U\n", true),
        (b"#EXTINF:1,\n", false),
        (b"<html>", false),
        (b"", false),
        (b"\xEF\xBB", false),
        (b"#extm3u", false),
    ] {
        assert_eq!(is_playlist(bytes), playlist, "{bytes:?}");
    }
}

#[test]
fn a_token_cannot_end_a_line_or_an_attribute() {
    let template = compile_at(b"#EXTM3U\n#EXT-X-MAP:URI=\"i.mp4\"\nx.ts\n", BASE);
    let pair = "hdntl=a\"\r\n#x y{$z}&w\u{e9}";
    let output = template.personalise(&Placement::Query { pair });
    let escaped = "hdntl=a%22%0d%0a%23x%20y%7b$z%7d%26w%c3%a9";
    let expected = format!("#EXTM3U\n#EXT-X-MAP:URI=\"i.mp4?{escaped}\"\nx.ts?{escaped}\n");
    assert_eq!(String::from_utf8(output).unwrap(), expected);
    let component = "hdntl=a/../?b\n";
    let output = template.personalise(&Placement::Path { component, inherited: None });
    assert!(String::from_utf8(output).unwrap().ends_with("\nhdntl=a%2f..%2f%3fb%0a/x.ts\n"));
}

/// m3u8-rs as the oracle, on playlists that it reads right: whole-number durations without titles, LF.
#[test]
fn classification_agrees_with_m3u8_rs_where_that_is_right() {
    for (segments, ended) in [(0, true), (1, false), (10, true), (500, false)] {
        let mut source =
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:7\n".to_owned();
        for index in 0..segments {
            writeln!(source, "#EXTINF:{}.0,\nseg{index}.ts", index % 6 + 1).unwrap();
        }
        if ended {
            source.push_str("#EXT-X-ENDLIST\n");
        }
        let (_, oracle) = m3u8_rs::parse_media_playlist(source.as_bytes()).unwrap();
        let template = compile_at(source.as_bytes(), BASE);
        let Kind::Media(media) = template.kind() else { panic!("a media playlist") };
        assert_eq!(media.segments, oracle.segments.len());
        assert_eq!(template.counts().own, oracle.segments.len());
        assert_eq!(media.state == State::Vod, oracle.end_list);
        assert_eq!(media.media_sequence, oracle.media_sequence);
        let sum: f64 = oracle.segments.iter().map(|segment| f64::from(segment.duration)).sum();
        assert!((media.duration_seconds - sum).abs() < 1e-6);
    }
}
