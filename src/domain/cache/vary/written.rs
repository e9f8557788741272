//! The written form of what an answer was selected by.

use http::HeaderName;

use super::super::written::{Reader, Writer};
use super::{Field, Selector, Value};

impl Selector {
    pub fn write(&self, to: &mut Writer<'_>) {
        to.count(self.fields.len());
        for field in &self.fields {
            to.bytes(field.name.as_str().as_bytes());
            to.byte(u8::from(field.value.is_some()));
            if let Some(value) = &field.value {
                to.optional(value.sent.as_deref());
                to.bytes(&value.normal);
            }
        }
        to.optional(self.language.as_deref());
    }

    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut fields = Vec::new();
        for _ in 0..from.count()? {
            let name = HeaderName::from_bytes(from.bytes()?).ok()?;
            let value = if from.truth()? {
                let sent = from.optional()?.map(Box::from);
                Some(Value { sent, normal: from.bytes()?.into() })
            } else {
                None
            };
            fields.push(Field { name, value });
        }
        Some(Self { fields, language: from.optional()?.map(Box::from) })
    }
}
