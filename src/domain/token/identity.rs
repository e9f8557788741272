//! By what one access token is told from another: a digest of all that it says.
//!
//! Not of its text, which a viewer may present in other escapes. Two tokens that say the same are one: signers make the same text of
//! the same inputs, so that who hands out one-time tokens gives each an id, a payload or an end of its own.

use sha2::{Digest, Sha256};

use super::grant::{Clients, Grant, Scope};

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
    let whole = digest.finalize();
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
        let url = Grant { scope: Scope::Url, ..grant() };
        assert_ne!(identity(&url, "/a", ""), identity(&url, "/b", ""));
        assert_ne!(identity(&url, "/a", ""), identity(&url, "/a", "x=1"));
    }
}
