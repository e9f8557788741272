//! What the Debian package brings: a configuration, units, scripts. The package itself is built, judged and installed by
//! `tests/deploy/package.sh`, which `./test --long` runs.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::{read, root, secret, secrets, sluicegate, told};

#[test]
fn the_packages_configuration_is_good_and_listens_where_its_sockets_do() {
    let folder = secrets();
    let text = read("packaging/config.toml");
    fs::rename(folder.path().join("admin_token"), folder.path().join("admin-token")).expect("renamed");
    let file = folder.path().join("config.toml");
    fs::write(&file, &text).expect("written");
    let said = told(sluicegate(&["check", "--config"]).arg(&file));
    assert!(!said.contains(&secret(folder.path(), "key")), "{said}");
    let config: toml::Table = text.parse().expect("TOML");
    let socket = read("packaging/systemd/sluicegate.socket");
    for address in config["server"]["http"].as_array().expect("addresses") {
        let line = format!("ListenStream={}", address.as_str().expect("an address"));
        assert!(socket.lines().any(|there| there == line), "{line}");
    }
}

#[test]
fn the_package_finds_its_files_and_the_unit_its_program_and_folders() {
    let cargo: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let package = &cargo["package"]["metadata"]["deb"];
    let mut places = BTreeSet::new();
    for asset in package["assets"].as_array().expect("assets") {
        let (from, to) = (asset[0].as_str().expect("a path"), asset[1].as_str().expect("a path"));
        assert!(from.starts_with("target/") || root().join(from).exists(), "{from}");
        places.insert(to.to_owned());
    }
    let unit = read("packaging/systemd/sluicegate.service");
    assert!(places.contains("usr/bin/") && unit.contains("ExecStart=/usr/bin/sluicegate serve"));
    assert!(
        places.contains("etc/sluicegate/config.toml")
            && unit.contains("--config /etc/sluicegate/config.toml")
    );
    assert_eq!(
        package["conf-files"][0].as_str(),
        Some("/etc/sluicegate/config.toml"),
        "a change of it outlives upgrades"
    );
    for name in ["postinst", "prerm", "postrm"] {
        let script = root().join("packaging/debian").join(name);
        told(Command::new("sh").arg("-n").arg(&script));
        assert!(
            fs::read_to_string(script).expect("a script").contains("#DEBHELPER#"),
            "{name} has the units' part"
        );
    }
}
