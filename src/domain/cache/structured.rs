//! Dictionaries of Structured Fields (RFC 8941 §4.2.2), read strictly and in place: one fault spoils the
//! whole field.

/// The value of a member, as far as cache directives tell values apart. Inner lists and parameters are
/// checked and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Integer(i64),
    /// What stands between the quotes, escapes and all.
    String(&'a [u8]),
    Boolean(bool),
    Other,
}

/// The members of one field line; `None` is a fault and the end.
pub fn dictionary(line: &[u8]) -> impl Iterator<Item = Option<(&str, Item<'_>)>> {
    let mut reader = Reader { rest: line };
    reader.skip(b" ");
    let mut is_over = reader.rest.iter().all(|&byte| byte == b' ');
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let member = reader.member();
        is_over = member.is_none() || reader.rest.is_empty();
        Some(member)
    })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A member and the comma behind it. §4.2.2: "If `input_string` is empty, there is a trailing comma; fail
    /// parsing."
    fn member(&mut self) -> Option<(&'a str, Item<'a>)> {
        let key = self.key()?;
        let item = if self.eat(b'=') { self.item_or_inner_list()? } else { Item::Boolean(true) };
        self.parameters()?;
        self.skip(b" \t");
        if !self.rest.is_empty() {
            self.eat(b',').then_some(())?;
            self.skip(b" \t");
            (!self.rest.is_empty()).then_some(())?;
        }
        Some((key, item))
    }

    fn item_or_inner_list(&mut self) -> Option<Item<'a>> {
        if !self.eat(b'(') {
            return self.bare_item();
        }
        loop {
            self.skip(b" ");
            if self.eat(b')') {
                return Some(Item::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            matches!(self.rest.first()?, b' ' | b')').then_some(())?;
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(b" ");
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// §4.2.3.3: `key = ( lcalpha / "*" ) *( lcalpha / DIGIT / "_" / "-" / "." / "*" )`
    fn key(&mut self) -> Option<&'a str> {
        matches!(self.rest.first()?, b'a'..=b'z' | b'*').then_some(())?;
        let key = self.run(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
        std::str::from_utf8(key).ok()
    }

    fn bare_item(&mut self) -> Option<Item<'a>> {
        match self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b':' => self.bytes(),
            b'?' => {
                let value = match self.rest.get(1)? {
                    b'0' => false,
                    b'1' => true,
                    _ => return None,
                };
                self.rest = &self.rest[2..];
                Some(Item::Boolean(value))
            }
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.run(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Some(Item::Other)
            }
            _ => None,
        }
    }

    /// §3.3.1: integers have at most 15 digits; §3.3.2: decimals at most 12 before and 3 behind the point.
    fn number(&mut self) -> Option<Item<'a>> {
        let is_negative = self.eat(b'-');
        let whole = self.run(|byte| byte.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.run(|byte| byte.is_ascii_digit());
            return ((1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len()))
                .then_some(Item::Other);
        }
        (1..=15).contains(&whole.len()).then_some(())?;
        let number = whole.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Some(Item::Integer(if is_negative { -number } else { number }))
    }

    fn string(&mut self) -> Option<Item<'a>> {
        let text = &self.rest[1..];
        let mut offset = 0;
        loop {
            match text.get(offset)? {
                b'"' => {
                    self.rest = &text[offset + 1..];
                    return Some(Item::String(&text[..offset]));
                }
                b'\\' => {
                    matches!(text.get(offset + 1)?, b'"' | b'\\').then_some(())?;
                    offset += 2;
                }
                b' '..=b'~' => offset += 1,
                _ => return None,
            }
        }
    }

    fn bytes(&mut self) -> Option<Item<'a>> {
        self.rest = &self.rest[1..];
        self.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        self.eat(b':').then_some(Item::Other)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn run(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !is_part(byte)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    fn skip(&mut self, white: &[u8]) {
        self.run(|byte| white.contains(&byte));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Option<Vec<(&str, Item<'_>)>> {
        dictionary(line.as_bytes()).collect()
    }

    #[test]
    fn each_type_is_told_from_the_others() {
        assert_eq!(
            read(r#"  a=1, b, c="x\"y";p;q=2	,d=?0 , e=tok/en, f=1.5, g=(1 "2" t);h, i=:aGk=:, j=-7"#),
            Some(vec![
                ("a", Item::Integer(1)),
                ("b", Item::Boolean(true)),
                ("c", Item::String(br#"x\"y"#)),
                ("d", Item::Boolean(false)),
                ("e", Item::Other),
                ("f", Item::Other),
                ("g", Item::Other),
                ("i", Item::Other),
                ("j", Item::Integer(-7)),
            ])
        );
        assert_eq!(read(""), Some(vec![]));
        assert_eq!(read("  "), Some(vec![]));
    }

    #[test]
    fn one_fault_spoils_the_field() {
        for line in [
            "a,",
            "A",
            "a=",
            "a==1",
            "a=1 b",
            "a=\"x",
            "a=\"x\\y\"",
            "a=(1",
            "a=(1,2)",
            "a=?2",
            "a=1.",
            "a=1.2345",
            "a=:x",
            "1",
            "a;",
            "a;B",
            ",a",
            "a,,b",
            "a=é",
            "a=\"é\"",
            "a=-",
            "a=(1\"2\")",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = dictionary(&line).count();
        }
    }
}
