//! How a token says what a text has to be: the matches of CTA-5007, by which `catu` and `cath` judge.

use coset::cbor::value::Value;
use regex::{Regex, RegexBuilder};
use sha2::{Digest, Sha256, Sha512_256};

use super::{Limits, cbor};

/// One condition on a text. Several conditions on one text all have to hold.
#[derive(Clone, Debug)]
pub enum Match {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    /// An expression that the whole text has to match, and what its groups have to be, where that is said.
    Expression(Regex, Vec<Option<String>>),
    Sha256([u8; 32]),
    Sha512256([u8; 32]),
}

const EXACT: i64 = 0;
const PREFIX: i64 = 1;
const SUFFIX: i64 = 2;
const CONTAINS: i64 = 3;
const EXPRESSION: i64 = 4;
const SHA256: i64 = -1;
const SHA512_256: i64 = -2;

/// The kinds of match by the names that JSON has for them.
pub const NAMES: [(&str, i64); 7] = [
    ("exact-match", EXACT),
    ("prefix-match", PREFIX),
    ("suffix-match", SUFFIX),
    ("contains-match", CONTAINS),
    ("regex-match", EXPRESSION),
    ("sha256-match", SHA256),
    ("sha512-256-match", SHA512_256),
];

impl Match {
    /// The conditions of a map; `None` where it is empty, or anything in it is not known.
    pub(super) fn all(value: &Value, limits: Limits) -> Option<Vec<Self>> {
        let pairs = cbor::map(value, limits.items_max)?;
        let matches: Option<Vec<Self>> =
            pairs.iter().map(|(kind, value)| Self::of(cbor::integer(kind)?, value, limits)).collect();
        matches.filter(|matches| !matches.is_empty())
    }

    fn of(kind: i64, value: &Value, limits: Limits) -> Option<Self> {
        let text = || cbor::text(value).map(str::to_owned);
        match kind {
            EXACT => text().map(Self::Exact),
            PREFIX => text().map(Self::Prefix),
            SUFFIX => text().map(Self::Suffix),
            CONTAINS => text().map(Self::Contains),
            EXPRESSION => {
                let (pattern, groups) = cbor::array(value, limits.items_max)?.split_first()?;
                let group = |group: &Value| match group {
                    Value::Null => Some(None),
                    Value::Text(text) => Some(Some(text.clone())),
                    _ => None,
                };
                let expression = compile(cbor::text(pattern)?, limits)?;
                let groups: Vec<_> = groups.iter().map(group).collect::<Option<_>>()?;
                (groups.len() < expression.captures_len()).then_some(Self::Expression(expression, groups))
            }
            SHA256 => digest(value).map(Self::Sha256),
            SHA512_256 => digest(value).map(Self::Sha512256),
            _ => None,
        }
    }

    pub fn holds(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => text == wanted,
            Self::Prefix(wanted) => text.starts_with(wanted),
            Self::Suffix(wanted) => text.ends_with(wanted),
            Self::Contains(wanted) => text.contains(wanted),
            Self::Expression(expression, groups) => expression.captures(text).is_some_and(|found| {
                let is_met = |(at, wanted): (usize, &Option<String>)| {
                    wanted
                        .as_deref()
                        .is_none_or(|wanted| found.get(at + 1).is_some_and(|group| group.as_str() == wanted))
                };
                groups.iter().enumerate().all(is_met)
            }),
            Self::Sha256(wanted) => Sha256::digest(text).as_slice() == wanted,
            Self::Sha512256(wanted) => Sha512_256::digest(text).as_slice() == wanted,
        }
    }
}

/// Linear time, bounded in text and program, and of the whole text: a signer who means a part of it can say `.*`, and one who
/// forgot an anchor must not open the rest of the site.
fn compile(pattern: &str, limits: Limits) -> Option<Regex> {
    if pattern.len() > limits.expression_bytes_max {
        return None;
    }
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(limits.program_bytes_max)
            .dfa_size_limit(limits.program_bytes_max)
            .nest_limit(32)
            .build()
            .ok()
    };
    // By itself first: parentheses that only match within the anchors would leave them.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

/// A hash as bytes, or in lower-case hex, as node-cat writes it.
fn digest(value: &Value) -> Option<[u8; 32]> {
    if let Some(bytes) = cbor::bytes(value) {
        return bytes.try_into().ok();
    }
    let hex = cbor::text(value)
        .filter(|hex| hex.len() == 64 && !hex.bytes().any(|digit| digit.is_ascii_uppercase()))?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = crate::domain::uri::escape::escaped_byte(pair)?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(kind: i64, value: Value, text: &str) -> bool {
        let map = Value::Map(vec![(kind.into(), value)]);
        Match::all(&map, Limits::default()).unwrap().iter().all(|condition| condition.holds(text))
    }

    fn is_refused(kind: i64, value: Value) -> bool {
        Match::all(&Value::Map(vec![(kind.into(), value)]), Limits::default()).is_none()
    }

    #[test]
    fn each_kind_of_match_judges_the_whole_text() {
        assert!(holds(EXACT, "/v".into(), "/v") && !holds(EXACT, "/v".into(), "/v/"));
        assert!(holds(PREFIX, "/v/".into(), "/v/a") && !holds(PREFIX, "/v/".into(), "/w/v/"));
        assert!(holds(SUFFIX, ".ts".into(), "a.ts") && !holds(SUFFIX, ".ts".into(), "a.tsx"));
        assert!(holds(CONTAINS, "b".into(), "abc") && !holds(CONTAINS, "b".into(), "ac"));
        let expression = Value::Array(vec!["/v/(a|b)/.*".into()]);
        assert!(
            holds(EXPRESSION, expression.clone(), "/v/b/c") && !holds(EXPRESSION, expression, "/x/v/b/c")
        );
    }

    #[test]
    fn groups_have_to_be_what_is_said() {
        let expression =
            |first: Value, second: Value| Value::Array(vec!["/(v|w)/(.*)".into(), first, second]);
        assert!(holds(EXPRESSION, expression(Value::Null, "a".into()), "/w/a"));
        assert!(!holds(EXPRESSION, expression("v".into(), Value::Null), "/w/a"));
        assert!(
            is_refused(EXPRESSION, Value::Array(vec!["/v".into(), Value::Null])),
            "there is no such group"
        );
    }

    /// FIPS 180-4 examples: the hashes of "abc".
    #[test]
    fn hashes_match_as_bytes_and_in_hex() {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let sha512_256 = "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23";
        assert!(holds(SHA256, sha256.into(), "abc") && !holds(SHA256, sha256.into(), "abd"));
        assert!(holds(SHA512_256, sha512_256.into(), "abc"));
        assert!(holds(SHA256, Value::Bytes(Sha256::digest("abc").to_vec()), "abc"));
        assert!(
            is_refused(SHA256, sha256.to_uppercase().into()) && is_refused(SHA256, Value::Bytes(vec![1; 31]))
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(is_refused(5, "a".into()) && is_refused(EXACT, 1.into()));
        assert!(is_refused(EXPRESSION, "a".into()) && is_refused(EXPRESSION, Value::Array(Vec::new())));
        for pattern in ["a)|(?:b", "(", "(?x)a #", "a{999}{999}{999}", &"a".repeat(1025)] {
            assert!(is_refused(EXPRESSION, Value::Array(vec![pattern.into()])), "{pattern}");
        }
        assert!(Match::all(&Value::Map(Vec::new()), Limits::default()).is_none());
        let doubled = Value::Map(vec![(EXACT.into(), "a".into()), (EXACT.into(), "b".into())]);
        assert!(Match::all(&doubled, Limits::default()).is_none());
    }
}
