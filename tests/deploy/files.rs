//! Each file as it lies there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::program::is_wanted;
use crate::support::{python, read, root, said, secrets, sluicegate, told, yaml};

const MANIFESTS: [&str; 7] = ["config", "secret", "deployment", "service", "pdb", "hpa", "networkpolicy"];

/// What `check` says of a configuration: whether it is good, and all that it printed.
fn judged(folder: &Path, text: &str) -> (bool, String) {
    let file = folder.join("config.toml");
    fs::write(&file, text).expect("written");
    let output = sluicegate(&["check", "--config"]).arg(&file).output().expect("it starts");
    (output.status.success(), said(&output))
}

#[test]
fn the_edges_configuration_is_good_with_the_secrets_that_the_script_makes() {
    let folder = secrets();
    let text = read("docker/edge.toml").replace("/run/secrets/", "");
    let (is_good, said) = judged(folder.path(), &text);
    assert!(is_good, "{said}");
    for name in ["key", "admin_token", "redis_password"] {
        let secret = fs::read_to_string(folder.path().join(name)).expect("a secret");
        assert!(secret.len() == 32 && !said.contains(&secret), "{name} is not printed");
    }
}

#[test]
fn secrets_are_made_once_and_never_replaced() {
    let folder = secrets();
    let key = fs::read_to_string(folder.path().join("key")).expect("a key");
    told(Command::new("sh").arg(root().join("docker/secrets.sh")).arg(folder.path()));
    assert_eq!(fs::read_to_string(folder.path().join("key")).expect("a key"), key);
    assert_ne!(fs::read_to_string(folder.path().join("admin_token")).expect("a token"), key);
}

#[test]
fn the_compose_file_keeps_to_the_specification() {
    let Some(python) = python("python") else { return };
    told(Command::new(python).current_dir(root()).args([
        "tests/deploy/judge.py",
        "compose",
        "docker/compose.yaml",
    ]));
}

#[test]
fn the_schemas_find_what_is_wrong() {
    let Some(python) = python("python") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = [
        ("compose", "docker/compose.yaml", "read_only:", "readonly:"),
        (
            "kubernetes",
            "kubernetes/deployment.yaml",
            "terminationGracePeriodSeconds:",
            "terminationGracePeriod:",
        ),
    ];
    for (what, path, from, to) in wrong {
        let file = folder.path().join("wrong.yaml");
        let text = read(path);
        assert!(text.contains(from));
        fs::write(&file, text.replace(from, to)).expect("written");
        let output = Command::new(&python)
            .current_dir(root())
            .args(["tests/deploy/judge.py", what])
            .arg(&file)
            .output();
        let output = output.expect("it starts");
        assert!(
            !output.status.success() && said(&output).contains(to.trim_end_matches(':')),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn every_service_of_the_compose_file_is_hardened_and_finds_its_files() {
    let Some(documents) = yaml("docker/compose.yaml") else { return };
    let services = documents[0]["services"].as_object().expect("services");
    assert_eq!(services.len(), 6);
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        assert!(service["mem_limit"].is_string() && service["pids_limit"].is_u64(), "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(
                port.as_str().expect("a port").starts_with("127.0.0.1:"),
                "{name} is not open to the world"
            );
        }
        for mount in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(path) = mount.strip_prefix("./") {
                let path = path.split(':').next().expect("a path");
                assert!(root().join("docker").join(path).exists(), "{name}: {path}");
            }
        }
        for secret in service["secrets"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let file = documents[0]["secrets"][secret]["file"].as_str().expect("a file");
            assert!(
                read("docker/secrets.sh").contains(file.trim_start_matches("./secrets/")),
                "{secret} is made"
            );
        }
    }
    assert_eq!(
        services["edge-1"]["stop_grace_period"], "40s",
        "longer than the drain, whose default is 30 s"
    );
}

#[test]
fn the_manifests_keep_to_their_schemas() {
    let Some(python) = python("python") else { return };
    let files = MANIFESTS.iter().map(|name| format!("kubernetes/{name}.yaml"));
    told(Command::new(python).current_dir(root()).args(["tests/deploy/judge.py", "kubernetes"]).args(files));
}

/// The configuration of the pods, and the secrets that the pattern names.
fn pods(secrets: &Path) -> Option<(String, Value)> {
    let config = yaml("kubernetes/config.yaml")?.remove(0);
    let secret = yaml("kubernetes/secret.yaml")?.remove(0);
    for name in secret["stringData"].as_object().expect("secrets").keys() {
        fs::write(secrets.join(name), "00112233445566778899aabbccddeeff").expect("written");
    }
    let text = config["data"]["config.toml"].as_str().expect("a configuration");
    Some((text.replace("/run/secrets/sluicegate/", ""), secret["stringData"].clone()))
}

#[test]
fn the_pods_configuration_is_good_and_no_edge_takes_the_patterns_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((text, pattern)) = pods(folder.path()) else { return };
    let (is_good, said) = judged(folder.path(), &text);
    assert!(is_good, "{said}");
    fs::write(folder.path().join("key"), pattern["key"].as_str().expect("a key")).expect("written");
    let (is_good, said) = judged(folder.path(), &text);
    assert!(!is_good && said.contains("hex"), "{said}");
}

#[test]
fn pods_get_the_time_that_their_drain_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((text, _)) = pods(folder.path()) else { return };
    let Some(deployment) = yaml("kubernetes/deployment.yaml") else { return };
    let config: toml::Table = text.parse().expect("TOML");
    let drain = config["server"]["drain_timeout"].as_str().expect("a time");
    let drain = humantime::parse_duration(drain).expect("a time").as_secs();
    let pod = &deployment[0]["spec"]["template"]["spec"];
    let before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("seconds");
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    assert!(grace >= before + drain + 5, "{grace} s for {before} s and {drain} s");
}

#[test]
fn everything_of_the_pods_is_found_under_one_label_and_port() {
    let Some(deployment) = yaml("kubernetes/deployment.yaml") else { return };
    let labels = &deployment[0]["spec"]["template"]["metadata"]["labels"];
    let ports = &deployment[0]["spec"]["template"]["spec"]["containers"][0]["ports"];
    for (file, pointer) in [
        ("deployment", "/spec/selector/matchLabels"),
        ("service", "/spec/selector"),
        ("pdb", "/spec/selector/matchLabels"),
        ("networkpolicy", "/spec/podSelector/matchLabels"),
    ] {
        let found = yaml(&format!("kubernetes/{file}.yaml")).expect("documents").remove(0);
        assert_eq!(found.pointer(pointer), Some(labels), "{file}");
    }
    assert_eq!(ports[0]["name"], "http");
    assert_eq!(ports[1]["name"], "admin");
    let kustomization = yaml("kubernetes/kustomization.yaml").expect("documents").remove(0);
    for resource in kustomization["resources"].as_array().expect("resources") {
        assert!(root().join("kubernetes").join(resource.as_str().expect("a file")).exists(), "{resource}");
    }
    let adapter = yaml("kubernetes/prometheus-adapter.yaml").expect("documents").remove(0);
    let scaler = yaml("kubernetes/hpa.yaml").expect("documents").remove(0);
    assert_eq!(
        adapter.pointer("/rules/custom/0/name/as").expect("a name"),
        scaler.pointer("/spec/metrics/0/pods/metric/name").expect("a name"),
        "the pods are counted by what the adapter makes"
    );
}

#[test]
fn prometheus_takes_its_configurations() {
    if !is_wanted("promtool", &["promtool", "--version"]) {
        return;
    }
    told(
        Command::new("promtool")
            .args(["check", "config", "--syntax-only"])
            .arg(root().join("docker/prometheus/prometheus.yml")),
    );
    // Some builds of it know no Kubernetes: the rest of the job is judged with the pods given.
    let folder = tempfile::tempdir().expect("a folder");
    let text = read("kubernetes/prometheus.yml");
    let found = "kubernetes_sd_configs:\n      - role: pod\n";
    assert!(text.contains(found));
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, text.replace(found, "static_configs:\n      - targets: [\"10.0.0.1:9090\"]\n"))
        .expect("written");
    told(Command::new("promtool").args(["check", "config", "--syntax-only"]).arg(&file));
}

#[test]
fn the_dockerfile_passes_the_linter() {
    let Some(hadolint) = python("hadolint") else { return };
    told(Command::new(hadolint).arg(root().join("docker/Dockerfile")));
}

/// The image's context: what `Dockerfile.dockerignore` lets through, of the files under version control.
fn context() -> Vec<PathBuf> {
    let rules = read("docker/Dockerfile.dockerignore");
    let rules: Vec<&str> = rules.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rules[0], "*", "nothing but what is named");
    let named: Vec<&str> =
        rules[1..].iter().map(|rule| rule.strip_prefix('!').expect("what is let through")).collect();
    let listed = told(Command::new("git").current_dir(root()).args(["ls-files", "-z", "--"]).args(&named));
    listed.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

#[test]
fn the_images_context_has_all_that_cargo_and_the_sources_ask_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let context = context();
    for path in &context {
        let to = folder.path().join(path);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::copy(root().join(path), to).expect("copied");
    }
    // Cargo refuses a manifest whose targets are missing.
    let metadata = told(Command::new(env!("CARGO")).current_dir(folder.path()).args([
        "metadata",
        "--offline",
        "--locked",
        "--no-deps",
        "--format-version",
        "1",
    ]));
    assert!(metadata.contains("\"name\":\"sluicegate\""));
    for path in context.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(root().join(path)).expect("a source");
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ["include_str!(\"", "include_bytes!(\""] {
            for rest in product.split(word).skip(1) {
                let named = rest.split('"').next().expect("a path");
                let file = folder.path().join(path.parent().expect("a folder")).join(named);
                assert!(file.exists() || named.contains('{'), "{}: {named}", path.display());
            }
        }
    }
}
