//! Steering manifests and asset lists.

use bytes::Bytes;

use super::super::json::{Document, compile_asset_list, compile_steering, recognise};
use super::super::placement::Placement;
use super::super::template::Template;
use super::super::{ManifestError, Options};
use super::{base_and_hosts, output};

fn steering(text: &str) -> Result<Template, ManifestError> {
    let (base, hosts) = base_and_hosts();
    compile_steering(&Bytes::from(text.to_owned()), &base, &hosts, "hdntl", &Options::default())
}

fn assets(text: &str) -> Result<Template, ManifestError> {
    let (base, hosts) = base_and_hosts();
    compile_asset_list(&Bytes::from(text.to_owned()), &base, &hosts, "hdntl", &Options::default())
}

const QUERY: Placement<'_> = Placement::Query { pair: "hdntl=a%2f*" };
const PATH: Placement<'_> = Placement::Path { component: "hdntl=a%2f*", inherited: None };

fn check(template: &Template, in_query: &str, in_path: &str) {
    assert_eq!(output(template, &QUERY), in_query);
    assert_eq!(output(template, &PATH), in_path);
    assert_eq!(output(template, &Placement::Untouched).as_bytes(), template.source());
}

#[test]
fn only_the_uri_strings_of_a_steering_manifest_change() {
    let text = |reload: &str, variant: &str| {
        format!(
            "{{ \"VERSION\" : 1,\r\n\t\"TTL\":3e2,\"RELOAD-URI\":\"{reload}\",\"X\":{{\"RELOAD-URI\":\"x\"}},\"PATHWAY-PRIORITY\":[\"A\",\"B\"],\n\
             \"PATHWAY-CLONES\":[{{\"BASE-ID\":\"A\",\"ID\":\"C\",\"URI-REPLACEMENT\":{{\"HOST\":\"cdn.example\",\"PARAMS\":{{\"a\":\"b\"}},\
             \"PER-VARIANT-URIS\":{{\"v\":\"{variant}\",\"w\":\"https://evil.example/w\"}},\
             \"PER-RENDITION-URIS\":{{}}}}}}] }}\n"
        )
    };
    let template = steering(&text("/steer?s=1", "https://own.example/v.m3u8")).unwrap();
    check(
        &template,
        &text("/steer?s=1&hdntl=a%2f*", "https://own.example/v.m3u8?hdntl=a%2f*"),
        &text("/hdntl=a%2f*/steer?s=1", "https://own.example/hdntl=a%2f*/v.m3u8"),
    );
    assert_eq!((template.counts().own, template.counts().foreign), (2, 1));
}

#[test]
fn a_pathway_on_a_foreign_host_loses_the_token_in_the_query() {
    let text = |replacement: &str| format!("{{\"PATHWAY-CLONES\":[{{\"URI-REPLACEMENT\":{replacement}}}]}}");
    for (before, after) in [
        ("{\"HOST\":\"evil.example\"}", "{\"PARAMS\":{\"hdntl\":\"\"},\"HOST\":\"evil.example\"}"),
        (
            "{\"HOST\":\"evil.example\",\"PARAMS\":{\"a\":\"b\"}}",
            "{\"HOST\":\"evil.example\",\"PARAMS\":{\"hdntl\":\"\",\"a\":\"b\"}}",
        ),
        (
            "{\"PARAMS\":{},\"HOST\":\"evil.example\"}",
            "{\"PARAMS\":{\"hdntl\":\"\"},\"HOST\":\"evil.example\"}",
        ),
        // A token that is meant for the other host stays.
        (
            "{\"HOST\":\"evil.example\",\"PARAMS\":{\"hdntl\":\"theirs\"}}",
            "{\"HOST\":\"evil.example\",\"PARAMS\":{\"hdntl\":\"theirs\"}}",
        ),
        // On a host of ours a stale one gives way to the viewer's, unescaped since the player escapes it.
        (
            "{\"HOST\":\"own.example\",\"PARAMS\":{\"hdntl\":\"stale\"}}",
            "{\"HOST\":\"own.example\",\"PARAMS\":{\"hdntl\":\"a/*\"}}",
        ),
        ("{\"HOST\":\"own.example\"}", "{\"HOST\":\"own.example\"}"),
    ] {
        let template = steering(&text(before)).unwrap();
        assert_eq!(template.counts().foreign_pathways, usize::from(before.contains("evil")));
        check(&template, &text(after), &text(before));
    }
}

#[test]
fn every_own_asset_gets_the_token() {
    let text = |uri: &str| {
        format!(
            "{{\"URI\":\"no\",\"ASSETS\":[{{\"URI\":\"{uri}\",\"DURATION\":15.0,\"X\":{{\"URI\":\"no\"}}}},{{\"DURATION\":1}},{{\"URI\":7}}]}}"
        )
    };
    let own = assets(&text("https://own.example/ad.m3u8")).unwrap();
    check(
        &own,
        &text("https://own.example/ad.m3u8?hdntl=a%2f*"),
        &text("https://own.example/hdntl=a%2f*/ad.m3u8"),
    );
    let foreign = assets(&text("https://ads.example/ad.m3u8")).unwrap();
    check(&foreign, &text("https://ads.example/ad.m3u8"), &text("https://ads.example/ad.m3u8"));
}

#[test]
fn escapes_in_json_strings_are_read_before_the_host_is_judged() {
    let text = |uri: &str| format!("{{\"\\u0041SSETS\":[{{\"UR\\u0049\":\"{uri}\"}}]}}");
    let own = assets(&text("https:\\/\\/own.example\\/a.m3u8")).unwrap();
    check(
        &own,
        &text("https://own.example/a.m3u8?hdntl=a%2f*"),
        &text("https://own.example/hdntl=a%2f*/a.m3u8"),
    );
    for hostile in [
        "\\u002f/evil.example/x",
        "\\\\\\\\evil.example",
        "/\\\\evil.example/x",
        " https://evil.example/x",
        "https://evil.example\\/x",
        "\\nhttps://own.example/x",
        "ht\\ttps://evil.example",
        "a\\u0022b",
        "a\\\\b",
        "",
    ] {
        let template = assets(&text(hostile)).unwrap();
        check(&template, &text(hostile), &text(hostile));
    }
}

#[test]
fn what_is_no_json_is_an_error_and_odd_shapes_are_left() {
    for text in ["", "{", "{\"a\":1,}", "#EXTM3U", "\u{feff}{}", "{} x", "[1,]", "{\"ASSETS\":[\"\\ud800\"]"]
    {
        assert!(matches!(assets(text), Err(ManifestError::NotJson(_))), "{text:?}");
    }
    for text in [
        "{}",
        "[]",
        "1",
        "null",
        "\"a\"",
        "{\"ASSETS\":{\"URI\":\"x\"}}",
        "[[[{\"URI\":\"x\"}]]]",
        "{\"ASSETS\":[[],null,\"}\",{}]}",
        " { \"PATHWAY-CLONES\" : [ { \"URI-REPLACEMENT\" : [ ] } , 1 ] } ",
    ] {
        check(&assets(text).unwrap(), text, text);
        check(&steering(text).unwrap(), text, text);
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    check(&steering(&deep).unwrap(), &deep, &deep);
}

#[test]
fn a_relative_reload_uri_climbs_out_of_the_component() {
    let template = steering("{\"RELOAD-URI\":\"../s\"}").unwrap();
    let placement = Placement::Path { component: "hdntl=N", inherited: Some(0) };
    assert_eq!(output(&template, &placement), "{\"RELOAD-URI\":\"../../hdntl=N/s\"}");
}

#[test]
fn a_document_is_known_by_the_member_that_it_must_have() {
    for (text, document) in [
        ("{\"VERSION\":1,\"PATHWAY-PRIORITY\":[\"A\"]}", Some(Document::Steering)),
        (" {\"ASSETS\":[]}", Some(Document::AssetList)),
        ("{\"X\":{\"ASSETS\":[]}}", None),
        ("[\"ASSETS\"]", None),
        ("[1,2]", None),
        ("{\"ASSETS\":[]", None),
        ("", None),
    ] {
        assert_eq!(recognise(text.as_bytes()), document, "{text}");
    }
}
