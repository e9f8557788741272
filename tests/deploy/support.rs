//! Folders of secrets, configurations as they are in a container, programs of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

#[path = "../it/support/program.rs"]
pub(crate) mod program;

use program::is_wanted;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A command of the program, with an environment of its own.
pub(crate) fn sluicegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(arguments).env_clear();
    command
}

/// What a command printed; it has to go well.
pub(crate) fn told(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The secrets that `docker/secrets.sh` makes, in a folder of the test's own.
pub(crate) fn secrets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    told(Command::new("sh").arg(root().join("docker/secrets.sh")).arg(folder.path()));
    folder
}

pub(crate) fn secret(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect("a secret")
}

/// A program of `tests/deploy/requirements.txt`; none where Python is knowingly absent.
pub(crate) fn python(program: &str) -> Option<PathBuf> {
    let folder = root().join("target/deploy/bin");
    let python = folder.join("python").display().to_string();
    is_wanted("python", &[&python, "-c", "import jsonschema, kubernetes_validate, yaml"])
        .then(|| folder.join(program))
}

/// The documents in a file of YAML.
pub(crate) fn yaml(path: &str) -> Option<Vec<Value>> {
    let mut command = Command::new(python("python")?);
    let json = told(command.arg(root().join("tests/deploy/judge.py")).arg("json").arg(root().join(path)));
    Some(serde_json::from_str(&json).expect("JSON"))
}
