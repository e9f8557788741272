//! The dashboard and the alerts, held to what a running edge exports, and asked of a Prometheus that reads two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use regex::Regex;
use serde_json::Value;

use crate::running::{PATIENCE, Stage, get, play, replaced, stage, start, status};
use crate::support::program::{Running, free_port, is_wanted};
use crate::support::{read, root, secret, sluicegate, told, yaml};

/// Labels that Prometheus or its client library adds.
const ADDED: [&str; 4] = ["instance", "job", "le", "__name__"];

/// An expression, and where it stands.
struct Asked {
    place: String,
    expression: String,
    /// With `{{label}}` in it.
    legend: String,
}

fn dashboard() -> Value {
    serde_json::from_str(&read("docker/grafana/dashboards/sluicegate.json")).expect("JSON")
}

fn of_the_dashboard() -> Vec<Asked> {
    let dashboard = dashboard();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut asked = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let (place, legend) = (text(&panel["title"]), text(&target["legendFormat"]));
            asked.push(Asked { place, expression: text(&target["expr"]), legend });
        }
    }
    for note in dashboard["annotations"]["list"].as_array().expect("annotations") {
        if let Some(expression) = note["expr"].as_str() {
            let (place, legend) = (text(&note["name"]), text(&note["textFormat"]));
            asked.push(Asked { place, expression: expression.to_owned(), legend });
        }
    }
    assert!(asked.len() > 70, "{}", asked.len());
    asked
}

fn of_the_alerts() -> Option<Vec<Asked>> {
    let rules = yaml("docker/prometheus/alerts.yml")?.remove(0);
    let rules = rules.pointer("/groups/0/rules").and_then(Value::as_array).expect("rules").clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let one = |rule: &Value| Asked {
        place: text(&rule["alert"]),
        expression: text(&rule["expr"]),
        legend: text(&rule["annotations"]["summary"]) + &text(&rule["annotations"]["description"]),
    };
    Some(rules.iter().map(one).collect())
}

/// The values of each label of each metric.
type Exposition = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn exposition(text: &str) -> Exposition {
    let pair = Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)""#).expect("a pattern");
    let mut found = Exposition::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let labels = found.entry(name.to_owned()).or_default();
        for found in pair.captures_iter(line) {
            labels.entry(found[1].to_owned()).or_default().insert(found[2].to_owned());
        }
    }
    found
}

/// What is wrong with the names, labels and values of an expression.
fn faults(asked: &Asked, exported: &Exposition) -> Vec<String> {
    let selector = Regex::new(r"(sluicegate_[a-z0-9_]+)(?:\{([^}]*)\})?").expect("a pattern");
    let matcher = Regex::new(r#"([a-z_]+)(=~|!=|=)"([^"]*)""#).expect("a pattern");
    let mut faults = Vec::new();
    let mut known: BTreeSet<&str> = ADDED.into();
    // Of a family by pattern only the beginning of its names is said.
    let expression = asked
        .expression
        .replace("sluicegate_door_refusals_.+_total", "")
        .replace("sluicegate_door_refusals_(.+)_total", "");
    for found in selector.captures_iter(&expression) {
        let Some(labels) = exported.get(&found[1]) else {
            faults.push(format!("{}: no metric {}", asked.place, &found[1]));
            continue;
        };
        known.extend(labels.keys().map(String::as_str));
        for matched in matcher.captures_iter(found.get(2).map_or("", |text| text.as_str())) {
            let (label, values) = (&matched[1], &matched[3]);
            if ADDED.contains(&label) || values.contains('$') {
                continue;
            }
            let there = labels.get(label);
            for value in values.split('|') {
                if !there.is_some_and(|there| there.contains(value)) {
                    faults.push(format!("{}: {} has no {label}=\"{value}\"", asked.place, &found[1]));
                }
            }
        }
    }
    let by = Regex::new(r"by \(([^)]*)\)").expect("a pattern");
    let shown = Regex::new(r"\{\{ ?(?:\$labels\.)?([a-z_]+) ?\}\}").expect("a pattern");
    let grouped = by
        .captures_iter(&asked.expression)
        .flat_map(|found| found[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>());
    let legend = shown.captures_iter(&asked.legend).map(|found| found[1].to_owned());
    // What label_replace makes, and the names of origins, which only rules give.
    let made = ["refusal", "origin"];
    for label in grouped.chain(legend).filter(|label| !made.contains(&label.as_str())) {
        if !known.contains(label.as_str()) {
            faults.push(format!("{}: nothing in it has the label {label}", asked.place));
        }
    }
    faults
}

/// An edge that has served, refused and verified.
fn used() -> Option<Stage> {
    let stage = stage()?;
    let key = secret(stage.secrets.path(), "key");
    let token = told(&mut sluicegate(&["token", "mint", "--acl", "/*", "--window", "300", "--key", &key]));
    for edge in &stage.edges {
        let media = play(*edge, token.trim());
        assert_eq!(status(&get(*edge, &media, "").0), "200");
        assert_eq!(status(&get(*edge, "/vod/ts/master.m3u8", "").0), "403");
    }
    Some(stage)
}

#[test]
fn every_metric_label_and_value_of_dashboard_and_alerts_is_exported() {
    let Some(stage) = used() else { return };
    let Some(alerts) = of_the_alerts() else { return };
    let token = secret(stage.secrets.path(), "admin_token");
    let (_, body) = get(stage.admins[0], "/metrics", &format!("Authorization: Bearer {token}\r\n"));
    let exported = exposition(&String::from_utf8(body).expect("text"));
    assert!(exported.len() > 100);
    let all = of_the_dashboard().into_iter().chain(alerts);
    let found: Vec<String> = all.flat_map(|asked| faults(&asked, &exported)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));

    let wrong = |expression: &str, legend: &str| {
        let asked =
            Asked { place: "p".to_owned(), expression: expression.to_owned(), legend: legend.to_owned() };
        faults(&asked, &exported).len()
    };
    assert_eq!(wrong("sum(sluicegate_request_total)", ""), 1);
    assert_eq!(wrong("sum by (reasons) (sluicegate_denials_total)", ""), 1);
    assert_eq!(wrong("sluicegate_denials_total{reason=\"bad_sign\"}", "{{propertie}}"), 2);
}

#[test]
fn every_alert_fires_when_it_should_and_none_when_all_is_well() {
    if !is_wanted("promtool", &["promtool", "--version"]) {
        return;
    }
    told(Command::new("promtool").args(["check", "rules"]).arg(root().join("docker/prometheus/alerts.yml")));
    told(Command::new("promtool").args(["test", "rules"]).arg(root().join("tests/deploy/alerts.yml")));
    let examples = read("tests/deploy/alerts.yml");
    for rule in
        read("docker/prometheus/alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert_eq!(
            examples.matches(&format!("alertname: {rule}")).count(),
            2,
            "{rule} has an example of each"
        );
    }
}

#[test]
fn panels_lie_side_by_side_and_have_one_id_each() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        let place = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for cell in (place("x")..place("x") + place("w"))
            .flat_map(|x| (place("y")..place("y") + place("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert(cell), "{} lies on another", panel["title"]);
        }
    }
    assert_eq!(dashboard["uid"], "sluicegate");
}

/// A Prometheus with the configuration of the compose file, reading these edges often.
fn prometheus(stage: &Stage, folder: &std::path::Path) -> (Running, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let text = replaced(
        &read("docker/prometheus/prometheus.yml"),
        &[
            ("/run/secrets/", &format!("{}/", stage.secrets.path().display())),
            ("edge-1:9090", &stage.admins[0].to_string()),
            ("edge-2:9090", &stage.admins[1].to_string()),
            ("localhost:9090", &address.to_string()),
            ("scrape_interval: 5s", "scrape_interval: 200ms"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
            ("[alerts.yml]", &format!("[\"{}\"]", root().join("docker/prometheus/alerts.yml").display())),
        ],
    );
    let file = folder.join("prometheus.yml");
    fs::write(&file, text).expect("written");
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display())).arg(format!("--web.listen-address={address}"));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    let (running, _) = start(&mut command, true, &["Server is ready to receive web requests"]);
    (running, address)
}

/// What Prometheus answers; a fault in the expression fails the test.
fn asked(prometheus: SocketAddr, expression: &str) -> Vec<Value> {
    let query: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
    let (head, body) = get(prometheus, &format!("/api/v1/query?query={query}"), "");
    assert_eq!(status(&head), "200", "{expression}\n{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    answer["data"]["result"].as_array().expect("a result").clone()
}

#[test]
fn a_prometheus_that_reads_the_edges_answers_all_that_the_dashboard_asks() {
    if !is_wanted("promtool", &["prometheus", "--version"]) {
        return;
    }
    let Some(stage) = used() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, address) = prometheus(&stage, folder.path());
    let began = Instant::now();
    let mut waiting = of_the_dashboard();
    while !waiting.is_empty() {
        let missing: Vec<&str> = waiting.iter().map(|asked| asked.expression.as_str()).collect();
        assert!(began.elapsed() < PATIENCE, "no data for {missing:#?}");
        // What is counted now and then only shows while it is.
        for edge in &stage.edges {
            assert_eq!(status(&get(*edge, "/vod/ts/master.m3u8", "").0), "403");
        }
        waiting.retain(|one| {
            let expression = one.expression.replace("$__rate_interval", "20s").replace("$__interval", "20s");
            let answer = asked(address, &expression.replace("$instance", ".*").replace("$property", ".*"));
            let may_be_empty = one.expression.ends_with("> 0");
            answer.is_empty() && !may_be_empty
        });
    }
    let up = asked(address, "sum(up{job=\"sluicegate\"})");
    assert_eq!(up[0]["value"][1], "2", "both edges are read with the operators' token");
}
