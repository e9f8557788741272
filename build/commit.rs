//! The commit that a build is made from: as it is told, as the package's archive has it, or as git says.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is made from: a change anywhere else leaves it as the commit has it.
const PARTS: [&str; 4] = ["build", "src", "Cargo.toml", "Cargo.lock"];
/// How much of a commit's name is shown.
const SHOWN: usize = 12;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub commit: Option<Commit>,
    /// What has to be looked at again when it changes.
    pub watched: Vec<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Commit {
    /// The first digits of its name; behind them `-dirty` where the sources differ from it.
    pub id: String,
    /// The day on which it was made.
    pub date: Option<String>,
}

impl Found {
    /// `0.1.0 (0123456789ab 2026-11-26)`, or as much of it as is known.
    pub fn version(&self, version: &str) -> String {
        match &self.commit {
            None => version.to_owned(),
            Some(Commit { id, date: None }) => format!("{version} ({id})"),
            Some(Commit { id, date: Some(date) }) => format!("{version} ({id} {date})"),
        }
    }
}

/// The commit that whoever builds names: where the sources come without git, as into a container.
pub fn told(id: &str, date: Option<&str>) -> Result<Found, String> {
    let is_good = |text: &str| {
        text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    if !is_good(id) {
        return Err(format!("SLUICEGATE_COMMIT is no name of a commit: {id:?}; give its digits"));
    }
    if let Some(date) = date.filter(|date| !is_good(date)) {
        return Err(format!("SLUICEGATE_COMMIT_DATE is no date: {date:?}; write 2026-11-26"));
    }
    Ok(Found {
        commit: Some(Commit { id: short(id).to_owned(), date: date.map(str::to_owned) }),
        watched: Vec::new(),
    })
}

/// What the archive or git has to say of the sources in `root`; neither has to be there.
pub fn find(root: &Path) -> Found {
    if let Some(id) = packaged(root) {
        return Found { commit: Some(Commit { id, date: None }), watched: Vec::new() };
    }
    let Some(id) = own_repository(root).then(|| git(root, &["rev-parse", "HEAD"])).flatten() else {
        return Found::default();
    };
    let mut changes = vec!["status", "--porcelain", "--untracked-files=normal", "--"];
    changes.extend(PARTS);
    let is_dirty = git(root, &changes).is_none_or(|changes| !changes.is_empty());
    Found {
        commit: Some(Commit {
            id: format!("{}{}", short(&id), if is_dirty { "-dirty" } else { "" }),
            date: git(root, &["log", "-1", "--format=%cs"]).filter(|date| !date.is_empty()),
        }),
        watched: watched(root),
    }
}

/// The sources, and what moves when another commit is checked out or made. A path that is not there would count as changed
/// with every build, so only those that are there are named.
fn watched(root: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = PARTS.iter().map(|part| root.join(part)).collect();
    // In a worktree some of these are in its own folder, some in the repository's; git knows which.
    let mut of_git = vec!["HEAD".to_owned(), "logs/HEAD".to_owned()];
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]);
    of_git.extend(branch.iter().cloned());
    let place = |name: &str| git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path));
    if branch.is_some_and(|branch| !place(&branch).is_some_and(|path| path.exists())) {
        of_git.push("packed-refs".to_owned());
    }
    paths.extend(of_git.iter().filter_map(|name| place(name)));
    paths.retain(|path| path.exists());
    paths
}

/// The commit that `cargo package` wrote down.
fn packaged(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    let id = rest.split('"').nth(1)?;
    let is_dirty = text.replace(' ', "").contains("\"dirty\":true");
    let is_id = id.len() >= SHOWN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| format!("{}{}", short(id), if is_dirty { "-dirty" } else { "" }))
}

/// Whether the sources are a repository themselves, rather than unpacked somewhere within another.
fn own_repository(root: &Path) -> bool {
    let top =
        git(root, &["rev-parse", "--show-toplevel"]).and_then(|top| Path::new(&top).canonicalize().ok());
    top.is_some() && top == root.canonicalize().ok()
}

fn short(id: &str) -> &str {
    if id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) { &id[..SHOWN] } else { id }
}

/// What git prints; nothing where there is no git, or it fails.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // A hook's surroundings would point elsewhere; and a status should not write the index.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"] {
        command.env_remove(name);
    }
    let output = command.arg("-C").arg(root).args(arguments).env("GIT_OPTIONAL_LOCKS", "0").output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim_end().to_owned())
}
