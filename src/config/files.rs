//! The files that a configuration names, to be watched.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Keys whose values are names of files that are read: secrets, certificates and their keys, lists, databases.
const KEYS: [&str; 11] = [
    "file",
    "files",
    "cert",
    "key",
    "ca",
    "client_cert",
    "client_key",
    "jwks",
    "country",
    "asn",
    "client_ca",
];

/// The files that a configuration's text names; none where it is no TOML. Relative names are taken from `folder`.
pub fn files_named(text: &str, folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    if let Ok(table) = text.parse::<Table>() {
        collect(&table, folder, &mut files);
    }
    files.sort();
    files.dedup();
    files
}

fn collect(table: &Table, folder: &Path, files: &mut Vec<PathBuf>) {
    for (key, value) in table {
        note(KEYS.contains(&key.as_str()), value, folder, files);
    }
}

fn note(is_name: bool, value: &Value, folder: &Path, files: &mut Vec<PathBuf>) {
    match value {
        Value::String(name) if is_name => files.push(folder.join(name)),
        Value::Array(values) => values.iter().for_each(|value| note(is_name, value, folder, files)),
        Value::Table(table) => collect(table, folder, files),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_certificates_are_named_and_logs_are_not() {
        let text = "[log]\naccess = \"/var/log/a\"\n[[tls.certificate]]\ncert = \"a.pem\"\nkey = \"/k/a.key\"\n[[property]]\nname = \"p\"\naccess = { key = { file = \"key.hex\" }, salt = { text = \"x\" } }\norigin = { urls = [\"http://a\"], ca = \"ca.pem\" }\n";
        let named = files_named(text, Path::new("/etc/s"));
        let named: Vec<_> = named.iter().map(|file| file.display().to_string()).collect();
        assert_eq!(named, ["/etc/s/a.pem", "/etc/s/ca.pem", "/etc/s/key.hex", "/k/a.key"]);
        assert!(files_named("no toml [", Path::new("/")).is_empty());
    }
}
