//! Where keys come from, and what is said of those that cannot be read.

use std::path::Path;
use std::time::Duration;

use crate::config::{Config, parse};
use crate::telemetry::metrics::Metrics;

fn judged(access: &str) -> Result<Config, String> {
    let text = format!(
        "[[property]]\nname = \"p\"\nhosts = [\"a.example\"]\norigin = {{ urls = [\"http://127.0.0.1:1\"] }}\naccess = {{ {access} }}\n"
    );
    parse(&text, "t.toml", Path::new(""), &Metrics::new(), Duration::ZERO)
        .map_err(|faults| faults.lines().join("\n"))
}

fn fault(access: &str) -> String {
    judged(access).expect_err("a fault")
}

#[test]
fn keys_come_from_everywhere_and_are_told_by_their_fingerprints() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "aabbccdd\n").unwrap();
    let config = judged(&format!(
        "keys = [{{ name = \"f\", from = {{ file = '{}' }} }}, {{ name = \"c\", from = {{ command = [\"echo\", \"aabbccdd\"] }} }}, {{ name = \"i\", from = {{ hex = \"aabbccdd\" }}, not_after = 2030-01-01T00:00:00Z }}, {{ name = \"b\", from = {{ text = \"qrvM3Q==\" }}, encoding = \"base64\" }}]",
        file.display()
    ))
    .expect("it is good");
    let summary = &config.summary[0];
    let fingerprint = summary.split("f ").nth(1).and_then(|rest| rest.get(..8)).expect("a fingerprint");
    for told in [
        format!("f {fingerprint}"),
        format!("c {fingerprint}"),
        format!("i {fingerprint} until 2030-01-01T00:00:00Z"),
        format!("b {fingerprint}"),
    ] {
        assert!(summary.contains(&told), "{told}: {summary}");
    }
    assert!(!format!("{config:?}").contains("aabbccdd"), "no key is ever printed");
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn a_key_that_cannot_be_is_pointed_at() {
    const KEY: &str = "from = { hex = \"aabb\" }";
    for (access, problem) in [
        (format!("keys = [{{ name = \"a b\", {KEY} }}]"), "is no name for a key"),
        (format!("keys = [{{ name = \"a\", {KEY} }}, {{ name = \"a\", {KEY} }}]"), "two keys have the name"),
        (format!("keys = [{{ name = \"session\", {KEY} }}]"), "two keys have the name \"session\""),
        (format!("keys = [{{ name = \"a\", {KEY}, not_after = 2030-01-01T00:00:00 }}]"), "is no time in UTC"),
        (
            format!(
                "keys = [{{ name = \"a\", {KEY}, not_before = 2030-01-01T00:00:00Z, not_after = 2029-01-01T00:00:00Z }}]"
            ),
            "ends before it begins",
        ),
        (format!("keys = [{{ name = \"a\", {KEY}, kind = \"ed25519\" }}]"), "is a public key"),
        ("keys = [{ name = \"a\", from = { command = [] } }]".to_owned(), "has no words"),
        ("keys = [{ name = \"a\", from = { command = [\"false\"] } }]".to_owned(), "failed: exit status: 1"),
        ("keys = [{ name = \"a\", from = { command = [\"/nonexistent/x\"] } }]".to_owned(), "cannot run"),
        ("keys = [{ name = \"a\", from = { command = [\"true\"] } }]".to_owned(), "is empty"),
        (
            "keys = [{ name = \"a\", from = { command = [\"sleep\", \"60\"], timeout = \"20ms\" } }]"
                .to_owned(),
            "took longer than 20ms",
        ),
        (
            "keys = [{ name = \"a\", from = { text = \"!!\" }, encoding = \"base64\" }]".to_owned(),
            "it is no base64",
        ),
    ] {
        let line = fault(&access);
        assert!(line.contains(problem), "{access}: {line}");
    }
}

#[test]
fn public_keys_alone_need_a_key_for_sessions() {
    let public = "dialect = \"media_cdn\", keys = [{ name = \"a\", kind = \"ed25519\", from = { text = \"n7nwvhza11C0SuU9ay1uWjDSfzH-CpIBgXxqIz-Yd9Q\" } }]";
    let line = fault(public);
    assert!(line.contains("no secret key") && line.contains("[property.session]"), "{line}");
    let short = public.replace("n7nwvhza11C0SuU9ay1uWjDSfzH-CpIBgXxqIz-Yd9Q", "AAAA");
    assert!(fault(&short).contains("no Ed25519 public key"), "{}", fault(&short));
}

#[test]
fn an_expression_that_cannot_protect_is_refused() {
    for (table, problem) in [
        ("expression = \"$uri$expires\"", "holds no $secret"),
        ("expression = \"$secret$expires\"", "holds no $uri"),
        ("expression = \"$secret$uri\"", "has no $expires"),
        ("expression = \"$secret$uri$expires\", expires = \"\"", "and expires is empty"),
        ("expression = \"$secret$uri$request_uri\"", "$request_uri is no variable"),
        ("path_prefix = \"p\"", "is no path"),
        ("path_prefix = \"/p/\"", "is no path"),
    ] {
        let line = fault(&format!(
            "dialect = \"secure_link\", key = {{ text = \"s\" }}, secure_link = {{ {table} }}"
        ));
        assert!(line.contains(problem), "{table}: {line}");
    }
    let line = fault("dialect = \"secure_link\", key = { text = \"s\" }, locations = [\"path\"]");
    assert!(line.contains("has no path_prefix"), "{line}");
    let config = judged("dialect = \"secure_link\", key = { text = \"s\" }").expect("Azion's is taken");
    assert!(config.warnings.iter().any(|told| told.contains("side by side")), "{:?}", config.warnings);
}
