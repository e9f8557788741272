//! What is mixed into a session token's HMAC beside its text: a fixed salt, or the values of request headers.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::HeaderName;

use crate::domain::token::key::Secret;
use crate::domain::token::reason::Reason;

/// The salt of a property's session tokens. A fixed salt wins over headers, as on Akamai's edge.
#[derive(Debug)]
pub enum Salt {
    None,
    Fixed(Secret),
    /// The values of these headers, in this order; a request without one of them is refused.
    Headers(Vec<HeaderName>),
}

impl Salt {
    pub fn of(&self, headers: &HeaderMap) -> Result<Cow<'_, [u8]>, Reason> {
        match self {
            Self::None => Ok(Cow::Borrowed(&[])),
            Self::Fixed(secret) => Ok(Cow::Borrowed(secret.expose())),
            Self::Headers(names) => {
                let mut salt = Vec::new();
                for name in names {
                    let value = headers.get(name).ok_or(Reason::Malformed)?;
                    // A length before each value keeps ("ab", "c") and ("a", "bc") apart.
                    salt.extend_from_slice(&(value.len() as u64).to_be_bytes());
                    salt.extend_from_slice(value.as_bytes());
                }
                Ok(Cow::Owned(salt))
            }
        }
    }
}
