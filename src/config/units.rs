//! Values with units, as they are typed: `"32KiB"`, `"30s"`, `"keep"`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

/// A size in bytes, written with its unit: `"8KiB"`, `"256MiB"`, `"20GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A length of time, written with its unit: `"500ms"`, `"30s"`, `"10m"`, `"24h"`, `"1d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A length of time or the word `"auto"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoSpan {
    Auto,
    Fixed(Duration),
}

/// What becomes of a request's query: `"keep"`, `"drop"`, or the list of the names that stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryRule {
    Keep,
    Drop,
    Only(Vec<String>),
}

impl Size {
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The size as a count of bytes in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Span {
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

fn size(text: &str) -> Result<u64, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "the size \"{text}\" has no unit; write for example \"{text}KiB\" or \"{text}B\""
        ));
    }
    text.parse::<bytesize::ByteSize>().map(|size| size.as_u64()).map_err(|_| {
        format!("\"{text}\" is not a size; write a number with a unit, for example \"32KiB\" or \"64MiB\"")
    })
}

const DURATION_MAX: Duration = Duration::from_hours(100 * 366 * 24);

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|_| {
        format!("\"{text}\" is not a duration; write a number with a unit, for example \"500ms\", \"30s\", \"10m\" or \"24h\"")
    })?;
    // A time that far ahead could not be reckoned with.
    if duration > DURATION_MAX {
        return Err(format!("\"{text}\" is longer than a hundred years"));
    }
    Ok(duration)
}

struct Text<T>(&'static str, fn(&str) -> Result<T, String>);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Text("a size with its unit in quotes, for example \"32KiB\"", size)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Text("a duration with its unit in quotes, for example \"30s\"", duration))
            .map(Self)
    }
}

impl<'de> Deserialize<'de> for AutoSpan {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Text("\"auto\" or a duration, for example \"2s\"", |text| {
            if text == "auto" { Ok(Self::Auto) } else { duration(text).map(Self::Fixed) }
        }))
    }
}

impl<'de> Deserialize<'de> for QueryRule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Rule;
        impl<'de> Visitor<'de> for Rule {
            type Value = QueryRule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"keep\", \"drop\", or a list of parameter names such as [\"v\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<QueryRule, E> {
                match text {
                    "keep" => Ok(QueryRule::Keep),
                    "drop" => Ok(QueryRule::Drop),
                    other => Err(E::custom(format!(
                        "\"{other}\" is neither \"keep\" nor \"drop\" nor a list of names"
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<QueryRule, A::Error> {
                let mut only = Vec::new();
                while let Some(name) = names.next_element()? {
                    only.push(name);
                }
                Ok(QueryRule::Only(only))
            }
        }
        from.deserialize_any(Rule)
    }
}
