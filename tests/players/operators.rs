//! Chromium on the operators' page, while an edge works, loses its origin, and ends: what people read there is what happened.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::screenshot;
use crate::program::{Edge, KEY, Spoken, mint_with, tampered};
use crate::tool::{Tool, folder};

const TOKEN: &str = "operators-only";
/// How long the page may take to show what it is to show.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
const MASTER: &str = "/vod/ts/master.m3u8";

/// The page in the browser, and the stages that it told so far.
struct Page(Spoken);

impl Page {
    fn open(edge: &Edge) -> Self {
        let job = json!({
            "page": edge.plain("operators", "/"), "token": TOKEN, "wrong": "operators-no-more",
            "milliseconds": u64::try_from(SHOWN_WITHIN.as_millis()).expect("seconds"),
            "pictures": screenshot("operators").with_extension(""),
        });
        Self(Spoken::start(Command::new("node").arg(folder().join("operators.mjs")).arg(job.to_string())))
    }

    /// What it shows at this stage.
    fn at(&mut self, stage: &str) -> Value {
        let start = format!("{{\"stage\":\"{stage}\"");
        let line = self.0.wait_within(SHOWN_WITHIN * 2, |line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no stage {stage}: {:#?}", self.0.lines()));
        serde_json::from_str(&line).expect("a line of JSON")
    }
}

/// An edge with an operators' listener, before another edge that serves the lab's streams to everyone.
fn edge(origin: &Edge) -> Edge {
    let origin = origin.base("origin");
    Edge::serve_text(&["videos", "operators"], &|ports| {
        format!(
            r#"
[server]
http = ["127.0.0.1:{}"]
[admin]
listen = "127.0.0.1:{}"
token = {{ text = "{TOKEN}" }}
top_sample = 1
[log]
level = "error"
access = "off"
[[property]]
name = "videos"
hosts = ["127.0.0.1"]
origin = {{ urls = ["{origin}"], ejection_failures = 2, ejection_time = "60s", retries = 0 }}
access = {{ key = {{ hex = "{KEY}" }} }}
session = {{ carrier = "path" }}
limits = {{ by = "id", sessions = 10 }}
"#,
            ports[0], ports[1]
        )
    })
}

fn lab() -> Edge {
    Edge::serve_text(&["origin"], &|ports| {
        format!(
            "[server]\nhttp = [\"127.0.0.1:{}\"]\n[log]\nlevel = \"error\"\naccess = \"off\"\n\
             [[property]]\nname = \"origin\"\nhosts = [\"*\"]\norigin = {{ urls = [\"lab:\"] }}\naccess = {{ action = \"open\" }}\n",
            ports[0]
        )
    })
}

/// The status and the body of a GET.
fn get(base: &str, target: &str) -> (u16, String) {
    let address = base.strip_prefix("http://").expect("a plain address");
    let mut stream = TcpStream::connect(address).expect("the edge listens");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

/// The first line of a playlist that is a URI, as a target.
fn first_uri(playlist: &str, folder: &str) -> String {
    let line = playlist.lines().find(|line| !line.starts_with('#') && !line.is_empty()).expect("a URI");
    format!("{folder}/{line}")
}

/// How often each thing was asked for.
#[derive(Default)]
struct Asked {
    without_token: u64,
    tampered: u64,
    segment: u64,
}

struct End<'load>(&'load AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Viewers and intruders, until they are told to stop.
fn load(base: &str, is_over: &AtomicBool) -> Asked {
    let entry = format!("{MASTER}?{}", mint_with(&["--session-id", "viewer-42"]));
    let (status, master) = get(base, &entry);
    assert_eq!(status, 200, "{master}");
    let media = first_uri(&master, "/vod/ts");
    let (status, playlist) = get(base, &media);
    assert_eq!(status, 200, "{playlist}");
    let segment = first_uri(&playlist, media.rsplit_once('/').expect("a folder").0);
    let mut asked = Asked::default();
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..5 {
            assert_eq!(get(base, &segment).0, 200);
            asked.segment += 1;
        }
        for _ in 0..2 {
            assert_eq!(get(base, MASTER).0, 403);
            asked.without_token += 1;
        }
        assert_eq!(get(base, &tampered(&entry, 9)).0, 403);
        asked.tampered += 1;
    }
    asked
}

/// The row of a table that begins with these cells.
fn row<'page>(page: &'page Value, table: &str, start: &[&str]) -> &'page Vec<Value> {
    let mut rows = page[table].as_array().expect("rows").iter().filter_map(Value::as_array);
    rows.find(|row| row.iter().zip(start).all(|(cell, text)| cell == text))
        .unwrap_or_else(|| panic!("{table} has no row {start:?}: {page:#}"))
}

/// A number as the page writes it: `512`, `1.20 k`.
fn written(count: u64) -> String {
    if count < 1000 {
        return count.to_string();
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands, not more")]
    let thousands = count as f64 / 1000.0;
    let digits = if thousands >= 100.0 {
        0
    } else if thousands >= 10.0 {
        1
    } else {
        2
    };
    format!("{thousands:.digits$} k")
}

fn value(text: &Value, unit: &str) -> f64 {
    let text = text.as_str().expect("a text");
    let number = text.strip_suffix(unit).unwrap_or_else(|| panic!("{text} is not in {unit}"));
    let (number, factor) = number.strip_suffix(" k").map_or((number, 1.0), |number| (number, 1000.0));
    number.trim().parse::<f64>().unwrap_or_else(|_| panic!("no number in {text}")) * factor
}

#[test]
fn the_operators_page_shows_what_happens_as_it_happens() {
    if !Tool::Chromium.is_wanted() {
        return;
    }
    let origin = lab();
    let edge = edge(&origin);
    let base = edge.base("videos");
    let mut page = Page::open(&edge);

    let idle = page.at("idle");
    assert_eq!((&idle["refusal"], &idle["mainIsHidden"]), (&json!("That is not the token."), &json!(true)));
    assert_eq!(
        (&idle["state"], &idle["requests"], &idle["hits"]),
        (&json!("serving"), &json!("0/s"), &json!("–"))
    );
    assert_eq!(idle["reasons"], json!([["nobody was refused"]]));
    assert_eq!(idle["top"], json!([["nothing was asked for yet"]]));

    let is_over = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        // The load ends also where something is not as it should be.
        let end = End(&is_over);
        let asked = scope.spawn(|| load(&base, &is_over));
        let busy = page.at("busy");
        assert_load(&busy);
        let narrow = page.at("narrow");
        assert_eq!(
            (&busy["overflow"], &narrow["overflow"]),
            (&json!(0), &json!(0)),
            "the page is wider than its window"
        );
        drop(end);
        asked.join().expect("the load")
    });

    let quiet = page.at("quiet");
    for (reason, count) in [("no_token", asked.without_token), ("bad_signature", asked.tampered)] {
        assert_eq!(
            row(&quiet, "reasons", &[reason, "videos"])[2..],
            [json!(written(count)), json!("0.00")],
            "{quiet:#}"
        );
    }
    let top = quiet["top"].as_array().and_then(|rows| rows[0].as_array()).expect("rows");
    assert!(top[1].as_str().is_some_and(|path| path.ends_with("/v240/0.ts")), "{top:?}");
    assert_eq!((&top[0], &top[2]), (&json!("videos"), &json!(written(asked.segment))));
    let by_bytes = page.at("by-bytes");
    let most = by_bytes["top"].as_array().and_then(|rows| rows[0].as_array()).expect("rows");
    assert!(most[1] == top[1] && most[2].as_str().is_some_and(|size| size.ends_with('B')), "{most:?}");

    drop(origin);
    for _ in 0..2 {
        let entry = format!("/vod/fmp4/master.m3u8?{}", mint_with(&[]));
        assert!(get(&base, &entry).0 >= 500);
    }
    let degraded = page.at("degraded");
    assert_eq!(row(&degraded, "origins", &["videos"])[2], "ejected", "{degraded:#}");
    assert_eq!(degraded["problems"].as_array().map(Vec::len), Some(1), "{degraded:#}");
    assert_alone(&degraded, &edge.base("operators"));

    drop(edge);
    let away = page.at("away");
    assert!(away["trouble"].as_str().is_some_and(|text| text.contains("does not answer")), "{away:#}");
}

/// What has to be on the page under load.
fn assert_load(busy: &Value) {
    assert_eq!((&busy["isReached"], &busy["state"]), (&json!(true), &json!("serving")), "{busy:#}");
    assert!(value(&busy["requests"], "/s") > value(&busy["denials"], "/s"), "{busy:#}");
    assert!(value(&busy["denials"], "/s") > 0.0, "{busy:#}");
    let hits = value(&busy["hits"], " %");
    assert!(hits > 50.0 && hits <= 100.0, "{busy:#}");
    assert!(busy["bytes"].as_str().is_some_and(|text| text != "0 B/s"), "{busy:#}");
    let (median, p99) = busy["latency"].as_str().and_then(|both| both.split_once(" · ")).expect("two times");
    assert!(median.ends_with('s') && p99.ends_with('s'), "{median}, {p99}");
    for name in ["requests", "hits", "latency"] {
        let points = busy["points"][name].as_array().expect("lines");
        assert!(points.iter().all(|count| count.as_u64() >= Some(2)), "{name}: {points:?}");
    }
    assert!(
        busy["bars"]["spread"].as_u64() > Some(3) && busy["bars"]["origin"].as_u64() > Some(3),
        "{busy:#}"
    );
    assert_eq!(row(busy, "sessions", &["videos", "id viewer-42"])[2], "127.0.0.1");
    let origin = row(busy, "origins", &["videos"]);
    assert_eq!((&origin[2], &origin[4]), (&json!("up"), &json!("0")), "{origin:?}");
    assert!(value(&origin[3], "") >= 3.0, "{origin:?}");
}

/// The page asked nobody but its own origin, and its console has only what a browser writes of the two refusals that were meant.
fn assert_alone(page: &Value, own: &str) {
    let asked: BTreeSet<&str> =
        page["requestsSeen"].as_array().expect("URLs").iter().filter_map(Value::as_str).collect();
    assert!(asked.len() > 5 && asked.iter().all(|url| url.starts_with(&format!("{own}/"))), "{asked:#?}");
    let complaints = page["complaints"].as_array().expect("lines");
    let is_refusal = |line: &Value| line.as_str().is_some_and(|line| line.contains("401 (Unauthorized)"));
    assert!(complaints.len() == 2 && complaints.iter().all(is_refusal), "{complaints:#?}");
}
