//! Judges every configuration that a page shows. What is a part of one is completed first.

use std::fs;
use std::path::Path;
use std::process::Command;

use regex::Regex;

use crate::mmdb;
use crate::page::Page;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate");
/// What any variable of the environment holds: a key in hex, text, and base64 alike.
const KEY: &str = "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAyLWGy5MXU+aVH29JvhKxE7L3LhOhUTWhpc1He/GA4V8=\n-----END PUBLIC KEY-----\n";

#[test]
fn every_configuration_on_a_page_is_a_good_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cert = Command::new(PROGRAM);
    cert.args(["cert", "--out", "made", "--host", "page.example"]).current_dir(folder.path());
    assert!(cert.output().expect("it starts").status.success());
    let (mut judged, mut faults) = (0, Vec::new());
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.language == "toml" && block.is_run()) {
            let text = completed(&block.text);
            put_files(folder.path(), &text);
            fs::write(folder.path().join("page.toml"), &text).expect("a file");
            let mut check = Command::new(PROGRAM);
            check.args(["check", "--config", "page.toml"]).current_dir(folder.path()).env_clear();
            for name in named(&text, r#"env = "([A-Z_0-9]+)""#) {
                check.env(name, KEY);
            }
            let output = check.output().expect("it starts");
            if !output.status.success() {
                let told = String::from_utf8_lossy(&output.stderr).into_owned();
                faults.push(format!("{}:{}: {told}\n{text}", page.name, block.line));
            }
            judged += 1;
        }
    }
    assert!(judged > 12, "only {judged} configurations were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A part of a configuration, with a certificate, a property, an origin and a key where it needs one and has none.
fn completed(text: &str) -> String {
    let has = |start: &str| text.lines().any(|line| line.trim_start().starts_with(start));
    let certificate = "[[tls.certificate]]\ncert = \"certs/dev.pem\"\nkey = \"certs/dev.key\"\n";
    let is_bare = (has("https = [") || has("http3 = [")) && !has("[[tls.certificate]]") && !has("[tls.acme]");
    let text = if is_bare { format!("{text}{certificate}") } else { text.to_owned() };
    if has("[[property]]") {
        return text;
    }
    let mut whole = "[[property]]\nname = \"page\"\nhosts = [\"page.example\"]\n".to_owned();
    if !has("[property.origin]") && !has("origin = ") {
        whole += "origin = { urls = [\"http://127.0.0.1:9000\"] }\n";
    }
    if !has("[property.access]") && !has("[property.access.") && !has("access = ") {
        whole += "access = { key = { env = \"SLUICEGATE_KEY\" } }\n";
    }
    whole + &text
}

/// The files that a configuration names: certificates with their keys, databases.
fn put_files(folder: &Path, text: &str) {
    for name in named(text, r#"file = "([^"/][^"]*)""#) {
        let path = folder.join(&name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let is_public = path.extension().is_some_and(|extension| extension == "pem");
        fs::write(&path, if is_public { PUBLIC_KEY } else { KEY }).expect("a file");
    }
    for name in named(text, r#"[=\[] *"([^"/][^"]*\.(?:pem|key|mmdb|crt))""#) {
        let path = folder.join(&name);
        if path.exists() {
            continue;
        }
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let made = match name.rsplit('.').next() {
            Some("mmdb") if name.contains("ASN") => {
                fs::write(&path, mmdb::networks(&[("192.0.2.0/24", 64500)], 1_700_000_000))
            }
            Some("mmdb") => fs::write(&path, mmdb::countries(&[("192.0.2.0/24", "DE")], 1_700_000_000)),
            Some("key") => fs::copy(folder.join("made/dev.key"), &path).map(|_| ()),
            _ => fs::copy(folder.join("made/dev.pem"), &path).map(|_| ()),
        };
        made.expect("a file");
    }
}

fn named(text: &str, pattern: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}
