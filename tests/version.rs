//! Which commit a build names itself by, from whatever its sources came with.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../build/commit.rs"]
mod commit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use commit::{Commit, Found, find, told};

/// A repository with one commit, as this one is laid out.
fn repository(folder: &Path) -> PathBuf {
    let root = folder.join("main");
    for part in ["build", "src"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    for file in ["build/main.rs", "src/lib.rs", "Cargo.toml", "Cargo.lock", "README.md"] {
        fs::write(root.join(file), "first\n").unwrap();
    }
    git(&root, &["init", "--quiet", "--initial-branch=main"]);
    git(&root, &["add", "."]);
    commit(&root);
    root
}

fn commit(root: &Path) {
    git(root, &["commit", "--quiet", "--all", "--allow-empty", "--message=a change"]);
}

fn git(root: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["-c", "user.name=A", "-c", "user.email=a@example.com"])
        .args(arguments)
        .env("GIT_COMMITTER_DATE", "2026-11-26T12:00:00Z")
        .output()
        .expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn id(found: &Found) -> &str {
    &found.commit.as_ref().expect("a commit").id
}

fn head(root: &Path) -> String {
    git(root, &["rev-parse", "HEAD"])[..12].to_owned()
}

/// Whether a change of what the reference names would be noticed: some watched path was written by it.
fn watches(found: &Found, path: &Path) -> bool {
    found.watched.iter().any(|watched| watched.canonicalize().unwrap() == path.canonicalize().unwrap())
}

#[test]
fn git_gives_the_commit_and_its_day() {
    let folder = tempfile::tempdir().unwrap();
    let root = repository(folder.path());
    let found = find(&root);
    assert_eq!(id(&found), head(&root));
    assert_eq!(found.version("0.1.0"), format!("0.1.0 ({} 2026-11-26)", head(&root)));
    assert!(found.watched.iter().all(|path| path.exists()), "what is not there counts as changed always");
    for name in ["HEAD", "logs/HEAD", "refs/heads/main"] {
        assert!(watches(&found, &root.join(".git").join(name)), "{name}: {:?}", found.watched);
    }
    assert!(!watches(&found, &root.join(".git/index")), "git writes it for its own ends");
    commit(&root);
    assert_eq!(id(&find(&root)), head(&root));
}

#[test]
fn sources_that_differ_are_said_to_and_other_files_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let root = repository(folder.path());
    fs::write(root.join("README.md"), "second\n").unwrap();
    assert_eq!(id(&find(&root)), head(&root));
    fs::write(root.join("src/lib.rs"), "second\n").unwrap();
    assert_eq!(id(&find(&root)), format!("{}-dirty", head(&root)));
    assert!(watches(&find(&root), &root.join("src")));
    commit(&root);
    assert_eq!(id(&find(&root)), head(&root));
    fs::write(root.join("src/new.rs"), "new\n").unwrap();
    assert_eq!(id(&find(&root)), format!("{}-dirty", head(&root)), "a file that git does not know");
}

#[test]
fn a_worktree_has_its_own_commit_and_watches_its_own_branch() {
    let folder = tempfile::tempdir().unwrap();
    let root = repository(folder.path());
    let other = folder.path().join("other");
    git(&root, &["worktree", "add", "--quiet", "-b", "side", other.to_str().unwrap()]);
    assert!(other.join(".git").is_file());
    commit(&root);
    let found = find(&other);
    assert_eq!(id(&found), head(&other));
    assert_ne!(head(&other), head(&root));
    assert!(watches(&found, &root.join(".git/worktrees/other/HEAD")));
    assert!(watches(&found, &root.join(".git/refs/heads/side")));
    assert!(!watches(&found, &root.join(".git/refs/heads/main")));
}

#[test]
fn packed_references_and_a_detached_head_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = repository(folder.path());
    git(&root, &["pack-refs", "--all"]);
    let found = find(&root);
    assert_eq!(id(&found), head(&root));
    assert!(watches(&found, &root.join(".git/packed-refs")), "{:?}", found.watched);
    git(&root, &["checkout", "--quiet", "--detach"]);
    let found = find(&root);
    assert_eq!(id(&found), head(&root));
    assert!(watches(&found, &root.join(".git/HEAD")));
}

#[test]
fn without_git_the_version_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let found = find(folder.path());
    assert_eq!(found, Found::default());
    assert_eq!(found.version("0.1.0"), "0.1.0");
}

#[test]
fn sources_unpacked_within_another_repository_do_not_take_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let within = repository(folder.path()).join("vendor/sluicegate");
    fs::create_dir_all(&within).unwrap();
    assert_eq!(find(&within), Found::default());
}

#[test]
fn an_archive_of_the_registry_names_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let write = |git: &str| {
        let text = format!("{{\n  \"git\": {git},\n  \"path_in_vcs\": \"\"\n}}");
        fs::write(folder.path().join(".cargo_vcs_info.json"), text).unwrap();
    };
    let sha1 = "0123456789abcdef0123456789abcdef01234567";
    write(&format!("{{ \"sha1\": \"{sha1}\" }}"));
    assert_eq!(find(folder.path()).version("0.1.0"), "0.1.0 (0123456789ab)");
    write(&format!("{{ \"sha1\": \"{sha1}\", \"dirty\": true }}"));
    assert_eq!(find(folder.path()).version("0.1.0"), "0.1.0 (0123456789ab-dirty)");
    write("{ \"sha1\": \"no digits\" }");
    assert_eq!(find(folder.path()), Found::default());
}

#[test]
fn what_is_told_is_taken_and_has_to_be_a_name() {
    let long = "0123456789abcdef0123456789abcdef01234567";
    let found = told(long, Some("2026-11-26")).unwrap();
    assert_eq!(found.version("0.1.0"), "0.1.0 (0123456789ab 2026-11-26)");
    assert_eq!(told("v1.2", None).unwrap().commit, Some(Commit { id: "v1.2".to_owned(), date: None }));
    for wrong in ["two words", "line\nbreak", "\"quoted\""] {
        assert!(told(wrong, None).unwrap_err().contains("SLUICEGATE_COMMIT"));
        assert!(told("v1", Some(wrong)).unwrap_err().contains("SLUICEGATE_COMMIT_DATE"));
    }
}
