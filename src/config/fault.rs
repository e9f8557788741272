//! What is wrong with a configuration: where it stands, what was expected, and what would be right.

use std::ops::Range;

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

/// One fault, with its place in the file when it has one.
#[derive(Clone, Debug, Error, Diagnostic)]
#[error("{message}")]
pub struct Fault {
    message: String,
    #[source_code]
    text: NamedSource<String>,
    #[label("here")]
    place: Option<SourceSpan>,
    #[help]
    cure: Option<String>,
    line_and_column: Option<(usize, usize)>,
}

/// A fault for programs: what is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub message: String,
    /// Counted from one; none where it is not one place.
    pub line_and_column: Option<(usize, usize)>,
    pub cure: Option<String>,
}

/// All faults of one configuration.
#[derive(Clone, Debug, Error, Diagnostic)]
#[error("{file} cannot be used: {} found", count(faults.len()))]
pub struct Faults {
    file: String,
    #[related]
    faults: Vec<Fault>,
}

fn count(faults: usize) -> String {
    if faults == 1 { "1 fault".to_owned() } else { format!("{faults} faults") }
}

/// Collects faults while a configuration is judged, so that all are told at once.
#[derive(Debug)]
pub struct Judge {
    file: String,
    text: String,
    faults: Vec<Fault>,
}

impl Judge {
    pub fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), faults: Vec::new() }
    }

    /// Notes a fault at `place` (byte offsets; an empty range for none) with its cure.
    pub fn fault(&mut self, place: Range<usize>, message: impl Into<String>, cure: impl Into<String>) {
        let has_place = !place.is_empty() && place.end <= self.text.len();
        let cure = cure.into();
        self.faults.push(Fault {
            message: message.into(),
            text: NamedSource::new(&self.file, self.text.clone()),
            place: has_place.then(|| place.clone().into()),
            cure: (!cure.is_empty()).then_some(cure),
            line_and_column: has_place.then(|| line_and_column(&self.text, place.start)),
        });
    }

    /// Notes the fault of a text that is no valid TOML or has a key or value that is not known.
    pub fn syntax(&mut self, error: &toml::de::Error) {
        let message = without_values(error.message());
        let cure = suggestion(&message);
        let place = error.span().unwrap_or_default();
        // A place of no width is widened, so that it can be pointed at.
        let place = if place.is_empty() && place.start < self.text.len() {
            place.start..place.start + 1
        } else {
            place
        };
        self.fault(place, message, cure);
    }

    pub fn finish<T>(self, accepted: Option<T>) -> Result<T, Faults> {
        match accepted {
            Some(accepted) if self.faults.is_empty() => Ok(accepted),
            Some(_) | None => Err(Faults { file: self.file, faults: self.faults }),
        }
    }

    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }
}

impl Faults {
    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn told(&self) -> impl Iterator<Item = Told> {
        self.faults.iter().map(|fault| Told {
            message: fault.message.clone(),
            line_and_column: fault.line_and_column,
            cure: fault.cure.clone(),
        })
    }

    /// Each fault on one line: `config.toml:12:8: what is wrong; what would be right`.
    pub fn lines(&self) -> Vec<String> {
        let line = |fault: &Fault| {
            let place =
                fault.line_and_column.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
            let cure = fault.cure.as_deref().map_or_else(String::new, |cure| format!("; {cure}"));
            format!("{}{place}: {}{cure}", self.file, fault.message)
        };
        self.faults.iter().map(line).collect()
    }
}

/// What serde says, without a value where a secret may have been typed: of a wrong type, and as the field of a secret.
fn without_values(message: &str) -> String {
    const FIELDS_OF_A_SECRET: &str = "`env`, `file`, `command`, `timeout`, `hex`, `text`";
    if message.ends_with("expected struct Source") {
        return "a secret is a table: { env = \"NAME\" }, { file = \"path\" }, { command = [\"program\"] }, { hex = \"..\" } or { text = \"..\" }"
            .to_owned();
    }
    if message.starts_with("unknown field `") && message.ends_with(FIELDS_OF_A_SECRET) {
        return format!("unknown field of a secret, expected one of {FIELDS_OF_A_SECRET}");
    }
    let Some(said) = message.strip_prefix("invalid type: ") else { return message.to_owned() };
    let kind = said.split([' ', ',']).next().unwrap_or_default();
    let expected = said.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
    format!("invalid type: {kind}, expected {expected}")
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// "did you mean" for an unknown field or variant, from serde's list of what it expected.
fn suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(typed) = quoted.next() else { return String::new() };
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let known: Vec<&str> = quoted.collect();
    let nearest = known
        .iter()
        .map(|known| (strsim::jaro_winkler(typed, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, known)) if likeness > 0.75 => format!("did you mean `{known}`?"),
        Some(_) | None => {
            "remove it, or see the reference config.toml for the keys that there are".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_wrong_type_is_not_repeated() {
        for (said, told) in [
            ("invalid type: integer `5555`, expected a string", "invalid type: integer, expected a string"),
            (
                "invalid type: string \"a, expected b\", expected a map",
                "invalid type: string, expected a map",
            ),
            ("invalid type: map, expected u16", "invalid type: map, expected u16"),
            ("missing field `hosts`", "missing field `hosts`"),
        ] {
            assert_eq!(without_values(said), told);
        }
    }

    #[test]
    fn a_misspelt_key_is_told_what_it_should_be() {
        let message = "unknown field `carier`, expected one of `name`, `carrier`, `ttl_max`";
        assert_eq!(suggestion(message), "did you mean `carrier`?");
        assert!(suggestion("unknown field `zzz`, expected `name`").starts_with("remove it"));
        assert_eq!(suggestion("invalid type: integer `1`"), "");
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        assert_eq!(line_and_column("ab\ncd", 0), (1, 1));
        assert_eq!(line_and_column("ab\ncd", 4), (2, 2));
    }
}
