//! CBOR values taken for what they have to be; whatever else is `None`.

use coset::cbor::value::Value;

/// cbor-x, which node-cat writes with, marks maps with this tag ("Map datatype with key-value operations").
const TAG_MAP: u64 = 259;

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(integer) => i64::try_from(*integer).ok(),
        _ => None,
    }
}

/// A whole number from 0 on.
pub(super) fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(integer) => u64::try_from(*integer).ok(),
        _ => None,
    }
}

pub(super) fn array(value: &Value, items_max: usize) -> Option<&[Value]> {
    match value {
        Value::Array(items) if items.len() <= items_max => Some(items),
        _ => None,
    }
}

/// The pairs of a map in which no key stands twice.
pub(super) fn map(value: &Value, pairs_max: usize) -> Option<&[(Value, Value)]> {
    match value {
        Value::Map(pairs) if pairs.len() <= pairs_max => {
            let is_doubled = |at: usize| pairs[..at].iter().any(|(key, _)| *key == pairs[at].0);
            (!(0..pairs.len()).any(is_doubled)).then_some(pairs)
        }
        Value::Tag(TAG_MAP, inner) if matches!(**inner, Value::Map(_)) => map(inner, pairs_max),
        _ => None,
    }
}
