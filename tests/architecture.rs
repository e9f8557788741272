//! Holds the imports of `src/` to the table in ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn imports_run_down_as_the_table_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = table(&fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md"));
    assert!(table.len() > 15, "the table was not found");
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    assert!(files.len() > 60, "the sources were not found");
    let mut faults = Vec::new();
    for file in files {
        let name =
            file.strip_prefix(root.join("src")).expect("below src").with_extension("").display().to_string();
        let text = fs::read_to_string(&file).expect("a source file");
        if matches!(name.as_str(), "lib") {
            continue;
        }
        let Some(module) = module_of(&name, &table) else {
            if name != "domain/mod" {
                faults.push(format!("src/{name}.rs belongs to no module of the table"));
            }
            continue;
        };
        for imported in imports(&text) {
            let Some(target) = module_of(&imported, &table) else { continue };
            let allowed = &table[module];
            let is_allowed = target == module
                || allowed
                    .iter()
                    .any(|allowed| target == allowed || target.starts_with(&format!("{allowed}/")));
            if !is_allowed {
                faults.push(format!("src/{name}.rs ({module}) imports {imported} ({target})"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_file_of_the_domain_is_pure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src/domain"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for impure in [
            "async fn",
            "tokio::",
            "std::fs",
            "std::net::TcpStream",
            "SystemTime::now",
            "Instant::now",
            "std::env",
        ] {
            assert!(!text.contains(impure), "{} has {impure}", file.display());
        }
    }
}

#[test]
fn every_source_file_says_its_purpose_first() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        let is_tests =
            file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
        assert!(is_tests || text.starts_with("//! "), "{} does not begin with its purpose", file.display());
    }
}

/// Module to what it may import, from the rows `| `module` | what | may import |`.
fn table(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut table = BTreeMap::new();
    let rows = text.lines().skip_while(|line| !line.starts_with("| module |")).skip(2);
    for row in rows.take_while(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        table.insert(quoted(cells[1]).remove(0), quoted(cells[3]));
    }
    table
}

/// The words between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The module of the table that a path like `domain/token/acl` belongs to.
fn module_of<'a>(path: &str, table: &'a BTreeMap<String, Vec<String>>) -> Option<&'a str> {
    let belongs = |module: &&String| path == module.as_str() || path.starts_with(&format!("{module}/"));
    table.keys().filter(belongs).max_by_key(|module| module.len()).map(String::as_str)
}

/// What follows `crate::` anywhere in the text, as a path; of a group, each of its first names.
fn imports(text: &str) -> Vec<String> {
    let mut imports = Vec::new();
    let code =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))).unwrap_or(rest.len());
        let path = rest[..end].trim_end_matches(':').replace("::", "/");
        if let Some(group) = rest[end..].strip_prefix('{') {
            let group = &group[..group.find('}').unwrap_or(group.len())];
            let names = group.split(',').map(str::trim).filter(|name| !name.is_empty());
            imports.extend(names.map(|name| format!("{path}/{}", name.replace("::", "/"))));
        } else {
            imports.push(path);
        }
    }
    imports
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
