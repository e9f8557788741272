//! By what one access token is told from another: a digest of all that it says.
//!
//! Not of its text, which a viewer may present in other escapes. Two tokens that say the same are one: signers make the same text of
//! the same inputs, so that who hands out one-time tokens gives each an id, a payload or an end of its own. Where a dialect has
//! an id for each token (`jti`, `cti`), that is what counts.

use sha2::{Digest, Sha256};

use super::grant::{Clients, Grant, Nonce, Scope};

/// The first half of a digest.
pub type Identity = [u8; 16];

/// `path` is the path and `query` the plain query of the request that it was verified for: where one URL was signed, it is part of
/// what the token says.
pub fn identity(grant: &Grant, path: &str, query: &str) -> Identity {
    let mut digest = Sha256::new_with_prefix(b"sluicegate access token v1");
    let mut field = |label: &[u8], text: &str| {
        digest.update([0]);
        digest.update(label);
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    };
    if let Some(nonce) = grant.nonce {
        // A signer who numbers its tokens says by that which are one, and nothing else of them counts.
        field(b"key", &grant.key_name);
        digest.update(nonce);
        return first_half(&digest.finalize());
    }
    match &grant.scope {
        Scope::Acl(acl) => field(b"acl", acl),
        Scope::Url => {
            field(b"url", path);
            field(b"query", query);
        }
        Scope::Condition => field(b"condition", ""),
    }
    field(b"exp", itoa::Buffer::new().format(grant.expires));
    match &grant.clients {
        Clients::Any => {}
        Clients::Address(address) => field(b"ip", address),
        Clients::Networks(networks) => networks.iter().for_each(|net| field(b"net", &net.to_string())),
    }
    field(b"id", grant.session_id.as_deref().unwrap_or_default());
    field(b"data", grant.payload.as_deref().unwrap_or_default());
    field(b"key", &grant.key_name);
    first_half(&digest.finalize())
}

/// The nonce of a token that says `parts`: an id in its own right, or all its claims.
pub fn nonce(kind: &[u8], part: &[u8]) -> Nonce {
    first_half(&Sha256::new_with_prefix(kind).chain_update([0]).chain_update(part).finalize())
}

fn first_half(whole: &[u8]) -> Identity {
    std::array::from_fn(|at| whole[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant {
            scope: Scope::Acl("/*".into()),
            expires: 5,
            clients: Clients::Any,
            session_id: Some("a".into()),
            payload: None,
            nonce: None,
            key_name: "key".into(),
        }
    }

    #[test]
    fn tokens_that_say_different_things_differ() {
        let all = [
            grant(),
            Grant { scope: Scope::Acl("/b/*".into()), ..grant() },
            Grant { scope: Scope::Url, ..grant() },
            Grant { expires: 6, ..grant() },
            Grant { clients: Clients::Address("10.0.0.1".into()), ..grant() },
            Grant { session_id: None, payload: Some("a".into()), ..grant() },
            Grant { session_id: Some("b".into()), ..grant() },
        ];
        let identities: Vec<Identity> = all.iter().map(|grant| identity(grant, "/a", "")).collect();
        for (at, one) in identities.iter().enumerate() {
            assert!(!identities[at + 1..].contains(one), "{at}");
        }
        assert_eq!(identity(&grant(), "/a", ""), identity(&grant(), "/b", "x=1"));
        let numbered = |id: &[u8]| Grant { nonce: Some(nonce(b"jti", id)), ..grant() };
        let later = Grant { expires: 9, session_id: None, ..numbered(b"1") };
        assert_eq!(
            identity(&numbered(b"1"), "/a", ""),
            identity(&later, "/b", ""),
            "the number alone counts"
        );
        assert_ne!(identity(&numbered(b"1"), "/a", ""), identity(&numbered(b"2"), "/a", ""));
        assert_ne!(nonce(b"jti", b"1"), nonce(b"claims", b"1"));
        let url = Grant { scope: Scope::Url, ..grant() };
        assert_ne!(identity(&url, "/a", ""), identity(&url, "/b", ""));
        assert_ne!(identity(&url, "/a", ""), identity(&url, "/a", "x=1"));
    }
}
