//! The URI container of RFC 9246 §2.1.15: which URI a token was signed for.

use regex::bytes::Regex;
use sha2::{Digest, Sha256};

use super::Limits;
use super::expression;
use crate::domain::token::base64url;

/// What `cdniuc` says.
#[derive(Clone, Debug)]
pub enum Container {
    /// `hash:sha-256;…`, RFC 6920 §5 ("URL segment form").
    Hash([u8; 32]),
    /// `regex:…`
    Expression(Regex),
}

/// Why a container is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it begins with neither hash: nor regex:")]
    Form,
    #[error("its hash is not sha-256")]
    HashAlgorithm,
    #[error("its hash is not 32 bytes in base64url")]
    Hash,
    #[error("its expression is refused: {0}")]
    Expression(#[from] expression::Fault),
}

impl Container {
    pub fn parse(text: &str, limits: Limits) -> Result<Self, Fault> {
        if let Some(expression) = text.strip_prefix("regex:") {
            return Ok(Self::Expression(expression::compile(expression, limits)?));
        }
        let hash = text.strip_prefix("hash:").ok_or(Fault::Form)?;
        // RFC 6920 §9.4 has shorter hashes (sha-256-128 and so on); a collision of one of those is within reach.
        let value = hash.strip_prefix("sha-256;").ok_or(Fault::HashAlgorithm)?;
        let bytes = base64url::decode(value).ok_or(Fault::Hash)?;
        Ok(Self::Hash(bytes.try_into().map_err(|_| Fault::Hash)?))
    }

    /// Whether it holds `uri`, in its normal form.
    pub fn holds(&self, uri: &str) -> bool {
        match self {
            Self::Hash(hash) => Sha256::digest(uri.as_bytes()).as_slice() == hash,
            Self::Expression(expression) => expression.is_match(uri.as_bytes()),
        }
    }
}

/// The container of one URI, in its normal form.
pub fn hash_of(uri: &str) -> String {
    format!("hash:sha-256;{}", base64url::encode(Sha256::digest(uri.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<Fault> {
        Container::parse(text, Limits::default()).err()
    }

    /// RFC 9246, appendix A.1: the container of `http://cdni.example/foo/bar`.
    #[test]
    fn the_hash_of_the_rfc_is_that_of_its_uri() {
        let container = "hash:sha-256;2tderfWPa86Ku7YnzW51YUp7dGUjBS_3SW3ELx4hmWY";
        assert_eq!(hash_of("http://cdni.example/foo/bar"), container);
        let parsed = Container::parse(container, Limits::default()).unwrap();
        assert!(parsed.holds("http://cdni.example/foo/bar"));
        assert!(!parsed.holds("http://cdni.example/foo/bar/"));
    }

    #[test]
    fn what_is_no_container_is_refused() {
        assert_eq!(fault("http://cdni.example/foo/bar"), Some(Fault::Form));
        assert_eq!(fault("uri:http://cdni.example/foo/bar"), Some(Fault::Form));
        assert_eq!(fault("hash:sha-256-128;2tderfWPa86Ku7YnzW51YQ"), Some(Fault::HashAlgorithm));
        assert_eq!(fault("hash:sha-256;2tder"), Some(Fault::Hash));
        assert_eq!(fault("hash:sha-256;2tderfWPa86Ku7YnzW51YUp7dGUjBS/3SW3ELx4hmWY"), Some(Fault::Hash));
        assert_eq!(fault("regex:("), Some(Fault::Expression(expression::Fault::Unbalanced)));
    }
}
