//! A page of the documentation: its fenced blocks, headings and links.
//!
//! A fence's first word is its language. A second word is the name of the file that the block is the content of, or `no-run` for what a
//! test cannot do.
//!
//! ````text
//! ```sh                  is run, in one shell for the page, in a folder of its own
//! ```console             is run line by line ("$ …"), and what is printed compared; "…" stands for anything
//! ```toml edge.toml      is written to a file before the next block is run, and judged by `sluicegate check`
//! ```sh no-run           is not run: it installs something, or needs another machine
//! ````
//!
//! What a test needs beside what readers are told stands in a comment of HTML, fenced in the same way.

use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Page {
    /// From the root of the repository: `docs/fleet.md`.
    pub name: String,
    pub text: String,
    pub blocks: Vec<Block>,
}

#[derive(Debug)]
pub struct Block {
    pub language: String,
    /// What follows the language.
    pub word: Option<String>,
    pub text: String,
    /// Of its first line of content.
    pub line: usize,
    indent: usize,
}

impl Page {
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let blocks = blocks(name, &text);
        Self { name: name.to_owned(), text, blocks }
    }

    /// The README, and all of `docs`.
    pub fn all() -> Vec<Self> {
        let mut found = Vec::new();
        files(&root().join("docs"), "md", &mut found);
        found.sort();
        let named = found.iter().map(|path| {
            path.strip_prefix(root()).expect("below the root").to_str().expect("a name in ASCII").to_owned()
        });
        let pages: Vec<Self> =
            std::iter::once("README.md".to_owned()).chain(named).map(|name| Self::read(&name)).collect();
        assert!(pages.len() > 8, "the pages were not found");
        pages
    }

    /// The text without its blocks and without code in its lines.
    pub fn prose(&self) -> String {
        let mut prose = String::new();
        let mut is_code = false;
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                let parts = line.split('`').step_by(2);
                prose.extend(parts.flat_map(|part| [part, " "]));
            }
            prose.push('\n');
        }
        prose
    }

    /// The anchors of its headings, as mdBook and the usual forges make them.
    pub fn anchors(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut is_code = false;
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                is_code = !is_code;
            }
            let heading = line.trim_start_matches('#');
            if is_code || heading.len() == line.len() || !heading.starts_with(' ') {
                continue;
            }
            let anchor = heading.trim().chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                letter => letter.is_alphanumeric().then(|| letter.to_ascii_lowercase()),
            });
            let anchor: String = anchor.collect();
            let before = found.iter().filter(|known| **known == anchor).count();
            found.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
        }
        found
    }
}

impl Block {
    pub fn is_run(&self) -> bool {
        self.word.as_deref() != Some("no-run")
    }

    /// The file that it is the content of.
    pub fn file(&self) -> Option<&str> {
        self.word.as_deref().filter(|_| self.is_run())
    }
}

fn blocks(name: &str, text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(String, Block)> = None;
    for (at, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match &mut open {
            Some((fence, _)) if bare.starts_with(fence.as_str()) => {
                let (_, block) = open.take().expect("it is open");
                found.push(block);
            }
            Some((_, block)) => {
                // In a list a block is indented as its fence is.
                let indented = line.len() - bare.len();
                block.text.push_str(&line[indented.min(block.indent)..]);
                block.text.push('\n');
            }
            None if bare.starts_with("```") => {
                let info = bare.trim_start_matches('`');
                let mut words = info.split_whitespace().map(str::to_owned);
                let block = Block {
                    language: words.next().unwrap_or_default(),
                    word: words.next(),
                    text: String::new(),
                    line: at + 2,
                    indent: line.len() - bare.len(),
                };
                open = Some(("`".repeat(bare.len() - info.len()), block));
            }
            None => {}
        }
    }
    assert!(open.is_none(), "{name}: a fence is not closed");
    found
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder whose names end so.
pub fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("node_modules") {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}
