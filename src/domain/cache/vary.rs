//! Which of the answers stored for one URL a request selects, by `Vary` (RFC 9111 §4.1).

use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName};

use super::list;

/// What an answer says of the requests that it fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    Always,
    /// Those with the same values of these fields; sorted, each once.
    By(Vec<HeaderName>),
    /// None: "A stored response with a Vary header field value containing a member "*" always fails to
    /// match."
    Never,
}

impl Selection {
    /// Reads all lines of `Vary`. Fields in `ignored` are answered by the edge itself and select nothing. A
    /// member that is no field name fails to match like `*`.
    pub fn read(response: &HeaderMap, ignored: &[HeaderName]) -> Self {
        let mut names = Vec::new();
        for token in response.get_all(VARY).iter().flat_map(|line| list::tokens(line.as_bytes())) {
            match HeaderName::from_bytes(token) {
                Ok(name) if token != b"*" => names.push(name),
                Ok(_) | Err(_) => return Self::Never,
            }
        }
        names.retain(|name| !ignored.contains(name));
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        if names.is_empty() { Self::Always } else { Self::By(names) }
    }
}

/// What a stored answer was selected by: the fields that its `Vary` names, with the values of the request
/// that brought it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selector {
    fields: Vec<Field>,
    /// The one language of the answer, where languages select.
    language: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: HeaderName,
    value: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    /// As it was sent, if on one line: the next request often sends the same bytes.
    sent: Option<Box<[u8]>>,
    normal: Box<[u8]>,
}

impl Selector {
    /// `None` for an answer that no request selects.
    pub fn of(request: &HeaderMap, response: &HeaderMap, ignored: &[HeaderName]) -> Option<Self> {
        let names = match Selection::read(response, ignored) {
            Selection::Always => return Some(Self::default()),
            Selection::By(names) => names,
            Selection::Never => return None,
        };
        let language = names.contains(&ACCEPT_LANGUAGE).then(|| one_language(response)).flatten();
        let fields = names.into_iter().map(|name| Field { value: value_of(request, &name), name }).collect();
        Some(Self { fields, language })
    }

    /// RFC 9111 §4.1: "the cache MUST NOT use that stored response without revalidation unless all the
    /// presented request header fields nominated by that Vary field value match those fields in the original
    /// request".
    pub fn selects(&self, request: &HeaderMap) -> bool {
        self.fields.iter().all(|field| field.matches(request) || self.is_preferred_language(field, request))
    }

    /// What the same answer would be selected by, had `request` brought it.
    #[must_use]
    pub fn of_another(&self, request: &HeaderMap) -> Self {
        let fields = self
            .fields
            .iter()
            .map(|field| Field { name: field.name.clone(), value: value_of(request, &field.name) });
        Self { fields: fields.collect(), language: None }
    }

    /// The fields and normalised values as one text, equal for requests that select the same answer by the
    /// same fields.
    pub fn secondary_key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        for field in &self.fields {
            key.extend_from_slice(field.name.as_str().as_bytes());
            match &field.value {
                Some(value) => {
                    key.push(b':');
                    key.extend_from_slice(&value.normal);
                }
                None => key.push(b'-'),
            }
            key.push(b'\n');
        }
        key
    }

    /// RFC 9111 §4.1: "When a nominated request header field has a known mechanism for ranking preference
    /// (e.g., qvalues on Accept and similar request header fields), that mechanism MAY be used to choose a
    /// preferred response." A client that prefers this answer's language to all others would get no better
    /// one.
    fn is_preferred_language(&self, field: &Field, request: &HeaderMap) -> bool {
        let Some(language) = &self.language else { return false };
        if field.name != ACCEPT_LANGUAGE {
            return false;
        }
        let mut best: Option<(&[u8], u16)> = None;
        let mut is_tied = false;
        for line in request.get_all(ACCEPT_LANGUAGE) {
            for element in list::tokens(line.as_bytes()) {
                let (name, weight) = weighted(element);
                is_tied = best.is_some_and(|(_, most)| most == weight || (is_tied && most > weight));
                if best.is_none_or(|(_, most)| weight > most) {
                    best = Some((name, weight));
                }
            }
        }
        !is_tied && best.is_some_and(|(name, weight)| weight > 0 && name.eq_ignore_ascii_case(language))
    }
}

impl Field {
    /// RFC 9111 §4.1: "If (after any normalization that might take place) a header field is absent from a
    /// request, it can only match another request if it is also absent there."
    fn matches(&self, request: &HeaderMap) -> bool {
        let mut lines = request.get_all(&self.name).iter();
        match (&self.value, lines.next()) {
            (None, None) => true,
            (Some(value), Some(first)) => {
                let is_same = lines.next().is_none() && value.sent.as_deref() == Some(first.as_bytes());
                is_same || normalised(request, &self.name) == *value.normal
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

fn value_of(request: &HeaderMap, name: &HeaderName) -> Option<Value> {
    let mut lines = request.get_all(name).iter();
    let first = lines.next()?;
    let sent = lines.next().is_none().then(|| first.as_bytes().into());
    Some(Value { sent, normal: normalised(request, name).into() })
}

fn one_language(response: &HeaderMap) -> Option<Box<[u8]>> {
    let mut languages =
        response.get_all(CONTENT_LANGUAGE).iter().flat_map(|line| list::tokens(line.as_bytes()));
    let first = languages.next()?;
    languages.next().is_none().then(|| first.into())
}

/// A field's value with all its lines in one, "normalizing both header field values in a way that is known to
/// have identical semantics" (RFC 9111 §4.1): white space around members, for languages the order and the
/// case, for codings what could be chosen at all.
fn normalised(request: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let lines = request.get_all(name);
    let mut members: Vec<Vec<u8>> = if *name == ACCEPT_ENCODING {
        lines
            .iter()
            .flat_map(|line| list::tokens(line.as_bytes()))
            .filter_map(coding)
            .map(Vec::from)
            .collect()
    } else if *name == ACCEPT_LANGUAGE {
        lines.iter().flat_map(|line| list::tokens(line.as_bytes())).map(language).collect()
    } else {
        lines
            .iter()
            .flat_map(|line| list::elements(line.as_bytes()))
            .map(|(element, _)| element.to_vec())
            .collect()
    };
    if *name == ACCEPT_ENCODING || *name == ACCEPT_LANGUAGE {
        members.sort();
        members.dedup();
    }
    members.join(&b","[..])
}

/// A coding that the client takes, by its one name; the others fall away, so that invented ones make no
/// variants.
fn coding(element: &[u8]) -> Option<&'static [u8]> {
    const CODINGS: [&[u8]; 8] = [b"br", b"compress", b"dcb", b"dcz", b"deflate", b"gzip", b"zstd", b"*"];
    let (name, weight) = weighted(element);
    if weight == 0 {
        // What is refused would not be chosen anyway, but for the coding that needs no mention.
        return name.eq_ignore_ascii_case(b"identity").then_some(b"identity;q=0");
    }
    let name = match name {
        _ if name.eq_ignore_ascii_case(b"x-gzip") => &b"gzip"[..],
        _ if name.eq_ignore_ascii_case(b"x-compress") => b"compress",
        _ => name,
    };
    CODINGS.iter().find(|known| name.eq_ignore_ascii_case(known)).copied()
}

fn language(element: &[u8]) -> Vec<u8> {
    let (name, weight) = weighted(element);
    let mut text = name.to_ascii_lowercase();
    if weight != 1000 {
        text.extend_from_slice(format!(";q={weight}").as_bytes());
    }
    text
}

/// A member without its parameters, and its weight in thousandths (RFC 9110 §12.4.2); one that is no number
/// is 0.
fn weighted(element: &[u8]) -> (&[u8], u16) {
    let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| match part {
        [b'q' | b'Q', b'=', value @ ..] => Some(thousandths(value).unwrap_or(0)),
        _ => None,
    });
    (name, weight.unwrap_or(1000))
}

/// `qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )`
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole, b'.', fraction @ ..] => (whole, fraction),
        [whole] => (whole, &b""[..]),
        _ => return None,
    };
    let is_number =
        matches!(whole, b'0' | b'1') && fraction.len() <= 3 && fraction.iter().all(u8::is_ascii_digit);
    is_number.then_some(())?;
    let mut weight = u16::from(whole - b'0');
    for place in 0..3 {
        weight = weight * 10 + u16::from(fraction.get(place).map_or(0, |digit| digit - b'0'));
    }
    (weight <= 1000).then_some(weight)
}

mod written;

#[cfg(test)]
mod tests;
