//! Chromium over HTTP/3: a client of QUIC that is not of our libraries, through the whole edge.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Edge, KEY, mint, program};
use crate::tool::{Tool, folder, run};

const PLAYS_WITHIN: Duration = Duration::from_secs(40);
const DEADLINE: Duration = Duration::from_secs(70);
const SECONDS: f64 = 4.0;
const MASTER: &str = "/vod/fmp4/master.m3u8";

#[test]
fn a_stream_plays_over_http3_alone() {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    let made = tempfile::tempdir().expect("a folder");
    let mut cert = program();
    cert.args(["cert", "--out"]).arg(made.path()).args(["--host", "localhost"]);
    assert!(cert.output().expect("it runs").status.success());
    let (certificate, key) = (made.path().join("dev.pem"), made.path().join("dev.key"));
    let edge = Edge::serve_text(&["path", "secure"], &|ports| {
        format!(
            "[server]\nhttp = [\"127.0.0.1:{}\"]\nhttps = [\"127.0.0.1:{1}\"]\nhttp3 = [\"127.0.0.1:{1}\"]\n\
             [[tls.certificate]]\ncert = {certificate:?}\nkey = {key:?}\n[log]\nlevel = \"error\"\naccess = \"stdout\"\n\
             [[property]]\nname = \"path\"\nhosts = [\"*\"]\norigin = {{ urls = [\"lab:\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n",
            ports[0], ports[1]
        )
    });
    let port = edge.base("secure").rsplit(':').next().expect("a port").to_owned();
    let base = format!("https://localhost:{port}");
    let job = json!({
        "base": base, "entry": format!("{base}{MASTER}?{}", mint()), "certificate": certificate,
        "seconds": SECONDS, "milliseconds": u64::try_from(PLAYS_WITHIN.as_millis()).expect("seconds"),
    });
    let outcome = run(Command::new("node").arg(folder().join("quic.mjs")).arg(job.to_string()), DEADLINE);
    assert!(outcome.is_success(), "{outcome:#?}");
    let seen: Value = serde_json::from_str(&outcome.stdout).expect("a line of JSON");
    assert_eq!(seen["refused"], 403, "{seen:#}");
    assert!(seen["isReached"] == true && seen["fatal"].is_null(), "{seen:#}");
    assert!(seen["played"].as_f64().is_some_and(|played| played >= SECONDS), "{seen:#}");
    let protocols = seen["protocols"].as_array().expect("what it asked for");
    assert!(protocols.len() > 4 && protocols.iter().all(|protocol| protocol == "h3"), "{seen:#}");
    let segments: Vec<_> = edge.log().into_iter().filter(|line| line.kind == "segment").collect();
    assert!(
        !segments.is_empty() && segments.iter().all(|line| line.status < 400 && line.protocol == "HTTP/3"),
        "{segments:#?}"
    );
}
