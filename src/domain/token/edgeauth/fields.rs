//! The fields of a token, parsed strictly: known names, one order, each once, none empty.

use crate::domain::token::key::{Algorithm, Digest};
use crate::domain::uri::parts::cut;

/// The fields of a signed string, as they stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    pub ip: Option<&'a str>,
    pub start: Option<u64>,
    pub expires: u64,
    pub acl: Option<&'a str>,
    pub id: Option<&'a str>,
    pub data: Option<&'a str>,
}

/// How a signed string is written.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    pub delimiter: char,
    /// Whether an id or a payload may hold the delimiter. Only where signers escape their inputs: Python's escaper leaves `~`
    /// as it is, but `=` never, so that what follows cannot pass for a field.
    pub delimiter_in_values: bool,
    pub fields_max: usize,
}

/// Why a string is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("the field {0} stands twice")]
    Duplicate(&'static str),
    #[error("the field {0} stands out of order (ip, st, exp, acl, id, data, hmac)")]
    Order(&'static str),
    #[error("the field {0} is empty")]
    Empty(&'static str),
    #[error("the field {0} is no decimal number of at most 19 digits")]
    Number(&'static str),
    #[error("the field {0} is only hashed and may not stand in a token")]
    HashedOnly(&'static str),
    #[error("there is a field of no known name")]
    Unknown,
    #[error("there is no exp")]
    NoExpiry,
    #[error("there are too many fields")]
    TooMany,
}

const NAMES: [&str; 6] = ["ip", "st", "exp", "acl", "id", "data"];

/// The signed part and the HMAC of `token`: everything before the last delimiter, and `hmac=` with exactly the algorithm's digits.
pub fn split_hmac(token: &str, delimiter: char, algorithm: Algorithm) -> Option<(&str, Digest)> {
    let (rest, hex) = token.split_at_checked(token.len().checked_sub(algorithm.hex_digits())?)?;
    let signed = rest.strip_suffix("hmac=")?.strip_suffix(delimiter)?;
    Some((signed, Digest::from_hex(hex, algorithm)?))
}

/// Whether the field `acl` stands in a signed part, which decides whether the URL was hashed.
pub fn has_acl(signed: &str, delimiter: char) -> bool {
    signed.split(delimiter).any(|field| field.starts_with("acl="))
}

impl<'a> Fields<'a> {
    /// Parses the signed part of a token.
    pub fn parse(signed: &'a str, writing: Writing) -> Result<Self, FieldError> {
        let mut values: [Option<&'a str>; NAMES.len()] = [None; NAMES.len()];
        let mut last = None;
        let mut start = 0;
        for (count, field) in split(signed, writing.delimiter).enumerate() {
            if count == writing.fields_max {
                return Err(FieldError::TooMany);
            }
            let end = start + field.len();
            match (cut(field, b'='), last) {
                (Some((name, value)), _) => {
                    let index = index_of(name)?;
                    if values[index].is_some() {
                        return Err(FieldError::Duplicate(NAMES[index]));
                    }
                    if last.is_some_and(|(previous, _)| previous > index) {
                        return Err(FieldError::Order(NAMES[index]));
                    }
                    if value.is_empty() {
                        return Err(FieldError::Empty(NAMES[index]));
                    }
                    values[index] = Some(value);
                    last = Some((index, end - value.len()));
                }
                (None, Some((index @ (4 | 5), value_start))) if writing.delimiter_in_values => {
                    values[index] = Some(&signed[value_start..end]);
                }
                (None, _) => return Err(FieldError::Unknown),
            }
            start = end + writing.delimiter.len_utf8();
        }
        let [ip, st, exp, acl, id, data] = values;
        Ok(Self {
            ip,
            start: st.map(|digits| number("st", digits)).transpose()?,
            expires: number("exp", exp.ok_or(FieldError::NoExpiry)?)?,
            acl,
            id,
            data,
        })
    }
}

/// As `str::split`, and quicker where the delimiter is ASCII, as it mostly is.
fn split(signed: &str, delimiter: char) -> impl Iterator<Item = &str> {
    let ascii = u8::try_from(delimiter).ok().filter(u8::is_ascii);
    let mut rest = Some(signed);
    std::iter::from_fn(move || {
        let text = rest?;
        let found = ascii.map_or_else(|| text.split_once(delimiter), |byte| cut(text, byte));
        let (field, after) = found.map_or((text, None), |(field, after)| (field, Some(after)));
        rest = after;
        Some(field)
    })
}

fn index_of(name: &str) -> Result<usize, FieldError> {
    match name {
        "url" => Err(FieldError::HashedOnly("url")),
        "salt" => Err(FieldError::HashedOnly("salt")),
        "hmac" => Err(FieldError::Duplicate("hmac")),
        _ => NAMES.iter().position(|known| *known == name).ok_or(FieldError::Unknown),
    }
}

/// A decimal number without sign, space or exponent. 19 digits always fit 64 bits.
fn number(name: &'static str, digits: &str) -> Result<u64, FieldError> {
    if digits.len() > 19 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(FieldError::Number(name));
    }
    digits.parse().map_err(|_| FieldError::Number(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STRICT: Writing = Writing { delimiter: '~', delimiter_in_values: false, fields_max: 16 };
    const CONTINUED: Writing = Writing { delimiter_in_values: true, ..STRICT };

    fn refused(signed: &str) -> FieldError {
        Fields::parse(signed, STRICT).expect_err(signed)
    }

    #[test]
    fn every_field_is_read_in_its_place() {
        let fields = Fields::parse("ip=1.2.3.4~st=1~exp=2~acl=/a=b/*!/c~id=x~data=y=z", STRICT);
        let expected = Fields {
            ip: Some("1.2.3.4"),
            start: Some(1),
            expires: 2,
            acl: Some("/a=b/*!/c"),
            id: Some("x"),
            data: Some("y=z"),
        };
        assert_eq!(fields, Ok(expected));
    }

    #[test]
    fn what_is_doubled_unknown_empty_or_out_of_order_is_refused() {
        assert_eq!(refused("exp=1~acl=/*~data=a~exp=9999999999"), FieldError::Duplicate("exp"));
        assert_eq!(refused("exp=1~data=a~acl=/*"), FieldError::Order("acl"));
        assert_eq!(refused("exp=1~data=a~id=b"), FieldError::Order("id"));
        assert_eq!(refused("ip=~exp=1"), FieldError::Empty("ip"));
        assert_eq!(refused("exp=1~url=/a"), FieldError::HashedOnly("url"));
        assert_eq!(refused("exp=1~acl=/*~salt=x"), FieldError::HashedOnly("salt"));
        assert_eq!(refused("exp=1~hmac=00"), FieldError::Duplicate("hmac"));
        assert_eq!(refused("acl=/*"), FieldError::NoExpiry);
        for unknown in
            ["exp=1~alg=none", "exp=1~Acl=/*", "exp=1~", "~exp=1", "", "exp=1~acl=/*~x", "exp=1~data=a~b"]
        {
            assert_eq!(refused(unknown), FieldError::Unknown, "{unknown}");
        }
        let many = "exp=1".to_owned() + &"~x".repeat(16);
        assert!(matches!(Fields::parse(&many, CONTINUED), Err(FieldError::Unknown | FieldError::TooMany)));
    }

    #[test]
    fn numbers_are_plain_decimals() {
        for odd in [
            "-1",
            "+1",
            " 1",
            "1 ",
            "1e9",
            "0x10",
            "1.0",
            "18446744073709551616",
            "99999999999999999999",
            "١",
        ] {
            assert_eq!(refused(&format!("exp={odd}~acl=/*")), FieldError::Number("exp"), "{odd}");
        }
        assert_eq!(
            Fields::parse("exp=9999999999999999999", STRICT).map(|fields| fields.expires),
            Ok(9_999_999_999_999_999_999)
        );
    }

    #[test]
    fn a_delimiter_in_an_escaped_value_is_kept() {
        let fields = Fields::parse("exp=1~acl=/*~data=a~b~c", CONTINUED);
        assert_eq!(fields.map(|fields| fields.data), Ok(Some("a~b~c")));
        assert_eq!(Fields::parse("exp=1~acl=/*~b", CONTINUED), Err(FieldError::Unknown));
        assert_eq!(Fields::parse("exp=1~data=a~b~exp=2", CONTINUED), Err(FieldError::Duplicate("exp")));
    }

    #[test]
    fn the_hmac_is_last_and_has_the_algorithms_length() {
        let hex = "0".repeat(64);
        assert!(split_hmac(&format!("exp=1~hmac={hex}"), '~', Algorithm::Sha256).is_some());
        for odd in [
            format!("exp=1~hmac={hex}0"),
            format!("exp=1~hmac={}", &hex[1..]),
            format!("exp=1~hmac={hex}~acl=/*"),
            format!("hmac={hex}"),
            format!("exp=1~xhmac={hex}"),
            format!("exp=1~hmac={}A", &hex[1..]),
            hex.clone(),
        ] {
            assert!(split_hmac(&odd, '~', Algorithm::Sha256).is_none(), "{odd}");
        }
        assert!(split_hmac(&format!("exp=1~hmac={hex}"), '~', Algorithm::Sha1).is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "([a-e=~é]|exp=|st=|acl=|data=|id=|~hmac=[0-9a-f]{0,64}){0,20}|.{0,40}") {
            let _ = Fields::parse(&text, CONTINUED);
            for algorithm in Algorithm::ALL {
                let _ = split_hmac(&text, '~', algorithm);
            }
        }
    }
}
