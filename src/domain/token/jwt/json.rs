//! JSON objects read strictly: no member twice, nothing after the end, not too many.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

/// The members of an object, in their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Members(Vec<(String, Value)>);

impl Members {
    /// The object that `text` is, and nothing else.
    pub(super) fn parse(text: &[u8], members_max: usize) -> Option<Self> {
        let members: Self = serde_json::from_slice(text).ok()?;
        (members.0.len() <= members_max).then_some(members)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose members stand once each")
    }

    /// RFC 7519 §4: "The Claim Names within a JWT Claims Set MUST be unique; JWT parsers MUST either reject JWTs with
    /// duplicate Claim Names or use a JSON parser that returns only the lexically last duplicate member name".
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.iter().any(|(found, _)| *found == name) {
                return Err(A::Error::custom("a member stands twice"));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_object_is_read() {
        assert!(Members::parse(br#"{"a":1,"b":[2]}"#, 2).is_some());
        for odd in
            [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"{"a":1}{}"#, "[]", "1", "", "{", "\u{feff}{}"]
        {
            assert_eq!(Members::parse(odd.as_bytes(), 9), None, "{odd}");
        }
        assert_eq!(Members::parse(br#"{"a":1,"b":2}"#, 1), None);
    }
}
