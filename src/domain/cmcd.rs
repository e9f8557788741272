//! What players say of themselves (CMCD, CTA-5004): read for the access log alone, and within bounds.
//!
//! It comes as the query's `CMCD=…`, percent-encoded, or in four header fields. Either is a list as RFC 8941 has it,
//! `br=3200,bs,ot=v,sid="…"`. A player may write what it likes: only the keys of the standard are taken, each once, each with a value of
//! its own type and below a length; the rest is passed over. None of it bears on what is served or kept.

use super::uri::escape;

/// More of one text is not looked at.
const TEXT_BYTES_MAX: usize = 2 << 10;
/// CTA-5004: "Maximum length is 64 characters", of `cid` and `sid`.
const STRING_BYTES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 256;
/// RFC 8941 §3.3.1: integers have at most 15 digits.
const INTEGER_MAX: u64 = 999_999_999_999_999;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Integer,
    Decimal,
    Flag,
    /// A string in quotes.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The URL of an object, relative and percent-encoded, in quotes. Its last segment alone is kept: what stands before it or in its
    /// query may be a token.
    Object,
}

/// The keys of CTA-5004 (version 1).
const KEYS: [(&str, Type); 18] = [
    ("bl", Type::Integer),
    ("br", Type::Integer),
    ("bs", Type::Flag),
    ("cid", Type::Text),
    ("d", Type::Integer),
    ("dl", Type::Integer),
    ("mtp", Type::Integer),
    ("nor", Type::Object),
    ("nrr", Type::Text),
    ("ot", Type::Word(&["m", "a", "v", "av", "i", "c", "tt", "k", "o"])),
    ("pr", Type::Decimal),
    ("rtp", Type::Integer),
    ("sf", Type::Word(&["d", "h", "s", "o"])),
    ("sid", Type::Text),
    ("st", Type::Word(&["v", "l"])),
    ("su", Type::Flag),
    ("tb", Type::Integer),
    ("v", Type::Integer),
];

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(u64),
    Decimal(f64),
    Flag(bool),
    Text(String),
}

/// What one request said, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cmcd {
    pub values: Vec<(&'static str, Value)>,
}

impl Cmcd {
    /// Takes a header field in.
    pub fn read(&mut self, text: &str) {
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        for pair in Pairs(text) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "?1"));
            let Some((name, kind)) = KEYS.iter().find(|(known, _)| *known == name) else { continue };
            if self.values.iter().any(|(taken, _)| taken == name) {
                continue;
            }
            if let Some(value) = kind.value(value) {
                self.values.push((name, value));
            }
        }
    }

    /// Takes in what stands in a query as `CMCD=`.
    pub fn read_query(&mut self, query: &str) {
        let said = query.split('&').filter_map(|pair| pair.strip_prefix("CMCD="));
        for text in said.filter(|text| text.len() <= 3 * TEXT_BYTES_MAX) {
            if let Some(text) = escape::decode(text) {
                self.read(&text);
            }
        }
    }
}

impl Type {
    fn value(self, text: &str) -> Option<Value> {
        match self {
            Self::Integer => integer(text).map(Value::Integer),
            Self::Decimal => decimal(text).map(Value::Decimal),
            Self::Flag => match text {
                "?1" => Some(Value::Flag(true)),
                "?0" => Some(Value::Flag(false)),
                _ => None,
            },
            Self::Text => string(text, STRING_BYTES_MAX).map(Value::Text),
            Self::Word(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
            Self::Object => {
                let decoded = string(text, 4 * NAME_BYTES_MAX)?;
                let decoded = escape::decode(&decoded)?;
                let path = decoded.split(['?', '#']).next().unwrap_or_default();
                let name = path.rsplit('/').next().unwrap_or_default();
                (!name.is_empty() && name.len() <= NAME_BYTES_MAX).then(|| Value::Text(name.to_owned()))
            }
        }
    }
}

fn integer(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number <= INTEGER_MAX)
}

/// RFC 8941 §3.3.2: at most 12 digits, a point, and at most three.
fn decimal(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_of = |part: &str, digits: usize| {
        (1..=digits).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    (is_of(whole, 12) && is_of(fraction, 3)).then(|| text.parse().ok()).flatten()
}

/// What stands between quotes, in printable ASCII, with `\"` and `\\` for the two that need it.
fn string(text: &str, bytes_max: usize) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.push(characters.next().filter(|next| matches!(next, '"' | '\\'))?),
            '"' => return None,
            ' '..='~' => out.push(character),
            _ => return None,
        }
    }
    (out.len() <= bytes_max).then_some(out)
}

/// The members of a list, without the blanks around them; a comma inside quotes parts nothing.
struct Pairs<'a>(&'a str);

impl<'a> Iterator for Pairs<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = self.0.bytes().position(|byte| {
            let was_escaped = std::mem::take(&mut is_escaped);
            match byte {
                b'\\' if is_quoted && !was_escaped => is_escaped = true,
                b'"' if !was_escaped => is_quoted = !is_quoted,
                b',' => return !is_quoted,
                _ => {}
            }
            false
        });
        let pair;
        (pair, self.0) = match end {
            Some(end) => (&self.0[..end], &self.0[end + 1..]),
            None => (self.0, ""),
        };
        Some(pair.trim_matches([' ', '\t']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(&'static str, Value)> {
        let mut cmcd = Cmcd::default();
        cmcd.read(text);
        cmcd.values
    }

    #[test]
    fn every_key_of_the_standard_is_read_with_its_type() {
        let text = "bl=21300,br=3200,bs,cid=\"a,b\\\"c\",d=4004,dl=18500,mtp=25400,nor=\"..%2F300kbps%2Fseg35.m4v%3Fhdnts%3Dx\",nrr=\"12323-48763\",ot=v,pr=1.08,rtp=15000,sf=h,sid=\"6e2fb550\",st=v,su=?0,tb=6000,v=1";
        let text = |value: &str| (Value::Text(value.to_owned()), text.to_owned());
        let (_, whole) = text("");
        let values = read(&whole);
        assert_eq!(values.len(), KEYS.len(), "{values:?}");
        let of = |name: &str| values.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
        assert_eq!(of("bl"), Some(Value::Integer(21_300)));
        assert_eq!(of("bs"), Some(Value::Flag(true)));
        assert_eq!(of("su"), Some(Value::Flag(false)));
        assert_eq!(of("cid"), Some(text("a,b\"c").0));
        assert_eq!(of("nor"), Some(text("seg35.m4v").0));
        assert_eq!(of("ot"), Some(text("v").0));
        assert_eq!(of("pr"), Some(Value::Decimal(1.08)));
    }

    #[test]
    fn what_is_malformed_unknown_or_said_twice_is_passed_over() {
        for text in [
            "",
            ",,,",
            "br",
            "br=",
            "br=-1",
            "br=+1",
            "br=1.5",
            "br=\"1\"",
            "br=1234567890123456",
            "br=(1 2)",
            "bs=true",
            "bs=?2",
            "ot=x",
            "sid=abc",
            "sid=\"a",
            "sid=\"a\u{e9}\"",
            "sid=\"\n\"",
            "pr=1.",
            "pr=.5",
            "pr=1.2345",
            "pr=1e3",
            "pr=NaN",
            "nor=\"a%2F\"",
            "nor=\"%zz\"",
            "com.example-own=1",
            "BR=1",
            "\"",
            "\\",
        ] {
            assert_eq!(read(text), [], "{text:?}");
        }
        assert_eq!(read("br=1, br=2 ,sid=\"a"), [("br", Value::Integer(1))]);
    }

    #[test]
    fn nothing_is_read_beyond_its_length() {
        assert_eq!(read(&format!("sid=\"{}\"", "a".repeat(65))), []);
        assert_eq!(read(&format!("sid=\"{}\"", "a".repeat(64))).len(), 1);
        assert_eq!(read(&format!("nor=\"{}\"", "a".repeat(257))), []);
        assert_eq!(read(&format!("br=1{}", ",".repeat(TEXT_BYTES_MAX))), []);
        let mut cmcd = Cmcd::default();
        cmcd.read_query(&format!("CMCD=br%3D1{}", "%2C".repeat(TEXT_BYTES_MAX)));
        assert_eq!(cmcd, Cmcd::default());
    }

    #[test]
    fn a_query_is_decoded_once_and_other_parameters_are_not_read() {
        let mut cmcd = Cmcd::default();
        cmcd.read_query("a=1&CMCD=br%3D3200%2Csid%3D%22x%2541%22&cmcd=bl%3D1&xCMCD=d%3D1");
        assert_eq!(cmcd.values, [("br", Value::Integer(3200)), ("sid", Value::Text("x%41".to_owned()))]);
    }
}
