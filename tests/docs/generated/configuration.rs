//! The reference of the configuration, of config.toml: its tables, keys, values and comments.

use std::fmt::Write as _;
use std::fs;

use regex::Regex;

use super::escaped;
use crate::page::root;

/// What a line of config.toml is.
enum Line {
    Table {
        name: String,
        is_set: bool,
        comment: String,
    },
    Key {
        name: String,
        value: String,
        is_set: bool,
        comment: String,
    },
    /// The comment of the line above goes on.
    More(String),
    Prose(String),
    Empty,
}

#[derive(Default)]
struct Table {
    name: String,
    comment: String,
    is_set: bool,
    parts: Vec<Part>,
}

enum Part {
    Keys(Vec<Key>),
    Prose(String),
}

struct Key {
    name: String,
    value: String,
    is_set: bool,
    comment: String,
}

pub fn reference() -> String {
    let text = fs::read_to_string(root().join("config.toml")).expect("the reference configuration");
    let mut out = String::new();
    for table in tables(&text) {
        let _ = writeln!(out, "\n## {}\n", table.name);
        if !table.comment.is_empty() {
            let _ = writeln!(out, "{}.\n", capital(&escaped(&table.comment)));
        }
        if !table.is_set {
            out.push_str("Not there unless it is written.\n\n");
        }
        for part in &table.parts {
            match part {
                Part::Prose(text) => {
                    let _ = writeln!(out, "{}\n", escaped(text));
                }
                Part::Keys(keys) => rows(&mut out, keys),
            }
        }
    }
    out
}

fn rows(out: &mut String, keys: &[Key]) {
    out.push_str("| key | type | value | meaning |\n|---|---|---|---|\n");
    for key in keys {
        let value = key.value.replace('|', "\\|");
        let value = match (value.as_str(), key.is_set) {
            ("", _) => String::new(),
            (value, true) => format!("`{value}`"),
            (value, false) => format!("*`{value}`*"),
        };
        let kind = kind(&key.value, &key.comment);
        let _ = writeln!(out, "| `{}` | {kind} | {value} | {} |", key.name, escaped(&key.comment));
    }
    out.push('\n');
}

fn tables(text: &str) -> Vec<Table> {
    let mut found: Vec<Table> = Vec::new();
    // A text before a table's head is the table's.
    let mut pending: Vec<String> = Vec::new();
    let mut is_new_paragraph = true;
    for line in text.lines() {
        match read(line) {
            Line::Table { comment, name, .. } if comment.ends_with("see below") => {
                let key = Key { name, value: String::new(), is_set: false, comment };
                add(found.last_mut().expect("a table"), key);
            }
            Line::Table { name, is_set, comment } => {
                let parts = pending.drain(..).map(Part::Prose).collect();
                found.push(Table { name, comment, is_set, parts });
            }
            Line::Key { name, value, is_set, comment } => {
                // What stands above all tables is for who reads the file.
                let Some(table) = found.last_mut() else { continue };
                table.parts.extend(pending.drain(..).map(Part::Prose));
                add(table, Key { name, value, is_set, comment });
            }
            Line::More(text) => {
                let Some(table) = found.last_mut() else { continue };
                match table.parts.last_mut() {
                    Some(Part::Keys(keys)) => push(&mut keys.last_mut().expect("a key").comment, &text),
                    _ => push(&mut table.comment, &text),
                }
            }
            Line::Prose(text) if found.is_empty() => drop(text),
            Line::Prose(text) => match pending.last_mut() {
                Some(paragraph) if !is_new_paragraph => push(paragraph, &text),
                _ => pending.push(text),
            },
            Line::Empty => {}
        }
        is_new_paragraph = matches!(read(line), Line::Empty | Line::Key { .. } | Line::Table { .. });
    }
    found
}

fn add(table: &mut Table, key: Key) {
    match table.parts.last_mut() {
        Some(Part::Keys(keys)) => keys.push(key),
        _ => table.parts.push(Part::Keys(vec![key])),
    }
}

fn push(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

fn read(line: &str) -> Line {
    let (bare, is_set) = match line.strip_prefix('#') {
        Some(rest) => (rest.strip_prefix(' ').unwrap_or(rest), false),
        None => (line, true),
    };
    if bare.trim().is_empty() {
        return Line::Empty;
    }
    if let Some(comment) = bare.trim_start().strip_prefix('#').filter(|_| bare.starts_with("  ")) {
        return Line::More(comment.trim().to_owned());
    }
    let table = Regex::new(r"^(\[\[?[a-z0-9_.]+\]\]?)\s*(?:#\s*(.*))?$").expect("a pattern");
    if let Some(found) = table.captures(bare) {
        let comment = found.get(2).map_or("", |comment| comment.as_str()).to_owned();
        return Line::Table { name: found[1].to_owned(), is_set, comment };
    }
    let key = Regex::new(r"^([a-z0-9_]+)\s*=\s*(\S.*)$").expect("a pattern");
    if let Some(found) = key.captures(bare) {
        let (value, comment) = value_and_comment(&found[2]);
        return Line::Key { name: found[1].to_owned(), value, is_set, comment };
    }
    Line::Prose(bare.trim().to_owned())
}

/// Splits at the first `#` that stands in no text.
fn value_and_comment(text: &str) -> (String, String) {
    let mut is_quoted = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '#' if !is_quoted => return (text[..at].trim().to_owned(), text[at + 1..].trim().to_owned()),
            _ => {}
        }
    }
    (text.trim().to_owned(), String::new())
}

/// The type of a value, by how it is written and what is said of it.
fn kind(value: &str, comment: &str) -> String {
    let is = |pattern: &str| Regex::new(pattern).expect("a pattern").is_match(value);
    let choices =
        Regex::new(r"^[a-z0-9_.-]+( \([^()]*\))?( \| [a-z0-9_.-]+( \([^()]*\))?,?)+").expect("a pattern");
    let name = if value.is_empty() {
        "table"
    } else if is("^(true|false)$") {
        "boolean"
    } else if is(r"^[0-9_]+$") {
        "number"
    } else if is(r#"^"[0-9]+(ms|s|m|h|d)"$"#) {
        "duration"
    } else if is(r#"^"[0-9]+([KMGT]i)?B"$"#) {
        "size"
    } else if is(r"^\[") {
        "list"
    } else if is(r"^\{ (env|file|command|hex|text) = ") {
        "secret"
    } else if is(r"^\{") {
        "table"
    } else if is(r"^[0-9]{4}-") {
        "time"
    } else if choices.is_match(comment) {
        "choice"
    } else {
        "text"
    };
    name.to_owned()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
