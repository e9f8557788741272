//! The page on metrics names what an edge tells, and no more: names, types, helps, labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::token::Access;
use crate::support::{KEY, TestEdge, get, stage};

/// Type, help and labels of a metric.
type Metric = (String, String, BTreeSet<String>);

fn on_the_page() -> BTreeMap<String, Metric> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/metrics.md");
    let page = std::fs::read_to_string(file).expect("a page");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, help, _] = cells[..] else { panic!("{row}") };
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (name.trim_matches('`').to_owned(), (kind.to_owned(), help.to_owned(), labels))
    })
    .collect()
}

fn told(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                let help = help.trim_end_matches('.');
                help.clone_into(&mut metrics.entry(name.to_owned()).or_default().1);
            }
            ["#", "TYPE", name, kind] => kind.clone_into(&mut metrics.entry(name.to_owned()).or_default().0),
            ["#", ..] => {}
            _ => {
                let Some((mut name, rest)) = line.split_once('{') else { continue };
                while !metrics.contains_key(name) {
                    name = name.rsplit_once('_').unwrap_or_else(|| panic!("{line}")).0;
                }
                let labels = rest.split("=\"").filter_map(|before| before.rsplit(['{', ',']).next());
                let labels = labels
                    .filter(|label| label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
                let kept = labels.filter(|label| !label.is_empty() && *label != "le").map(str::to_owned);
                metrics.get_mut(name).expect("just looked for").2.extend(kept);
            }
        }
    }
    metrics
}

#[tokio::test]
async fn the_page_on_metrics_names_what_an_edge_tells_and_no_more() {
    let origin = stage::origin().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = TestEdge::with_text(&format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n\
         [cache.disk]\nfolder = '{}'\nmax = \"1GiB\"\n[traces]\nendpoint = \"http://127.0.0.1:1/v1/traces\"\n\
         [[property]]\nname = \"test\"\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n\
         [[property.rule]]\nname = \"never\"\nwhen = {{ path = [\"/never\"] }}\ndeny = 403\n",
        folder.path().join("disk").display(),
        origin.address
    ))
    .await;
    assert_eq!(get(edge.address, &Access::acl("/*").on("/v/master.m3u8")).await.status, 200);
    get(edge.admin, "/metrics").await;
    let told = told(&get(edge.admin, "/metrics").await.text());
    let page = on_the_page();
    let missing: Vec<_> = told.keys().filter(|name| !page.contains_key(*name)).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    // There is no database here.
    let untold: Vec<_> = page
        .keys()
        .filter(|name| !told.contains_key(*name) && !name.starts_with("sluicegate_geo_"))
        .collect();
    assert!(untold.is_empty(), "on the page alone: {untold:?}");
    let mut faults = Vec::new();
    for (name, (kind, help, labels)) in &told {
        let (written_kind, written_help, written_labels) = &page[name];
        if (kind, help) != (written_kind, written_help) || !labels.is_subset(written_labels) {
            faults.push(format!("{name}: {kind}, {labels:?}, {help}"));
        }
        assert!(name.starts_with("sluicegate_") && !help.is_empty(), "{name}");
    }
    assert!(faults.is_empty(), "told otherwise:\n{}", faults.join("\n"));
}
