//! The claims of a token, each of the type that its standard gives it.

use serde_json::Value;

use super::json::Members;
use crate::domain::token::grant::Nonce;
use crate::domain::token::identity;

/// The highest `cdniv` that is known; RFC 9246 §2.1.8: "In the absence of this claim, the value is assumed to be '1'".
pub(super) const VERSION: u64 = 1;

/// The claims of RFC 9246, which `cdnicrit` must not list.
const DEFINED: [&str; 15] = [
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cdniv", "cdnicrit", "cdniip", "cdniuc", "cdniets",
    "cdnistt", "cdnistd", "kid",
];

/// What a verified token says.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    pub(super) issuer: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) audiences: Option<Vec<String>>,
    pub(super) expires: Option<u64>,
    pub(super) not_before: Option<u64>,
    pub(super) nonce: Option<String>,
    pub(super) version: u64,
    /// Extensions that have to be understood.
    pub(super) critical: Vec<String>,
    pub(super) client: Option<String>,
    pub(super) container: Option<String>,
    digest: Nonce,
    members: Members,
}

/// Why a token's claims are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("they are no JSON object whose members stand once each, within the limit")]
    Object,
    #[error("{0} is no text")]
    Text(&'static str),
    #[error("{0} is no whole number of seconds from 0 on")]
    Number(&'static str),
    #[error("aud is neither a text nor a list of texts")]
    Audience,
    #[error("cdnicrit is empty, or lists a name twice, one of RFC 9246's own, or one that is no claim")]
    Critical,
    /// RFC 9246 §2.1.14: "If the CDNI Signed Token Transport (cdnistt) claim is used …" a setting of the time comes with it.
    #[error("cdnistt stands without cdniets")]
    Renewal,
}

impl Claims {
    pub(super) fn parse(text: &[u8], claims_max: usize) -> Result<Self, Fault> {
        let members = Members::parse(text, claims_max).ok_or(Fault::Object)?;
        let of = Typed(&members);
        of.number("iat")?;
        let renewed_for = of.number("cdniets")?;
        let transport = of.number("cdnistt")?;
        of.number("cdnistd")?;
        if transport.is_some() && renewed_for.is_none() {
            return Err(Fault::Renewal);
        }
        Ok(Self {
            issuer: of.text("iss")?,
            subject: of.text("sub")?,
            audiences: of.audiences()?,
            expires: of.number("exp")?,
            not_before: of.number("nbf")?,
            digest: identity::nonce(b"claims", text),
            nonce: of.text("jti")?,
            version: of.number("cdniv")?.unwrap_or(VERSION),
            critical: of.critical()?,
            client: of.text("cdniip")?,
            container: of.text("cdniuc")?,
            members,
        })
    }

    /// What tells the token from others: its `jti`, or all that it says.
    pub(super) fn own_nonce(&self) -> Nonce {
        self.nonce.as_ref().map_or(self.digest, |id| identity::nonce(b"jti", id.as_bytes()))
    }

    /// The text of a claim that the configuration names.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.members.get(name) {
            Some(Value::String(text)) => Some(text),
            Some(_) | None => None,
        }
    }

    /// The texts of a claim: one, or a list of nothing else.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<&str>> {
        texts(self.members.get(name)?)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.names()
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

struct Typed<'a>(&'a Members);

impl Typed<'_> {
    fn text(&self, name: &'static str) -> Result<Option<String>, Fault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Fault::Text(name)),
        }
    }

    /// A whole number; RFC 7519 §2 allows fractions in times, which no signer of ours needs and two readers may round apart.
    fn number(&self, name: &'static str) -> Result<Option<u64>, Fault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or(Fault::Number(name)),
        }
    }

    fn audiences(&self) -> Result<Option<Vec<String>>, Fault> {
        let Some(value) = self.0.get("aud") else { return Ok(None) };
        let texts = texts(value).ok_or(Fault::Audience)?;
        Ok(Some(texts.into_iter().map(str::to_owned).collect()))
    }

    /// RFC 9246 §2.1.9: "Producers MUST NOT include claim names defined by this specification, duplicate names, or names that
    /// do not occur as claim names within the Signed JWT in the cdnicrit list."
    fn critical(&self) -> Result<Vec<String>, Fault> {
        let Some(list) = self.text("cdnicrit")? else { return Ok(Vec::new()) };
        let mut names: Vec<String> = Vec::new();
        for name in list.split(',') {
            let is_fit = !name.is_empty()
                && !DEFINED.contains(&name)
                && self.0.get(name).is_some()
                && !names.iter().any(|known| known == name);
            if !is_fit {
                return Err(Fault::Critical);
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }
}
