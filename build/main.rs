//! What the program says of its own making: version and commit, and never the time of the build, so that the same commit gives the same bytes.

mod commit;

use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script by the environment")]
fn main() {
    let read = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        std::env::var(name).ok().filter(|value| !value.is_empty())
    };
    let (id, date) = (read("SLUICEGATE_COMMIT"), read("SLUICEGATE_COMMIT_DATE"));
    println!("cargo::rerun-if-changed=build");
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| ".".to_owned());
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let found = match id {
        Some(id) => commit::told(&id, date.as_deref()),
        // Each commit would build the whole program anew, which is no use to whoever works on it.
        None if std::env::var("PROFILE").as_deref() != Ok("release") => Ok(commit::Found::default()),
        None => Ok(commit::find(Path::new(&root))),
    };
    match found {
        Ok(found) => {
            for path in &found.watched {
                println!("cargo::rerun-if-changed={}", path.display());
            }
            if let Some(commit) = &found.commit {
                println!("cargo::rustc-env=SLUICEGATE_BUILD_COMMIT={}", commit.id);
            }
            println!("cargo::rustc-env=SLUICEGATE_BUILD_VERSION={}", found.version(&version));
        }
        Err(fault) => println!("cargo::error={fault}"),
    }
}
